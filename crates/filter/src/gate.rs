//! The cheap question before the dear one: can any `failregex` match this line at all?
//!
//! Sound by construction: every match contains one of the literals, and the text a rule sees is the line with its date
//! cut out. So a literal is in the line itself, or lies across the cut; both are looked at.

use aho_corasick::packed;
use aho_corasick::{AhoCorasick, AhoCorasickKind};

use crate::failregex::Rules;

/// Searches a line for the literals of a jail.
#[derive(Debug)]
pub(crate) struct Gate {
    searcher: Searcher,
    longest: usize,
    literals: Vec<Vec<u8>>,
}

#[derive(Debug)]
enum Searcher {
    Packed(packed::Searcher),
    Automaton(AhoCorasick),
}

/// SIMD search over more patterns than this is slower than the automaton.
const PACKED_LIMIT: usize = 128;

impl Gate {
    /// `None` if some rule has no literal: then every line has to be looked at.
    pub(crate) fn new(rules: &Rules) -> Option<Self> {
        let of_failregex: Option<Vec<Vec<Vec<u8>>>> = rules
            .failregex
            .iter()
            .map(|rule| rule.regex.required_literals())
            .collect();
        let literals = match of_failregex {
            Some(sets) => sets.into_iter().flatten().collect(),
            None => rules.prefregex.as_ref()?.regex.required_literals()?,
        };
        let literals = minimal(literals)?;
        let longest = literals.iter().map(Vec::len).max()?;
        let packed = if literals.len() <= PACKED_LIMIT {
            packed::Config::new()
                .heuristic_pattern_limits(false)
                .builder()
                .extend(&literals)
                .build()
        } else {
            None
        };
        let searcher = if let Some(packed) = packed {
            Searcher::Packed(packed)
        } else {
            let mut builder = AhoCorasick::builder();
            Searcher::Automaton(builder.kind(Some(AhoCorasickKind::DFA)).build(&literals).ok()?)
        };
        Some(Self {
            searcher,
            longest,
            literals,
        })
    }

    /// Whether a literal is in the line.
    pub(crate) fn admits(&self, text: &[u8]) -> bool {
        match &self.searcher {
            Searcher::Packed(searcher) => searcher.find(text).is_some(),
            Searcher::Automaton(automaton) => automaton.is_match(text),
        }
    }

    /// Where the first literal begins.
    pub(crate) fn first(&self, text: &[u8]) -> Option<usize> {
        match &self.searcher {
            Searcher::Packed(searcher) => searcher.find(text).map(|found| found.start()),
            Searcher::Automaton(automaton) => automaton.find(text).map(|found| found.start()),
        }
    }

    /// Whether the bytes of a log tell the same as its text: a literal may not be what stands for undecodable bytes.
    pub(crate) fn sees_bytes(&self) -> bool {
        let replaced = char::REPLACEMENT_CHARACTER.to_string();
        !self
            .literals
            .iter()
            .any(|literal| memchr::memmem::find(literal, replaced.as_bytes()).is_some())
    }

    /// Whether a literal may arise where a date is cut out behind `before`: only then has it to be looked for there.
    pub(crate) fn may_cross(&self, before: &[u8]) -> bool {
        let begins = |literal: &Vec<u8>| {
            let lengths = 1..literal.len().min(before.len() + 1);
            lengths
                .into_iter()
                .any(|length| before.ends_with(literal.get(..length).unwrap_or_default()))
        };
        !before.is_empty() && self.literals.iter().any(begins)
    }

    /// Whether a literal arises where the date was cut out between `before` and `after`.
    pub(crate) fn admits_across(&self, before: &[u8], after: &[u8], joint: &mut Vec<u8>) -> bool {
        let reach = self.longest.saturating_sub(1);
        if before.is_empty() || reach == 0 {
            return false;
        }
        joint.clear();
        joint.extend_from_slice(before.get(before.len().saturating_sub(reach)..).unwrap_or(before));
        joint.extend_from_slice(after.get(..reach).unwrap_or(after));
        self.admits(joint)
    }
}

/// Literals without those that contain another; `None` if there is none or one is empty.
fn minimal(literals: Vec<Vec<u8>>) -> Option<Vec<Vec<u8>>> {
    // Rules see a line end that the line itself does not have.
    let mut pieces: Vec<Vec<u8>> = literals
        .into_iter()
        .map(|literal| {
            literal
                .split(|byte| *byte == b'\n')
                .max_by_key(|piece| piece.len())
                .unwrap_or(&[])
                .to_vec()
        })
        .collect();
    if pieces.is_empty() || pieces.iter().any(Vec::is_empty) {
        return None;
    }
    pieces.sort_by_key(Vec::len);
    let mut kept: Vec<Vec<u8>> = Vec::new();
    for piece in pieces {
        if !kept
            .iter()
            .any(|shorter| memchr::memmem::find(&piece, shorter).is_some())
        {
            kept.push(piece);
        }
    }
    Some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_only_literals_that_contain_no_other() {
        let of = |words: &[&str]| minimal(words.iter().map(|word| word.as_bytes().to_vec()).collect());
        assert_eq!(of(&["Failed password", "Failed", "from\nx"]), of(&["from", "Failed"]));
        assert_eq!(of(&["a", ""]), None);
        assert_eq!(of(&["\n"]), None);
        assert_eq!(of(&[]), None);
    }
}
