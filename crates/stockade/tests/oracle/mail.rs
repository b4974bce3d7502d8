//! The mails of `smtp.py`: the real file in the real Fail2Ban, and what is done natively here, before a mail server of the test's own.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use testkit::wait_until;

use crate::world::{SOON, World, both, possible};

type Mails = Arc<Mutex<Vec<String>>>;

const JAILS: &str = r#"[DEFAULT]
backend = polling
usedns = no
logencoding = utf-8
maxretry = 2
filter = mailed
logpath = @/log
[sshd]
enabled = false
[plain]
enabled = true
action = smtp.py[host=127.0.0.1]
[lines]
enabled = true
bantime = -1
action = smtp.py[host="127.0.0.1:25", user=who, password="pass word", sendername="A. B", sender="s@example.org", dest="a@example.org, b@example.org", matches=matches]
[jails]
enabled = true
action = smtp.py[host="localhost:25", matches=ipjailmatches, dest="x@example.org, refused@example.org", actname=named]
[word]
enabled = true
action = smtp.py[host=127.0.0.1, matches=nonsense]
"#;

#[test]
fn the_mails_are_those_of_smtp_py() {
    if !possible(&["python3"]) {
        return;
    }
    let (ours, theirs) = both("mail", true, |world| {
        let mails = serve(world);
        world.write("etc/jail.local", &format!("{}\n", JAILS.trim()));
        world.write("etc/filter.d/mailed.conf", "[Definition]\nfailregex = bad <HOST>\n");
        world.append("log", "");
        world.start();
        wait_until(SOON, "four mails of starts", || mails.lock().unwrap().len() == 4);
        let now = String::from_utf8(
            std::process::Command::new("date")
                .arg("+%F %T")
                .output()
                .unwrap()
                .stdout,
        )
        .unwrap();
        let now = now.trim();
        for (ip, text) in [
            ("192.0.2.7", ".\u{fc}\u{142} x"),
            ("192.0.2.7", "two"),
            ("2001:db8::1", "one"),
        ] {
            world.append("log", format!("{now} bad {ip} {text}\n"));
        }
        world.append("log", format!("{now} bad 2001:db8::1 {}\n", "y ".repeat(300)));
        wait_until(SOON, "eight mails of bans", || mails.lock().unwrap().len() == 12);
        let mut said = vec![world.client_of_ours(&["get", "jails", "actions"]).said];
        for property in [
            "host",
            "user",
            "password",
            "fromname",
            "fromaddr",
            "toaddr",
            "matches",
            "norestored",
            "nosuch",
        ] {
            let answer = world.client_of_ours(&["get", "lines", "action", "smtp", property]);
            said.push(format!("{property}: {} {}", answer.said, answer.errors));
        }
        said.push(world.client_of_ours(&["get", "plain", "actionmethods", "smtp"]).said);
        said.push(
            world
                .client_of_ours(&["set", "plain", "action", "smtp", "toaddr", "new@example.org"])
                .said,
        );
        said.push(world.client_of_ours(&["set", "plain", "unbanip", "192.0.2.7"]).said);
        world.client(&["stop"]);
        wait_until(SOON, "four mails of stops", || mails.lock().unwrap().len() == 16);
        let mut mails = mails.lock().unwrap().clone();
        mails.sort();
        // Times are those of two runs.
        let mails: Vec<String> = mails.iter().map(|mail| mail.replace(now, "NOW")).collect();
        (mails, said)
    });
    for (ours, theirs) in ours.0.iter().zip(&theirs.0) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours, theirs);
}

/// A mail server that takes everything but one recipient.
fn serve(world: &World) -> Mails {
    let listener = world.net.run(|| TcpListener::bind("127.0.0.1:25").unwrap());
    let mails = Mails::default();
    let kept = Arc::clone(&mails);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let kept = Arc::clone(&kept);
            std::thread::spawn(move || talk(&stream, &kept));
        }
    });
    mails
}

/// One connection; a mail is kept as envelope, headers without the date, and decoded body.
fn talk(stream: &TcpStream, mails: &Mails) -> Option<()> {
    let mut lines = BufReader::new(stream).lines();
    let mut answer = stream;
    answer.write_all(b"220 test\r\n").ok()?;
    let mut envelope = String::new();
    while let Some(Ok(line)) = lines.next() {
        let upper = line.to_ascii_uppercase();
        let reply = if upper.starts_with("EHLO") {
            "250-test\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME\r\n"
        } else if upper.starts_with("AUTH") {
            envelope.push_str(&format!("{line}\n"));
            "235 in\r\n"
        } else if upper.starts_with("RCPT") && upper.contains("REFUSED") {
            "550 nobody\r\n"
        } else if upper.starts_with("DATA") {
            answer.write_all(b"354 go\r\n").ok()?;
            let data: Vec<String> = lines
                .by_ref()
                .map_while(Result::ok)
                .take_while(|line| line != ".")
                .collect();
            mails.lock().unwrap().push(format!("{envelope}{}", decoded(&data)));
            "250 taken\r\n"
        } else if upper.starts_with("QUIT") {
            break;
        } else {
            envelope.push_str(&format!("{}\n", upper.trim()));
            "250 well\r\n"
        };
        answer.write_all(reply.as_bytes()).ok()?;
    }
    Some(())
}

fn decoded(data: &[String]) -> String {
    let split = data.iter().position(String::is_empty).unwrap();
    let (headers, body) = data.split_at(split);
    let headers: Vec<&str> = headers
        .iter()
        .map(String::as_str)
        .filter(|line| !line.starts_with("Date:"))
        .collect();
    let mut body = body.join("\n");
    if headers.iter().any(|line| line.ends_with("base64")) {
        let decoded = std::process::Command::new("sh")
            .args(["-c", "printf %s \"$0\" | base64 -d", &body])
            .output()
            .unwrap();
        body = String::from_utf8(decoded.stdout).unwrap();
    }
    format!("{}\n{}", headers.join("\n"), facts(&body))
}

/// What a body says, without its words, which are each program's own: the lines of the log, and the addresses, numbers and times elsewhere.
fn facts(body: &str) -> String {
    let (log, prose): (Vec<&str>, Vec<&str>) = body.lines().partition(|line| line.contains(" bad "));
    let words = prose.iter().flat_map(|line| line.split_whitespace());
    let mut facts: Vec<&str> = words
        .map(|word| word.trim_end_matches(['.', ',']).trim_end_matches(':'))
        .filter(|word| word.contains(|c: char| c.is_ascii_digit()))
        .filter(|word| !word.contains("ail2"))
        .collect();
    facts.sort_unstable();
    facts.dedup();
    format!("{}\n{}", facts.join(" "), log.join("\n"))
}
