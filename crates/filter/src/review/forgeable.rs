//! Rules that take an address from text that comes from outside, shown by a line.
//!
//! For each free text of a rule a line is made that the rule reads as it should, with the true address where the service
//! writes it. Then the free text is replaced by what follows it, or by the whole of a rule that is not anchored, with
//! another address. Only if the filter takes that other address is anything said.

use std::collections::HashSet;

use stockade_regex::Scratch;
use stockade_regex::review::{ADDRESS, CONTENT, FIELD, Field, Taste};

use super::{CLOCK, Finding, FindingKind, Reviewer, Seen, place};
use crate::{FilterSettings, Memory, Verdict, Who};

/// The address that a service writes in examples, and the one an attacker writes (both reserved for documentation).
const TRUE: &str = "198.51.100.7";
const FORGED: &str = "203.0.113.66";

/// Parts of rules whose free text the service makes itself. pure-ftpd: `?` until somebody has logged in.
const HARMLESS: [&str; 1] = [r"\(.+?@<HOST>\) \[WARNING\]"];

const DATED: [&str; 4] = [
    "2026-11-22 00:00:00 ",
    "2026-11-22 00:00:00",
    "Nov 22 00:00:00 ",
    "[2026-11-22 00:00:00]",
];

/// Which lines are of interest.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lines {
    /// Those that are failures by themselves.
    Counted,
    /// Also those that only tell whom other lines of their session are about.
    All,
}

/// A place for free text: in the prefregex or in the rule.
#[derive(Clone, Debug)]
struct Free {
    in_prefix: bool,
    field: Field,
}

impl Free {
    /// The rule that is at fault when text here makes `rule` take the wrong address.
    fn told_of(&self, rule: usize) -> (&'static str, usize) {
        if self.in_prefix {
            ("prefregex", 0)
        } else {
            ("failregex", rule)
        }
    }

    /// Whether it is a name that somebody gave: such text may be anything, whatever the rule expects.
    fn is_user(&self) -> bool {
        let name = self.field.name.as_deref().unwrap_or("");
        name.to_ascii_lowercase().contains("user")
    }
}

impl Reviewer<'_> {
    /// Rules that can be made to take an address from free text; each once.
    pub(super) fn forgeable(&self, settings: &FilterSettings) -> Vec<Finding> {
        let mut findings: Vec<Finding> = Vec::new();
        let attacks = self.attacks();
        let rules: Vec<usize> = (0..self.failregex.len())
            .filter(|index| !self.is_harmless(*index, settings))
            .collect();
        let in_session = |index: &usize| {
            let of = |seen: Option<&Seen<'_>>| seen.is_some_and(|seen| seen.rule.groups.mlfid.is_some());
            of(self.prefix.as_ref()) || of(self.failregex.get(*index).and_then(Option::as_ref))
        };
        let counted = rules.iter().map(|index| (Lines::Counted, *index));
        let noted = rules
            .iter()
            .filter(|index| in_session(index))
            .map(|index| (Lines::All, *index));
        for (lines, index) in counted.chain(noted) {
            for free in self.hostile_fields(index) {
                let Some(line) = self.line_of(index, &free, lines) else {
                    continue;
                };
                for attack in &attacks {
                    let known = |rule| {
                        let told = free.told_of(rule);
                        findings.iter().any(|known| (known.option, known.index) == told)
                    };
                    if attack.only_for.is_some_and(|rule| rule != index) || known(attack.rule) {
                        continue;
                    }
                    let Some(rule) = self.forge(index, &line, &free, &attack.text, lines) else {
                        continue;
                    };
                    if !known(rule) {
                        let example = self.shortened(index, rule, (line.clone(), attack.text.clone()), lines);
                        findings.push(self.forged_finding(index, &free, rule, (&example, lines), settings));
                    }
                }
            }
        }
        findings
    }

    /// Whether nobody hostile writes the free text of this rule.
    fn is_harmless(&self, index: usize, settings: &FilterSettings) -> bool {
        let rule = self.failregex.get(index).and_then(Option::as_ref);
        // Who gained access has a name that somebody gave him.
        let gained = rule.is_some_and(|seen| seen.rule.groups.gained.is_some());
        let text = settings.failregex.get(index);
        gained || text.is_some_and(|text| HARMLESS.iter().any(|part| text.contains(part)))
    }

    /// The free texts of a rule and of the prefregex before it.
    fn fields(&self, index: usize) -> Vec<Free> {
        const NOT_FREE: [&str; 6] = ["ip4", "ip6", "dns", "cidr", "content", "mlfid"];
        let of = |seen: Option<&Seen<'_>>, in_prefix| {
            let fields = seen.map(|seen| seen.outline.fields(&NOT_FREE)).unwrap_or_default();
            fields.into_iter().map(move |field| Free { in_prefix, field })
        };
        let rule = self.failregex.get(index).and_then(Option::as_ref);
        of(self.prefix.as_ref(), true)
            .chain(of(rule, false))
            .filter(|free| is_free(&free.field))
            .collect()
    }

    /// Those of them that somebody outside may have written. What stands before the message is the service's own, unless
    /// the address or a name is there too.
    fn hostile_fields(&self, index: usize) -> impl Iterator<Item = Free> + '_ {
        let own = self
            .prefix
            .as_ref()
            .is_some_and(|prefix| prefix.rule.groups.ip4.is_none());
        let fields = self.fields(index).into_iter();
        fields.filter(move |free| !(free.in_prefix && own) || free.is_user())
    }

    /// A line of this rule with marks for the address and, if given, for a free text.
    fn template(&self, index: usize, free: Option<&Free>, taste: Taste) -> Option<String> {
        let rule = self.failregex.get(index)?.as_ref()?;
        let number = |in_prefix| {
            free.filter(|free| free.in_prefix == in_prefix)
                .map(|free| free.field.number)
        };
        let text = rule.outline.sample(number(false), taste)?;
        let Some(prefix) = self
            .prefix
            .as_ref()
            .filter(|prefix| prefix.rule.groups.content.is_some())
        else {
            return Some(text);
        };
        let line = prefix.outline.sample(number(true), taste)?;
        Some(line.replace(CONTENT, &text))
    }

    /// A template that the filter reads as it should: with harmless text it takes the true address.
    fn line_of(&self, index: usize, free: &Free, lines: Lines) -> Option<String> {
        let taken = |line: String| {
            let line = line.replacen(ADDRESS, TRUE, 1);
            let harmless = filled(&line, "x")?;
            (self.taken(&harmless, lines)? == (index, TRUE.to_owned())).then_some(line)
        };
        let of = |taste| self.template(index, Some(free), taste);
        // With what syslog writes before a message, it is more like a line of a log.
        let full = of(FULL)?;
        let plain = [of(Taste::default()), of(Taste { full: false, branch: 1 })];
        let before = full.split(FIELD).next().unwrap_or("");
        let names = before.split(|character: char| !character.is_ascii_lowercase() && character != '-');
        names
            .filter(|name| name.len() > 2 && *name != "kernel")
            .flat_map(|name| {
                plain
                    .iter()
                    .flatten()
                    .map(move |plain| format!("host {name}[7]: {plain}"))
            })
            .find_map(taken)
            .or_else(|| tastes().find_map(|taste| taken(of(taste)?)))
    }

    /// Whether the rule can match in the middle of what it sees.
    fn is_loose(&self, index: usize) -> bool {
        let rule = self.failregex.get(index).and_then(Option::as_ref);
        rule.is_some_and(|seen| !seen.outline.is_anchored())
            || self.content().is_some_and(|(prefix, _)| !prefix.is_anchored())
    }

    /// Texts that might make a rule take the address in them.
    fn attacks(&self) -> Vec<Attack> {
        let mut attacks = Vec::new();
        for (index, seen) in self.failregex.iter().enumerate() {
            let Some(seen) = seen else { continue };
            let mut known = HashSet::new();
            let mut add = |only_for: Option<usize>, text: String| {
                let is_whole = text.matches(ADDRESS).count() == 1 && !text.contains([FIELD, CONTENT]);
                let text = text.replace(ADDRESS, FORGED);
                if is_whole && known.insert((only_for, text.clone())) {
                    attacks.push(Attack {
                        rule: index,
                        only_for,
                        text,
                    });
                }
            };
            for taste in tastes() {
                for free in self.fields(index) {
                    let template = self.template(index, Some(&free), taste);
                    if let Some((_, rest)) = template.as_deref().and_then(|text| text.split_once(FIELD)) {
                        let rest = rest.replace(FIELD, "x");
                        add(Some(index), format!("x{rest}"));
                        add(Some(index), format!("x{rest}x"));
                        add(Some(index), format!("x{rest} x"));
                    }
                }
                let whole = self.content().is_some_and(|(prefix, _)| !prefix.is_anchored());
                let loose = if whole {
                    self.template(index, None, taste)
                } else {
                    seen.outline.sample(None, taste)
                };
                if let Some(text) = loose.filter(|_| self.is_loose(index)) {
                    add(None, text.clone());
                    add(None, format!("x {text} x"));
                }
            }
        }
        attacks.sort_by_key(|attack| attack.text.len());
        attacks
    }

    /// The rule that takes the forged address from the line with hostile text in its free field.
    ///
    /// The text must be one that the field takes. Names that somebody gave, and any free text where the rule is not
    /// anchored, have blanks all the same: a service writes them, whatever the rule expects.
    fn forge(&self, index: usize, line: &str, free: &Free, text: &str, lines: Lines) -> Option<usize> {
        let written = if free.is_user() || self.is_loose(index) {
            text.replace(' ', "")
        } else {
            text.to_owned()
        };
        if !free.field.holds(&written) || (free.field.stops_in(text) && !free.is_user()) {
            return None;
        }
        let (rule, address) = self.taken(&filled(line, text)?, lines)?;
        (address == FORGED).then_some(rule)
    }

    /// The shortest example that is left when words of the line and of the hostile text are dropped.
    fn shortened(&self, index: usize, rule: usize, example: (String, String), lines: Lines) -> String {
        let (mut line, mut text) = example;
        let shows = |line: &str, text: &str| {
            let taken = |text| self.taken(&filled(line, text)?, lines);
            taken("x") == Some((index, TRUE.to_owned())) && taken(text) == Some((rule, FORGED.to_owned()))
        };
        while let Some(shorter) = without_a_word(&line).into_iter().find(|shorter| shows(shorter, &text)) {
            line = shorter;
        }
        while let Some(shorter) = without_a_word(&text).into_iter().find(|shorter| shows(&line, shorter)) {
            text = shorter;
        }
        filled(&line, &text).unwrap_or(line)
    }

    /// Which rule matches the line, and the address it takes.
    fn taken(&self, line: &str, lines: Lines) -> Option<(usize, String)> {
        let left = self.searches_left.get().checked_sub(self.failregex.len() + 1)?;
        self.searches_left.set(left);
        match self.filter.judge(line.as_bytes(), CLOCK, &mut Memory::default()) {
            Verdict::Match(found) => match found.who {
                Who::Id(id) => Some((found.rule, id.to_string())),
                Who::Name(_) => None,
            },
            // A line that only adds to its session has an address all the same.
            Verdict::Ignored if lines == Lines::All => self.noted(line),
            _ => None,
        }
    }

    fn noted(&self, line: &str) -> Option<(usize, String)> {
        let seen = self
            .filter
            .examine(line.as_bytes(), CLOCK, &mut Memory::default(), false);
        if !seen.ignored_by.is_empty() {
            return None;
        }
        let rule = *seen.hits.first()?;
        let cut = seen.date.map_or(0..0, |date| date.range);
        let mut buffer = String::new();
        let subject = crate::line::subject(line, &cut, &mut buffer);
        let mut scratch = Scratch::default();
        let mut content = subject;
        if let Some(prefix) = &self.filter.rules.prefregex {
            if prefix.regex.search(subject, &mut scratch) != Ok(true) {
                return None;
            }
            let group = |number: Option<usize>| subject.get(scratch.group(number?)?);
            if let Some(address) = group(prefix.groups.ip4) {
                return Some((rule, address.to_owned()));
            }
            content = group(prefix.groups.content)
                .filter(|text| !text.is_empty())
                .unwrap_or(subject);
        }
        let failregex = self.filter.rules.failregex.get(rule)?;
        if failregex.regex.search(content, &mut scratch) != Ok(true) {
            return None;
        }
        let address = content.get(scratch.group(failregex.groups.ip4?)?)?;
        Some((rule, address.to_owned()))
    }

    fn forged_finding(
        &self,
        written_by: usize,
        free: &Free,
        rule: usize,
        (example, lines): (&str, Lines),
        settings: &FilterSettings,
    ) -> Finding {
        let dated = DATED.iter().map(|date| format!("{date}{example}"));
        let dated = dated.into_iter().find(|line| {
            let seen = self
                .filter
                .examine(line.as_bytes(), CLOCK, &mut Memory::default(), false);
            seen.date.is_some_and(|date| date.range.end <= 22)
                && self
                    .taken(line, lines)
                    .is_some_and(|(found, address)| found == rule && address == FORGED)
        });
        let place = match (&free.field.name, free.in_prefix) {
            (Some(name), _) => format!("the free text of <F-{}>", name.to_uppercase()),
            (None, true) => "free text in `prefregex`".into(),
            (None, false) => "free text in the rule".into(),
        };
        let place = if written_by == rule || free.in_prefix {
            place
        } else {
            format!("{place} {}", written_by + 1)
        };
        let (option, index) = free.told_of(rule);
        let at = match (self.prefix.as_ref(), self.failregex.get(rule)) {
            (Some(prefix), _) if free.in_prefix => settings.prefregex.as_ref().zip(Some(prefix)),
            (_, Some(Some(seen))) if written_by == rule => settings.failregex.get(rule).zip(Some(seen)),
            _ => None,
        };
        let at = at
            .and_then(|(text, seen)| place::of_loop(text, self.filter.usedns, free.field.number, seen.outline.loops()));
        Finding {
            option,
            index,
            kind: FindingKind::Forgeable,
            at,
            what: "text from outside can stand where the address is taken".into(),
            why: format!(
                "{place} can imitate what follows it: the rule takes {FORGED} where the service writes {TRUE}"
            ),
            mend: "anchor the rule with ^ and $, and let free text take no more than it must: [^\"]* or \\S+ for .*"
                .into(),
            example: Some(dated.unwrap_or_else(|| example.to_owned())),
        }
    }
}

/// A text that may make a rule take the forged address.
#[derive(Debug)]
struct Attack {
    rule: usize,
    /// Lines of which rule it is made for; `None`: of any.
    only_for: Option<usize>,
    text: String,
}

const FULL: Taste = Taste { full: true, branch: 0 };

fn tastes() -> impl Iterator<Item = Taste> {
    [(false, 0), (true, 0), (false, 1), (true, 1)]
        .into_iter()
        .map(|(full, branch)| Taste { full, branch })
}

/// The template with its free text filled in; `None` if marks are missing or left.
fn filled(line: &str, text: &str) -> Option<String> {
    // More than once: a back-reference repeats it.
    let line = line.replace(FIELD, text);
    (!line.contains([ADDRESS, FIELD, CONTENT]) && line.contains(TRUE)).then_some(line)
}

/// The text without one of its words, for each word that is no mark and no address.
fn without_a_word(text: &str) -> Vec<String> {
    let words = text.split_inclusive(' ').scan(0, |end, word| {
        let start = *end;
        *end += word.len();
        Some((start, word))
    });
    words
        .filter(|(_, word)| !word.contains(FIELD) && !word.contains(TRUE) && !word.contains(FORGED))
        .filter_map(|(start, word)| Some(format!("{}{}", text.get(..start)?, text.get(start + word.len()..)?)))
        .collect()
}

/// Whether a field takes nearly everything that can be typed.
fn is_free(field: &Field) -> bool {
    (' '..='~')
        .filter(|character| field.holds(&character.to_string()))
        .count()
        >= 85
}
