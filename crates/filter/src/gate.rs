//! The cheap question before the dear one: can any `failregex` match this line at all?
//!
//! Sound by construction: every match contains one of the literals, and the text a rule sees is the line with its date
//! cut out. So a literal is in the line itself, or lies across the cut; both are looked at.
//!
//! A pattern promises several sets of literals. The first choice is by how rare letters are in general; where a log is
//! read at length, its own text decides ([`Gate::tuned`], [`Tuning`]).

use std::collections::HashMap;

use aho_corasick::packed;
use aho_corasick::{AhoCorasick, AhoCorasickKind};

use crate::date::Before;
use crate::failregex::{Rule, Rules};

/// Searches a line for the literals of a jail.
#[derive(Debug)]
pub(crate) struct Gate {
    searcher: Searcher,
    longest: usize,
    literals: Vec<Vec<u8>>,
    /// By its number, whether a byte may stand right before a date in whose place a literal arises: it is in a literal, and not its
    /// last letter.
    crossing: Box<[bool; 256]>,
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
        let of_failregex: Option<Vec<_>> = rules.failregex.iter().map(|rule| rule.literal_sets().first()).collect();
        Self::of(match of_failregex {
            Some(sets) => sets.into_iter().flatten().cloned().collect(),
            None => rules.prefregex.as_ref()?.literal_sets().first()?.clone(),
        })
    }

    /// Of the `prefregex` alone.
    pub(crate) fn of_prefregex(rules: &Rules) -> Option<Self> {
        Self::of(rules.prefregex.as_ref()?.literal_sets().first()?.clone())
    }

    /// The same rules by the literals that are rarest in a piece of the log: what is rare in general may be on every line of
    /// this one.
    pub(crate) fn tuned(rules: &Rules, sample: &[u8]) -> Option<Self> {
        let mut counts: HashMap<&[u8], usize> = HashMap::new();
        let mut rarest = |rule| rarest_set(rule, sample, &mut counts);
        let of_failregex: Option<Vec<_>> = rules.failregex.iter().map(&mut rarest).collect();
        let of_prefregex = rules.prefregex.as_ref().and_then(rarest);
        let (of_failregex, of_prefregex) = match (of_failregex, of_prefregex) {
            (None, prefix) => return Self::of(prefix?.1.to_vec()),
            (Some(rules), None) => (rules, (usize::MAX, [].as_slice())),
            (Some(rules), Some(prefix)) => (rules, prefix),
        };
        let hits: usize = of_failregex.iter().map(|(count, _)| *count).sum();
        Self::of(if of_prefregex.0 < hits {
            of_prefregex.1.to_vec()
        } else {
            of_failregex.into_iter().flat_map(|(_, set)| set).cloned().collect()
        })
    }

    fn of(literals: Vec<Vec<u8>>) -> Option<Self> {
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
        let mut crossing = Box::new([false; 256]);
        for byte in literals
            .iter()
            .filter_map(|literal| literal.split_last())
            .flat_map(|(_, before)| before)
        {
            if let Some(place) = crossing.get_mut(usize::from(*byte)) {
                *place = true;
            }
        }
        Some(Self {
            searcher,
            longest,
            literals,
            crossing,
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
        let mut replaced = [0; 4];
        let replaced = char::REPLACEMENT_CHARACTER.encode_utf8(&mut replaced);
        !self
            .literals
            .iter()
            .any(|literal| memchr::memmem::find(literal, replaced.as_bytes()).is_some())
    }

    /// Whether a literal may arise where a date is cut out right behind this byte.
    pub(crate) fn may_cross_behind(&self, byte: u8) -> bool {
        self.crossing.get(usize::from(byte)).is_none_or(|crossing| *crossing)
    }

    /// Whether a literal may arise where a date is cut out behind `before`: only then has it to be looked for there.
    pub(crate) fn may_cross(&self, before: Before<'_>) -> bool {
        let before = match before {
            Before::This(before) => before,
            Before::UpToBracket => return self.may_cross_behind(b'['),
        };
        // Nearly always the date begins the line, or stands in a bracket.
        if before.last().is_none_or(|last| !self.may_cross_behind(*last)) {
            return false;
        }
        self.literals.iter().any(|literal| {
            // What of it stands before the cut.
            let mut beginnings = (1..literal.len()).filter_map(|length| literal.get(..length));
            beginnings.any(|beginning| before.ends_with(beginning))
        })
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

/// The literals of a rule that are rarest in a piece of a log, and how often they are there.
fn rarest_set<'a>(
    rule: &'a Rule,
    sample: &[u8],
    counts: &mut HashMap<&'a [u8], usize>,
) -> Option<(usize, &'a [Vec<u8>])> {
    let mut count = |literal: &'a Vec<u8>| {
        let counted = || memchr::memmem::find_iter(sample, piece(literal)).count();
        *counts.entry(literal).or_insert_with(counted)
    };
    let sets = rule.literal_sets().iter().map(|set| {
        let sum: usize = set.iter().map(&mut count).sum();
        (sum, set.as_slice())
    });
    sets.min_by_key(|(count, _)| *count)
}

/// The gate for one log, and how well it does.
#[derive(Debug, Default)]
pub(crate) struct Tuning {
    gate: Option<Gate>,
    /// Bytes searched since the last choice.
    bytes: usize,
    /// Lines that were looked at in vain since then.
    vain: usize,
    /// After so many bytes more literals may be chosen anew.
    patience: usize,
}

/// So much of a log decides.
const SAMPLE_BYTES: usize = 256 << 10;
/// A log is read to here before its text is asked.
const FIRST_CHOICE_BYTES: usize = 64 << 10;
/// The longest time between two choices.
const MAX_PATIENCE_BYTES: usize = 1 << 30;
/// One line looked at in vain in so many bytes (about fifty lines) is few enough.
const BYTES_PER_VAIN_LINE: usize = 5_000;

impl Tuning {
    /// The gate in use for a block; [`Self::done`] takes it back.
    pub(crate) fn take(&mut self) -> Option<Gate> {
        self.gate.take()
    }

    /// Notes how a block went, and chooses literals anew if too much was looked at in vain.
    pub(crate) fn done(&mut self, gate: Option<Gate>, rules: &Rules, block: &[u8], vain: usize) {
        self.gate = gate;
        self.bytes = self.bytes.saturating_add(block.len());
        self.vain = self.vain.saturating_add(vain);
        if self.bytes < self.patience.max(FIRST_CHOICE_BYTES) {
            return;
        }
        let poor = self.vain > self.bytes / BYTES_PER_VAIN_LINE;
        (self.bytes, self.vain) = (0, 0);
        if poor {
            let end = block.len().min(SAMPLE_BYTES);
            self.gate = Gate::tuned(rules, block.get(..end).unwrap_or(block)).or(self.gate.take());
            // Where nothing better is found, asking again and again would cost more than it saves.
            self.patience = self
                .patience
                .max(FIRST_CHOICE_BYTES)
                .saturating_mul(8)
                .min(MAX_PATIENCE_BYTES);
        }
    }
}

/// The part of a literal that is looked for: rules see a line end that the line itself does not have, and what goes on behind a
/// bracket may be torn apart by a date that stands in it.
fn piece(literal: &[u8]) -> &[u8] {
    literal
        .split(|byte| *byte == b'\n')
        .flat_map(|line| line.split_inclusive(|byte| *byte == b'['))
        .max_by_key(|piece| piece.len())
        .unwrap_or(&[])
}

/// Literals without those that contain another; `None` if there is none or one is empty.
fn minimal(literals: Vec<Vec<u8>>) -> Option<Vec<Vec<u8>>> {
    let mut pieces: Vec<Vec<u8>> = literals.into_iter().map(|literal| piece(&literal).to_vec()).collect();
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
