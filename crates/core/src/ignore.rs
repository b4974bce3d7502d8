//! Whom a jail never bans.
//!
//! Names, files and this host's own addresses are looked up by the server, which hands the answers in.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::FailureId;

/// Compiled only if the prefix lengths are right.
const LOOPBACK_V4: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);
const LOOPBACK_V6: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128);

/// Which rule ignores an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IgnoreRule {
    /// `ignoreself`: it is one of this host's own addresses.
    Own,
    /// An address or network of `ignoreip`.
    Ip,
    /// A name of `ignoreip` has this address.
    Dns,
    /// A file named in `ignoreip` has it; the path.
    File(Box<str>),
}

impl fmt::Display for IgnoreRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => f.write_str("ignoreself rule"),
            Self::Ip => f.write_str("ip"),
            Self::Dns => f.write_str("dns"),
            Self::File(path) => write!(f, "file:/{path}"),
        }
    }
}

/// One entry of `ignoreip`, normalised.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum IgnoreEntry {
    /// An address.
    Addr(IpAddr),
    /// A network.
    Net(IpNet),
    /// A name to be looked up.
    Name(Box<str>),
    /// A file with more entries; its path.
    File(Box<str>),
}

impl IgnoreEntry {
    /// Reads one entry.
    ///
    /// `10.1.2.3/255.255.0.0` becomes `10.1.0.0/16`; a prefix that is too long names the one address; what is no address
    /// is a name. Upstream: behaviour spec 4.7.
    pub fn parse(text: &str) -> Self {
        if let Some(path) = text.strip_prefix("file:") {
            // `file:///path` and `file:/path` are the same file.
            let path = if path.starts_with("//") {
                path.trim_start_matches('/')
            } else {
                return Self::File(path.into());
            };
            return Self::File(format!("/{path}").into());
        }
        match FailureId::parse(text) {
            FailureId::Addr(address) => Self::Addr(address),
            FailureId::Net(net) => Self::Net(net),
            FailureId::Text(name) => Self::Name(name),
        }
    }
}

impl fmt::Display for IgnoreEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addr(address) => address.fmt(f),
            Self::Net(net) => net.fmt(f),
            Self::Name(name) => f.write_str(name),
            Self::File(path) => write!(f, "file:/{path}"),
        }
    }
}

/// To compare with each of so many takes less time than to look for one, and nearly every list is as short.
const FEW: usize = 8;

fn holds(addresses: &HashSet<IpAddr>, address: &IpAddr) -> bool {
    if addresses.len() <= FEW {
        addresses.iter().any(|other| other == address)
    } else {
        addresses.contains(address)
    }
}

/// Addresses and networks with quick look-up.
#[derive(Clone, Debug, Default)]
struct AddressSet {
    addresses: HashSet<IpAddr>,
    nets: HashSet<IpNet>,
    // The prefix lengths that occur, so that a look-up asks once per length and not once per network.
    lengths: Vec<u8>,
}

impl AddressSet {
    fn insert(&mut self, entry: &IgnoreEntry) {
        match entry {
            IgnoreEntry::Addr(address) => {
                self.addresses.insert(*address);
            }
            IgnoreEntry::Net(net) => {
                self.nets.insert(*net);
                if !self.lengths.contains(&net.prefix_len()) {
                    self.lengths.push(net.prefix_len());
                }
            }
            IgnoreEntry::Name(_) | IgnoreEntry::File(_) => {}
        }
    }

    /// Whether the set holds any address of `id`.
    fn touches(&self, id: IpNet) -> bool {
        let single = id.prefix_len() == id.max_prefix_len();
        let inside = if self.nets.len() <= FEW {
            self.nets.iter().any(|net| net.contains(&id))
        } else {
            self.lengths.iter().any(|&length| {
                length <= id.prefix_len()
                    && IpNet::new(id.addr(), length).is_ok_and(|net| self.nets.contains(&net.trunc()))
            })
        };
        if single {
            return inside || holds(&self.addresses, &id.addr());
        }
        // A whole network is to be banned, which is rare: one that holds an ignored address must not be.
        inside
            || self.addresses.iter().any(|address| id.contains(address))
            || self.nets.iter().any(|net| id.contains(net))
    }
}

/// What a file of entries held when it was last read.
#[derive(Clone, Debug, Default)]
struct FileEntries {
    set: AddressSet,
    names: Vec<Box<str>>,
}

/// `ignoreip` and `ignoreself` of a jail.
#[derive(Clone, Debug, Default)]
pub struct IgnoreList {
    entries: Vec<IgnoreEntry>,
    set: AddressSet,
    own: HashSet<IpAddr>,
    name_addresses: HashMap<Box<str>, Vec<IpAddr>>,
    files: HashMap<Box<str>, FileEntries>,
}

impl IgnoreList {
    /// Adds an entry of `ignoreip` as it is written; one that is there already is not added twice.
    pub fn add(&mut self, text: &str) {
        let entry = IgnoreEntry::parse(text.trim());
        if !self.entries.contains(&entry) {
            self.set.insert(&entry);
            self.entries.push(entry);
        }
    }

    /// Removes an entry, however it is written; false if it is not there.
    pub fn remove(&mut self, text: &str) -> bool {
        let entry = IgnoreEntry::parse(text.trim());
        let before = self.entries.len();
        self.entries.retain(|other| *other != entry);
        self.set = AddressSet::default();
        for other in &self.entries {
            self.set.insert(other);
        }
        self.entries.len() < before
    }

    /// Removes all entries of `ignoreip`; own addresses and looked-up names stay known.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.set = AddressSet::default();
    }

    /// The entries, normalised, as `get JAIL ignoreip` lists them: networks, names and files in the order in which they
    /// were added, then addresses.
    pub fn entries(&self) -> impl Iterator<Item = &IgnoreEntry> {
        let is_address = |entry: &&IgnoreEntry| matches!(entry, IgnoreEntry::Addr(_));
        let others = self.entries.iter().filter(move |entry| !is_address(entry));
        others.chain(self.entries.iter().filter(is_address))
    }

    /// Tells which addresses this host has; loopback counts as its own in any case.
    pub fn set_own_addresses(&mut self, addresses: impl IntoIterator<Item = IpAddr>) {
        self.own = addresses.into_iter().map(|address| address.to_canonical()).collect();
    }

    /// The names whose addresses must be looked up, those in files included.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let written = self.entries.iter().filter_map(|entry| match entry {
            IgnoreEntry::Name(name) => Some(&**name),
            _ => None,
        });
        written.chain(
            self.files
                .values()
                .flat_map(|file| file.names.iter().map(|name| &**name)),
        )
    }

    /// Tells which addresses a name has now. A look-up that failed is best not told: the last answer then stays valid.
    pub fn set_name_addresses(&mut self, name: &str, addresses: Vec<IpAddr>) {
        let addresses = addresses.into_iter().map(|address| address.to_canonical()).collect();
        self.name_addresses.insert(name.into(), addresses);
    }

    /// Tells that a name could not be looked up: its last addresses stay valid, if it had any.
    pub fn set_name_failed(&mut self, name: &str) {
        self.name_addresses.entry(name.into()).or_default();
    }

    /// Whether there is a name of which nothing was told yet.
    pub fn has_unknown_names(&self) -> bool {
        self.names().any(|name| !self.name_addresses.contains_key(name))
    }

    /// The paths of files with entries.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter_map(|entry| match entry {
            IgnoreEntry::File(path) => Some(&**path),
            _ => None,
        })
    }

    /// Tells what a file of entries holds: words between blanks, commas and line ends; `#` and `;` begin a comment.
    pub fn set_file_content(&mut self, path: &str, content: &str) {
        let mut file = FileEntries::default();
        for line in content.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            for word in line.split([' ', '\t', ',', '\r']).filter(|word| !word.is_empty()) {
                match IgnoreEntry::parse(word) {
                    IgnoreEntry::Name(name) => file.names.push(name),
                    entry => file.set.insert(&entry),
                }
            }
        }
        self.files.insert(path.into(), file);
    }

    /// The rule by which an id is not to be banned.
    ///
    /// A network is ignored if it lies in an ignored one, and also if it holds an ignored or own address: banning it would
    /// ban that address too. Deviation: upstream compares a network only with the networks around it.
    pub fn check(&self, id: &FailureId, ignoreself: bool) -> Option<IgnoreRule> {
        let net = match id {
            FailureId::Text(text) => return self.check_text(text),
            FailureId::Addr(address) => IpNet::from(*address),
            FailureId::Net(net) => *net,
        };
        if ignoreself && self.is_own(net) {
            return Some(IgnoreRule::Own);
        }
        if self.set.touches(net) {
            return Some(IgnoreRule::Ip);
        }
        let named = |name: &str| {
            self.name_addresses
                .get(name)
                .is_some_and(|addresses| addresses.iter().any(|address| net.contains(address)))
        };
        for entry in &self.entries {
            match entry {
                IgnoreEntry::Name(name) if named(name) => return Some(IgnoreRule::Dns),
                IgnoreEntry::File(path) => {
                    if let Some(file) = self.files.get(path)
                        && (file.set.touches(net) || file.names.iter().any(|name| named(name)))
                    {
                        return Some(IgnoreRule::File(path.clone()));
                    }
                }
                _ => {}
            }
        }
        None
    }

    fn is_own(&self, net: IpNet) -> bool {
        if net.prefix_len() == net.max_prefix_len() {
            // The networks that are loopback are those of `is_loopback`.
            return net.addr().is_loopback() || holds(&self.own, &net.addr());
        }
        let overlaps = |own: IpNet| own.contains(&net) || net.contains(&own);
        overlaps(LOOPBACK_V4.into())
            || overlaps(LOOPBACK_V6.into())
            || self.own.iter().any(|address| net.contains(address))
    }

    /// Ids that are no addresses (`<F-ID>`, `usedns = raw`) are ignored if `ignoreip` names them.
    fn check_text(&self, text: &str) -> Option<IgnoreRule> {
        let named = self
            .entries
            .iter()
            .any(|entry| matches!(entry, IgnoreEntry::Name(name) if &**name == text));
        named.then_some(IgnoreRule::Ip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_list_says_what_it_says_as_part_of_a_long_one() {
        // What is only there to make the list long is far away from what is asked for.
        let far: Vec<String> = (0..40)
            .map(|number| format!("203.{number}.0.0/{}", 16 + number % 8))
            .collect();
        let far_addresses: Vec<String> = (0..40).map(|number| format!("203.0.113.{number}")).collect();
        let near = [
            "192.0.2.0/24",
            "192.0.0.0/13",
            "2001:db8::/33",
            "10.1.2.3",
            "2001:db8:ffff::1",
            "::/127",
        ];
        for count in 0..=near.len() {
            let (mut short, mut long) = (IgnoreList::default(), IgnoreList::default());
            for entry in near.iter().take(count) {
                short.add(entry);
                long.add(entry);
            }
            far.iter().chain(&far_addresses).for_each(|entry| long.add(entry));
            let own = |text: &str| text.parse::<IpAddr>().unwrap();
            short.set_own_addresses([own("198.51.100.1")]);
            long.set_own_addresses((0..30).map(|number| own(&format!("198.51.100.{}", number * 8 + 1))));
            for id in [
                "192.0.2.7",
                "192.0.3.7",
                "192.7.0.1",
                "192.8.0.1",
                "192.0.2.0/25",
                "192.0.2.0/23",
                "10.1.2.3",
                "10.1.2.4",
                "10.1.2.0/24",
                "2001:db8::1",
                "2001:db8:8000::1",
                "2001:db8:ffff::1",
                "2001:db8::/32",
                "::1",
                "::",
                "127.0.0.1",
                "127.255.0.1",
                "128.0.0.1",
                "126.0.0.0/7",
                "198.51.100.1",
                "198.51.100.2",
                "198.51.100.0/31",
                "0.0.0.0/0",
                "::2",
            ] {
                let id = FailureId::parse(id);
                for ignoreself in [false, true] {
                    let of_long = long.check(&id, ignoreself);
                    // All of IPv4 holds what is far away, too.
                    if id.to_string() != "0.0.0.0/0" {
                        assert_eq!(short.check(&id, ignoreself), of_long, "{id} {count}");
                    }
                }
            }
        }
    }

    fn list(entries: &[&str]) -> IgnoreList {
        let mut list = IgnoreList::default();
        for entry in entries {
            list.add(entry);
        }
        list
    }

    fn check(list: &IgnoreList, id: &str) -> Option<String> {
        list.check(&FailureId::parse(id), true).map(|rule| rule.to_string())
    }

    #[test]
    fn entries_are_shown_normalised() {
        for (text, shown) in [
            ("10.1.2.3/255.255.0.0", "10.1.0.0/16"),
            ("10.1.2.3/16", "10.1.0.0/16"),
            ("2001:db8::1/64", "2001:db8::/64"),
            ("1.2.3.4/33", "1.2.3.4"),
            ("1.2.3.4/32", "1.2.3.4"),
            ("1.2.3", "1.2.3"),
            ("foo bar", "foo bar"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("file:/etc/trusted", "file://etc/trusted"),
            ("file:///etc/trusted", "file://etc/trusted"),
            ("10.0.0.0/255.0.255.0", "10.0.0.0/255.0.255.0"),
        ] {
            assert_eq!(IgnoreEntry::parse(text).to_string(), shown, "{text}");
        }
    }

    #[test]
    fn addresses_and_networks_of_the_list_are_ignored() {
        let list = list(&["192.0.2.7", "10.0.0.0/8", "2001:db8::/32"]);
        for (id, rule) in [
            ("192.0.2.7", Some("ip")),
            ("192.0.2.8", None),
            ("10.255.0.1", Some("ip")),
            ("10.9.0.0/16", Some("ip")),
            ("11.0.0.1", None),
            ("2001:db8:1::1", Some("ip")),
            ("2001:db9::1", None),
        ] {
            assert_eq!(check(&list, id).as_deref(), rule, "{id}");
        }
    }

    #[test]
    fn a_network_with_an_ignored_or_own_address_in_it_is_not_banned() {
        let mut list = list(&["192.0.2.7", "10.1.0.0/16"]);
        list.set_own_addresses(["203.0.113.9".parse().unwrap()]);
        for (id, rule) in [
            ("192.0.2.0/24", Some("ip")),
            ("10.0.0.0/8", Some("ip")),
            ("203.0.113.0/24", Some("ignoreself rule")),
            ("0.0.0.0/0", Some("ignoreself rule")),
            ("198.51.100.0/24", None),
        ] {
            assert_eq!(check(&list, id).as_deref(), rule, "{id}");
        }
    }

    #[test]
    fn own_addresses_and_loopback_are_ignored_unless_ignoreself_is_off() {
        let mut list = list(&[]);
        list.set_own_addresses(["203.0.113.9".parse().unwrap()]);
        for id in ["203.0.113.9", "127.0.0.1", "127.9.9.9", "::1"] {
            assert_eq!(check(&list, id).as_deref(), Some("ignoreself rule"), "{id}");
            assert_eq!(list.check(&FailureId::parse(id), false), None, "{id}");
        }
    }

    #[test]
    fn names_and_files_count_with_what_the_server_looked_up() {
        let mut list = list(&["office.example", "file:/etc/trusted"]);
        assert_eq!(check(&list, "198.51.100.1"), None);
        assert_eq!(list.files().collect::<Vec<_>>(), ["/etc/trusted"]);
        list.set_file_content(
            "/etc/trusted",
            "192.0.2.1, 192.0.2.2 # 192.0.2.3\n; 192.0.2.4\nvpn.example\r\n10.0.0.0/8",
        );
        list.set_name_addresses("office.example", vec!["198.51.100.1".parse().unwrap()]);
        list.set_name_addresses("vpn.example", vec!["198.51.100.2".parse().unwrap()]);
        let mut names: Vec<_> = list.names().collect();
        names.sort_unstable();
        assert_eq!(names, ["office.example", "vpn.example"]);
        for (id, rule) in [
            ("198.51.100.1", Some("dns")),
            ("198.51.100.2", Some("file://etc/trusted")),
            ("192.0.2.2", Some("file://etc/trusted")),
            ("192.0.2.3", None),
            ("192.0.2.4", None),
            ("10.2.0.1", Some("file://etc/trusted")),
        ] {
            assert_eq!(check(&list, id).as_deref(), rule, "{id}");
        }
    }

    #[test]
    fn a_removed_entry_no_longer_counts_however_it_was_written() {
        let mut list = list(&["10.1.2.3/255.255.0.0", "192.0.2.7"]);
        assert!(list.remove("10.1.0.0/16"));
        assert!(!list.remove("10.1.0.0/16"));
        assert_eq!(check(&list, "10.1.1.1"), None);
        assert_eq!(check(&list, "192.0.2.7").as_deref(), Some("ip"));
    }
}
