//! What the tests of this crate share: directories, the commands we make, and the real Fail2Ban beside us.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

#[path = "../../../stockade/src/client/stream.rs"]
#[expect(unreachable_pub, reason = "a module of the client")]
pub(crate) mod stream;

/// A directory that goes away with the test.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("stockade-config-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file, with `@DIR@` in it replaced by the directory.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match std::str::from_utf8(content.as_ref()) {
            Ok(text) => fs::write(path, text.replace("@DIR@", self.0.to_str().unwrap())).unwrap(),
            Err(_) => fs::write(path, content).unwrap(),
        }
    }

    /// A copy of another directory of files.
    pub(crate) fn copy_of(original: &Path) -> Self {
        let copy = Self::new();
        copy_tree(original, copy.path());
        copy
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What is left lies in the directory for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn copy_tree(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The commands that we make of a directory, as `-d` prints them.
pub(crate) fn ours(dir: &Path) -> Vec<String> {
    let overrides = stockade_config::Overrides {
        version: Some("1.0.2".to_owned()),
        ..Default::default()
    };
    let config = stockade_config::load(dir, &overrides);
    stream::commands(&config)
        .iter()
        .map(|command| stream::line(command))
        .collect()
}

/// What Fail2Ban prints for a directory; `None` if it refuses all of it.
pub(crate) fn theirs(dir: &Path) -> Option<Vec<String>> {
    let output = Command::new("fail2ban-client")
        .arg("-c")
        .arg(dir)
        .arg("-d")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let said = text.clone() + &String::from_utf8_lossy(&output.stderr);
    let refused = said.contains("The configuration stream failed");
    (!refused).then(|| text.lines().map(str::to_owned).collect())
}

/// Whether Debian's Fail2Ban 1.0.2 is there; says what is missing if not.
pub(crate) fn fail2ban_is_here() -> bool {
    let version = Command::new("fail2ban-client").arg("--version").output();
    let here = version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("1.0.2"));
    if !here {
        eprintln!("skipped: Fail2Ban 1.0.2 is not installed (apt-get install fail2ban)");
    }
    here && Path::new("/etc/fail2ban/jail.conf").exists()
}

/// A `set JAIL addlogpath` of a file that does not exist: Fail2Ban sends none of these.
pub(crate) fn waits_for_a_log(line: &str) -> bool {
    let mut words = line.split("', '").skip(2);
    words.next() == Some("addlogpath") && words.next().is_some_and(|path| !Path::new(path).exists())
}
