//! How near the rules came to a line that none of them matches: for `stockade explain`.

use std::ops::Range;

use crate::failregex::Rule;
use crate::{Clock, Filter, FilterSettings, Memory, line, matcher, tags};

/// The rule that got furthest in a line, and where it stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Near {
    /// `prefregex` or `failregex`. If there is a `prefregex` that does not match, no `failregex` was asked.
    pub option: &'static str,
    /// Which entry of it, counted from 0.
    pub index: usize,
    /// What the rule sees: the line without its date, or the `<F-CONTENT>` of it.
    pub text: String,
    /// The bytes of it that the rule matched before it stopped.
    pub matched: Range<usize>,
    /// How many bytes of the rule, its tags replaced, stand before what it asks for next: the measure of nearness. The text
    /// is none, since `.*` matches as much of it as there is.
    pub passed: usize,
    /// What the rule asks for next: a piece of it with its tags replaced.
    pub wanted: String,
    /// The character of the rule as given, from 0, at which it stopped, if that can be told.
    pub at: Option<usize>,
}

impl Filter {
    /// What the rules see of a line: the part that `prefregex` hands on, or all but the date.
    ///
    /// `None` if `prefregex` does not match. Without the line end, and for one line: what `maxlines` adds is left out.
    pub fn content_of(&self, line: &[u8], clock: Clock) -> Option<String> {
        let mut memory = Memory::default();
        let subject = self.subject_of(line, clock, &mut memory);
        let content = self.content(&subject, &mut memory, None).ok().flatten()?;
        Some(subject.get(content)?.trim_end_matches('\n').to_owned())
    }

    /// The rule that came nearest to matching a line; `None` if one matches, or if there is none.
    ///
    /// `settings` are those the filter was made of. Slow: patterns are compiled anew.
    pub fn nearest(&self, settings: &FilterSettings, line: &[u8], clock: Clock) -> Option<Near> {
        let mut memory = Memory::default();
        let subject = self.subject_of(line, clock, &mut memory);
        let Some(content) = self.content(&subject, &mut memory, None).ok()? else {
            let rule = self.rules.prefregex.as_ref()?;
            return near("prefregex", 0, rule, settings.prefregex.as_deref()?, &subject, settings);
        };
        let content = subject.get(content)?;
        let mut nearest: Option<Near> = None;
        for (index, (rule, given)) in self.rules.failregex.iter().zip(&settings.failregex).enumerate() {
            let near = near("failregex", index, rule, given, content, settings)?;
            if nearest.as_ref().is_none_or(|nearest| near.passed > nearest.passed) {
                nearest = Some(near);
            }
        }
        nearest
    }

    fn subject_of(&self, bytes: &[u8], clock: Clock, memory: &mut Memory) -> String {
        let mut decoded = String::new();
        let text = line::decode(bytes, &mut decoded);
        let found = self.dates.find(text, clock.now, &mut memory.dates, &mut memory.scratch);
        let mut buffer = String::new();
        line::subject(text, &matcher::cut_of(found.as_ref()), &mut buffer).to_owned()
    }
}

fn near(
    option: &'static str,
    index: usize,
    rule: &Rule,
    given: &str,
    text: &str,
    settings: &FilterSettings,
) -> Option<Near> {
    let miss = rule.regex.near_miss(text)?;
    Some(Near {
        option,
        index,
        text: text.to_owned(),
        matched: miss.started_at..miss.text_at,
        passed: miss.pattern_span.start,
        wanted: rule.text.get(miss.pattern_span.clone()).unwrap_or_default().to_owned(),
        at: tags::before_expansion(given, miss.pattern_span.start, settings.usedns),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockade_core::Timestamp;

    #[test]
    fn the_nearest_rule_is_the_one_of_which_most_matched() {
        let settings = FilterSettings {
            failregex: vec![
                "^ refused <HOST>$".into(),
                "^ login of <F-USER>\\S+</F-USER> from <HOST> failed$".into(),
            ],
            ..FilterSettings::default()
        };
        let filter = Filter::new(&settings, &jiff::tz::TimeZone::UTC).unwrap();
        let clock = Clock {
            now: Timestamp::from_secs(1_795_305_600),
            in_operation: true,
            findtime: 600,
        };
        let near = |line: &str| filter.nearest(&settings, line.as_bytes(), clock);
        let found = near("2026-11-22 00:00:00 login of root from 192.0.2.1 succeeded").unwrap();
        assert_eq!(
            (found.index, found.text.get(found.matched.clone())),
            (1, Some(" login of root from 192.0.2.1 "))
        );
        assert_eq!((found.wanted.as_str(), found.at), ("f", Some(44)));
        assert_eq!(near("2026-11-22 00:00:00 login of root from 192.0.2.1 failed"), None);
    }
}
