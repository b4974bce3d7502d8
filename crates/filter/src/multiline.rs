//! Rules over several lines: the window of the last lines is searched anew at every line (behaviour spec 2.8).

use std::ops::Range;

use stockade_regex::Scratch;

use crate::closer::{self, Closer};
use crate::failregex::Rule;
use crate::hit::{Hit, Lines, Wanted};
use crate::matcher::{Moment, RuleOverrun, search};
use crate::window::Window;
use crate::{Filter, Memory, Verdict};

impl Filter {
    /// Tries the rules on the last lines together. The lines of a match leave the window whatever comes of it.
    pub(crate) fn rules_on_window(
        &self,
        moment: Moment,
        memory: &mut Memory,
        closer: Option<&mut Closer<'_>>,
    ) -> Result<Verdict, RuleOverrun> {
        let mut window = std::mem::take(&mut memory.window);
        let verdict = self.rules_on_lines(&mut window, moment, memory, closer);
        memory.window = window;
        verdict
    }

    fn rules_on_lines(
        &self,
        window: &mut Window,
        moment: Moment,
        memory: &mut Memory,
        mut closer: Option<&mut Closer<'_>>,
    ) -> Result<Verdict, RuleOverrun> {
        if self.ignored_as_a_whole(window.text(), memory, closer.as_deref_mut())? {
            return Ok(Verdict::Ignored);
        }
        let mut first = None;
        for (index, rule) in self.rules.failregex.iter().enumerate() {
            let Some(content) = self.content(window.text(), memory, closer.as_deref_mut())? else {
                break;
            };
            if closer.as_deref().is_some_and(|closer| !closer.admitted) {
                break;
            }
            let text = window.text().get(content.clone()).unwrap_or("");
            if !search(rule, text, &mut memory.scratch, Some(index))? {
                continue;
            }
            if let Some(closer) = closer.as_deref_mut() {
                closer.seen.hits.push(index);
            }
            let (matched, skipped) = spans(rule, content.start, &memory.scratch);
            let subject = window.text().to_owned();
            let text = subject.get(content).unwrap_or("");
            let groups = match closer {
                Some(_) => closer::of_rule(rule, text, &memory.scratch),
                None => Vec::new(),
            };
            let hit = Hit::new(
                self,
                (index, rule),
                (text, &memory.scratch),
                (&subject, &memory.prefix),
                Wanted::All,
            );
            if self.ignores_first() && self.ignores(&subject, memory)? {
                // Upstream asks before it searches, so the lines stay.
                return Ok(Verdict::Ignored);
            }
            let taken = window.take(&matched, &skipped);
            if self.ignores(&taken.text, memory)? {
                return Ok(first.unwrap_or(Verdict::Ignored));
            }
            let Some(closer) = closer.as_deref_mut() else {
                return Ok(self.conclude(&hit, Lines::Several(taken.lines), moment, &mut memory.sessions, None));
            };
            let verdict = self.conclude_closely(&hit, groups, Lines::Several(taken.lines), moment, memory, closer);
            if !closer.check_all {
                return Ok(verdict);
            }
            first.get_or_insert(verdict);
        }
        Ok(first.unwrap_or(Verdict::Miss))
    }
}

/// What a rule matched, and what of it is `<SKIPLINES>`, as places in the window; `start` is where the searched text begins.
fn spans(rule: &Rule, start: usize, scratch: &Scratch) -> (Range<usize>, Vec<Range<usize>>) {
    let group = |number| {
        scratch
            .group(number)
            .map(|range| range.start + start..range.end + start)
    };
    let skipped = rule.regex.names().iter().filter_map(|(name, number)| {
        let counted = name.strip_prefix("skiplines")?;
        counted
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| group(*number))?
    });
    (group(0).unwrap_or(start..start), skipped.collect())
}
