//! Made-up logs: the lines a service writes, of which a given part are failures. The same arguments give the same bytes.
//!
//! Addresses are those kept for documentation and benchmarks. The mix of lines is that of a machine on the internet.

use std::fmt::Write;

/// The last second of every log: 2026-11-22 13:40:04 UTC.
pub const END: i64 = 1_795_354_804;
/// Seconds from the first to the last line.
const SPAN: i64 = 6 * 3600;

/// The log of one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Sshd,
    Asterisk,
    NginxAccess,
    NginxError,
    Postfix,
}

impl Service {
    /// The filter that reads the log.
    pub fn filter(self) -> &'static str {
        match self {
            Self::Sshd => "sshd",
            Self::Asterisk => "asterisk",
            Self::NginxAccess => "nginx-botsearch",
            Self::NginxError => "nginx-http-auth",
            Self::Postfix => "postfix",
        }
    }
}

/// A log of so many lines, of which `percent` in a hundred are failures.
pub fn log(service: Service, lines: usize, percent: u64) -> Vec<u8> {
    let mut draw = Draw(0x9e37_79b9_7f4a_7c15 ^ percent);
    let mut out = String::new();
    for line in 0..lines {
        let second = END - SPAN + SPAN * i64::try_from(line).unwrap_or(0) / i64::try_from(lines).unwrap_or(1);
        let time = stamp(service, second);
        if draw.below(100) < percent {
            failure(service, &time, &mut draw, &mut out);
        } else {
            noise(service, &time, &mut draw, &mut out);
        }
        out.push('\n');
    }
    out.into_bytes()
}

/// Numbers that look random: xorshift.
pub struct Draw(pub u64);

impl Draw {
    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.number() % limit
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[usize::try_from(self.below(list.len() as u64)).unwrap_or(0)]
    }

    fn attacker(&mut self) -> String {
        let number = self.below(500) * 261;
        format!("198.18.{}.{}", number >> 8 & 255, number & 255)
    }

    fn guest(&mut self) -> String {
        if self.below(3) == 0 {
            self.attacker()
        } else {
            format!("192.0.2.{}", self.below(254) + 1)
        }
    }
}

const GUESSED: [&str; 8] = ["admin", "test", "oracle", "ubuntu", "postgres", "git", "pi", "support"];
const OWN: [&str; 5] = ["alice", "bob", "carol", "dave", "backup"];
const AGENTS: [&str; 3] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "curl/8.5.0",
    "python-requests/2.31.0",
];

fn stamp(service: Service, second: i64) -> String {
    // All on one day.
    let clock = second.rem_euclid(86_400);
    let clock = format!("{:02}:{:02}:{:02}", clock / 3600, clock / 60 % 60, clock % 60);
    match service {
        Service::Sshd | Service::Postfix | Service::Asterisk => format!("Nov 22 {clock}"),
        Service::NginxAccess => format!("22/Nov/2026:{clock} +0000"),
        Service::NginxError => format!("2026/11/22 {clock}"),
    }
}

fn failure(service: Service, time: &str, draw: &mut Draw, out: &mut String) {
    let (who, port, user) = (draw.attacker(), draw.below(60_000) + 1024, draw.of(&GUESSED));
    let (pid, which) = (draw.below(60_000), draw.below(10));
    let written = match (service, which) {
        (Service::Sshd, 0..5) => write!(
            out,
            "{time} srv01 sshd[{pid}]: Failed password for root from {who} port {port} ssh2"
        ),
        (Service::Sshd, 5..8) => write!(
            out,
            "{time} srv01 sshd[{pid}]: Failed password for invalid user {user} from {who} port {port} ssh2"
        ),
        (Service::Sshd, _) => write!(
            out,
            "{time} srv01 sshd[{pid}]: Invalid user {user} from {who} port {port}"
        ),
        (Service::Asterisk, 0..4) => write!(
            out,
            "[{time}] NOTICE[1523] chan_sip.c: Registration from '\"{pid}\" <sip:{pid}@203.0.113.9>' failed for '{who}:{port}' - Wrong password"
        ),
        (Service::Asterisk, 4..8) => write!(
            out,
            "[{time}] NOTICE[1523] res_pjsip/pjsip_distributor.c: Request 'REGISTER' from '<sip:{pid}@203.0.113.9>' failed for '{who}:{port}' (callid: {:024x}) - No matching endpoint found",
            draw.number()
        ),
        (Service::Asterisk, _) => write!(
            out,
            "[{time}] SECURITY[1534] res_security_log.c: SecurityEvent=\"InvalidPassword\",EventTV=\"2026-11-22T13:40:04.123+0000\",Severity=\"Error\",Service=\"PJSIP\",EventVersion=\"2\",AccountID=\"{pid}\",SessionID=\"{:016x}\",LocalAddress=\"IPV4/UDP/203.0.113.9/5060\",RemoteAddress=\"IPV4/UDP/{who}/{port}\",Challenge=\"\",ReceivedChallenge=\"\",ReceivedHash=\"\"",
            draw.number()
        ),
        (Service::NginxAccess, _) => write!(
            out,
            "{who} - - [{time}] \"GET /{} HTTP/1.1\" 404 {} \"-\" \"{}\"",
            draw.of(&["phpmyadmin/index.php", "wp-login.php", "roundcube/", "cgi-bin/test.cgi"]),
            draw.below(400) + 150,
            draw.of(&AGENTS)
        ),
        (Service::NginxError, _) => write!(
            out,
            "{time} [error] 1187#1187: *{pid} user \"{user}\": password mismatch, client: {who}, server: www.example.org, request: \"GET /admin/ HTTP/1.1\", host: \"www.example.org\""
        ),
        (Service::Postfix, 0..5) => write!(
            out,
            "{time} mx1 postfix/smtpd[{pid}]: NOQUEUE: reject: RCPT from unknown[{who}]: 554 5.7.1 <x{port}@example.com>: Relay access denied; from=<{user}@example.net> to=<info@example.org> proto=ESMTP helo=<h{port}.example.net>"
        ),
        (Service::Postfix, _) => write!(
            out,
            "{time} mx1 postfix/smtpd[{pid}]: NOQUEUE: reject: RCPT from unknown[{who}]: 450 4.7.1 <h{port}.example.net>: Helo command rejected: Host not found; from=<{user}@example.net> to=<info@example.org> proto=ESMTP helo=<h{port}.example.net>"
        ),
    };
    written.expect("a string takes everything");
}

fn noise(service: Service, time: &str, draw: &mut Draw, out: &mut String) {
    let (who, port, user, pid, which) = (
        draw.guest(),
        draw.below(60_000) + 1024,
        draw.of(&OWN),
        draw.below(60_000),
        draw.below(100),
    );
    let random = draw.number();
    let written = match (service, which) {
        (Service::Sshd, 0..14) => write!(
            out,
            "{time} srv01 sshd[{pid}]: Accepted publickey for {user} from {who} port {port} ssh2: ED25519 SHA256:{random:032x}"
        ),
        (Service::Sshd, 14..28) => write!(
            out,
            "{time} srv01 sshd[{pid}]: pam_unix(sshd:session): session opened for user {user}(uid=1000) by (uid=0)"
        ),
        (Service::Sshd, 28..40) => write!(
            out,
            "{time} srv01 sshd[{pid}]: pam_unix(sshd:session): session closed for user {user}"
        ),
        (Service::Sshd, 40..48) => write!(
            out,
            "{time} srv01 sshd[{pid}]: Received disconnect from {who} port {port}:11: disconnected by user"
        ),
        (Service::Sshd, 48..56) => write!(
            out,
            "{time} srv01 sshd[{pid}]: Disconnected from user {user} {who} port {port}"
        ),
        (Service::Sshd, 56..64) => write!(
            out,
            "{time} srv01 sshd[{pid}]: Connection closed by authenticating user root {who} port {port} [preauth]"
        ),
        (Service::Sshd, 64..70) => write!(
            out,
            "{time} srv01 sshd[{pid}]: Disconnected from invalid user {} {who} port {port} [preauth]",
            draw.of(&GUESSED)
        ),
        (Service::Sshd, 70..76) => write!(out, "{time} srv01 sshd[{pid}]: Connection closed by {who} port {port}"),
        (Service::Sshd, 76..84) => write!(
            out,
            "{time} srv01 CRON[{pid}]: pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)"
        ),
        (Service::Sshd, 84..95) => write!(
            out,
            "{time} srv01 systemd-logind[612]: New session {pid} of user {user}."
        ),
        (Service::Sshd, _) => write!(
            out,
            "{time} srv01 sudo:    {user} : TTY=pts/0 ; PWD=/home/{user} ; USER=root ; COMMAND=/usr/bin/apt update"
        ),
        (Service::Asterisk, 0..35) => write!(
            out,
            "[{time}] VERBOSE[{pid}][C-{port:08x}] pbx.c: Executing [{}@from-internal:{}] {}(\"PJSIP/{}-{:08x}\", \"CALLERID(name)=Front Desk\") in new stack",
            port % 100,
            pid % 30,
            draw.of(&["NoOp", "Set", "GotoIf", "Macro", "Dial"]),
            port % 100,
            random >> 32
        ),
        (Service::Asterisk, 35..50) => write!(
            out,
            "[{time}] VERBOSE[{pid}][C-{port:08x}] app_dial.c: PJSIP/{} answered PJSIP/{}",
            port % 100,
            pid % 100
        ),
        (Service::Asterisk, 50..60) => write!(
            out,
            "[{time}] VERBOSE[1523] chan_sip.c: Reliably Transmitting (NAT) to {who}:5060: OPTIONS sip:{}@{who} SIP/2.0",
            port % 100
        ),
        (Service::Asterisk, 60..84) => write!(
            out,
            "[{time}] SECURITY[1534] res_security_log.c: SecurityEvent=\"{}\",EventTV=\"2026-11-22T13:40:04.123+0000\",Severity=\"Informational\",Service=\"PJSIP\",EventVersion=\"1\",AccountID=\"{port}\",SessionID=\"{random:016x}\",LocalAddress=\"IPV4/UDP/203.0.113.9/5060\",RemoteAddress=\"IPV4/UDP/{who}/5060\"",
            draw.of(&["ChallengeSent", "SuccessfulAuth"])
        ),
        (Service::Asterisk, 84..92) => write!(
            out,
            "[{time}] NOTICE[1523] chan_sip.c: Peer '{}' is now Reachable. ({}ms / 2000ms)",
            port % 100,
            pid % 90
        ),
        (Service::Asterisk, _) => write!(
            out,
            "[{time}] WARNING[{pid}][C-{port:08x}] func_odbc.c: No such query 'LOOKUP_{}'",
            port % 100
        ),
        (Service::NginxAccess, _) => write!(
            out,
            "{who} - {} [{time}] \"{} /{} HTTP/{}\" {} {port} \"https://www.example.org/\" \"{}\"",
            draw.of(&["-", "-", "-", "alice"]),
            draw.of(&["GET", "GET", "POST", "HEAD"]),
            draw.of(&[
                "",
                "index.html",
                "img/4711.png",
                "api/v1/items?id=4711",
                "css/site.css",
                "favicon.ico"
            ]),
            draw.of(&["1.1", "2.0"]),
            draw.of(&["200", "200", "200", "200", "301", "304", "404", "500"]),
            draw.of(&AGENTS)
        ),
        (Service::NginxError, 0..60) => write!(
            out,
            "{time} [error] 1187#1187: *{pid} open() \"/var/www/html/{random}.png\" failed (2: No such file or directory), client: {who}, server: www.example.org, request: \"GET /img/{random}.png HTTP/1.1\", host: \"www.example.org\""
        ),
        (Service::NginxError, 60..80) => write!(
            out,
            "{time} [warn] 1187#1187: *{pid} an upstream response is buffered to a temporary file /var/lib/nginx/proxy/1/00/{random:010} while reading upstream, client: {who}, server: www.example.org, request: \"GET /api/report HTTP/1.1\", upstream: \"http://127.0.0.1:8000/api/report\", host: \"www.example.org\""
        ),
        (Service::NginxError, _) => write!(
            out,
            "{time} [error] 1187#1187: *{pid} upstream timed out (110: Connection timed out) while reading response header from upstream, client: {who}, server: www.example.org, request: \"POST /api/v1/job HTTP/1.1\", upstream: \"http://127.0.0.1:8000/api/v1/job\", host: \"www.example.org\""
        ),
        (Service::Postfix, 0..20) => write!(
            out,
            "{time} mx1 postfix/smtpd[{pid}]: connect from mail{}.example.com[{who}]",
            port % 99
        ),
        (Service::Postfix, 20..38) => write!(
            out,
            "{time} mx1 postfix/smtpd[{pid}]: disconnect from mail{}.example.com[{who}] ehlo=2 starttls=1 mail=1 rcpt=1 data=1 quit=1 commands=7",
            port % 99
        ),
        (Service::Postfix, 38..50) => write!(
            out,
            "{time} mx1 postfix/smtpd[{pid}]: {random:010X}: client=mail{}.example.com[{who}]",
            port % 99
        ),
        (Service::Postfix, 50..65) => write!(
            out,
            "{time} mx1 postfix/cleanup[{pid}]: {random:010X}: message-id=<{random:032x}@example.com>"
        ),
        (Service::Postfix, 65..80) => write!(
            out,
            "{time} mx1 postfix/qmgr[911]: {random:010X}: from=<bob@example.com>, size={port}, nrcpt=1 (queue active)"
        ),
        (Service::Postfix, 80..95) => write!(
            out,
            "{time} mx1 postfix/lmtp[{pid}]: {random:010X}: to=<alice@example.org>, relay=127.0.0.1[127.0.0.1]:24, delay=0.{}, delays=0.1/0/0/0.1, dsn=2.0.0, status=sent (250 2.0.0 Saved)",
            port % 99
        ),
        (Service::Postfix, _) => write!(
            out,
            "{time} mx1 postfix/anvil[{pid}]: statistics: max connection rate 1/60s for (smtp:{who}) at {time}"
        ),
    };
    written.expect("a string takes everything");
}
