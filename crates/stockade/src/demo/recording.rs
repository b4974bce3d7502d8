//! The recorded attack and what is true of it.
//!
//! An excerpt of a recording of Asterisk 20.20.1 with chan_pjsip, attacked with svmap, svwar, svcrack, sipp and hand-made
//! clients between legitimate phones, in network namespaces. Lines are as Asterisk wrote them, with its default date.

use std::net::IpAddr;

/// What an address in the recording is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// To be banned.
    Attacker,
    /// A phone or an administrator, with a typing error at times: not to be banned.
    Legitimate,
    /// Nobody: an attacker wrote it into a name or a header. Not to be banned.
    Injected,
}

/// An address in the recording.
#[derive(Clone, Debug)]
pub(super) struct Actor {
    pub(super) address: IpAddr,
    pub(super) role: Role,
    pub(super) doing: &'static str,
}

/// A line of the recording.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// Whose doing the line is; `None` where nobody from outside is behind it.
    pub(super) source: Option<IpAddr>,
    /// What follows the date.
    pub(super) text: &'static str,
}

/// The recording with its truth.
pub(super) struct Recording {
    pub(super) actors: Vec<Actor>,
    pub(super) lines: Vec<Line>,
}

impl Recording {
    /// The recording in this program.
    pub(super) fn load() -> Self {
        let truth = include_str!("truth.tsv");
        let rows = || truth.lines().map(|line| line.split('\t').collect::<Vec<_>>());
        let actors = rows().filter_map(|row| match *row.as_slice() {
            ["address", address, role, doing] => Some(Actor {
                address: address.parse().ok()?,
                role: match role {
                    "attacker" => Role::Attacker,
                    "injected" => Role::Injected,
                    _ => Role::Legitimate,
                },
                doing,
            }),
            _ => None,
        });
        let sources = rows().filter_map(|row| match *row.as_slice() {
            ["line", source] => Some(source.parse().ok()),
            _ => None,
        });
        // Split at line feeds alone: attackers send other ends of line.
        let texts = include_str!("recording.log")
            .split_terminator('\n')
            .map(|line| line.get(DATE..).unwrap_or(line));
        let lines = sources.zip(texts).map(|(source, text)| Line { source, text });
        Self {
            actors: actors.collect(),
            lines: lines.collect(),
        }
    }

    pub(super) fn with_role(&self, role: Role) -> impl Iterator<Item = &Actor> {
        self.actors.iter().filter(move |actor| actor.role == role)
    }

    pub(super) fn actor(&self, address: IpAddr) -> Option<&Actor> {
        self.actors.iter().find(|actor| actor.address == address)
    }
}

/// Length of the date that begins each recorded line, as in `[Nov 22 14:09:17]`.
const DATE: usize = 17;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_a_date_and_a_source_that_is_known() {
        let recording = Recording::load();
        let raw: Vec<_> = include_str!("recording.log").split_terminator('\n').collect();
        assert_eq!(recording.lines.len(), raw.len());
        assert!(
            raw.iter()
                .all(|line| line.starts_with("[Nov 22 ") && line.as_bytes()[DATE - 1] == b']')
        );
        for line in &recording.lines {
            assert!(
                line.source.is_none_or(|source| recording.actor(source).is_some()),
                "{line:?}"
            );
            assert!(
                line.source.is_none_or(|source| line.text.contains(&source.to_string())),
                "{line:?}"
            );
        }
    }

    #[test]
    fn all_roles_occur() {
        let recording = Recording::load();
        let count = |role| recording.with_role(role).count();
        assert!(count(Role::Attacker) > 10 && count(Role::Legitimate) > 3 && count(Role::Injected) > 10);
    }
}
