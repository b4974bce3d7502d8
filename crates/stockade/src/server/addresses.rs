//! This host's own addresses, for `ignoreself`, and files of addresses, for `ignoreip`.
//!
//! The kernel lists them in two text files; no name is looked up, so a wrong host name can neither shield nor expose anybody.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::OpenOptionsExt;

/// A file of addresses is read up to this length: a million addresses.
const LIST_LIMIT_BYTES: u64 = 16 << 20;

/// Reads a file that `ignoreip` names. Never waits: a pipe or a device is an error.
pub(crate) fn list(path: &str) -> io::Result<String> {
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    if metadata.len() > LIST_LIMIT_BYTES {
        return Err(io::Error::other("it is larger than 16 MiB"));
    }
    let mut bytes = Vec::new();
    file.take(LIST_LIMIT_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// All addresses of all interfaces, as they are now; sorted.
pub(crate) fn own() -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    if let Ok(text) = std::fs::read_to_string("/proc/net/fib_trie") {
        found.extend(ipv4(&text).into_iter().map(IpAddr::from));
    }
    if let Ok(text) = std::fs::read_to_string("/proc/net/if_inet6") {
        found.extend(ipv6(&text).into_iter().map(IpAddr::from));
    }
    // Also where /proc is not mounted, an administrator on this machine is not to be locked out.
    found.push(IpAddr::from(Ipv4Addr::LOCALHOST));
    found.push(IpAddr::from(Ipv6Addr::LOCALHOST));
    found.sort_unstable();
    found.dedup();
    found
}

/// `|-- 192.0.2.10` followed by `/32 host LOCAL` is an address of this host.
pub(crate) fn ipv4(text: &str) -> Vec<Ipv4Addr> {
    let mut last: Option<Ipv4Addr> = None;
    let mut found = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse().ok();
        } else if line == "/32 host LOCAL" {
            found.extend(last);
        }
    }
    found
}

/// Each line begins with the address as 32 hexadecimal digits.
pub(crate) fn ipv6(text: &str) -> Vec<Ipv6Addr> {
    text.lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|digits| digits.len() == 32)
        .filter_map(|digits| u128::from_str_radix(digits, 16).ok())
        .map(Ipv6Addr::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_lists() {
        let v4 = "Local:\n  +-- 192.0.2.0/24 2 0 2\n     |-- 192.0.2.10\n        /32 host LOCAL\n     |-- 192.0.2.255\n        /32 link BROADCAST\n";
        assert_eq!(ipv4(v4), [Ipv4Addr::new(192, 0, 2, 10)]);
        let v6 = "20010db8000000000000000000000010 02 40 00 80     eth0\n00000000000000000000000000000001 01 80 10 80       lo\n";
        assert_eq!(
            ipv6(v6),
            ["2001:db8::10".parse::<Ipv6Addr>().unwrap(), Ipv6Addr::LOCALHOST]
        );
    }

    #[test]
    fn a_list_of_addresses_is_a_regular_file_of_bounded_length() {
        for path in ["/dev/zero", "/proc", "/nonexistent"] {
            assert!(list(path).is_err(), "{path}");
        }
        let file = std::env::temp_dir().join(format!("stockade-list-{}", std::process::id()));
        std::fs::write(&file, b"192.0.2.1 # \xff\n").unwrap();
        let content = list(&file.to_string_lossy()).unwrap();
        std::fs::remove_file(&file).unwrap();
        assert!(content.starts_with("192.0.2.1 # "));
    }

    #[test]
    fn loopback_is_always_our_own() {
        assert!(own().contains(&IpAddr::from(Ipv4Addr::LOCALHOST)));
        assert!(own().contains(&IpAddr::from(Ipv6Addr::LOCALHOST)));
    }
}
