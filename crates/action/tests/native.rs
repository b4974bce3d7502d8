//! The native action's options against the real kernel, in private network namespaces.

#![expect(clippy::unwrap_used, reason = "test code")]

mod common;

use std::net::UdpSocket;
use std::process::Command;

use common::{action, ban, texts, with};
use stockade_action::{Action, Report};
use stockade_core::effect::Ban;
use stockade_core::{Timestamp, Until};
use stockade_firewall::Nftables;
use testkit::{Network, output_of, requires};

const NEEDS: [&str; 5] = ["root", "unshare", "nsenter", "ip", "nft"];

fn in_private_network(test: impl FnOnce() + Send) {
    if requires(&NEEDS) {
        Network::new().run(test);
    }
}

fn native(options: &[(&str, &str)]) -> Action {
    let mut all = vec![
        ("native", "nftables"),
        ("name", "j"),
        ("port", "22"),
        ("blocktype", "drop"),
    ];
    all.extend_from_slice(options);
    let mut action = action(&all).unwrap();
    action.attach(Box::new(Nftables::open().unwrap()));
    let (outcome, reports) = with(|context| action.start(context));
    assert!(outcome.is_ok(), "{}", texts(&reports));
    action
}

fn do_bans(action: &mut Action, addresses: &[&str]) -> Vec<Report> {
    let bans: Vec<Ban> = addresses.iter().map(|address| ban(address)).collect();
    let (outcome, reports) = with(|context| action.ban_many(&bans, context));
    assert!(outcome.is_ok(), "{}", texts(&reports));
    reports
}

fn unbans(action: &mut Action, addresses: &[&str]) {
    let bans: Vec<Ban> = addresses.iter().map(|address| ban(address)).collect();
    let (outcome, reports) = with(|context| action.unban_many(&bans, context));
    assert!(outcome.is_ok(), "{}", texts(&reports));
}

fn check(action: &mut Action) -> String {
    let (outcome, reports) = with(|context| action.check(context));
    assert!(outcome.is_ok(), "{}", texts(&reports));
    texts(&reports)
}

fn nft(words: &[&str]) -> String {
    output_of(Command::new("nft").args(words))
}

/// What is banned, as nft lists it, in order.
fn banned() -> Vec<String> {
    let ruleset = nft(&["list", "ruleset"]);
    let mut banned: Vec<String> = ruleset
        .split("set addr")
        .skip(1)
        .flat_map(|set| {
            let name = set.split_whitespace().next().unwrap_or_default();
            let prefix = name.split("-net").nth(1).and_then(|rest| rest.split('-').next());
            let elements = set.split_once("elements = {").map_or("", |(_, rest)| rest);
            let elements = elements.split('}').next().unwrap_or_default();
            elements
                .split(',')
                .filter_map(|element| element.split_whitespace().next())
                .map(|address| prefix.map_or_else(|| address.to_owned(), |prefix| format!("{address}/{prefix}")))
                .collect::<Vec<_>>()
        })
        .collect();
    banned.sort();
    banned
}

#[test]
fn a_check_notices_that_a_set_was_emptied_and_that_single_addresses_were_changed() {
    in_private_network(|| {
        let mut action = native(&[]);
        do_bans(
            &mut action,
            &["192.0.2.1", "192.0.2.2", "2001:db8::1", "198.51.100.0/24"],
        );
        assert_eq!(check(&mut action), "", "nothing to tell");
        nft(&["flush", "set", "inet", "f2b-table", "addr-set-j"]);
        let told = check(&mut action);
        assert!(
            told.contains("of 4 bans 2 were not in the kernel, and 0 were there"),
            "{told}"
        );
        nft(&[
            "delete",
            "element",
            "inet",
            "f2b-table",
            "addr6-set-j",
            "{ 2001:db8::1 }",
        ]);
        nft(&["add", "element", "inet", "f2b-table", "addr-set-j", "{ 203.0.113.5 }"]);
        let told = check(&mut action);
        assert!(
            told.contains("1 were not in the kernel, and 1 were there that should not"),
            "{told}"
        );
        assert_eq!(banned(), ["192.0.2.1", "192.0.2.2", "198.51.100.0/24", "2001:db8::1"]);
        assert_eq!(check(&mut action), "");
        let standing = action.standing().unwrap();
        assert_eq!((standing.in_kernel, standing.should_be, standing.repairs), (4, 4, 2));
    });
}

#[test]
fn a_restart_has_no_hole_and_corrects_what_differs() {
    in_private_network(|| {
        let mut first = native(&[("keep_at_end", "yes")]);
        do_bans(&mut first, &["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"]);
        let (outcome, reports) = with(|context| first.leave(context));
        assert!(
            outcome.is_ok() && texts(&reports).contains("stay in the kernel"),
            "{}",
            texts(&reports)
        );
        assert_eq!(banned().len(), 4, "protection outlasts the end");
        drop(first);

        let mut second = native(&[("keep_at_end", "yes")]);
        assert_eq!(banned().len(), 4, "and the start");
        let mut longer = ban("192.0.2.2");
        longer.until = Until::At(Timestamp::from_secs(common::NOW + 3000));
        let (outcome, _) = with(|context| second.ban_many(&[ban("192.0.2.1"), longer, ban("192.0.2.9")], context));
        assert!(outcome.is_ok());
        let told = check(&mut second);
        assert!(
            told.contains("took over") && told.contains("0 added") && told.contains("2 removed"),
            "{told}"
        );
        assert_eq!(banned(), ["192.0.2.1", "192.0.2.2", "192.0.2.9"]);
        let (outcome, _) = with(|context| second.stop(context));
        assert!(outcome.is_ok());
        assert_eq!(nft(&["list", "ruleset"]), "", "a jail that is stopped lifts its bans");

        let mut third = native(&[]);
        do_bans(&mut third, &["192.0.2.1"]);
        let (outcome, _) = with(|context| third.leave(context));
        assert!(outcome.is_ok());
        assert_eq!(nft(&["list", "ruleset"]), "", "as Fail2Ban, if not told otherwise");
    });
}

#[test]
fn blocks_at_the_hooks_that_are_named() {
    in_private_network(|| {
        let mut action = native(&[("chain_hook", "input,forward,ingress:lo")]);
        let chains: Vec<String> = nft(&["list", "chains"])
            .lines()
            .filter(|line| line.contains("chain ") || line.contains("hook "))
            .map(|line| line.trim().to_owned())
            .collect();
        assert_eq!(
            chains,
            [
                "chain f2b-chain {",
                "type filter hook input priority filter - 1; policy accept;",
                "chain f2b-chain-forward {",
                "type filter hook forward priority filter - 1; policy accept;",
                "chain f2b-chain-ingress-lo {",
                "type filter hook ingress device \"lo\" priority filter - 1; policy accept;",
            ]
        );
        do_bans(&mut action, &["192.0.2.1", "198.51.100.0/24"]);
        let ruleset = nft(&["list", "ruleset"]);
        assert_eq!(ruleset.matches("ip saddr @addr-set-j drop").count(), 3, "{ruleset}");
        assert_eq!(ruleset.matches("@addr-net24-set-j drop").count(), 3, "{ruleset}");
        nft(&["flush", "chain", "inet", "f2b-table", "f2b-chain-forward"]);
        let told = check(&mut action);
        assert!(told.contains("made again with all bans"), "{told}");
        let (outcome, _) = with(|context| action.stop(context));
        assert!(outcome.is_ok());
        assert_eq!(nft(&["list", "ruleset"]), "");
    });
    let refused = action(&[("native", "nftables"), ("chain_hook", "ingress:lo")])
        .err()
        .unwrap();
    assert!(refused.to_string().contains("`drop` at hook ingress"), "{refused}");
}

#[test]
fn bans_ipv6_by_prefix_until_the_last_of_its_addresses_is_free() {
    in_private_network(|| {
        let mut action = native(&[("ipv6_prefix", "64")]);
        do_bans(
            &mut action,
            &["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "192.0.2.1"],
        );
        assert_eq!(banned(), ["192.0.2.1", "2001:db8:0:1::/64", "2001:db8::/64"]);
        assert_eq!(check(&mut action), "");
        unbans(&mut action, &["2001:db8::1"]);
        assert_eq!(banned(), ["192.0.2.1", "2001:db8:0:1::/64", "2001:db8::/64"]);
        unbans(&mut action, &["2001:db8::2"]);
        assert_eq!(banned(), ["192.0.2.1", "2001:db8:0:1::/64"]);
        let (outcome, _) = with(|context| action.flush(context));
        assert!(outcome.is_ok());
        assert_eq!(banned(), [""; 0]);
    });
}

#[test]
fn a_network_is_banned_whole_while_enough_of_its_addresses_are() {
    in_private_network(|| {
        let mut action = native(&[("network_after", "3")]);
        do_bans(&mut action, &["192.0.2.1", "192.0.2.2", "198.51.100.1"]);
        assert_eq!(banned(), ["192.0.2.1", "192.0.2.2", "198.51.100.1"]);
        let told = texts(&do_bans(&mut action, &["192.0.2.77"]));
        assert!(told.contains("Ban 192.0.2.0/24 whole"), "{told}");
        assert_eq!(
            banned(),
            ["192.0.2.0/24", "192.0.2.1", "192.0.2.2", "192.0.2.77", "198.51.100.1"]
        );
        nft(&["flush", "set", "inet", "f2b-table", "addr-net24-set-j"]);
        assert!(check(&mut action).contains("1 were not in the kernel"));
        assert_eq!(banned().len(), 5);
        unbans(&mut action, &["192.0.2.1"]);
        assert_eq!(banned(), ["192.0.2.2", "192.0.2.77", "198.51.100.1"]);
    });
}

#[test]
fn cuts_the_established_flows_of_the_banned_and_of_nobody_else() {
    in_private_network(|| {
        // Flows are tracked only where a rule asks for their state.
        nft(&["add", "table", "inet", "t"]);
        nft(&[
            "add",
            "chain",
            "inet",
            "t",
            "c",
            "{ type filter hook output priority 0 ; }",
        ]);
        nft(&["add", "rule", "inet", "t", "c", "ct", "state", "new", "accept"]);
        let mut action = native(&[("cut_flows", "yes")]);
        output_of(Command::new("ip").args(["addr", "add", "127.0.0.2/8", "dev", "lo"]));
        for source in ["127.0.0.1:0", "127.0.0.2:0", "[::1]:0"] {
            let socket = UdpSocket::bind(source).unwrap();
            let destination = if source.starts_with('[') {
                "[::1]:9"
            } else {
                "127.0.0.1:9"
            };
            socket.send_to(b"x", destination).unwrap();
        }
        let flows = || {
            let table = std::fs::read_to_string("/proc/thread-self/net/nf_conntrack").unwrap();
            let sources = table
                .lines()
                .filter_map(|line| line.split_whitespace().find(|word| word.starts_with("src=")));
            let mut sources: Vec<String> = sources.map(ToOwned::to_owned).collect();
            sources.sort();
            sources
        };
        let all = [
            "src=0000:0000:0000:0000:0000:0000:0000:0001",
            "src=127.0.0.1",
            "src=127.0.0.2",
        ];
        assert_eq!(flows(), all);
        let told = texts(&do_bans(&mut action, &["127.0.0.2", "192.0.2.1"]));
        assert_eq!(
            (flows().as_slice(), told.as_str()),
            (&[all[0].to_owned(), all[1].to_owned()][..], "")
        );
        let told = texts(&do_bans(&mut action, &["::1"]));
        assert_eq!(told, "");
        assert_eq!(flows(), ["src=127.0.0.1"]);
    });
}

#[test]
fn says_what_may_be_the_matter_when_a_ban_does_not_bite() {
    in_private_network(|| {
        let mut action = native(&[]);
        do_bans(&mut action, &["192.0.2.1", "10.0.0.1"]);
        assert!(
            do_bans(&mut action, &["192.0.2.1"]).is_empty(),
            "lines were on their way"
        );
        let old = |address: &str| {
            let mut old = ban(address);
            old.since = Timestamp::from_secs(common::NOW - 60);
            old
        };
        let (_, reports) = with(|context| action.ban_many(&[old("192.0.2.1"), old("10.0.0.1")], context));
        let told = texts(&reports);
        assert_eq!(reports.len(), 1, "once a minute: {told}");
        assert!(
            told.contains("is banned since 60 s, the kernel has the ban, no packet of it has come to the rules, and"),
            "{told}"
        );
        assert!(
            told.contains("`port` and `protocol`") && told.contains("`cut_flows = yes`"),
            "{told}"
        );
        let (_, reports) = with(|context| action.ban_many(&[old("192.0.2.1")], context));
        assert!(reports.is_empty(), "once per address");

        // Of one whose packets are blocked, and who comes another way, too.
        let mut action = native(&[("name", "other"), ("port", "9"), ("protocol", "udp")]);
        do_bans(&mut action, &["127.0.0.2"]);
        let socket = UdpSocket::bind("127.0.0.2:0").unwrap();
        for _ in 0..3 {
            socket.send_to(b"x", "127.0.0.1:9").unwrap();
        }
        let (_, reports) = with(|context| action.ban_many(&[old("127.0.0.2")], context));
        let told = texts(&reports);
        assert!(
            told.contains("has the ban, 3 packet(s) of it were blocked, and its attempts still"),
            "{told}"
        );
        let (account, _) = with(|context| action.account(context).unwrap());
        let blocked: Vec<_> = account
            .blocked
            .unwrap()
            .into_iter()
            .map(|(net, traffic)| (net.to_string(), traffic.packets))
            .collect();
        assert_eq!(
            blocked,
            [("127.0.0.2/32".to_owned(), 3)],
            "being seen again does not reset the count"
        );
    });
}

#[test]
fn no_ban_is_lost_when_the_ruleset_is_flushed_while_batches_are_under_way() {
    in_private_network(|| {
        let mut action = native(&[("name", "busy")]);
        // Another process flushes as fast as it can.
        let mut flushing = Command::new("sh")
            .args(["-c", "i=0; while [ $i -lt 15 ]; do nft flush ruleset; i=$((i+1)); done"])
            .spawn()
            .unwrap();
        let mut count = 0_u32;
        while flushing.try_wait().unwrap().is_none() || count < 2000 {
            let batch: Vec<Ban> = (0..100)
                .map(|number| ban(&std::net::Ipv4Addr::from(0x0a00_0000 + count + number).to_string()))
                .collect();
            // A batch may fail; what it was to do is made up for.
            let _ = with(|context| action.ban_many(&batch, context));
            count += 100;
        }
        let (outcome, reports) = with(|context| action.check(context));
        assert!(outcome.is_ok(), "{}", texts(&reports));
        assert_eq!(banned().len(), usize::try_from(count).unwrap());
        assert_eq!(action.standing().unwrap().in_kernel, banned().len());
    });
}

#[test]
fn an_address_that_two_jails_have_banned_is_free_when_both_have_lifted_it() {
    in_private_network(|| {
        let (mut first, mut second) = (native(&[("name", "one")]), native(&[("name", "two")]));
        do_bans(&mut first, &["192.0.2.1"]);
        do_bans(&mut second, &["192.0.2.1"]);
        unbans(&mut first, &["192.0.2.1"]);
        assert_eq!(banned(), ["192.0.2.1"]);
        let (outcome, _) = with(|context| first.stop(context));
        assert!(outcome.is_ok());
        assert_eq!(banned(), ["192.0.2.1"], "the other jail's ban stays");
        assert_eq!(check(&mut second), "");
        unbans(&mut second, &["192.0.2.1"]);
        assert_eq!(banned(), [""; 0]);
    });
}
