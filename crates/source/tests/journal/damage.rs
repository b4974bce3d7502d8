//! Files that are damaged, or made to harm.

use std::time::{Duration, Instant};

use stockade_source::journal::{From, Reader};
use testkit::TempDir;

use crate::writing::{Export, folder, journal_in, needs, read};

/// Numbers by dice that are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}

const COUNT: usize = 120;

/// What is written where.
type Changes<'a> = &'a [(usize, [u8; 8])];

/// A journal of which only the part that is in use is kept.
fn sound(ways: &[(&str, &str)]) -> Vec<u8> {
    let temp = TempDir::new("journal-sound");
    let mut export = Export::default();
    for number in 0..COUNT {
        let message = format!("{number} {}", "long ".repeat(number % 40 * 20));
        export.add(&[
            ("MESSAGE", message.as_bytes()),
            ("SYSLOG_IDENTIFIER", b"sshd"),
            ("_PID", format!("{}", number % 9).as_bytes()),
        ]);
    }
    export.write(&journal_in(temp.path()), ways);
    assert_eq!(read(temp.path(), From::Head, &[]).len(), COUNT);
    let mut bytes = std::fs::read(journal_in(temp.path())).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes.truncate(used + 8);
    bytes
}

/// Reads all, which must end soon; gives the number of entries.
fn survive(bytes: &[u8], what: &str) -> usize {
    let temp = TempDir::new("journal-damaged");
    std::fs::write(journal_in(temp.path()), bytes).unwrap();
    let begin = Instant::now();
    let mut count = 0;
    for from in [From::Time(1_795_370_100_000_000), From::Tail, From::Head] {
        let mut reader = Reader::open(&folder(temp.path()), from);
        reader.refresh();
        count = std::iter::from_fn(|| reader.next_entry()).count();
        reader.refresh();
        reader.next_entry();
    }
    assert!(
        begin.elapsed() < Duration::from_secs(20),
        "{what} took {:?}",
        begin.elapsed()
    );
    assert!(count <= COUNT, "{what}: {count} entries");
    count
}

#[test]
fn a_file_cut_off_anywhere_gives_the_entries_before_the_cut() {
    if !needs(&[]) {
        return;
    }
    let bytes = sound(&[]);
    let mut before = 0;
    for part in 0..=40 {
        let length = bytes.len() * part / 40;
        let count = survive(&bytes[..length], &format!("cut at {length}"));
        assert!(count >= before, "less of a longer file");
        before = count;
    }
    assert_eq!(before, COUNT);
}

#[test]
fn bytes_changed_anywhere_cost_at_most_what_they_belong_to() {
    if !needs(&[]) {
        return;
    }
    let mut dice = Dice(0x5EED);
    for ways in [
        &[][..],
        &[("SYSTEMD_JOURNAL_COMPACT", "0")],
        &[("SYSTEMD_JOURNAL_COMPRESS", "LZ4")],
    ] {
        let bytes = sound(ways);
        let arena = 272.max(bytes.len() * 2 / 3);
        for round in 0..40 {
            let mut damaged = bytes.clone();
            // Every third time the header is hit, else what follows the empty tables.
            for _ in 0..=dice.below(8) {
                let at = if round % 3 == 0 {
                    dice.below(272)
                } else {
                    arena + dice.below(bytes.len() - arena)
                };
                damaged[at] = match dice.below(4) {
                    0 => 0xFF,
                    1 => 0,
                    _ => u8::try_from(dice.below(256)).unwrap(),
                };
            }
            survive(&damaged, &format!("{ways:?} round {round}"));
        }
    }
}

#[test]
fn circles_and_impossible_numbers_end() {
    if !needs(&[]) {
        return;
    }
    let bytes = sound(&[]);
    let number = |at: usize| usize::try_from(u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())).unwrap();
    let array = number(176);
    let huge = u64::MAX.to_le_bytes();
    let cases: &[(&str, Changes<'_>)] = &[
        ("entries without end", &[(152, huge)]),
        (
            "the list of entries leads to itself",
            &[(array + 16, (array as u64).to_le_bytes()), (152, huge)],
        ),
        (
            "the list of entries leads back",
            &[(array + 16, 272_u64.to_le_bytes()), (152, huge)],
        ),
        ("the list of entries is huge", &[(array + 8, huge), (152, huge)]),
        (
            "the list of entries is huge and everywhere",
            &[
                (array + 8, (1_u64 << 62).to_le_bytes()),
                (152, (1_u64 << 61).to_le_bytes()),
            ],
        ),
        ("the header is huge", &[(88, huge)]),
        ("the list begins behind the end", &[(176, huge)]),
        ("times go backwards", &[(184, huge), (192, [0; 8])]),
    ];
    for (name, changes) in cases {
        let mut damaged = bytes.clone();
        for (at, value) in *changes {
            damaged[*at..*at + 8].copy_from_slice(value);
        }
        survive(&damaged, name);
    }
}
