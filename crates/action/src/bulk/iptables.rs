//! Rules of iptables: one `iptables-restore --noflush` for many bans, which the kernel takes whole or not at all.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};

use super::Chain;
use crate::run;

/// From so many on, rules are not deleted one by one, each of which costs iptables a look at all others, but the chain is written anew.
const REWRITE: usize = 20;

/// A listing is read up to this size: a million rules.
const LONGEST_LISTING: u64 = 128 << 20;

/// Whether this iptables is what it seems, with its `-restore` beside it: both are names of one binary.
pub(super) fn has_restore(path: &Path) -> bool {
    let (Ok(program), Some(Ok(restore))) = (path.canonicalize(), restore(path).map(|path| path.canonicalize())) else {
        return false;
    };
    let is_multi = |path: &Path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("xtables-"))
    };
    program == restore && is_multi(&program)
}

fn restore(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    Some(path.with_file_name(format!("{name}-restore")))
}

/// Adds rules for addresses, or deletes them. False if nothing was changed.
pub(super) fn change(program: &Path, chain: &Chain, addresses: &[IpAddr], is_added: bool, limit: Duration) -> bool {
    if !is_added {
        let is_deleted = addresses.len() < REWRITE && apply(program, chain, &lines(chain, addresses, false), limit);
        return is_deleted || rewrite(program, chain, addresses, limit).is_some();
    }
    if !chain.once {
        return apply(program, chain, &lines(chain, addresses, true), limit);
    }
    let Some(there) = elements(program, chain, limit) else {
        return false;
    };
    let absent: Vec<IpAddr> = addresses
        .iter()
        .filter(|address| !there.contains(address))
        .copied()
        .collect();
    absent.is_empty() || apply(program, chain, &lines(chain, &absent, true), limit)
}

/// The addresses that are banned in a chain.
pub(super) fn elements(program: &Path, chain: &Chain, limit: Duration) -> Option<HashSet<IpAddr>> {
    let listing = list(program, chain, limit)?;
    let rules: Vec<&str> = listing.lines().collect();
    Some(bans(&rules, chain).map(|(_, address)| address).collect())
}

/// One line for each address.
fn lines(chain: &Chain, addresses: &[IpAddr], is_added: bool) -> String {
    let Chain {
        name, position, target, ..
    } = chain;
    let mut lines = String::new();
    for address in addresses {
        let written = if is_added {
            writeln!(lines, "-I {name} {position} -s {address} -j {target}")
        } else {
            writeln!(lines, "-D {name} -s {address} -j {target}")
        };
        // Writing to a string does not fail.
        let _ = written;
    }
    lines
}

/// The rules of a listing that are bans of this chain, with their places.
fn bans<'a>(rules: &'a [&str], chain: &Chain) -> impl Iterator<Item = (usize, IpAddr)> + use<'a> {
    let prefix = format!("-A {} -s ", chain.name);
    // The kernel fills in the target's defaults, so its options cannot be compared.
    let target = chain.target.split(' ').next().unwrap_or_default().to_owned();
    rules.iter().enumerate().filter_map(move |(place, line)| {
        let (source, rest) = line.strip_prefix(&prefix)?.split_once(' ')?;
        let address = source.strip_suffix("/32").or_else(|| source.strip_suffix("/128"))?;
        let rest = without_counters(rest).strip_prefix("-j ")?;
        let is_ban = rest.split(' ').next() == Some(target.as_str());
        Some((place, address.parse().ok().filter(|_| is_ban)?))
    })
}

/// A listing with counters has `-c PACKETS BYTES` before the target.
fn without_counters(rest: &str) -> &str {
    rest.strip_prefix("-c ")
        .and_then(|rest| rest.splitn(3, ' ').nth(2))
        .unwrap_or(rest)
}

/// Takes addresses out of a chain by writing what remains of it anew, counters and all. One that is not there is no error.
fn rewrite(program: &Path, chain: &Chain, addresses: &[IpAddr], limit: Duration) -> Option<()> {
    let listing = list(program, chain, limit)?;
    let rules: Vec<&str> = listing.lines().collect();
    let mut wanted: HashMap<IpAddr, usize> = HashMap::new();
    for address in addresses {
        *wanted.entry(*address).or_default() += 1;
    }
    let mut is_gone = vec![false; rules.len()];
    for (place, address) in bans(&rules, chain) {
        if let (Some(times @ 1..), Some(slot)) = (wanted.get_mut(&address), is_gone.get_mut(place)) {
            *times -= 1;
            *slot = true;
        }
    }
    if !is_gone.contains(&true) {
        return Some(());
    }
    let mut lines = format!("-F {}\n", chain.name);
    for (line, is_gone) in rules.iter().zip(&is_gone) {
        if !is_gone && line.starts_with("-A ") {
            lines.push_str(line);
            lines.push('\n');
        }
    }
    apply(program, chain, &lines, limit).then_some(())
}

/// The chain's rules as `iptables -v -S` writes them.
fn list(program: &Path, chain: &Chain, limit: Duration) -> Option<String> {
    let output = memory_file().ok()?;
    let mut words: Vec<&str> = chain.lock.iter().map(String::as_str).collect();
    words.extend(["-v", "-S", &chain.name]);
    let outcome = run::run_program(program, &words, None, Some(output.try_clone().ok()?), limit);
    outcome.is_success().then_some(())?;
    let mut text = String::new();
    let mut output = output;
    output.rewind().ok()?;
    output.take(LONGEST_LISTING).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Has `iptables-restore` carry out these lines.
fn apply(program: &Path, chain: &Chain, lines: &str, limit: Duration) -> bool {
    let input = || {
        let mut input = memory_file()?;
        input.write_all(b"*filter\n")?;
        input.write_all(lines.as_bytes())?;
        input.write_all(b"COMMIT\n")?;
        input.rewind()?;
        io::Result::Ok(input)
    };
    let (Ok(input), Some(restore)) = (input(), restore(program)) else {
        return false;
    };
    let mut words = vec!["--noflush"];
    words.extend(chain.lock.iter().map(String::as_str));
    run::run_program(&restore, &words, Some(input), None, limit).is_success()
}

/// A file without a name, gone with its last reader.
fn memory_file() -> io::Result<File> {
    Ok(File::from(memfd_create("stockade", MemfdFlags::CLOEXEC)?))
}
