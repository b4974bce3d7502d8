//! A watcher whose events are collected, and a writer that numbers its lines.
#![allow(dead_code, clippy::allow_attributes, reason = "each test binary uses a part of this")]
#![expect(clippy::unwrap_used, reason = "test code")]
#![expect(clippy::panic, reason = "test code")]

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use stockade_source::{Backend, Event, Rotation, SourceId, Start, Watcher, lines};

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
pub(crate) const BACKENDS: [Backend; 2] = [Backend::Inotify, Backend::Polling];

/// A watcher and all that it told.
pub(crate) struct Reader {
    pub(crate) watcher: Watcher,
    pub(crate) lines: Vec<Vec<u8>>,
    /// Whether the file had been caught up with when the line came, parallel to `lines`.
    pub(crate) in_operation: Vec<bool>,
    pub(crate) paths: Vec<PathBuf>,
    /// Everything but lines, as text.
    pub(crate) events: Vec<String>,
}

impl Reader {
    pub(crate) fn new(backend: Backend) -> Self {
        let mut watcher = Watcher::new(backend).unwrap();
        watcher.set_poll_interval(Duration::from_millis(5));
        Self {
            watcher,
            lines: vec![],
            in_operation: vec![],
            paths: vec![],
            events: vec![],
        }
    }

    pub(crate) fn of(backend: Backend, pattern: impl AsRef<Path>, start: Start) -> (Self, SourceId) {
        let mut reader = Self::new(backend);
        let source = reader.watcher.add(pattern, start);
        (reader, source)
    }

    /// One call of `wait`.
    pub(crate) fn step(&mut self, timeout: Duration) {
        let Self {
            watcher,
            lines: all,
            in_operation,
            paths,
            events,
        } = self;
        watcher
            .wait(Some(timeout), &mut |event| match event {
                Event::Lines {
                    block,
                    path,
                    caught_up,
                    sources,
                    ..
                } => {
                    assert_eq!(block.last(), Some(&b'\n'));
                    assert!(!sources.is_empty());
                    for line in lines(block) {
                        all.push(line.to_vec());
                        in_operation.push(caught_up);
                        paths.push(path.to_owned());
                    }
                }
                Event::Opened { path, position, .. } => {
                    events.push(format!("opened {} at {}", name(path), position.offset));
                }
                Event::Rotated {
                    path,
                    reason: Rotation::Replaced,
                    ..
                } => events.push(format!("replaced {}", name(path))),
                Event::Rotated {
                    path,
                    reason: Rotation::Truncated,
                    ..
                } => events.push(format!("truncated {}", name(path))),
                Event::Gone { path, .. } => events.push(format!("gone {}", name(path))),
                Event::CaughtUp { path, .. } => events.push(format!("caught up {}", name(path))),
                Event::Problem { error, .. } => events.push(format!("problem {error}")),
                _ => {}
            })
            .unwrap();
    }

    /// Reads until `done` says so.
    #[track_caller]
    pub(crate) fn read_until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let begin = Instant::now();
        while !done(self) {
            let told = self.events.join("\n");
            assert!(
                begin.elapsed() < DEADLINE,
                "no {what}; {} lines, events:\n{told}",
                self.lines.len()
            );
            self.step(Duration::from_millis(50));
        }
    }

    #[track_caller]
    pub(crate) fn read_lines(&mut self, count: usize) {
        self.read_until(&format!("{count} lines"), |reader| reader.lines.len() >= count);
    }

    #[track_caller]
    pub(crate) fn read_event(&mut self, event: &str) {
        self.read_until(event, |reader| reader.events.iter().any(|told| told.contains(event)));
    }

    /// Reads until the line `end` came, and asserts that all the numbered lines came before it, once and in order.
    #[track_caller]
    pub(crate) fn read_numbers(&mut self, count: usize) {
        self.read_until("the last line", |reader| {
            reader.lines.last().is_some_and(|line| line == b"end")
        });
        let numbers = self
            .lines
            .iter()
            .filter(|line| *line != b"end")
            .map(|line| number(line));
        for (expected, found) in numbers.enumerate() {
            assert_eq!(found, expected, "events:\n{}", self.events.join("\n"));
        }
        assert_eq!(self.lines.len(), count + 1);
    }

    pub(crate) fn text(&self) -> Vec<String> {
        self.lines
            .iter()
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect()
    }
}

fn number(line: &[u8]) -> usize {
    let text = String::from_utf8_lossy(line);
    let Some(number) = text
        .strip_prefix("line ")
        .and_then(|rest| rest.split(' ').next()?.parse().ok())
    else {
        panic!("not a whole line: {text:?}")
    };
    number
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// Appends.
pub(crate) fn append(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) {
    appender(path).write_all(bytes.as_ref()).unwrap();
}

pub(crate) fn appender(path: impl AsRef<Path>) -> File {
    OpenOptions::new().append(true).create(true).open(path).unwrap()
}

/// A numbered line of varying length.
pub(crate) fn numbered(number: usize) -> String {
    format!("line {number} {}\n", "x".repeat(number * 7 % 190))
}
