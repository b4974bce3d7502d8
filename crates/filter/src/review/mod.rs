//! What is wrong with rules that compile: they can never match, they let an attacker choose whom they name, or a line
//! can make them slow.
//!
//! A warning here is proven or shown: that a rule never matches is proven on an automaton (`stockade_regex::review`);
//! that text can stand where the address is taken is shown with a line, on which the filter itself takes the wrong
//! address; that a rule is slow is shown with a text on which it runs out of steps. When unsure nothing is said. Start
//! reading at [`review`].

mod forgeable;
mod never;
mod place;

use std::cell::Cell;

use stockade_core::Timestamp;
use stockade_regex::review::{Outline, slow_text};

use crate::failregex::Rule;
use crate::{Clock, Filter, FilterSettings};

/// Something wrong with a rule that compiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// `failregex`, `ignoreregex` or `prefregex`.
    pub option: &'static str,
    /// Which entry of it, counted from 0.
    pub index: usize,
    /// What kind of fault.
    pub kind: FindingKind,
    /// The part of the rule it is about, in characters of the rule as given.
    pub at: Option<(usize, usize)>,
    /// What is wrong, in one sentence.
    pub what: String,
    /// Why that matters.
    pub why: String,
    /// How to mend it.
    pub mend: String,
    /// A line that shows it.
    pub example: Option<String>,
}

/// What kind of fault a rule has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingKind {
    /// No line can match.
    NeverMatches,
    /// Whoever can write a part of the line can choose the address.
    Forgeable,
    /// Some lines use up the step budget.
    Slow,
}

/// 2026-11-22 00:00 UTC; lines in examples have this date or none.
const CLOCK: Clock = Clock {
    now: Timestamp::from_secs(1_795_305_600),
    in_operation: true,
    findtime: 600,
};

/// Reviews the rules of a filter made from these settings.
pub fn review(filter: &Filter, settings: &FilterSettings) -> Vec<Finding> {
    let mut findings = slow_rules(filter);
    // What is proven here is proven for single lines.
    if settings.maxlines <= 1 {
        let reviewer = Reviewer::new(filter);
        let never = reviewer.never_matching();
        let forgeable = reviewer.forgeable(settings);
        findings.extend(never);
        findings.extend(forgeable);
    }
    findings.sort_by_key(|finding| (finding.option != "prefregex", finding.option, finding.index));
    findings
}

fn slow_rules(filter: &Filter) -> Vec<Finding> {
    let rules = &filter.rules;
    let named =
        |option: &'static str, rules: &mut dyn Iterator<Item = &Rule>| -> Vec<Finding> {
            let slow = rules.enumerate().filter_map(|(index, rule)| {
            let slow = slow_text(&rule.regex)?;
            Some(Finding {
                option,
                index,
                kind: FindingKind::Slow,
                at: None,
                what: "a line can make this rule use up its step budget".into(),
                why: format!(
                    "{}, so it is not decided in linear time; a line on which the budget runs out counts as no match",
                    slow.obstacle
                ),
                mend: "let no two neighbouring repetitions take the same text, and anchor the rule with ^".into(),
                example: Some(format!("{}, then {} times {}", shown(&slow.start), slow.times, shown(&slow.repeated))),
            })
        });
            slow.collect()
        };
    let mut findings = named("prefregex", &mut rules.prefregex.iter());
    findings.extend(named("failregex", &mut rules.failregex.iter()));
    findings.extend(named("ignoreregex", &mut rules.ignoreregex.iter()));
    findings
}

fn shown(text: &str) -> String {
    format!("{text:?}")
}

/// A rule and its outline.
struct Seen<'f> {
    rule: &'f Rule,
    outline: Outline,
}

/// A filter of hundreds of rules must not keep the review busy for minutes: this is about a second. The largest stock
/// filter needs a tenth.
const MOST_SEARCHES: usize = 1_000_000;

struct Reviewer<'f> {
    filter: &'f Filter,
    prefix: Option<Seen<'f>>,
    failregex: Vec<Option<Seen<'f>>>,
    ignoreregex: Vec<Option<Seen<'f>>>,
    /// Searches that may still be made to find lines that show something.
    searches_left: Cell<usize>,
}

impl<'f> Reviewer<'f> {
    fn new(filter: &'f Filter) -> Self {
        let seen = |rule: &'f Rule| {
            let outline = Outline::of(&rule.regex)?;
            Some(Seen { rule, outline })
        };
        Self {
            filter,
            prefix: filter.rules.prefregex.as_ref().and_then(seen),
            failregex: filter.rules.failregex.iter().map(seen).collect(),
            ignoreregex: filter.rules.ignoreregex.iter().map(seen).collect(),
            searches_left: Cell::new(MOST_SEARCHES),
        }
    }

    /// The prefregex and its group `content`, if rules see that group's text.
    fn content(&self) -> Option<(&Outline, usize)> {
        let prefix = self.prefix.as_ref()?;
        Some((&prefix.outline, prefix.rule.groups.content?))
    }
}
