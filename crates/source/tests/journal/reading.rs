//! What is in the files, in order.

use stockade_source::journal::{Cursor, From, Options, Reader, Step};
use testkit::TempDir;

use crate::writing::{BEGIN, Export, folder, journal_in, journalctl, needs, noted, read, text};

/// Every way in which systemd 252 can write a file.
const WAYS: &[(&str, &[(&str, &str)])] = &[
    ("as it does by itself", &[]),
    ("not compact", &[("SYSTEMD_JOURNAL_COMPACT", "0")]),
    (
        "not compact, hashes without a key",
        &[("SYSTEMD_JOURNAL_COMPACT", "0"), ("SYSTEMD_JOURNAL_KEYED_HASH", "0")],
    ),
    ("packed with lz4", &[("SYSTEMD_JOURNAL_COMPRESS", "LZ4")]),
    (
        "packed with lz4, not compact",
        &[("SYSTEMD_JOURNAL_COMPRESS", "LZ4"), ("SYSTEMD_JOURNAL_COMPACT", "0")],
    ),
    ("not packed", &[("SYSTEMD_JOURNAL_COMPRESS", "NONE")]),
];

/// Messages short and long, packed well and badly.
fn varied() -> Export {
    let mut export = Export::default();
    for number in 0..400_usize {
        let message = match number % 8 {
            0 => format!("{number} {}", "the same again ".repeat(number * 4)),
            1 => (0..number * 3)
                .map(|at| char::from(b'a' + u8::try_from(at * at * 7 % 23).unwrap()))
                .collect(),
            2 => format!("{number}\nof two lines"),
            3 => format!("{number} {}", "x".repeat(30_000)),
            _ => format!("message {number}"),
        };
        let unit = format!("unit{}.service", number % 7);
        let kind = if number % 3 == 0 { "three" } else { "other" };
        export.add(&[
            ("MESSAGE", message.as_bytes()),
            ("_SYSTEMD_UNIT", unit.as_bytes()),
            ("KIND", kind.as_bytes()),
        ]);
    }
    export
}

#[test]
fn entries_of_every_way_of_writing_are_what_journalctl_says() {
    if !needs(&[]) {
        return;
    }
    let export = varied();
    for (name, ways) in WAYS {
        let temp = TempDir::new("journal-ways");
        export.write(&journal_in(temp.path()), ways);
        for words in [
            &[][..],
            &["KIND=three"],
            &["KIND=three", "_SYSTEMD_UNIT=unit0.service"],
            &[
                "_SYSTEMD_UNIT=unit0.service",
                "_SYSTEMD_UNIT=unit1.service",
                "KIND=other",
            ],
            &[
                "_SYSTEMD_UNIT=unit2.service",
                "+",
                "KIND=three",
                "_SYSTEMD_UNIT=unit5.service",
            ],
            &["KIND=nothing"],
        ] {
            let ours: Vec<String> = read(temp.path(), From::Head, words).iter().map(noted).collect();
            assert_eq!(ours, journalctl(temp.path(), words), "{name}: {words:?}");
        }
    }
}

#[test]
fn reading_begins_at_the_first_entry_of_the_time_asked_for() {
    if !needs(&[]) {
        return;
    }
    let temp = TempDir::new("journal-seek");
    let export = varied();
    export.write(&journal_in(temp.path()), &[]);
    let all = read(temp.path(), From::Head, &[]);
    assert_eq!(all.len(), 400);
    for (time, expected) in [
        (0, 400),
        (BEGIN, 400),
        (BEGIN + 1_000_003, 400),
        (BEGIN + 1_000_004, 399),
        (BEGIN + 200 * 1_000_003, 201),
        (BEGIN + 400 * 1_000_003, 1),
        (BEGIN + 400 * 1_000_003 + 1, 0),
    ] {
        let found = read(temp.path(), From::Time(i64::try_from(time).unwrap()), &[]);
        assert_eq!(found.len(), expected, "from {time}");
        assert_eq!(found, all[400 - expected..]);
    }
    assert_eq!(read(temp.path(), From::Tail, &[]), []);
}

#[test]
fn a_cursor_brings_back_to_the_entry_behind_it_and_is_the_one_of_journalctl() {
    if !needs(&[]) {
        return;
    }
    let temp = TempDir::new("journal-cursor");
    varied().write(&journal_in(temp.path()), &[]);
    let mut reader = Reader::open(&folder(temp.path()), From::Head);
    let mut entries = Vec::new();
    for _ in 0..150 {
        entries.extend(reader.next_entry());
    }
    let cursor = reader.cursor().unwrap().to_string();
    let shown = testkit::output_of(
        std::process::Command::new("journalctl")
            .args([
                "-q",
                "--no-pager",
                "-n",
                "3",
                "-o",
                "json",
                "--output-fields=MESSAGE",
                "-D",
            ])
            .arg(temp.path())
            .arg(format!("--after-cursor={cursor}")),
    );
    assert_eq!(shown.lines().count(), 3, "{shown}");
    assert!(shown.contains("i=97;"), "{shown}");
    let cursor: Cursor = cursor.parse().unwrap();
    entries.extend(read(temp.path(), From::Cursor(Box::new(cursor)), &[]));
    assert_eq!(entries, read(temp.path(), From::Head, &[]));
}

#[test]
fn several_files_are_one_journal_in_the_order_of_time() {
    if !needs(&[]) {
        return;
    }
    let temp = TempDir::new("journal-merge");
    for file in 0..5_u64 {
        let mut export = Export::default();
        for number in 0..200_u64 {
            let at = number * 5 + file;
            let message = format!("{at}");
            export.add_at(BEGIN + at * 1000, at * 1000, &[("MESSAGE", message.as_bytes())]);
        }
        export.write(&temp.join(format!("part{file}.journal")), &[]);
    }
    let numbers: Vec<String> = read(temp.path(), From::Head, &[]).iter().map(text).collect();
    let expected: Vec<String> = (0..1000).map(|number: u64| number.to_string()).collect();
    assert_eq!(numbers, expected);
    let late = read(temp.path(), From::Time(i64::try_from(BEGIN + 990 * 1000).unwrap()), &[]);
    assert_eq!(late.len(), 10);
}

#[test]
fn files_are_found_by_glob_and_a_folder_that_is_not_there_is_waited_for() {
    if !needs(&[]) {
        return;
    }
    let temp = TempDir::new("journal-places");
    let mut export = Export::default();
    export.add(&[("MESSAGE", b"here")]);
    let mut missing = Reader::open(&folder(&temp.join("later")), From::Head);
    assert_eq!(missing.step(), Step::End);
    export.write(&temp.join("one.journal"), &[]);
    let mut options = Options::default();
    options
        .set("journalfiles", temp.join("o*.journal").to_str().unwrap())
        .unwrap();
    assert_eq!(
        Reader::open(&options, From::Head)
            .next_entry()
            .map(|entry| text(&entry)),
        Some("here".into())
    );
    options = Options::default();
    options
        .set("journalfiles", temp.join("x*.journal").to_str().unwrap())
        .unwrap();
    assert_eq!(Reader::open(&options, From::Head).next_entry(), None);
    assert!(Options::default().set("journalflags", "x").is_err());
    assert!(Options::default().set("nonsense", "1").is_err());
}

#[test]
fn what_has_the_name_of_a_journal_and_is_none_is_told_and_the_others_are_read() {
    if !needs(&["mkfifo"]) {
        return;
    }
    let temp = TempDir::new("journal-odd");
    let mut export = Export::default();
    export.add(&[("MESSAGE", b"here")]);
    export.write(&journal_in(temp.path()), &[]);
    temp.write("text.journal", "x".repeat(1000));
    temp.write("empty.journal", "");
    std::fs::create_dir(temp.join("folder.journal")).unwrap();
    testkit::output_of(std::process::Command::new("mkfifo").arg(temp.join("pipe.journal")));
    std::os::unix::fs::symlink("circle.journal", temp.join("circle.journal")).unwrap();
    let mut reader = Reader::open(&folder(temp.path()), From::Head);
    assert_eq!(reader.next_entry().map(|entry| text(&entry)), Some("here".into()));
    assert_eq!(reader.next_entry(), None);
    let problems = reader.take_problems();
    let mut named: Vec<_> = problems
        .iter()
        .filter_map(|problem| problem.path.file_stem()?.to_str())
        .collect();
    named.sort_unstable();
    assert_eq!(named, ["circle", "folder", "pipe", "text"]);
    reader.refresh();
    assert_eq!(reader.next_entry(), None);
    assert_eq!(reader.take_problems(), []);
}

#[test]
fn twenty_thousand_entries_are_read_in_full() {
    if !needs(&[]) {
        return;
    }
    let temp = TempDir::new("journal-speed");
    let mut export = Export::default();
    for number in 0..20_000 {
        let name = if number % 4 == 0 { "sshd" } else { "other" };
        let message = format!("Failed password for invalid user u{number} from 192.0.2.1 port 4711 ssh2");
        let mut fields = vec![("SYSLOG_IDENTIFIER", name.as_bytes()), ("MESSAGE", message.as_bytes())];
        fields.extend([
            ("_HOSTNAME", &b"host1"[..]),
            ("PRIORITY", b"6"),
            ("_UID", b"0"),
            ("_TRANSPORT", b"syslog"),
            ("_PID", b"4711"),
            ("_EXE", b"/usr/sbin/sshd"),
        ]);
        export.add(&fields);
    }
    export.write(&journal_in(temp.path()), &[]);
    let words = ["SYSLOG_IDENTIFIER=sshd"];
    let begin = std::time::Instant::now();
    assert_eq!(read(temp.path(), From::Head, &words).len(), 5000);
    let ours = begin.elapsed();
    let begin = std::time::Instant::now();
    assert_eq!(journalctl(temp.path(), &words).len(), 5000);
    println!(
        "5,000 of 20,000 entries in {ours:?}; journalctl -o export: {:?}",
        begin.elapsed()
    );
}
