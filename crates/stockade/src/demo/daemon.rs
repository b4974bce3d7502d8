//! The daemon under demonstration: this program again, as server, with a folder of its own.

use std::fs::{self, File};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The jail that watches the recording.
pub(super) const JAIL: &str = "asterisk";

/// How long the daemon may take to be ready.
const READY: Duration = Duration::from_secs(5);

/// All that is not built in: where the log is, and that no other log of this machine is to be watched.
fn jail_local(folder: &Path, log: &Path) -> String {
    let built_in = stockade_config::load(folder, &stockade_config::Overrides::default());
    let others = built_in
        .jails
        .iter()
        .map(|jail| jail.name.clone())
        .filter(|name| name != JAIL);
    let disabled: Vec<String> = others.map(|name| format!("[{name}]\nenabled = false\n")).collect();
    format!(
        "[{JAIL}]\nenabled = true\nlogpath = {}\n{}",
        log.display(),
        disabled.concat()
    )
}

/// A running daemon. Killed, if it still runs, and its folder removed when dropped.
pub(super) struct Daemon {
    folder: PathBuf,
    program: PathBuf,
    child: Child,
    /// The log it watches.
    pub(super) log: PathBuf,
    pub(super) ready_after: Duration,
}

impl Daemon {
    /// Starts it and waits until its jail is watching.
    pub(super) fn start(interrupted: &AtomicBool) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
        let folder = std::env::temp_dir().join(format!("stockade-demo-{}", std::process::id()));
        // For root alone: others might put their own files into it.
        rustix::fs::mkdir(&folder, rustix::fs::Mode::RWXU)
            .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        let begin = Instant::now();
        let prepared = prepare(&folder).and_then(|log| Ok((spawn(&program, &folder)?, log)));
        let (child, log) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                // The error that is about to be told is the one that matters.
                let _ = fs::remove_dir_all(&folder);
                return Err(format!("cannot start the daemon in {}: {error}", folder.display()));
            }
        };
        let mut daemon = Self {
            folder,
            program,
            child,
            log,
            ready_after: Duration::ZERO,
        };
        while !daemon.is_ready() {
            let ended = daemon.child.try_wait().ok().flatten();
            if ended.is_some() || begin.elapsed() > READY || interrupted.load(Ordering::Relaxed) {
                return Err(format!(
                    "the daemon is not ready after {:?}{}",
                    begin.elapsed(),
                    daemon.last_words()
                ));
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        daemon.ready_after = begin.elapsed();
        Ok(daemon)
    }

    fn is_ready(&self) -> bool {
        self.own_log().contains(&format!("Jail '{JAIL}' started")) && self.folder.join("socket").exists()
    }

    /// What the daemon has logged.
    fn own_log(&self) -> String {
        let bytes = fs::read(self.folder.join("daemon.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn last_words(&self) -> String {
        let said = fs::read(self.folder.join("output")).unwrap_or_default();
        let said = format!("{}{}", String::from_utf8_lossy(&said), self.own_log());
        let lines: Vec<_> = said.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines.iter().skip(lines.len().saturating_sub(8));
        let last: Vec<_> = last
            .map(|line| format!("\n  {}", crate::screen::shown(line, 300)))
            .collect();
        last.concat()
    }

    /// How many failures of an address the daemon had found when it banned it. The kernel announces a ban before the
    /// daemon has logged it.
    pub(super) fn failures_at_ban(&self, address: IpAddr) -> usize {
        let (found, banned) = (format!("[{JAIL}] Found {address} "), format!("[{JAIL}] Ban {address}"));
        let begin = Instant::now();
        loop {
            let log = self.own_log();
            let is_told = log.lines().any(|line| line.ends_with(&banned));
            if is_told || begin.elapsed() > Duration::from_millis(500) {
                let before = log.lines().take_while(|line| !line.ends_with(&banned));
                return before.filter(|line| line.contains(&found)).count();
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }

    /// How many failures of an address the daemon has found until now.
    pub(super) fn failures_of(&self, address: IpAddr) -> usize {
        let found = format!("[{JAIL}] Found {address} ");
        self.own_log().lines().filter(|line| line.contains(&found)).count()
    }

    /// One command over the control socket; gives what the client prints.
    pub(super) fn ask(&self, words: &[&str]) -> Result<String, String> {
        let mut client = Command::new(&self.program);
        client
            .arg("client")
            .arg("-c")
            .arg(&self.folder)
            .arg("-s")
            .arg(self.folder.join("socket"))
            .args(words);
        let output = client
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("cannot run the client: {error}"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
            Err(format!(
                "client {} ended with {}: {}",
                words.join(" "),
                output.status,
                crate::screen::shown(&said, 300)
            ))
        }
    }

    /// Waits for its end.
    pub(super) fn wait(&mut self, patience: Duration) -> Result<ExitStatus, String> {
        let begin = Instant::now();
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Err(error) => return Err(format!("cannot wait for the daemon: {error}")),
                Ok(None) if begin.elapsed() > patience => {
                    return Err(format!(
                        "the daemon does not end within {patience:?}{}",
                        self.last_words()
                    ));
                }
                Ok(None) => std::thread::park_timeout(Duration::from_millis(1)),
            }
        }
    }

    /// Socket and pid file, if they are still there.
    pub(super) fn leftovers(&self) -> Vec<PathBuf> {
        ["socket", "pid"]
            .map(|name| self.folder.join(name))
            .into_iter()
            .filter(|path| path.exists())
            .collect()
    }
}

fn prepare(folder: &Path) -> std::io::Result<PathBuf> {
    let log = folder.join("full");
    File::create(&log)?;
    // Nothing of this machine is touched.
    fs::write(folder.join("fail2ban.local"), "[Definition]\ndbfile = None\n")?;
    fs::write(folder.join("jail.local"), jail_local(folder, &log))?;
    Ok(log)
}

fn spawn(program: &Path, folder: &Path) -> std::io::Result<Child> {
    let output = File::create(folder.join("output"))?;
    Command::new(program)
        .args(["server", "-f", "-c"])
        .arg(folder)
        .arg("-s")
        .arg(folder.join("socket"))
        .arg("-p")
        .arg(folder.join("pid"))
        .arg("--logtarget")
        .arg(folder.join("daemon.log"))
        .args(["--loglevel", "INFO", "start"])
        // The recording is played with the time of now in this zone.
        .env("TZ", "UTC")
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // It can only have ended meanwhile. With the last process the kernel removes the network and its bans.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        // In the temporary folder; the system cleans it.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_log_of_this_machine_is_watched() {
        let folder = testkit::TempDir::new("demo-jails");
        let log = prepare(folder.path()).unwrap();
        let config = stockade_config::load(folder.path(), &stockade_config::Overrides::default());
        let names: Vec<_> = config.jails.iter().map(|jail| jail.name.clone()).collect();
        assert_eq!(names, [JAIL]);
        assert!(config.disabled.len() > 1, "{:?}", config.disabled);
        assert!(log.starts_with(folder.path()));
    }
}
