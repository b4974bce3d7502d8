//! What runs on the machine, and at which ports it listens: from /proc, containers left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::machine::Machine;

/// Ports of UDP from here on are calls and questions of the moment, not services.
const MOMENTARY: u16 = 10_000;
/// More additional ports of one service are no ports that it is reached at.
const MOST_PORTS: usize = 8;
/// What the cgroup of a process in a container has in it.
const CONTAINERS: [&str; 6] = ["docker", "libpod", "containerd", "kubepods", "crio", "lxc"];
/// States of sockets that wait for others: of TCP and of UDP.
const LISTENING: [(&str, &str); 4] = [
    ("proc/net/tcp", "0A"),
    ("proc/net/tcp6", "0A"),
    ("proc/net/udp", "07"),
    ("proc/net/udp6", "07"),
];

/// The programs that run, each with the ports at which others reach it.
pub(super) struct Running(BTreeMap<String, BTreeSet<u16>>);

impl Running {
    pub(super) fn of(machine: &Machine) -> Self {
        let sockets = sockets(machine);
        let mut programs: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
        let processes = machine.names("proc").into_iter();
        for process in processes.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
            let group = machine.text(&format!("proc/{process}/cgroup"));
            if CONTAINERS.iter().any(|container| group.contains(container)) {
                continue;
            }
            let name = machine.text(&format!("proc/{process}/comm")).trim_end().to_owned();
            let ports = programs.entry(name).or_default();
            let open = fs::read_dir(machine.path(&format!("proc/{process}/fd")));
            for entry in open.into_iter().flatten().flatten() {
                let Ok(to) = fs::read_link(entry.path()) else { continue };
                let to = to.to_string_lossy();
                let inode = to.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
                ports.extend(inode.and_then(|inode| sockets.get(inode)));
            }
        }
        Self(programs)
    }

    /// Whether one of these programs runs.
    pub(super) fn has(&self, programs: &[&str]) -> bool {
        programs.iter().any(|program| self.ports_of(program).is_some())
    }

    fn ports_of(&self, program: &str) -> Option<&BTreeSet<u16>> {
        // The kernel keeps 15 letters.
        self.0.get(program.get(..15).unwrap_or(program))
    }

    /// Ports of these programs that are not among those of a jail; `services` is `/etc/services`.
    pub(super) fn missing(&self, programs: &[&str], jail: &str, services: &str) -> Vec<u16> {
        let Some(ranges) = ranges(jail, services) else {
            return Vec::new();
        };
        let ports = programs.iter().filter_map(|program| self.ports_of(program)).flatten();
        let missing = ports.filter(|port| !ranges.iter().any(|(from, to)| (from..=to).contains(port)));
        let missing: BTreeSet<u16> = missing.copied().collect();
        if missing.len() > MOST_PORTS {
            return Vec::new();
        }
        missing.into_iter().collect()
    }
}

/// The ports that others can reach, by the inode of their socket.
fn sockets(machine: &Machine) -> BTreeMap<String, u16> {
    let mut sockets = BTreeMap::new();
    for (path, listening) in LISTENING {
        for line in machine.text(path).lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (Some(local), Some(state), Some(inode)) = (fields.get(1), fields.get(3), fields.get(9)) else {
                continue;
            };
            let Some((address, port)) = local.split_once(':') else {
                continue;
            };
            // As the kernel writes 127.0.0.1, ::ffff:127.0.0.1 and ::1.
            let is_loopback = address.len() == 8 && address.ends_with("7F")
                || address.starts_with("0000000000000000FFFF0000") && address.ends_with("7F")
                || address == "00000000000000000000000001000000";
            let Ok(port) = u16::from_str_radix(port, 16) else {
                continue;
            };
            let is_momentary = path.contains("udp") && port >= MOMENTARY;
            if *state == listening && !is_loopback && !is_momentary {
                sockets.insert((*inode).to_owned(), port);
            }
        }
    }
    sockets
}

/// The ports of a jail, from and to; `None` if one of them is not known.
fn ranges(jail: &str, services: &str) -> Option<Vec<(u16, u16)>> {
    let number = |text: &str| {
        let named = || {
            let mut lines = services.lines().map(|line| line.split('#').next().unwrap_or_default());
            lines.find_map(|line| {
                let mut words = line.split_whitespace();
                let name = words.next()?;
                let port = words.next()?.split('/').next()?;
                (name == text || words.any(|alias| alias == text)).then(|| port.parse().ok())?
            })
        };
        text.parse::<u16>().ok().or_else(named)
    };
    let parts = jail.split(',').map(str::trim).filter(|part| !part.is_empty());
    let ranges = parts.map(|part| match part.split_once([':', '-']) {
        Some((from, to)) if from.bytes().all(|byte| byte.is_ascii_digit()) => Some((number(from)?, number(to)?)),
        _ => number(part).map(|port| (port, port)),
    });
    ranges.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_a_jail_are_numbers_names_and_ranges() {
        let services = "# x\nhttp 80/tcp www # web\nhttps 443/tcp\nsieve 4190/tcp\n";
        for (jail, expected) in [
            ("http,https", Some(vec![(80, 80), (443, 443)])),
            ("www, 3000", Some(vec![(80, 80), (3000, 3000)])),
            ("0:65535", Some(vec![(0, 65535)])),
            ("nothing", None),
        ] {
            assert_eq!(ranges(jail, services), expected, "{jail}");
        }
    }
}
