//! A line typed at a terminal: editing, and the lines before it (`-i`).
//!
//! The terminal is in raw mode only while a line is typed, so that a command can be broken off as ever.

use std::io::{IsTerminal, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// A line is not made longer than this.
const LONGEST: usize = 64 * 1024;

/// So many lines are remembered, until the program ends.
const REMEMBERED: usize = 1000;

/// What came of asking for a line.
pub(super) enum Typed {
    Line(String),
    /// Ctrl-C.
    Dropped,
    /// The end of the input, or Ctrl-D on an empty line.
    End,
}

/// Reads lines from standard input: with editing if it is a terminal, as they come if not.
#[derive(Default)]
pub(super) struct Editor {
    history: Vec<String>,
}

impl Editor {
    pub(super) fn read(&mut self, prompt: &str) -> Typed {
        let mut out = std::io::stdout();
        // Nobody reads the prompt if this fails.
        let _ = write!(out, "{prompt}").and_then(|()| out.flush());
        let raw = if out.is_terminal() { Raw::enter() } else { None };
        if raw.is_none() {
            return match std::io::stdin().lines().next() {
                Some(Ok(line)) => Typed::Line(line),
                _ => Typed::End,
            };
        }
        let typed = self.edit(prompt);
        drop(raw);
        if !matches!(typed, Typed::End) {
            let _ = writeln!(out);
        }
        if let Typed::Line(line) = &typed
            && !line.trim().is_empty()
            && self.history.last() != Some(line)
        {
            self.history.push(line.clone());
            if self.history.len() > REMEMBERED {
                self.history.remove(0);
            }
        }
        typed
    }

    fn edit(&self, prompt: &str) -> Typed {
        let mut line = Line::new(&self.history);
        let mut bytes = std::io::stdin().lock().bytes().map_while(Result::ok);
        while let Some(key) = key(&mut bytes) {
            match line.press(key) {
                Step::On => {
                    let mut out = std::io::stdout().lock();
                    let _ = out
                        .write_all(line.shown(prompt, width()).as_bytes())
                        .and_then(|()| out.flush());
                }
                Step::Done => return Typed::Line(line.text()),
                Step::Dropped => return Typed::Dropped,
                Step::End => return Typed::End,
            }
        }
        Typed::End
    }
}

/// The terminal in raw mode, until this is dropped.
struct Raw(Termios);

impl Raw {
    /// `None` if standard input is no terminal.
    fn enter() -> Option<Self> {
        let before = tcgetattr(std::io::stdin()).ok()?;
        let mut raw = before.clone();
        raw.local_modes
            .remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN);
        tcsetattr(std::io::stdin(), OptionalActions::Drain, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // If the terminal is gone there is nothing to restore.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Drain, &self.0);
    }
}

fn width() -> usize {
    let columns = tcgetwinsize(std::io::stdout()).map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { 80 } else { columns }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Text(char),
    Enter,
    Left,
    Right,
    Home,
    End,
    Up,
    Down,
    Backspace,
    Delete,
    DropBefore,
    DropAfter,
    DropWord,
    Clear,
    Break,
    CtrlD,
    Unknown,
}

/// The next key; `None` at the end of the input.
fn key(bytes: &mut impl Iterator<Item = u8>) -> Option<Key> {
    Some(match bytes.next()? {
        b'\r' | b'\n' => Key::Enter,
        1 => Key::Home,
        2 => Key::Left,
        3 => Key::Break,
        4 => Key::CtrlD,
        5 => Key::End,
        6 => Key::Right,
        8 | 127 => Key::Backspace,
        11 => Key::DropAfter,
        12 => Key::Clear,
        14 => Key::Down,
        16 => Key::Up,
        21 => Key::DropBefore,
        23 => Key::DropWord,
        27 => escaped(bytes)?,
        byte if byte < 32 => Key::Unknown,
        byte if byte < 128 => Key::Text(char::from(byte)),
        byte => {
            let mut all = vec![byte];
            let more = match byte {
                0xc0..=0xdf => 1,
                0xe0..=0xef => 2,
                0xf0..=0xf7 => 3,
                _ => 0,
            };
            all.extend(bytes.take(more));
            let text = std::str::from_utf8(&all).ok().and_then(|text| text.chars().next());
            text.filter(|c| !c.is_control()).map_or(Key::Unknown, Key::Text)
        }
    })
}

/// What follows an escape character: `[A`, `OA`, `[3~`, `[1;5C`…
fn escaped(bytes: &mut impl Iterator<Item = u8>) -> Option<Key> {
    if !matches!(bytes.next()?, b'[' | b'O') {
        return Some(Key::Unknown);
    }
    let mut number = String::new();
    loop {
        let byte = bytes.next()?;
        if matches!(byte, 0x20..=0x3f) && number.len() < 16 {
            number.push(char::from(byte));
            continue;
        }
        return Some(match (byte, number.as_str()) {
            (b'A', _) => Key::Up,
            (b'B', _) => Key::Down,
            (b'C', _) => Key::Right,
            (b'D', _) => Key::Left,
            (b'H', _) | (b'~', "1" | "7") => Key::Home,
            (b'F', _) | (b'~', "4" | "8") => Key::End,
            (b'~', "3") => Key::Delete,
            _ => Key::Unknown,
        });
    }
}

enum Step {
    On,
    Done,
    Dropped,
    End,
}

/// The line as far as it is typed.
struct Line<'a> {
    text: Vec<char>,
    /// Characters before the cursor.
    cursor: usize,
    history: &'a [String],
    /// Which line of the history is shown; its length for the new one.
    place: usize,
    /// The new line while an old one is shown.
    new: Vec<char>,
    clear: bool,
}

impl<'a> Line<'a> {
    fn new(history: &'a [String]) -> Self {
        Self {
            text: Vec::new(),
            cursor: 0,
            history,
            place: history.len(),
            new: Vec::new(),
            clear: false,
        }
    }

    fn text(&self) -> String {
        self.text.iter().collect()
    }

    fn press(&mut self, key: Key) -> Step {
        match key {
            Key::Text(c) if self.text.len() < LONGEST => {
                self.text.insert(self.cursor, c);
                self.cursor += 1;
            }
            Key::Left => self.cursor = self.cursor.saturating_sub(1),
            Key::Right => self.cursor = (self.cursor + 1).min(self.text.len()),
            Key::Home => self.cursor = 0,
            Key::End => self.cursor = self.text.len(),
            Key::Up => self.show(self.place.saturating_sub(1)),
            Key::Down => self.show((self.place + 1).min(self.history.len())),
            Key::Backspace => self.remove(self.cursor.saturating_sub(1), self.cursor),
            Key::CtrlD if self.text.is_empty() => return Step::End,
            Key::Delete | Key::CtrlD => self.remove(self.cursor, (self.cursor + 1).min(self.text.len())),
            Key::DropBefore => self.remove(0, self.cursor),
            Key::DropAfter => self.text.truncate(self.cursor),
            Key::DropWord => {
                let before = self.text.iter().take(self.cursor).rev();
                let blanks = before.clone().take_while(|c| c.is_whitespace()).count();
                let word = before.skip(blanks).take_while(|c| !c.is_whitespace()).count();
                self.remove(self.cursor.saturating_sub(blanks + word), self.cursor);
            }
            Key::Clear => self.clear = true,
            Key::Break => return Step::Dropped,
            Key::Enter => return Step::Done,
            Key::Text(_) | Key::Unknown => {}
        }
        Step::On
    }

    fn remove(&mut self, from: usize, to: usize) {
        self.text.drain(from..to);
        self.cursor = from;
    }

    fn show(&mut self, place: usize) {
        if place == self.place {
            return;
        }
        if self.place == self.history.len() {
            self.new = std::mem::take(&mut self.text);
        }
        self.text = match self.history.get(place) {
            Some(line) => line.chars().collect(),
            None => std::mem::take(&mut self.new),
        };
        self.place = place;
        self.cursor = self.text.len();
    }

    /// What draws the line anew; of a long one the part around the cursor.
    fn shown(&mut self, prompt: &str, width: usize) -> String {
        let room = width.saturating_sub(prompt.len() + 1).max(1);
        let first = self.cursor.saturating_sub(room);
        let part: String = self.text.iter().skip(first).take(room).collect();
        let clear = if std::mem::take(&mut self.clear) {
            "\x1b[H\x1b[2J"
        } else {
            ""
        };
        let column = prompt.len() + self.cursor - first;
        format!("{clear}\r{prompt}{part}\x1b[K\r\x1b[{column}C")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(history: &[&str], bytes: &[u8]) -> String {
        let history: Vec<String> = history.iter().map(|line| (*line).to_owned()).collect();
        let mut line = Line::new(&history);
        let mut bytes = bytes.iter().copied();
        while let Some(key) = key(&mut bytes) {
            line.press(key);
        }
        let (before, after) = line.text.split_at(line.cursor);
        format!(
            "{}|{}",
            before.iter().collect::<String>(),
            after.iter().collect::<String>()
        )
    }

    #[test]
    fn keys_do_what_readline_has_them_do() {
        for (bytes, expected) in [
            (&b"abc\x1b[D\x1b[Dx"[..], "ax|bc"),
            (b"abc\x1b[Hx\x1b[Fy", "xabcy|"),
            (b"abc\x1bOHx\x1b[4~y", "xabcy|"),
            (b"abc\x01\x1b[3~\x06\x7f", "|c"),
            (b"abc def\x17", "abc |"),
            (b"abc def\x1b[D\x15", "|f"),
            (b"abc\x02\x0b", "ab|"),
            (b"\x7f\x1b[3~\x1b[D\x1b[C\x0b\x15\x17", "|"),
            (b"ab\x02\x04", "a|"),
            (b"\xc3\xbc\x1b[1;5Dx\x1b[99~\x1bq\x00", "x|\u{fc}"),
            (b"\xff\xc3", "|"),
        ] {
            assert_eq!(typed(&[], bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn earlier_lines_come_back_and_the_new_one_is_kept() {
        let history = ["one", "two"];
        for (bytes, expected) in [
            (&b"new\x1b[A"[..], "two|"),
            (b"new\x1b[A\x1b[A\x1b[A", "one|"),
            (b"new\x10\x10\x0e!", "two!|"),
            (b"new\x1b[A\x1b[A\x1b[B\x1b[B\x1b[B", "new|"),
        ] {
            assert_eq!(typed(&history, bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn of_a_line_wider_than_the_terminal_the_part_with_the_cursor_is_shown() {
        let mut line = Line::new(&[]);
        for c in "abcdefghij".chars() {
            line.press(Key::Text(c));
        }
        assert_eq!(line.shown("> ", 8), "\r> fghij\x1b[K\r\x1b[7C");
        line.press(Key::Home);
        assert_eq!(line.shown("> ", 8), "\r> abcde\x1b[K\r\x1b[2C");
    }
}
