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
