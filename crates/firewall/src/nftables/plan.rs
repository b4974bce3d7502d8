//! What we own in the ruleset, and its names. Pure.
//!
//! Per target one hash set for addresses of each family, named as Fail2Ban's nftables actions name them, and one hash
//! set for networks of each prefix length, made when the first such network is banned. A rule for networks masks the packet's
//! source address before it looks into the set. Sets of intervals, the other way to hold networks, refuse a network that
//! overlaps with another one; here each keeps its own time, an overlap is nothing special, and a change costs the same however many there are (measured: `docs/FIREWALL.md`).

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::{Change, PortRange, Target};

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    /// Length of an address in bytes.
    pub(crate) const fn bytes(self) -> u32 {
        match self {
            Self::V4 => 4,
            Self::V6 => 16,
        }
    }

    /// Length of an address in bits.
    pub(crate) const fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

/// Which of a target's sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SetId {
    pub(crate) family: Family,
    /// Prefix length of the networks in it; `None` for single addresses.
    pub(crate) prefix: Option<u8>,
}

/// The sets each target has from the start.
pub(crate) const ADDRESS_SETS: [SetId; 2] = [
    SetId {
        family: Family::V4,
        prefix: None,
    },
    SetId {
        family: Family::V6,
        prefix: None,
    },
];

impl SetId {
    /// The set a ban belongs into, and its key there.
    ///
    /// Addresses of IPv4 written as IPv6 (`::ffff:192.0.2.1`) are IPv4: so are their packets.
    pub(crate) fn of(net: IpNet) -> (Self, IpAddr) {
        let (address, length) = match net.trunc() {
            IpNet::V4(net) => (IpAddr::V4(net.addr()), net.prefix_len()),
            IpNet::V6(net) => match (net.addr().to_ipv4_mapped(), net.prefix_len().checked_sub(96)) {
                (Some(address), Some(length)) => (IpAddr::V4(address), length),
                _ => (IpAddr::V6(net.addr()), net.prefix_len()),
            },
        };
        let family = if address.is_ipv4() { Family::V4 } else { Family::V6 };
        let prefix = (length < family.bits()).then_some(length);
        (Self { family, prefix }, address)
    }

    /// The ban that a key of this set stands for.
    pub(crate) fn net(self, address: IpAddr) -> Option<IpNet> {
        IpNet::new(address, self.prefix.unwrap_or(self.family.bits())).ok()
    }

    /// The set's name in the ruleset.
    pub(crate) fn name(self, target: &str) -> String {
        let address = match self.family {
            Family::V4 => "addr",
            Family::V6 => "addr6",
        };
        match self.prefix {
            None => format!("{address}-set-{target}"),
            Some(length) => format!("{address}-net{length}-set-{target}"),
        }
    }

    /// Which set of which target has this name.
    pub(crate) fn parse(name: &str) -> Option<(Self, &str)> {
        let rest = name.strip_prefix("addr")?;
        let (family, rest) = rest
            .strip_prefix('6')
            .map_or((Family::V4, rest), |rest| (Family::V6, rest));
        if let Some(target) = rest.strip_prefix("-set-") {
            return Some((Self { family, prefix: None }, target));
        }
        let (length, target) = rest.strip_prefix("-net")?.split_once("-set-")?;
        let set = Self {
            family,
            prefix: Some(length.parse().ok().filter(|length| *length < family.bits())?),
        };
        (set.name(target) == name).then_some((set, target))
    }

    /// The bits of an address that count, for networks.
    pub(crate) fn mask(self) -> Option<Vec<u8>> {
        let length = u32::from(self.prefix?);
        Some(match self.family {
            Family::V4 => u32::MAX
                .checked_shl(32_u32.checked_sub(length)?)
                .unwrap_or(0)
                .to_be_bytes()
                .to_vec(),
            Family::V6 => u128::MAX
                .checked_shl(128_u32.checked_sub(length)?)
                .unwrap_or(0)
                .to_be_bytes()
                .to_vec(),
        })
    }
}

/// The bytes of an address as packets and sets hold them.
pub(crate) fn key(address: IpAddr) -> ([u8; 16], usize) {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            ([a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 4)
        }
        IpAddr::V6(address) => (address.octets(), 16),
    }
}

/// What the state of a key is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// There, for so many milliseconds; 0 is for ever, as in the kernel.
    Present(u64),
    /// There; if it was not, for so many milliseconds.
    Kept(u64),
    Absent,
}

/// Longest time the kernel is told, about 300 years; what is longer is for ever. Its own limit is 584 years.
const LONGEST_SECONDS: u64 = 10_000_000_000;

/// The outcome of a list of changes, each key once: a later change replaces an earlier one.
pub(crate) fn wishes(changes: &[Change]) -> BTreeMap<(SetId, IpAddr), Wish> {
    let mut wishes = BTreeMap::new();
    for change in changes {
        match *change {
            // The kernel reads no time as for ever; a ban of no time is over.
            Change::Add(net, Some(0)) | Change::Keep(net, Some(0)) | Change::Remove(net) => {
                wishes.insert(SetId::of(net), Wish::Absent);
            }
            Change::Add(net, seconds) => {
                wishes.insert(SetId::of(net), Wish::Present(milliseconds(seconds)));
            }
            Change::Keep(net, seconds) => {
                let wish = wishes
                    .entry(SetId::of(net))
                    .or_insert(Wish::Kept(milliseconds(seconds)));
                if *wish == Wish::Absent {
                    *wish = Wish::Present(milliseconds(seconds));
                }
            }
        }
    }
    wishes
}

/// A time as the kernel counts it; 0 is for ever.
fn milliseconds(seconds: Option<u64>) -> u64 {
    seconds
        .filter(|seconds| *seconds <= LONGEST_SECONDS)
        .map_or(0, |seconds| seconds.saturating_mul(1000))
}

/// Which packets a rule looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    /// One of these protocols; any if empty.
    pub(crate) protocols: Vec<u8>,
    /// To one of these ports; any if empty. Ordered, apart from each other.
    pub(crate) ports: Vec<PortRange>,
}

/// Protocols whose packets begin with a source and a destination port: tcp, udp, dccp, sctp, udplite.
const WITH_PORTS: [u8; 5] = [6, 17, 33, 132, 136];

/// The conditions of a target, one for each rule of each set: as Fail2Ban's actions, one rule per protocol where ports
/// matter, one rule for all protocols where they do not.
pub(crate) fn conditions(target: &Target) -> Vec<Condition> {
    let mut protocols: Vec<u8> = Vec::new();
    for protocol in &target.protocols {
        if !protocols.contains(&protocol.0) {
            protocols.push(protocol.0);
        }
    }
    match &target.ports {
        None => vec![Condition {
            protocols,
            ports: Vec::new(),
        }],
        Some(ports) => {
            let ports = merged(ports);
            if protocols.is_empty() {
                // Without this other protocols match by chance: where tcp has the port, ICMPv6 has its checksum.
                let protocols = WITH_PORTS.to_vec();
                return vec![Condition { protocols, ports }];
            }
            let condition = |protocol| Condition {
                protocols: vec![protocol],
                // Where there are no ports, all of the protocol is meant.
                ports: if WITH_PORTS.contains(&protocol) {
                    ports.clone()
                } else {
                    Vec::new()
                },
            };
            protocols.into_iter().map(condition).collect()
        }
    }
}

/// Ports in order; the kernel refuses a set whose intervals overlap. Neighbours stay apart unless there are
/// ranges, which is what the program nft makes of them.
fn merged(ports: &[PortRange]) -> Vec<PortRange> {
    let mut ordered: Vec<PortRange> = ports
        .iter()
        .copied()
        .filter(|range| range.first <= range.last)
        .collect();
    ordered.sort_by_key(|range| range.first);
    let has_ranges = ordered.iter().any(|range| range.first < range.last);
    let mut merged: Vec<PortRange> = Vec::new();
    for range in ordered {
        match merged.last_mut() {
            Some(last) if range.first <= last.last || (has_ranges && last.last.checked_add(1) == Some(range.first)) => {
                last.last = last.last.max(range.last);
            }
            _ => merged.push(range),
        }
    }
    merged
}

/// Whether a name may be part of names in the ruleset: what the program nft can read back without quotation marks.
pub(crate) fn is_name(name: &str) -> bool {
    // The kernel takes 255 bytes; the longest of our prefixes is `addr6-net128-set-`.
    (1..=200).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/' | b'\\'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Block, Protocol};

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn each_ban_has_one_set_and_comes_back_from_it() {
        for (ban, set, same) in [
            ("192.0.2.1/32", "addr-set-x", "192.0.2.1/32"),
            ("192.0.2.77/24", "addr-net24-set-x", "192.0.2.0/24"),
            ("0.0.0.0/0", "addr-net0-set-x", "0.0.0.0/0"),
            ("2001:db8::1/128", "addr6-set-x", "2001:db8::1/128"),
            ("2001:db8::/32", "addr6-net32-set-x", "2001:db8::/32"),
            ("::ffff:192.0.2.1/128", "addr-set-x", "192.0.2.1/32"),
            ("::ffff:192.0.2.0/120", "addr-net24-set-x", "192.0.2.0/24"),
            ("::/0", "addr6-net0-set-x", "::/0"),
        ] {
            let (id, address) = SetId::of(net(ban));
            assert_eq!(id.name("x"), set, "{ban}");
            assert_eq!(SetId::parse(set), Some((id, "x")), "{ban}");
            assert_eq!(id.net(address), Some(net(same)), "{ban}");
        }
    }

    #[test]
    fn names_of_others_are_not_ours() {
        for name in [
            "",
            "addr",
            "addrx",
            "addr-net",
            "addr-net24-set",
            "addr-net33-set-x",
            "addr-net024-set-x",
            "blocklist",
        ] {
            assert_eq!(SetId::parse(name), None, "{name}");
        }
        assert_eq!(SetId::parse("addr-set-").unwrap().1, "");
    }

    #[test]
    fn masks_cover_the_prefix() {
        for (ban, mask) in [
            ("0.0.0.0/0", [0, 0, 0, 0]),
            ("10.0.0.0/8", [255, 0, 0, 0]),
            ("10.0.0.0/31", [255, 255, 255, 254]),
        ] {
            assert_eq!(SetId::of(net(ban)).0.mask().unwrap(), mask, "{ban}");
        }
        assert_eq!(
            SetId::of(net("2001:db8::/33")).0.mask().unwrap()[..6],
            [255, 255, 255, 255, 128, 0]
        );
        assert_eq!(SetId::of(net("192.0.2.1/32")).0.mask(), None);
    }

    #[test]
    fn the_last_change_of_a_ban_counts_and_no_time_is_no_ban() {
        let ban = net("192.0.2.1/32");
        let wish = |changes: &[Change]| wishes(changes).into_values().collect::<Vec<_>>();
        assert_eq!(wish(&[Change::Add(ban, Some(5)), Change::Remove(ban)]), [Wish::Absent]);
        assert_eq!(
            wish(&[Change::Remove(ban), Change::Add(ban, Some(5))]),
            [Wish::Present(5000)]
        );
        assert_eq!(wish(&[Change::Add(ban, Some(0))]), [Wish::Absent]);
        assert_eq!(wish(&[Change::Add(ban, None)]), [Wish::Present(0)]);
        assert_eq!(wish(&[Change::Add(ban, Some(u64::MAX))]), [Wish::Present(0)]);
        assert_eq!(wish(&[Change::Keep(ban, Some(5))]), [Wish::Kept(5000)]);
        assert_eq!(wish(&[Change::Keep(ban, None)]), [Wish::Kept(0)]);
        let kept = Change::Keep(ban, Some(9));
        assert_eq!(wish(&[Change::Add(ban, Some(5)), kept]), [Wish::Present(5000)]);
        assert_eq!(wish(&[Change::Remove(ban), kept]), [Wish::Present(9000)]);
        assert_eq!(wish(&[kept, Change::Remove(ban)]), [Wish::Absent]);
    }

    fn ranges(ports: &[(u16, u16)]) -> Vec<PortRange> {
        ports.iter().map(|&(first, last)| PortRange { first, last }).collect()
    }

    #[test]
    fn ports_are_ordered_and_do_not_overlap() {
        for (given, expected) in [
            (&[(22, 22)][..], &[(22, 22)][..]),
            (&[(5061, 5061), (5060, 5060)], &[(5060, 5060), (5061, 5061)]),
            (&[(5060, 5060), (5060, 5060)], &[(5060, 5060)]),
            (
                &[(5060, 5060), (5061, 5061), (10_000, 20_000)],
                &[(5060, 5061), (10_000, 20_000)],
            ),
            (&[(1, 10), (5, 20), (30, 25)], &[(1, 20)]),
            (&[(0, 65_535), (65_535, 65_535)], &[(0, 65_535)]),
        ] {
            assert_eq!(merged(&ranges(given)), ranges(expected), "{given:?}");
        }
    }

    #[test]
    fn one_rule_per_protocol_with_ports_and_one_for_all_without() {
        let mut target = Target {
            table: "f2b-table".into(),
            chain: "f2b-chain".into(),
            priority: -1,
            hooks: Vec::new(),
            name: "x".into(),
            ports: Some(ranges(&[(22, 22)])),
            protocols: vec![Protocol(6), Protocol(17), Protocol(6), Protocol(1)],
            verdict: Block::Drop,
        };
        let ports = ranges(&[(22, 22)]);
        assert_eq!(
            conditions(&target),
            [
                Condition {
                    protocols: vec![6],
                    ports: ports.clone()
                },
                Condition {
                    protocols: vec![17],
                    ports: ports.clone()
                },
                Condition {
                    protocols: vec![1],
                    ports: vec![]
                }
            ]
        );
        target.protocols.clear();
        assert_eq!(
            conditions(&target),
            [Condition {
                protocols: vec![6, 17, 33, 132, 136],
                ports: ports.clone()
            }],
            "ports without protocols are those of all protocols that have some"
        );
        target.protocols = vec![Protocol(6), Protocol(17), Protocol(1)];
        target.ports = None;
        assert_eq!(
            conditions(&target),
            [Condition {
                protocols: vec![6, 17, 1],
                ports: vec![]
            }]
        );
    }

    #[test]
    fn names_are_what_nft_reads_back() {
        for name in ["sshd", "asterisk-udp", "a_b.c/d", "3proxy"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "a b", "a;b", "a{", "ä", "a\n", "\"", &"x".repeat(201)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
