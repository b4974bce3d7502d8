//! Where the log goes and how its lines look there: files with options, syslog, the journal, rotation; with Fail2Ban's lines beside ours.

use std::os::unix::net::UnixDatagram;

use crate::world::{World, both, possible};

const JAILS: &str =
    "[sshd]\nenabled = false\n[j]\nenabled = true\nfilter =\nfailregex = x <HOST>\nlogpath = @/log\naction =\n";

/// Options of a file; each file gets a ban.
const OPTIONS: &[&str] = &[
    "",
    "[padding=off]",
    "[datetime=off]",
    "[datetime=off, padding=off]",
    "[datetime=on, padding=on]",
    "[format=\"%(message)s\"]",
    "[format=\"%(asctime)s|%(name)30s|%(levelname)-9s|%(levelno)d|%(process)d|%(message).12s|%%\"]",
    "[format='%(levelname)s %(name).8s: %(message)s', padding=off]",
    "[unknown=1]",
];

fn configured(world: &mut World) {
    world.write("log", "");
    world.write("etc/jail.local", JAILS);
}

/// A text without what differs from run to run.
fn masked(world: &World, text: &str) -> Vec<String> {
    let pid = world.read("pid").trim().to_owned();
    let mask = |line: &str| {
        let line = line.replace(&pid, "PID");
        // The date with its fraction, wherever it stands.
        let date = line
            .find("20")
            .filter(|place| line.as_bytes().get(place + 19) == Some(&b','));
        let line = match date.and_then(|place| Some((line.get(..place)?, line.get(place + 23..)?))) {
            Some((before, after)) => format!("{before}DATE{after}"),
            None => line,
        };
        let folder = world.path("").display().to_string();
        let line = line.replace(folder.trim_end_matches('/'), "@");
        match line.split_once(" v1.") {
            Some((before, _)) => before.to_owned(),
            None => line,
        }
    };
    text.lines().map(mask).collect()
}

#[test]
fn log_targets_get_the_lines_that_fail2ban_writes() {
    if !possible(&[]) {
        return;
    }
    let (ours, theirs) = both("targets", true, |world| {
        configured(world);
        world.start();
        world.wait("fail2ban.log", "Added logfile");
        let mut seen = Vec::new();
        for (number, options) in OPTIONS.iter().enumerate() {
            let target = format!("{}{options}", world.path(&format!("t{number}.log")).display());
            let answer = world.client(&["set", "logtarget", &target]);
            world.ask(&format!("set j banip 192.0.2.{number}"));
            seen.push((
                *options,
                answer.code,
                answer.said.clone(),
                masked(world, &world.read(&format!("t{number}.log"))),
            ));
        }
        // A rotation: what is written after it stands in the new file.
        world.ask("set logtarget @/fail2ban.log");
        std::fs::rename(world.path("fail2ban.log"), world.path("fail2ban.log.1")).unwrap();
        world.ask("set j banip 192.0.2.101");
        let said = world.ask("flushlogs");
        world.ask("set j banip 192.0.2.102");
        let new = masked(world, &world.read("fail2ban.log"));
        let old = masked(world, &world.read("fail2ban.log.1"));
        seen.push((
            "rotated",
            None,
            said,
            old.last().cloned().into_iter().chain(new).collect(),
        ));
        world.stop();
        seen
    });
    println!("targets: {} files compared", theirs.len());
    assert_eq!(ours, theirs);
}

#[test]
fn syslog_and_the_journal_get_the_datagrams_that_fail2ban_sends() {
    if !possible(&["mount"]) {
        return;
    }
    let (ours, theirs) = both("datagrams", true, |world| {
        configured(world);
        std::fs::create_dir(world.path("run")).unwrap();
        let listen = |name: &str| {
            let socket = UnixDatagram::bind(world.path(name)).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        };
        let (syslog, journal) = (listen("slog"), listen("run/socket"));
        let heard = |socket: &UnixDatagram| {
            let mut bytes = vec![0; 65536];
            let mut datagrams = Vec::new();
            while let Ok(length) = socket.recv(&mut bytes) {
                datagrams.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
            }
            datagrams
        };
        world.start_with_journal("run");
        world.wait("fail2ban.log", "Added logfile");
        world.ask("set syslogsocket @/slog");
        let mut seen = Vec::new();
        for (number, options) in ["", "[facility=auth]", "[facility=local5, padding=on]", "[datetime=on]"]
            .iter()
            .enumerate()
        {
            world.ask(&format!("set logtarget SYSLOG{}", options.replace(", ", ",")));
            world.ask(&format!("set j banip 192.0.2.{number}"));
            world.client(&["get", "nope", "maxretry"]);
            seen.extend(heard(&syslog).iter().map(|datagram| masked(world, datagram)));
            world.ask("set logtarget @/fail2ban.log");
        }
        world.ask("set logtarget SYSTEMD-JOURNAL");
        world.ask("set j banip 192.0.2.50");
        world.client(&["get", "nope", "maxretry"]);
        for datagram in heard(&journal) {
            const KEPT: [&str; 5] = [
                "MESSAGE=",
                "PRIORITY=",
                "LOGGER=",
                "PROCESS_NAME=",
                "SYSLOG_IDENTIFIER=",
            ];
            let lines = masked(world, &datagram);
            let kept = |line: &&String| KEPT.iter().any(|start| line.starts_with(start));
            let mut fields: Vec<String> = lines.iter().filter(kept).cloned().collect();
            fields.sort();
            seen.push(fields);
        }
        world.ask("set logtarget @/fail2ban.log");
        world.stop();
        seen
    });
    println!("datagrams: {} compared", theirs.len());
    assert!(theirs.len() > 15, "{theirs:?}");
    assert_eq!(ours, theirs);
}
