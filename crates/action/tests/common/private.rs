//! A machine of one test: a network, files and processes of its own, where the programs that actions call may be the real ones
//! or stand-ins that write down how they were called.

#![expect(clippy::unwrap_used, reason = "test code")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::TempDir;

/// Where the machine's own folder is; set within it.
const VARIABLE: &str = "STOCKADE_TEST_MACHINE";

/// The folder of the machine, and in it `bin`, first in PATH.
pub(crate) struct Machine(PathBuf);

/// Runs a test inside a machine of its own. Needs `root`, `unshare`, `ip` and what is named here.
///
/// The test's program is started once more within new namespaces, and there for this test alone: what it starts finds PATH, mounts and
/// network of its own, and ends with it.
#[track_caller]
pub(crate) fn on_a_machine(needs: &[&str], work: impl FnOnce(&Machine)) {
    if let Some(folder) = std::env::var_os(VARIABLE) {
        work(&Machine(folder.into()));
        return;
    }
    if !testkit::requires(&[&["root", "unshare", "mount", "ip"], needs].concat()) {
        return;
    }
    let directory = TempDir::new("machine");
    std::fs::create_dir(directory.join("bin")).unwrap();
    // `file::test::{{closure}}`; the thread's name would not do, which may be `main`.
    let name = std::any::type_name_of_val(&work);
    let test = name
        .split_once("::")
        .unwrap()
        .1
        .trim_end_matches("::{{closure}}")
        .to_owned();
    let path = format!(
        "{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        directory.join("bin").display()
    );
    let output = Command::new("unshare")
        .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .args(["sh", "-c", "ip link set lo up && exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &test, "--nocapture"])
        .env(VARIABLE, directory.path())
        .env("PATH", path)
        // Within, process ids begin anew, and names made from them are only ours in here.
        .env("TMPDIR", directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

impl Machine {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.join(name)).unwrap_or_default()).into_owned()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.join(name), text).unwrap();
        self.join(name)
    }

    /// Puts a program into PATH.
    pub(crate) fn program(&self, name: &str, script: &str) {
        let path = self.write(&format!("bin/{name}"), &format!("#!/bin/sh\n{script}\n"));
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Puts a program into PATH that writes down its words; then it runs `script`.
    pub(crate) fn recorder(&self, name: &str, script: &str) {
        let calls = self.join("calls");
        let record = "\"$(printf '%s' \"$a\" | tr '\\n' '^')\"";
        self.program(
            name,
            &format!(
                "{{ printf '%s' '{name}'; for a in \"$@\"; do printf ' [%s]' {record}; done; echo; }} >> {}\n{script}",
                calls.display()
            ),
        );
    }

    /// The calls since the last time.
    pub(crate) fn calls(&self) -> Vec<String> {
        let calls = self.read("calls");
        let _ = std::fs::remove_file(self.join("calls"));
        calls.lines().map(ToOwned::to_owned).collect()
    }

    /// Lays a file of the machine's over one of the system's, for this machine alone.
    pub(crate) fn lay_over(&self, name: &str, system: &str) {
        testkit::output_of(Command::new("mount").arg("--bind").arg(self.join(name)).arg(system));
    }
}
