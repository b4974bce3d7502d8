//! What the machine offers, and waiting for things to happen on it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Waits until `condition` holds.
///
/// # Panics
/// If it does not within the deadline; the message says what was waited for.
#[track_caller]
pub fn wait_until(deadline: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(deadline, what, || condition().then_some(()));
}

/// Waits until `attempt` gives something, and gives that.
///
/// # Panics
/// If it gives nothing within the deadline; the message says what was waited for.
#[track_caller]
pub fn wait_for<T>(deadline: Duration, what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(start.elapsed() < deadline, "not within {deadline:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// Whether all of these are there; otherwise prints which test is skipped and what is missing.
///
/// A need is the name of a program, or `root`. With `STOCKADE_STRICT` set (as in CI) a missing one is a failure.
///
/// ```
/// if !testkit::requires(&["root", "nft"]) {
///     return;
/// }
/// ```
///
/// # Panics
/// If something is missing and `STOCKADE_STRICT` is set.
#[must_use]
#[track_caller]
pub fn requires(needs: &[&str]) -> bool {
    let missing: Vec<String> = needs
        .iter()
        .filter_map(|need| match *need {
            "root" => (!is_root()).then(|| "to run as root".to_owned()),
            program => (!is_installed(program)).then(|| format!("the program `{program}`")),
        })
        .collect();
    if missing.is_empty() {
        return true;
    }
    skip(&format!("needs {}", missing.join(" and ")));
    false
}

/// Says on standard error that the running test is skipped and why. The test harness does not hide this.
///
/// # Panics
/// If `STOCKADE_STRICT` is set: there nothing may be skipped.
#[track_caller]
pub fn skip(reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("test");
    assert!(
        std::env::var_os("STOCKADE_STRICT").is_none(),
        "{test} may not be skipped here: {reason}"
    );
    // If standard error is closed nobody wants to know.
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {reason}");
}

/// Whether we run as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether a program is in `PATH` or in the system's folders for administrators.
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .any(|directory| directory.join(program).is_file())
}

/// Something from the data shared between workers on the project: `STOCKADE_SHARED`, or `shared` beside the
/// repository. `None`, with a printed reason, if it is not there.
#[track_caller]
pub fn shared_data(path: impl AsRef<Path>) -> Option<PathBuf> {
    let root = std::env::var_os("STOCKADE_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let found = root.join(path);
    if found.exists() {
        return Some(found);
    }
    skip(&format!(
        "needs {}; set STOCKADE_SHARED to the folder that holds it",
        found.display()
    ));
    None
}

/// The files of an installed Debian package; empty if it is not installed.
pub fn package_files(package: &str) -> Vec<PathBuf> {
    let Ok(output) = Command::new("dpkg").args(["-L", package]).output() else {
        return Vec::new();
    };
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(PathBuf::from)
        .filter(|path| path.is_file())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends_as_soon_as_the_condition_holds() {
        let mut asked = 0;
        wait_until(Duration::from_secs(10), "asked three times", || {
            asked += 1;
            asked == 3
        });
        assert_eq!(asked, 3);
    }

    #[test]
    #[should_panic(expected = "not within 10ms: the moon falls down")]
    fn waiting_in_vain_names_what_did_not_happen() {
        wait_until(Duration::from_millis(10), "the moon falls down", || false);
    }

    #[test]
    fn knows_what_is_installed() {
        assert!(is_installed("sh"));
        assert!(!is_installed("no-such-program"));
    }
}
