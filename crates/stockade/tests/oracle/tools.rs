//! Programs that nobody here wrote, unchanged, with our server and its log: what they say of ours is what they say of Fail2Ban.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use testkit::{Daemon, output_of};

use crate::world::{SOON, Whose, World, both, possible};

const MUNIN: &str = "/usr/share/munin/plugins/fail2ban";
const LOGWATCH: &str = "/usr/share/logwatch/scripts/services/fail2ban";

const COMPLETION: &str = "/usr/share/bash-completion/bash_completion";
const COMPLETIONS: &str = "/usr/share/bash-completion/completions/fail2ban";
const LOGROTATE: &str = "/usr/sbin/logrotate";
const ROTATION: &str = "/etc/logrotate.d/fail2ban";
const NETDATA: &str = "/usr/lib/netdata/plugins.d/python.d.plugin";

const JAILS: &str = "[DEFAULT]\nbackend = auto\nignoreself = false\nbantime = 600\nmaxretry = 2\naction = do[name=%(__name__)s]\n\
    [sshd]\nenabled = false\n[j]\nenabled = true\nfilter =\nfailregex = x <HOST>$\nlogpath = @/log\nignoreip = 192.0.2.9\n\
    [jail-two]\nenabled = true\nfilter =\nfailregex = y <HOST>$\nlogpath = @/log\n";

/// Whether these files are there, and if not, which package brings them.
fn are_there(files: &[(&str, &str)]) -> bool {
    let missing = files.iter().find(|(file, _)| !Path::new(file).exists());
    if let Some((file, package)) = missing {
        testkit::skip(&format!("{file} is not there; mend: apt install {package}"));
    }
    missing.is_none()
}

fn client_of(world: &World) -> String {
    match world.whose {
        Whose::Ours => world.path("bin/fail2ban-client").display().to_string(),
        Whose::Theirs => "/usr/bin/fail2ban-client".to_owned(),
    }
}

/// What each tool said of a server in operation.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    munin: String,
    munin_config: String,
    logwatch: String,
}

#[test]
fn munin_and_logwatch_say_of_our_server_what_they_say_of_fail2ban() {
    if !possible(&["bash", "perl"]) {
        return;
    }
    if !are_there(&[(MUNIN, "munin-plugins-core"), (LOGWATCH, "logwatch")]) {
        return;
    }
    let (ours, theirs) = both("tools", true, |world| {
        world.write("log", "");
        world.write("etc/jail.local", JAILS);
        world.write(
            "etc/action.d/do.conf",
            "[Definition]\nactionban = test <ip> != 198.51.100.66\nactionunban = true\n",
        );
        world.start();
        for (address, rule) in [
            ("192.0.2.1", 'x'),
            ("192.0.2.9", 'x'),
            ("2001:db8::1", 'y'),
            ("192.0.2.1", 'x'),
        ] {
            let now = jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S").to_string();
            world.append("log", format!("{now} {rule} {address}\n"));
            world.wait("fail2ban.log", address);
        }
        world.wait("fail2ban.log", "[j] Ban 192.0.2.1");
        world.ask("set jail-two banip 192.0.2.77 198.51.100.3");
        world.ask("set jail-two unbanip 198.51.100.3");
        world.wait("fail2ban.log", "[jail-two] Unban 198.51.100.3");
        let client = client_of(world);
        let munin = |argument: &str| {
            let mut command = world.net.command("bash");
            command
                .args([MUNIN, argument])
                .env("MUNIN_LIBDIR", "/usr/share/munin")
                .env("client", &client);
            output_of(command.env("config_dir", world.path("etc")))
        };
        let (values, config) = (munin(""), munin("config"));
        // Before the end, which is `Repeal Ban` in ours (D-084); logwatch 7.7 takes it for a jail of its own.
        std::fs::copy(world.path("fail2ban.log"), world.path("running.log")).unwrap();
        world.stop();
        let mut logwatch = Command::new("sh");
        logwatch.args(["-c", "exec perl -I/usr/share/logwatch/lib \"$0\" < \"$1\"", LOGWATCH]);
        logwatch
            .arg(world.path("running.log"))
            .env("PERL_HASH_SEED", "0")
            .env("LOGWATCH_DETAIL_LEVEL", "10");
        Said {
            munin: values,
            munin_config: config,
            // What follows are lines of the server itself, versions and all.
            logwatch: output_of(&mut logwatch)
                .split("Informational Messages")
                .next()
                .unwrap_or_default()
                .to_owned(),
        }
    });
    assert!(theirs.munin.contains("jail_two.value 1"), "{theirs:?}");
    assert!(theirs.logwatch.contains("192.0.2.1"), "{theirs:?}");
    println!("tools: munin, logwatch");
    assert_eq!(ours, theirs);
}

/// Lines that are begun, and how they may go on.
const BEGUN: &[&str] = &[
    "",
    "st",
    "status ",
    "reload ",
    "restart ",
    "set ",
    "get ",
    "set j ",
    "get j ",
    "set j a",
    "set j action ",
    "get j action ",
    "set j action do ",
    "get j action do ",
    "-",
    "--",
    "get db",
    "set log",
    "set loglevel ",
    "start ",
    "stop ",
    "set j idle ",
    "set j unbanip ",
    "set j usedns ",
    "set j delfailregex ",
    "flush",
];

/// What Fail2Ban offers and we do not: what has no effect here (D-117), and an option that is part of a command.
const NOT_OURS: &[&str] = &[
    "ESCAPE_CRE",
    "ESCAPE_VN_CRE",
    "banEpoch",
    "escapeTag",
    "replaceDynamicTags",
    "replaceTag",
    "--with-time",
    "-V",
];

/// What we offer beyond: commands of the development version, and of our own.
const NOT_THEIRS: &[&str] = &["stats", "logtimezone", "prefregex", "--json"];

const COMPLETE: &str = r#". "$1"; . "$2"; client=$3; shift 3
for line; do
    COMP_LINE="$client $line"; COMP_POINT=${#COMP_LINE}; COMPREPLY=()
    read -ra words <<< "$line"; COMP_WORDS=("$client" "${words[@]}")
    case "$line" in *" " | "") COMP_WORDS+=("") ;; esac
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _fail2ban "$client" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
    echo "$line=> ${COMPREPLY[*]}"
done"#;

#[test]
fn the_packages_completion_for_bash_completes_our_client_too() {
    if !possible(&["bash"]) || !are_there(&[(COMPLETION, "bash-completion"), (COMPLETIONS, "fail2ban")]) {
        return;
    }
    let (ours, theirs) = both("completion", true, |world| {
        world.write("log", "");
        world.write("etc/jail.local", JAILS);
        world.write(
            "etc/action.d/do.conf",
            "[Definition]\nactionban = true\nactionunban = true\n",
        );
        world.start();
        world.ask("set j banip 192.0.2.7");
        world.wait("fail2ban.log", "[j] Ban 192.0.2.7");
        let wrapped = format!("#!/bin/sh\nexec {} -c @/etc \"$@\"\n", client_of(world));
        world.write("wrapped/fail2ban-client", &wrapped);
        let client = world.path("wrapped/fail2ban-client");
        output_of(Command::new("chmod").arg("755").arg(&client));
        let mut bash = world.net.command("bash");
        bash.args(["-c", COMPLETE, "bash", COMPLETION, COMPLETIONS])
            .arg(&client);
        let said = output_of(bash.args(BEGUN));
        world.stop();
        said
    });
    let words = |said: &str| -> Vec<BTreeSet<String>> {
        let offers = said.lines().map(|line| line.split_once("=> ").unwrap().1);
        offers
            .map(|offers| offers.split(' ').map(str::to_owned).collect())
            .collect()
    };
    let (ours, theirs) = (words(&ours), words(&theirs));
    assert_eq!((ours.len(), theirs.len()), (BEGUN.len(), BEGUN.len()));
    let mut offered = 0;
    for ((line, ours), theirs) in BEGUN.iter().zip(&ours).zip(&theirs) {
        let only = |one: &BTreeSet<String>, other: &BTreeSet<String>, known: &[&str]| -> Vec<String> {
            one.difference(other)
                .filter(|word| !known.contains(&word.as_str()))
                .cloned()
                .collect()
        };
        assert_eq!(
            only(theirs, ours, NOT_OURS),
            Vec::<String>::new(),
            "not offered after `{line}`"
        );
        assert_eq!(
            only(ours, theirs, NOT_THEIRS),
            Vec::<String>::new(),
            "offered after `{line}`"
        );
        offered += theirs.len();
    }
    println!("tools: bash completion, {offered} words");
    assert!(offered > 150, "{theirs:?}");
}

/// The package's file names `/var/log` and the client of the system: it finds the world's own there.
const ROTATE: &str = "mount --bind \"$1/etc\" /etc/fail2ban && mount --bind \"$1/var-log\" /var/log && export PATH=\"$2:$PATH\" && \
    exec \"$3\" --force --state \"$1/state\" \"$4\"";

#[test]
fn the_packages_log_rotation_leaves_no_line_behind() {
    if !possible(&[]) || !are_there(&[(LOGROTATE, "logrotate"), (ROTATION, "fail2ban")]) {
        return;
    }
    let (ours, theirs) = both("logrotate", true, |world| {
        world.write("log", "");
        world.write("etc/jail.local", JAILS);
        world.write(
            "etc/action.d/do.conf",
            "[Definition]\nactionban = true\nactionunban = true\n",
        );
        world.write("var-log/fail2ban.log", "");
        let server = "[Definition]\ndbfile = None\nallowipv6 = yes\nlogtarget = @/var-log/fail2ban.log\nsocket = @/sock\npidfile = @/pid\n";
        world.write("etc/fail2ban.local", server);
        world.start();
        let mut bans = Vec::new();
        for round in 1..=3 {
            world.ask(&format!("set j banip 192.0.2.{round}"));
            world.wait("var-log/fail2ban.log", &format!("[j] Ban 192.0.2.{round}"));
            let mut rotate = world.net.command("unshare");
            rotate.args(["-m", "sh", "-c", ROTATE, "sh"]).arg(world.path(""));
            let folder = Path::new(&client_of(world)).parent().unwrap().to_owned();
            output_of(rotate.arg(folder).args([LOGROTATE, ROTATION]));
            let ban = |text: String| text.lines().filter(|line| line.contains("] Ban ")).count();
            bans.push((
                ban(world.read("var-log/fail2ban.log")),
                ban(world.read("var-log/fail2ban.log.1")),
            ));
        }
        let mode = output_of(
            Command::new("stat")
                .args(["-c", "%a %U %G"])
                .arg(world.path("var-log/fail2ban.log")),
        );
        world.stop();
        (bans, mode, world.path("var-log/fail2ban.log.3.gz").exists())
    });
    println!("tools: logrotate");
    assert_eq!(ours.0, [(0, 1), (0, 1), (0, 1)]);
    assert_eq!(ours, theirs);
}

#[test]
fn netdata_counts_our_log_as_it_counts_fail2bans() {
    if !possible(&[]) || !are_there(&[(NETDATA, "netdata-plugins-python")]) {
        return;
    }
    let (ours, theirs) = both("netdata", true, |world| {
        world.write("log", "");
        world.write("etc/jail.local", JAILS);
        world.write(
            "etc/action.d/do.conf",
            "[Definition]\nactionban = true\nactionunban = true\n",
        );
        let job = "local:\n  log_path: @/fail2ban.log\n  conf_path: @/etc/jail.local\n  conf_dir: @/etc/jail.d/\n";
        world.write("netdata/python.d/fail2ban.conf", job);
        world.write("netdata/lock/about", "locks of the collector\n");
        world.start();
        let mut netdata = world.net.command(NETDATA);
        netdata
            .args(["1", "fail2ban"])
            .env("NETDATA_USER_CONFIG_DIR", world.path("netdata"))
            .env("NETDATA_LOCK_DIR", world.path("netdata/lock"));
        let netdata = Daemon::start(&mut netdata);
        netdata.wait_for_output(SOON, "SET 'j_in_jail' = 0");
        for (address, rule) in [("192.0.2.1", 'x'), ("192.0.2.1", 'x'), ("2001:db8::1", 'y')] {
            let now = jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S").to_string();
            world.append("log", format!("{now} {rule} {address}\n"));
            world.wait("fail2ban.log", address);
        }
        world.wait("fail2ban.log", "[j] Ban 192.0.2.1");
        world.ask("set jail-two banip 192.0.2.77 198.51.100.3");
        world.ask("set jail-two unbanip 198.51.100.3");
        world.wait("fail2ban.log", "[jail-two] Unban 198.51.100.3");
        netdata.wait_for_output(SOON, "SET 'jail-two_in_jail' = 1");
        world.ask("set j banip 192.0.2.99");
        netdata.wait_for_output(SOON, "SET 'j_in_jail' = 2");
        // The last of each number.
        let said = netdata.stdout();
        let counted: std::collections::BTreeMap<String, String> = said
            .lines()
            .filter_map(|line| line.strip_prefix("SET ")?.split_once(" = "))
            .filter(|(name, _)| *name != "run_time")
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        drop(netdata);
        world.stop();
        counted
    });
    println!("tools: netdata");
    assert!(theirs.len() >= 6, "{theirs:?}");
    assert_eq!(ours, theirs);
}
