//! `stockade filter test`, run as the author of a filter runs it.

#![expect(clippy::unwrap_used, reason = "test code")]

use std::path::PathBuf;
use std::process::Command;

fn repository(path: &str) -> PathBuf {
    PathBuf::from(format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR")))
}

/// What is said, on both outputs, and the exit code.
fn said(args: &[&str]) -> (String, Option<i32>) {
    let output = Command::new(env!("CARGO_BIN_EXE_stockade"))
        .args(["filter", "test"])
        .args(args)
        .env("TZ", "UTC")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (text, output.status.code())
}

fn own(samples: &str) -> (testkit::TempDir, String) {
    let folder = testkit::TempDir::new("filter-test");
    folder.write(
        "filter.d/door.conf",
        "[Definition]\nmode = normal\n_extra_normal =\n_extra_hard = ^ door: bang from <ADDR>$\n\
         failregex = ^ door: knock of \\S+ from <ADDR> refused$\n    <_extra_<mode>>\nignoreregex = of friend from\n",
    );
    folder.write("filter.d/door.samples", samples);
    let path = folder.path().to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn the_samples_of_built_in_filters_come_out_as_expected() {
    let config = repository("config");
    for name in ["asterisk", "sshd", "dovecot", "nginx-http-auth"] {
        let (said, code) = said(&[name, "-c", config.to_str().unwrap()]);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("samples come out as expected"), "{said}");
    }
}

#[test]
fn built_in_filters_come_with_their_samples_on_a_machine_without_a_configuration() {
    for name in stockade_config::builtin::names() {
        let Some(name) = name
            .strip_prefix("filter.d/")
            .and_then(|name| name.strip_suffix(".conf"))
        else {
            continue;
        };
        if name.ends_with("common") {
            continue;
        }
        let (said, code) = said(&[name, "-c", "/nonexistent"]);
        assert_eq!(code, Some(0), "{said}");
    }
}

#[test]
fn an_own_filter_of_a_built_in_name_is_tried_on_the_built_in_samples() {
    let folder = testkit::TempDir::new("filter-test-own");
    folder.write("filter.d/dropbear.conf", "[Definition]\nfailregex = ^nothing <ADDR>$\n");
    let (said, code) = said(&["dropbear", "-c", folder.path().to_str().unwrap()]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("built-in dropbear.samples:"), "{said}");
}

#[test]
fn samples_beside_an_own_filter_are_found_by_its_name_and_by_its_file() {
    let (_folder, path) = own(
        "+ 192.0.2.1 2026-11-22 10:00:00 door: knock of {{word}} from 192.0.2.1 refused\n- 2026-11-22 10:00:00 door: bang from 192.0.2.1\n\
         [mode=hard]\n+ 2001:db8::1 2026-11-22 10:00:00 door: bang from 2001:db8::1\n! nobody 2026-11-22 10:00:00 door: bang from 192.0.2.1 x\n",
    );
    for args in [vec!["door", "-c", &path], vec![&format!("{path}/filter.d/door.conf")]] {
        let (said, code) = said(&args);
        assert_eq!(
            (said.as_str(), code),
            ("door: all 4 samples come out as expected\n", Some(0))
        );
    }
}

#[test]
fn a_sample_that_comes_out_otherwise_is_told_with_what_came_and_why() {
    let (_folder, path) = own(
        "+ 192.0.2.1 2026-11-22 10:00:00 door: knock of bob from 192.0.2.1 rejected\n\
         - 2026-11-22 10:00:00 door: knock of bob from 192.0.2.2 refused\n\
         + 192.0.2.3 2026-11-22 10:00:00 door: knock of friend from 192.0.2.3 refused\n\
         + 192.0.2.4 2026-11-22 10:00:00 door: knock of bob from 192.0.2.4 refused\n",
    );
    let (said, code) = said(&["door", "-c", &path]);
    assert_eq!(code, Some(1), "{said}");
    for piece in [
        "door.samples:1\n",
        "expected  a failure of 192.0.2.1\n",
        "came      no failure: no rule matches",
        "wanted `f`, where the line has `jected`",
        "door.samples:2\n",
        "expected  no failure\n",
        "came      a failure of 192.0.2.2",
        "failregex 1, ",
        "door.conf:5",
        "ignoreregex 1, ",
        "door: 3 of 4 samples come out otherwise",
    ] {
        assert!(said.contains(piece), "`{piece}` is not in\n{said}");
    }
}

#[test]
fn what_cannot_be_tried_is_told_with_a_mend() {
    let (_folder, path) = own("? what\n");
    for (args, piece) in [
        (
            vec!["door", "-c", &path],
            "door.samples:1: the line begins with none of",
        ),
        (vec!["none", "-c", &path], "no samples"),
        (vec!["./none.conf"], "no filter file"),
        (vec![], "a filter, and perhaps a file of samples"),
        (
            vec!["none", &format!("{path}/filter.d/door.conf")],
            "door.conf:2: the line begins with none of",
        ),
    ] {
        let (said, code) = said(&args);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(piece), "`{piece}` is not in\n{said}");
    }
}
