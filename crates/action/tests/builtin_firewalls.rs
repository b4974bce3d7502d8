//! What the built-in actions with firewalls leave in the kernel, beside what Fail2Ban's of the same name leave there: the real iptables, ipset,
//! ip, ufw and firewalld, each on a machine of its own.

#![expect(clippy::unwrap_used, reason = "test code")]

mod common;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use common::configured::{actions, properties};
use common::private::{Machine, on_a_machine};
use common::{ban, texts, with};
use stockade_action::{Action, ActionError, Context};
use stockade_core::JailName;
use testkit::{Daemon, output_of};

const SOON: Duration = Duration::from_secs(60);

/// One call of an action.
type Work = fn(&mut Action, &mut Context<'_>) -> Result<(), ActionError>;

/// The life of an action: both families, and something left for its end.
const LIFE: &[(&str, Work)] = &[
    ("start", |action, context| action.start(context)),
    ("a ban", |action, context| action.ban(&ban("192.0.2.1"), context)),
    ("another", |action, context| action.ban(&ban("192.0.2.2"), context)),
    ("one of IPv6", |action, context| {
        action.ban(&ban("2001:db8::1"), context)
    }),
    ("an unban", |action, context| action.unban(&ban("192.0.2.1"), context)),
    ("one of IPv6 unbanned", |action, context| {
        action.unban(&ban("2001:db8::1"), context)
    }),
    ("the end", |action, context| action.stop(context)),
];

/// The same in short, for programs that take their time.
fn short() -> Vec<(&'static str, Work)> {
    let left_out = ["a ban", "an unban"];
    LIFE.iter()
        .filter(|(name, _)| !left_out.contains(name))
        .copied()
        .collect()
}

/// What there is after each step.
fn after_each(line: &str, action: &mut Action, state: &dyn Fn() -> String, steps: &[(&str, Work)]) -> Vec<String> {
    let mut states = Vec::new();
    for (name, work) in steps {
        let (outcome, reports) = with(|context| work(action, context));
        assert!(outcome.is_ok(), "{line}: {name}: {}", texts(&reports));
        states.push(format!("after {name}:\n{}", state()));
    }
    states
}

/// The same action of the package and of ours leaves the same after each step, and in the end what was before; ours as written, too.
#[track_caller]
fn compare(ours: &str, theirs: &str, state: &dyn Fn() -> String, steps: &[(&str, Work)]) {
    let before = state();
    let expected = after_each(theirs, &mut actions(theirs, true).remove(0), state, steps);
    same(&format!("what the package's {theirs} leaves"), &state(), &before);
    assert!(
        expected.iter().any(|after| after.contains("192.0.2.2")),
        "{theirs}: {expected:?}"
    );
    let (name, mut as_written) = properties(ours, false).remove(0);
    for native in ["yes", "no"] {
        as_written.push(("native".to_owned(), native.to_owned()));
        let mut action = Action::new(&JailName::new("j").unwrap(), &name, &as_written).unwrap();
        if native == "yes" && !action.works_in_bulk() {
            continue;
        }
        let states = after_each(ours, &mut action, state, steps);
        for (ours_after, expected) in states.iter().zip(&expected) {
            same(&format!("{ours}, native = {native}"), ours_after, expected);
        }
        same(&format!("what {ours} leaves"), &state(), &before);
    }
}

/// Panics with the lines that only one of two texts has.
#[track_caller]
fn same(what: &str, ours: &str, expected: &str) {
    let only = |of: &str, and_not: &str| -> Vec<String> {
        let lines = of.lines().filter(|line| !and_not.lines().any(|other| other == *line));
        lines.map(ToOwned::to_owned).collect()
    };
    let first = expected.lines().next().unwrap_or_default();
    assert!(
        ours == expected,
        "{what}, {first}: only ours: {:#?}, only expected: {:#?}, or in another order",
        only(ours, expected),
        only(expected, ours)
    );
}

fn output(words: &[&str]) -> String {
    let (program, words) = words.split_first().unwrap();
    output_of(Command::new(program).args(words))
}

/// All rules, sets and routes, without counters, seeds and remaining times. A table that was used once stays, empty: that is no difference.
fn rules() -> String {
    let mut state = String::new();
    for command in [
        &["iptables-save"][..],
        &["ip6tables-save"],
        &["ipset", "save"],
        &["ip", "-4", "route"],
        &["ip", "-6", "route"],
    ] {
        let text = output(command);
        let mut lines: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with(['#', '*']) && *line != "COMMIT")
            .map(|line| line.split_once(" [").map_or(line, |(before, _)| before))
            .map(|line| line.split_once(" initval ").map_or(line, |(before, _)| before))
            .filter(|line| !line.ends_with(" ACCEPT") || line.starts_with('-'))
            .collect();
        if command == ["ipset", "save"] {
            lines.sort_unstable();
        }
        for line in lines {
            let time = line
                .split_once(" timeout ")
                .filter(|(_, time)| line.starts_with("add ") && *time != "0");
            match time {
                Some((element, _)) => state.extend([element, " for some time\n"]),
                None => state.extend([line, "\n"]),
            }
        }
    }
    state
}

const IPTABLES: [&str; 6] = [
    "iptables",
    "ip6tables",
    "iptables-save",
    "ip6tables-save",
    "ipset",
    "fail2ban-client",
];

#[test]
fn iptables_and_ipset_actions_leave_what_those_of_the_package_leave() {
    on_a_machine(&IPTABLES, |_| {
        for line in [
            "iptables[name=j, port=ssh]",
            "iptables[name=j, type=multiport, port=\"22,5060:5061\", protocol=\"tcp,udp\"]",
            "iptables[name=j, type=allports, chain=FORWARD, blocktype=DROP, returntype=ACCEPT]",
            "iptables-allports[name=j, protocol=all]",
            "iptables-multiport[name=j, port=\"http,https\"]",
            "iptables-new[name=j, port=ssh]",
            "iptables-multiport-log[name=j, port=\"http,https\"]",
            "iptables-ipset[name=j, type=multiport, port=\"80,443\", protocol=\"tcp,udp\"]",
            "iptables-ipset-proto6[name=j, port=\"http,https\", default-ipsettime=600, ipsettime=300]",
            "iptables-ipset-proto6[name=j, port=ssh, ipsettime=\"<timeout-bantime>\"]",
            "iptables-ipset-proto6-allports[name=j, blocktype=DROP]",
        ] {
            compare(line, line, &rules, LIFE);
        }
    });
}

#[test]
fn iptables_ipset_proto4_does_what_proto6_does() {
    on_a_machine(&IPTABLES, |_| {
        // The package's own cannot ban IPv6.
        compare(
            "iptables-ipset-proto4[name=j, port=ssh]",
            "iptables-ipset-proto6[name=j, port=ssh]",
            &rules,
            LIFE,
        );
    });
}

#[test]
fn sets_and_log_chains_are_made_whole_after_somebody_flushed_the_firewall() {
    on_a_machine(&IPTABLES, |_| {
        for line in [
            "iptables-ipset[name=j, port=ssh]",
            "iptables-multiport-log[name=j, port=ssh]",
            "iptables-new[name=j, port=ssh]",
        ] {
            let mut action = actions(line, false).remove(0);
            // Twice, as after a restart that lost count.
            for id in ["192.0.2.1", "192.0.2.1", "2001:db8::1"] {
                let (outcome, reports) = with(|context| action.ban(&ban(id), context));
                assert!(outcome.is_ok() && reports.is_empty(), "{line}: {}", texts(&reports));
            }
            let whole = rules();
            for program in ["iptables", "ip6tables"] {
                output(&[program, "-F"]);
                output(&[program, "-X"]);
            }
            output(&["ipset", "destroy"]);
            let (outcome, reports) = with(|context| action.already_banned(&ban("192.0.2.1"), context));
            assert!(outcome.is_ok(), "{line}: {}", texts(&reports));
            assert_eq!(rules(), whole, "{line}");
            let (outcome, reports) = with(|context| action.stop(context));
            assert!(outcome.is_ok(), "{line}: {}", texts(&reports));
        }
    });
}

/// Whether a client with this address, which must be one of this machine, reaches a service: it has the address that it connects to.
fn reaches(address: &str) -> bool {
    let listener = TcpListener::bind((address, 0)).unwrap();
    TcpStream::connect_timeout(&listener.local_addr().unwrap(), Duration::from_secs(2)).is_ok()
}

/// Both ends of a connection of somebody with this address.
fn connection(address: &str) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, peer) = listener.accept().unwrap();
    assert_eq!(peer.ip().to_string(), address);
    server.set_read_timeout(Some(SOON)).unwrap();
    (server, client)
}

#[test]
fn iptables_actions_keep_the_banned_out_and_nobody_else() {
    on_a_machine(&IPTABLES, |_| {
        for address in ["192.0.2.1/32", "192.0.2.2/32", "2001:db8::1/128", "2001:db8::2/128"] {
            output(&["ip", "address", "add", address, "dev", "lo"]);
        }
        for line in [
            "iptables-ipset[name=j, port=\"0:65535\"]",
            "iptables[name=j, type=allports]",
        ] {
            let mut action = actions(line, false).remove(0);
            for (banned, other) in [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")] {
                assert!(reaches(banned) && reaches(other));
                let (outcome, _) = with(|context| action.ban(&ban(banned), context));
                assert!(outcome.is_ok() && !reaches(banned) && reaches(other), "{line}");
                let (outcome, _) = with(|context| action.unban(&ban(banned), context));
                assert!(outcome.is_ok() && reaches(banned), "{line}");
            }
            let _ = with(|context| action.stop(context));
        }
    });
}

#[test]
fn routes_lead_nowhere_and_those_of_others_are_left_alone() {
    on_a_machine(&IPTABLES, |_| {
        compare("route[name=j]", "route[name=j]", &rules, LIFE);
        compare("route[blocktype=prohibit]", "route[blocktype=prohibit]", &rules, LIFE);
        compare("blackhole[name=j]", "route[blocktype=blackhole]", &rules, LIFE);
        output(&["ip", "route", "add", "192.0.2.9/32", "dev", "lo"]);
        let before = rules();
        let mut action = actions("blackhole", false).remove(0);
        for id in [
            "192.0.2.7",
            "192.0.2.7",
            "2001:db8::7",
            "2001:db8::7",
            "192.0.2.64/26",
            "2001:db8:1::/48",
        ] {
            let (outcome, reports) = with(|context| action.ban(&ban(id), context));
            assert!(outcome.is_ok() && reports.is_empty(), "{id}: {}", texts(&reports));
        }
        let routes = output(&["ip", "route"]) + &output(&["ip", "-6", "route"]);
        for route in [
            "blackhole 192.0.2.7 ",
            "blackhole 192.0.2.64/26 ",
            "blackhole 2001:db8::7 ",
            "blackhole 2001:db8:1::/48 ",
        ] {
            assert_eq!(routes.matches(route).count(), 1, "{routes}");
        }
        let mut other = actions("blackhole", false).remove(0);
        let (outcome, reports) = with(|context| other.ban(&ban("192.0.2.9"), context));
        assert!(
            outcome.is_err() && texts(&reports).contains("File exists"),
            "{}",
            texts(&reports)
        );
        let _ = with(|context| other.stop(context));
        assert!(output(&["ip", "route"]).contains("192.0.2.9 dev lo"));
        let (outcome, reports) = with(|context| other.ban(&ban("-x; no address"), context));
        assert!(outcome.is_err(), "{}", texts(&reports));
        let (outcome, reports) = with(|context| action.stop(context));
        assert!(outcome.is_ok(), "{}", texts(&reports));
        assert_eq!(rules(), before);
    });
}

#[test]
fn ufw_gets_the_rules_that_the_package_gives_it() {
    on_a_machine(&[&IPTABLES[..], &["ufw", "conntrack", "ss"]].concat(), |machine| {
        let folder = machine.join("ufw");
        output(&["cp", "-a", "/etc/ufw", &folder.display().to_string()]);
        output(&[
            "cp",
            "-a",
            "/etc/default/ufw",
            &machine.join("default").display().to_string(),
        ]);
        machine.write(
            "ufw/applications.d/web",
            "[Web Server]\ntitle=t\ndescription=d\nports=80,443/tcp\n",
        );
        machine.lay_over("ufw", "/etc/ufw");
        machine.lay_over("default", "/etc/default/ufw");
        output(&["mount", "-t", "tmpfs", "tmpfs", "/run"]);
        output(&["ufw", "--force", "enable"]);
        output(&["ufw", "allow", "22/tcp"]);
        let state = || {
            let all = machine.read("ufw/user.rules") + &machine.read("ufw/user6.rules") + &rules();
            let of_users = all
                .lines()
                .filter(|line| line.contains("user-input ") || line.contains("tuple"));
            output(&["ufw", "status", "numbered"]) + &of_users.collect::<Vec<_>>().join("\n")
        };
        for line in [
            "ufw[name=j, port=\"22\", protocol=\"tcp\", chain=INPUT]",
            "ufw[application=\"Web Server\", blocktype=deny, destination=any]",
            "ufw[add=\"insert 1\", comment=\"from <ip>, $(id) of <name>\", destination=192.0.2.200]",
            "ufw[kill-mode=ss]",
        ] {
            // Of two destinations, only one can be of a family.
            let mut steps = short();
            steps.retain(|(name, _)| !line.contains("destination=192") || !name.contains("IPv6"));
            compare(line, line, &state, &steps);
        }
        // Where nothing is open, the package's own fails.
        let mut action = actions("ufw[kill-mode=conntrack]", false).remove(0);
        let before = state();
        for id in [
            "192.0.2.1",
            "192.0.2.1",
            "2001:db8::1",
            "192.0.2.64/26",
            "2001:db8:1::/48",
        ] {
            let (outcome, reports) = with(|context| action.ban(&ban(id), context));
            assert!(outcome.is_ok() && reports.is_empty(), "{id}: {}", texts(&reports));
            assert_eq!(
                output(&["ufw", "status"]).matches(&format!(" {id} ")).count(),
                1,
                "{id}"
            );
        }
        let mut other = actions("ufw", false).remove(0);
        let (outcome, reports) = with(|context| other.ban(&ban("$(id) 'x"), context));
        assert!(
            outcome.is_err() && texts(&reports).contains("Bad source address"),
            "{}",
            texts(&reports)
        );
        let (outcome, reports) = with(|context| action.stop(context));
        assert!(outcome.is_ok(), "{}", texts(&reports));
        assert_eq!(state(), before);
        let mut action = actions("ufw[application=\"No Such\"]", false).remove(0);
        let (outcome, reports) = with(|context| action.ban(&ban("192.0.2.1"), context));
        assert!(
            outcome.is_err() && texts(&reports).contains("No Such"),
            "{}",
            texts(&reports)
        );
    });
}

/// firewalld with its bus.
fn firewalld(machine: &Machine) -> (Daemon, Daemon) {
    let folder = machine.join("firewalld");
    output(&["cp", "-a", "/etc/firewalld", &folder.display().to_string()]);
    machine.lay_over("firewalld", "/etc/firewalld");
    for folder in ["/run", "/var/log"] {
        output(&["mount", "-t", "tmpfs", "tmpfs", folder]);
    }
    std::fs::create_dir("/run/dbus").unwrap();
    let bus = Daemon::start(Command::new("dbus-daemon").args(["--system", "--nofork", "--nopidfile"]));
    testkit::wait_until(SOON, "the bus is there", || {
        std::path::Path::new("/run/dbus/system_bus_socket").exists()
    });
    let firewalld = Daemon::start(Command::new("firewalld").args(["--nofork", "--nopid"]));
    testkit::wait_until(SOON, "firewalld runs", || {
        let state = Command::new("firewall-cmd").arg("--state").output().unwrap();
        state.status.success()
    });
    (bus, firewalld)
}

#[test]
fn firewalld_gets_what_the_package_gives_it() {
    on_a_machine(
        &[&IPTABLES[..], &["firewalld", "firewall-cmd", "dbus-daemon", "nft"]].concat(),
        |machine| {
            let _daemons = firewalld(machine);
            // Direct rules are iptables', rich ones nftables'.
            let state = || {
                let ruleset = output(&["nft", "list", "table", "inet", "firewalld"]);
                let rich = ruleset
                    .lines()
                    .filter(|line| line.contains("192.0.2.") || line.contains("2001:db8:"));
                rules() + &rich.collect::<Vec<_>>().join("\n")
            };
            for line in [
                "firewallcmd-multiport[name=j, port=\"22,8000:8010\", protocol=tcp]",
                "firewallcmd-allports[name=j, blocktype=DROP]",
                "firewallcmd-ipset[name=j, port=\"22,8000:8010\", ipsettime=600]",
                "firewallcmd-ipset[name=j, actiontype=<allports>, protocol=udp]",
                "firewallcmd-rich-rules[name=j, port=\"22,80\", protocol=tcp]",
                "firewallcmd-rich-logging[name=j, port=22, rich-blocktype=drop, rate=5]",
            ] {
                compare(line, line, &state, &short());
            }
            // firewalld's own sets cannot be made at run time: ipset keeps them, and the package's action fails.
            let before = state();
            for line in [
                "firewallcmd-ipset[ipsettype=firewalld]",
                "firewallcmd-multiport[port=22]",
                "firewallcmd-rich-rules[port=\"22,8000:8010\"]",
            ] {
                let mut action = actions(line, false).remove(0);
                for id in ["192.0.2.2", "192.0.2.2", "2001:db8::1"] {
                    let (outcome, reports) = with(|context| action.ban(&ban(id), context));
                    assert!(outcome.is_ok() && reports.is_empty(), "{id}: {}", texts(&reports));
                    assert_eq!(state().matches(id).count().min(1), 1);
                }
                let mut other = actions(line, false).remove(0);
                let (outcome, _) = with(|context| other.ban(&ban("-x'; no address"), context));
                assert!(outcome.is_err());
                let (outcome, reports) = with(|context| action.stop(context));
                assert!(outcome.is_ok(), "{}", texts(&reports));
                assert_eq!(state(), before, "{line}");
            }
            // A reload takes the rules away; whoever fails on brings them back.
            let mut action = actions("firewallcmd-multiport[port=22]", false).remove(0);
            let (outcome, _) = with(|context| action.ban(&ban("192.0.2.2"), context));
            assert!(outcome.is_ok());
            let whole = state();
            output(&["firewall-cmd", "--reload"]);
            assert!(!state().contains("192.0.2.2"));
            let (outcome, reports) = with(|context| action.already_banned(&ban("192.0.2.2"), context));
            assert!(outcome.is_ok(), "{}", texts(&reports));
            assert_eq!(state(), whole);
        },
    );
}

#[test]
fn pf_gets_the_commands_that_the_package_gives_it_and_the_rules_in_one_piece() {
    on_a_machine(&["fail2ban-client"], |machine| {
        machine.recorder(
            "pfctl",
            "case \"$*\" in *-f-) cat >>\"$0.rules\";; *-sr) cat \"$0.rules\";; esac",
        );
        let calls = || {
            let calls = machine.calls();
            // How they are read and taken away differs; the table's are the same.
            let tables = calls
                .into_iter()
                .filter(|call| call.contains("[-t]") && !call.contains("[kill]"));
            let mut calls: Vec<String> = tables.collect();
            calls.dedup();
            calls.join("\n")
        };
        for (line, expected) in [
            (
                "pf[name=j, port=\"22,80\"]",
                "table <f2b-j> persist counters\nblock quick proto { tcp } from <f2b-j> to any port { 22,80 }\n",
            ),
            (
                "pf[name=j, actiontype=<allports>, block=\"block drop quick\", protocol=\"tcp,udp\", tablename=t]",
                "table <t-j> persist counters\nblock drop quick proto { tcp,udp } from <t-j> to any\n",
            ),
        ] {
            let theirs = after_each(line, &mut actions(line, true).remove(0), &calls, LIFE);
            machine.write("bin/pfctl.rules", "");
            let ours = after_each(line, &mut actions(line, false).remove(0), &calls, LIFE);
            assert_eq!(ours, theirs, "{line}");
            assert_eq!(machine.read("bin/pfctl.rules"), expected);
        }
    });
}

#[test]
fn cut_flows_ends_what_is_open_and_touches_nobody_else() {
    on_a_machine(&["iptables", "ip6tables", "conntrack", "ss"], |_| {
        for address in ["192.0.2.1/32", "192.0.2.2/32", "2001:db8::1/128", "2001:db8::2/128"] {
            output(&["ip", "address", "add", address, "dev", "lo"]);
        }
        for program in ["iptables", "ip6tables"] {
            output(&[
                program,
                "-A",
                "INPUT",
                "-m",
                "conntrack",
                "--ctstate",
                "ESTABLISHED",
                "-j",
                "ACCEPT",
            ]);
        }
        let mut action = actions("cut-flows", false).remove(0);
        let (outcome, reports) = with(|context| action.ban(&ban("192.0.2.77"), context));
        assert!(
            outcome.is_ok() && reports.is_empty(),
            "nothing is open: {}",
            texts(&reports)
        );
        for (id, banned, other) in [
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("2001:db8::1", "2001:db8::1", "2001:db8::2"),
            ("2001:db8::/127", "2001:db8::1", "2001:db8::2"),
            ("192.0.2.0/31", "192.0.2.1", "192.0.2.2"),
        ] {
            let (mut cut, _first) = connection(banned);
            let (mut kept, mut second) = connection(other);
            let (outcome, reports) = with(|context| action.ban(&ban(id), context));
            assert!(outcome.is_ok() && reports.is_empty(), "{id}: {}", texts(&reports));
            let ended = cut.read(&mut [0; 8]);
            assert!(matches!(ended, Ok(0) | Err(_)), "{id}: {ended:?}");
            let tracked = output(&["conntrack", "-L", "-s", banned]);
            assert!(!tracked.contains("ESTABLISHED"), "{id}: {tracked}");
            second.write_all(b"hello").unwrap();
            let mut heard = [0; 5];
            kept.read_exact(&mut heard).unwrap();
            assert_eq!(&heard, b"hello", "{id}");
        }
        let (outcome, reports) = with(|context| action.ban(&ban("-x $(id)"), context));
        assert!(outcome.is_err(), "{}", texts(&reports));
    });
}
