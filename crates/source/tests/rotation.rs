//! A writer that numbers its lines rotates its log in every way logrotate knows; each line must come once and in order.
#![expect(clippy::unwrap_used, reason = "test code")]

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use common::{BACKENDS, Reader, append, appender, numbered};
use stockade_source::{Backend, Start};
use testkit::TempDir;

const LINES: usize = 20_000;

/// How many lines the reader has.
type Seen = Arc<AtomicUsize>;

/// Writes numbered lines, calling `rotate` after each so-many-th; then `end`.
///
/// With `wait`, a file is rotated only after the reader has taken it up: one that came and went before is beyond reach.
fn write(path: &Path, every: usize, seen: &Seen, wait: bool, mut rotate: impl FnMut()) {
    let mut file = appender(path);
    for number in 0..LINES {
        if number % every == every - 1 {
            if wait {
                testkit::wait_until(common::DEADLINE, "the file is taken up", || {
                    seen.load(SeqCst) + every > number + 1
                });
            }
            rotate();
            // The old file is still written once after it was moved, as a service does until it gets its signal.
            file.write_all(numbered(number).as_bytes()).unwrap();
            file = appender(path);
        } else {
            file.write_all(numbered(number).as_bytes()).unwrap();
        }
    }
    file.write_all(b"end\n").unwrap();
}

/// Reads until the line `end`, telling the writer how far.
fn read_along(reader: &mut Reader, seen: &Seen) {
    reader.read_until("the last line", |reader| {
        seen.store(reader.lines.len(), SeqCst);
        reader.lines.last().is_some_and(|line| line == b"end")
    });
    reader.read_numbers(LINES);
}

fn shift(log: &Path, keep: usize) {
    let rotated = |number: usize| log.with_extension(format!("log.{number}"));
    for number in (1..keep).rev() {
        if rotated(number).exists() {
            fs::rename(rotated(number), rotated(number + 1)).unwrap();
        }
    }
    fs::rename(log, rotated(1)).unwrap();
}

/// Writes and reads with rotation; the watcher is on its place before the first byte is written.
fn run(backend: Backend, pattern: &str, every: usize, wait: bool, rotate: impl Fn(&Path) + Send + 'static) {
    let dir = TempDir::new("rotation");
    let log = dir.join("a.log");
    let (mut reader, _) = Reader::of(backend, dir.join(pattern), Start::Head);
    reader.step(Duration::ZERO);
    let seen = Seen::default();
    let told = Arc::clone(&seen);
    let writer = thread::spawn(move || write(&log, every, &told, wait, || rotate(&log)));
    read_along(&mut reader, &seen);
    writer.join().unwrap();
}

#[test]
fn no_line_is_lost_or_doubled_when_the_log_is_renamed_and_created() {
    for backend in BACKENDS {
        // inotify must follow however fast the rotation is; polling sees only what stands there while it looks.
        run(backend, "a.log", 1000, backend == Backend::Polling, |log| {
            shift(log, 50);
        });
    }
}

#[test]
fn no_line_is_lost_or_doubled_when_the_log_is_deleted_and_created() {
    for backend in BACKENDS {
        run(backend, "a.log", 2000, true, |log| fs::remove_file(log).unwrap());
    }
}

#[test]
fn no_line_is_lost_or_doubled_when_the_log_is_copied_and_truncated() {
    for backend in BACKENDS {
        let dir = TempDir::new("copytruncate");
        let log = dir.join("a.log");
        let (mut reader, _) = Reader::of(backend, &log, Start::Head);
        let seen = Seen::default();
        let (path, read) = (log.clone(), Arc::clone(&seen));
        let writer = thread::spawn(move || {
            let mut file = appender(&path);
            for number in 0..LINES {
                if number % 1000 == 999 {
                    fs::copy(&path, path.with_extension("1")).unwrap();
                    // What is written and truncated before anybody could read it is lost to every reader, logrotate's own
                    // copy included; so the writer waits for the reader here.
                    testkit::wait_until(common::DEADLINE, "all is read", || read.load(SeqCst) == number);
                    fs::OpenOptions::new()
                        .write(true)
                        .open(&path)
                        .unwrap()
                        .set_len(0)
                        .unwrap();
                }
                file.write_all(numbered(number).as_bytes()).unwrap();
            }
            file.write_all(b"end\n").unwrap();
        });
        read_along(&mut reader, &seen);
        writer.join().unwrap();
        let truncations = reader
            .events
            .iter()
            .filter(|event| event.starts_with("truncated"))
            .count();
        assert_eq!(truncations, LINES / 1000, "{backend:?}");
    }
}

#[test]
fn a_log_truncated_and_written_anew_beyond_the_old_position_is_read_from_its_beginning() {
    for backend in BACKENDS {
        let dir = TempDir::new("regrown");
        let log = dir.write("a.log", "10:00 one\n10:01 two\n");
        let (mut reader, _) = Reader::of(backend, &log, Start::Head);
        reader.read_lines(2);
        fs::write(
            &log,
            "11:00 three\n11:01 four, which makes the file longer than it was before\n",
        )
        .unwrap();
        append(&log, "11:02 five\n");
        reader.read_lines(5);
        assert_eq!(reader.text()[2], "11:00 three");
        assert_eq!(reader.text()[4], "11:02 five");
    }
}

#[test]
fn the_hole_a_writer_leaves_that_did_not_notice_the_truncation_is_passed_over() {
    for backend in BACKENDS {
        let dir = TempDir::new("hole");
        let log = dir.join("a.log");
        // Not opened for appending: after the truncation it goes on at its old offset.
        let mut file = fs::File::create(&log).unwrap();
        for _ in 0..10_000 {
            file.write_all(&b"some line that is long enough to make the hole span many blocks\n".repeat(10))
                .unwrap();
        }
        let (mut reader, _) = Reader::of(backend, &log, Start::Tail);
        reader.read_event("caught up");
        fs::OpenOptions::new()
            .write(true)
            .open(&log)
            .unwrap()
            .set_len(0)
            .unwrap();
        reader.read_event("truncated");
        file.write_all(b"after\nnext\n").unwrap();
        reader.read_lines(2);
        assert_eq!(reader.text(), ["after", "next"]);
    }
}

#[test]
fn a_log_renamed_without_a_new_one_is_read_on() {
    for backend in BACKENDS {
        let dir = TempDir::new("nocreate");
        let log = dir.write("a.log", "one\n");
        let (mut reader, source) = Reader::of(backend, &log, Start::Head);
        reader.read_lines(1);
        fs::rename(&log, dir.join("a.log.1")).unwrap();
        reader.read_event("gone a.log");
        append(dir.join("a.log.1"), "two\n");
        reader.read_lines(2);
        assert!(reader.watcher.files(source).is_empty());
        append(&log, "three\n");
        append(dir.join("a.log.1"), "late\n");
        reader.read_lines(4);
        let mut text = reader.text();
        text.sort();
        assert_eq!(text, ["late", "one", "three", "two"]);
        assert_eq!(reader.watcher.files(source), [log]);
    }
}

#[test]
fn a_log_renamed_back_is_not_read_again() {
    for backend in BACKENDS {
        let dir = TempDir::new("back");
        let log = dir.write("a.log", "one\n");
        let (mut reader, source) = Reader::of(backend, &log, Start::Head);
        reader.read_lines(1);
        fs::rename(&log, dir.join("b")).unwrap();
        reader.read_event("gone a.log");
        fs::rename(dir.join("b"), &log).unwrap();
        append(&log, "two\n");
        reader.read_lines(2);
        reader.read_until("the file", |reader| reader.watcher.files(source).len() == 1);
        assert_eq!(reader.text(), ["one", "two"]);
    }
}

#[test]
fn a_glob_that_matches_rotated_files_reads_none_of_them_twice() {
    for backend in BACKENDS {
        run(backend, "a.log*", 2000, backend == Backend::Polling, |log| {
            shift(log, 20);
        });
    }
}

#[test]
fn the_real_logrotate_loses_and_doubles_nothing() {
    if !testkit::requires(&["logrotate"]) {
        return;
    }
    for backend in BACKENDS {
        for mode in [
            "create 0644",
            "copytruncate",
            "nocreate",
            "create 0644\n compress",
            "create 0644\n olddir old",
        ] {
            let dir = TempDir::new("logrotate");
            let log = dir.join("a.log");
            fs::create_dir(dir.join("old")).unwrap();
            let conf = format!("{} {{\n rotate 9\n {mode}\n}}\n", log.display());
            let conf = dir.write("rotate.conf", conf);
            fs::set_permissions(&conf, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
            fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
            let (mut reader, _) = Reader::of(backend, &log, Start::Head);
            let mut written = 0;
            for round in 0..5 {
                for _ in 0..100 {
                    append(&log, numbered(written));
                    written += 1;
                }
                // The race of copytruncate is with lines written while it runs; here all are read before.
                reader.read_lines(written);
                if round % 2 == 1 {
                    append(&log, "li");
                    append(&log, &numbered(written)[2..]);
                    written += 1;
                    reader.read_lines(written);
                }
                let output = Command::new("logrotate")
                    .args(["-f", "-s"])
                    .arg(dir.join("state"))
                    .arg(&conf)
                    .output()
                    .unwrap();
                assert!(
                    output.status.success(),
                    "{mode}: {}",
                    String::from_utf8_lossy(&output.stderr)
                );
            }
            append(&log, "end\n");
            reader.read_numbers(written);
        }
    }
}
