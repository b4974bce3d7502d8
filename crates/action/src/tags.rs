//! Dynamic tags: what a command can say about the ban it is run for.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use stockade_core::effect::Ban;
use stockade_core::{FailureId, LineText, Timestamp};

use crate::properties::Family;
use crate::{Counters, Earlier, Scope, run};

/// A value longer than this is cut: the kernel refuses environment variables of 128 KiB and more.
const LONGEST_VALUE: usize = 32 * 1024;

/// How long a reverse lookup for `<ip-host>` may take.
const LOOKUP_LIMIT: Duration = Duration::from_secs(3);

/// A dynamic tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    Ip,
    Fid,
    Family,
    IpRev,
    IpHost,
    Failures,
    Time,
    Bantime,
    Bancount,
    Matches,
    IpMatches,
    IpJailMatches,
    IpFailures,
    IpJailFailures,
    Restored,
    RawTicket,
    JailName,
    JailFound,
    JailFoundTotal,
    JailBanned,
    JailBannedTotal,
    FqHostname,
    ShHostname,
    Field(Box<str>),
    /// An option that is not to be seen, with its value.
    Secret(Box<str>),
}

impl Tag {
    /// The tag of a name as it stands between the brackets.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "ip" => Self::Ip,
            "fid" | "F-ID" => Self::Fid,
            "family" => Self::Family,
            "ip-rev" => Self::IpRev,
            "ip-host" => Self::IpHost,
            "failures" => Self::Failures,
            "time" => Self::Time,
            "bantime" => Self::Bantime,
            "bancount" => Self::Bancount,
            "matches" => Self::Matches,
            "ipmatches" => Self::IpMatches,
            "ipjailmatches" => Self::IpJailMatches,
            "ipfailures" => Self::IpFailures,
            "ipjailfailures" => Self::IpJailFailures,
            "restored" => Self::Restored,
            "raw-ticket" => Self::RawTicket,
            "jail.name" => Self::JailName,
            "jail.found" => Self::JailFound,
            "jail.found_total" => Self::JailFoundTotal,
            "jail.banned" => Self::JailBanned,
            "jail.banned_total" => Self::JailBannedTotal,
            "fq-hostname" => Self::FqHostname,
            "sh-hostname" => Self::ShHostname,
            _ => {
                let field = name.strip_prefix("F-")?;
                let plain = field.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
                if field.is_empty() || !plain {
                    return None;
                }
                Self::Field(field.to_ascii_lowercase().into())
            }
        })
    }

    /// True for names that an option of the action cannot replace: Fail2Ban's client leaves them alone, too.
    pub(crate) fn is_reserved(name: &str) -> bool {
        matches!(name, "matches" | "ipmatches" | "ipjailmatches" | "bantime")
    }

    /// True if somebody who can write into the log, or answer a DNS query, can choose the value.
    ///
    /// `<ip>` is not counted: nearly always it is an address, and half of the stock actions would be complained about.
    pub(crate) fn is_foreign(&self) -> bool {
        matches!(
            self,
            Self::Fid
                | Self::IpHost
                | Self::Matches
                | Self::IpMatches
                | Self::IpJailMatches
                | Self::RawTicket
                | Self::Field(_)
        )
    }

    /// True if the value is taken from the log lines or fields of the ban.
    pub(crate) fn needs_details(&self) -> bool {
        matches!(
            self,
            Self::Matches | Self::IpMatches | Self::IpJailMatches | Self::RawTicket | Self::Field(_) | Self::Ip
        )
    }

    /// Line ends and tabs belong to the value.
    fn keeps_lines(&self) -> bool {
        matches!(self, Self::Matches | Self::IpMatches | Self::IpJailMatches)
    }
}

/// The environment variable of a tag: `<F-USER>` is `f2bV_F_user`, `<ip-host>` is `f2bV_ip_host`.
pub(crate) fn variable(name: &str) -> String {
    let mut variable = String::from("f2bV_");
    let (prefix, rest) = match name.strip_prefix("F-") {
        Some(field) => ("F_", field.to_ascii_lowercase()),
        None => ("", name.to_owned()),
    };
    variable.push_str(prefix);
    variable.extend(rest.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
    variable
}

/// What the tags speak about.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    /// The ban; none for a start or stop of the whole action.
    pub(crate) ban: Option<&'a Ban>,
    pub(crate) family: Family,
    pub(crate) jail: &'a str,
    pub(crate) counters: Counters,
    pub(crate) earlier: &'a dyn Fn(&FailureId, Scope) -> Option<Earlier>,
}

/// A value, and whether it is an address or a number, which mean nothing to any shell.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) text: String,
    pub(crate) plain: bool,
}

/// The value of a tag; `None` if it speaks of a ban and there is none.
pub(crate) fn value(tag: &Tag, subject: Subject<'_>) -> Option<Value> {
    let plain = |text: String| Some(Value { text, plain: true });
    let counters = subject.counters;
    match tag {
        Tag::Family => {
            // A plain action knows no family of its own; the ban does.
            let family = subject.ban.map_or(subject.family, |ban| Family::of(&ban.id));
            return plain(family.text().to_owned());
        }
        Tag::JailName => return Some(foreign(subject.jail, tag)),
        Tag::JailFound => return plain(counters.found.to_string()),
        Tag::JailFoundTotal => return plain(counters.found_total.to_string()),
        Tag::JailBanned => return plain(counters.banned.to_string()),
        Tag::JailBannedTotal => return plain(counters.banned_total.to_string()),
        Tag::Secret(secret) => {
            return Some(Value {
                text: secret.to_string(),
                plain: false,
            });
        }
        Tag::FqHostname => return Some(foreign(&full_host_name(), tag)),
        Tag::ShHostname => return Some(foreign(&host_name(), tag)),
        _ => {}
    }
    let ban = subject.ban?;
    match tag {
        Tag::Ip => {
            if ban.id.as_net().is_some() {
                return plain(ban.id.to_string());
            }
            // A jail that counts by another id may know the address beside it.
            let address = ["ip4", "ip6"]
                .iter()
                .find_map(|field| ban.fields.get(field)?.parse::<IpAddr>().ok());
            match address {
                Some(address) => plain(address.to_string()),
                None => Some(foreign(&ban.id.to_string(), tag)),
            }
        }
        Tag::Fid if ban.id.as_net().is_some() => plain(ban.id.to_string()),
        Tag::Fid => Some(foreign(&ban.id.to_string(), tag)),
        Tag::IpRev => plain(reversed(&ban.id)),
        Tag::IpHost => Some(foreign(&reverse_name(&ban.id), tag)),
        Tag::Failures => plain(ban.failures.to_string()),
        Tag::IpFailures => plain(failures(ban, subject, Scope::All)),
        Tag::IpJailFailures => plain(failures(ban, subject, Scope::Jail)),
        Tag::Time => plain(time(ban.since, ban.restored)),
        Tag::Bantime => plain(ban.bantime.0.to_string()),
        Tag::Bancount => plain(ban.count.to_string()),
        Tag::Restored => plain(u8::from(ban.restored).to_string()),
        Tag::Matches => Some(foreign(&joined(&ban.matches), tag)),
        Tag::IpMatches => Some(foreign(&matches(ban, subject, Scope::All), tag)),
        Tag::IpJailMatches => Some(foreign(&matches(ban, subject, Scope::Jail), tag)),
        Tag::RawTicket => Some(foreign(&raw_ticket(ban), tag)),
        Tag::Field(name) => Some(foreign(ban.fields.get(name).unwrap_or_default(), tag)),
        _ => None,
    }
}

/// Makes foreign text fit for an environment variable: no control characters, not too long.
fn foreign(text: &str, tag: &Tag) -> Value {
    let mut clean = String::with_capacity(text.len().min(LONGEST_VALUE));
    for c in text.chars() {
        if clean.len() + c.len_utf8() > LONGEST_VALUE {
            break;
        }
        match c {
            // A NUL cannot be passed at all, and would end the value for a program in C.
            '\0' => {}
            '\n' | '\t' if tag.keeps_lines() => clean.push(c),
            c if c.is_control() => clean.push('?'),
            c => clean.push(c),
        }
    }
    Value {
        text: clean,
        plain: false,
    }
}

/// The failures of all bans; those of this one if nobody knows of others.
fn failures(ban: &Ban, subject: Subject<'_>, scope: Scope) -> String {
    let earlier = (subject.earlier)(&ban.id, scope).map_or(0, |earlier| earlier.failures);
    earlier.max(u64::from(ban.failures)).to_string()
}

/// The log lines of all bans, likewise.
fn matches(ban: &Ban, subject: Subject<'_>, scope: Scope) -> String {
    let earlier = (subject.earlier)(&ban.id, scope).map(|earlier| earlier.matches);
    joined(
        &earlier
            .filter(|lines| !lines.is_empty())
            .unwrap_or_else(|| ban.matches.clone()),
    )
}

fn joined(lines: &[LineText]) -> String {
    let mut all = String::new();
    for line in lines {
        if !all.is_empty() {
            all.push('\n');
        }
        // The first lines are kept: they are what the rule saw first.
        if all.len() > LONGEST_VALUE {
            break;
        }
        all.push_str(&line.text);
    }
    all
}

/// Python's way to write a time: with a fraction when it was found, whole when it was restored.
fn time(at: Timestamp, restored: bool) -> String {
    let whole = at.secs().to_string();
    if restored {
        return whole;
    }
    let fraction = format!("{:06}", at.subsec_micros());
    let digits = fraction.trim_end_matches('0');
    format!("{whole}.{}", if digits.is_empty() { "0" } else { digits })
}

fn raw_ticket(ban: &Ban) -> String {
    let mut text = format!(
        "BanTicket: ip={} time={} bantime={} bancount={} #attempts={} matches=[",
        ban.id,
        time(ban.since, ban.restored),
        ban.bantime.0,
        ban.count,
        ban.failures
    );
    for (index, line) in ban.matches.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}'{}'", line.text.escape_debug());
    }
    text.push(']');
    text
}

/// `7.100.51.198.`, or nibbles for IPv6; empty for anything that is no address.
fn reversed(id: &FailureId) -> String {
    match id {
        FailureId::Addr(IpAddr::V4(address)) => {
            let mut octets = address.octets();
            octets.reverse();
            octets
                .iter()
                .fold(String::new(), |text, octet| text + &octet.to_string() + ".")
        }
        FailureId::Addr(IpAddr::V6(address)) => {
            let nibbles = address
                .octets()
                .into_iter()
                .rev()
                .flat_map(|octet| [octet & 15, octet >> 4]);
            nibbles.fold(String::new(), |mut text, nibble| {
                // Writing to a String cannot fail.
                let _ = write!(text, "{nibble:x}.");
                text
            })
        }
        FailureId::Net(_) | FailureId::Text(_) => String::new(),
    }
}

/// The name of an address, asked of the system's resolver in a child process that is given up after a while.
fn reverse_name(id: &FailureId) -> String {
    let none = || "None".to_owned();
    let FailureId::Addr(address) = id else { return none() };
    let outcome = run::run(&format!("exec getent hosts {address}"), &[], LOOKUP_LIMIT);
    let answer = String::from_utf8_lossy(&outcome.stdout.text).into_owned();
    let name = answer.split_whitespace().nth(1).unwrap_or_default();
    let sound =
        !name.is_empty() && name.len() <= 253 && name.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    if outcome.is_success() && sound {
        name.to_owned()
    } else {
        none()
    }
}

pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The host's full name if it or `/etc/hosts` tells it; the network is not asked, for it may not answer.
pub(crate) fn full_host_name() -> String {
    let short = host_name();
    if short.contains('.') {
        return short;
    }
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let full = hosts.lines().find_map(|line| {
        let names: Vec<&str> = line.split('#').next()?.split_whitespace().skip(1).collect();
        let ours = names
            .iter()
            .any(|name| *name == short || name.split('.').next() == Some(&short));
        let full = names.iter().find(|name| name.contains('.'))?;
        ours.then(|| (*full).to_owned())
    });
    full.unwrap_or(short)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use stockade_core::{Fields, LineText, Seconds, Until};

    pub(crate) fn ban(id: &str) -> Ban {
        let line = |text: &str| LineText {
            text: text.into(),
            date: 0..0,
        };
        let mut fields = Fields::default();
        fields.set("user", "root; reboot");
        Ban {
            id: FailureId::parse(id),
            since: Timestamp::from_secs(1_795_364_400),
            until: Until::At(Timestamp::from_secs(1_795_365_000)),
            bantime: Seconds(600),
            failures: 3,
            matches: vec![line("one"), line("two \0\x1b[31m $(id)")],
            fields,
            count: 1,
            restored: false,
        }
    }

    fn text(name: &str, ban: &Ban) -> String {
        let subject = Subject {
            ban: Some(ban),
            family: Family::of(&ban.id),
            jail: "sshd",
            counters: Counters::default(),
            earlier: &|_, _| None,
        };
        value(&Tag::parse(name).unwrap(), subject).unwrap().text
    }

    #[test]
    fn gives_the_values_fail2ban_1_0_2_gives() {
        // Recorded from a running Fail2Ban 1.0.2 with a ban of each address.
        let four = ban("192.0.2.7");
        let six = ban("2001:db8::7");
        for (name, ban, expected) in [
            ("ip", &four, "192.0.2.7"),
            ("fid", &four, "192.0.2.7"),
            ("family", &four, "inet4"),
            ("ip-rev", &four, "7.2.0.192."),
            ("time", &four, "1795364400.0"),
            ("bantime", &four, "600"),
            ("bancount", &four, "1"),
            ("failures", &four, "3"),
            ("restored", &four, "0"),
            ("F-NOSUCH", &four, ""),
            ("F-USER", &four, "root; reboot"),
            ("family", &six, "inet6"),
            (
                "ip-rev",
                &six,
                "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.",
            ),
        ] {
            assert_eq!(text(name, ban), expected, "{name}");
        }
        let session = ban("s e s s");
        assert_eq!(text("family", &session), "None");
        assert_eq!(text("ip-rev", &session), "");
        assert_eq!(text("ip", &session), "s e s s");
    }

    #[test]
    fn keeps_line_ends_of_matches_and_no_other_control_character() {
        assert_eq!(text("matches", &ban("192.0.2.7")), "one\ntwo ?[31m $(id)");
        let mut odd = ban("a\nb\0c");
        odd.fields.set("user", "x\ny\tz\u{85}");
        assert_eq!(text("fid", &odd), "a?bc");
        assert_eq!(text("F-USER", &odd), "x?y?z?");
    }

    #[test]
    fn writes_times_as_python_does() {
        assert_eq!(
            time(Timestamp::from_micros(1_795_364_400_500_000), false),
            "1795364400.5"
        );
        assert_eq!(time(Timestamp::from_secs(1_795_364_400), true), "1795364400");
    }

    #[test]
    fn names_variables_as_fail2ban_does() {
        assert_eq!(variable("F-USER"), "f2bV_F_user");
        assert_eq!(variable("ip-host"), "f2bV_ip_host");
        assert_eq!(variable("matches"), "f2bV_matches");
    }
}
