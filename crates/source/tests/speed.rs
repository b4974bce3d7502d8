//! Speed: figures are printed; what is asserted is only that all lines came.

mod common;

use std::io::Write;
use std::time::{Duration, Instant};

use common::{Reader, appender};
use stockade_source::{Backend, Event, Start, Watcher};
use testkit::TempDir;

#[test]
fn a_million_small_lines_are_read_in_full() {
    let dir = TempDir::new("million");
    let line = b"Nov 22 13:40:04 host sshd[1234]: Failed password for root from 192.0.2.1 port 4711 ssh2\n";
    let log = dir.write("a.log", line.repeat(1_000_000));
    let mut watcher = Watcher::new(Backend::Auto).unwrap();
    watcher.add(&log, Start::Head);
    let (mut bytes, mut caught_up) = (0, false);
    let begin = Instant::now();
    while !caught_up {
        let count = &mut |event: Event<'_>| match event {
            Event::Lines { block, .. } => bytes += block.len(),
            Event::CaughtUp { .. } => caught_up = true,
            _ => {}
        };
        watcher.wait(Some(common::DEADLINE), count).unwrap();
    }
    let seconds = begin.elapsed().as_secs_f64();
    assert_eq!(bytes, line.len() * 1_000_000);
    println!("1,000,000 lines, {bytes} bytes in {:.1} ms", seconds * 1e3);
}

#[test]
fn a_line_comes_as_soon_as_it_is_written() {
    let dir = TempDir::new("latency");
    let log = dir.write("a.log", "");
    let (mut reader, _) = Reader::of(Backend::Inotify, &log, Start::Head);
    reader.read_event("caught up");
    let (send, receive) = std::sync::mpsc::channel::<()>();
    let writer = std::thread::spawn(move || {
        let mut file = appender(&log);
        let mut written = Vec::new();
        while receive.recv().is_ok() {
            // Long enough for the reader to fall asleep in the kernel, as it would be on a quiet server.
            std::thread::park_timeout(Duration::from_millis(2));
            written.push(Instant::now());
            file.write_all(b"a line\n").unwrap();
        }
        written
    });
    let mut read = Vec::new();
    for count in 1..=300 {
        send.send(()).unwrap();
        while reader.lines.len() < count {
            reader.step(common::DEADLINE);
        }
        read.push(Instant::now());
    }
    drop(send);
    let mut micros: Vec<_> = writer
        .join()
        .unwrap()
        .iter()
        .zip(&read)
        .map(|(from, to)| to.duration_since(*from).as_micros())
        .collect();
    micros.sort_unstable();
    println!(
        "write to event: median {} us, 90 % within {} us",
        micros[micros.len() / 2],
        micros[micros.len() * 9 / 10]
    );
}
