//! The demo as a user runs it.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// Runs it with temporary files in a folder of its own, which must be empty afterwards.
fn demo(command: &mut Command) -> Output {
    let folder = testkit::TempDir::new("demo-test");
    rustix::fs::chmod(folder.path(), rustix::fs::Mode::from_raw_mode(0o777)).unwrap();
    let begin = Instant::now();
    let output = command
        .env("TMPDIR", folder.path())
        .env_remove("NO_COLOR")
        .output()
        .unwrap();
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        0,
        "nothing is left in the temporary folder"
    );
    output
}

fn check(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        text.contains("15 of 15 attackers, 0 of 5 legitimate users, 0 of 23 injected addresses"),
        "{text}"
    );
    assert!(text.contains("15 lifted, 0 left in the kernel"), "{text}");
    assert!(
        text.contains("left behind: 0 tables in the kernel, 0 socket or pid files"),
        "{text}"
    );
    let is_plain = |character: char| !character.is_control() || character == '\n';
    assert!(text.chars().all(is_plain), "a pipe gets plain text: {text}");
}

#[test]
fn the_demo_bans_all_attackers_and_nobody_else_and_leaves_nothing() {
    if testkit::requires(&["root"]) {
        check(&demo(Command::new(env!("CARGO_BIN_EXE_stockade")).arg("demo")));
    }
}

#[test]
fn the_demo_runs_for_an_ordinary_user_in_a_user_namespace() {
    if !testkit::requires(&["root", "setpriv"]) {
        return;
    }
    let user = |program: &str| {
        let mut command = Command::new("setpriv");
        command.args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "--inh-caps=-all",
            program,
        ]);
        command
    };
    // Where the kernel's settings do not allow it, or the program lies in a folder that is root's, there is nothing to see.
    if !user("unshare")
        .args(["--user", "--net", "true"])
        .output()
        .unwrap()
        .status
        .success()
    {
        return testkit::skip("needs user namespaces for ordinary users");
    }
    let folder = testkit::TempDir::new("demo-program");
    let program = folder.join("stockade");
    std::fs::copy(env!("CARGO_BIN_EXE_stockade"), &program).unwrap();
    rustix::fs::chmod(folder.path(), rustix::fs::Mode::from_raw_mode(0o755)).unwrap();
    check(&demo(user(program.to_str().unwrap()).arg("demo")));
}
