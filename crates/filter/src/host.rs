//! Whom the captured text names: an address, a network, a name, an id.
//!
//! Stricter than Fail2Ban: text that only looks like an address is nobody (it would ban, or be resolved to, an address
//! that an attacker chose), see behaviour spec 2.5.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use stockade_core::{FailureId, IpNet};

use crate::{UseDns, Who};

/// What a rule captured about the culprit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Captured<'a> {
    pub(crate) fid: Option<&'a str>,
    pub(crate) ip4: Option<&'a str>,
    pub(crate) ip6: Option<&'a str>,
    pub(crate) cidr: Option<&'a str>,
    pub(crate) dns: Option<&'a str>,
}

/// An id that is no address: longer ones would fill memory and log, and no action could use them.
const LONGEST_ID: usize = 1024;

/// No name is longer in DNS.
const LONGEST_NAME: usize = 253;

/// Whom the text names; `None` if it names nobody; the error says why nobody can be held responsible.
pub(crate) fn determine(captured: Captured<'_>, usedns: UseDns) -> Result<Option<Who>, &'static str> {
    // A group that ends a rule swallows the line end.
    if let Some(fid) = captured
        .fid
        .map(|text| text.trim_end_matches('\n'))
        .filter(|text| !text.is_empty())
    {
        if fid.len() > LONGEST_ID {
            return Err("longer than an id can be");
        }
        let id = fid
            .parse::<IpAddr>()
            .map_or_else(|_| FailureId::Text(fid.into()), |ip| FailureId::Addr(ip.to_canonical()));
        return Ok(Some(Who::Id(id)));
    }
    let address = match (filled(captured.ip4), filled(captured.ip6)) {
        (Some(text), _) => Some(
            text.parse::<Ipv4Addr>()
                .map(IpAddr::from)
                .map_err(|_| "not a valid IPv4 address")?,
        ),
        (None, Some(text)) => Some(
            text.parse::<Ipv6Addr>()
                .map(IpAddr::from)
                .map_err(|_| "not a valid IPv6 address")?,
        ),
        (None, None) => None,
    };
    if let Some(address) = address {
        return match filled(captured.cidr) {
            None => Ok(Some(Who::Id(FailureId::Addr(address.to_canonical())))),
            Some(length) => network(address, length).map(|id| Some(Who::Id(id))),
        };
    }
    match filled(captured.dns) {
        Some(name) => self::name(name, usedns).map(Some),
        None => Ok(None),
    }
}

/// The address that a line names beside an id of another kind, as `<ip>` in actions shows it.
pub(crate) fn address(captured: Captured<'_>) -> Option<String> {
    let address = Captured { fid: None, ..captured };
    match determine(address, UseDns::No) {
        Ok(Some(Who::Id(id))) => Some(id.to_string()),
        _ => None,
    }
}

fn filled(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

fn network(address: IpAddr, length: &str) -> Result<FailureId, &'static str> {
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let length = length.parse::<u8>().map_err(|_| "not a valid prefix length")?;
    // Upstream takes 33 and more for the longest prefix.
    let length = length.min(longest);
    let id = IpNet::new(address, length)
        .map(FailureId::from_net)
        .map_err(|_| "not a valid prefix length")?;
    // `::ffff:0:0/96` is it too.
    match id {
        FailureId::Net(net) if net.prefix_len() == 0 => Err("the network of all addresses"),
        id => Ok(id),
    }
}

fn name(name: &str, usedns: UseDns) -> Result<Who, &'static str> {
    // `<DNS>` alone takes addresses, too: they need no look-up.
    if let Ok(address) = name.parse::<Ipv4Addr>() {
        return Ok(Who::Id(FailureId::Addr(address.into())));
    }
    // `0x7f.1`, `2130706433`: resolvers read old spellings of addresses, so anybody could name any address.
    let last = name.rsplit('.').find(|label| !label.is_empty()).unwrap_or("");
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let numeric =
        last.chars().all(char::is_numeric) || hex.is_some_and(|digits| digits.chars().all(|c| c.is_ascii_hexdigit()));
    if numeric {
        return Err("a number in the place of a host name");
    }
    if name.len() > LONGEST_NAME {
        return Err("longer than a host name can be");
    }
    match usedns {
        UseDns::Yes | UseDns::Warn => Ok(Who::Name(name.into())),
        UseDns::Raw => Ok(Who::Id(FailureId::Text(name.into()))),
        UseDns::No => Err("a host name, and usedns is no"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(captured: Captured<'_>) -> String {
        match determine(captured, UseDns::Warn) {
            Ok(Some(Who::Id(FailureId::Text(text)))) => format!("text {text:?}"),
            Ok(Some(Who::Id(id))) => format!("id {id}"),
            Ok(Some(Who::Name(name))) => format!("name {name}"),
            Ok(None) => "nobody".into(),
            Err(why) => format!("unusable: {why}"),
        }
    }

    #[test]
    fn only_real_addresses_are_ids() {
        for (ip4, outcome) in [
            ("192.0.2.7", "id 192.0.2.7"),
            ("999.1.1.1", "unusable: not a valid IPv4 address"),
            ("01.02.03.04", "unusable: not a valid IPv4 address"),
            ("١.1.1.1", "unusable: not a valid IPv4 address"),
        ] {
            assert_eq!(
                shown(Captured {
                    ip4: Some(ip4),
                    ..Captured::default()
                }),
                outcome,
                "{ip4}"
            );
        }
        for (ip6, outcome) in [
            ("2001:DB8::A", "id 2001:db8::a"),
            ("::ffff:102:304", "id 1.2.3.4"),
            ("1::2::3", "unusable: not a valid IPv6 address"),
        ] {
            assert_eq!(
                shown(Captured {
                    ip6: Some(ip6),
                    ..Captured::default()
                }),
                outcome,
                "{ip6}"
            );
        }
    }

    #[test]
    fn numbers_are_never_resolved() {
        for name in ["0x7f.1", "2130706433", "127.1", "1.2.3", "a.0x7f", "1.2.3.4.5"] {
            assert_eq!(
                shown(Captured {
                    dns: Some(name),
                    ..Captured::default()
                }),
                "unusable: a number in the place of a host name",
                "{name}"
            );
        }
        assert_eq!(
            shown(Captured {
                dns: Some("3com.example"),
                ..Captured::default()
            }),
            "name 3com.example"
        );
    }

    #[test]
    fn networks_are_those_of_the_address() {
        for (ip4, cidr, outcome) in [
            ("1.2.3.4", "24", "id 1.2.3.0/24"),
            ("1.2.3.4", "33", "id 1.2.3.4"),
            ("1.2.3.4", "0", "unusable: the network of all addresses"),
            ("1.2.3.4", "999", "unusable: not a valid prefix length"),
        ] {
            assert_eq!(
                shown(Captured {
                    ip4: Some(ip4),
                    cidr: Some(cidr),
                    ..Captured::default()
                }),
                outcome,
                "{cidr}"
            );
        }
        let mapped = Captured {
            ip6: Some("::ffff:102:304"),
            cidr: Some("112"),
            ..Captured::default()
        };
        assert_eq!(shown(mapped), "id 1.2.0.0/16");
        let everybody = Captured {
            ip6: Some("::ffff:0:0"),
            cidr: Some("96"),
            ..Captured::default()
        };
        assert_eq!(shown(everybody), "unusable: the network of all addresses");
    }

    #[test]
    fn an_id_of_the_operators_own_loses_only_the_line_end() {
        assert_eq!(
            shown(Captured {
                fid: Some("abc-123\n"),
                ..Captured::default()
            }),
            "text \"abc-123\""
        );
        let long = "x".repeat(2000);
        assert_eq!(
            shown(Captured {
                fid: Some(&long),
                ..Captured::default()
            }),
            "unusable: longer than an id can be"
        );
        assert_eq!(
            shown(Captured {
                fid: Some("192.0.2.7\n"),
                ..Captured::default()
            }),
            "id 192.0.2.7"
        );
        let both = Captured {
            fid: Some("bob"),
            ip4: Some("192.0.2.7"),
            ..Captured::default()
        };
        assert_eq!(shown(both), "text \"bob\"");
    }
}
