//! The built-in actions that speak HTTP, with the real curl and a server of the test: what arrives is what happened, whatever the log says,
//! and keys are seen by nobody.

#![expect(clippy::unwrap_used, reason = "test code")]

mod common;

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use common::configured::{actions, properties};
use common::private::{Machine, on_a_machine};
use common::{ban, texts, with};
use stockade_action::{Action, ActionError, Context};
use stockade_core::effect::Ban;
use stockade_core::{JailName, LineText};
use testkit::requires;

const NEEDS: [&str; 3] = ["curl", "iconv", "/usr/bin/python3"];

/// Nobody but the service may see it.
const KEY: &str = "k3y-Of-$HOME-'\"\\-end";

/// What came.
#[derive(Clone, Debug, Default)]
struct Request {
    method: String,
    path: String,
    /// In small letters, one per line, in order.
    headers: String,
    body: Vec<u8>,
}

/// A web service that gives these answers, the last one again and again; without any it says nothing at all.
struct Service {
    url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Service {
    fn new(answers: &[(u16, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (kept, answers) = (
            Arc::clone(&requests),
            answers
                .iter()
                .map(|(code, text)| (*code, (*text).to_owned()))
                .collect::<Vec<_>>(),
        );
        std::thread::spawn(move || {
            let mut left = answers.iter();
            let mut answer = None;
            for stream in listener.incoming().flatten() {
                answer = left.next().or(answer);
                let mut reader = BufReader::new(stream);
                let Some(request) = read(&mut reader) else { continue };
                kept.lock().unwrap().push(request);
                match answer {
                    Some((code, text)) => {
                        let head = format!(
                            "HTTP/1.1 {code} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                            text.len()
                        );
                        let _ = reader.get_mut().write_all((head + text).as_bytes());
                    }
                    None => std::mem::forget(reader),
                }
            }
        });
        Self { url, requests }
    }

    /// What came since the last time.
    fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }
}

fn read(reader: &mut BufReader<std::net::TcpStream>) -> Option<Request> {
    let mut request = Request::default();
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    words.next()?.clone_into(&mut request.method);
    words.next()?.clone_into(&mut request.path);
    let (mut headers, mut length) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        let name = name.to_lowercase();
        match name.as_str() {
            "content-length" => length = value.parse().unwrap(),
            "expect" => drop(reader.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")),
            "host" => {}
            _ => headers.push(format!("{name}: {value}\n")),
        }
    }
    headers.sort();
    request.headers = headers.concat();
    request.body = vec![0; length];
    reader.read_exact(&mut request.body).ok()?;
    Some(request)
}

/// What CPython makes of a body: with `json`, of an object, its members in order; with `form`, the same of a form.
fn parsed(kind: &str, body: &[u8]) -> Vec<(String, String)> {
    let script = "import sys, json, urllib.parse\n\
        text = sys.stdin.buffer.read().decode('utf-8')\n\
        def flat(name, value):\n\
        \x20   if isinstance(value, dict):\n\
        \x20       return [pair for key in value for pair in flat(name + '/' + key, value[key])]\n\
        \x20   return [(name, str(value))]\n\
        pairs = flat('', json.loads(text)) if sys.argv[1] == 'json' else urllib.parse.parse_qsl(text, True, True)\n\
        sys.stdout.buffer.write('\\0'.join(part for pair in pairs for part in pair).encode('utf-8'))\n";
    let mut child = Command::new("/usr/bin/python3")
        .args(["-c", script, kind])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(body).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(body));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut parts = text.split('\0').map(ToOwned::to_owned);
    let mut pairs = Vec::new();
    while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
        pairs.push((name, value));
    }
    pairs
}

fn member<'a>(parsed: &'a [(String, String)], name: &str) -> &'a str {
    parsed
        .iter()
        .find(|(known, _)| known == name)
        .map_or("(nothing)", |(_, value)| value)
}

fn ban_for(id: &str, lines: &[&str]) -> Ban {
    let mut ban = ban(id);
    ban.matches = lines
        .iter()
        .map(|line| LineText {
            text: (*line).into(),
            date: 0..0,
        })
        .collect();
    ban
}

/// The first action of a line, with secrets that the configuration's grammar could not carry.
fn action(line: &str, secrets: &[(&str, &str)]) -> Action {
    let (name, mut all) = properties(line, false).remove(0);
    for (option, value) in secrets {
        all.retain(|(known, _)| known != option);
        all.push(((*option).to_owned(), (*value).to_owned()));
    }
    let action = Action::new(&JailName::new("j").unwrap(), &name, &all).unwrap();
    assert!(action.warnings().is_empty(), "{line}: {:?}", action.warnings());
    action
}

/// Bans, and gives what was reported if that failed.
fn try_ban(action: &mut Action, ban: &Ban) -> Result<(), String> {
    let (outcome, reports) = with(|context| action.ban(ban, context));
    outcome.map_err(|_| texts(&reports))
}

/// Log lines of people who know that somebody makes JSON, headers or commands of them.
const HOSTILE: &[&str] = &[
    "plain",
    "",
    "\"",
    "\\",
    "\\\"",
    "\\\\\"}",
    "\",\"event\":\"unban\",\"x\":\"",
    "\"}]}\n{\"a\":1}",
    "a\tb\nc\n\nd\n",
    "\n\n",
    "$(touch CANARY) `touch CANARY` ; touch CANARY",
    "'; touch CANARY; '",
    "\\u0000 \\n \\x41 %s %n %41 &ip=192.0.2.99&categories=1",
    "-K /etc/passwd",
    "@/etc/passwd",
    "comment=@/etc/passwd",
    "\nurl = \"http://127.0.0.1:1/\"\n",
    "# no comment",
    "<ip> <matches> <F-USER> ${f2bV_url} $url $key",
    "\u{e9}\u{263a}\u{65e5}\u{672c}\u{1f600}\u{2028}\u{feff}",
    "\r\nX-Injected: yes\r\n\r\n",
    "\u{1b}[31m\u{7f}\u{0}\u{85}",
];

/// As a command gets it: control characters are shown, line ends and tabs are kept.
fn as_given(lines: &[&str]) -> String {
    let first = usize::from(lines.first().is_some_and(|line| line.is_empty()));
    let lines: Vec<&str> = lines.iter().skip(first).copied().collect();
    let joined = lines.join("\n").replace('\0', "");
    let shown = |c: char| {
        if c.is_control() && c != '\n' && c != '\t' {
            '?'
        } else {
            c
        }
    };
    joined.chars().map(shown).collect()
}

#[test]
fn a_webhook_gets_json_that_says_what_happened_whatever_the_log_says() {
    if !requires(&NEEDS) {
        return;
    }
    let service = Service::new(&[(204, "")]);
    let url = format!("{}/hook/{{x}}?a=b&c=%20", service.url);
    let mut hook = action("webhook[name=sshd]", &[("url", &url), ("token", "")]);
    let ids = ["192.0.2.7", "2001:db8::7", "192.0.2.64/26"];
    for (line, id) in HOSTILE.iter().zip(ids.iter().cycle()) {
        let lines = [*line, "the last"];
        try_ban(&mut hook, &ban_for(id, &lines)).unwrap();
        let request = service.requests().remove(0);
        assert_eq!(
            (request.method.as_str(), request.path.as_str()),
            ("POST", "/hook/{x}?a=b&c=%20")
        );
        assert!(
            request.headers.contains("content-type: application/json\n") && !request.headers.contains("authorization"),
            "{request:?}"
        );
        let members = parsed("json", &request.body);
        let names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "/text",
                "/event",
                "/jail",
                "/ip",
                "/failures",
                "/bantime",
                "/time",
                "/host",
                "/matches"
            ]
        );
        for (name, expected) in [
            (
                "/text",
                format!("[Fail2Ban] sshd: banned {id} after 3 failures").as_str(),
            ),
            ("/event", "ban"),
            ("/jail", "sshd"),
            ("/ip", *id),
            ("/failures", "3"),
            ("/bantime", "600"),
            ("/time", "1795364400.0"),
            ("/matches", &as_given(&lines)),
        ] {
            assert_eq!(member(&members, name), expected, "{line:?}");
        }
    }
    // Ids that are no addresses; text longer than is sent, cut between characters and not within.
    for (id, lines) in [
        ("\"\\$(touch CANARY)'\n", vec!["x"]),
        ("192.0.2.7", vec!["\u{65e5}"; 9000]),
        ("192.0.2.7", vec!["\"\\\u{263a}\"\\"; 9000]),
    ] {
        try_ban(&mut hook, &ban_for(id, &lines)).unwrap();
        let members = parsed("json", &service.requests().remove(0).body);
        assert_eq!(member(&members, "/ip"), as_given(&[id]).replace('\n', "?"));
        let sent = member(&members, "/matches");
        assert!(
            as_given(&lines).starts_with(sent) && (sent.len() > 9990 || sent == "x") && sent.len() <= 10_000,
            "{}",
            sent.len()
        );
    }
    // What a restart brings back has been told.
    let mut restored = ban("192.0.2.7");
    restored.restored = true;
    try_ban(&mut hook, &restored).unwrap();
    assert!(service.requests().is_empty());
    assert!(!std::path::Path::new("CANARY").exists());
}

#[test]
fn a_webhook_may_have_a_token_and_a_body_of_its_own() {
    if !requires(&NEEDS) {
        return;
    }
    let service = Service::new(&[(200, "ok")]);
    let directory = testkit::TempDir::new("webhook");
    directory.write(
        "action.d/webhook.local",
        "[Definition]\n_body = \"{\\\"content\\\":$(json \"<text> by <F-USER>\")}\"\n",
    );
    directory.write("filter.d/f.conf", "[Definition]\nfailregex = ^x <HOST>$\n");
    let log = directory.write("log", "");
    directory.write(
        "jail.local",
        format!(
            "[j]\nenabled = true\nfilter = f\nlogpath = {}\naction = webhook[url=\"{}/\", token=\"a b\"]\n",
            log.display(),
            service.url
        ),
    );
    let mut hook = common::configured::of_directory(&directory).remove(0);
    let mut attack = ban("192.0.2.7");
    attack.fields.set("user", "\",\"x\":\"\\");
    try_ban(&mut hook, &attack).unwrap();
    let request = service.requests().remove(0);
    assert!(request.headers.contains("authorization: Bearer a b\n"), "{request:?}");
    assert_eq!(
        parsed("json", &request.body),
        [(
            "/content".to_owned(),
            "[Fail2Ban] j: banned 192.0.2.7 after 3 failures by \",\"x\":\"\\".to_owned()
        )]
    );
}

#[test]
fn abuseipdb_and_blocklist_de_get_what_the_package_sends_them() {
    on_a_machine(&[&NEEDS[..], &["fail2ban-client"]].concat(), |machine| {
        let service = Service::new(&[(200, "{}")]);
        // Their address cannot be set: whoever asks for it gets to us.
        machine.program(
            "curl",
            &format!(
                "for a in \"$@\"; do shift; case $a in https://*) a={}/${{a#https://*/}};; esac; set -- \"$@\" \"$a\"; done; exec /usr/bin/curl \"$@\"",
                service.url
            ),
        );
        for (line, option, path) in [
            (
                "abuseipdb[abuseipdb_apikey=\"KEY\", abuseipdb_category=\"18,22\"]",
                "abuseipdb_url",
                "api/v2/report",
            ),
            (
                "blocklist_de[email=\"a@example.org\", service=\"j\", apikey=\"KEY\", agent=\"A/1\"]",
                "blocklist_de_url",
                "en/httpreports.html",
            ),
        ] {
            let url = format!("{}/{path}", service.url);
            let our_line = line.replace(']', &format!(", {option}=\"{url}\"]"));
            let texts = HOSTILE.iter().filter(|text| !text.contains('\0'));
            for (text, id) in texts.zip(["192.0.2.7", "2001:db8::7"].iter().cycle()) {
                let attack = ban_for(id, &[text, "the last"]);
                try_ban(&mut actions(line, true).remove(0), &attack).unwrap();
                let theirs = service.requests().remove(0);
                try_ban(&mut action(&our_line, &[]), &attack).unwrap();
                let ours = service.requests().remove(0);
                assert_eq!((&ours.method, &ours.path), (&theirs.method, &theirs.path));
                let named = |request: &Request| {
                    let headers = request
                        .headers
                        .lines()
                        .filter(|line| !line.starts_with("user-agent: curl/"));
                    headers
                        .filter(|line| *line != "user-agent: Fail2Ban")
                        .collect::<Vec<_>>()
                        .join("\n")
                };
                assert_eq!(named(&ours), named(&theirs));
                let sorted = |request: &Request| {
                    let mut members = parsed("form", &request.body);
                    members.retain(|(name, _)| name != "comment" && name != "logs");
                    members.sort();
                    members
                };
                assert_eq!(sorted(&ours), sorted(&theirs), "{text:?}");
                // Theirs begins with a line end and is cut by characters where it is long.
                let told = |request: &Request| {
                    let members = parsed("form", &request.body);
                    let found = members
                        .into_iter()
                        .find(|(name, _)| name == "comment" || name == "logs");
                    found.unwrap().1
                };
                assert_eq!(told(&ours), as_given(&[text, "the last"]), "{text:?}");
            }
            // A comment is cut to what the service takes.
            try_ban(
                &mut action(&our_line, &[]),
                &ban_for("192.0.2.7", &vec!["\u{65e5}"; 9000]),
            )
            .unwrap();
            let members = parsed("form", &service.requests().remove(0).body);
            assert!(members.iter().all(|(_, value)| value.len() <= 10_000), "{line}");
            assert!(option != "abuseipdb_url" || member(&members, "comment").len() <= 1024);
        }
    });
}

const RULE: &str = r#"{"id":"0123456789abcdef0123456789abcdef","paused":false,"allowed_modes":["block"],"mode":"block","notes":"Fail2Ban j","scope":{"id":"ffffffffffffffffffffffffffffffff","email":"a@example.org","type":"user"},"configuration":{"target":"ip","value":"192.0.2.7"}}"#;

fn answer(rules: &[&str]) -> String {
    format!(
        "{{\"result\":[{}],\"success\":true,\"errors\":[],\"messages\":[]}}",
        rules.join(",")
    )
}

#[test]
fn cloudflare_gets_rules_as_the_package_makes_them_and_loses_only_ours() {
    on_a_machine(&[&NEEDS[..], &["fail2ban-client"]].concat(), |machine| {
        let service = Service::new(&[(200, &answer(&[]))]);
        machine.program(
            "curl",
            &format!(
                "for a in \"$@\"; do shift; case $a in https://*) a={}/${{a#https://*/}};; esac; set -- \"$@\" \"$a\"; done; exec /usr/bin/curl \"$@\"",
                service.url
            ),
        );
        let cfurl = format!("{}/client/v4", service.url);
        for line in [
            "cloudflare[cfuser=\"a@example.org\", cftoken=\"KEY\"]",
            "cloudflare-token[cfzone=ZONE, cftoken=\"KEY\", cfmode=challenge, notes=\"of <name>\"]",
        ] {
            for id in ["192.0.2.7", "2001:db8::7"] {
                try_ban(&mut actions(line, true).remove(0), &ban(id)).unwrap();
                let theirs = service.requests().remove(0);
                let our_line = line.replace(']', &format!(", cfurl=\"{cfurl}\"]"));
                try_ban(&mut action(&our_line, &[]), &ban(id)).unwrap();
                let ours = service.requests().remove(0);
                assert_eq!((&ours.method, &ours.path), (&theirs.method, &theirs.path));
                assert_eq!(parsed("json", &ours.body), parsed("json", &theirs.body));
                let headers = |request: &Request| {
                    let headers = request.headers.lines().filter(|line| !line.starts_with("user-agent"));
                    headers.collect::<Vec<_>>().join("\n")
                };
                assert_eq!(headers(&ours), headers(&theirs));
            }
        }
        unbans();
    });
}

/// How bans end at Cloudflare, by what it says.
fn unbans() {
    let other = RULE.replace("192.0.2.7", "192.0.2.99").replace("0123", "4567");
    let spaced = RULE.replace("\":", "\" : ").replace(',', ",\n  ");
    let six = RULE
        .replace("192.0.2.7", "2001:0db8:0000:0000:0000:0000:0000:0007")
        .replace("\"ip\"", "\"ip6\"");
    let foreign = RULE.replace("Fail2Ban j", "my own");
    for (what, id, answers, is_deleted, problem) in [
        ("ours", "192.0.2.7", vec![(200, answer(&[RULE]))], true, ""),
        ("in many lines", "192.0.2.7", vec![(200, answer(&[&spaced]))], true, ""),
        (
            "IPv6, as they may write it",
            "2001:db8::7",
            vec![(200, answer(&[&six]))],
            true,
            "",
        ),
        ("none", "192.0.2.7", vec![(200, answer(&[]))], false, ""),
        (
            "two",
            "192.0.2.7",
            vec![(200, answer(&[RULE, &other]))],
            false,
            "not the rule made here",
        ),
        (
            "of another",
            "192.0.2.7",
            vec![(200, answer(&[&other]))],
            false,
            "not the rule made here",
        ),
        (
            "an administrator's",
            "192.0.2.7",
            vec![(200, answer(&[&foreign]))],
            false,
            "not the rule made here",
        ),
        (
            "no access",
            "192.0.2.7",
            vec![(403, "{\"errors\":[\"no\"]}".to_owned())],
            false,
            "code 403",
        ),
    ] {
        let answers: Vec<(u16, &str)> = answers.iter().map(|(code, text)| (*code, text.as_str())).collect();
        let mut all = vec![(200, "{}")];
        all.extend(&answers);
        if is_deleted {
            all.push((200, "{}"));
        }
        let service = Service::new(&all);
        let line = format!("cloudflare[cfuser=\"a@example.org\", cfurl=\"{}\"]", service.url);
        let mut cloud = action(&line, &[("cftoken", KEY)]);
        try_ban(&mut cloud, &ban(id)).unwrap();
        let (outcome, reports) = with(|context| cloud.unban(&ban(id), context));
        assert_eq!(outcome.is_ok(), problem.is_empty(), "{what}: {}", texts(&reports));
        assert!(
            texts(&reports).contains(problem) && !texts(&reports).contains("k3y"),
            "{what}: {}",
            texts(&reports)
        );
        let requests = service.requests();
        let mut said = String::new();
        for request in &requests {
            assert!(request.headers.contains(&format!("x-auth-key: {KEY}\n")), "{request:?}");
            writeln!(said, "{} {}", request.method, request.path).unwrap();
        }
        let asked = "GET /user/firewall/access_rules/rules?mode=block&configuration.target=";
        assert!(said.contains(asked), "{what}: {said}");
        assert_eq!(
            said.contains("DELETE /user/firewall/access_rules/rules/0123456789abcdef0123456789abcdef\n"),
            is_deleted,
            "{what}: {said}"
        );
        assert_eq!(
            said.matches("DELETE").count(),
            usize::from(is_deleted),
            "{what}: {said}"
        );
    }
    let duplicate =
        r#"{"success":false,"errors":[{"code":10009,"message":"firewallaccessrules.api.duplicate_of_existing"}]}"#;
    let service = Service::new(&[(400, duplicate)]);
    let line = format!("cloudflare-token[cfzone=Z, cftoken=KEY, cfurl=\"{}\"]", service.url);
    let mut cloud = action(&line, &[]);
    try_ban(&mut cloud, &ban("192.0.2.64/26")).unwrap();
    let request = service.requests().remove(0);
    assert_eq!(
        member(&parsed("json", &request.body), "/configuration/target"),
        "ip_range"
    );
    assert!(request.headers.contains("authorization: Bearer KEY\n"), "{request:?}");
}

/// The actions, with a key and an address of the test.
fn all(url: &str, limit: &str) -> Vec<(&'static str, Action)> {
    let whole = format!("{url}/{KEY}");
    let built = |line: &str, secrets: &[(&str, &str)]| {
        action(
            &line.replace("URL", &format!("\"{url}\", http_timeout={limit}")),
            secrets,
        )
    };
    vec![
        (
            "webhook",
            built("webhook[name=URL]", &[("url", &whole), ("token", KEY)]),
        ),
        (
            "abuseipdb",
            built("abuseipdb[abuseipdb_url=URL]", &[("abuseipdb_apikey", KEY)]),
        ),
        (
            "blocklist_de",
            built("blocklist_de[blocklist_de_url=URL]", &[("apikey", KEY)]),
        ),
        ("cloudflare", built("cloudflare[cfurl=URL]", &[("cftoken", KEY)])),
        (
            "cloudflare-token",
            built("cloudflare-token[cfurl=URL]", &[("cftoken", KEY)]),
        ),
    ]
}

#[test]
fn failures_are_told_with_what_the_service_says_and_without_the_key() {
    if !requires(&NEEDS) {
        return;
    }
    let refuses = Service::new(&[(429, "{\"detail\":\"once in 15 minutes only\"}")]);
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let silent = Service::new(&[]);
    for (url, limit, expected) in [
        (
            refuses.url.as_str(),
            "15",
            &["the answer has the code 429", "once in 15 minutes only"][..],
        ),
        (&closed, "15", &["the answer has the code 000", "Failed to connect"]),
        (
            &silent.url,
            "1",
            &["the answer has the code 000", "Operation timed out"],
        ),
        (
            "file:///etc/passwd",
            "15",
            &["the answer has the code 000", "not supported or disabled"],
        ),
    ] {
        for (name, mut action) in all(url, limit) {
            let problem = try_ban(&mut action, &ban_for("192.0.2.7", &["a line"])).unwrap_err();
            for expected in expected {
                assert!(problem.contains(expected), "{name} at {url}: {problem}");
            }
            assert!(
                !problem.contains("k3y") && !problem.contains("root:"),
                "{name}: {problem}"
            );
        }
    }
    for (line, mend) in [
        ("abuseipdb", "abuseipdb[abuseipdb_apikey="),
        ("blocklist_de", "blocklist_de_apikey ="),
        ("cloudflare", "set cftoken"),
        ("cloudflare-token", "set cftoken"),
        ("webhook", "url"),
    ] {
        let problem = try_ban(&mut actions(line, false).remove(0), &ban("192.0.2.7")).unwrap_err();
        assert!(problem.contains(mend), "{line}: {problem}");
    }
}

#[test]
fn keys_stand_on_no_command_line() {
    on_a_machine(&NEEDS, |machine: &Machine| {
        // Whatever runs while something is sent, as `ps` would show it.
        machine.program(
            "curl",
            &format!(
                "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' >>{}; exec /usr/bin/curl \"$@\"",
                machine.join("lines").display()
            ),
        );
        let service = Service::new(&[(200, &answer(&[RULE]))]);
        for (name, mut action) in all(&service.url, "15") {
            type Work = fn(&mut Action, &mut Context<'_>) -> Result<(), ActionError>;
            let works: [Work; 2] = [
                |action, context| action.ban(&ban("192.0.2.7"), context),
                |action, context| action.unban(&ban("192.0.2.7"), context),
            ];
            for work in works {
                let (outcome, reports) = with(|context| work(&mut action, context));
                assert!(outcome.is_ok(), "{name}: {}", texts(&reports));
            }
            let requests = service.requests();
            let seen = format!(
                "{requests:?} {:?}",
                requests
                    .iter()
                    .map(|request| String::from_utf8_lossy(&request.body).into_owned())
                    .collect::<Vec<_>>()
            );
            assert!(seen.contains("k3y"), "{name}: the key did not arrive: {seen}");
        }
        let lines = machine.read("lines");
        assert!(
            lines.contains("/bin/sh -c umask 077;") && lines.contains("f2bV_"),
            "{lines}"
        );
        assert!(!lines.contains("k3y"), "{lines}");
    });
}
