//! What a person who waits at a terminal sees.

use std::fs::OpenOptions;
use std::io::Write;
use std::process::Command;
use std::time::Duration;

use testkit::{Daemon, TempDir};

const SOON: Duration = Duration::from_secs(20);

/// A log that comes slowly: a pipe, which is read like a file.
#[test]
fn progress_is_told_on_a_terminal_and_taken_away() {
    if !testkit::requires(&["script", "mkfifo"]) {
        return;
    }
    let dir = TempDir::new("regex-progress");
    let program = dir.join("fail2ban-regex");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_stockade"), &program).unwrap();
    let pipe = dir.join("pipe");
    testkit::output_of(Command::new("mkfifo").arg(&pipe));
    let words = format!("{} {} 'from <HOST>'", program.display(), pipe.display());
    let mut tool = Daemon::start(
        Command::new("script")
            .args(["-qfec", &words, "/dev/null"])
            .current_dir(dir.path()),
    );
    let mut writer = OpenOptions::new().write(true).open(&pipe).unwrap();
    testkit::wait_until(SOON, "progress is told", || {
        writer
            .write_all(&b"2026-11-22 13:00:01 nothing of interest\n".repeat(300))
            .unwrap();
        tool.stdout().contains(" lines, ")
    });
    drop(writer);
    assert!(tool.wait(SOON).success());
    let told = tool.stdout();
    let (before, after) = told.split_once("Results").unwrap();
    assert!(before.contains(" MB read\x1b[K"), "{told:?}");
    assert!(before.trim_end().ends_with("\r\x1b[K"), "{told:?}");
    assert!(!after.contains('\x1b'), "{told:?}");
}

#[test]
fn a_bar_is_drawn_for_a_file_and_taken_away() {
    if !testkit::requires(&["script"]) {
        return;
    }
    let dir = TempDir::new("regex-bar");
    let program = dir.join("fail2ban-regex");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_stockade"), &program).unwrap();
    // `-v` goes line by line, which takes long enough sooner.
    let words = format!("{} -v t.log 'from <HOST>'", program.display());
    let mut text = "2026-11-22 13:00:01 nothing of interest\n".repeat(100_000);
    let told = loop {
        dir.write("t.log", &text);
        let mut tool = Daemon::start(
            Command::new("script")
                .args(["-qfec", &words, "/dev/null"])
                .current_dir(dir.path()),
        );
        assert!(tool.wait(3 * SOON).success());
        if tool.stdout().contains(" left") {
            break tool.stdout();
        }
        assert!(text.len() < 1 << 30, "no bar: {}", tool.stdout());
        text = text.repeat(3);
    };
    let (before, after) = told.split_once("Results").unwrap();
    let mut bars = before.split('\r').filter(|drawn| drawn.starts_with('['));
    assert!(
        bars.all(|bar| bar.contains(" %  ") && bar.contains(" lines/s  ") && bar.ends_with(" left\x1b[K")),
        "{told:?}"
    );
    assert!(before.trim_end().ends_with("\r\x1b[K"), "{told:?}");
    assert!(!after.contains('\x1b'), "{told:?}");
}

#[test]
fn nothing_of_progress_gets_into_a_pipe() {
    let dir = TempDir::new("regex-no-progress");
    dir.write("t.log", "2026-11-22 13:00:01 nothing of interest\n".repeat(100_000));
    let said = crate::oracle::ours(&["t.log", "from <HOST>"], dir.path());
    assert!(said.err.is_empty() && !said.out.contains('\x1b'), "{said:?}");
    assert!(
        said.out
            .contains("\nLines: 100000 lines, 0 ignored, 0 matched, 100000 missed\n"),
        "{said:?}"
    );
}
