//! Which commands are known. Pure.
//!
//! The forms are those of Fail2Ban's action.d with all tags filled in, and those of the built-in configuration. Between the fixed words only
//! plain words may stand: letters, digits and `._:/-`, which mean the same to the shell and to the kernel.

use std::net::IpAddr;

use stockade_firewall::{NamedSet, TableFamily};

use super::{Chain, Place, Step};

/// What the program ipset takes as a time.
const LONGEST_TIMEOUT: u32 = 2_147_483;

/// What a command would change for an address.
pub(super) fn step(text: &str, address: IpAddr) -> Option<Step> {
    let text = text.trim();
    if text.len() > 4096 {
        return None;
    }
    nftables(text, address)
        .or_else(|| ipset(text, address))
        .or_else(|| iptables(text, address))
}

fn is_plain(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "._:/-".contains(c))
}

/// A plain word that is no option.
fn is_name(word: &str) -> bool {
    is_plain(word) && !word.starts_with('-')
}

/// The words of a command that the shell would take as they are.
fn words(text: &str) -> Option<Vec<&str>> {
    let words: Vec<&str> = text.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
    words.iter().all(|word| is_plain(word)).then_some(words)
}

/// Whether a word is this address as we write addresses into commands.
fn is_address(word: &str, address: IpAddr) -> bool {
    word.parse() == Ok(address)
}

/// `nft add element inet f2b-table addr-set-sshd \{ 192.0.2.1 \}`
fn nftables(text: &str, address: IpAddr) -> Option<Step> {
    let rest = text.strip_prefix("nft ")?;
    let (before, inside) = rest.split_once(r"\{")?;
    let inside = inside.strip_suffix(r"\}")?.trim();
    let words = words(before)?;
    let [verb @ ("add" | "delete"), "element", family, table, set] = *words else {
        return None;
    };
    (is_name(table) && is_name(set) && is_address(inside, address)).then_some(())?;
    Some(Step {
        place: Place::Set(NamedSet {
            family: TableFamily::parse(family)?,
            table: table.to_owned(),
            set: set.to_owned(),
        }),
        entry: (address, None),
        is_added: verb == "add",
    })
}

/// `ipset -exist add f2b-sshd 192.0.2.1 timeout 0` and its kin.
fn ipset(text: &str, address: IpAddr) -> Option<Step> {
    text.starts_with("ipset ").then_some(())?;
    // The check before belongs to it: what is there is not added, what is not there is not deleted.
    let (text, tested) = match text.split_once("||").or_else(|| text.split_once("&&")) {
        Some((test, change)) if !text.contains("$(") => {
            let ["ipset", "--test", set, word] = *words(test)? else {
                return None;
            };
            is_address(word, address).then_some(())?;
            (change.trim(), Some((set, text.contains("||"))))
        }
        _ => (text, None),
    };
    let (text, computed) = match text.split_once("$(") {
        Some((before, expression)) => (before, Some(computed_timeout(expression)?)),
        None => (text, None),
    };
    let mut words = words(text)?;
    let exist = words.iter().position(|word| *word == "-exist");
    if let Some(exist) = exist {
        words.remove(exist);
    }
    let (verb, set, word, timeout) = match (words.as_slice(), computed) {
        (["ipset", verb, set, word], None) => (*verb, *set, *word, None),
        (["ipset", verb, set, word, "timeout", seconds], None) => (*verb, *set, *word, Some(seconds.parse().ok()?)),
        (["ipset", verb, set, word, "timeout"], Some(seconds)) => (*verb, *set, *word, Some(seconds)),
        _ => return None,
    };
    let is_added = match (verb, exist.is_some(), tested) {
        ("add", true, None) => true,
        ("del", true, None) if timeout.is_none() => false,
        ("--add", false, Some((tested, true))) if tested == set => true,
        ("--del", false, Some((tested, false))) if tested == set && timeout.is_none() => false,
        _ => return None,
    };
    let is_sound =
        is_name(set) && is_address(word, address) && timeout.is_none_or(|seconds| seconds <= LONGEST_TIMEOUT);
    is_sound.then(|| Step {
        place: Place::Ipset(set.to_owned()),
        entry: (address, timeout),
        is_added,
    })
}

/// The seconds of `[ "600" -le 2147483 ] && echo "600" || echo 0)`.
fn computed_timeout(expression: &str) -> Option<u32> {
    let (seconds, rest) = expression.strip_prefix("[ \"")?.split_once('"')?;
    (rest == format!(" -le 2147483 ] && echo \"{seconds}\" || echo 0)")).then_some(())?;
    let seconds: u32 = seconds.parse().ok()?;
    Some(if seconds <= LONGEST_TIMEOUT { seconds } else { 0 })
}

/// `iptables -w -I f2b-sshd 1 -s 192.0.2.1 -j REJECT --reject-with icmp-port-unreachable` and its kin.
fn iptables(text: &str, address: IpAddr) -> Option<Step> {
    let once = text.split_once(" 2>/dev/null || ");
    let (chain, verb) = rule(once.map_or(text, |(_, change)| change), address)?;
    let is_added = match verb {
        "-I" => true,
        "-D" if chain.position.is_empty() && once.is_none() => false,
        _ => return None,
    };
    let chain = match once {
        None => chain,
        Some((check, _)) => {
            let (checked, verb) = rule(check, address)?;
            let same = checked.program == chain.program
                && checked.lock == chain.lock
                && checked.name == chain.name
                && checked.target == chain.target;
            (same && verb == "-C" && checked.position.is_empty()).then_some(())?;
            Chain { once: true, ..chain }
        }
    };
    Some(Step {
        place: Place::Chain(chain),
        entry: (address, None),
        is_added,
    })
}

/// The chain of one call of iptables, and what is to become of the address's rule in it.
fn rule(text: &str, address: IpAddr) -> Option<(Chain, &str)> {
    let words = words(text)?;
    let (program, mut rest) = words.split_first()?;
    let family = program.rsplit('/').next()?;
    let is_ours = match family {
        "iptables" | "iptables-nft" | "iptables-legacy" => address.is_ipv4(),
        "ip6tables" | "ip6tables-nft" | "ip6tables-legacy" => address.is_ipv6(),
        _ => false,
    };
    is_ours.then_some(())?;
    let mut lock = Vec::new();
    while let [option @ ("-w" | "--wait"), after @ ..] = rest {
        lock.push((*option).to_owned());
        rest = after;
        if let [seconds, after @ ..] = rest
            && seconds.bytes().all(|byte| byte.is_ascii_digit())
        {
            lock.push((*seconds).to_owned());
            rest = after;
        }
    }
    let [verb @ ("-I" | "-D" | "-C"), name, rest @ ..] = rest else {
        return None;
    };
    let (position, rest) = match rest {
        ["1", rest @ ..] => ("1", rest),
        rest => ("", rest),
    };
    let ["-s", word, "-j", target @ ..] = rest else {
        return None;
    };
    // After the target only its own options, which are long.
    let (first, options) = target.split_first()?;
    let are_options = options
        .iter()
        .all(|word| !word.starts_with('-') || word.starts_with("--"));
    let is_sound = is_name(name) && is_name(first) && is_address(word, address) && are_options;
    is_sound.then(|| {
        let chain = Chain {
            program: (*program).to_owned(),
            lock,
            name: (*name).to_owned(),
            position: position.to_owned(),
            target: target.join(" "),
            once: false,
        };
        (chain, *verb)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, address: &str) -> String {
        step(text, address.parse().unwrap()).map_or_else(
            || "as written".to_owned(),
            |step| {
                let verb = if step.is_added { "add" } else { "delete" };
                let place = match step.place {
                    Place::Set(set) => format!("set {} {}", set.table, set.set),
                    Place::Ipset(set) => format!("ipset {set}"),
                    Place::Chain(chain) => format!(
                        "{} {:?} {} {:?} {}{}",
                        chain.program,
                        chain.lock,
                        chain.name,
                        chain.position,
                        chain.target,
                        if chain.once { " once" } else { "" }
                    ),
                };
                format!("{verb} {place} {:?}", step.entry.1)
            },
        )
    }

    #[test]
    fn knows_the_stock_commands_and_their_kin() {
        for (text, expected) in [
            (
                r"nft add element inet f2b-table addr-set-sshd \{ 192.0.2.1 \}",
                "add set f2b-table addr-set-sshd None",
            ),
            (
                r"nft delete element inet f2b-table addr-set-sshd \{ 192.0.2.1 \}",
                "delete set f2b-table addr-set-sshd None",
            ),
            ("ipset -exist add f2b-x 192.0.2.1 timeout 0", "add ipset f2b-x Some(0)"),
            ("ipset -exist del f2b-x 192.0.2.1", "delete ipset f2b-x None"),
            (
                "ipset add f2b-x 192.0.2.1 timeout 600 -exist",
                "add ipset f2b-x Some(600)",
            ),
            (
                "ipset -exist add f2b-x 192.0.2.1 timeout $([ \"600\" -le 2147483 ] && echo \"600\" || echo 0)",
                "add ipset f2b-x Some(600)",
            ),
            (
                "ipset -exist add f2b-x 192.0.2.1 timeout $([ \"3000000\" -le 2147483 ] && echo \"3000000\" || echo 0)",
                "add ipset f2b-x Some(0)",
            ),
            (
                "ipset --test f2b-x 192.0.2.1 ||  ipset --add f2b-x 192.0.2.1",
                "add ipset f2b-x None",
            ),
            (
                "ipset --test f2b-x 192.0.2.1 && ipset --del f2b-x 192.0.2.1",
                "delete ipset f2b-x None",
            ),
            (
                "iptables -w -I f2b-x 1 -s 192.0.2.1 -j REJECT --reject-with icmp-port-unreachable",
                "add iptables [\"-w\"] f2b-x \"1\" REJECT --reject-with icmp-port-unreachable None",
            ),
            (
                "/usr/sbin/iptables-legacy -w 5 -D f2b-x -s 192.0.2.1 -j DROP",
                "delete /usr/sbin/iptables-legacy [\"-w\", \"5\"] f2b-x \"\" DROP None",
            ),
            (
                "iptables -C f2b-x -s 192.0.2.1 -j DROP 2>/dev/null || iptables -I f2b-x 1 -s 192.0.2.1 -j DROP",
                "add iptables [] f2b-x \"1\" DROP once None",
            ),
        ] {
            assert_eq!(shown(text, "192.0.2.1"), expected, "{text}");
        }
        assert_eq!(
            shown("ip6tables -w -D f2b-x -s 2001:db8::1 -j DROP", "2001:db8::1"),
            "delete ip6tables [\"-w\"] f2b-x \"\" DROP None"
        );
    }

    #[test]
    fn whatever_differs_is_run_as_written() {
        for text in [
            "",
            r"nft add element inet f2b-table addr-set-sshd \{ 192.0.2.2 \}",
            r"nft add element inet f2b-table addr-set-sshd \{ 192.0.2.1 timeout 5m \}",
            r"nft add element inet f2b-table addr-set-sshd \{ 192.0.2.1 \}; logger banned",
            r"nft add element inet f2b-table $set \{ 192.0.2.1 \}",
            r"nft -a add element inet f2b-table s \{ 192.0.2.1 \}",
            r"nft add element nonsense f2b-table s \{ 192.0.2.1 \}",
            r"sudo nft add element inet f2b-table s \{ 192.0.2.1 \}",
            "nft add element inet t s \\{ 192.0.2.1 \\}\nlogger banned",
            "ipset add f2b-x 192.0.2.1",
            "ipset -exist add f2b-x 192.0.2.1 timeout 3000000",
            "ipset -exist add f2b-x 192.0.2.1 comment spam",
            "ipset -exist del f2b-x 192.0.2.1 timeout 5",
            "ipset -exist flush f2b-x",
            "ipset --test f2b-y 192.0.2.1 || ipset --add f2b-x 192.0.2.1",
            "ipset --test f2b-x 192.0.2.1 && ipset --add f2b-x 192.0.2.1",
            "ipset -exist add f2b-x 192.0.2.1 timeout $([ \"600\" -le 2147483 ] && echo \"60\" || echo 0)",
            "ipset -exist add f2b-x 192.0.2.1 timeout $([ \"-1\" -le 2147483 ] && echo \"-1\" || echo 0)",
            "iptables -w -I f2b-x 2 -s 192.0.2.1 -j DROP",
            "iptables -w -A f2b-x -s 192.0.2.1 -j DROP",
            "iptables -w -I f2b-x 1 -s 192.0.2.1/24 -j DROP",
            "iptables -w -I f2b-x 1 -s 192.0.2.1 -p tcp -j DROP",
            "iptables -w -I f2b-x 1 -s 192.0.2.1 -j LOG --log-prefix \"x\"",
            "iptables -w -I f2b-x 1 -s 192.0.2.1 -j DROP -m comment --comment x",
            "iptables -t raw -I f2b-x 1 -s 192.0.2.1 -j DROP",
            "iptables -w -I f2b-x 1 -s 192.0.2.1 -j DROP && logger banned",
            "iptables -w -I f2b-x 1 -s 192.0.2.1 -j DROP\nlogger banned",
            "iptables -C f2b-y -s 192.0.2.1 -j DROP 2>/dev/null || iptables -I f2b-x 1 -s 192.0.2.1 -j DROP",
            "ip6tables -w -I f2b-x 1 -s 192.0.2.1 -j DROP",
            "echo +192.0.2.1 > /proc/net/xt_recent/f2b-x",
        ] {
            assert_eq!(shown(text, "192.0.2.1"), "as written", "{text}");
        }
    }
}
