//! Journals for tests: written by systemd's own programs.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use stockade_source::journal::{Entry, From, Matches, Options, Reader};

pub(crate) const REMOTE: &str = "/lib/systemd/systemd-journal-remote";

/// Whether systemd's programs are there, and `programs`; otherwise says what is missing.
pub(crate) fn needs(programs: &[&str]) -> bool {
    for (file, package) in [
        (REMOTE, "systemd-journal-remote"),
        ("/usr/lib/python3/dist-packages/systemd/journal.py", "python3-systemd"),
    ] {
        if !Path::new(file).exists() {
            testkit::skip(&format!("needs the package `{package}`"));
            return false;
        }
    }
    testkit::requires(&["journalctl"]) && testkit::requires(programs)
}

/// When the first entry was written: 2026-11-22 17:53:20 UTC.
pub(crate) const BEGIN: u64 = 1_795_370_000_000_000;

/// Entries in journald's export format, one second and a few microseconds after each other.
#[derive(Default)]
pub(crate) struct Export {
    pub(crate) bytes: Vec<u8>,
    pub(crate) count: u64,
}

impl Export {
    pub(crate) fn add(&mut self, fields: &[(&str, &[u8])]) {
        self.count += 1;
        let number = self.count;
        self.add_at(BEGIN + number * 1_000_003, number * 1_000_007, fields);
    }

    pub(crate) fn add_at(&mut self, realtime: u64, monotonic: u64, fields: &[(&str, &[u8])]) {
        let boot = "a1777a4a69f043cca340f185b9a4049f";
        let mut head = String::new();
        write!(
            head,
            "__REALTIME_TIMESTAMP={realtime}\n__MONOTONIC_TIMESTAMP={monotonic}\n_BOOT_ID={boot}\n"
        )
        .unwrap();
        self.bytes.extend_from_slice(head.as_bytes());
        for (name, value) in fields {
            self.bytes.extend_from_slice(name.as_bytes());
            self.bytes.push(b'\n');
            self.bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
            self.bytes.extend_from_slice(value);
            self.bytes.push(b'\n');
        }
        self.bytes.push(b'\n');
    }

    /// Lets systemd write them into a journal file; `ways` are environment variables that say how.
    pub(crate) fn write(&self, file: &Path, ways: &[(&str, &str)]) {
        let export = file.with_extension("export");
        std::fs::write(&export, &self.bytes).unwrap();
        let output = Command::new(REMOTE)
            .envs(ways.iter().copied())
            .args(["--split-mode=none", &format!("--output={}", file.display())])
            .arg(&export)
            .output()
            .unwrap();
        std::fs::remove_file(&export).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

pub(crate) fn folder(path: &Path) -> Options {
    let mut options = Options::default();
    options.set("journalpath", path.to_str().unwrap()).unwrap();
    options
}

/// All entries of a folder that fit the words.
pub(crate) fn read(path: &Path, from: From, words: &[&str]) -> Vec<Entry> {
    let mut reader = Reader::open(&folder(path), from);
    reader.set_matches(&[Matches::parse([words]).unwrap()]);
    let entries = std::iter::from_fn(|| reader.next_entry()).collect();
    assert_eq!(reader.take_problems(), []);
    assert_eq!(reader.damaged(), 0);
    entries
}

pub(crate) fn text(entry: &Entry) -> String {
    String::from_utf8_lossy(&entry.line).into_owned()
}

/// What journalctl has of the same: time of writing and message of each entry, as its JSON has them.
pub(crate) fn journalctl(path: &Path, words: &[&str]) -> Vec<String> {
    let output = Command::new("journalctl")
        .args(["--no-pager", "-q", "-o", "export", "--all", "-D"])
        .arg(path)
        .args(words)
        .output()
        .unwrap();
    let (mut entries, mut current) = (Vec::new(), String::new());
    let mut rest = output.stdout.as_slice();
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let (line, after) = (&rest[..end], &rest[(end + 1).min(rest.len())..]);
        rest = after;
        if line.is_empty() {
            entries.push(std::mem::take(&mut current));
        } else if let Some(at) = line.iter().position(|byte| *byte == b'=') {
            note(&mut current, &line[..at], &line[at + 1..]);
        } else {
            let (length, data) = rest.split_first_chunk().unwrap();
            let length = usize::try_from(u64::from_le_bytes(*length)).unwrap();
            note(&mut current, line, &data[..length]);
            rest = &data[length + 1..];
        }
    }
    entries
}

fn note(current: &mut String, name: &[u8], value: &[u8]) {
    match name {
        b"__REALTIME_TIMESTAMP" => current.push_str(std::str::from_utf8(value).unwrap()),
        b"MESSAGE" => {
            current.push(' ');
            current.push_str(&String::from_utf8_lossy(value).replace('\n', "\\n"));
        }
        _ => {}
    }
}

/// The same of an entry that has no host and no name.
pub(crate) fn noted(entry: &Entry) -> String {
    format!("{} {}", entry.realtime, text(entry))
}

pub(crate) fn journal_in(folder: &Path) -> PathBuf {
    folder.join("remote.journal")
}
