//! The kept inputs of all targets: what was found once is tried for ever.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use stockade_fuzz::TARGETS;

/// Longer than any kept input may take in the dev profile, and on a machine that is busy.
const SLOWEST: Duration = Duration::from_secs(10);

#[test]
fn every_kept_input_is_survived() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut bad = Vec::new();
    let mut bytes = 0;
    for target in TARGETS {
        let folder = corpus.join(target.name);
        let mut count = 0;
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let input = fs::read(&path).unwrap();
            bytes += input.len();
            count += 1;
            let start = Instant::now();
            if catch_unwind(AssertUnwindSafe(|| (target.run)(&input))).is_err() || start.elapsed() > SLOWEST {
                bad.push(format!("{} ({:?})", path.display(), start.elapsed()));
            }
        }
        assert!(count > 0, "{} has no inputs", target.name);
        println!("{}: {count} inputs", target.name);
    }
    assert!(bad.is_empty(), "{bad:#?}");
    assert!(
        bytes < 300_000,
        "the kept inputs have {bytes} bytes; they are to stay few and small"
    );
}

#[test]
fn every_target_has_its_words_and_every_folder_its_target() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for target in TARGETS {
        assert!(root.join("words").join(target.words).exists(), "{}", target.words);
    }
    for entry in fs::read_dir(root.join("corpus")).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(
            TARGETS.iter().any(|target| Path::new(target.name) == name),
            "{}",
            name.display()
        );
    }
}
