//! Handing a mail to a mail server: SMTP (RFC 5321) over TCP, as far as one mail needs it.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::Options;
use super::message::{address, base64, recipients};

/// A server that says more than this at a time is none.
const LONGEST_REPLY: usize = 16 * 1024;

/// Hands over a mail. Fails in words that say what the server did not do.
pub(crate) fn send(options: &Options, text: &str) -> Result<(), String> {
    let mut server = Server::connect(&options.host, Instant::now() + options.limit)?;
    server.expect("greeting", 220)?;
    let name = server.own_name();
    let features = match server.ask(&format!("EHLO {name}")) {
        Ok((250, features)) => features,
        Ok(_) => {
            server.command("HELO", &format!("HELO {name}"), 250)?;
            String::new()
        }
        Err(error) => return Err(error),
    };
    if let Some((user, password)) = &options.login {
        server.login(&features, user, password)?;
    }
    let from = address(&options.from).unwrap_or_default();
    server.command("MAIL", &format!("MAIL FROM:<{from}>"), 250)?;
    let mut accepted = 0;
    let mut refusal = String::new();
    // As with Python's library, one recipient who is taken is enough.
    for to in recipients(&options.to).into_iter().flatten() {
        match server.ask(&format!("RCPT TO:<{to}>"))? {
            (250 | 251, _) => accepted += 1,
            (code, text) => refusal = answer("RCPT", code, &text),
        }
    }
    if accepted == 0 {
        return Err(refusal);
    }
    server.command("DATA", "DATA", 354)?;
    server.write(&stuffed(text))?;
    server.expect("end of DATA", 250)?;
    // The mail is handed over, whatever comes now.
    let _ = server.write("QUIT\r\n");
    Ok(())
}

/// Lines ended as SMTP ends them, a point before those that begin with one, and the point that ends the mail.
fn stuffed(text: &str) -> String {
    let mut all = String::with_capacity(text.len() + text.len() / 32 + 8);
    for line in text.split('\n') {
        let line = line.trim_end_matches('\r');
        if line.starts_with('.') {
            all.push('.');
        }
        // What is no line end for us must be none for the server.
        all.extend(line.chars().filter(|c| !matches!(c, '\r' | '\0')));
        all.push_str("\r\n");
    }
    if text.ends_with('\n') {
        all.truncate(all.len().saturating_sub(2));
    }
    all.push_str(".\r\n");
    all
}

fn answer(to: &str, code: u16, text: &str) -> String {
    let text: String = text.chars().take(200).collect();
    format!("it answered {to} with {code} {}", text.trim().escape_debug())
}

struct Server {
    stream: TcpStream,
    end: Instant,
    unread: Vec<u8>,
}

impl Server {
    fn connect(host: &str, end: Instant) -> Result<Self, String> {
        let mut last = format!("`{}` has no address", host.escape_debug());
        for place in places(host)? {
            match TcpStream::connect_timeout(&place, left(end)?) {
                Ok(stream) => {
                    return Ok(Self {
                        stream,
                        end,
                        unread: Vec::new(),
                    });
                }
                Err(error) => last = format!("{error} ({place})"),
            }
        }
        Err(last)
    }

    /// The host's full name, or its address as Python's library gives it.
    fn own_name(&self) -> String {
        let name = crate::tags::full_host_name();
        if name.contains('.')
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
        {
            return name;
        }
        match self.stream.local_addr().map(|place| place.ip()) {
            Ok(IpAddr::V6(ip)) => format!("[IPv6:{ip}]"),
            Ok(IpAddr::V4(ip)) => format!("[{ip}]"),
            Err(_) => "[127.0.0.1]".to_owned(),
        }
    }

    fn login(&mut self, features: &str, user: &str, password: &str) -> Result<(), String> {
        let offered = features.lines().find_map(|line| line.trim().strip_prefix("AUTH"));
        let offers = |way: &str| offered.is_some_and(|list| list.split([' ', '=']).any(|word| word == way));
        if offers("PLAIN") {
            let code = base64(format!("\0{user}\0{password}").as_bytes());
            return self.command("AUTH", &format!("AUTH PLAIN {code}"), 235);
        }
        if offers("LOGIN") {
            self.command("AUTH", &format!("AUTH LOGIN {}", base64(user.as_bytes())), 334)?;
            return self.command("AUTH", &base64(password.as_bytes()), 235);
        }
        Err("it offers no login by AUTH PLAIN or AUTH LOGIN".to_owned())
    }

    fn command(&mut self, name: &str, line: &str, expected: u16) -> Result<(), String> {
        match self.ask(line)? {
            (code, _) if code == expected => Ok(()),
            (code, text) => Err(answer(name, code, &text)),
        }
    }

    fn expect(&mut self, name: &str, expected: u16) -> Result<(), String> {
        match self.reply()? {
            (code, _) if code == expected => Ok(()),
            (code, text) => Err(answer(name, code, &text)),
        }
    }

    fn ask(&mut self, line: &str) -> Result<(u16, String), String> {
        self.write(&format!("{line}\r\n"))?;
        self.reply()
    }

    /// One answer: its number, and the texts of its lines.
    fn reply(&mut self) -> Result<(u16, String), String> {
        let mut texts = String::new();
        let mut taken = 0;
        loop {
            let line = self.line()?;
            taken += line.len();
            let code = line.get(..3).and_then(|code| code.parse().ok());
            let code = code.ok_or_else(|| "what it says is no SMTP".to_owned())?;
            if let Some(text) = line.get(4..) {
                texts.push_str(text);
                texts.push('\n');
            }
            if line.get(3..4) != Some("-") {
                return Ok((code, texts));
            }
            if taken > LONGEST_REPLY {
                return Err("its answer does not end".to_owned());
            }
        }
    }

    fn line(&mut self) -> Result<String, String> {
        loop {
            if let Some(place) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=place).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if self.unread.len() > LONGEST_REPLY {
                return Err("its answer does not end".to_owned());
            }
            let mut some = [0; 1024];
            let limit = left(self.end)?;
            let read = self
                .stream
                .set_read_timeout(Some(limit))
                .and_then(|()| self.stream.read(&mut some));
            match read {
                Ok(0) => return Err("it closed the connection".to_owned()),
                Ok(length) => self.unread.extend(some.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(&error)),
            }
        }
    }

    fn write(&mut self, text: &str) -> Result<(), String> {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let limit = left(self.end)?;
            let written = self
                .stream
                .set_write_timeout(Some(limit))
                .and_then(|()| self.stream.write(rest));
            match written {
                Ok(0) => return Err("it closed the connection".to_owned()),
                Ok(length) => rest = rest.get(length..).unwrap_or_default(),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(&error)),
            }
        }
        Ok(())
    }
}

/// `host`, `host:port`, `[address]:port` or a bare address.
fn places(host: &str) -> Result<Vec<SocketAddr>, String> {
    let with_port = match host.parse::<IpAddr>() {
        Ok(ip) => return Ok(vec![SocketAddr::new(ip, 25)]),
        Err(_)
            if host
                .rsplit_once(':')
                .is_some_and(|(_, port)| port.parse::<u16>().is_ok()) =>
        {
            host.to_owned()
        }
        Err(_) => format!("{host}:25"),
    };
    match with_port.to_socket_addrs() {
        Ok(places) => Ok(places.take(8).collect()),
        Err(error) => Err(error.to_string()),
    }
}

fn left(end: Instant) -> Result<Duration, String> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(late()) } else { Ok(left) }
}

fn failed(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => late(),
        _ => error.to_string(),
    }
}

fn late() -> String {
    "it did not answer in time".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_a_mail_ends_it_or_becomes_a_command() {
        for (text, expected) in [
            ("a\n.\nQUIT", "a\r\n..\r\nQUIT\r\n.\r\n"),
            ("a\r.\rb\n..", "a.b\r\n...\r\n.\r\n"),
            ("a\r\n.\r\n", "a\r\n..\r\n.\r\n"),
        ] {
            assert_eq!(stuffed(text), expected);
        }
    }
}
