//! How far a pattern got in a text that it does not match: for people who ask why.
//!
//! The pattern is compiled anew without short cuts, one instruction for each of its leaves, and run by the machine's own
//! steps; each step that fails says how far it was. Searches know nothing of this.

use std::ops::Range;

use crate::ast::RepeatKind;
use crate::compile::compile_plainly;
use crate::machine::{At, Machine, Run};
use crate::program::{Inst, Pc, Program, SubKind};
use crate::{Budget, Regex};

/// Where a search that found nothing got furthest. All places are bytes.
///
/// ```
/// use stockade_regex::{Flags, Regex};
///
/// let regex = Regex::new(r"^login failed for \S+ from \d+", Flags::default())?;
/// let miss = regex.near_miss("login failed for root via ssh").ok_or("it matches")?;
/// assert_eq!(miss.text_at, "login failed for root ".len());
/// assert_eq!(regex.pattern().get(miss.pattern_span), Some("f"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearMiss {
    /// Where in the text the try began that got furthest; 0 for a pattern that begins with `^`.
    pub started_at: usize,
    /// The place in the text up to which the pattern matched.
    pub text_at: usize,
    /// The part of the pattern that did not match there: a character, a class, a place such as `$` or a look-around,
    /// with its quantifier. Of several the last one in the pattern.
    pub pattern_span: Range<usize>,
}

impl Regex {
    /// How far the pattern got in `text`; `None` if it matches.
    ///
    /// If the step budget runs out, what was found until then.
    pub fn near_miss(&self, text: &str) -> Option<NearMiss> {
        let ast = crate::parse::parse(&self.pattern, self.flags).ok()?;
        let (program, leaf_of) = compile_plainly(&ast).ok()?;
        let mut machine = Machine::default();
        machine.reset(&program);
        let mut walk = Walk {
            run: Run {
                program: &program,
                text,
                bytes: text.as_bytes(),
                budget: Budget {
                    steps: self.steps_for(text),
                    ..self.budget
                },
                machine: &mut machine,
            },
            furthest: Furthest::default(),
        };
        if walk.matches() {
            return None;
        }
        let Furthest { start, position, pc } = walk.furthest;
        let span = leaf_of.get(pc).and_then(|&leaf| ast.spans.get(leaf));
        Some(NearMiss {
            started_at: start,
            text_at: position,
            pattern_span: span.cloned().unwrap_or(0..0),
        })
    }
}

#[derive(Clone, Copy, Default)]
struct Furthest {
    start: usize,
    position: usize,
    pc: Pc,
}

struct Walk<'r> {
    run: Run<'r>,
    furthest: Furthest,
}

impl Walk<'_> {
    /// Whether the text matches; otherwise what was found is noted.
    fn matches(&mut self) -> bool {
        let mut from = 0;
        while let Some(start) = self.run.next_start(from) {
            match self.matches_at(start) {
                Some(true) => return true,
                Some(false) if start < self.run.bytes.len() => from = self.run.next_boundary(start),
                Some(false) | None => break,
            }
        }
        false
    }

    /// One try; `None` if the budget is used up.
    fn matches_at(&mut self, start: usize) -> Option<bool> {
        let program = self.run.program;
        let mut at = (0, start);
        loop {
            self.run.charge(0).ok()?;
            let inst = program.code.get(at.0)?;
            if matches!(inst, Inst::Match) {
                return Some(true);
            }
            let inside = self.run.machine.parts.clone();
            let next = self.run.step(inst, at).ok()?;
            if next.is_none() {
                self.failed(program, start, inst, at, &inside);
            }
            let next = match next {
                Some(next) => Some(next),
                None => self.run.back().ok()?,
            };
            let Some(next) = next else {
                self.run.machine.forget_attempt();
                return Some(false);
            };
            at = next;
        }
    }

    /// Notes that an instruction did not match.
    fn failed(
        &mut self,
        program: &Program,
        start: usize,
        inst: &Inst,
        (mut pc, mut position): At,
        inside: &[crate::machine::OpenPart],
    ) {
        match inst {
            Inst::Loop(repeat) => {
                let Some(class) = program.classes.get(repeat.class) else {
                    return;
                };
                // It failed because it matched too few, or its ways out did, which were told before.
                let mut count = 0;
                while count < repeat.min
                    && let Some(length) = class.length_at(self.run.text, position)
                {
                    position += length;
                    count += 1;
                }
                if count == repeat.min && repeat.kind != RepeatKind::Possessive {
                    return;
                }
            }
            Inst::Byte(_)
            | Inst::Literal(_)
            | Inst::Class(_)
            | Inst::Assert(_)
            | Inst::Backreference { .. }
            | Inst::Sub { .. }
            | Inst::SubEnd { .. } => {}
            // Tried before.
            _ => return,
        }
        // Outside in: that a negative look-around does not match inside is no failure, its match is one; what a
        // look-behind sees lies behind.
        for (depth, part) in inside.iter().enumerate() {
            let leaves = matches!(inst, Inst::SubEnd { .. }) && depth + 1 == inside.len();
            match part.kind {
                SubKind::Look { negative: true, .. } if !leaves => return,
                SubKind::Look { negative: true, .. } | SubKind::Look { behind: Some(_), .. } => {
                    (pc, position) = (part.pc, part.position);
                    break;
                }
                SubKind::Look { .. } | SubKind::Atomic | SubKind::Round => {}
            }
        }
        let best = &mut self.furthest;
        let (length, best_length) = (position.saturating_sub(start), best.position - best.start);
        if length > best_length || (length == best_length && (best.pc == 0 || start == best.start && pc > best.pc)) {
            *best = Furthest { start, position, pc };
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Flags, Regex};

    #[test]
    fn a_near_miss_tells_where_text_and_pattern_part() {
        for (pattern, text, before, part) in [
            ("^abc$", "abx", "ab", "c"),
            ("^abc$", "abcd", "abc", "$"),
            (r"^a\d{3}b", "a12b", "a12", r"\d{3}"),
            (r"^(\w+): (?:foo|bar) baz$", "error: bar bax", "error: bar ba", "z"),
            (r"^x(?: port \d+)?(?: ssh\d*)?$", "x port 22 on", "x port 22 ", "s"),
            (r"^.*? from (\S+)!", "a from b from c", "a from b from c", "!"),
            (r"^(?:(?! from ).)*by", "a from b", "a", "b"),
            (r"^user(?=name)", "userid", "user", "n"),
            (r"^user (?!root)\w+", "user root", "user ", "(?!root)"),
            (r"^user\b(?<=er)s", "user", "user", "s"),
            (r"^ab(?<=xb)c", "abc", "ab", "(?<=xb)"),
            (r"^(?P<a>x+)-(?P=a)$", "xx-xy", "xx-", "(?P=a)"),
            (r"^(a)?(?(1)b|c)", "ac", "a", "b"),
            (r"^(?>a+)ab", "aaab", "aaa", "a"),
            (r"^a++ab", "aaab", "aaa", "a"),
            (r"^é+ü", "ééu", "éé", "ü"),
            ("foo=bar", "x foo=y foo=baz", "x foo=y foo=ba", "r"),
            ("(?:ab){2}c", "ababd", "abab", "c"),
            ("", "", "", ""),
        ] {
            let regex = Regex::new(pattern, Flags::default()).unwrap();
            let miss = regex.near_miss(text);
            let Some(miss) = miss else {
                assert_eq!((pattern, text), ("", ""), "it matches");
                continue;
            };
            assert_eq!(
                (&text[..miss.text_at], &pattern[miss.pattern_span.clone()]),
                (before, part),
                "{pattern} on {text}"
            );
        }
    }

    #[test]
    fn a_near_miss_of_a_hostile_line_ends() {
        let regex = Regex::new(r"^(a+)+\1$", Flags::default()).unwrap();
        let miss = regex.near_miss(&format!("{}!", "a".repeat(5_000))).unwrap();
        assert_eq!(miss.text_at, 5_000);
    }
}
