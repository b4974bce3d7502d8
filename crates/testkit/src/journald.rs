//! A journald that nobody else sees.
#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::{Daemon, TempDir, is_root, skip, wait_until};

const DEADLINE: Duration = Duration::from_secs(30);

/// Its own `/run`, `/dev` and `/var/log/journal`; files are put where the test sees them.
const PRIVATE: &str = r#"
mount --make-rprivate / && mount --bind "$1/run" /run && mkdir -p /var/log/journal && mount --bind "$1/log" /var/log/journal &&
mount --bind "$1/journald.conf" /etc/systemd/journald.conf && mount -t tmpfs tmpfs /dev &&
mknod /dev/null c 1 3 && mknod /dev/urandom c 1 9 && exec /lib/systemd/systemd-journald"#;

/// systemd's journald in a mount namespace of its own. It writes to a folder of the test, hears only the test, and ends when dropped.
#[derive(Debug)]
pub struct Journald {
    temp: TempDir,
    daemon: Daemon,
    socket: UnixDatagram,
}

impl Journald {
    /// Starts it with these lines in its configuration; `None`, and the reason is printed, if that is not possible here.
    ///
    /// # Panics
    /// If it does not come up, or if it is missing and `STOCKADE_STRICT` is set.
    #[must_use]
    #[track_caller]
    pub fn start(settings: &str) -> Option<Self> {
        if !is_root() {
            skip("needs to run as root");
            return None;
        }
        if !Path::new("/lib/systemd/systemd-journald").exists() {
            skip("needs the package `systemd`");
            return None;
        }
        let temp = TempDir::new("journald");
        for path in ["run", "log", "run/systemd", "run/systemd/journal"] {
            std::fs::create_dir(temp.join(path)).unwrap();
        }
        // There is nothing to flush: it writes to the disk from the beginning.
        temp.write("run/systemd/journal/flushed", "");
        let fixed = "[Journal]\nStorage=persistent\nRateLimitIntervalSec=0\nSyncIntervalSec=1s\nForwardToSyslog=no\n";
        temp.write("journald.conf", fixed.to_owned() + settings);
        let daemon = Daemon::start(
            Command::new("unshare")
                .args(["-m", "sh", "-c", PRIVATE, "sh"])
                .arg(temp.path()),
        );
        let socket = UnixDatagram::unbound().unwrap();
        let path = temp.join("run/systemd/journal/socket");
        let log = temp.join("log");
        // Its file is the last thing that it makes ready.
        let file = |folder: std::fs::DirEntry| folder.path().join("system.journal").exists();
        wait_until(DEADLINE, "journald listens", || {
            std::fs::read_dir(&log).unwrap().any(|folder| file(folder.unwrap())) && socket.connect(&path).is_ok()
        });
        Some(Self { temp, daemon, socket })
    }

    /// Sends it an entry.
    ///
    /// # Panics
    /// If it does not take it.
    #[track_caller]
    pub fn send(&self, fields: &[(&str, &[u8])]) {
        let mut message = Vec::new();
        for (name, value) in fields {
            message.extend_from_slice(name.as_bytes());
            message.push(b'\n');
            message.extend_from_slice(&(value.len() as u64).to_le_bytes());
            message.extend_from_slice(value);
            message.push(b'\n');
        }
        self.socket.send(&message).unwrap();
    }

    /// The folder that is its `/var/log/journal`.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.temp.join("log")
    }

    /// Tells it to begin new files.
    #[track_caller]
    pub fn rotate(&self) {
        self.daemon.signal(Signal::USR2);
    }

    /// How many files are put aside.
    ///
    /// # Panics
    /// If its folder cannot be read.
    #[must_use]
    pub fn rotated(&self) -> usize {
        let folders = std::fs::read_dir(self.log()).unwrap();
        let files = folders.flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap());
        files
            .filter(|file| file.as_ref().unwrap().file_name().as_encoded_bytes().contains(&b'@'))
            .count()
    }
}
