//! Logs that are not there yet, globs, links, strange bytes, positions.

mod common;

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, Instant};

use common::{BACKENDS, DEADLINE, Reader, append};
use stockade_source::{Backend, Event, LINE_LIMIT_BYTES, Start, Watcher};
use testkit::TempDir;

#[test]
fn a_log_is_read_from_its_head_or_from_its_tail() {
    for backend in BACKENDS {
        let dir = TempDir::new("start");
        let log = dir.write("a.log", "old 1\nold 2\nhalf");
        let (mut head, _) = Reader::of(backend, &log, Start::Head);
        let (mut tail, _) = Reader::of(backend, &log, Start::Tail);
        for reader in [&mut head, &mut tail] {
            reader.read_event("caught up a.log");
        }
        append(&log, " and half\nnew\n");
        head.read_lines(4);
        tail.read_lines(2);
        assert_eq!(head.text(), ["old 1", "old 2", "half and half", "new"]);
        assert_eq!(head.in_operation, [false, false, true, true]);
        assert_eq!(tail.text(), ["half and half", "new"]);
        assert_eq!(tail.in_operation, [true, true]);
    }
}

#[test]
fn reading_resumes_where_it_stopped_if_it_is_the_same_log() {
    let dir = TempDir::new("resume");
    let log = dir.write("a.log", "one\ntwo\nhal");
    let mut watcher = Watcher::new(Backend::Auto).unwrap();
    watcher.add(&log, Start::Head);
    let mut file = None;
    while file.is_none() {
        let note = &mut |event: Event<'_>| {
            if let Event::CaughtUp { file: caught_up, .. } = event {
                file = Some(caught_up);
            }
        };
        watcher.wait(Some(DEADLINE), note).unwrap();
    }
    let position = watcher.position(file.unwrap()).unwrap();
    assert_eq!(position.offset, 8);
    append(&log, "f\nthree\n");
    let start = Start::Resume {
        positions: vec![(log.clone(), position)],
        tail: false,
    };
    let (mut same, _) = Reader::of(Backend::Auto, &log, start.clone());
    same.read_event("caught up");
    assert_eq!(same.text(), ["half", "three"]);
    fs::write(&log, "another log that is longer\nthan the position\n").unwrap();
    let (mut other, _) = Reader::of(Backend::Auto, &log, start);
    other.read_event("caught up");
    assert_eq!(other.text(), ["another log that is longer", "than the position"]);
}

#[test]
fn files_that_may_be_read_have_fair_turns_and_those_that_may_not_are_left_alone() {
    let dir = TempDir::new("turns");
    // Of each several blocks, and lines of 1024 bytes.
    let line = format!("{}\n", "x".repeat(1023));
    let text = line.repeat(1000);
    let paths = ["a.log", "b.log", "c.log"].map(|name| dir.write(name, &text));
    let mut watcher = Watcher::new(Backend::Auto).unwrap();
    for path in &paths {
        watcher.add(path, Start::Head);
    }
    let mut opened = Vec::new();
    let mut order = Vec::new();
    let mut lines_read = 0;
    let started = Instant::now();
    while lines_read < 2000 {
        assert!(started.elapsed() < DEADLINE, "{order:?}");
        // There is room for one block, and never for the third file.
        let room = Cell::new(1);
        let third = opened.get(2).copied();
        let may_read = |file| Some(file) != third && third.is_some() && room.get() > 0;
        let out = &mut |event: Event<'_>| match event {
            Event::Opened { file, .. } => opened.push(file),
            Event::Lines { file, block, .. } => {
                order.push(opened.iter().position(|other| *other == file).unwrap());
                lines_read += block.len() / 1024;
                room.set(0);
            }
            _ => {}
        };
        watcher.wait_reading(Some(Duration::ZERO), &may_read, out).unwrap();
    }
    let turns = &order[..12];
    assert!(
        turns == [0, 1].repeat(6) || turns == [1, 0].repeat(6),
        "one block of each in turns: {order:?}"
    );
    assert!(!order.contains(&2), "{order:?}");
}

#[test]
fn a_log_whose_directories_appear_later_is_read_when_it_comes_and_again_after_they_went() {
    for backend in BACKENDS {
        let dir = TempDir::new("later");
        let log = dir.join("x/y/z/a.log");
        let (mut reader, _) = Reader::of(backend, &log, Start::Tail);
        reader.read_event("no log file");
        for round in 1..=3 {
            dir.write("x/y/z/a.log", format!("first {round}\n"));
            append(&log, format!("second {round}\n"));
            reader.read_lines(2 * round);
            fs::remove_dir_all(dir.join("x")).unwrap();
            reader.read_until("absence", |reader| {
                reader.events.iter().filter(|event| *event == "gone a.log").count() == round
            });
        }
        assert_eq!(
            reader.text(),
            ["first 1", "second 1", "first 2", "second 2", "first 3", "second 3"]
        );
        // A directory above is renamed and another takes its place.
        dir.write("x/y/z/a.log", "third\n");
        reader.read_lines(7);
        fs::rename(dir.join("x"), dir.join("old")).unwrap();
        dir.write("x/y/z/a.log", "fourth\n");
        reader.read_lines(8);
    }
}

#[test]
fn a_glob_takes_up_new_files_and_directories() {
    for backend in BACKENDS {
        let dir = TempDir::new("glob");
        dir.write("site1/access.log", "1\n");
        let (mut reader, source) = Reader::of(backend, dir.join("*/access*.log"), Start::Head);
        reader.read_lines(1);
        dir.write("site1/access-2.log", "2\n");
        reader.read_lines(2);
        dir.write("site1/other", "no\n");
        dir.write("site2/access.log", "3\n");
        reader.read_lines(3);
        assert_eq!(reader.text(), ["1", "2", "3"]);
        reader.read_until("three files", |reader| reader.watcher.files(source).len() == 3);
        fs::remove_file(dir.join("site1/access-2.log")).unwrap();
        reader.read_until("two files", |reader| reader.watcher.files(source).len() == 2);
    }
}

#[test]
fn a_link_that_is_turned_elsewhere_is_followed_and_back_again_without_doubles() {
    for backend in BACKENDS {
        let dir = TempDir::new("link");
        dir.write("day1", "one\n");
        dir.write("day2", "two\n");
        let link = dir.join("now.log");
        symlink("day1", &link).unwrap();
        let (mut reader, _) = Reader::of(backend, &link, Start::Head);
        reader.read_lines(1);
        for (number, day) in ["day2", "day1"].into_iter().enumerate() {
            symlink(day, dir.join("new")).unwrap();
            fs::rename(dir.join("new"), &link).unwrap();
            append(dir.join(day), format!("more {day}\n"));
            reader.read_lines(3 + number);
        }
        assert_eq!(reader.text(), ["one", "two", "more day2", "more day1"]);
        assert!(reader.paths.iter().all(|path| *path == link));
    }
}

#[test]
fn half_a_line_waits_for_its_end() {
    for backend in BACKENDS {
        let dir = TempDir::new("half");
        let log = dir.write("a.log", "");
        let (mut reader, _) = Reader::of(backend, &log, Start::Head);
        reader.read_event("caught up");
        for byte in b"from 192.0.2.1" {
            append(&log, [*byte]);
            reader.step(Duration::from_millis(1));
        }
        assert!(reader.lines.is_empty());
        append(&log, "23\nnext");
        reader.read_lines(1);
        assert_eq!(reader.text(), ["from 192.0.2.123"]);
    }
}

#[test]
fn a_line_of_ten_megabytes_is_cut_and_the_lines_around_it_are_whole() {
    for backend in BACKENDS {
        let dir = TempDir::new("huge");
        let mut bytes = b"before\n".to_vec();
        bytes.resize(bytes.len() + 10_000_000, b'x');
        bytes.extend_from_slice(b"\nafter\n");
        let log = dir.write("a.log", &bytes);
        let (mut reader, _) = Reader::of(backend, &log, Start::Head);
        reader.read_lines(3);
        assert_eq!(reader.lines[0], b"before");
        assert_eq!(reader.lines[1].len(), LINE_LIMIT_BYTES);
        assert_eq!(reader.lines[2], b"after");
        reader.read_event(&format!(
            "its last {} bytes were not looked at\n  at byte 10000008",
            10_000_000 - LINE_LIMIT_BYTES
        ));
    }
}

#[test]
fn bytes_come_as_they_are_but_for_the_line_end() {
    for backend in BACKENDS {
        let dir = TempDir::new("bytes");
        let log = dir.write("a.log", b"\0nul\0\n\xff\xfe\xc3\n\r\ncr\rlf\r\n\xe4\n");
        let (mut reader, _) = Reader::of(backend, &log, Start::Head);
        reader.read_lines(5);
        assert_eq!(
            reader.lines,
            [&b"\0nul\0"[..], b"\xff\xfe\xc3", b"", b"cr\rlf", b"\xe4"]
        );
    }
}

#[test]
fn what_is_not_a_readable_file_is_told_once_and_read_when_it_becomes_one() {
    for backend in BACKENDS {
        let dir = TempDir::new("wrong");
        fs::create_dir(dir.join("dir.log")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, dir.join("pipe.log"), rustix::fs::Mode::from(0o600)).unwrap();
        let mut reader = Reader::new(backend);
        reader.watcher.add(dir.join("dir.log"), Start::Head);
        reader.watcher.add(dir.join("pipe.log"), Start::Head);
        reader.read_event("dir.log` is a directory, not a log file");
        reader.read_event("pipe.log` is a pipe, not a log file");
        for _ in 0..20 {
            append(dir.join("unrelated"), "x");
            reader.step(Duration::from_millis(5));
        }
        assert_eq!(reader.events.len(), 2);
        fs::remove_dir(dir.join("dir.log")).unwrap();
        append(dir.join("dir.log"), "now a file\n");
        reader.read_lines(1);
    }
}

#[test]
fn an_unreadable_file_is_told_and_read_once_it_may_be() {
    // Root reads everything, so this test runs itself again as somebody else.
    if testkit::is_root() {
        if !testkit::requires(&["setpriv"]) {
            return;
        }
        let dir = TempDir::new("unprivileged");
        let program = dir.join("test");
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let mut command = std::process::Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"])
            .arg(&program);
        let output = command
            .args(["--exact", "an_unreadable_file_is_told_and_read_once_it_may_be"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    for backend in BACKENDS {
        let dir = TempDir::new("unreadable");
        let log = dir.write("a.log", "secret\n");
        fs::set_permissions(&log, PermissionsExt::from_mode(0o000)).unwrap();
        let (mut reader, _) = Reader::of(backend, &log, Start::Head);
        reader.read_event("cannot be opened\n  why: Permission denied");
        fs::set_permissions(&log, PermissionsExt::from_mode(0o600)).unwrap();
        reader.read_lines(1);
    }
}

#[test]
fn several_sources_of_one_file_each_get_all_lines_and_share_the_reading_once_caught_up() {
    for backend in BACKENDS {
        let dir = TempDir::new("shared");
        let log = dir.write("a.log", "one\ntwo\n");
        let mut reader = Reader::new(backend);
        let first = reader.watcher.add(&log, Start::Head);
        let second = reader.watcher.add(dir.join("*.log"), Start::Head);
        reader.read_lines(2);
        assert_eq!(reader.text(), ["one", "two"], "both read in one");
        // A third comes late and wants all from the beginning.
        let third = reader.watcher.add(&log, Start::Head);
        reader.read_lines(4);
        append(&log, "three\n");
        let mut wanted = Vec::new();
        while wanted.is_empty() {
            let collect = &mut |event: Event<'_>| {
                if let Event::Lines { sources, block, .. } = event {
                    assert_eq!(block, b"three\n");
                    wanted.push(sources.to_vec());
                }
            };
            reader.watcher.wait(Some(DEADLINE), collect).unwrap();
        }
        assert_eq!(wanted, [[first, second, third]], "{backend:?}");
        reader.watcher.remove(second);
        reader.watcher.remove(first);
        append(&log, "four\n");
        reader.read_lines(5);
        reader.watcher.remove(third);
        assert!(reader.watcher.files(third).is_empty());
        append(&log, "five\n");
        reader.step(Duration::from_millis(20));
        assert_eq!(reader.lines.len(), 5);
    }
}

#[test]
fn a_waker_ends_the_waiting() {
    let mut watcher = Watcher::new(Backend::Auto).unwrap();
    let waker = watcher.waker();
    let thread = std::thread::spawn(move || waker.wake());
    let begin = Instant::now();
    watcher.wait(Some(DEADLINE), &mut |_| {}).unwrap();
    assert!(begin.elapsed() < DEADLINE);
    thread.join().unwrap();
}

#[test]
fn a_busy_log_does_not_hold_up_a_quiet_one() {
    let dir = TempDir::new("fair");
    let busy = dir.write("busy.log", "some busy line\n".repeat(2_000_000));
    let quiet = dir.write("quiet.log", "quiet\n");
    let mut reader = Reader::new(Backend::Auto);
    reader.watcher.add(&busy, Start::Head);
    reader.watcher.add(&quiet, Start::Head);
    reader.read_until("the quiet line", |reader| {
        reader.lines.iter().any(|line| line == b"quiet")
    });
    assert!(reader.lines.len() < 50_000, "{} lines came first", reader.lines.len());
}
