//! The built-in actions against the real kernel, in a private network.

#![expect(clippy::unwrap_used, reason = "test code")]

mod common;

use std::process::Command;

use common::{ban, texts, with};
use stockade_action::Action;
use stockade_firewall::{Firewall as _, Memory};
use testkit::{Network, TempDir, output_of};

/// The actions of a jail `j` with this line `action =`, as our configuration reads them.
fn actions(line: &str) -> Vec<Action> {
    common::configured::actions(line, false)
}

fn rules(program: &str) -> String {
    output_of(Command::new(program).arg("-S"))
}

#[test]
fn iptables_bans_both_families_and_leaves_the_firewall_as_it_was() {
    if !testkit::requires(&["root", "unshare", "nsenter", "ip", "iptables", "ip6tables"]) {
        return;
    }
    for (line, jump) in [
        (
            "iptables-allports[name=ASTERISK, protocol=all]",
            "-A INPUT -j f2b-ASTERISK\n",
        ),
        (
            "iptables-multiport[name=ASTERISK, port=\"5060,5061:5065\", protocol=udp]",
            "-A INPUT -p udp -m multiport --dports 5060,5061:5065 -j f2b-ASTERISK\n",
        ),
        (
            "iptables[name=ASTERISK, port=ssh]",
            "-A INPUT -p tcp -m tcp --dport 22 -j f2b-ASTERISK\n",
        ),
    ] {
        Network::new().run(|| {
            output_of(Command::new("iptables").args(["-A", "INPUT", "-s", "198.51.100.1", "-j", "ACCEPT"]));
            let (before, before6) = (rules("iptables"), rules("ip6tables"));
            let mut action = actions(line).remove(0);
            let (outcome, reports) = with(|context| action.start(context));
            assert!(outcome.is_ok() && reports.is_empty(), "{}", texts(&reports));
            assert_eq!(rules("iptables"), before, "nothing before the first ban");
            // Twice, as after a restart that lost count.
            for id in ["192.0.2.7", "192.0.2.7", "2001:db8::7", "192.0.2.128/25"] {
                let (outcome, reports) = with(|context| action.ban(&ban(id), context));
                assert!(outcome.is_ok() && reports.is_empty(), "{}", texts(&reports));
            }
            let four = rules("iptables");
            assert!(four.contains(jump), "{four}");
            assert!(
                four.find(jump) < four.find("-s 198.51.100.1"),
                "the jump comes first: {four}"
            );
            for rule in [
                "-A f2b-ASTERISK -s 192.0.2.7/32 -j REJECT --reject-with icmp-port-unreachable\n",
                "-A f2b-ASTERISK -s 192.0.2.128/25 -j REJECT --reject-with icmp-port-unreachable\n",
            ] {
                assert_eq!(four.matches(rule).count(), 1, "{four}");
            }
            assert!(four.trim_end().ends_with("-A f2b-ASTERISK -j RETURN"), "{four}");
            let six = rules("ip6tables");
            assert!(
                six.contains("-A f2b-ASTERISK -s 2001:db8::7/128 -j REJECT --reject-with icmp6-port-unreachable"),
                "{six}"
            );
            let (outcome, _) = with(|context| action.unban(&ban("192.0.2.7"), context));
            assert!(outcome.is_ok());
            assert!(!rules("iptables").contains("192.0.2.7"));
            let (outcome, reports) = with(|context| action.stop(context));
            assert!(outcome.is_ok(), "{}", texts(&reports));
            assert_eq!((rules("iptables"), rules("ip6tables")), (before, before6));
        });
    }
}

#[test]
fn iptables_is_restored_with_all_bans_after_somebody_flushed_it() {
    if !testkit::requires(&["root", "unshare", "nsenter", "ip", "iptables", "ip6tables"]) {
        return;
    }
    Network::new().run(|| {
        let mut action = actions("iptables-allports[name=A, protocol=all]").remove(0);
        let _ = with(|context| action.start(context));
        for id in ["192.0.2.1", "192.0.2.2", "2001:db8::1"] {
            let _ = with(|context| action.ban(&ban(id), context));
        }
        let (four, six) = (rules("iptables"), rules("ip6tables"));
        for program in ["iptables", "ip6tables"] {
            output_of(Command::new(program).arg("-F"));
            output_of(Command::new(program).arg("-X"));
        }
        let (outcome, reports) = with(|context| action.already_banned(&ban("192.0.2.1"), context));
        assert!(outcome.is_ok(), "{}", texts(&reports));
        let sorted = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&rules("iptables")), sorted(&four));
        assert_eq!(sorted(&rules("ip6tables")), sorted(&six));
    });
}

#[test]
fn iptables_flush_keeps_the_chain_in_use() {
    if !testkit::requires(&["root", "unshare", "nsenter", "ip", "iptables"]) {
        return;
    }
    Network::new().run(|| {
        let mut action = actions("iptables-allports[name=A, protocol=all]").remove(0);
        let _ = with(|context| action.ban(&ban("192.0.2.1"), context));
        let (outcome, _) = with(|context| action.flush(context));
        assert!(outcome.is_ok());
        let left = rules("iptables");
        assert!(left.contains("-A INPUT -j f2b-A\n-A f2b-A -j RETURN\n"), "{left}");
    });
}

#[test]
fn the_native_action_bans_in_one_go_and_heals_itself() {
    let mut action = actions("nftables-native[name=A, type=allports, protocol=all]").remove(0);
    let target = action.native_target().unwrap().clone();
    let shared = Shared::default();
    action.attach(Box::new(shared.clone()));
    let (outcome, _) = with(|context| action.start(context));
    assert!(outcome.is_ok());
    let bans = [
        ban("192.0.2.1"),
        ban("2001:db8::1"),
        ban("no address"),
        ban("192.0.2.128/25"),
    ];
    let (outcome, reports) = with(|context| action.ban_many(&bans, context));
    assert!(
        outcome.unwrap_err().to_string().contains("cannot ban `no address`"),
        "{}",
        texts(&reports)
    );
    let listed = |shared: &Shared| {
        let mut nets: Vec<String> = shared
            .0
            .lock()
            .unwrap()
            .list(&target)
            .unwrap()
            .iter()
            .map(|element| element.net.to_string())
            .collect();
        nets.sort();
        nets.join(" ")
    };
    assert_eq!(listed(&shared), "192.0.2.1/32 192.0.2.128/25 2001:db8::1/128");
    shared.0.lock().unwrap().forget();
    let (outcome, reports) = with(|context| action.ban(&ban("192.0.2.9"), context));
    assert!(outcome.is_ok(), "{}", texts(&reports));
    assert_eq!(
        listed(&shared),
        "192.0.2.1/32 192.0.2.128/25 192.0.2.9/32 2001:db8::1/128"
    );
    shared.0.lock().unwrap().forget();
    let (outcome, _) = with(|context| action.unban(&ban("192.0.2.9"), context));
    assert!(outcome.is_ok());
    assert_eq!(listed(&shared), "192.0.2.1/32 192.0.2.128/25 2001:db8::1/128");
    let (outcome, reports) = with(|context| action.stop(context));
    assert!(outcome.is_ok(), "{}", texts(&reports));
    assert!(shared.0.lock().unwrap().list(&target).is_err());
}

#[test]
fn a_check_makes_again_what_others_removed_and_makes_up_for_what_was_refused() {
    let mut action = actions("nftables-native[name=mine, port=22]").remove(0);
    let target = action.native_target().unwrap().clone();
    let shared = Shared::default();
    let refusing = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    action.attach(Box::new(Refusing(shared.clone(), refusing.clone())));
    let listed = || -> Vec<String> {
        let held = shared.0.lock().unwrap().list(&target);
        held.map_or_else(
            |_| vec!["no sets".to_owned()],
            |held| held.iter().map(|element| element.net.to_string()).collect(),
        )
    };
    let (outcome, _) = with(|context| action.check(context));
    assert!(
        outcome.is_ok() && listed() == ["no sets"],
        "what was not started is not checked"
    );
    let (outcome, _) = with(|context| action.start(context));
    assert!(outcome.is_ok());
    let (outcome, _) = with(|context| action.ban(&ban("192.0.2.1"), context));
    assert!(outcome.is_ok());

    let (outcome, reports) = with(|context| action.check(context));
    assert!(
        outcome.is_ok() && reports.is_empty(),
        "nothing to tell: {}",
        texts(&reports)
    );
    shared.0.lock().unwrap().forget();
    let (outcome, reports) = with(|context| action.check(context));
    assert!(
        outcome.is_ok() && texts(&reports).contains("made again with all bans"),
        "{}",
        texts(&reports)
    );
    assert_eq!(listed(), ["192.0.2.1/32"]);

    refusing.store(true, std::sync::atomic::Ordering::Relaxed);
    let (outcome, _) = with(|context| action.ban(&ban("192.0.2.2"), context));
    assert!(outcome.is_err());
    let (outcome, _) = with(|context| action.unban(&ban("192.0.2.1"), context));
    assert!(outcome.is_err());
    let (outcome, first) = with(|context| action.check(context));
    let (_, second) = with(|context| action.check(context));
    assert!(
        outcome.is_err() && !first.is_empty() && second.is_empty(),
        "a failure that lasts is told once"
    );
    refusing.store(false, std::sync::atomic::Ordering::Relaxed);
    let (outcome, _) = with(|context| action.check(context));
    assert!(outcome.is_ok());
    assert_eq!(
        listed(),
        ["192.0.2.2/32"],
        "the ban and the unban that were refused are made up for"
    );

    let (outcome, _) = with(|context| action.stop(context));
    assert!(outcome.is_ok());
    let (outcome, _) = with(|context| action.check(context));
    assert!(outcome.is_ok() && listed() == ["no sets"], "what was stopped stays so");
}

/// Refuses all changes while it is told to.
struct Refusing(Shared, std::sync::Arc<std::sync::atomic::AtomicBool>);

impl stockade_firewall::Firewall for Refusing {
    fn prepare(&mut self, target: &stockade_firewall::Target) -> Result<(), stockade_firewall::FirewallError> {
        self.0.prepare(target)
    }
    fn apply(
        &mut self,
        target: &stockade_firewall::Target,
        changes: &[stockade_firewall::Change],
    ) -> Result<(), stockade_firewall::FirewallError> {
        if self.1.load(std::sync::atomic::Ordering::Relaxed) {
            let (table, name) = (target.table.clone(), target.name.clone());
            return Err(stockade_firewall::FirewallError::Missing { table, name });
        }
        self.0.apply(target, changes)
    }
    fn list(
        &mut self,
        target: &stockade_firewall::Target,
    ) -> Result<Vec<stockade_firewall::Element>, stockade_firewall::FirewallError> {
        self.0.list(target)
    }
    fn remove(&mut self, target: &stockade_firewall::Target) -> Result<(), stockade_firewall::FirewallError> {
        self.0.remove(target)
    }
}

/// A firewall in memory that the test can look into.
#[derive(Clone, Default)]
struct Shared(std::sync::Arc<std::sync::Mutex<Memory>>);

impl stockade_firewall::Firewall for Shared {
    fn prepare(&mut self, target: &stockade_firewall::Target) -> Result<(), stockade_firewall::FirewallError> {
        self.0.lock().unwrap().prepare(target)
    }
    fn apply(
        &mut self,
        target: &stockade_firewall::Target,
        changes: &[stockade_firewall::Change],
    ) -> Result<(), stockade_firewall::FirewallError> {
        self.0.lock().unwrap().apply(target, changes)
    }
    fn list(
        &mut self,
        target: &stockade_firewall::Target,
    ) -> Result<Vec<stockade_firewall::Element>, stockade_firewall::FirewallError> {
        self.0.lock().unwrap().list(target)
    }
    fn remove(&mut self, target: &stockade_firewall::Target) -> Result<(), stockade_firewall::FirewallError> {
        self.0.lock().unwrap().remove(target)
    }
}

/// The names of the actions of a jail with these lines; what is wrong with it, if something is.
fn of_a_jail(lines: &str) -> Result<Vec<String>, String> {
    let directory = TempDir::new("shortcuts");
    let log = directory.write("log", "");
    directory.write("filter.d/f.conf", "[Definition]\nfailregex = ^x <HOST>$\n");
    let head = format!("enabled = true\nfilter = f\nlogpath = {}\n", log.display());
    directory.write("jail.local", format!("[j]\n{head}{lines}\n"));
    let config = stockade_config::load(directory.path(), &stockade_config::Overrides::default());
    let jail = config.jails.iter().find(|jail| jail.name == "j").unwrap();
    if let Some(problem) = &jail.problem {
        return Err(format!("{problem} {:?}", config.diagnostics));
    }
    let names = jail.actions.iter().map(|action| action.name.clone()).collect();
    // Each of them can be built, and has nothing to be warned of.
    assert_eq!(common::configured::of_directory(&directory).len(), jail.actions.len());
    Ok(names)
}

#[test]
fn what_a_jail_local_may_ask_for_is_there_under_its_name() {
    for (lines, expected) in [
        ("", "nftables-native"),
        ("action = %(action_)s", "nftables-native"),
        ("action = %(action_mw)s", "nftables-native sendmail-whois"),
        ("action = %(action_mwl)s", "nftables-native sendmail-whois-lines"),
        (
            "mta = mail\naction = %(action_mwl)s",
            "nftables-native mail-whois-lines",
        ),
        (
            "action = %(action_abuseipdb)s[abuseipdb_category=\"18,22\", abuseipdb_apikey=\"k\"]",
            "abuseipdb",
        ),
        (
            "action = %(action_)s\n  %(action_blocklist_de)s\nblocklist_de_apikey = k",
            "nftables-native blocklist_de",
        ),
        (
            "cfemail = a@example.org\ncfapikey = k\naction = %(action_cf_mwl)s",
            "cloudflare sendmail-whois-lines",
        ),
        ("banaction = iptables-multiport", "iptables-multiport"),
        ("banaction = %(banaction_allports)s", "nftables-native"),
        ("banaction = nftables[type=multiport]", "nftables"),
        ("banaction = iptables[type=allports]", "iptables"),
        (
            "banaction = iptables-ipset-proto6-allports",
            "iptables-ipset-proto6-allports",
        ),
        ("banaction = firewallcmd-ipset", "firewallcmd-ipset"),
        (
            "banaction = firewallcmd-rich-rules[actiontype=]",
            "firewallcmd-rich-rules",
        ),
        ("banaction = ufw", "ufw"),
        (
            "action = ufw[application=OpenSSH, blocktype=reject, kill-mode=ss]",
            "ufw",
        ),
        ("banaction = pf[actiontype=<allports>]", "pf"),
        ("banaction = route", "route"),
        (
            "action = hostsdeny[daemon_list=sshd]\n  cut-flows\n  webhook[url=\"https://example.org/\"]",
            "hostsdeny cut-flows webhook",
        ),
        ("backend = %(sshd_backend)s", "nftables-native"),
        ("backend = %(syslog_backend)s", "nftables-native"),
    ] {
        assert_eq!(
            of_a_jail(lines).map(|names| names.join(" ")),
            Ok(expected.to_owned()),
            "{lines}"
        );
    }
    for (lines, expected) in [
        (
            "action = %(action_xarf)s",
            "the action `xarf-login-attack` does not exist",
        ),
        ("banaction = shorewall", "the action `shorewall` does not exist"),
        ("action = %(action_blocklist_de)s", "blocklist_de_apikey"),
        ("action = %(action_cf_mwl)s", "cfemail"),
    ] {
        let problem = of_a_jail(lines).unwrap_err();
        assert!(problem.contains(expected), "{lines}: {problem}");
    }
}

#[test]
fn every_built_in_action_can_be_built() {
    for name in stockade_config::builtin::names() {
        let name = name
            .strip_prefix("action.d/")
            .and_then(|name| name.strip_suffix(".conf"));
        if let Some(name) = name.filter(|name| !name.ends_with("-common")) {
            assert_eq!(actions(name).len(), 1, "{name}");
        }
    }
}

/// Runs the mail action with a `sendmail` and a `whois` of the test; gives the mail.
fn mail(whois: &str) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = TempDir::new("mail");
    let mail = directory.join("mail");
    for (name, script) in [
        ("sendmail", format!("#!/bin/sh\ncat > {}\n", mail.display())),
        ("whois", whois.to_owned()),
    ] {
        let program = directory.write(name, script);
        std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let line = format!(
        "sendmail-whois[name=A, dest=root, sender=f@example.org, mailcmd=\"{0}/sendmail\", whois=\"{0}/whois\", whois_timeout=1]",
        directory.path().display()
    );
    let mut action = actions(&line).remove(0);
    let (outcome, reports) = with(|context| action.ban(&ban("192.0.2.7"), context));
    assert!(outcome.is_ok(), "{}", texts(&reports));
    // Of random bytes, iconv lets the five-byte forms of old UTF-8 pass.
    String::from_utf8_lossy(&std::fs::read(mail).unwrap()).into_owned()
}

#[test]
fn the_mail_is_sent_whatever_whois_does() {
    for (name, whois, expected) in [
        (
            "good",
            "#!/bin/sh\necho \"netname: EXAMPLE for $1\"",
            "\nnetname: EXAMPLE for 192.0.2.7\n",
        ),
        ("silent", "#!/bin/sh\nexec sleep 60", "(no answer from whois, code 124)"),
        (
            "deaf",
            "#!/bin/sh\ntrap '' TERM; while :; do sleep 1; done",
            "(no answer from whois, code 137)",
        ),
        ("broken", "#!/bin/sh\nexit 3", "(no answer from whois, code 3)"),
        ("missing", "#!/nonexistent\n", "(no answer from whois, code 127)"),
        ("endless", "#!/bin/sh\nexec yes garbage", "garbage"),
        (
            "binary",
            "#!/bin/sh\nhead -c 100000 /dev/urandom; echo; echo",
            "A: banned 192.0.2.7",
        ),
        (
            "hostile",
            "#!/bin/sh\nprintf '.\\n$(touch /tmp/x) `id` \\\\n~! %%s\\n.\\nend\\n'",
            "\n.\n$(touch /tmp/x) `id` \\n~! %s\n.\nend\n",
        ),
    ] {
        let mail = mail(whois);
        assert!(mail.contains(expected), "{name}: {mail}");
        assert!(
            mail.starts_with("From: Fail2Ban <f@example.org>\nTo: root\n"),
            "{name}: {mail}"
        );
        assert!(
            mail.ends_with('\n') && mail.contains("\n\nFail2Ban on "),
            "{name}: {mail}"
        );
        assert!(
            mail.len() < 25_000 && mail.lines().all(|line| line.len() < 990),
            "{name}: {}",
            mail.len()
        );
        assert!(
            !mail.contains(|c: char| c.is_control() && c != '\n' && c != '\t' && !('\u{80}'..'\u{a0}').contains(&c)),
            "{name}"
        );
    }
}
