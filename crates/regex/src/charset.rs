//! Sets of characters, and what `\d`, `\w`, `\s` and ignoring case make of them in CPython.

use std::sync::OnceLock;

use crate::tables::{CASED_ONLY, DIGIT, EXTRA_CASES, LOWER, SPACE, UPPER, WORD};

const LAST: u32 = 0x10_FFFF;
const FIRST_BEYOND_BMP: u32 = 0x1_0000;
/// Sets of more characters are folded by way of the whole table.
const MANY: usize = 128;

/// How letters are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Case {
    /// As written.
    Exact,
    /// `re.IGNORECASE`.
    Unicode,
    /// `re.IGNORECASE | re.ASCII`.
    Ascii,
}

/// Sorted, disjoint ranges of code points; both ends belong to the range.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct CharSet {
    ranges: Vec<(u32, u32)>,
}

/// A named class of characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Category {
    Digit,
    Space,
    Word,
}

/// One member of a bracketed class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClassItem {
    Literal(u32),
    Range(u32, u32),
    Category { category: Category, negated: bool },
}

impl CharSet {
    /// The set of the given ranges, in any order, overlapping or not.
    pub(crate) fn from_ranges(mut ranges: Vec<(u32, u32)>) -> Self {
        // Stable, as that is quick for what is sorted in pieces: tables of hundreds of ranges.
        ranges.sort_by_key(|range| range.0);
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(previous) if first <= previous.1.saturating_add(1) => previous.1 = previous.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        Self { ranges: merged }
    }

    pub(crate) fn single(code: u32) -> Self {
        Self {
            ranges: vec![(code, code)],
        }
    }

    /// `.`: all, but for the line feed unless `re.DOTALL`.
    pub(crate) fn dot(dot_all: bool) -> Self {
        if dot_all {
            Self::default().negated()
        } else {
            Self::single(u32::from('\n')).negated()
        }
    }

    pub(crate) fn category(category: Category, negated: bool, ascii: bool) -> Self {
        let table = match category {
            Category::Digit => DIGIT,
            Category::Space => SPACE,
            Category::Word => WORD,
        };
        let set = if ascii {
            // sre's ASCII `\s` is C's isspace; `str.isspace` also takes the separators 0x1c to 0x1f.
            let spaces = vec![(0x09, 0x0d), (0x20, 0x20)];
            match category {
                Category::Space => Self::from_ranges(spaces),
                Category::Digit | Category::Word => Self {
                    ranges: table.iter().copied().take_while(|range| range.1 < 0x80).collect(),
                },
            }
        } else {
            Self { ranges: table.to_vec() }
        };
        if negated { set.negated() } else { set }
    }

    pub(crate) fn negated(&self) -> Self {
        let mut ranges = Vec::with_capacity(self.ranges.len() + 1);
        let mut next = 0;
        for &(first, last) in &self.ranges {
            if first > next {
                ranges.push((next, first - 1));
            }
            next = last + 1;
        }
        if next <= LAST {
            ranges.push((next, LAST));
        }
        Self { ranges }
    }

    pub(crate) fn contains(&self, code: u32) -> bool {
        in_ranges(&self.ranges, code)
    }

    pub(crate) fn ranges(&self) -> &[(u32, u32)] {
        &self.ranges
    }

    /// The part above ASCII.
    pub(crate) fn beyond_ascii(&self) -> Vec<(u32, u32)> {
        let high = self.ranges.iter().filter(|range| range.1 >= 0x80);
        high.map(|range| (range.0.max(0x80), range.1)).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    pub(crate) fn union(&self, other: &Self) -> Self {
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(self.ranges.len() + other.ranges.len());
        let (mut ours, mut theirs) = (self.ranges.iter().peekable(), other.ranges.iter().peekable());
        loop {
            let next = match (ours.peek(), theirs.peek()) {
                (Some(one), Some(two)) if one <= two => ours.next(),
                (_, Some(_)) => theirs.next(),
                (_, None) => ours.next(),
            };
            let Some(&(first, last)) = next else { break };
            match merged.last_mut() {
                Some(previous) if first <= previous.1.saturating_add(1) => previous.1 = previous.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        Self { ranges: merged }
    }

    pub(crate) fn intersection(&self, other: &Self) -> Self {
        Self {
            ranges: self.common(other).collect(),
        }
    }

    /// The ranges that both have, in order.
    fn common<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = (u32, u32)> + 'a {
        let begin = self.ranges.first().map_or(0, |range| range.0);
        let skipped = other.ranges.partition_point(|range| range.1 < begin);
        let mut ours = self.ranges.iter().peekable();
        let mut theirs = other.ranges.get(skipped..).unwrap_or_default().iter().peekable();
        std::iter::from_fn(move || {
            loop {
                let (one, two) = (**ours.peek()?, **theirs.peek()?);
                if one.1 <= two.1 {
                    ours.next();
                } else {
                    theirs.next();
                }
                let (first, last) = (one.0.max(two.0), one.1.min(two.1));
                if first <= last {
                    return Some((first, last));
                }
            }
        })
    }

    pub(crate) fn without(&self, other: &Self) -> Self {
        self.intersection(&other.negated())
    }

    pub(crate) fn is_disjoint(&self, other: &Self) -> bool {
        self.common(other).next().is_none()
    }

    pub(crate) fn is_subset_of(&self, other: &Self) -> bool {
        self.common(other).eq(self.ranges.iter().copied())
    }

    /// The only character of the set.
    pub(crate) fn only(&self) -> Option<char> {
        match *self.ranges.as_slice() {
            [(first, last)] if first == last => char::from_u32(first),
            _ => None,
        }
    }

    /// A literal compared as `case` says.
    pub(crate) fn literal(code: u32, case: Case) -> Self {
        if !is_cased(code, case) {
            return Self::single(code);
        }
        let lower = to_lower(code, case);
        let mut wanted = vec![(lower, lower)];
        if case == Case::Unicode {
            wanted.extend(extra_cases(lower).map(|other| (other, other)));
        }
        Self::from_ranges(wanted).folding_into(case)
    }

    /// A bracketed class. The quirks are sre's: ignoring case, it lowers the members below U+10000 when compiling, then
    /// asks for the lower case of each character of the text; members beyond are kept as written, and ranges reaching
    /// there also accept what their upper case contains.
    pub(crate) fn class(items: &[ClassItem], negated: bool, case: Case, ascii: bool) -> Self {
        let mut ranges = Vec::new();
        let mut has_cased = false;
        for &item in items {
            match item {
                ClassItem::Category { category, negated } => {
                    ranges.extend_from_slice(Self::category(category, negated, ascii).ranges());
                }
                ClassItem::Literal(code) => {
                    let lower = to_lower(code, case);
                    if case == Case::Exact || lower >= FIRST_BEYOND_BMP {
                        ranges.push((code, code));
                        has_cased |= case != Case::Exact;
                    } else {
                        ranges.push((lower, lower));
                        push_extra_cases(&mut ranges, lower, case);
                        has_cased |= is_cased(code, case);
                    }
                }
                ClassItem::Range(first, last) if case == Case::Exact => ranges.push((first, last)),
                ClassItem::Range(first, last) => {
                    for code in first..=last.min(FIRST_BEYOND_BMP - 1) {
                        let lower = to_lower(code, case);
                        ranges.push((lower, lower));
                        push_extra_cases(&mut ranges, lower, case);
                        has_cased = has_cased || is_cased(code, case);
                    }
                    if last >= FIRST_BEYOND_BMP {
                        has_cased = true;
                        ranges.push((first, last));
                        ranges.extend(
                            mapped(UPPER)
                                .filter(|&(_, upper)| first <= upper && upper <= last)
                                .map(|(code, _)| (code, code)),
                        );
                    }
                }
            }
        }
        let set = Self::from_ranges(ranges);
        let set = if has_cased { set.folding_into(case) } else { set };
        if negated { set.negated() } else { set }
    }

    /// All characters whose lower case is in the set.
    fn folding_into(&self, case: Case) -> Self {
        if case == Case::Unicode
            && let Some(folded) = self.folding_if_few()
        {
            return folded;
        }
        self.folding_all(case)
    }

    fn folding_all(&self, case: Case) -> Self {
        let lowered: Vec<(u32, u32)> = match case {
            Case::Exact => return self.clone(),
            Case::Ascii => (0x41..=0x5a).map(|code| (code, code + 0x20)).collect(),
            Case::Unicode => mapped(LOWER).collect(),
        };
        let moved = Self::from_ranges(lowered.iter().map(|&(code, _)| (code, code)).collect());
        // Those that stay where they are: in the set and not moved, that is, outside (not in the set, or moved).
        let mut outside = self.negated().ranges;
        outside.extend_from_slice(&moved.ranges);
        let mut ranges = Self::from_ranges(outside).negated().ranges;
        ranges.extend(
            lowered
                .iter()
                .filter(|&&(_, lower)| self.contains(lower))
                .map(|&(code, _)| (code, code)),
        );
        Self::from_ranges(ranges)
    }
}

impl CharSet {
    /// [`Self::folding_into`] for few characters, such as one letter of a word, without going through the table of all.
    fn folding_if_few(&self) -> Option<Self> {
        static BY_LOWER: OnceLock<Vec<(u32, u32)>> = OnceLock::new();
        let codes = || self.ranges.iter().flat_map(|&(first, last)| first..=last);
        if codes().nth(MANY).is_some() {
            return None;
        }
        let by_lower = BY_LOWER.get_or_init(|| {
            let mut pairs: Vec<(u32, u32)> = mapped(LOWER).map(|(code, lower)| (lower, code)).collect();
            pairs.sort_unstable();
            pairs
        });
        let mut ranges = Vec::new();
        for code in codes() {
            if lookup(LOWER, code).is_none() {
                ranges.push((code, code));
            }
            let from = by_lower.partition_point(|pair| pair.0 < code);
            let same = by_lower
                .get(from..)
                .unwrap_or_default()
                .iter()
                .take_while(|pair| pair.0 == code);
            ranges.extend(same.map(|pair| (pair.1, pair.1)));
        }
        Some(Self::from_ranges(ranges))
    }
}

/// Whether `\w` matches the character.
pub(crate) fn is_word(character: char, ascii: bool) -> bool {
    if character.is_ascii() {
        character.is_ascii_alphanumeric() || character == '_'
    } else {
        !ascii && in_ranges(WORD, u32::from(character))
    }
}

/// The lower case with which sre compares.
pub(crate) fn to_lower(code: u32, case: Case) -> u32 {
    match case {
        Case::Ascii if (0x41..=0x5a).contains(&code) => code + 0x20,
        Case::Exact | Case::Ascii => code,
        Case::Unicode => lookup(LOWER, code).unwrap_or(code),
    }
}

fn is_cased(code: u32, case: Case) -> bool {
    match case {
        Case::Exact => false,
        Case::Ascii => char::from_u32(code).is_some_and(|character| character.is_ascii_alphabetic()),
        Case::Unicode => lookup(LOWER, code).is_some() || lookup(UPPER, code).is_some() || in_ranges(CASED_ONLY, code),
    }
}

fn extra_cases(lower: u32) -> impl Iterator<Item = u32> {
    EXTRA_CASES
        .iter()
        .filter(move |pair| pair.0 == lower)
        .map(|pair| pair.1)
}

fn push_extra_cases(ranges: &mut Vec<(u32, u32)>, lower: u32, case: Case) {
    if case == Case::Unicode {
        ranges.extend(extra_cases(lower).map(|other| (other, other)));
    }
}

fn in_ranges(ranges: &[(u32, u32)], code: u32) -> bool {
    let after = ranges.partition_point(|range| range.0 <= code);
    after
        .checked_sub(1)
        .and_then(|index| ranges.get(index))
        .is_some_and(|range| code <= range.1)
}

fn lookup(table: &[(u32, u32, u32, u32)], code: u32) -> Option<u32> {
    // Runs of stride 2 interleave, so the right run need not be the last that starts before.
    let after = table.partition_point(|run| run.0 <= code);
    let before = table.get(..after).unwrap_or_default();
    let run = before
        .iter()
        .rev()
        .take(4)
        .find(|run| code <= run.1 && (code - run.0).is_multiple_of(run.2))?;
    Some(run.3 + (code - run.0))
}

fn mapped(table: &'static [(u32, u32, u32, u32)]) -> impl Iterator<Item = (u32, u32)> {
    table.iter().flat_map(|&(first, last, stride, start)| {
        (0..=(last - first) / stride).map(move |step| (first + step * stride, start + step * stride))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_put_together_as_sets_of_numbers_are() {
        let all = |set: &CharSet| (0..40).filter(|&code| set.contains(code)).collect::<Vec<u32>>();
        let sets: Vec<CharSet> = (0..400_u32)
            .map(|seed| {
                let ranges = (0..seed % 5).map(|n| {
                    let first = (seed * 7 + n * 13 + seed / 5 * n) % 33;
                    (first, first + (seed + n) % 6)
                });
                CharSet::from_ranges(ranges.collect())
            })
            .collect();
        for (one, two) in sets.iter().flat_map(|one| sets.iter().map(move |two| (one, two))) {
            let (of_one, of_two) = (all(one), all(two));
            let both = |wanted: fn(bool, bool) -> bool| -> Vec<u32> {
                (0..40)
                    .filter(|code| wanted(of_one.contains(code), of_two.contains(code)))
                    .collect()
            };
            let common = both(|one, two| one && two);
            assert_eq!(all(&one.union(two)), both(|one, two| one || two));
            assert_eq!(
                one.union(two),
                CharSet::from_ranges([one.ranges(), two.ranges()].concat())
            );
            assert_eq!(all(&one.intersection(two)), common);
            assert_eq!(one.intersection(two).negated().negated(), one.intersection(two));
            assert_eq!(all(&one.without(two)), both(|one, two| one && !two));
            assert_eq!(one.is_disjoint(two), common.is_empty());
            assert_eq!(one.is_subset_of(two), common == of_one);
        }
    }

    #[test]
    fn few_characters_fold_as_by_the_whole_table() {
        let single = (0..0x1_0500).chain(0x1_e900..0x1_e950).map(|code| vec![(code, code)]);
        let ranges = [
            vec![(0x41, 0x7a)],
            vec![(0xb5, 0xdf), (0x3a0, 0x3c9)],
            vec![(0x130, 0x150), (0x212a, 0x212b)],
        ];
        // Each takes a way through the whole table, so of those without case only some.
        let cased = |ranges: &Vec<(u32, u32)>| {
            ranges
                .iter()
                .any(|range| is_cased(range.0, Case::Unicode) || range.0 % 512 == 7)
        };
        let mut compared = 0;
        for ranges in single.filter(cased).chain(ranges) {
            let set = CharSet::from_ranges(ranges);
            assert_eq!(set.folding_if_few(), Some(set.folding_all(Case::Unicode)), "{set:?}");
            compared += 1;
        }
        assert!(compared > 2_000, "{compared}");
        assert_eq!(CharSet::default().negated().folding_if_few(), None);
    }
}
