//! Whether the actions of a jail block the ports of its service.

use std::collections::BTreeSet;
use std::fs;

use stockade_config::{About, Diagnostic, Part, Shown};

use super::findings::doubt;

/// Programs that block, by which an action that blocks is known.
const BLOCKERS: &[&str] = &[
    "iptables",
    "ip6tables",
    "nft",
    "ipset",
    "firewall-cmd",
    "ufw",
    "shorewall",
    "pfctl",
    "ipfw",
    "route",
    "ip",
];

/// A doubt if all actions of the jail that block ports leave out every port of `port`.
pub(super) fn reached(shown: &Shown) -> Option<Diagnostic> {
    let port = shown.own.option("port")?;
    let wanted = Ports::parse(&port.value)?;
    let blocking: Vec<&Part> = shown.actions.iter().filter(|action| blocks(action)).collect();
    let blocked: Vec<(&str, String)> = blocking
        .iter()
        .filter_map(|action| Some((action.name.as_str(), ports_of(action)?)))
        .collect();
    // One that blocks all ports blocks those of the service too.
    if blocked.is_empty() || blocked.len() < blocking.len() {
        return None;
    }
    let misses = |text: &str| Ports::parse(text).is_some_and(|ports| !ports.meets(&wanted));
    if !blocked.iter().all(|(_, ports)| misses(ports)) {
        return None;
    }
    let told: Vec<String> = blocked
        .iter()
        .map(|(name, ports)| format!("`{name}` blocks {ports}"))
        .collect();
    let what = format!(
        "no action of the jail `{}` blocks its port {}",
        shown.jail.name, port.value
    );
    Some(Diagnostic {
        place: Some(port.place.clone()),
        about: Some(About::all(&port.value)),
        ..doubt(
            &shown.jail,
            what,
            &format!("{}; whoever is banned still reaches the service", told.join(", ")),
            "give the action port=\"%(port)s\", or one that blocks all ports".to_owned(),
        )
    })
}

/// The commands of an action.
fn commands(action: &Part) -> impl Iterator<Item = &str> {
    let options = action.options.iter().filter(|option| option.name.starts_with("action"));
    options.map(|option| option.value.as_str())
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || "-_.,:".contains(c)))
}

fn blocks(action: &Part) -> bool {
    action.option("native").is_some() || commands(action).any(|text| words(text).any(|word| BLOCKERS.contains(&word)))
}

/// The ports an action blocks; `None` if it blocks all.
fn ports_of(action: &Part) -> Option<String> {
    let port = &action.option("port")?.value;
    let native = action.option("native").is_some() && action.option("type").is_none_or(|kind| kind.value != "allports");
    let named =
        || commands(action).any(|text| words(text).any(|word| word == port) || text.contains(&format!("'{port}'")));
    (native || named()).then(|| port.clone())
}

/// Port numbers, and names that `/etc/services` does not know.
#[derive(Debug)]
struct Ports {
    ranges: Vec<(u16, u16)>,
    names: BTreeSet<String>,
}

impl Ports {
    /// Reads `ssh`, `80,443`, `1024:2048`; `None` if there is nothing to compare.
    fn parse(text: &str) -> Option<Self> {
        let mut ports = Self {
            ranges: Vec::new(),
            names: BTreeSet::new(),
        };
        for word in text.split([',', ' ']).filter(|word| !word.is_empty()) {
            let (from, to) = word.split_once([':', '-']).unwrap_or((word, word));
            match (number(from), number(to)) {
                (Some(from), Some(to)) => ports.ranges.push((from, to)),
                // A tag or a word that means something to the action only.
                _ if word.contains(['<', '>', '%', '$']) || word == "all" => return None,
                _ => {
                    ports.names.insert(word.to_lowercase());
                }
            }
        }
        (!ports.ranges.is_empty() || !ports.names.is_empty()).then_some(ports)
    }

    fn meets(&self, other: &Self) -> bool {
        let meets = |&(from, to): &(u16, u16)| other.ranges.iter().any(|&(start, end)| from <= end && start <= to);
        self.ranges.iter().any(meets) || !self.names.is_disjoint(&other.names)
    }
}

/// A port by number or by the system's name for it.
fn number(word: &str) -> Option<u16> {
    if let Ok(number) = word.parse() {
        return Some(number);
    }
    let services = fs::read_to_string("/etc/services").ok()?;
    services.lines().find_map(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let (name, port) = (words.next()?, words.next()?);
        let is_meant = name == word || words.any(|alias| alias == word);
        port.split('/').next().filter(|_| is_meant)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_meet_if_they_share_one() {
        for (one, other, meet) in [
            ("22", "22", true),
            ("22", "2222", false),
            ("0:65535", "5060,5061", true),
            ("80,443", "8080", false),
            ("5000:6000", "5060", true),
            ("no-such-service", "no-such-service,22", true),
            ("no-such-service", "22", false),
        ] {
            let ports = |text| Ports::parse(text).unwrap();
            assert_eq!(ports(one).meets(&ports(other)), meet, "{one} {other}");
        }
        assert!(Ports::parse("<port>").is_none());
    }
}
