//! What every way to the kernel promises, for IPv4 and IPv6, with nobody banned, with one, and with a hundred thousand: what is banned is in the
//! kernel, no less and no more, as the kernel's own programs list it; nothing is left at the end.

#![expect(clippy::unwrap_used, reason = "test code")]

mod common;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

use common::{action, ban, built, properties, texts, with};
use stockade_action::{Action, Context};
use stockade_core::effect::Ban;
use stockade_firewall::Nftables;
use testkit::{Network, output_of, requires, wait_until};

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

const SOON: Duration = Duration::from_secs(60);

const COUNTS: [u32; 3] = [0, 1, 100_000];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BackEnd {
    Native,
    Nftables,
    Iptables,
    Ipset,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Four,
    Six,
}

impl BackEnd {
    fn action(self) -> Action {
        match self {
            Self::Native => {
                let options = [
                    ("native", "nftables"),
                    ("name", "j"),
                    ("port", "22"),
                    ("timeout", "600"),
                ];
                let mut action = action(&options).unwrap();
                action.attach(Box::new(Nftables::open().unwrap()));
                action
            }
            Self::Nftables => stock("nftables-multiport[name=j, port=22, timeout=600]"),
            Self::Iptables => stock("iptables-multiport[name=j, port=22, timeout=600]"),
            Self::Ipset => stock("iptables-ipset-proto6[name=j, port=22, timeout=600]"),
        }
    }

    /// Who is banned, as the kernel's own program lists it.
    fn held(self, family: Family) -> BTreeSet<IpAddr> {
        let listing = match (self, family) {
            (Self::Native | Self::Nftables, Family::Four) => {
                run("nft list set inet f2b-table addr-set-j 2>/dev/null || true")
            }
            (Self::Native | Self::Nftables, Family::Six) => {
                run("nft list set inet f2b-table addr6-set-j 2>/dev/null || true")
            }
            (Self::Iptables, Family::Four) => run("iptables-save"),
            (Self::Iptables, Family::Six) => run("ip6tables-save"),
            (Self::Ipset, _) => run("ipset save"),
        };
        match self {
            Self::Native | Self::Nftables => {
                let elements = listing.split_once("elements = {").map_or("", |(_, rest)| rest);
                let elements = elements.split('}').next().unwrap_or_default().split(',');
                let addresses = elements.filter_map(|element| element.split_whitespace().next());
                addresses.map(|address| address.parse().unwrap()).collect()
            }
            Self::Iptables => {
                let bans = listing.lines().filter_map(|line| line.strip_prefix("-A f2b-j -s "));
                bans.map(|ban| ban.split('/').next().unwrap().parse().unwrap())
                    .collect()
            }
            Self::Ipset => {
                let bans = listing.lines().filter_map(|line| line.strip_prefix("add f2b-j"));
                bans.map(|ban| ban.split(' ').nth(1).unwrap().parse().unwrap())
                    .collect()
            }
        }
    }

    /// Somebody takes all bans out of the kernel.
    fn wipe(self, family: Family) {
        run(match (self, family) {
            (Self::Native | Self::Nftables, _) => "nft flush ruleset",
            (Self::Iptables, Family::Four) => "iptables -F f2b-j",
            (Self::Iptables, Family::Six) => "ip6tables -F f2b-j",
            (Self::Ipset, _) => "ipset flush",
        });
    }
}

/// An action of the package; its ipset gets room for more than 65,536.
fn stock(name: &str) -> Action {
    let mut properties = properties(name);
    for (key, value) in &mut properties {
        if key == "actionstart" {
            *value = value.replace("hash:ip", "hash:ip maxelem 1000000");
        }
    }
    built(&properties)
}

fn run(command: &str) -> String {
    output_of(Command::new("sh").args(["-c", command]))
}

fn addresses(family: Family, count: u32) -> BTreeSet<IpAddr> {
    let address = |number: u32| match family {
        Family::Four => IpAddr::from((0x0a00_0000 + number * 3).to_be_bytes()),
        Family::Six => IpAddr::from(((0x2001_0db8_u128 << 96) + (u128::from(number) << 40) + 1).to_be_bytes()),
    };
    (0..count).map(address).collect()
}

fn bans(addresses: &BTreeSet<IpAddr>) -> Vec<Ban> {
    addresses.iter().map(|address| ban(&address.to_string())).collect()
}

fn keeps_the_contract(back_end: BackEnd, family: Family, count: u32) {
    let what = format!("{back_end:?}, {family:?}, {count}");
    let mut action = back_end.action();
    assert!(action.works_in_bulk(), "{what}");
    // Beside a hundred thousand rules each look of iptables takes a second.
    let is_slow = count > 1 && back_end == BackEnd::Iptables;
    // Every step succeeds and has nothing grave to tell.
    let mut step = |work: &mut dyn FnMut(&mut Action, &mut Context<'_>) -> Result<(), stockade_action::ActionError>| {
        let (outcome, reports) = with(|context| work(&mut action, context));
        assert!(outcome.is_ok(), "{what}: {}", texts(&reports));
        let standing = action.standing().unwrap();
        (texts(&reports), standing.in_kernel, standing.should_be)
    };
    // A listing by the program nft may miss some while the kernel makes room for a hundred thousand, which it does after they are in.
    let holds = |expected: &BTreeSet<IpAddr>, when: &str| {
        let what = format!("{what}, {when}: {} are there and no other", expected.len());
        wait_until(SOON, &what, || back_end.held(family) == *expected);
    };
    let all = addresses(family, count);
    let total = all.len();
    let (first, second): (BTreeSet<IpAddr>, BTreeSet<IpAddr>) =
        all.iter()
            .copied()
            .enumerate()
            .fold(Default::default(), |(mut first, mut second), (place, address)| {
                if place % 2 == 0 {
                    first.insert(address)
                } else {
                    second.insert(address)
                };
                (first, second)
            });
    let other = BTreeSet::from([match family {
        Family::Four => "192.0.2.1".parse().unwrap(),
        Family::Six => "2001:db8:ffff::1".parse().unwrap(),
    }]);

    step(&mut |action, context| action.start(context));
    holds(&BTreeSet::new(), "after the start");
    let (_, in_kernel, should_be) = step(&mut |action, context| action.ban_many(&bans(&all), context));
    assert_eq!((in_kernel, should_be), (total, total), "{what}");
    holds(&all, "after the bans");
    if !is_slow {
        let (told, ..) = step(&mut |action, context| action.check(context));
        assert_eq!(told, "", "{what}: nothing is amiss");
        step(&mut |action, context| action.ban_many(&bans(&other), context));
        if count <= 1 {
            holds(&all.union(&other).copied().collect(), "after one more");
        }
        step(&mut |action, context| action.unban_many(&bans(&other), context));
    }
    step(&mut |action, context| action.unban_many(&bans(&first), context));
    holds(&second, "after half of the unbans");

    if !second.is_empty() {
        back_end.wipe(family);
        holds(&BTreeSet::new(), "after somebody wiped it");
        if back_end != BackEnd::Ipset && !is_slow {
            // Of an ipset with times nobody knows what has ended by itself.
            let mut standing = (1, 0);
            step(&mut |action, context| {
                let account = action.account(context).unwrap().standing;
                standing = (account.in_kernel, account.should_be);
                Ok(())
            });
            assert_eq!(standing, (0, second.len()), "{what}");
        }
        let (told, in_kernel, should_be) = step(&mut |action, context| action.check(context));
        assert!(told.lines().count() >= 1, "{what}: it is told");
        assert_eq!((in_kernel, should_be), (second.len(), second.len()), "{what}");
        holds(&second, "after the check");
        if !is_slow {
            let (told, ..) = step(&mut |action, context| action.check(context));
            assert_eq!(told, "", "{what}: once");
        }
    }
    step(&mut |action, context| action.flush(context));
    holds(&BTreeSet::new(), "after the unban of all");
    let some = first.into_iter().take(1000).collect();
    step(&mut |action, context| action.ban_many(&bans(&some), context));
    holds(&some, "after bans again");
    step(&mut |action, context| action.stop(context));
    let left = run("nft list ruleset; iptables-save; ip6tables-save; ipset save");
    assert!(!left.contains("f2b"), "{what}: {left}");
}

fn try_all(back_end: BackEnd) {
    if !requires(&NEEDS) {
        return;
    }
    for family in [Family::Four, Family::Six] {
        for count in COUNTS {
            Network::new().run(|| keeps_the_contract(back_end, family, count));
        }
    }
}

#[test]
fn native_nftables_keeps_the_contract() {
    try_all(BackEnd::Native);
}

#[test]
fn the_stock_nftables_action_in_bulk_keeps_the_contract() {
    try_all(BackEnd::Nftables);
}

#[test]
fn the_stock_iptables_action_in_bulk_keeps_the_contract() {
    try_all(BackEnd::Iptables);
}

#[test]
fn the_stock_ipset_action_in_bulk_keeps_the_contract() {
    try_all(BackEnd::Ipset);
}

#[test]
fn no_ban_is_lost_when_the_firewall_is_wiped_while_batches_are_under_way() {
    if !requires(&NEEDS) {
        return;
    }
    for (back_end, wipe) in [
        (BackEnd::Native, "nft flush ruleset"),
        (BackEnd::Nftables, "nft flush ruleset"),
        (BackEnd::Iptables, "iptables -F; iptables -X"),
        (BackEnd::Ipset, "iptables -F; ipset destroy"),
    ] {
        Network::new().run(|| {
            let mut action = back_end.action();
            let (outcome, reports) = with(|context| action.start(context));
            assert!(outcome.is_ok(), "{back_end:?}: {}", texts(&reports));
            let wiping = format!("i=0; while [ $i -lt 12 ]; do {wipe}; sleep 0.0$i; i=$((i+1)); done >/dev/null 2>&1");
            let mut wiping = Command::new("sh").args(["-c", &wiping]).spawn().unwrap();
            let mut all = BTreeSet::new();
            let mut told = String::new();
            while wiping.try_wait().unwrap().is_none() {
                let more = addresses(Family::Four, u32::try_from(all.len()).unwrap() + 50);
                let batch: BTreeSet<IpAddr> = more.difference(&all).copied().collect();
                // A batch may fail; what it was to do is made up for.
                let (_, reports) = with(|context| action.ban_many(&bans(&batch), context));
                told.push_str(&texts(&reports));
                all = more;
            }
            // The second look is for what could not be repaired in the first, as something was left of a wipe.
            for _ in 0..2 {
                let (_, reports) = with(|context| action.check(context));
                told.push_str(&texts(&reports));
            }
            let held = back_end.held(Family::Four);
            let lost = all.difference(&held).count();
            assert_eq!((lost, held.len()), (0, all.len()), "{back_end:?}: {told}");
            let standing = action.standing().unwrap();
            assert_eq!(
                (standing.in_kernel, standing.should_be),
                (all.len(), all.len()),
                "{back_end:?}"
            );
            let (outcome, reports) = with(|context| action.stop(context));
            assert!(outcome.is_ok(), "{back_end:?}: {}", texts(&reports));
        });
    }
}
