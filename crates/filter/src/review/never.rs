//! Rules that no line can match, by proof.

use std::sync::LazyLock;

use stockade_regex::review::{Condition, Outline, Text};
use stockade_regex::{Flags, Regex};

use super::{CLOCK, Finding, FindingKind, Reviewer};
use crate::Memory;

/// Dates as logs begin with.
const DATES: [&str; 9] = [
    "2026-11-22 13:40:04",
    "2026-11-22T13:40:04",
    "2026/11/22 13:40:04",
    "[2026-11-22 13:40:04",
    "Nov 22 13:40:04",
    "Sun Nov 22 13:40:04 2026",
    "[Sun Nov 22 13:40:04",
    "22/Nov/2026:13:40:04",
    "[22/Nov/2026:13:40:04",
];

/// What a rule that begins with a date always begins with.
static SHAPES: LazyLock<Option<Outline>> = LazyLock::new(|| {
    outline_of(r"[^\w\s]{0,2}(?:\d+[-/.]\w+[-/.]\d+[T: ]\d+:\d+|(?:\w+,? +)?\w+\s+\d+\s+\d+:\d+:\d+)")
});

fn outline_of(pattern: &str) -> Option<Outline> {
    Outline::of(&Regex::new(pattern, Flags::default()).ok()?)
}

impl Reviewer<'_> {
    /// Rules that never match.
    pub(super) fn never_matching(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Some(prefix) = &self.prefix
            && let Some((what, why, mend)) = self.never(&prefix.outline, None)
        {
            return vec![never_finding("prefregex", 0, what, why, mend)];
        }
        let content = self.content();
        for (index, seen) in self.failregex.iter().enumerate() {
            let Some(seen) = seen else { continue };
            if let Some((what, why, mend)) = self.never(&seen.outline, content) {
                findings.push(never_finding("failregex", index, what, why, mend));
            }
        }
        for (index, seen) in self.ignoreregex.iter().enumerate() {
            let Some(seen) = seen else { continue };
            // It is asked about the content, and in some filters about the whole line too.
            if seen.outline.never_matches(Text::Line, &[])
                && content.is_none_or(|(prefix, group)| {
                    seen.outline
                        .never_matches(Text::Part, &[Condition::Captured(prefix, group)])
                })
            {
                let (what, why, mend) = impossible();
                findings.push(never_finding("ignoreregex", index, what, why, mend));
            }
        }
        findings
    }

    /// Why a rule can never match, and how to mend it.
    fn never(&self, outline: &Outline, content: Option<(&Outline, usize)>) -> Option<(String, String, String)> {
        let Some((prefix, group)) = content else {
            if outline.never_matches(Text::Line, &[]) {
                return Some(impossible());
            }
            return self.expects_date(outline);
        };
        let within = Condition::Captured(prefix, group);
        let in_line = || !prefix.always_fills(group) && !outline.never_matches(Text::Line, &[]);
        if outline.never_matches(Text::Part, &[within]) {
            if in_line() {
                return None;
            }
            if outline.never_matches(Text::Part, &[]) {
                return Some(impossible());
            }
            return Some((
                "this rule can never match".into(),
                "it sees only what `prefregex` has in <F-CONTENT>, and that is never such a text".into(),
                "let the rule begin with what stands at the start of <F-CONTENT>, or widen `prefregex`".into(),
            ));
        }
        if outline.is_anchored()
            && prefix.demands_before(group)
            && prefix.always_fills(group)
            && outline.never_matches(Text::Part, &[Condition::BeginsNotBefore(prefix, group)])
        {
            return Some((
                "this rule expects again what `prefregex` has taken already".into(),
                "it is anchored with ^ to the start of <F-CONTENT>, and begins with what stands before <F-CONTENT>; a \
                 line would need that twice"
                    .into(),
                "leave the beginning out of the rule".into(),
            ));
        }
        None
    }

    /// A rule that begins with a date, where the date is cut out of the line before.
    fn expects_date(&self, outline: &Outline) -> Option<(String, String, String)> {
        if !outline.is_anchored() {
            return None;
        }
        let shapes = SHAPES.as_ref()?;
        if !outline.never_matches(Text::Line, &[Condition::BeginsNot(shapes)]) {
            return None;
        }
        let date = DATES.iter().find(|date| {
            let literal = date.replace('[', r"\[");
            let begins = outline_of(&literal);
            begins.is_some_and(|begins| !outline.never_matches(Text::Line, &[Condition::Begins(&begins)]))
        })?;
        // Only if this filter would cut it.
        let line = format!("{date} x");
        let seen = self
            .filter
            .examine(line.as_bytes(), CLOCK, &mut Memory::default(), false);
        let cut = seen.date?.range;
        if cut.start > 1 || cut.len() < 10 {
            return None;
        }
        Some((
            "this rule expects a date at the start of the line, where none is left".into(),
            format!("the date is cut out before the rules see the line: of `{date} …` they see what stands after it"),
            "begin the rule with what follows the date: ^ and, if there is one, the blank after it".into(),
        ))
    }
}

fn impossible() -> (String, String, String) {
    (
        "this rule can never match".into(),
        "what it asks for excludes itself on any line: look for text after `$`, for `^` inside, for a look-ahead that \
         forbids what follows"
            .into(),
        "`fail2ban-regex` with a line of the log and parts of the rule shows which part fails".into(),
    )
}

fn never_finding(option: &'static str, index: usize, what: String, why: String, mend: String) -> Finding {
    Finding {
        option,
        index,
        kind: FindingKind::NeverMatches,
        at: None,
        what,
        why,
        mend,
        example: None,
    }
}
