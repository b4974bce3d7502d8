//! The properties of an action: commands and options, some of them only for one address family.

use std::net::IpAddr;
use std::time::Duration;

use stockade_core::{FailureId, JailName};
use stockade_firewall::{Block, Hook, Target};

use crate::error::ActionError;
use crate::native::Options;
use crate::services::{self, Ports};

/// What a command is run for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Family {
    /// Everything, if the action makes no difference; ids that are no address, if it does.
    Any,
    /// IPv4.
    Inet4,
    /// IPv6.
    Inet6,
}

impl Family {
    pub(crate) fn of(id: &FailureId) -> Self {
        match id {
            FailureId::Addr(IpAddr::V4(_)) | FailureId::Net(stockade_core::IpNet::V4(_)) => Self::Inet4,
            FailureId::Addr(IpAddr::V6(_)) | FailureId::Net(stockade_core::IpNet::V6(_)) => Self::Inet6,
            FailureId::Text(_) => Self::Any,
        }
    }

    /// The value of `<family>`.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Any => "None",
            Self::Inet4 => "inet4",
            Self::Inet6 => "inet6",
        }
    }
}

/// A command that takes longer than this is ended: Fail2Ban's default.
const TIMEOUT: Duration = Duration::from_mins(1);

#[derive(Clone, Debug)]
pub(crate) struct Properties {
    action: String,
    all: Vec<(String, String)>,
}

impl Properties {
    pub(crate) fn new(jail: &JailName, action: &str) -> Self {
        // Fail2Ban's defaults; the client normally sends both.
        let all = vec![
            ("name".to_owned(), jail.to_string()),
            ("actname".to_owned(), action.to_owned()),
        ];
        Self {
            action: action.to_owned(),
            all,
        }
    }

    pub(crate) fn set(&mut self, key: &str, value: &str) -> Result<(), ActionError> {
        if value.len() > 256 * 1024 || value.contains('\0') {
            return Err(self.bad(key, "…", "a text of at most 256 KiB without NUL"));
        }
        match self.all.iter_mut().find(|(known, _)| known == key) {
            Some((_, old)) => value.clone_into(old),
            None => self.all.push((key.to_owned(), value.to_owned())),
        }
        Ok(())
    }

    /// Gives back the room for more; an action seldom gets any.
    pub(crate) fn shrink(&mut self) {
        self.all.shrink_to_fit();
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.all
            .iter()
            .find(|(known, _)| known == key)
            .map(|(_, value)| value.as_str())
    }

    /// The value for a family: `key?family=inet6` before `key`.
    pub(crate) fn get_for(&self, key: &str, family: Family) -> Option<&str> {
        let special = match family {
            Family::Any => None,
            family => self.get(&format!("{key}?family={}", family.text())),
        };
        special.or_else(|| self.get(key))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.all.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// True for the options that `secrets` names, API keys and the like: commands get them as variables, so that they stand neither on a
    /// command line nor in the log.
    pub(crate) fn is_secret(&self, name: &str) -> bool {
        self.get("secrets")
            .is_some_and(|names| names.split([',', ' ', '\n']).any(|secret| secret == name))
    }

    /// True if some option differs by family; then the action starts once per family, when first needed.
    pub(crate) fn is_conditional(&self) -> bool {
        self.all.iter().any(|(key, _)| key.contains("?family="))
    }

    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        self.get(key)
            .map(|value| matches!(value.trim().to_ascii_lowercase().as_str(), "1" | "on" | "true" | "yes"))
    }

    pub(crate) fn timeout(&self) -> Result<Duration, ActionError> {
        let Some(value) = self.get("timeout") else {
            return Ok(TIMEOUT);
        };
        seconds(value)
            .filter(|seconds| (0.001..=86_400.0).contains(seconds))
            .map(Duration::from_secs_f64)
            .ok_or_else(|| self.bad("timeout", value, "a time of at most one day such as 60 or 2m"))
    }

    /// Whether known commands may be done without running them.
    pub(crate) fn may_be_done_in_bulk(&self) -> bool {
        self.get("native").map(str::trim) != Some("no")
    }

    /// Whether the action sends mails, as Fail2Ban's `smtp.py` does.
    pub(crate) fn is_mail(&self) -> bool {
        self.get("native").map(str::trim) == Some("smtp")
    }

    /// What a native action is to do; `None` if the action is made of commands.
    pub(crate) fn native(&self) -> Result<Option<Options>, ActionError> {
        match self.get("native").map(str::trim) {
            None | Some("" | "yes" | "no" | "smtp") => return Ok(None),
            Some("nftables") => {}
            Some(other) => return Err(self.bad("native", other, "`nftables`, `yes` or `no`")),
        }
        let text = |key: &str, default: &str| {
            let value = self
                .get(key)
                .map(str::trim)
                .filter(|value| !value.is_empty())
                .unwrap_or(default);
            let value = if value == "<name>" {
                self.get("name").unwrap_or_default()
            } else {
                value
            };
            if value.len() <= 128 && value.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c)) {
                return Ok(value.to_owned());
            }
            Err(self.bad(key, value, "at most 128 letters, digits, `_`, `-` and `.`"))
        };
        let priority = self.get("chain_priority").unwrap_or("-1").trim();
        let priority = priority
            .parse()
            .map_err(|_| self.bad("chain_priority", priority, "a whole number"))?;
        let protocols = self.get("protocol").unwrap_or("tcp");
        let protocols = services::protocols(protocols).ok_or_else(|| {
            self.bad(
                "protocol",
                protocols,
                "`all`, or a list of tcp, udp, sctp, icmp… or of numbers",
            )
        })?;
        let ports = match self.get("type").map_or("multiport", str::trim) {
            "allports" => None,
            "multiport" | "oneport" => {
                let list = self.get("port").unwrap_or("0:65535");
                match services::ports(list) {
                    Some(Ports::All) => None,
                    Some(Ports::Of(ports)) => Some(ports),
                    None => {
                        return Err(self.bad(
                            "port",
                            list,
                            "`all`, or a list of ports, ranges (a:b) and service names",
                        ));
                    }
                }
            }
            other => return Err(self.bad("type", other, "`multiport` or `allports`")),
        };
        let hooks = self.hooks()?;
        let is_early = hooks.iter().any(|hook| matches!(hook, Hook::Ingress(_)));
        let verdict = self.get("blocktype").unwrap_or("reject").trim();
        let verdict = match verdict.to_ascii_lowercase().split_whitespace().next() {
            Some("drop") => Block::Drop,
            Some("reject") if is_early => {
                return Err(self.bad(
                    "blocktype",
                    verdict,
                    "`drop` at hook ingress, where nothing can be answered",
                ));
            }
            Some("reject") => Block::Reject,
            _ => return Err(self.bad("blocktype", verdict, "`reject` or `drop`")),
        };
        let crowd = self.number("network_after", 0, 0..=65_536)?;
        Ok(Some(Options {
            target: Target {
                table: text("table", "f2b-table")?,
                chain: text("chain", "f2b-chain")?,
                priority,
                hooks,
                name: text("name", "default")?,
                ports,
                protocols,
                verdict,
            },
            ipv6_prefix: self.prefix("ipv6_prefix", 128, 16..=128)?,
            crowd: (crowd > 0).then_some(crowd),
            crowd_prefixes: (
                self.prefix("network_prefix", 24, 8..=31)?,
                self.prefix("network_prefix6", 48, 16..=127)?,
            ),
            cut_flows: self.flag("cut_flows").unwrap_or(false),
            keep_at_end: self.flag("keep_at_end").unwrap_or(false),
        }))
    }

    /// `input`, `input,forward`, `ingress:eth0`.
    fn hooks(&self) -> Result<Vec<Hook>, ActionError> {
        let list = self.get("chain_hook").unwrap_or("input");
        let mut hooks = Vec::new();
        for word in list.split([',', ' ']).filter(|word| !word.is_empty()) {
            let hook = match word.split_once(':') {
                None if word == "input" => Hook::Input,
                None if word == "forward" => Hook::Forward,
                Some(("ingress", device)) if is_device(device) => Hook::Ingress(device.to_owned()),
                _ => return Err(self.bad("chain_hook", list, "a list of `input`, `forward` and `ingress:DEVICE`")),
            };
            if !hooks.contains(&hook) {
                hooks.push(hook);
            }
        }
        Ok(hooks)
    }

    fn number(&self, key: &str, default: u32, range: std::ops::RangeInclusive<u32>) -> Result<u32, ActionError> {
        let Some(text) = self.get(key).map(str::trim).filter(|text| !text.is_empty()) else {
            return Ok(default);
        };
        let number = text.trim_start_matches('/').parse().ok();
        number.filter(|number| range.contains(number)).ok_or_else(|| {
            self.bad(
                key,
                text,
                "a whole number within its limits; see the comments of the action",
            )
        })
    }

    fn prefix(&self, key: &str, default: u8, range: std::ops::RangeInclusive<u32>) -> Result<u8, ActionError> {
        let number = self.number(key, u32::from(default), range)?;
        Ok(u8::try_from(number).unwrap_or(default))
    }

    pub(crate) fn bad(&self, option: &str, value: &str, expected: &'static str) -> ActionError {
        ActionError::BadValue {
            action: self.action.clone(),
            option: option.to_owned(),
            value: value.to_owned(),
            expected,
        }
    }
}

/// Whether a network device can have this name, and a chain as well.
fn is_device(name: &str) -> bool {
    (1..=15).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}

/// `60`, `1.5`, `2m`, `1h 30m`: what a time limit needs of Fail2Ban's times.
fn seconds(text: &str) -> Option<f64> {
    let mut rest = text.trim();
    let mut sum = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let after = after.trim_start();
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let factor = match unit.to_ascii_lowercase().as_str() {
            "" | "s" | "ss" | "sec" | "second" | "seconds" => 1.0,
            "m" | "mi" | "mm" | "min" | "minute" | "minutes" => 60.0,
            "h" | "hh" | "hou" | "hour" | "hours" => 3600.0,
            "d" | "da" | "dd" | "day" | "days" => 86_400.0,
            _ => return None,
        };
        sum += number.parse::<f64>().ok()? * factor;
        rest = after.trim_start();
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockade_firewall::PortRange;

    fn with(pairs: &[(&str, &str)]) -> Properties {
        let mut properties = Properties::new(&JailName::new("sshd").unwrap(), "act");
        for (key, value) in pairs {
            properties.set(key, value).unwrap();
        }
        properties
    }

    #[test]
    fn reads_a_time_limit_as_fail2ban_writes_times() {
        for (text, expected) in [
            ("60", Some(60.0)),
            ("2m", Some(120.0)),
            ("1h 30min", Some(5400.0)),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }

    #[test]
    fn takes_the_option_of_the_family_first() {
        let properties = with(&[("iptables", "iptables"), ("iptables?family=inet6", "ip6tables")]);
        assert_eq!(properties.get_for("iptables", Family::Inet4), Some("iptables"));
        assert_eq!(properties.get_for("iptables", Family::Inet6), Some("ip6tables"));
        assert_eq!(properties.get_for("iptables", Family::Any), Some("iptables"));
        assert!(properties.is_conditional());
    }

    #[test]
    fn builds_a_native_target_from_the_properties() {
        let target = with(&[
            ("native", "nftables"),
            ("port", "ssh,5060:5061"),
            ("protocol", "tcp,udp"),
            ("blocktype", "DROP"),
        ])
        .native()
        .unwrap()
        .unwrap();
        assert_eq!(target.target.name, "sshd");
        assert_eq!(
            target.target.ports,
            Some(vec![
                PortRange { first: 22, last: 22 },
                PortRange {
                    first: 5060,
                    last: 5061
                }
            ])
        );
        assert_eq!(
            target
                .target
                .protocols
                .iter()
                .map(|protocol| protocol.0)
                .collect::<Vec<_>>(),
            [6, 17]
        );
        assert_eq!(target.target.verdict, Block::Drop);
        let all = with(&[("native", "nftables"), ("type", "allports"), ("protocol", "all")])
            .native()
            .unwrap()
            .unwrap();
        assert_eq!((all.target.ports, all.target.protocols.len()), (None, 0));
    }

    #[test]
    fn refuses_a_native_target_that_makes_no_sense() {
        for (key, value) in [
            ("native", "pf"),
            ("port", "70000"),
            ("port", "nosuchservice"),
            ("protocol", "tpc"),
            ("blocktype", "hug"),
            ("name", "a b"),
            ("chain_priority", "x"),
            ("type", "some"),
        ] {
            let mut properties = with(&[("native", "nftables")]);
            properties.set(key, value).unwrap();
            let error = properties.native().unwrap_err().to_string();
            assert!(error.contains(key) && error.contains(value), "{error}");
        }
    }
}
