//! Which entries are wanted: `journalmatch`, as `sd_journal_add_match` understands it.

use std::collections::HashMap;
use std::fmt;

/// Which entries somebody wants.
///
/// Words `FIELD=value`; several of the same field are alternatives, those of different fields must all hold, and between groups
/// separated by `+` one is enough. Several lists are alternatives too. No words at all want every entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matches {
    /// Alternatives, of words that must hold.
    groups: Vec<Vec<String>>,
}

/// A word that is no match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchError {
    /// The word.
    pub word: String,
}

impl fmt::Display for MatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is no match of the journal; why: it must be FIELD=value, with a name of capital letters, digits and `_`; mend: \
             journalmatch = _SYSTEMD_UNIT=sshd.service + _COMM=sshd",
            self.word
        )
    }
}

impl std::error::Error for MatchError {}

impl Matches {
    /// Reads lists of words. Fails with the first word that is no match.
    pub fn parse<'a, List, Word>(lists: impl IntoIterator<Item = List>) -> Result<Self, MatchError>
    where
        List: IntoIterator<Item = &'a Word>,
        Word: AsRef<str> + 'a + ?Sized,
    {
        let mut groups = Vec::new();
        for list in lists {
            groups.push(Vec::new());
            for word in list {
                let word = word.as_ref();
                if word == "+" {
                    groups.push(Vec::new());
                } else if !is_match(word) {
                    return Err(MatchError { word: word.to_owned() });
                } else if let Some(group) = groups.last_mut() {
                    group.push(word.to_owned());
                }
            }
        }
        groups.retain(|group| !group.is_empty());
        Ok(Self { groups })
    }
}

fn is_match(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        let letters = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        !name.is_empty() && name.len() <= 64 && !name.starts_with("__") && name.bytes().all(letters)
    })
}

/// The matches of all who read, with each word known by its number.
#[derive(Debug, Default)]
pub(super) struct Compiled {
    words: HashMap<Vec<u8>, u32>,
    /// Of each who reads: alternatives, of fields that must all hold, of words of which one is enough.
    readers: Vec<Vec<Vec<Vec<u32>>>>,
    /// The length of the longest word.
    pub(super) longest: usize,
}

impl Compiled {
    pub(super) fn new(readers: &[Matches]) -> Self {
        let mut compiled = Self::default();
        for matches in readers {
            let groups = matches.groups.iter().map(|group| compiled.group(group)).collect();
            compiled.readers.push(groups);
        }
        compiled
    }

    fn group(&mut self, words: &[String]) -> Vec<Vec<u32>> {
        let mut fields: Vec<(&str, Vec<u32>)> = Vec::new();
        for word in words {
            let next = u32::try_from(self.words.len()).unwrap_or(u32::MAX);
            let number = *self.words.entry(word.clone().into_bytes()).or_insert(next);
            self.longest = self.longest.max(word.len());
            let field = word.split_once('=').map_or("", |(field, _)| field);
            match fields.iter_mut().find(|(other, _)| *other == field) {
                Some((_, numbers)) => numbers.push(number),
                None => fields.push((field, vec![number])),
            }
        }
        fields.into_iter().map(|(_, numbers)| numbers).collect()
    }

    /// The number of a field that is one of the words.
    pub(super) fn word(&self, field: &[u8]) -> Option<u32> {
        self.words.get(field).copied()
    }

    /// Who wants an entry that has these words.
    pub(super) fn wanting(&self, present: &[u32], out: &mut Vec<usize>) {
        out.clear();
        for (number, groups) in self.readers.iter().enumerate() {
            let holds = |field: &Vec<u32>| field.iter().any(|word| present.contains(word));
            if groups.is_empty() || groups.iter().any(|group| group.iter().all(holds)) {
                out.push(number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(words: &str, entry: &[&str]) -> bool {
        let words: Vec<&str> = words.split_whitespace().collect();
        let compiled = Compiled::new(&[Matches::parse([words]).unwrap()]);
        let present: Vec<u32> = entry
            .iter()
            .filter_map(|field| compiled.word(field.as_bytes()))
            .collect();
        let mut out = Vec::new();
        compiled.wanting(&present, &mut out);
        !out.is_empty()
    }

    #[test]
    fn different_fields_must_all_hold_the_same_field_and_groups_are_alternatives() {
        for (words, entry, expected) in [
            ("", &[][..], true),
            ("A=1", &["A=1"], true),
            ("A=1", &["A=2"], false),
            ("A=1 A=2", &["A=2"], true),
            ("A=1 B=1", &["A=1"], false),
            ("A=1 B=1", &["B=1", "A=1"], true),
            ("A=1 B=1 + C=1", &["C=1"], true),
            ("A=1 B=1 + C=1", &["B=1"], false),
            ("A=1 +", &["B=1"], false),
            ("+ + A=1", &["A=1"], true),
            ("A=1 B=1 B=2", &["A=1", "B=2"], true),
        ] {
            assert_eq!(wanted(words, entry), expected, "{words} on {entry:?}");
        }
    }

    #[test]
    fn words_that_journald_refuses_are_refused() {
        for word in ["junk", "=x", "__CURSOR=x", "lower=x", "A-B=x", "/usr/sbin/sshd", ""] {
            assert_eq!(Matches::parse([[word]]).unwrap_err().word, word);
        }
    }
}
