//! A failure as `-o` prints it, and whom a match names.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{IpAddr, ToSocketAddrs};

use stockade_core::{FailureId, LineText, Timestamp};
use stockade_filter::{Group, Groups, Who};

use super::python;

/// Host names looked up so far.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<Box<str>, Vec<String>>);

/// Host names remembered; a log may be full of them.
const REMEMBERED: usize = 10_000;

impl Names {
    /// Whom a match names; a name without an address is nobody, whatever the reason.
    pub(super) fn ids(&mut self, who: &Who) -> Vec<String> {
        let name = match who {
            Who::Id(FailureId::Addr(address)) => return vec![address.to_string()],
            Who::Id(FailureId::Net(net)) => return vec![net.to_string()],
            Who::Id(FailureId::Text(text)) => return vec![text.to_string()],
            Who::Name(name) => name,
        };
        if let Some(ids) = self.0.get(name) {
            return ids.clone();
        }
        let mut ids: Vec<String> = Vec::new();
        for address in (&**name, 0).to_socket_addrs().into_iter().flatten() {
            let id = address.ip().to_canonical().to_string();
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        if self.0.len() >= REMEMBERED {
            self.0.clear();
        }
        self.0.insert(name.clone(), ids.clone());
        ids
    }
}

/// When a failure happened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// What the log says, or now.
    pub(super) at: Timestamp,
    /// Whether `at` is what the log says.
    pub(super) known: bool,
    /// Whether the zone is known: then Fail2Ban has a whole number.
    pub(super) zoned: bool,
}

/// One failure.
#[derive(Debug)]
pub(super) struct Failure<'a> {
    pub(super) id: String,
    pub(super) moment: Moment,
    pub(super) lines: &'a [LineText],
    pub(super) groups: &'a Groups,
}

impl Failure<'_> {
    /// What `-o TOKEN` prints, as lines.
    pub(super) fn show(&self, token: &str) -> Vec<String> {
        match token {
            "row" => vec![self.row()],
            // A text with `<msg>` is printed for each line of the failure.
            _ if token.contains('<') && token.contains("<msg>") => {
                self.lines.iter().map(|line| self.fill(token, &line.text)).collect()
            }
            _ if token.contains('<') => vec![self.fill(token, "")],
            "id" | "fid" => vec![self.id.clone()],
            "ip" => vec![self.address()],
            "msg" => vec![self.text()],
            "matches" => vec![self.matches()],
            _ => vec![self.shown(token).unwrap_or_else(|| "None".to_owned())],
        }
    }

    fn row(&self) -> String {
        let time = if self.moment.known {
            self.time()
        } else {
            "None".to_owned()
        };
        let groups = self.groups.iter().map(|(name, group)| (&**name, python::group(group)));
        format!("[{},\t{time},\t{}],", self.python_id(), python::dictionary(groups))
    }

    /// An id put together of several parts is a tuple.
    fn python_id(&self) -> String {
        match self.group("fid") {
            Some(tuple @ Group::Tuple(_)) => python::group(tuple),
            _ => python::text(&self.id),
        }
    }

    /// The address, which is not the id if a rule names one of its own.
    fn address(&self) -> String {
        self.shown("ip").unwrap_or_else(|| self.id.clone())
    }

    fn group(&self, name: &str) -> Option<&Group> {
        let mut groups = self.groups.iter();
        groups.find(|(known, _)| &**known == name).map(|(_, group)| group)
    }

    /// A group as text; `None` if it took no part.
    fn shown(&self, name: &str) -> Option<String> {
        match self.group(name)? {
            Group::None => None,
            Group::Text(text) => Some(text.to_string()),
            other => Some(python::group(other)),
        }
    }

    fn text(&self) -> String {
        let lines: Vec<&str> = self.lines.iter().map(|line| &*line.text).collect();
        lines.join("\n")
    }

    /// The lines, each as what stands before its date, the date, and the rest.
    fn matches(&self) -> String {
        let lines = self.lines.iter().map(|line| {
            let part = |from, to| python::text(line.text.get(from..to).unwrap_or_default());
            let (from, to) = (line.date.start, line.date.end);
            format!("({}, {}, {})", part(0, from), part(from, to), part(to, line.text.len()))
        });
        format!("[{}]", lines.collect::<Vec<_>>().join(", "))
    }

    fn time(&self) -> String {
        python::seconds(self.moment.at, self.moment.zoned)
    }

    /// Replaces the tags in a text that an action would know here, and leaves the others alone.
    fn fill(&self, template: &str, line: &str) -> String {
        let mut out = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('<') {
            out.push_str(before);
            let tag = after.split_once('>');
            if let Some((value, after)) = tag.and_then(|(tag, after)| Some((self.tag(tag, line)?, after))) {
                out.push_str(&value);
                rest = after;
            } else {
                out.push('<');
                rest = after;
            }
        }
        out.push_str(rest);
        out
    }

    fn tag(&self, tag: &str, line: &str) -> Option<String> {
        if tag == "F-*" {
            return Some(self.data());
        }
        if let Some(name) = tag.strip_prefix("F-").filter(|name| is_field(name)) {
            return Some(match name {
                "ID" => self.shown("fid").unwrap_or_default(),
                "MATCHES" => self.matches(),
                "FAILURES" => "0".to_owned(),
                _ => self.shown(&name.to_lowercase()).unwrap_or_default(),
            });
        }
        Some(match tag {
            "msg" => line.to_owned(),
            "ip" => self.address(),
            "fid" => self.id.clone(),
            "matches" => self.text(),
            "time" => self.time(),
            "br" => "\n".to_owned(),
            // Nothing was counted yet.
            "failures" | "bancount" | "restored" => "0".to_owned(),
            "family" => match self.address().split('/').next().map(str::parse) {
                Some(Ok(IpAddr::V4(_))) => "inet4".to_owned(),
                Some(Ok(IpAddr::V6(_))) => "inet6".to_owned(),
                _ => "None".to_owned(),
            },
            "ip-rev" => self.reversed(),
            "ip-host" => "None".to_owned(),
            "raw-ticket" => format!(
                "BanTicket: ip={} time={} bantime=None bancount=0 #attempts=0 matches={}",
                self.id,
                self.time(),
                self.matches()
            ),
            _ => return None,
        })
    }

    /// All that is known, as a dictionary.
    fn data(&self) -> String {
        let own = [("matches", self.matches()), ("failures", "0".to_owned())];
        let groups = self
            .groups
            .iter()
            .filter(|(_, group)| *group != Group::None)
            .map(|(name, group)| (&**name, python::group(group)));
        python::dictionary(own.into_iter().chain(groups))
    }

    /// The address as it is asked for in DNS.
    fn reversed(&self) -> String {
        let address = self.address();
        match address.split('/').next().map(str::parse) {
            Some(Ok(IpAddr::V6(address))) => address.octets().iter().rev().fold(String::new(), |mut out, octet| {
                // Writing to a String cannot go wrong.
                let _ = write!(out, "{:x}.{:x}.", octet & 15, octet >> 4);
                out
            }),
            Some(Ok(IpAddr::V4(_))) => address.rsplit('.').fold(String::new(), |mut out, part| {
                out.push_str(part);
                out.push('.');
                out
            }),
            _ => String::new(),
        }
    }
}

/// Upper-case letters, digits, `_` and `-`: what a tag for a field is made of.
fn is_field(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    !name.is_empty() && name.bytes().all(letter)
}
