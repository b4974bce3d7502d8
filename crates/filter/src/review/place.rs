//! Where in a rule, as it was written, a free text stands.

use crate::UseDns;
use crate::tags;

/// The place of a loop over one class (`.*`, `[^"]+`, `(?:(?! from ).)*`) in a rule whose tags are not expanded, in
/// characters; loops are counted from 0 in the expanded rule, those that look around left out. `None` if counting the
/// text and counting the pattern, of which there are `all`, do not agree.
pub(super) fn of_loop(rule: &str, usedns: UseDns, number: usize, all: usize) -> Option<(usize, usize)> {
    let mut reader = Reader {
        characters: rule.chars().collect(),
        position: 0,
        groups: Vec::new(),
    };
    // What a tag expands to has no place of its own.
    let mut places: Vec<Option<(usize, usize)>> = Vec::new();
    while let Some(character) = reader.peek() {
        if character == '<'
            && let Some((tag, length)) = reader.tag()
        {
            let expanded = tags::expand(&tag, usedns);
            if expanded != tag {
                let mut inner = Reader {
                    characters: expanded.chars().collect(),
                    position: 0,
                    groups: Vec::new(),
                };
                while inner.peek().is_some() {
                    places.extend(inner.item().map(|_| None));
                }
                // An opening tag is a group like any other.
                reader.groups.extend(inner.groups);
                reader.position += length;
                continue;
            }
            if tag.starts_with("</F-") {
                reader.position += length;
                let closed = reader.groups.pop();
                reader.quantifier();
                closed?;
                continue;
            }
        }
        places.extend(reader.item().map(Some));
    }
    if places.len() == all {
        places.get(number).copied().flatten()
    } else {
        None
    }
}

struct Reader {
    characters: Vec<char>,
    position: usize,
    /// Open groups: where each begins, and whether it looks around.
    groups: Vec<(usize, bool)>,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.characters.get(self.position).copied()
    }

    fn rest_begins(&self, text: &str) -> bool {
        let rest = self.characters.get(self.position..).unwrap_or(&[]);
        text.chars()
            .enumerate()
            .all(|(index, character)| rest.get(index) == Some(&character))
    }

    /// The tag that begins here, and its length.
    fn tag(&self) -> Option<(String, usize)> {
        let rest = self.characters.get(self.position..)?;
        let end = rest.iter().take(40).position(|character| *character == '>')?;
        Some((rest.get(..=end)?.iter().collect(), end + 1))
    }

    /// Reads one item with its quantifier; its place if it is a loop over one class that takes text.
    fn item(&mut self) -> Option<(usize, usize)> {
        let start = self.position;
        let looks = self.groups.iter().any(|(_, looks)| *looks);
        let character = self.peek()?;
        self.position += 1;
        let class = match character {
            '\\' => {
                let escaped = self.peek();
                self.position += 1;
                matches!(escaped, Some('s' | 'S' | 'd' | 'D' | 'w' | 'W'))
            }
            '.' => true,
            '[' => {
                self.skip_class();
                true
            }
            '(' => {
                let looks = ["?=", "?!", "?<=", "?<!"].iter().any(|opener| self.rest_begins(opener));
                self.groups.push((start, looks));
                return None;
            }
            ')' => {
                let (open, _) = self.groups.pop()?;
                let tempered = self.is_tempered(open);
                return (self.quantifier() && tempered && !looks).then_some((open, self.position));
            }
            _ => false,
        };
        (self.quantifier() && class && !looks).then_some((start, self.position))
    }

    /// Whether the group that began at `open` and ends here is `(?:(?!text).)`.
    fn is_tempered(&self, open: usize) -> bool {
        let group: String = self.characters.get(open..self.position).unwrap_or(&[]).iter().collect();
        let stop = group.strip_prefix("(?:(?!").and_then(|rest| rest.strip_suffix(").)"));
        stop.is_some_and(|stop| !stop.contains(['(', ')', '[', '|', '*', '+', '?', '.', '{']))
    }

    fn skip_class(&mut self) {
        if self.peek() == Some('^') {
            self.position += 1;
        }
        // A bracket that comes first is a member.
        let mut first = true;
        while let Some(character) = self.peek() {
            self.position += 1;
            match character {
                ']' if !first => return,
                '\\' => self.position += 1,
                _ => {}
            }
            first = false;
        }
    }

    /// Reads a quantifier; whether it has no end, or a far one.
    fn quantifier(&mut self) -> bool {
        let long = match self.peek() {
            Some('*' | '+') => {
                self.position += 1;
                true
            }
            Some('?') => {
                self.position += 1;
                false
            }
            Some('{') => {
                let rest = self.characters.get(self.position..).unwrap_or(&[]);
                let Some(end) = rest.iter().position(|character| *character == '}') else {
                    return false;
                };
                let bounds: String = rest.get(1..end).unwrap_or(&[]).iter().collect();
                let bound = bounds.split(',').next_back().unwrap_or("");
                if !bounds
                    .chars()
                    .all(|character| character.is_ascii_digit() || character == ',')
                    || bounds.is_empty()
                {
                    return false;
                }
                self.position += end + 1;
                bound
                    .parse::<u32>()
                    .map_or(true, |bound| bound >= stockade_regex::review::LONG)
            }
            _ => return false,
        };
        match self.peek() {
            Some('+') => {
                self.position += 1;
                false
            }
            Some('?') => {
                self.position += 1;
                long
            }
            _ => long,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockade_regex::review::Outline;
    use stockade_regex::{Flags, Regex};

    fn place(rule: &str, number: usize) -> Option<&str> {
        let outline = Outline::of(&Regex::new(&tags::expand(rule, UseDns::Warn), Flags::default()).unwrap()).unwrap();
        let (start, end) = of_loop(rule, UseDns::Warn, number, outline.loops())?;
        rule.get(start..end)
    }

    #[test]
    fn finds_the_loop_in_the_rule_as_written() {
        for (rule, loops) in [
            ("^x .* from <HOST> .+?$", &[Some(".*"), None, Some(".+?")][..]),
            (r"^\S+ [^]\]]{2,} \d{3}$", &[Some(r"\S+"), Some(r"[^]\]]{2,}")]),
            (
                "^<F-USER>(?:(?! from ).)*</F-USER> .*",
                &[Some("(?:(?! from ).)*"), Some(".*")],
            ),
            (r"^(?=.* x)\.* \\.* (?<!a).*", &[Some(".*"), Some(".*")]),
            (
                "^<F-USER>\\S+|.*?</F-USER> <F-ID/> .{,30}",
                &[Some("\\S+"), Some(".*?"), None, Some(".{,30}")],
            ),
            ("^.*+ .{3} .{3}? .{x} .*", &[Some(".*")]),
        ] {
            for (number, wanted) in loops.iter().enumerate() {
                assert_eq!(place(rule, number), *wanted, "{rule} {number}");
            }
            assert_eq!(place(rule, loops.len()), None, "{rule}");
        }
    }
}
