//! The server and its database when things go wrong, and when there is much in it. Takeovers are in `oracle/takeover.rs`.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::{Duration, Instant};

use testkit::{Daemon, TempDir, requires, wait_until};

const SOON: Duration = Duration::from_secs(30);

struct World {
    dir: TempDir,
}

impl World {
    /// A jail without logs that writes whom it bans into `acts`; `@/` in `dbfile` is the folder.
    fn new(dbfile: &str) -> Self {
        let dir = TempDir::new("database");
        for program in ["fail2ban-server", "fail2ban-client"] {
            symlink(env!("CARGO_BIN_EXE_stockade"), dir.join(program)).unwrap();
        }
        let here = |text: &str| text.replace("@/", &format!("{}/", dir.path().display()));
        dir.write(
            "etc/jail.conf",
            here("[one]\nenabled = true\nbantime = 900000\nlogpath = @/log\nfilter = t\naction = t\n"),
        );
        dir.write("etc/filter.d/t.conf", "[Definition]\nfailregex = ^ fail <ADDR>$\n");
        dir.write(
            "etc/action.d/t.conf",
            here("[Definition]\nnorestored = true\nactionban = echo <ip> >> @/acts\n[Init]\nname = default\n"),
        );
        dir.write(
            "etc/fail2ban.local",
            here(&format!(
                "[Definition]\nlogtarget = @/fail2ban.log\nsocket = @/sock\npidfile = @/pid\ndbfile = {dbfile}\n"
            )),
        );
        dir.write("log", "");
        Self { dir }
    }

    fn arguments(&self, program: &str) -> Vec<String> {
        let path = |name: &str| self.dir.join(name).display().to_string();
        let options = [("-c", "etc"), ("-s", "sock"), ("-p", "pid")];
        let options = options
            .iter()
            .flat_map(|(option, name)| [(*option).to_owned(), path(name)]);
        std::iter::once(path(program)).chain(options).collect()
    }

    /// Starts the server behind these words.
    fn start_behind(&self, words: &[&str]) -> Daemon {
        let mut all: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        all.extend(self.arguments("fail2ban-server"));
        all.extend(["-f".to_owned(), "start".to_owned()]);
        let mut command = Command::new(all.first().unwrap());
        let daemon = Daemon::start(command.args(all.get(1..).unwrap()));
        daemon.wait_for_output(SOON, "Server ready");
        daemon
    }

    fn start(&self) -> Daemon {
        self.start_behind(&["env"])
    }

    fn ask(&self, line: &str) -> String {
        let all = self.arguments("fail2ban-client");
        let mut command = Command::new(all.first().unwrap());
        let output = command
            .args(all.get(1..).unwrap())
            .args(line.split(' '))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.join("fail2ban.log")).unwrap_or_default()
    }

    fn wait(&self, needle: &str) {
        wait_until(SOON, &format!("`{needle}` in the log"), || self.log().contains(needle));
    }

    /// What another reader of SQLite finds; `inside` is the process in whose mounts it looks.
    fn rows(&self, inside: Option<u32>, db: &str, sql: &str) -> String {
        let script = "import sqlite3, sys\nfor row in sqlite3.connect(sys.argv[1]).execute(sys.argv[2]): print(*row)";
        let mut command = match inside {
            Some(process) => {
                let mut command = Command::new("nsenter");
                command.args(["-m", "-t", &process.to_string(), "python3"]);
                command
            }
            None => Command::new("python3"),
        };
        let output = command
            .args(["-c", script])
            .arg(self.dir.join(db))
            .arg(sql)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

fn end(mut daemon: Daemon) {
    daemon.terminate();
    assert_eq!(daemon.wait(SOON).code(), Some(0));
}

#[test]
fn a_database_that_cannot_be_had_keeps_no_jail_from_running() {
    if !requires(&["root", "python3"]) {
        return;
    }
    for (dbfile, told) in [
        ("@/log/below/db", "cannot be made"),
        ("/proc/nonexistent/db", "cannot be made"),
        ("@/newer", "of a program newer than this one"),
    ] {
        let world = World::new(dbfile);
        world.rows(None, "newer", "CREATE TABLE fail2banDb AS SELECT 99 AS version");
        let server = world.start();
        world.wait(told);
        assert_eq!(world.ask("get dbfile"), "Database currently disabled\n");
        assert_eq!(world.ask("set one banip 192.0.2.1"), "1\n");
        world.wait("[one] Ban 192.0.2.1");
        assert!(
            world.ask("reload").contains("OK"),
            "it is no fault of the configuration"
        );
        end(server);
        assert_eq!(world.rows(None, "newer", "SELECT version FROM fail2banDb"), "99");
    }
}

#[test]
fn a_full_disk_is_told_and_what_was_not_written_comes_later() {
    if !requires(&["root", "python3", "unshare", "nsenter", "mount"]) {
        return;
    }
    let world = World::new("@/small/db");
    fs::create_dir(world.dir.join("small")).unwrap();
    let small = world.dir.join("small").display().to_string();
    let mount = format!("mount -t tmpfs -o size=512k tmpfs {small} && exec \"$@\"");
    let server = world.start_behind(&["unshare", "-m", "--propagation", "private", "sh", "-c", &mount, "sh"]);
    let inside = fs::read_to_string(world.dir.join("pid"))
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let within = |script: &str| {
        let mut command = Command::new("nsenter");
        command
            .args(["-m", "-t"])
            .arg(u32::to_string(&inside))
            .args(["sh", "-c", script]);
        command.output().unwrap()
    };
    world.ask("set one banip 192.0.2.1");
    wait_until(SOON, "it is written", || {
        world.rows(Some(inside), "small/db", "SELECT count(*) FROM bips") == "1"
    });
    within(&format!("head -c 600k /dev/zero > {small}/filler"));
    let many: Vec<String> = (0..2000)
        .map(|number| format!("10.0.{}.{}", number / 250, number % 250))
        .collect();
    world.ask(&format!("set one banip {}", many.join(" ")));
    world.wait("the database cannot be read or written");
    assert_eq!(world.ask("get one banip").split_whitespace().count(), 2001, "bans hold");
    within(&format!("rm {small}/filler; mount -o remount,size=50m {small}"));
    wait_until(SOON, "it is written after all", || {
        world.rows(Some(inside), "small/db", "SELECT count(*) FROM bips") == "2001"
    });
    assert_eq!(
        world.rows(Some(inside), "small/db", "SELECT count(*) FROM bans"),
        "2001",
        "once"
    );
    end(server);
}

#[test]
fn fifty_thousand_bans_are_restored_and_a_damaged_file_costs_few_of_them() {
    if !requires(&["root", "python3"]) {
        return;
    }
    let world = World::new("@/db");
    end(world.start());
    let fill = "import sqlite3, sys, time\nc = sqlite3.connect(sys.argv[1])\n\
        d = b'{\"matches\": [\"one line of a log from 192.0.2.7\", \"another one\"], \"failures\": 3, \"user\": \"joe\"}'\n\
        for t in ('bans(jail, ip, timeofban, bantime, data)', 'bips(jail, ip, timeofban, bantime, data)'):\n\
        \x20   c.executemany(f\"INSERT INTO {t} VALUES ('one', ?, ?, 900000, ?)\",\n\
        \x20       ((f'10.{n >> 16}.{n >> 8 & 255}.{n & 255}', int(time.time()), d) for n in range(50000)))\nc.commit()";
    let filled = Command::new("python3")
        .args(["-c", fill])
        .arg(world.dir.join("db"))
        .status()
        .unwrap();
    assert!(filled.success());
    let begin = Instant::now();
    let server = world.start();
    assert!(world.ask("status one").contains("Currently banned:\t50000"));
    println!(
        "50,000 bans restored, from the start of the process to the answer: {:?}",
        begin.elapsed()
    );
    assert_eq!(world.log().matches("Restore Ban").count(), 50_000);
    assert_eq!(
        fs::read_to_string(world.dir.join("acts")).unwrap_or_default(),
        "",
        "the action wants no restored ones"
    );
    end(server);

    let mut bytes = fs::read(world.dir.join("db")).unwrap();
    let middle = bytes.len() / 2;
    bytes.get_mut(middle..middle + 40_000).unwrap().fill(0xa5);
    fs::write(world.dir.join("db"), bytes).unwrap();
    let server = world.start();
    assert!(world.log().contains("is damaged: ") && world.log().contains("it was put aside as"));
    let held = world.ask("get one banip").split_whitespace().count();
    assert!(held > 49_000, "{held} of 50,000");
    end(server);
    assert_eq!(world.rows(None, "db", "PRAGMA integrity_check"), "ok");
}
