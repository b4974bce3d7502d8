//! What the firewall actions of Fail2Ban's package leave in the kernel, when their commands are run as written and when they are done in bulk:
//! the same, after every step.

#![expect(clippy::unwrap_used, reason = "test code")]

mod common;

use std::collections::BTreeSet;
use std::process::Command;

use common::{ban, built, properties, texts, with};
use stockade_action::Action;
use stockade_core::effect::Ban;
use testkit::{Network, TempDir, output_of, requires};

const NEEDS: [&str; 9] = [
    "root",
    "unshare",
    "nsenter",
    "ip",
    "nft",
    "iptables",
    "ip6tables",
    "ipset",
    "fail2ban-client",
];

/// Every firewall action of the package that is recognised, and variants of them by their options.
const RECOGNISED: [&str; 20] = [
    // As the sets of later versions are.
    "nftables-multiport[name=interval, port=ssh]",
    "nftables[name=j, port=\"ssh,5060:5061\", protocol=\"tcp,udp\"]",
    "nftables-multiport[name=j, port=ssh]",
    "nftables-allports[name=j]",
    "nftables-multiport[name=j, port=ssh, blocktype=drop, table=mine, chain=some, chain_hook=forward]",
    "nftables-multiport[name=j, port=ssh, table_family=ip, actionstart_on_demand=true]",
    "iptables[name=j, port=ssh]",
    "iptables-multiport[name=j, port=\"22,5060:5061\", protocol=\"tcp,udp\"]",
    "iptables-multiport[name=j, port=ssh, blocktype=DROP, lockingopt=\"-w 5\"]",
    "iptables-multiport[name=legacy, port=ssh]",
    "iptables-allports[name=j]",
    "iptables-new[name=j, port=ssh]",
    "iptables-multiport-log[name=j, port=ssh]",
    "iptables-ipset[name=j, port=ssh]",
    "iptables-ipset[name=j, port=ssh, default-ipsettime=600, ipsettime=300]",
    "iptables-ipset[name=j, port=ssh, ipsettime=\"<timeout-bantime>\"]",
    "iptables-ipset-proto4[name=j, port=ssh]",
    "iptables-ipset-proto6[name=j, port=ssh]",
    "iptables-ipset-proto6-allports[name=j]",
    "iptables-ipset-proto6[name=j, port=ssh, blocktype=DROP]",
];

/// Everything in the kernel that has to do with firewalls, without what differs from run to run: counters, and the seeds and
/// remaining times of sets. Elements of sets are in order, as the kernel gives them in that of their hashes.
pub(crate) fn state() -> String {
    let mut state = String::new();
    let mut add = |program: &str, words: &[&str], is_sorted: bool| {
        let text = output_of(Command::new(program).args(words));
        let mut lines: Vec<String> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(without_counters)
            .collect();
        if is_sorted {
            lines.sort();
        }
        state.extend([program, "\n", &lines.join("\n"), "\n"]);
    };
    add("iptables-save", &[], false);
    add("ip6tables-save", &[], false);
    add("iptables-legacy-save", &[], false);
    add("ip6tables-legacy-save", &[], false);
    add("ipset", &["save"], true);
    let ruleset = output_of(Command::new("nft").args(["list", "ruleset"]));
    state.push_str(&in_order(&ruleset));
    state
}

/// `:INPUT ACCEPT [12:34]` and `initval 0x1234` and `timeout 298` say nothing here.
fn without_counters(line: &str) -> String {
    let line = line.split_once(" [").map_or(line, |(before, _)| before);
    let line = line.split_once(" initval ").map_or(line, |(before, _)| before);
    let mut words: Vec<&str> = line.split(' ').collect();
    if line.starts_with("add ")
        && let Some(last) = words.last_mut()
        && let Ok(seconds) = last.parse::<u32>()
    {
        *last = if seconds == 0 { "never" } else { "some time" };
    }
    words.join(" ")
}

/// A ruleset whose elements are sorted and whose counters are gone.
fn in_order(ruleset: &str) -> String {
    let mut ordered = String::new();
    let mut rest = ruleset;
    while let Some((before, after)) = rest.split_once("elements = {") {
        let (elements, after) = after.split_once('}').unwrap();
        let elements: BTreeSet<&str> = elements.split(',').map(str::trim).collect();
        ordered.push_str(before);
        ordered.push_str(&elements.into_iter().collect::<Vec<_>>().join(", "));
        rest = after;
    }
    ordered.push_str(rest);
    let words: Vec<&str> = ordered.split_whitespace().collect();
    let mut kept = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        kept.push(word);
        if word == "counter" {
            // `packets 0 bytes 0`
            words.nth(3);
        }
    }
    kept.join(" ")
}

fn bans(addresses: impl Iterator<Item = String>) -> Vec<Ban> {
    addresses.map(|address| ban(&address)).collect()
}

fn both(range: std::ops::Range<u32>) -> Vec<Ban> {
    let four = range.clone().map(|number| format!("192.0.2.{number}"));
    bans(four.chain(range.map(|number| format!("2001:db8::{number:x}"))))
}

/// Actions that cannot ban IPv6, whoever runs them.
fn is_for_one_family(properties: &[(String, String)]) -> bool {
    properties
        .iter()
        .any(|(name, value)| name == "table_family" && value == "ip" || value.contains("iphash"))
}

/// The kernel's state after each step of a life.
fn life(properties: &[(String, String)], is_in_bulk: bool) -> Vec<(&'static str, String)> {
    let mut action = built(properties);
    let has_one_family = is_for_one_family(properties);
    let both = |range| {
        let mut bans = both(range);
        bans.retain(|ban| !has_one_family || ban.id.to_string().contains('.'));
        bans
    };
    assert_eq!(action.works_in_bulk(), is_in_bulk, "{properties:?}");
    let mut states = Vec::new();
    let mut step = |name,
                    work: &mut dyn FnMut(
        &mut Action,
        &mut stockade_action::Context<'_>,
    ) -> Result<(), stockade_action::ActionError>| {
        let (outcome, reports) = with(|context| work(&mut action, context));
        assert!(outcome.is_ok(), "{name}, in bulk {is_in_bulk}: {}", texts(&reports));
        states.push((name, state()));
    };
    step("start", &mut |action, context| action.start(context));
    step("one ban of each family", &mut |action, context| {
        action.ban_many(&both(1..2), context)
    });
    step("bans", &mut |action, context| action.ban_many(&both(2..30), context));
    step("an unban", &mut |action, context| {
        action.unban_many(&both(1..2), context)
    });
    step("unbans", &mut |action, context| action.unban_many(&both(5..8), context));
    step("many unbans", &mut |action, context| {
        action.unban_many(&both(8..29), context)
    });
    step("bans again", &mut |action, context| {
        action.ban_many(&both(10..15), context)
    });
    step("flush", &mut |action, context| action.flush(context));
    step("bans after the flush", &mut |action, context| {
        action.ban_many(&both(1..5), context)
    });
    step("stop", &mut |action, context| action.stop(context));
    states
}

fn compare(actions: &[&str]) {
    for action in actions {
        let in_bulk = properties(action);
        let mut as_written = in_bulk.clone();
        as_written.push(("native".to_owned(), "no".to_owned()));
        let network = Network::new();
        let expected = network.run(|| life(&as_written, false));
        let network = Network::new();
        let states = network.run(|| life(&in_bulk, true));
        for ((step, expected), (_, state)) in expected.iter().zip(&states) {
            assert_eq!(state, expected, "{action} after {step}");
            let is_interval = state.contains("flags interval");
            assert!(!action.contains("interval") || is_interval || *step == "start" || *step == "stop");
        }
    }
}

// Three tests, so that they run side by side.

#[test]
fn nftables_actions_leave_in_the_kernel_what_their_commands_would() {
    if requires(&NEEDS) {
        compare(RECOGNISED.split_at(6).0);
    }
}

#[test]
fn iptables_actions_leave_in_the_kernel_what_their_commands_would() {
    if requires(&NEEDS) {
        compare(RECOGNISED.split_at(13).0.split_at(6).1);
    }
}

#[test]
fn ipset_actions_leave_in_the_kernel_what_their_commands_would() {
    if requires(&NEEDS) {
        compare(RECOGNISED.split_at(13).1);
    }
}

/// How many bans the kernel holds for one of these actions.
fn held() -> usize {
    let state = state();
    (0..200)
        .filter(|number| {
            state.contains(&format!("192.0.2.{number} "))
                || state.contains(&format!("192.0.2.{number},"))
                || state.contains(&format!("192.0.2.{number}/32 "))
        })
        .count()
}

fn four(range: std::ops::Range<u32>) -> Vec<Ban> {
    bans(range.map(|number| format!("192.0.2.{number}")))
}

#[test]
fn a_wiped_firewall_is_repaired_within_a_batch_and_no_ban_is_lost() {
    if !requires(&NEEDS) {
        return;
    }
    let wipes: [(&str, &[&[&str]]); 3] = [
        ("nftables-multiport[name=j, port=22]", &[&["nft", "flush", "ruleset"]]),
        (
            "iptables-multiport[name=j, port=22]",
            &[&["iptables", "-F"], &["iptables", "-X"]],
        ),
        (
            "iptables-ipset-proto6[name=j, port=22]",
            &[&["iptables", "-F"], &["ipset", "destroy"]],
        ),
    ];
    for (name, wipe) in wipes {
        Network::new().run(|| {
            let mut action = built(&properties(name));
            let (outcome, _) = with(|context| action.ban_many(&four(1..30), context));
            assert!(outcome.is_ok());
            for words in wipe {
                let (program, words) = words.split_first().unwrap();
                output_of(Command::new(program).args(words));
            }
            assert_eq!(held(), 0, "{name}");
            let (outcome, reports) = with(|context| action.ban_many(&four(30..60), context));
            assert!(outcome.is_ok(), "{name}: {}", texts(&reports));
            assert_eq!(held(), 59, "{name}");
            for words in wipe {
                let (program, words) = words.split_first().unwrap();
                output_of(Command::new(program).args(words));
            }
            // Nothing is there to be unbanned: a message, and no thousand of them.
            let (_, reports) = with(|context| action.unban_many(&four(1..50), context));
            assert!(reports.len() < 10, "{name}: {}", texts(&reports));
            let (outcome, reports) = with(|context| action.ban_many(&four(1..20), context));
            assert!(outcome.is_ok(), "{name}: {}", texts(&reports));
            assert_eq!(held(), 19 + 10, "{name}");
        });
    }
}

#[test]
fn one_ban_that_the_kernel_refuses_does_not_cost_the_others() {
    if !requires(&NEEDS) {
        return;
    }
    Network::new().run(|| {
        let mut action = built(&properties("nftables-multiport[name=interval, port=22]"));
        let (outcome, _) = with(|context| action.ban(&ban("192.0.2.32/28"), context));
        assert!(outcome.is_ok());
        let (outcome, reports) = with(|context| action.ban_many(&four(40..100), context));
        assert!(outcome.is_err(), "an address within a banned network");
        assert!(texts(&reports).contains("192.0.2.40"), "{}", texts(&reports));
        let ruleset = output_of(Command::new("nft").args(["list", "set", "inet", "f2b-table", "addr-set-interval"]));
        let is_there = |number: u32| {
            ruleset.contains(&format!("192.0.2.{number},")) || ruleset.contains(&format!("192.0.2.{number} "))
        };
        assert!((48..100).all(is_there), "{ruleset}");
    });
}

#[test]
fn a_set_that_is_full_is_told_and_what_it_had_no_room_for_is_banned_when_there_is_some() {
    if !requires(&NEEDS) {
        return;
    }
    Network::new().run(|| {
        let mut limited = properties("iptables-ipset-proto6[name=j, port=22]");
        for (key, value) in &mut limited {
            if key == "actionstart" {
                *value = value.replace("hash:ip", "hash:ip hashsize 64 maxelem 40");
            }
        }
        let mut action = built(&limited);
        assert!(action.works_in_bulk());
        let standing = |action: &Action| {
            let standing = action.standing().unwrap();
            (standing.in_kernel, standing.should_be)
        };
        let (outcome, reports) = with(|context| action.ban_many(&four(1..151), context));
        assert!(outcome.is_err());
        let told = texts(&reports);
        assert!(
            told.contains("full") && told.contains("more are not tried now"),
            "{told}"
        );
        let room = held();
        assert!((1..150).contains(&room), "{room}");
        assert_eq!(standing(&action), (room, 150), "and it is known");
        // Nothing changes while it is full, and it is not told again and again.
        let (outcome, reports) = with(|context| action.check(context));
        assert!(outcome.is_ok() && reports.is_empty(), "{}", texts(&reports));
        assert_eq!(standing(&action), (held(), 150));
        // Somebody raises the limit.
        let saved = output_of(Command::new("ipset").arg("save"));
        let higher = saved.replace("maxelem 40", "maxelem 4000").replace("f2b-j", "higher");
        let directory = TempDir::new("full");
        let file = directory.write("sets", higher);
        output_of(Command::new("ipset").args(["-file", &file.display().to_string(), "restore"]));
        output_of(Command::new("ipset").args(["swap", "f2b-j", "higher"]));
        let (outcome, reports) = with(|context| action.check(context));
        assert!(outcome.is_ok(), "{}", texts(&reports));
        let left = 150 - room;
        assert!(
            texts(&reports).contains(&format!(
                "of {left} bans that could not be made before {left} are made now"
            )),
            "{}",
            texts(&reports)
        );
        output_of(Command::new("ipset").args(["destroy", "higher"]));
        assert_eq!((held(), standing(&action)), (150, (150, 150)));
    });
}

#[test]
fn a_changed_command_is_run_as_written() {
    if !requires(&NEEDS) {
        return;
    }
    for (name, from, to) in [
        (
            "nftables-multiport[name=j, port=22]",
            "add element",
            "--handle add element",
        ),
        ("iptables-multiport[name=j, port=22]", " 1 -s", " 2 -s"),
        (
            "iptables-ipset-proto6[name=j, port=22]",
            "-exist add",
            "-quiet -exist add",
        ),
    ] {
        let mut changed = properties(name);
        assert!(built(&changed).works_in_bulk(), "{name}");
        for (key, value) in &mut changed {
            if key == "actionban" {
                *value = value.replace(from, to);
            }
        }
        assert!(!built(&changed).works_in_bulk(), "{name}");
    }
    // A program of the same name that is somebody's script is run as well.
    let directory = TempDir::new("wrapper");
    let wrapper = directory.write("iptables", "#!/bin/sh\nexit 0\n");
    let mut changed = properties("iptables-multiport[name=j, port=22]");
    for (key, value) in &mut changed {
        if key.starts_with("iptables") {
            *value = wrapper.display().to_string();
        }
    }
    assert!(!built(&changed).works_in_bulk());
}

#[test]
fn a_check_makes_again_what_others_took_out_of_the_firewall() {
    if !requires(&NEEDS) {
        return;
    }
    let wipes: [(&str, &[&str], usize); 8] = [
        ("nftables-multiport[name=j, port=22]", &["nft", "flush", "ruleset"], 29),
        (
            "nftables-multiport[name=j, port=22]",
            &["nft", "flush", "set", "inet", "f2b-table", "addr-set-j"],
            29,
        ),
        (
            "nftables-multiport[name=interval, port=22]",
            &["nft", "flush", "set", "inet", "f2b-table", "addr-set-interval"],
            29,
        ),
        (
            "nftables-multiport[name=j, port=22]",
            &[
                "nft",
                "delete",
                "element",
                "inet",
                "f2b-table",
                "addr-set-j",
                "{ 192.0.2.7 }",
            ],
            1,
        ),
        ("iptables-multiport[name=j, port=22]", &["iptables", "-F", "f2b-j"], 29),
        (
            "iptables-multiport[name=j, port=22]",
            &["iptables", "-D", "f2b-j", "3"],
            1,
        ),
        ("iptables-ipset-proto6[name=j, port=22]", &["ipset", "flush"], 29),
        (
            "iptables-ipset-proto6[name=j, port=22]",
            &["ipset", "del", "f2b-j", "192.0.2.7"],
            1,
        ),
    ];
    for (name, wipe, missing) in wipes {
        Network::new().run(|| {
            let mut action = built(&properties(name));
            let (outcome, _) = with(|context| action.ban_many(&four(1..30), context));
            assert!(outcome.is_ok());
            let (outcome, reports) = with(|context| action.check(context));
            assert!(outcome.is_ok() && reports.is_empty(), "{name}: {}", texts(&reports));
            let (program, words) = wipe.split_first().unwrap();
            output_of(Command::new(program).args(words));
            assert_eq!(held(), 29 - missing, "{wipe:?}");
            let (outcome, reports) = with(|context| action.check(context));
            assert!(outcome.is_ok() && !reports.is_empty(), "{name}: {}", texts(&reports));
            assert_eq!(held(), 29, "{wipe:?}");
            let (outcome, reports) = with(|context| action.check(context));
            assert!(outcome.is_ok() && reports.is_empty(), "{name}: {}", texts(&reports));
            assert_eq!(action.standing().unwrap().repairs, 1);
        });
    }
}

/// Run with `cargo test --release -p stockade-action --test kernel -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement, not a check"]
fn measures_ten_thousand_bans_their_unbans_and_a_flush() {
    if !requires(&NEEDS) {
        return;
    }
    for name in [
        "nftables-multiport[name=j, port=22]",
        "nftables-multiport[name=interval, port=22]",
        "iptables-multiport[name=j, port=22]",
        "iptables-multiport[name=legacy, port=22]",
        "iptables-ipset-proto6[name=j, port=22]",
    ] {
        Network::new().run(|| {
            let mut action = built(&properties(name));
            let many = bans((0..10_000_u32).map(|number| std::net::Ipv4Addr::from(0x0a00_0000 + number).to_string()));
            let (one, rest) = many.split_first().unwrap();
            let _ = with(|context| action.ban(one, context));
            let mut timed = |what: &str, work: &mut dyn FnMut(&mut Action, &mut stockade_action::Context<'_>)| {
                let started = std::time::Instant::now();
                let ((), reports) = with(|context| work(&mut action, context));
                println!("{name}: {what} {:?}{}", started.elapsed(), texts(&reports));
            };
            timed("10,000 bans", &mut |action, context| {
                drop(action.ban_many(rest, context));
            });
            timed("one more ban", &mut |action, context| {
                drop(action.ban(&ban("192.0.2.1"), context));
            });
            timed("its unban", &mut |action, context| {
                drop(action.unban(&ban("192.0.2.1"), context));
            });
            timed("5,000 unbans", &mut |action, context| {
                drop(action.unban_many(rest.split_at(5000).0, context));
            });
            timed("check", &mut |action, context| drop(action.check(context)));
            timed("stop", &mut |action, context| drop(action.stop(context)));
        });
    }
}
