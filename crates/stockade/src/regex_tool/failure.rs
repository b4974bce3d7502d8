//! A failure as it is printed: by `-v`, and by `-o`.

use std::net::ToSocketAddrs;

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
        if !fields.iter().any(|(known, _)| known == name) {
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
                    .map(|(name, value)| {
                        format!(
                            "{}: {}",
                            python(name),
                            value.as_deref().map_or("None".to_owned(), python)
                        )
                    })
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

    /// Replaces `<name>` and `<F-NAME>` in a text.
    fn fill(&self, template: &str) -> String {
        let mut out = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('<') {
            out.push_str(before);
            let tag = after
                .split_once('>')
                .filter(|(tag, _)| !tag.is_empty() && !tag.contains('<'));
            let Some((tag, after)) = tag else {
                out.push('<');
                rest = after;
                continue;
            };
            let name = tag.strip_prefix("F-").map_or_else(|| tag.to_owned(), str::to_lowercase);
            let known = matches!(&*name, "id" | "fid" | "ip" | "msg" | "time" | "matches")
                || self.fields.iter().any(|(field, _)| *field == name);
            if known {
                out.push_str(&self.part(&name));
            } else {
                out.push_str(&format!("<{tag}>"));
            }
            rest = after;
        }
        out.push_str(rest);
        out
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
