//! `fail2ban-client -i` at a terminal: what is typed can be edited, and comes back.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

const SOON: Duration = Duration::from_secs(20);

/// A client at a terminal, and what it has shown there.
struct Typing {
    client: Child,
    keys: File,
    shown: Arc<Mutex<String>>,
}

impl Typing {
    fn new() -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let terminal = OpenOptions::new().read(true).write(true).open(name).unwrap();
        let end = || std::process::Stdio::from(OwnedFd::from(terminal.try_clone().unwrap()));
        let client = Command::new(env!("CARGO_BIN_EXE_stockade"))
            .arg0("fail2ban-client")
            .args(["-s", "/nonexistent/socket", "-i"])
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        let keys = File::from(master);
        let mut screen = keys.try_clone().unwrap();
        let shown = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut some = [0; 4096];
            // A terminal that nobody holds any more reads as an error.
            while let Ok(length @ 1..) = screen.read(&mut some) {
                kept.lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(some.get(..length).unwrap()));
            }
        });
        Self { client, keys, shown }
    }

    /// Types, and waits until something is shown as often as told.
    fn press(&mut self, keys: &str, expected: &str, times: usize) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        testkit::wait_until(SOON, &format!("{expected:?} {times} times"), || {
            self.shown.lock().unwrap().matches(expected).count() >= times
        });
    }
}

#[test]
fn lines_typed_at_a_terminal_are_edited_and_remembered() {
    let mut typing = Typing::new();
    typing.press("", "fail2ban> ", 1);
    // A quotation that is not closed is told by the client itself.
    typing.press("cho 'a\x01e\r", "fail2ban> echo 'a\x1b[K", 1);
    typing.press("", "No closing quotation", 1);
    typing.press("\x1b[A\r", "No closing quotation", 2);
    // A line that is given up does nothing, and the next is a new one.
    typing.press("exit\x03", "exit", 1);
    typing.press("'\r", "No closing quotation", 3);
    assert!(typing.client.try_wait().unwrap().is_none());
    typing.press("xitz\x1b[H\x05\x7f\x01e\r", "fail2ban> exit\x1b[K", 2);
    testkit::wait_until(SOON, "the client ends", || typing.client.try_wait().unwrap().is_some());
    assert!(typing.client.wait().unwrap().success());
}

#[test]
fn the_end_of_input_at_an_empty_line_ends_the_client() {
    let mut typing = Typing::new();
    typing.press("", "fail2ban> ", 1);
    typing.press("a\x04\x15", "fail2ban> a", 1);
    typing.press("\x04", "\n", 1);
    testkit::wait_until(SOON, "the client ends", || typing.client.try_wait().unwrap().is_some());
    assert!(typing.client.wait().unwrap().success());
}
