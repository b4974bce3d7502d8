//! Rotated logs that are packed, whole and damaged, are read like those that are not.

use std::path::Path;
use std::process::Command;

use testkit::TempDir;

use crate::oracle::{self, Said};

/// Lines of two kinds, many of them, so that archives have several blocks.
fn log() -> String {
    (0..6000)
        .map(|index| match index % 3 {
            0 => format!(
                "2026-11-22 13:{:02}:{:02} h from 192.0.2.{}\n",
                index / 60 % 60,
                index % 60,
                index % 200
            ),
            _ => format!("2026-11-22 13:00:01 h nothing {index:x} {:x}\n", index * 7919),
        })
        .collect()
}

fn shell(script: &str, directory: &Path) {
    testkit::output_of(Command::new("sh").args(["-ec", script]).current_dir(directory));
}

/// The report, without what differs from run to run.
fn report(said: &Said) -> String {
    let (_, results) = said.out.split_once("Results\n").unwrap();
    results
        .lines()
        .filter(|line| !line.starts_with("[processed in"))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn a_packed_log_is_read_whatever_its_name_is() {
    if !testkit::requires(&["gzip", "xz", "zstd"]) {
        return;
    }
    let dir = TempDir::new("regex-archives");
    dir.write("t.log", log());
    let plain = oracle::ours(&["t.log", "from <HOST>"], dir.path());
    assert!(
        plain
            .out
            .contains("\nLines: 6000 lines, 0 ignored, 2000 matched, 4000 missed\n"),
        "{plain:?}"
    );
    let half = "head -n 3000 t.log > a; tail -n +3001 t.log > b";
    for (name, script) in [
        ("gzip", "gzip -c t.log > p".to_owned()),
        ("gzip, two members", format!("{half}; gzip -c a > p; gzip -9 -c b >> p")),
        ("xz", "xz -c t.log > p".to_owned()),
        ("xz -9", "xz -9 -c t.log > p".to_owned()),
        ("xz, CRC32", "xz -c --check=crc32 t.log > p".to_owned()),
        ("xz, SHA-256", "xz -c --check=sha256 t.log > p".to_owned()),
        ("xz, no check", "xz -c --check=none t.log > p".to_owned()),
        ("xz, blocks", "xz -T2 --block-size=20000 -c t.log > p".to_owned()),
        (
            "xz, two streams with zeros between",
            format!("{half}; xz -c a > p; printf '\\0\\0\\0\\0' >> p; xz -0 -c b >> p"),
        ),
        ("zstd", "zstd -q -c t.log > p".to_owned()),
        (
            "zstd, two frames",
            format!("{half}; zstd -q -c a > p; zstd -q -19 -c b >> p"),
        ),
    ] {
        shell(&script, dir.path());
        let said = oracle::ours(&["p", "from <HOST>"], dir.path());
        assert_eq!(
            (report(&said), said.err.as_str(), said.code),
            (report(&plain), "", 0),
            "{name}"
        );
    }
    // From a pipe, and line by line.
    let program = dir.join("fail2ban-regex");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_stockade"), &program).unwrap();
    shell(
        "cat p | ./fail2ban-regex -o ip /dev/stdin 'from <HOST>' > found",
        dir.path(),
    );
    let found = std::fs::read_to_string(dir.join("found")).unwrap();
    assert_eq!(found.lines().count(), 2000);
}

#[test]
fn of_a_log_cut_off_or_damaged_what_can_be_unpacked_is_tried_and_the_rest_told() {
    if !testkit::requires(&["gzip", "xz", "zstd", "bzip2"]) {
        return;
    }
    let dir = TempDir::new("regex-damaged");
    dir.write("t.log", log());
    for (program, pack) in [
        ("gzip", "gzip -c t.log > p"),
        ("xz", "xz -T1 --block-size=20000 -c t.log > p"),
        (
            "zstd",
            "split -l 100 t.log part.; for part in part.*; do zstd -q -c $part; done > p",
        ),
    ] {
        shell(&format!("{pack}; head -c $(($(stat -c %s p) / 2)) p > cut"), dir.path());
        let said = oracle::ours(&["cut", "from <HOST>"], dir.path());
        let lines: u32 = said
            .out
            .split_once("\nLines: ")
            .and_then(|(_, rest)| rest.split_once(' ')?.0.parse().ok())
            .unwrap();
        assert!((1500..4500).contains(&lines), "{program}: {said:?}");
        let told = "warning: `cut` could not be unpacked to its end; what could be was tried\n  at about byte ";
        assert!(said.err.starts_with(told), "{program}: {said:?}");
        let mend = format!("mend: see what `{program} -t` says of it, and fetch it again if it is a copy\n");
        assert!(said.err.ends_with(&mend), "{program}: {said:?}");
        assert!(said.err.contains("\n  why: it is "), "{program}: {said:?}");
    }
    shell("bzip2 -c t.log > p", dir.path());
    let said = oracle::ours(&["p", "from <HOST>"], dir.path());
    let refusal = "ERROR: log file `p` is packed with bzip2, which is not read\n  mend: bzcat p | fail2ban-regex /dev/stdin FILTER\n";
    assert!(said.out.ends_with(refusal) && said.code == 255, "{said:?}");
}
