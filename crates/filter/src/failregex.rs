//! The rules of one jail, compiled: `prefregex`, `failregex`, `ignoreregex`.

use std::sync::OnceLock;

use stockade_regex::{Flags, Regex};

use crate::closer;
use crate::overrun::Overruns;
use crate::tags;
use crate::{FilterError, FilterSettings};

/// One compiled rule with its groups that mean something.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Number in the list as configured.
    pub(crate) index: usize,
    /// Tags expanded, as `get JAIL failregex` shows it.
    pub(crate) text: String,
    pub(crate) regex: Regex,
    pub(crate) groups: Groups,
    pub(crate) fields: Vec<Field>,
    /// Some field stands in for another, or adds to the id: seldom.
    pub(crate) has_special_fields: bool,
    pub(crate) overruns: Overruns,
    /// Kept, as literals are chosen anew where a log changes, and to get them the pattern is read again.
    literal_sets: OnceLock<Vec<Vec<Vec<u8>>>>,
}

/// Number of a field's name in [`Rules::names`].
pub(crate) type Name = usize;

/// A named group that becomes a field.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: Name,
    pub(crate) group: usize,
    /// The field that it is used for if that one is missing: `alt_user`, `alt_user_2` for `user`.
    pub(crate) stands_in_for: Option<Name>,
    /// `<F-TUPLE_ID>`
    pub(crate) adds_to_id: bool,
}

/// Numbers of the groups the engine gives a meaning.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    pub(crate) fid: Option<usize>,
    pub(crate) ip4: Option<usize>,
    pub(crate) ip6: Option<usize>,
    pub(crate) cidr: Option<usize>,
    pub(crate) dns: Option<usize>,
    pub(crate) content: Option<usize>,
    pub(crate) mlfid: Option<usize>,
    pub(crate) nofail: Option<usize>,
    pub(crate) gained: Option<usize>,
    pub(crate) forget: Option<usize>,
}

/// All rules of a jail.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// The names of all fields, each once.
    pub(crate) names: Vec<Box<str>>,
    /// That of `user`.
    pub(crate) user: Option<Name>,
    pub(crate) prefregex: Option<Rule>,
    pub(crate) failregex: Vec<Rule>,
    pub(crate) ignoreregex: Vec<Rule>,
    /// Made for the first text, as the rules have to be compiled for it.
    by_first_byte: OnceLock<ByFirstByte>,
}

/// Which `failregex` entries may match a text, by the byte it begins with: most match at its start only.
#[derive(Debug, Default)]
struct ByFirstByte {
    /// 256 rows of bits, one bit for each rule, and one row of all rules.
    rows: Vec<u64>,
    words_per_row: usize,
}

impl ByFirstByte {
    fn new(rules: &[Rule]) -> Self {
        let words_per_row = rules.len().div_ceil(64);
        let words = (0..=u8::MAX).map(Some).chain([None]).flat_map(|byte| {
            rules.chunks(64).map(move |rules| {
                let bits = rules.iter().enumerate();
                bits.filter(|(_, rule)| byte.is_none() || rule.regex.may_match_after(byte))
                    .fold(0, |word, (bit, _)| word | 1 << bit)
            })
        });
        Self {
            rows: words.collect(),
            words_per_row,
        }
    }

    /// Numbers of the rules, in their order; of a text that is empty, which hardly ever is, all are asked.
    fn candidates(&self, first: Option<u8>) -> Numbers<'_> {
        let start = first.map_or(256, usize::from) * self.words_per_row;
        let row = self.rows.get(start..start + self.words_per_row).unwrap_or_default();
        Numbers {
            row,
            next: 0,
            base: 0,
            left: 0,
        }
    }
}

/// The numbers of the bits that are set in a row.
struct Numbers<'a> {
    row: &'a [u64],
    next: usize,
    base: usize,
    left: u64,
}

impl Iterator for Numbers<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.left == 0 {
            self.left = *self.row.get(self.next)?;
            self.base = 64 * self.next;
            self.next += 1;
        }
        let bit = usize::try_from(self.left.trailing_zeros()).ok()?;
        self.left &= self.left - 1;
        Some(self.base + bit)
    }
}

impl Groups {
    fn of(regex: &Regex) -> Self {
        let number = |name: &str| {
            regex
                .names()
                .iter()
                .find(|(known, _)| &**known == name)
                .map(|(_, number)| *number)
        };
        Self {
            fid: number("fid"),
            ip4: number("ip4"),
            ip6: number("ip6"),
            cidr: number("cidr"),
            dns: number("dns"),
            content: number("content"),
            mlfid: number("mlfid"),
            nofail: number("nofail"),
            gained: number("mlfgained"),
            forget: number("mlfforget"),
        }
    }

    /// Whether a match can tell who failed.
    fn name_somebody(&self) -> bool {
        [self.fid, self.ip4, self.ip6, self.dns, self.mlfid]
            .iter()
            .any(Option::is_some)
    }
}

impl Rules {
    /// The `failregex` entries that may match a text, with their numbers.
    pub(crate) fn candidates(&self, text: &str) -> impl Iterator<Item = (usize, &Rule)> {
        let numbers = self.by_first_byte().candidates(text.as_bytes().first().copied());
        numbers.filter_map(|index| Some((index, self.failregex.get(index)?)))
    }

    fn by_first_byte(&self) -> &ByFirstByte {
        self.by_first_byte.get_or_init(|| ByFirstByte::new(&self.failregex))
    }

    pub(crate) fn name(&self, name: Name) -> &str {
        self.names.get(name).map_or("", |name| name)
    }

    /// Compiles all rules; every fault is reported.
    pub(crate) fn new(settings: &FilterSettings) -> Result<Self, Vec<FilterError>> {
        let mut faults = Vec::new();
        let mut rules = Self::default();
        let mut names = Vec::new();
        let mut add = |option, index, rule: &str, into: &mut Vec<Rule>| match compile(option, index, rule, settings) {
            Ok(mut rule) => {
                rule.name_fields(&mut names);
                into.push(rule);
            }
            Err(fault) => faults.push(fault),
        };
        let mut prefregex = Vec::new();
        if let Some(rule) = &settings.prefregex {
            add("prefregex", 0, rule, &mut prefregex);
        }
        for (index, rule) in settings.failregex.iter().enumerate() {
            add("failregex", index, rule, &mut rules.failregex);
        }
        for (index, rule) in settings.ignoreregex.iter().enumerate() {
            add("ignoreregex", index, rule, &mut rules.ignoreregex);
        }
        rules.prefregex = prefregex.pop();
        rules.user = names.iter().position(|name| &**name == "user");
        rules.names = names;
        // A faulty prefregex might have named somebody: one error for one mistake is enough.
        let prefregex_may_name = rules
            .prefregex
            .as_ref()
            .map_or(settings.prefregex.is_some(), |rule| rule.groups.name_somebody());
        if !prefregex_may_name {
            for rule in &rules.failregex {
                if !rule.groups.name_somebody() {
                    faults.push(FilterError {
                        option: "failregex",
                        index: rule.index,
                        rule: settings.failregex.get(rule.index).unwrap_or(&rule.text).clone(),
                        at: None,
                        message: format!("No failure-id group in '{}'", rule.text),
                        mend:
                            "put <HOST> or <ADDR> where the log shows the address, or <F-ID>…</F-ID> around another id"
                                .into(),
                    });
                }
            }
        }
        if faults.is_empty() { Ok(rules) } else { Err(faults) }
    }
}

impl Rule {
    /// [`Regex::literal_sets`]
    pub(crate) fn literal_sets(&self) -> &[Vec<Vec<u8>>] {
        self.literal_sets.get_or_init(|| self.regex.literal_sets())
    }

    fn name_fields(&mut self, names: &mut Vec<Box<str>>) {
        let mut number = |name: &str| {
            names.iter().position(|known| &**known == name).unwrap_or_else(|| {
                names.push(name.into());
                names.len() - 1
            })
        };
        let groups = self.regex.names().iter().filter(|(name, _)| &**name != "content");
        self.fields = groups
            .map(|(name, group)| Field {
                name: number(name),
                group: *group,
                stands_in_for: closer::target(name, "alt_").map(&mut number),
                adds_to_id: closer::target(name, "tuple_") == Some("id"),
            })
            .collect();
        self.has_special_fields = self
            .fields
            .iter()
            .any(|field| field.stands_in_for.is_some() || field.adds_to_id);
    }
}

fn compile(option: &'static str, index: usize, rule: &str, settings: &FilterSettings) -> Result<Rule, FilterError> {
    let fault = |message: String, mend: &str| FilterError {
        option,
        index,
        rule: rule.to_owned(),
        at: None,
        message,
        mend: mend.to_owned(),
    };
    if rule.trim().is_empty() {
        return Err(fault("Cannot add empty regex".into(), "leave the entry out"));
    }
    let text = tags::expand(rule, settings.usedns);
    // Only where rules see several lines do `^` and `$` hold at each of them.
    let flags = Flags {
        multi_line: option == "failregex" && settings.maxlines > 1,
        ..Flags::default()
    };
    match Regex::new(&text, flags) {
        Ok(regex) => Ok(Rule {
            index,
            groups: Groups::of(&regex),
            fields: Vec::new(),
            has_special_fields: false,
            overruns: Overruns::default(),
            literal_sets: OnceLock::new(),
            regex,
            text,
        }),
        Err(error) => {
            let place = error.span.start.min(text.len());
            let near: String = text.get(place..).unwrap_or("").chars().take(20).collect();
            let mend = if near.is_empty() {
                "the end of the rule is where it goes wrong: close what is open".to_owned()
            } else {
                format!("look at `{near}`")
            };
            Err(FilterError {
                at: tags::before_expansion(rule, place, settings.usedns),
                ..fault(format!("Unable to compile regular expression '{text}': {error}"), &mend)
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockade_regex::Scratch;

    #[test]
    fn every_rule_that_matches_a_text_is_a_candidate_for_it() {
        let mut failregex: Vec<String> = (0..150)
            .map(|number| match number % 5 {
                0 => format!("^{} <HOST>$", char::from(b'a' + u8::try_from(number % 26).unwrap())),
                1 => format!("{number} <HOST>"),
                2 => "^(?:bad|good|\u{fc}ber)? ?<HOST>".to_owned(),
                3 => "(?i)^(?:[k-m] |$|\u{3bb}\\s*)<HOST>".to_owned(),
                _ => "^\\s*(?=.)<F-ID>\\S*</F-ID>".to_owned(),
            })
            .collect();
        failregex.push("^<F-ID>x?</F-ID>$".into());
        let rules = Rules::new(&FilterSettings {
            failregex,
            ..FilterSettings::default()
        })
        .unwrap();
        let mut scratch = Scratch::default();
        let mut seen = 0;
        for text in [
            "",
            "\n",
            "a 192.0.2.1\n",
            "L 192.0.2.1\n",
            "\u{212a} 192.0.2.1\n",
            "\u{fc}ber 192.0.2.1\n",
            "\u{3bb}192.0.2.1\n",
            "x 41 192.0.2.1\n",
            "bad192.0.2.1",
        ] {
            let candidates: Vec<usize> = rules.candidates(text).map(|(index, _)| index).collect();
            assert!(candidates.is_sorted());
            let matching = rules
                .failregex
                .iter()
                .filter(|rule| rule.regex.search(text, &mut scratch) == Ok(true));
            for rule in matching {
                assert!(candidates.contains(&rule.index), "{text:?} {}", rule.text);
                seen += 1;
            }
        }
        assert!(seen > 300, "{seen}");
    }
}
