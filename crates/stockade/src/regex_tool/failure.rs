//! A failure as it is printed: by `-v`, and by `-o`.

use std::net::{IpAddr, ToSocketAddrs};

use stockade_core::{FailureId, Fields, LineText, Timestamp};
use stockade_filter::{DateHit, Filter, Match, Who};

use super::rules::python;

/// One failure.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) id: String,
    /// What the log says; `None` if it says nothing.
    time: Option<Timestamp>,
    line: LineText,
    /// The groups of the rule in its order; `None` for those that took no part.
    fields: Vec<(String, Option<String>)>,
}

/// The failures that a match stands for: more than one if a name has several addresses, none if it has no address.
pub(super) fn failures(found: &Match, date: Option<&DateHit>, filter: &Filter) -> Vec<Failure> {
    let line = found.lines.last().cloned().unwrap_or_default();
    let fields = fields(found.rule, &found.fields, filter);
    ids(&found.who)
        .into_iter()
        .map(|id| Failure {
            id,

            time: date.and_then(|date| date.time),
            line: line.clone(),
            fields: fields.clone(),
        })
        .collect()
}

/// Whom a match names; names are looked up.
pub(super) fn ids(who: &Who) -> Vec<String> {
    match who {
        Who::Id(FailureId::Addr(address)) => vec![address.to_string()],
        Who::Id(FailureId::Net(net)) => vec![net.to_string()],
        Who::Id(FailureId::Text(text)) => vec![text.to_string()],
        Who::Name(name) => {
            let mut ids: Vec<String> = Vec::new();
            // A name without an address is no failure, whatever the reason.
            for address in (&**name, 0).to_socket_addrs().into_iter().flatten() {
                let id = address.ip().to_canonical().to_string();
                if !ids.contains(&id) {
                    ids.push(id);
                }
            }
            ids
        }
    }
}

fn fields(rule: usize, found: &Fields, filter: &Filter) -> Vec<(String, Option<String>)> {
    let mut fields: Vec<(String, Option<String>)> = Vec::new();
    for name in filter.field_names(rule) {
        // What the prefregex hands to the failregex says nothing of its own.
        if name != "content" && !fields.iter().any(|(known, _)| known == name) {
            fields.push((name.to_owned(), found.get(name).map(str::to_owned)));
        }
    }
    for (name, value) in found.iter() {
        if !fields.iter().any(|(known, _)| known == name) {
            fields.push((name.to_owned(), Some(value.to_owned())));
        }
    }
    fields
}

impl Failure {
    /// What `-o TOKEN` prints.
    pub(super) fn show(&self, token: &str) -> String {
        match token {
            "row" => {
                let fields: Vec<_> = self
                    .fields
                    .iter()
                    .map(|(name, value)| format!("{}: {}", python(name), shown(name, value.as_deref())))
                    .collect();
                format!(
                    "[{},\t{},\t{{{}}}],",
                    python(&self.id),
                    self.seconds(),
                    fields.join(", ")
                )
            }
            _ if token.contains('<') => self.fill(token),
            _ => self.part(token),
        }
    }

    /// The value of a token or tag; `None`, as a word, for one that is not there.
    fn part(&self, name: &str) -> String {
        match name {
            "id" | "fid" | "ip" => self.id.clone(),
            "msg" => self.line.text.to_string(),
            "time" => self.seconds(),
            "matches" => {
                let text = &*self.line.text;
                let part = |from, to| python(text.get(from..to).unwrap_or_default());
                let (from, to) = (self.line.date.start, self.line.date.end);
                format!("[({}, {}, {})]", part(0, from), part(from, to), part(to, text.len()))
            }
            _ => {
                let field = self.fields.iter().find(|(field, _)| field == name);
                field
                    .and_then(|(_, value)| value.clone())
                    .unwrap_or_else(|| "None".to_owned())
            }
        }
    }

    /// Replaces the tags in a text that an action would know here, and leaves the others alone.
    fn fill(&self, template: &str) -> String {
        let mut out = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('<') {
            out.push_str(before);
            if let Some((value, after)) = after
                .split_once('>')
                .and_then(|(tag, after)| Some((self.tag(tag)?, after)))
            {
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

    fn tag(&self, tag: &str) -> Option<String> {
        if let Some(name) = tag.strip_prefix("F-") {
            let name = name.to_lowercase();
            let field = self.fields.iter().find(|(field, _)| *field == name);
            return Some(field.and_then(|(_, value)| value.clone()).unwrap_or_default());
        }
        match tag {
            "ip" | "fid" => Some(self.id.clone()),
            "msg" | "matches" => Some(self.line.text.to_string()),
            "time" => Some(self.seconds()),
            // Nothing was counted yet.
            "failures" => Some("0".to_owned()),
            "family" => Some(match self.id.parse() {
                Ok(IpAddr::V4(_)) => "inet4".to_owned(),
                Ok(IpAddr::V6(_)) => "inet6".to_owned(),
                Err(_) => "None".to_owned(),
            }),
            _ => None,
        }
    }

    /// The time as Python writes a float.
    fn seconds(&self) -> String {
        #[expect(
            clippy::cast_precision_loss,
            reason = "as Python's floats are; exact to the microsecond until 2255"
        )]
        self.time
            .map_or("None".to_owned(), |time| format!("{:?}", time.micros() as f64 / 1e6))
    }
}

/// A group's value as Python writes it; `users` is a set there, of all names of the session.
fn shown(name: &str, value: Option<&str>) -> String {
    match value {
        None => "None".to_owned(),
        Some(users) if name == "users" => {
            let users: Vec<_> = users.split(", ").map(python).collect();
            format!("{{{}}}", users.join(", "))
        }
        Some(value) => python(value),
    }
}
