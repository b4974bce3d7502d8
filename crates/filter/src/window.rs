//! The last lines of a log, for rules that span several (`maxlines`, behaviour spec 2.8).
//!
//! Rules see the lines joined, each without its date and with a line end. The lines a match spans are taken out; those
//! within `<SKIPLINES>` stay and may serve another match.

use std::collections::VecDeque;
use std::ops::Range;

use stockade_core::LineText;

/// More lines than this are not kept, whatever `maxlines` says.
const LINES: usize = 10_000;

/// More text than this is not kept: rules search all of it at every line.
const BYTES: usize = 1 << 20;

/// What one jail keeps of one log.
#[derive(Debug, Default)]
pub(crate) struct Window {
    lines: VecDeque<Kept>,
    /// What the rules see.
    joined: String,
}

#[derive(Debug)]
struct Kept {
    line: LineText,
    /// Without its date and with a line end, as in `joined`.
    subject: Box<str>,
    /// Whether it contains a literal that some rule needs.
    admitted: bool,
}

/// The lines a match spans.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) lines: Vec<LineText>,
    /// Without their dates, each with a line end.
    pub(crate) text: String,
}

impl Window {
    /// Adds the newest line; `subject` is the line without its date, with a line end.
    pub(crate) fn push(&mut self, line: LineText, subject: &str, admitted: bool, maxlines: u32) {
        self.joined.push_str(subject);
        self.lines.push_back(Kept {
            line,
            subject: subject.into(),
            admitted,
        });
        let most = usize::try_from(maxlines).unwrap_or(LINES).clamp(1, LINES);
        let mut surplus = 0;
        while self.lines.len() > most || (self.joined.len() - surplus > BYTES && self.lines.len() > 1) {
            let Some(oldest) = self.lines.pop_front() else { break };
            surplus += oldest.subject.len();
        }
        self.joined.drain(..surplus.min(self.joined.len()));
    }

    /// What the rules see.
    pub(crate) fn text(&self) -> &str {
        &self.joined
    }

    /// Whether a rule may match: every match contains a literal, and no literal goes over a line end.
    pub(crate) fn admitted(&self) -> bool {
        self.lines.iter().any(|kept| kept.admitted)
    }

    /// Takes out the lines that a match spans, but for those within `skipped`; ranges are of [`Self::text`].
    ///
    /// A match that begins with a line end begins on the next line, and one that is nothing but the place before a line
    /// end spans no line; one that is nothing but the beginning of the text spans all lines. Of lines that read the same
    /// the first one is taken for the skipped one, unless a skipped line is between them.
    /// Upstream: seen on 1.0.2, `tests/windows.rs`.
    pub(crate) fn take(&mut self, matched: &Range<usize>, skipped: &[Range<usize>]) -> Taken {
        let text = self.joined.as_str();
        let before = |place: usize| line_ends(text.get(..place).unwrap_or(text));
        let end = match matched.end.checked_sub(1) {
            Some(last) => before(last) + 1,
            None => self.lines.len(),
        };
        let start = before(matched.start.saturating_add(1));
        let mut skipped = skipped
            .iter()
            .filter_map(|range| text.get(range.clone()))
            .flat_map(|lines| lines.split_inclusive('\n'))
            .peekable();
        let end = end.min(self.lines.len());
        let start = start.min(end);
        let after = self.lines.split_off(end);
        let mut taken = Taken::default();
        for kept in self.lines.split_off(start) {
            if skipped.next_if(|skip| **skip == *kept.subject).is_some() {
                self.lines.push_back(kept);
            } else {
                taken.text.push_str(&kept.subject);
                taken.lines.push(kept.line);
            }
        }
        self.lines.extend(after);
        self.joined = self.lines.iter().map(|kept| &*kept.subject).collect();
        taken
    }
}

fn line_ends(text: &str) -> usize {
    memchr::memchr_iter(b'\n', text.as_bytes()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(lines: &[&str]) -> Window {
        let mut window = Window::default();
        for line in lines {
            let text = LineText {
                text: (*line).into(),
                date: 0..0,
            };
            window.push(text, &format!("{line}\n"), false, 10);
        }
        window
    }

    /// Seen on 1.0.2 with `fail2ban-regex --maxlines 10 -o '<matches>'`.
    #[test]
    fn a_match_spans_the_lines_upstream_says_it_spans() {
        for (name, lines, matched, taken) in [
            ("within a line", &["x A", "B"][..], 2..3, "x A\n"),
            ("with its line end", &["A", "B"], 0..2, "A\n"),
            ("from the line end before", &["x", "A"], 1..3, "A\n"),
            ("nothing at a line's start", &["A", "B"], 2..2, ""),
            ("nothing at the very start", &["A", "B"], 0..0, "A\nB\n"),
            ("nothing before a line end", &["x", "A"], 1..1, ""),
            ("empty lines within", &["A", "", "", "B"], 0..4, "A\n\n\n"),
            ("empty lines before", &["x", "", "A"], 1..4, "\nA\n"),
        ] {
            assert_eq!(window(lines).take(&matched, &[]).text, taken, "{name}");
        }
    }

    #[test]
    fn skipped_lines_stay() {
        let mut window = window(&["o", "A", "n", "m", "B", "p"]);
        assert_eq!(window.take(&(2..9), &[4..8, 0..0]).text, "A\nB\n");
        assert_eq!(window.text(), "o\nn\nm\np\n");
        assert_eq!(window.lines.len(), 4);
    }

    #[test]
    fn the_oldest_lines_give_way() {
        let mut window = Window::default();
        for number in 0..30 {
            window.push(LineText::default(), &format!("{number}\n"), number == 27, 3);
        }
        assert_eq!(window.text(), "27\n28\n29\n");
        assert!(window.admitted());
        let long = "x".repeat(BYTES / 2 + 1);
        window.push(LineText::default(), &long, false, 3);
        window.push(LineText::default(), &long, false, 3);
        assert_eq!(window.text().len(), long.len());
        assert!(!window.admitted());
    }
}
