//! The short way through a file prints what the long way prints.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use stockade_core::Timestamp;
use testkit::TempDir;

use super::cores::{Division, Guesses};
use super::input::Input;
use super::options::{self, Request};
use super::scan::{Printing, Tally};
use super::{report, rules};

/// How a log is gone through.
#[derive(Clone, Copy)]
enum Way {
    /// Line by line.
    Plain,
    /// The short way, on one processor.
    Short,
    /// The short way, on several, in tiny pieces.
    Divided { piece: usize, alone: u64 },
}

/// The report, whether the short way was taken, and how guesses did on it.
fn printed(words: &[&str], way: Way) -> (String, bool, Guesses) {
    let Ok(Request::Test(options)) = options::parse(words.iter().map(Into::into).collect()) else {
        panic!("{words:?} is a command line");
    };
    let rules = rules::read(&options, &mut String::new()).unwrap();
    let input = Input::open(&options, &rules).unwrap();
    let mut tally = Tally::new(&rules, &options);
    tally.plain = matches!(way, Way::Plain);
    tally.division = match way {
        Way::Divided { piece, alone } => Division {
            workers: 3,
            piece,
            alone,
        },
        _ => Division {
            workers: 1,
            ..Division::default()
        },
    };
    let short = tally.is_survey(&input);
    tally.read(input).unwrap();
    let mut out = Vec::new();
    report::write(&tally, &rules, &options, false, Duration::ZERO, &mut out).unwrap();
    (String::from_utf8(out).unwrap(), short, tally.guesses)
}

/// What `-o` prints.
fn picked(words: &[&str], plain: bool) -> String {
    let Ok(Request::Test(options)) = options::parse(words.iter().map(Into::into).collect()) else {
        panic!("{words:?} is a command line");
    };
    let rules = rules::read(&options, &mut String::new()).unwrap();
    let input = Input::open(&options, &rules).unwrap();
    let printing = Printing {
        rules: &rules,
        options: &options,
        token: options.out.as_deref().unwrap(),
        terminal: false,
        // Lines without a date are printed with it.
        now: Timestamp::from_secs(1_795_305_600),
        plain,
    };
    let mut out = Vec::new();
    printing.print(input, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// A line, and what becomes of it in transit.
fn damaged(line: &[u8], seed: usize) -> Vec<u8> {
    let at = seed * 7919 % (line.len() + 1);
    let mut copy = line.to_vec();
    match seed % 7 {
        0 => copy.truncate(at),
        1 => drop(copy.splice(at..at, *b"\xff")),
        2 => drop(copy.splice(at..at, *b"\n")),
        3 => drop(copy.splice(0..0, *b"#")),
        4 => copy.push(b'\r'),
        5 => drop(copy.splice(at..at, *b"2026-11-22 13:40:04 ")),
        _ => drop(copy.drain(..at)),
    }
    copy
}

#[test]
fn the_short_way_prints_what_the_long_way_prints_for_all_stock_filters() {
    let files = testkit::package_files("fail2ban");
    let is_sample = |file: &Path| file.to_string_lossy().contains("/files/logs/") && file.is_file();
    let samples: Vec<_> = files.iter().filter(|file| is_sample(file)).collect();
    if samples.is_empty() {
        testkit::skip("needs the sample logs of the package fail2ban");
        return;
    }
    let text = |file: &Path| std::fs::read(file).unwrap();
    let all: Vec<Vec<u8>> = samples
        .iter()
        .flat_map(|file| {
            text(file)
                .split(|byte| *byte == b'\n')
                .map(<[u8]>::to_vec)
                .collect::<Vec<_>>()
        })
        .collect();
    let dir = TempDir::new("regex-short-way");
    let log = dir.join("t.log");
    let (mut compared, mut hits, mut printed_lines) = (0, 0, 0);
    for (number, sample) in samples.iter().enumerate() {
        let name = sample.file_name().unwrap().to_str().unwrap();
        let filter = format!("filter.d/{name}");
        if !Path::new(&format!("/etc/fail2ban/{filter}.conf")).is_file() {
            continue;
        }
        let own = text(sample);
        let own = own.split(|byte| *byte == b'\n');
        let foreign = all.iter().map(Vec::as_slice).skip(number % 37).step_by(37);
        let mut lines = Vec::new();
        for (seed, line) in own.chain(foreign).enumerate() {
            for copy in [line, &damaged(line, seed + number), line] {
                lines.extend_from_slice(copy);
                lines.push(b'\n');
            }
        }
        std::fs::write(&log, lines).unwrap();
        let log = log.to_str().unwrap();
        let all = ["--print-all-matched", "--print-all-missed", "--print-all-ignored"];
        for token in ["row", "<ip-rev> <F-*> <msg>"] {
            let words = ["-o", token, log, &filter];
            let (short, long) = (picked(&words, false), picked(&words, true));
            let different = short.lines().zip(long.lines()).find(|(short, long)| short != long);
            assert_eq!(different, None, "{words:?}");
            assert_eq!(short.len(), long.len(), "{words:?}");
            printed_lines += short.lines().count();
        }
        // What is to be ignored is asked before the rules or after them, by how many there are.
        let ignore = ["\\b(?:[12]\\d?|user\\w*)\\b", "(?<=[.: ])9", "$^"].map(|rule| format!("^.*{rule}"));
        let many = dir.join("ignore.conf");
        std::fs::write(&many, format!("[Definition]\nignoreregex = {}\n", ignore.join("\n  "))).unwrap();
        for (more, last) in [
            (&[][..], &[][..]),
            (&all, &[]),
            (&["--no-check-all", "-d", "^%b %d %H:%M:%S"], &[]),
            (&all, &[&ignore[0][..]]),
            (&["--no-check-all"], &[many.to_str().unwrap()]),
        ] {
            let words = [more, &[log, &filter], last].concat();
            let ((short, taken, _), (long, ..)) = (printed(&words, Way::Short), printed(&words, Way::Plain));
            assert_eq!(short, long, "{words:?}");
            compared += usize::from(taken);
            hits += usize::from(!short.contains(" 0 matched, "));
        }
    }
    println!("{compared} reports compared, {hits} with matches, {printed_lines} lines of -o");
    assert!(
        compared > 50 && hits > 50 && printed_lines > 1_000,
        "{compared} {hits} {printed_lines}"
    );
}

/// Lines with other dates than those of a sample.
const STRANGE: [&str; 8] = [
    "2026-11-22T13:40:04.123456+01:00 host x[1]: y",
    "Nov 22 13:40:04 host sshd[7]: Connection closed by 192.0.2.1 port 22 [preauth]",
    "host x[1]: no date",
    "\tat [22/Nov/2026:13:40:04 +0100] in the middle",
    "Feb 30 13:40:04 host x[1]: no such day",
    "1795305600 x",
    "192.0.2.7 - - [21/Nov/2026:13:40:04 +0100] \"GET / HTTP/1.1\" 404 1",
    "11/05/2026 13:40:04 which month",
];

/// A log of these lines: over and over, then with dates of another kind among them and instead, then from the last to the first.
fn changing(lines: &[&[u8]], number: usize) -> Vec<u8> {
    let mut log = Vec::new();
    let mut add = |line: &[u8]| {
        log.extend_from_slice(line);
        log.push(b'\n');
    };
    lines
        .iter()
        .cycle()
        .take(lines.len().max(60))
        .for_each(|line| add(line));
    for (index, line) in lines.iter().enumerate() {
        add(line);
        if index % 9 == number % 9 {
            add(STRANGE[(index + number) % STRANGE.len()].as_bytes());
        }
    }
    for round in 0..60 {
        add(STRANGE[(round / 20 + number) % STRANGE.len()].as_bytes());
    }
    lines.iter().rev().for_each(|line| add(line));
    log
}

#[test]
fn many_threads_print_what_one_prints_for_all_stock_filters_however_often_guesses_fail() {
    let files = testkit::package_files("fail2ban");
    let is_sample = |file: &Path| file.to_string_lossy().contains("/files/logs/") && file.is_file();
    let samples: Vec<_> = files.iter().filter(|file| is_sample(file)).collect();
    if samples.is_empty() {
        testkit::skip("needs the sample logs of the package fail2ban");
        return;
    }
    let dir = TempDir::new("regex-cores");
    let log = dir.join("t.log");
    let (mut compared, mut all) = (0, Guesses::default());
    for (number, sample) in samples.iter().enumerate() {
        let name = sample.file_name().unwrap().to_str().unwrap();
        let filter = format!("filter.d/{name}");
        if !Path::new(&format!("/etc/fail2ban/{filter}.conf")).is_file() {
            continue;
        }
        let text = std::fs::read(sample).unwrap();
        let own: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
        let damaged: Vec<Vec<u8>> = own
            .iter()
            .enumerate()
            .map(|(seed, line)| damaged(line, seed + number))
            .collect();
        let damaged: Vec<&[u8]> = damaged.iter().map(Vec::as_slice).collect();
        let all_lines = ["--print-all-matched", "--print-all-missed", "--print-all-ignored"];
        for (lines, more) in [
            (changing(&own, number), &all_lines[..]),
            (changing(&own, number), &["--verbose-date", "--no-check-all"]),
            (changing(&damaged, number), &[]),
        ] {
            std::fs::write(&log, lines).unwrap();
            let ignore = ["^.*\\b[12]\\d?\\b"].repeat(usize::from(more.is_empty()));
            let words = [more, &[log.to_str().unwrap(), &filter], &ignore].concat();
            let (one, taken, _) = printed(&words, Way::Short);
            if !taken {
                continue;
            }
            for (piece, alone) in [(300, 0), (2_000, 1_000), (1, 5_000)] {
                let (many, _, guesses) = printed(&words, Way::Divided { piece, alone });
                assert_eq!(many, one, "{words:?}, pieces of {piece}");
                all.right += guesses.right;
                all.wrong += guesses.wrong;
            }
            compared += 3;
        }
    }
    println!("{compared} reports compared, {all:?}");
    assert!(
        compared > 500 && all.right > 1_000 && all.wrong > 1_000,
        "{compared} {all:?}"
    );
}

#[test]
fn sessions_that_cross_pieces_come_to_the_same_on_many_threads() {
    let dir = TempDir::new("regex-cores-sessions");
    let log = dir.join("t.log");
    let mut text = String::new();
    for number in 0..3_000_u32 {
        let (second, minute) = (number % 60, number / 60 % 60);
        // Many sessions at once, more than are remembered; each of them of several lines far apart.
        let session = 1_000 + number * 7 % 190;
        let told = match number / 190 % 5 {
            0 => format!(
                "Connection from 192.0.2.{} port 4000 on 192.0.2.1 port 22",
                session % 250
            ),
            1 => format!(
                "Failed publickey for user{} from 192.0.2.{} port 4000 ssh2",
                number % 3,
                session % 250
            ),
            2 => "Disconnecting: Too many authentication failures [preauth]".to_owned(),
            3 => format!(
                "Accepted password for user1 from 192.0.2.{} port 4000 ssh2",
                session % 250
            ),
            _ => format!("Connection closed by 192.0.2.{} port 4000 [preauth]", session % 250),
        };
        writeln!(text, "Nov 21 13:{minute:02}:{second:02} host sshd[{session}]: {told}").unwrap();
    }
    std::fs::write(&log, text).unwrap();
    for mode in ["normal", "ddos", "extra", "aggressive"] {
        let filter = format!("sshd[mode={mode}]");
        for more in [&["--print-all-matched"][..], &["--no-check-all", "--print-all-ignored"]] {
            let words = [more, &[log.to_str().unwrap(), &filter]].concat();
            let (plain, ..) = printed(&words, Way::Plain);
            let (one, taken, _) = printed(&words, Way::Short);
            let (many, _, guesses) = printed(&words, Way::Divided { piece: 500, alone: 0 });
            assert!(taken && !plain.contains(" 0 matched, "), "{words:?}: {plain}");
            assert_eq!(one, plain, "{words:?}");
            assert_eq!(many, plain, "{words:?}");
            assert!(guesses.right > 300, "{words:?}: {guesses:?}");
        }
    }
}

#[test]
fn a_date_that_serves_lines_without_one_serves_them_in_every_piece() {
    let dir = TempDir::new("regex-cores-served");
    let log = dir.join("t.log");
    let failed = "host sshd[7]: Failed password for root from 192.0.2.1 port 22 ssh2\n";
    let mut text = String::new();
    // A date ahead of the clock serves, one long ago does not: then what looks like a date is cut.
    for date in ["2026-01-02T00:00:00", "2099-01-02T00:00:00"].repeat(4) {
        writeln!(text, "{date} host sshd[7]: nothing").unwrap();
        text.push_str(&format!("Feb 30 00:00:00 {failed}").repeat(40));
    }
    std::fs::write(&log, text).unwrap();
    let words = ["--print-all-matched", log.to_str().unwrap(), "sshd"];
    let (plain, ..) = printed(&words, Way::Plain);
    assert!(
        plain.contains(" 328 lines, 0 ignored, 160 matched, 168 missed\n"),
        "{plain}"
    );
    assert_eq!(printed(&words, Way::Short).0, plain);
    let mut all = Guesses::default();
    for piece in [300, 700, 1_500, 2_500] {
        let (many, _, guesses) = printed(&words, Way::Divided { piece, alone: 0 });
        assert_eq!(many, plain, "pieces of {piece}");
        all.right += guesses.right;
        all.wrong += guesses.wrong;
    }
    assert!(all.right > 20 && all.wrong > 10, "{all:?}");
}
