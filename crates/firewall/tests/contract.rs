//! What every `Firewall` promises; the kernel's against the kernel, read back by the program `nft`, in a private network namespace.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use ipnet::IpNet;
use stockade_firewall::{
    Block, Change, Events, Firewall, FirewallError, Memory, Nftables, PortRange, Protocol, Target,
};
use testkit::{Network, output_of, requires, wait_until};

const NEEDS: [&str; 5] = ["root", "unshare", "nsenter", "ip", "nft"];
const SOON: Duration = Duration::from_secs(10);

fn target(name: &str, ports: Option<&[(u16, u16)]>, protocols: &[u8], verdict: Block) -> Target {
    Target {
        table: "f2b-table".into(),
        chain: "f2b-chain".into(),
        priority: -1,
        hooks: Vec::new(),
        name: name.into(),
        ports: ports.map(|ports| ports.iter().map(|&(first, last)| PortRange { first, last }).collect()),
        protocols: protocols.iter().copied().map(Protocol).collect(),
        verdict,
    }
}

fn sshd() -> Target {
    target("sshd", Some(&[(22, 22)]), &[6], Block::Reject)
}

fn net(text: &str) -> IpNet {
    text.parse()
        .unwrap_or_else(|_| IpNet::from(text.parse::<std::net::IpAddr>().unwrap()))
}

fn add(text: &str, seconds: u64) -> Change {
    Change::Add(net(text), Some(seconds))
}

fn remove(text: &str) -> Change {
    Change::Remove(net(text))
}

/// Who is banned for how long, as the firewall lists it.
fn listed(firewall: &mut dyn Firewall, target: &Target) -> BTreeMap<String, Option<u64>> {
    firewall
        .list(target)
        .unwrap()
        .into_iter()
        .map(|element| (element.net.to_string(), element.expires))
        .collect()
}

fn names(firewall: &mut dyn Firewall, target: &Target) -> Vec<String> {
    listed(firewall, target).into_keys().collect()
}

fn nft(arguments: &[&str]) -> String {
    output_of(Command::new("nft").args(arguments))
}

/// What `nft` lists as one set's elements, without their times.
fn nft_elements(set: &str) -> Vec<String> {
    let listing = nft(&["list", "set", "inet", "f2b-table", set]);
    let Some((_, elements)) = listing.split_once("elements = {") else {
        return Vec::new();
    };
    let elements = elements.split_once('}').unwrap().0;
    let mut elements: Vec<String> = elements
        .split(',')
        .map(|element| element.split_whitespace().next().unwrap().to_owned())
        .collect();
    elements.sort();
    elements
}

fn in_private_network(test: impl FnOnce() + Send) {
    if requires(&NEEDS) {
        Network::new().run(test);
    }
}

/// What all implementations promise.
fn keeps_the_contract(firewall: &mut dyn Firewall) {
    let (sshd, other) = (sshd(), target("other", None, &[], Block::Drop));
    let ban = [add("192.0.2.1", 600)];
    assert!(
        firewall.apply(&sshd, &ban).unwrap_err().is_missing(),
        "nothing was prepared"
    );
    assert!(firewall.list(&sshd).unwrap_err().is_missing());
    firewall.remove(&sshd).unwrap();

    firewall.prepare(&sshd).unwrap();
    firewall.prepare(&sshd).unwrap();
    firewall.prepare(&other).unwrap();
    firewall.check(&sshd).unwrap();
    assert_eq!(names(firewall, &sshd), [""; 0]);

    firewall
        .apply(
            &sshd,
            &[
                add("192.0.2.1", 600),
                add("2001:db8::1", 600),
                add("198.51.100.0/24", 600),
                add("2001:db8:1::/48", 600),
                Change::Add(net("192.0.2.2"), None),
            ],
        )
        .unwrap();
    let all = [
        "192.0.2.1/32",
        "192.0.2.2/32",
        "198.51.100.0/24",
        "2001:db8:1::/48",
        "2001:db8::1/128",
    ];
    assert_eq!(names(firewall, &sshd), all);
    assert_eq!(names(firewall, &other), [""; 0]);
    assert_eq!(listed(firewall, &sshd)["192.0.2.2/32"], None);
    let seconds = listed(firewall, &sshd)["192.0.2.1/32"].unwrap();
    assert!((590..=600).contains(&seconds), "{seconds}");

    // Again, prolonged, shortened, made endless and back.
    for (name, time, range) in [
        ("the same", Some(600), 590..=600),
        ("longer", Some(6000), 5990..=6000),
        ("shorter", Some(60), 50..=60),
        ("endless", None, 0..=0),
        ("limited", Some(600), 590..=600),
    ] {
        for ban in ["192.0.2.1", "198.51.100.0/24", "2001:db8::1"] {
            firewall.apply(&sshd, &[Change::Add(net(ban), time)]).unwrap();
            let left = listed(firewall, &sshd)[&net(ban).to_string()];
            assert_eq!(left.is_some(), time.is_some(), "{name} {ban}");
            assert!(left.is_none_or(|left| range.contains(&left)), "{name} {ban}: {left:?}");
        }
        assert_eq!(names(firewall, &sshd), all, "{name}");
    }

    // What is not there can be removed; one batch may do everything at once; the last word counts.
    firewall
        .apply(&sshd, &[remove("203.0.113.9"), remove("203.0.113.0/28")])
        .unwrap();
    firewall
        .apply(
            &sshd,
            &[
                remove("192.0.2.2"),
                remove("203.0.113.9"),
                add("192.0.2.1", 700),
                add("192.0.2.3", 600),
                add("192.0.2.4", 600),
                remove("192.0.2.4"),
                add("192.0.2.5", 0),
                remove("2001:db8:1::/48"),
            ],
        )
        .unwrap();
    assert_eq!(
        names(firewall, &sshd),
        ["192.0.2.1/32", "192.0.2.3/32", "198.51.100.0/24", "2001:db8::1/128"]
    );
    firewall.apply(&sshd, &[]).unwrap();

    let asked = [
        "192.0.2.1",
        "192.0.2.2",
        "198.51.100.7/24",
        "198.51.100.0/25",
        "2001:db8::1",
        "::ffff:192.0.2.3",
    ];
    assert_eq!(
        firewall.holds(&sshd, &asked.map(net)).unwrap(),
        [true, false, true, false, true, true]
    );

    // What is kept is there afterwards, whether or not it was before.
    let kept = [
        Change::Keep(net("192.0.2.1"), Some(700)),
        Change::Keep(net("203.0.113.7"), Some(60)),
        Change::Keep(net("203.0.113.64/26"), None),
    ];
    for _ in 0..2 {
        firewall.apply(&sshd, &kept).unwrap();
        let now = listed(firewall, &sshd);
        assert!((690..=700).contains(&now["192.0.2.1/32"].unwrap()));
        assert!((50..=60).contains(&now["203.0.113.7/32"].unwrap()));
        assert_eq!((now["203.0.113.64/26"], now.len()), (None, 6));
    }
    firewall
        .apply(&sshd, &[remove("203.0.113.7"), remove("203.0.113.64/26")])
        .unwrap();

    // Networks in networks, and addresses in them, each for itself.
    let nested = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3/32", "0.0.0.0/0"];
    for ban in nested {
        firewall.apply(&other, &[add(ban, 600)]).unwrap();
    }
    for (removed, left) in [
        (
            "10.0.0.0/8",
            vec!["0.0.0.0/0", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3/32"],
        ),
        ("10.1.2.0/24", vec!["0.0.0.0/0", "10.1.0.0/16", "10.1.2.3/32"]),
        ("0.0.0.0/0", vec!["10.1.0.0/16", "10.1.2.3/32"]),
    ] {
        firewall.apply(&other, &[remove(removed)]).unwrap();
        assert_eq!(names(firewall, &other), left, "without {removed}");
    }

    firewall.remove(&sshd).unwrap();
    assert!(firewall.list(&sshd).unwrap_err().is_missing());
    assert!(firewall.apply(&sshd, &ban).unwrap_err().is_missing());
    assert_eq!(
        names(firewall, &other),
        ["10.1.0.0/16", "10.1.2.3/32"],
        "removing one leaves the other"
    );
    firewall.remove(&other).unwrap();
    firewall.remove(&other).unwrap();
}

#[test]
fn memory_keeps_the_contract() {
    keeps_the_contract(&mut Memory::new());
}

#[test]
fn the_kernel_keeps_the_contract_and_is_left_as_it_was() {
    in_private_network(|| {
        keeps_the_contract(&mut Nftables::open().unwrap());
        assert_eq!(nft(&["list", "ruleset"]), "");
    });
}

#[test]
fn nft_lists_what_was_banned_and_what_not() {
    in_private_network(|| {
        let mut firewall = Nftables::open().unwrap();
        firewall.prepare(&sshd()).unwrap();
        firewall
            .apply(
                &sshd(),
                &[
                    add("192.0.2.1", 600),
                    add("2001:db8::1", 600),
                    Change::Add(net("192.0.2.2"), None),
                ],
            )
            .unwrap();
        firewall
            .apply(
                &sshd(),
                &[add("198.51.100.77/24", 60), add("192.0.2.3", 60), remove("192.0.2.3")],
            )
            .unwrap();
        assert_eq!(nft_elements("addr-set-sshd"), ["192.0.2.1", "192.0.2.2"]);
        assert_eq!(nft_elements("addr6-set-sshd"), ["2001:db8::1"]);
        assert_eq!(nft_elements("addr-net24-set-sshd"), ["198.51.100.0"]);
        let set = nft(&["list", "set", "inet", "f2b-table", "addr-set-sshd"]);
        assert!(
            set.contains("192.0.2.1 counter packets 0 bytes 0 timeout 10m expires 9m5"),
            "{set}"
        );
        assert!(!set.contains("192.0.2.2 timeout"), "{set}");
    });
}

#[test]
fn the_kernel_ends_a_ban_by_itself_and_not_before_a_prolonged_end() {
    in_private_network(|| {
        let (mut firewall, sshd) = (Nftables::open().unwrap(), sshd());
        firewall.prepare(&sshd).unwrap();
        firewall
            .apply(
                &sshd,
                &[add("192.0.2.1", 1), add("192.0.2.2", 1), add("198.51.100.0/24", 1)],
            )
            .unwrap();
        firewall.apply(&sshd, &[add("192.0.2.2", 600)]).unwrap();
        wait_until(SOON, "two bans end", || nft_elements("addr-set-sshd").len() == 1);
        wait_until(SOON, "the network's ban ends", || {
            nft_elements("addr-net24-set-sshd").is_empty()
        });
        assert_eq!(names(&mut firewall, &sshd), ["192.0.2.2/32"]);
        // Ended by the kernel, unbanned by the jail, banned again.
        firewall.apply(&sshd, &[remove("192.0.2.1")]).unwrap();
        firewall.apply(&sshd, &[add("192.0.2.1", 600)]).unwrap();
        assert_eq!(nft_elements("addr-set-sshd"), ["192.0.2.1", "192.0.2.2"]);
    });
}

/// Takes the start commands for IPv4 and IPv6 out of the dump of Fail2Ban's client, and fills in what it left to run time.
const READ_ACTION: &str = r"
import sys, ast, re
for line in sys.stdin:
    if not line.startswith('['): continue
    command = ast.literal_eval(line.strip())
    if command[0] == 'multi-set' and command[2] == 'action':
        options = dict(command[-1])
        for family in ('', '?family=inet6'):
            start = options['actionstart']
            while re.search('<[a-z_]+>', start):
                start = re.sub('<([a-z_]+)>', lambda m: options.get(m[1] + family, options.get(m[1])), start)
            print(start)
";

/// Rules as the stock action of the installed Fail2Ban makes them: its commands, resolved by its own client, run by hand.
fn stock_rules(protocol: &str, port: &str, kind: &str, block: &str) -> Vec<String> {
    let directory = testkit::TempDir::new("stock");
    output_of(
        Command::new("cp")
            .arg("-r")
            .arg("/etc/fail2ban/.")
            .arg(directory.path()),
    );
    for name in ["jail.local", "jail.d"] {
        // Debian's own switches are not of interest; they may be absent.
        let _ = std::fs::remove_dir_all(directory.join(name)).or_else(|_| std::fs::remove_file(directory.join(name)));
    }
    directory.write("f.log", "");
    directory.write(
        "jail.local",
        format!(
            "[sshd]\nenabled = true\nbackend = polling\nlogpath = {}\naction = nftables[name=sshd, type={kind}, port=\"{port}\", protocol=\"{protocol}\", blocktype=\"{block}\"]\n",
            directory.join("f.log").display()
        ),
    );
    let dump = output_of(
        Command::new("fail2ban-client")
            .arg("-c")
            .arg(directory.path())
            .arg("-d"),
    );
    let mut script = piped(Command::new("python3").args(["-c", READ_ACTION]), &dump);
    assert!(!script.contains('<'), "{script}");
    script.insert_str(0, "set -e\n");
    assert!(script.contains("add rule"), "{script}\n{dump}");
    output_of(Command::new("sh").args(["-c", &script]));
    let rules = rules();
    output_of(Command::new("nft").args(["flush", "ruleset"]));
    rules
}

fn piped(command: &mut Command, input: &str) -> String {
    use std::io::Write as _;
    use std::process::Stdio;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

/// The lines of our chain as `nft` lists them.
fn rules() -> Vec<String> {
    let chain = nft(&["list", "chain", "inet", "f2b-table", "f2b-chain"]);
    chain.lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn rules_read_as_those_of_fail2ban_itself() {
    if !requires(&["fail2ban-client", "python3"]) {
        return;
    }
    in_private_network(|| {
        for (protocol, port, kind, block) in [
            ("tcp", "22", "multiport", "reject"),
            ("tcp", "22", "multiport", "drop"),
            ("tcp,udp", "5060,5061", "multiport", "reject"),
            ("udp", "5060,5061,10000:20000", "multiport", "drop"),
            ("tcp", "1000:2000", "multiport", "reject"),
            ("tcp", "0:65535", "multiport", "reject"),
            ("tcp", "22", "allports", "reject"),
            ("tcp,udp", "22", "allports", "drop"),
        ] {
            let theirs = stock_rules(protocol, port, kind, block);
            let ports: Vec<(u16, u16)> = port
                .split(',')
                .map(|range| range.split_once(':').unwrap_or((range, range)))
                .map(|(first, last)| (first.parse().unwrap(), last.parse().unwrap()))
                .collect();
            let protocols: Vec<u8> = protocol
                .split(',')
                .map(|name| if name == "tcp" { 6 } else { 17 })
                .collect();
            let block = if block == "drop" { Block::Drop } else { Block::Reject };
            let target = target(
                "sshd",
                (kind == "multiport").then_some(ports.as_slice()),
                &protocols,
                block,
            );
            let mut firewall = Nftables::open().unwrap();
            firewall.prepare(&target).unwrap();
            assert_eq!(rules(), theirs, "{protocol} {port} {kind}");
            firewall.remove(&target).unwrap();
        }
    });
}

#[test]
fn nft_can_load_again_what_it_lists_of_ours() {
    in_private_network(|| {
        let mut firewall = Nftables::open().unwrap();
        for target in [
            target("any", None, &[], Block::Drop),
            target(
                "ports",
                Some(&[(5060, 5061), (10_000, 20_000)]),
                &[6, 17, 1],
                Block::Reject,
            ),
            target("all-protocols", Some(&[(22, 22), (80, 80)]), &[], Block::Reject),
        ] {
            firewall.prepare(&target).unwrap();
            let bans = [
                "192.0.2.1",
                "2001:db8::1",
                "198.51.100.0/24",
                "2001:db8::/32",
                "0.0.0.0/0",
                "::/0",
            ];
            firewall
                .apply(&target, &bans.map(|ban| Change::Add(net(ban), None)))
                .unwrap();
        }
        let listing = nft(&["list", "ruleset"]);
        nft(&["flush", "ruleset"]);
        piped(Command::new("nft").args(["-f", "-"]), &listing);
        assert_eq!(nft(&["list", "ruleset"]), listing);
        assert!(
            listing.contains("ip saddr & 255.255.255.0 == @addr-net24-set-any drop"),
            "{listing}"
        );
    });
}

#[test]
fn what_an_earlier_run_left_stays_banned_until_the_caller_takes_it_out() {
    in_private_network(|| {
        let sshd = sshd();
        let mut crashed = Nftables::open().unwrap();
        crashed.prepare(&sshd).unwrap();
        crashed
            .apply(
                &sshd,
                &[
                    add("192.0.2.1", 600),
                    add("192.0.2.2", 600),
                    add("198.51.100.0/24", 600),
                ],
            )
            .unwrap();
        drop(crashed);

        let mut firewall = Nftables::open().unwrap();
        assert!(
            firewall.apply(&sshd, &[]).unwrap_err().is_missing(),
            "a new run prepares first"
        );
        firewall.prepare(&sshd).unwrap();
        firewall.prepare(&sshd).unwrap();
        firewall
            .apply(&sshd, &[add("192.0.2.2", 60), add("192.0.2.3", 60)])
            .unwrap();
        assert_eq!(names(&mut firewall, &sshd).len(), 4, "no hole");
        firewall
            .apply(&sshd, &[remove("192.0.2.1"), remove("198.51.100.0/24")])
            .unwrap();
        assert_eq!(names(&mut firewall, &sshd), ["192.0.2.2/32", "192.0.2.3/32"]);
        // From now on they are ours, and preparing again loses nothing.
        firewall.prepare(&sshd).unwrap();
        firewall
            .apply(&sshd, &[add("192.0.2.4", 60), add("198.51.100.0/24", 60)])
            .unwrap();
        assert_eq!(names(&mut firewall, &sshd).len(), 4);
        firewall.check(&sshd).unwrap();
        firewall.remove(&sshd).unwrap();
        assert_eq!(nft(&["list", "ruleset"]), "");
    });
}

#[test]
fn takes_over_sets_that_fail2ban_itself_left() {
    in_private_network(|| {
        nft(&["add", "table", "inet", "f2b-table"]);
        nft(&[
            "--",
            "add",
            "chain",
            "inet",
            "f2b-table",
            "f2b-chain",
            "{ type filter hook input priority -1; }",
        ]);
        nft(&[
            "add",
            "set",
            "inet",
            "f2b-table",
            "addr-set-sshd",
            "{ type ipv4_addr; }",
        ]);
        nft(&[
            "add",
            "rule",
            "inet",
            "f2b-table",
            "f2b-chain",
            "tcp dport 22 ip saddr @addr-set-sshd reject",
        ]);
        let two = "{ 192.0.2.1, 192.0.2.9 }";
        nft(&["add", "element", "inet", "f2b-table", "addr-set-sshd", two]);
        let mut firewall = Nftables::open().unwrap();
        firewall.prepare(&sshd()).unwrap();
        assert_eq!(nft_elements("addr-set-sshd"), ["192.0.2.1", "192.0.2.9"], "no hole");
        firewall.apply(&sshd(), &[add("192.0.2.1", 600)]).unwrap();
        assert_eq!(rules().iter().filter(|rule| rule.contains("@addr-set-sshd")).count(), 1);
        let set = nft(&["list", "set", "inet", "f2b-table", "addr-set-sshd"]);
        assert!(set.contains("192.0.2.1 counter packets 0 bytes 0 timeout 10m"), "{set}");
    });
}

#[test]
fn a_set_with_properties_of_somebody_else_is_made_anew_with_what_it_holds() {
    in_private_network(|| {
        for (name, properties, held) in [
            ("without times", "type ipv4_addr;", "192.0.2.1, 192.0.2.2"),
            (
                "limited",
                "type ipv4_addr; flags timeout; size 2; counter;",
                "192.0.2.1, 192.0.2.2",
            ),
            (
                "ending",
                "type ipv4_addr; flags timeout; timeout 1h; counter;",
                "192.0.2.1, 192.0.2.2",
            ),
            (
                "without counters",
                "type ipv4_addr; flags timeout;",
                "192.0.2.1 timeout 1h, 192.0.2.2",
            ),
            ("of intervals", "type ipv4_addr; flags interval;", "192.0.2.0/24"),
            ("of others", "type ipv6_addr;", "2001:db8::1"),
        ] {
            nft(&["add", "table", "inet", "f2b-table"]);
            let properties = format!("{{ {properties} elements = {{ {held} }}; }}");
            nft(&["add", "set", "inet", "f2b-table", "addr-set-sshd", &properties]);
            let mut firewall = Nftables::open().unwrap();
            firewall.prepare(&sshd()).unwrap();
            let listing = nft(&["list", "set", "inet", "f2b-table", "addr-set-sshd"]);
            let expected: &[&str] = if name.starts_with("of ") {
                &[]
            } else {
                &["192.0.2.1", "192.0.2.2"]
            };
            assert_eq!(nft_elements("addr-set-sshd"), expected, "{name}: {listing}");
            let has_time = ["without counters", "ending"].contains(&name);
            assert_eq!(
                listing.contains("192.0.2.1 counter packets 0 bytes 0 timeout"),
                has_time
            );
            firewall
                .apply(&sshd(), &[Change::Add(net("192.0.2.3"), None), add("192.0.2.4", 60)])
                .unwrap();
            let listing = nft(&["list", "set", "inet", "f2b-table", "addr-set-sshd"]);
            assert!(!listing.contains("size"), "{name}: {listing}");
            assert!(
                !listing.contains("192.0.2.3 counter packets 0 bytes 0 timeout"),
                "{name}: {listing}"
            );
            firewall.remove(&sshd()).unwrap();
            assert_eq!(nft(&["list", "ruleset"]), "", "{name}");
        }
    });
}

#[test]
fn a_set_that_is_full_is_told_and_preparing_again_makes_room() {
    in_private_network(|| {
        let (mut firewall, sshd) = (Nftables::open().unwrap(), sshd());
        firewall.prepare(&sshd).unwrap();
        firewall
            .apply(&sshd, &[add("192.0.2.1", 600), add("192.0.2.2", 600)])
            .unwrap();
        // Somebody loads the ruleset anew, and means well.
        let listing = nft(&["list", "ruleset"]);
        nft(&["flush", "ruleset"]);
        let limited = listing.replacen("type ipv4_addr", "type ipv4_addr\n size 3", 1);
        piped(Command::new("nft").args(["-f", "-"]), &limited);
        let more: Vec<Change> = (3..100).map(|number| add(&format!("192.0.2.{number}"), 600)).collect();
        let error = firewall.apply(&sshd, &more).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("cannot add addresses to set `addr-set-sshd`") && text.contains("the set is full; mend: "),
            "{text}"
        );
        assert!(error.is_missing(), "it helps to prepare");
        assert_eq!(
            nft_elements("addr-set-sshd"),
            ["192.0.2.1", "192.0.2.2"],
            "whole or not at all"
        );
        firewall.prepare(&sshd).unwrap();
        firewall.apply(&sshd, &more).unwrap();
        assert_eq!(nft_elements("addr-set-sshd").len(), 99);
    });
}

#[test]
fn says_so_when_somebody_flushed_the_ruleset_or_deleted_a_rule() {
    in_private_network(|| {
        let (mut firewall, sshd) = (Nftables::open().unwrap(), sshd());
        firewall.prepare(&sshd).unwrap();
        firewall
            .apply(&sshd, &[add("192.0.2.1", 600), add("198.51.100.0/24", 600)])
            .unwrap();
        nft(&["flush", "ruleset"]);
        for change in [
            add("192.0.2.2", 600),
            remove("192.0.2.1"),
            add("198.51.100.0/24", 600),
            add("198.51.100.0/25", 600),
        ] {
            let error = firewall.apply(&sshd, &[change]).unwrap_err();
            assert!(matches!(error, FirewallError::Missing { .. }), "{change:?}: {error}");
        }
        firewall.prepare(&sshd).unwrap();
        firewall
            .apply(&sshd, &[add("192.0.2.1", 600), add("198.51.100.0/24", 600)])
            .unwrap();
        assert_eq!(nft_elements("addr-set-sshd"), ["192.0.2.1"]);
        assert_eq!(nft_elements("addr-net24-set-sshd"), ["198.51.100.0"]);

        nft(&["flush", "chain", "inet", "f2b-table", "f2b-chain"]);
        assert!(firewall.check(&sshd).unwrap_err().is_missing());
        firewall.prepare(&sshd).unwrap();
        firewall.check(&sshd).unwrap();
        assert_eq!(
            nft_elements("addr-set-sshd"),
            ["192.0.2.1"],
            "repairing the rules keeps the bans"
        );
    });
}

#[test]
fn leaves_alone_what_others_have_in_the_table_and_in_the_chain() {
    in_private_network(|| {
        let mut firewall = Nftables::open().unwrap();
        firewall.prepare(&sshd()).unwrap();
        nft(&["add", "rule", "inet", "f2b-table", "f2b-chain", "counter"]);
        nft(&[
            "add",
            "set",
            "inet",
            "f2b-table",
            "addr-set-sshd2",
            "{ type ipv4_addr; }",
        ]);
        nft(&["add", "table", "ip", "elsewhere"]);
        firewall.remove(&sshd()).unwrap();
        assert_eq!(firewall.tables().unwrap(), ["f2b-table", "elsewhere"]);
        let left = nft(&["list", "ruleset"]);
        assert!(
            left.contains("counter packets") && left.contains("set addr-set-sshd2"),
            "{left}"
        );
        assert!(!left.contains("@addr-set-sshd"), "{left}");
    });
}

#[test]
fn a_batch_is_applied_whole_or_not_at_all() {
    in_private_network(|| {
        let (mut firewall, sshd) = (Nftables::open().unwrap(), sshd());
        firewall.prepare(&sshd).unwrap();
        firewall.apply(&sshd, &[add("192.0.2.1", 600)]).unwrap();
        // With the set of IPv6 gone a batch for both cannot succeed.
        nft(&["flush", "chain", "inet", "f2b-table", "f2b-chain"]);
        nft(&["delete", "set", "inet", "f2b-table", "addr6-set-sshd"]);
        let error = firewall.apply(
            &sshd,
            &[remove("192.0.2.1"), add("192.0.2.2", 600), add("2001:db8::1", 600)],
        );
        assert!(error.unwrap_err().is_missing());
        assert_eq!(nft_elements("addr-set-sshd"), ["192.0.2.1"]);
    });
}

#[test]
fn tens_of_thousands_of_bans_are_one_batch() {
    in_private_network(|| {
        let (mut firewall, sshd) = (Nftables::open().unwrap(), sshd());
        firewall.prepare(&sshd).unwrap();
        let v4 = (0..20_000_u32).map(|n| IpNet::from(std::net::IpAddr::from((0x0a00_0000 + n * 7).to_be_bytes())));
        let v6 =
            (0..20_000_u128).map(|n| IpNet::from(std::net::IpAddr::from(((0x2001_0db8 << 96) + n * 7).to_be_bytes())));
        let bans: Vec<Change> = v4.chain(v6).map(|net| Change::Add(net, Some(600))).collect();
        for round in ["new", "prolonged"] {
            firewall.apply(&sshd, &bans).unwrap();
            assert_eq!(firewall.list(&sshd).unwrap().len(), bans.len(), "{round}");
        }
        assert_eq!(nft_elements("addr6-set-sshd").len(), 20_000);
        let removals: Vec<Change> = bans
            .iter()
            .map(|change| match change {
                Change::Add(net, _) | Change::Keep(net, _) | Change::Remove(net) => Change::Remove(*net),
            })
            .collect();
        for _ in 0..2 {
            firewall.apply(&sshd, &removals).unwrap();
            assert_eq!(firewall.list(&sshd).unwrap(), []);
        }
    });
}

#[test]
fn names_that_nft_could_not_read_are_refused_with_a_mend() {
    in_private_network(|| {
        let mut firewall = Nftables::open().unwrap();
        for name in ["", "a b", "x}; flush ruleset; {", "ü", "a\nb"] {
            let error = firewall.prepare(&target(name, None, &[], Block::Drop)).unwrap_err();
            assert!(matches!(error, FirewallError::Name { .. }), "{name:?}: {error}");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
        assert_eq!(nft(&["list", "ruleset"]), "");
    });
}

#[test]
fn a_refusal_names_the_object_the_reason_and_a_mend() {
    in_private_network(|| {
        nft(&["add", "table", "inet", "f2b-table"]);
        nft(&[
            "add",
            "chain",
            "inet",
            "f2b-table",
            "f2b-chain",
            "{ type filter hook output priority 5; }",
        ]);
        let error = Nftables::open().unwrap().prepare(&sshd()).unwrap_err().to_string();
        assert!(
            error.starts_with("cannot add chain `f2b-chain` in table `inet f2b-table`: "),
            "{error}"
        );
        assert!(error.contains("mend: something else has this name"), "{error}");
    });
}

#[test]
fn events_tell_of_bans_and_unbans_by_anybody() {
    in_private_network(|| {
        let (mut firewall, sshd) = (Nftables::open().unwrap(), sshd());
        firewall.prepare(&sshd).unwrap();
        let mut events = Events::open().unwrap();
        let mut heard = Vec::new();
        let mut hear = |count: usize| {
            wait_until(SOON, "events come", || {
                let new = events.next(Duration::from_millis(20)).unwrap();
                heard.extend(
                    new.into_iter()
                        .map(|event| (event.name, event.net.to_string(), event.added)),
                );
                heard.len() >= count
            });
            std::mem::take(&mut heard)
        };
        firewall
            .apply(&sshd, &[add("192.0.2.1", 600), add("2001:db8:1::/48", 60)])
            .unwrap();
        assert_eq!(
            hear(2),
            [
                ("sshd".to_owned(), "192.0.2.1/32".to_owned(), Some(Some(600))),
                ("sshd".to_owned(), "2001:db8:1::/48".to_owned(), Some(Some(60)))
            ]
        );
        nft(&[
            "delete",
            "element",
            "inet",
            "f2b-table",
            "addr-set-sshd",
            "{ 192.0.2.1 }",
        ]);
        assert_eq!(hear(1), [("sshd".to_owned(), "192.0.2.1/32".to_owned(), None)]);
    });
}
