//! Entries that come while we read, from a journald of our own in a mount namespace of its own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use stockade_source::journal::{Cursor, Entry, From, Matches, Reader, Step};
use testkit::{Journald, wait_until};

use crate::writing::{folder, journalctl, needs, read, text};

const DEADLINE: Duration = Duration::from_secs(30);

/// Entries sent while files are rotated.
const COUNT: usize = 20_000;

/// A journald, and what else the tests here need.
fn journald(settings: &str) -> Option<Journald> {
    needs(&["unshare"]).then(|| Journald::start(settings)).flatten()
}

/// Reads on until an entry came for which `last` holds.
fn follow(reader: &mut Reader, mut last: impl FnMut(&Entry) -> bool) -> Vec<Entry> {
    let begin = Instant::now();
    let mut entries = Vec::new();
    loop {
        match reader.step() {
            Step::Entry(entry) => {
                let over = last(&entry);
                entries.push(entry);
                if over {
                    return entries;
                }
            }
            Step::More => {}
            Step::End => {
                assert!(begin.elapsed() < DEADLINE, "{} entries came", entries.len());
                let timeout = Timespec::try_from(reader.timeout().min(Duration::from_secs(1))).unwrap();
                let descriptor = reader.descriptor().unwrap();
                poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&timeout)).unwrap();
                reader.refresh();
            }
        }
    }
}

fn numbered(reader: &mut Reader) {
    reader.set_matches(&[Matches::parse([["KIND=numbered"]]).unwrap()]);
}

/// The number at the end of the line.
fn number(entry: &Entry) -> usize {
    let line = text(entry);
    let number = line.rsplit(' ').next().and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("no number: {entry:?}"))
}

#[test]
fn no_entry_is_lost_or_doubled_or_out_of_order_while_files_are_rotated_and_deleted() {
    // Files of the least size, which hold some 750 entries; four are kept.
    let Some(journald) = journald("SystemMaxFileSize=512K\nSystemMaxFiles=4\n") else {
        return;
    };
    let mut reader = Reader::open(&folder(&journald.log()), From::Head);
    numbered(&mut reader);
    // journald frees the blocks of deleted files, also for those who have them open: the reader must not fall far behind.
    let come = AtomicUsize::new(0);
    let entries = std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..COUNT {
                if number % 500 == 0 {
                    let near = || number < come.load(Ordering::Relaxed) + 1000;
                    wait_until(DEADLINE, "the reader is near", near);
                }
                let filler = "filler ".repeat(if number % 50 == 0 { 500 } else { number % 5 });
                let message = format!("{filler}{number}");
                journald.send(&[
                    ("KIND", b"numbered"),
                    ("SYSLOG_IDENTIFIER", b"test"),
                    ("MESSAGE", message.as_bytes()),
                ]);
                if number % 4000 == 3999 {
                    journald.rotate();
                }
            }
        });
        follow(&mut reader, |entry| {
            come.fetch_add(1, Ordering::Relaxed);
            number(entry) == COUNT - 1
        })
    });
    let numbers: Vec<usize> = entries.iter().map(number).collect();
    let gaps: Vec<_> = numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1).collect();
    assert_eq!(
        (numbers[0], &*gaps, reader.take_problems(), reader.damaged()),
        (0, &[][..], vec![], 0)
    );
    assert!(journald.rotated() >= 2, "files were rotated");
    assert!(
        text(&entries[0]).contains(&format!("test[{}]: ", std::process::id())),
        "{}",
        text(&entries[0])
    );
}

#[test]
fn reading_goes_on_behind_the_cursor_after_a_restart_and_over_a_rotation() {
    let Some(journald) = journald("") else { return };
    let send = |from: usize, to: usize| {
        for number in from..to {
            let message = format!("m {number}");
            journald.send(&[("KIND", b"numbered"), ("MESSAGE", message.as_bytes())]);
        }
    };
    let mut reader = Reader::open(&folder(&journald.log()), From::Head);
    numbered(&mut reader);
    send(0, 100);
    follow(&mut reader, |entry| number(entry) == 99);
    let cursor: Cursor = reader.cursor().unwrap().to_string().parse().unwrap();
    drop(reader);
    send(100, 150);
    journald.rotate();
    wait_until(DEADLINE, "rotated", || journald.rotated() == 1);
    send(150, 200);
    let mut reader = Reader::open(&folder(&journald.log()), From::Cursor(Box::new(cursor)));
    numbered(&mut reader);
    let numbers: Vec<usize> = follow(&mut reader, |entry| number(entry) == 199)
        .iter()
        .map(number)
        .collect();
    assert_eq!(numbers, (100..200).collect::<Vec<_>>());
    // One who begins at the end sees only what comes.
    let mut tail = Reader::open(&folder(&journald.log()), From::Tail);
    numbered(&mut tail);
    assert_eq!(tail.step(), Step::End);
    send(200, 205);
    let numbers: Vec<usize> = follow(&mut tail, |entry| number(entry) == 204)
        .iter()
        .map(number)
        .collect();
    assert_eq!(numbers, (200..205).collect::<Vec<_>>());
}

#[test]
fn each_jail_gets_the_entries_of_its_matches_from_one_reader() {
    let Some(journald) = journald("") else { return };
    let mut reader = Reader::open(&folder(&journald.log()), From::Head);
    reader.set_matches(&[
        Matches::parse([["SYSLOG_IDENTIFIER=sshd"]]).unwrap(),
        Matches::parse([["SYSLOG_IDENTIFIER=sshd", "PRIORITY=6", "+", "SYSLOG_IDENTIFIER=other"]]).unwrap(),
        Matches::parse([vec!["SYSLOG_IDENTIFIER=postfix"], vec!["PRIORITY=3"]]).unwrap(),
        Matches::parse([["KIND=end"]]).unwrap(),
    ]);
    for (name, priority) in [
        ("sshd", "6"),
        ("sshd", "3"),
        ("other", "3"),
        ("postfix", "6"),
        ("nobody", "5"),
        ("big", "3"),
    ] {
        let message = if name == "big" {
            "big ".repeat(40_000)
        } else {
            name.to_owned()
        };
        let fields = [
            ("SYSLOG_IDENTIFIER", name),
            ("PRIORITY", priority),
            ("MESSAGE", &*message),
        ];
        journald.send(&fields.map(|(name, value)| (name, value.as_bytes())));
    }
    journald.send(&[("KIND", b"end")]);
    let entries = follow(&mut reader, |entry| entry.wanted_by == [3]);
    let wanted: HashMap<String, Vec<usize>> = entries
        .iter()
        .map(|entry| {
            (
                text(entry).split(": ").nth(1).unwrap().chars().take(10).collect(),
                entry.wanted_by.clone(),
            )
        })
        .collect();
    assert_eq!(entries.len(), 6);
    assert_eq!(wanted["postfix"], [2]);
    assert_eq!(wanted["other"], [1, 2]);
    assert_eq!(wanted["big big bi"], [2]);
    let sshd: Vec<&Entry> = entries.iter().filter(|entry| text(entry).ends_with("sshd")).collect();
    assert_eq!(sshd[0].wanted_by, [0, 1]);
    assert_eq!(sshd[1].wanted_by, [0, 2]);
    let end = journalctl(&journald.log(), &["KIND=end"]).len();
    assert_eq!(end, read(&journald.log(), From::Head, &["KIND=end"]).len());
}
