//! Names of ports and protocols, as jails write them.

use stockade_firewall::{PortRange, Protocol};

/// Services that stock jails name; a minimal system has no `/etc/services`.
const SERVICES: &[(&str, u16)] = &[
    ("ssh", 22),
    ("http", 80),
    ("https", 443),
    ("sip", 5060),
    ("sips", 5061),
    ("sip-tls", 5061),
    ("iax", 4569),
    ("ftp", 21),
    ("ftp-data", 20),
    ("ftps", 990),
    ("ftps-data", 989),
    ("telnet", 23),
    ("smtp", 25),
    ("smtps", 465),
    ("ssmtp", 465),
    ("submission", 587),
    ("submissions", 465),
    ("domain", 53),
    ("pop3", 110),
    ("pop3s", 995),
    ("imap", 143),
    ("imap2", 143),
    ("imaps", 993),
    ("sieve", 4190),
    ("socks", 1080),
    ("ldap", 389),
    ("ldaps", 636),
];

const PROTOCOLS: &[(&str, u8)] = &[
    ("icmp", 1),
    ("igmp", 2),
    ("tcp", 6),
    ("udp", 17),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("icmpv6", 58),
    ("ipv6-icmp", 58),
    ("sctp", 132),
    ("udplite", 136),
];

/// A list of protocols, empty for `all`; `None` if one is unknown.
pub(crate) fn protocols(list: &str) -> Option<Vec<Protocol>> {
    let mut found = Vec::new();
    for word in words(list) {
        let word = word.to_ascii_lowercase();
        if matches!(word.as_str(), "all" | "any" | "0") {
            return Some(Vec::new());
        }
        let number = PROTOCOLS
            .iter()
            .find(|(name, _)| *name == word)
            .map(|(_, number)| *number);
        let protocol = Protocol(number.or_else(|| word.parse().ok())?);
        if !found.contains(&protocol) {
            found.push(protocol);
        }
    }
    (!found.is_empty()).then_some(found)
}

/// Which ports.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ports {
    /// All of them.
    All,
    /// These.
    Of(Vec<PortRange>),
}

/// A list of ports and ranges (`a:b`, `a-b`), or `all`; `None` if something in it is unknown.
pub(crate) fn ports(list: &str) -> Option<Ports> {
    let mut found = Vec::new();
    for word in words(list) {
        if matches!(word.to_ascii_lowercase().as_str(), "all" | "any") {
            return Some(Ports::All);
        }
        // A service name may hold a hyphen (`ftp-data`), so the whole word is looked up before it is split.
        let range = if let Some(port) = port(word) {
            PortRange {
                first: port,
                last: port,
            }
        } else {
            let (first, last) = word.split_once(':').or_else(|| word.split_once('-'))?;
            PortRange {
                first: port(first)?,
                last: port(last)?,
            }
        };
        if range.first > range.last {
            return None;
        }
        found.push(range);
    }
    (!found.is_empty()).then_some(Ports::Of(found))
}

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split(|c: char| c == ',' || c.is_whitespace())
        .filter(|word| !word.is_empty())
}

fn port(word: &str) -> Option<u16> {
    if let Ok(number) = word.parse() {
        return Some(number);
    }
    let word = word.to_ascii_lowercase();
    SERVICES
        .iter()
        .find(|(name, _)| *name == word)
        .map(|(_, number)| *number)
        .or_else(|| from_file(&word))
}

fn from_file(word: &str) -> Option<u16> {
    let text = std::fs::read_to_string("/etc/services").ok()?;
    text.lines().find_map(|line| {
        let line = line.split('#').next()?;
        let mut fields = line.split_whitespace();
        let name = fields.next()?;
        let number = fields.next()?.split('/').next()?.parse().ok()?;
        (name == word || fields.any(|alias| alias == word)).then_some(number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lists_of_ports_as_jails_write_them() {
        let range = |first, last| PortRange { first, last };
        for (text, expected) in [
            ("22", Some(Ports::Of(vec![range(22, 22)]))),
            ("http,https", Some(Ports::Of(vec![range(80, 80), range(443, 443)]))),
            ("ftp-data", Some(Ports::Of(vec![range(20, 20)]))),
            ("0:65535", Some(Ports::Of(vec![range(0, 65535)]))),
            ("5060 5061", Some(Ports::Of(vec![range(5060, 5060), range(5061, 5061)]))),
            ("1000-2000", Some(Ports::Of(vec![range(1000, 2000)]))),
            ("all", Some(Ports::All)),
            ("", None),
            ("65536", None),
            ("20:10", None),
            ("nosuch", None),
        ] {
            assert_eq!(ports(text), expected, "{text}");
        }
    }
}
