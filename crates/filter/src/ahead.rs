//! A block surveyed before those in front of it are, on another processor: what they leave behind is guessed.
//!
//! A line depends on the lines before it by what is remembered of their dates, and by sessions. The first changes seldom, so
//! a block is surveyed as if the lines before it had left behind what others did ([`Outlook`]). When they are known, the guess is
//! compared with what they did leave: in all that may change an outcome, and in every decision that was made by counts. Steps
//! of sessions are only noted, and made when the block's turn has come. Start reading at [`Filter::follow`].

use std::ops::Range;
use std::sync::Arc;

use stockade_core::Timestamp;

use crate::date::DateState;
use crate::hit::{Lines, Named};
use crate::mlfid::Step;
use crate::scan::first_line;
use crate::survey::Glimpse;
use crate::{Clock, Filter, Glance, Memory, Outcome, Surveyed, Who};

/// What lines leave behind that those after them depend on, but for sessions.
#[derive(Clone, Debug)]
pub struct Outlook {
    dates: DateState,
    last_date: Option<Timestamp>,
}

/// A block surveyed from a guess.
#[derive(Debug, Default)]
pub struct Ahead {
    /// The guess, and what the block left behind then.
    between: Option<(Arc<Outlook>, Outlook)>,
    notes: Vec<Note>,
    /// Those of all lines, one after the other.
    glimpses: Vec<Glimpse>,
    steps: Steps,
}

/// What was told of a part of a block.
#[derive(Clone, Copy, Debug)]
enum Note {
    Passed {
        bytes: usize,
        count: u64,
        prefixed: u64,
    },
    /// A line with so many of the glimpses.
    Line {
        prefregex: bool,
        overran: bool,
        ignored: bool,
        ignored_by: Option<usize>,
        found: usize,
    },
}

/// Steps of sessions in their order.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    text: String,
    steps: Vec<LaterStep>,
}

#[derive(Debug)]
struct LaterStep {
    key: Range<usize>,
    user: Option<Range<usize>>,
    who: Option<Who>,
    nofail: bool,
    gained: bool,
    forget: bool,
}

impl Filter {
    /// What lines read with this memory leave behind, as a guess of what later ones do.
    pub fn outlook(&self, memory: &Memory) -> Outlook {
        Outlook {
            dates: memory.dates.guess(),
            last_date: memory.last_date,
        }
    }

    /// [`Filter::survey`] of a block before those in front of it, for [`Filter::follow`]. The memory serves nothing else; `room` is
    /// what was found ahead in another block and is not needed any more.
    pub fn survey_ahead(
        &self,
        block: &[u8],
        guess: &Arc<Outlook>,
        clock: Clock,
        memory: &mut Memory,
        check_all: bool,
        room: Ahead,
    ) -> Ahead {
        memory.dates.clone_from(&guess.dates);
        memory.last_date = guess.last_date;
        let Ahead {
            mut notes,
            mut glimpses,
            mut steps,
            ..
        } = room;
        notes.clear();
        glimpses.clear();
        steps.text.clear();
        steps.steps.clear();
        self.survey_with(
            block,
            clock,
            memory,
            check_all,
            Some(&mut steps),
            &mut |told| match told {
                Surveyed::Passed { lines, count, prefixed } => {
                    if let Some(Note::Passed {
                        bytes: all_bytes,
                        count: all,
                        prefixed: all_prefixed,
                    }) = notes.last_mut()
                    {
                        *all_bytes += lines.len();
                        *all += count;
                        *all_prefixed += prefixed;
                    } else {
                        let bytes = lines.len();
                        notes.push(Note::Passed { bytes, count, prefixed });
                    }
                }
                Surveyed::Line(_, glance) => {
                    notes.push(Note::Line {
                        prefregex: glance.prefregex,
                        overran: glance.overran,
                        ignored: glance.ignored,
                        ignored_by: glance.ignored_by,
                        found: glance.found.len(),
                    });
                    glimpses.extend(glance.found.iter().cloned());
                }
            },
        );
        let ended = Outlook {
            dates: std::mem::take(&mut memory.dates),
            last_date: memory.last_date,
        };
        Ahead {
            between: Some((Arc::clone(guess), ended)),
            notes,
            glimpses,
            steps,
        }
    }

    /// Takes in a block whose turn has come: what [`Filter::survey`] tells of it, by what was found ahead if the guess was right.
    /// If not, nothing is told, `false` comes back, and the block has to be surveyed anew.
    pub fn follow(
        &self,
        block: &[u8],
        ahead: &mut Ahead,
        clock: Clock,
        memory: &mut Memory,
        each: &mut dyn FnMut(Surveyed<'_>),
    ) -> bool {
        let Some(after) = self.after(ahead, clock, memory) else {
            return false;
        };
        memory.dates = after.dates;
        memory.last_date = after.last_date;
        let mut glimpses = ahead.glimpses.drain(..);
        let mut steps = ahead.steps.steps.drain(..);
        let mut glance = Glance::default();
        let mut rest = block;
        for note in ahead.notes.drain(..) {
            let (taken, line) = match note {
                Note::Passed { bytes, .. } => (bytes, None),
                Note::Line { .. } => {
                    let (line, length) = first_line(rest);
                    (length, Some(line))
                }
            };
            match note {
                Note::Passed { count, prefixed, .. } => each(Surveyed::Passed {
                    lines: rest.get(..taken).unwrap_or_default(),
                    count,
                    prefixed,
                }),
                Note::Line {
                    prefregex,
                    overran,
                    ignored,
                    ignored_by,
                    found,
                } => {
                    glance.prefregex = prefregex;
                    glance.overran = overran;
                    glance.ignored = ignored;
                    glance.ignored_by = ignored_by;
                    glance.found.clear();
                    for noted in glimpses.by_ref().take(found) {
                        let step = if noted.later { steps.next() } else { None };
                        let made = step.map(|step| self.step_noted(noted.rule, step, &ahead.steps.text, clock, memory));
                        glance.found.push(made.unwrap_or(noted));
                    }
                    each(Surveyed::Line(line.unwrap_or_default(), &glance));
                }
            }
            rest = rest.get(taken..).unwrap_or_default();
        }
        true
    }

    /// What the block leaves behind if the guess was right.
    fn after(&self, ahead: &Ahead, clock: Clock, memory: &Memory) -> Option<Outlook> {
        let (begun, ended) = ahead.between.as_ref()?;
        let serves = |last: Option<Timestamp>| Memory::serving(last, clock).is_some();
        if serves(memory.last_date) != serves(begun.last_date) {
            return None;
        }
        // Left as it was it may have been read again, or not.
        let kept = ended.last_date == begun.last_date;
        if kept && memory.last_date != begun.last_date {
            return None;
        }
        Some(Outlook {
            dates: self.dates.followed(&memory.dates, &begun.dates, &ended.dates)?,
            last_date: ended.last_date,
        })
    }

    fn step_noted(&self, rule: usize, noted: LaterStep, text: &str, clock: Clock, memory: &mut Memory) -> Glimpse {
        let read = |range: Range<usize>| text.get(range).unwrap_or_default();
        let mut fields = Named::default();
        if let (Some(name), Some(user)) = (self.rules.user, noted.user) {
            fields.set(name, read(user));
        }
        let step = Step {
            who: noted.who,
            fields: &fields,
            lines: Lines::Several(Vec::new()),
            nofail: noted.nofail,
            gained: noted.gained,
            forget: noted.forget,
            brief: true,
            closely: None,
        };
        self.step_briefly(rule, read(noted.key), step, clock, memory)
    }
}

impl Steps {
    /// Notes a step; what comes back stands for what will come of it.
    pub(crate) fn note(&mut self, rule: usize, key: &str, step: Step<'_>) -> Glimpse {
        let user = step.fields.iter().next().map(|(_, user)| self.keep(user));
        let key = self.keep(key);
        self.steps.push(LaterStep {
            key,
            user,
            who: step.who,
            nofail: step.nofail,
            gained: step.gained,
            forget: step.forget,
        });
        Glimpse {
            rule,
            helps: false,
            outcome: Outcome::Held(None),
            later: true,
        }
    }

    fn keep(&mut self, text: &str) -> Range<usize> {
        let start = self.text.len();
        self.text.push_str(text);
        start..self.text.len()
    }
}
