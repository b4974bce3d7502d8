//! What can be seen of a machine in its files. Everything is read below a root, so that a prepared folder can stand for it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use crate::server::addresses;

/// Most of a file that is read.
const FILE_LIMIT_BYTES: u64 = 1 << 20;
/// Most files that a pattern is taken to mean.
const FILES_LIMIT: usize = 50;
/// Where units stand.
const UNITS: [&str; 4] = [
    "etc/systemd/system",
    "run/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];
/// Where programs stand.
const PROGRAMS: [&str; 6] = ["usr/sbin", "usr/bin", "sbin", "bin", "usr/local/sbin", "usr/local/bin"];
/// A record of utmp, and where in it are the type and the address.
const UTMP_RECORD: usize = 384;
const UTMP_ADDRESS: usize = 348;
const UTMP_USER_PROCESS: [u8; 2] = [7, 0];

/// A machine, or a folder prepared as one.
pub(super) struct Machine {
    root: PathBuf,
}

impl Machine {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// A path as the machine has it: `/etc/x`.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    fn bytes(&self, path: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let path = self.path(path);
        if fs::metadata(&path).is_ok_and(|metadata| metadata.is_file())
            && let Ok(file) = fs::File::open(path)
        {
            // What was read before an error is all there is to know.
            let _ = file.take(FILE_LIMIT_BYTES).read_to_end(&mut bytes);
        }
        bytes
    }

    /// A file's text; empty if it is not there.
    pub(super) fn text(&self, path: &str) -> String {
        String::from_utf8_lossy(&self.bytes(path)).into_owned()
    }

    /// The names in a folder, sorted.
    pub(super) fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(path)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// Where a unit's file is.
    pub(super) fn unit(&self, name: &str) -> Option<String> {
        let mut paths = UNITS.iter().map(|folder| format!("/{folder}/{name}.service"));
        paths.find(|path| self.has(path))
    }

    /// Whether a unit is started at boot.
    pub(super) fn is_enabled(&self, name: &str) -> bool {
        let unit = format!("{name}.service");
        let wants = self.names("etc/systemd/system").into_iter();
        wants
            .filter(|folder| folder.rsplit('.').next() == Some("wants"))
            .any(|folder| {
                // A link, which leads nowhere in a prepared folder.
                let link = self.path(&format!("etc/systemd/system/{folder}/{unit}"));
                link.symlink_metadata().is_ok()
            })
    }

    /// Where a program is.
    pub(super) fn program(&self, name: &str) -> Option<String> {
        let mut paths = PROGRAMS.iter().map(|folder| format!("/{folder}/{name}"));
        paths.find(|path| self.has(path))
    }

    pub(super) fn has_journal(&self) -> bool {
        self.has("/var/log/journal") || self.has("/run/log/journal")
    }

    /// The files that a pattern with `*` means.
    pub(super) fn files(&self, pattern: &str) -> Vec<String> {
        let mut found = vec![String::new()];
        for part in pattern.split('/').filter(|part| !part.is_empty()) {
            let next = found.iter().flat_map(|folder| {
                let names = if part.contains('*') {
                    self.names(folder)
                } else {
                    vec![part.to_owned()]
                };
                let fitting = names.into_iter().filter(|name| fits(part, name));
                fitting.map(|name| format!("{folder}/{name}")).collect::<Vec<_>>()
            });
            found = next.filter(|path| self.has(path)).take(FILES_LIMIT).collect();
        }
        found.retain(|path| self.path(path).is_file());
        found
    }

    /// Addresses that must not be banned, each with what it is; this program's own environment tells who runs it.
    pub(super) fn friends(&self, connection: Option<&str>) -> BTreeMap<IpAddr, &'static str> {
        let mut friends = BTreeMap::new();
        let mut add = |address: IpAddr, what| {
            if !address.is_loopback() && !address.is_unspecified() {
                friends.entry(address.to_canonical()).or_insert(what);
            }
        };
        let word = |text: &str| text.split_whitespace().next().and_then(|word| word.parse().ok());
        if let Some(address) = connection.and_then(word) {
            add(address, "who runs this");
        }
        for name in self.names("run/systemd/sessions") {
            let text = self.text(&format!("run/systemd/sessions/{name}"));
            let hosts = text.lines().filter_map(|line| line.strip_prefix("REMOTE_HOST="));
            hosts
                .filter_map(|host| host.trim().parse().ok())
                .for_each(|address| add(address, "logged in"));
        }
        for path in ["run/utmp", "var/run/utmp"] {
            let bytes = self.bytes(path);
            let records = bytes
                .chunks_exact(UTMP_RECORD)
                .filter(|record| record.starts_with(&UTMP_USER_PROCESS));
            records
                .filter_map(logged_in)
                .for_each(|address| add(address, "logged in"));
        }
        let own = addresses::ipv4(&self.text("proc/net/fib_trie"));
        for address in own {
            add(address.into(), "this machine");
        }
        let own = addresses::ipv6(&self.text("proc/net/if_inet6"));
        for address in own {
            add(address.into(), "this machine");
        }
        for line in self.text("proc/net/route").lines() {
            let mut fields = line.split_whitespace().skip(1);
            if let (Some("00000000"), Some(gateway)) = (fields.next(), fields.next())
                && let Ok(gateway) = u32::from_str_radix(gateway, 16)
            {
                add(Ipv4Addr::from(gateway.swap_bytes()).into(), "gateway");
            }
        }
        for line in self.text("proc/net/ipv6_route").lines() {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if let [_, "00", _, _, gateway, ..] = fields.as_slice()
                && let Ok(gateway) = u128::from_str_radix(gateway, 16)
            {
                add(Ipv6Addr::from(gateway).into(), "gateway");
            }
        }
        for line in self.text("etc/resolv.conf").lines() {
            let server = line.trim().strip_prefix("nameserver").map(str::trim);
            if let Some(address) = server.and_then(|server| server.parse().ok()) {
                add(address, "name server");
            }
        }
        friends
    }

    /// The firewalls that are in use.
    pub(super) fn firewalls(&self) -> Vec<&'static str> {
        let mut found = Vec::new();
        if self
            .text("etc/ufw/ufw.conf")
            .lines()
            .any(|line| line.trim().eq_ignore_ascii_case("ENABLED=yes"))
        {
            found.push("ufw");
        }
        for (unit, name) in [
            ("firewalld", "firewalld"),
            ("nftables", "nftables"),
            ("netfilter-persistent", "iptables"),
            ("shorewall", "shorewall"),
        ] {
            if self.is_enabled(unit) {
                found.push(name);
            }
        }
        if !self.text("proc/net/ip_tables_names").trim().is_empty() && !found.contains(&"iptables") {
            found.push("iptables");
        }
        found
    }

    /// Programs that run containers.
    pub(super) fn containers(&self) -> Vec<&'static str> {
        let known = ["dockerd", "podman", "lxc-start", "incusd"];
        known.into_iter().filter(|name| self.program(name).is_some()).collect()
    }
}

/// The address of a record of utmp; one whose last three words are zero is of IPv4.
fn logged_in(record: &[u8]) -> Option<IpAddr> {
    let address: [u8; 16] = record.get(UTMP_ADDRESS..)?.get(..16)?.try_into().ok()?;
    let [a, b, c, d, rest @ ..] = address;
    Some(if rest == [0; 12] {
        Ipv4Addr::new(a, b, c, d).into()
    } else {
        Ipv6Addr::from(address).into()
    })
}

/// Whether a name fits a pattern with `*`.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut left) = name.strip_prefix(first) else {
        return false;
    };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some((_, after)) = left.split_once(piece) else {
            return false;
        };
        left = after;
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_in_a_shell() {
        for (pattern, name, is_fit) in [
            ("*error.log", "error.log", true),
            ("*error.log", "site-error.log", true),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "aXc", false),
            ("x", "y", false),
        ] {
            assert_eq!(fits(pattern, name), is_fit, "{pattern} {name}");
        }
    }

    #[test]
    fn a_record_of_utmp_has_an_address_of_either_kind() {
        let mut record = [0; UTMP_RECORD];
        record[UTMP_ADDRESS..UTMP_ADDRESS + 4].copy_from_slice(&[192, 0, 2, 7]);
        assert_eq!(logged_in(&record), Some(Ipv4Addr::new(192, 0, 2, 7).into()));
        record[UTMP_ADDRESS..UTMP_ADDRESS + 16]
            .copy_from_slice(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
        assert_eq!(logged_in(&record), "2001:db8::9".parse().ok());
    }
}
