//! Whether the actions of a jail block the ports of its service.

use std::collections::BTreeSet;
use std::fs;

use stockade_config::{About, ActionConfig, ActionKind, Diagnostic, JailConfig, Place, Value};

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

/// A doubt if all actions of the jail that block ports leave out every port of the jail, which is `port` and stands at `place`.
pub(super) fn reached(jail: &JailConfig, port: &str, place: &Place) -> Option<Diagnostic> {
    let wanted = Ports::parse(port)?;
    let blocking: Vec<&ActionConfig> = jail.actions.iter().filter(|action| blocks(action)).collect();
    let blocked: Vec<(&str, &str)> = blocking
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
    let what = format!("no action of the jail `{}` blocks its port {port}", jail.name);
    Some(Diagnostic {
        place: Some(place.clone()),
        about: Some(About::all(port)),
        ..doubt(
            jail,
            what,
            &format!("{}; whoever is banned still reaches the service", told.join(", ")),
            "give the action port=\"%(port)s\", or one that blocks all ports".to_owned(),
        )
    })
}

/// A property of an action, if it is text.
fn property<'a>(action: &'a ActionConfig, name: &str) -> Option<&'a str> {
    properties(action)
        .find(|(known, _)| *known == name)
        .map(|(_, text)| text)
}

fn properties(action: &ActionConfig) -> impl Iterator<Item = (&str, &str)> {
    let properties = match &action.kind {
        ActionKind::Properties(properties) => properties.as_slice(),
        ActionKind::Python { .. } => &[],
    };
    properties.iter().filter_map(|property| match &property.value {
        Value::Text(text) => Some((property.name.as_str(), text.as_str())),
        _ => None,
    })
}

/// The commands of an action.
fn commands(action: &ActionConfig) -> impl Iterator<Item = &str> {
    let commands = properties(action).filter(|(name, _)| stockade_config::is_command(name));
    commands.map(|(_, text)| text)
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || "-_.,:".contains(c)))
}

fn blocks(action: &ActionConfig) -> bool {
    let starts_blocker = |text: &str| words(text).any(|word| BLOCKERS.contains(&word));
    property(action, "native").is_some() || commands(action).any(starts_blocker)
}

/// The ports an action blocks; `None` if it blocks all.
fn ports_of(action: &ActionConfig) -> Option<&str> {
    let port = property(action, "port")?;
    let native = property(action, "native").is_some() && property(action, "type") != Some("allports");
    let quoted = format!("'{port}'");
    let names = |text: &str| words(text).any(|word| word == port) || text.contains(&quoted);
    (native || commands(action).any(names)).then_some(port)
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
