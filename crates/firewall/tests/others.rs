//! Sets that others have made, and what others do to ours, against the real kernel in private network namespaces.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::io::Write as _;
use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

use stockade_firewall::{
    Block, Change, Disturbance, Firewall as _, Ipset, NamedSet, Nftables, TableFamily, Target, Watch,
};
use testkit::{Network, output_of, requires, wait_for};

const NEEDS: [&str; 6] = ["root", "unshare", "nsenter", "ip", "nft", "ipset"];

const SOON: Duration = Duration::from_secs(60);

fn in_private_network(test: impl FnOnce() + Send) {
    if requires(&NEEDS) {
        Network::new().run(test);
    }
}

fn run(program: &str, words: &[&str]) -> String {
    output_of(Command::new(program).args(words))
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn set(name: &str) -> NamedSet {
    NamedSet {
        family: TableFamily::Inet,
        table: "t".into(),
        set: name.into(),
    }
}

fn target() -> Target {
    Target {
        table: "f2b-table".into(),
        chain: "f2b-chain".into(),
        priority: -1,
        hooks: Vec::new(),
        name: "j".into(),
        ports: None,
        protocols: Vec::new(),
        verdict: Block::Drop,
    }
}

fn make(name: &str, properties: &str) {
    run("nft", &["add", "table", "inet", "t"]);
    run("nft", &["add", "set", "inet", "t", name, properties]);
}

#[test]
fn changes_elements_of_plain_sets_and_of_intervals_whatever_is_there() {
    in_private_network(|| {
        let mut kernel = Nftables::open().unwrap();
        for (name, properties) in [
            ("plain", "{ type ipv4_addr; }"),
            ("intervals", "{ type ipv4_addr; flags interval; }"),
            ("times", "{ type ipv4_addr; flags timeout; timeout 1h; }"),
        ] {
            make(name, properties);
            let set = set(name);
            let (one, two, three) = (address("192.0.2.1"), address("192.0.2.2"), address("192.0.2.3"));
            kernel.change_elements(&set, &[one, two], true).unwrap();
            kernel.change_elements(&set, &[two, three, three], true).unwrap();
            kernel
                .change_elements(&set, &[one, address("203.0.113.1")], false)
                .unwrap();
            let listing = run("nft", &["list", "set", "inet", "t", name]);
            let has =
                |address: &str| listing.contains(&format!("{address} ")) || listing.contains(&format!("{address},"));
            let has_range = listing.contains("192.0.2.2-192.0.2.3");
            assert!(has_range || has("192.0.2.2") && has("192.0.2.3"), "{listing}");
            assert!(!has("192.0.2.1") && !has("203.0.113.1"), "{listing}");
            let expected = [two, three].into_iter().collect();
            if name == "times" {
                assert!(kernel.elements(&set).is_err(), "they may end by themselves");
            } else {
                assert_eq!(kernel.elements(&set).unwrap(), expected, "{name}");
            }
            // The program nft can go on from there.
            run("nft", &["delete", "element", "inet", "t", name, "{ 192.0.2.3 }"]);
            run("nft", &["add", "element", "inet", "t", name, "{ 192.0.2.9 }"]);
        }
        let many: Vec<IpAddr> = (0..100_000_u32)
            .map(|number| std::net::Ipv4Addr::from(0x0a00_0000 + 2 * number).into())
            .collect();
        make("many", "{ type ipv4_addr; flags interval; }");
        kernel.change_elements(&set("many"), &many, true).unwrap();
        kernel.change_elements(&set("many"), &many, false).unwrap();
        assert!(!run("nft", &["list", "set", "inet", "t", "many"]).contains("elements"));
    });
}

#[test]
fn leaves_sets_alone_that_it_does_not_understand() {
    in_private_network(|| {
        let mut kernel = Nftables::open().unwrap();
        let addresses = [address("192.0.2.1")];
        assert!(
            kernel
                .change_elements(&set("none"), &addresses, true)
                .unwrap_err()
                .is_missing()
        );
        for (name, properties) in [
            ("v6", "{ type ipv6_addr; }"),
            ("pairs", "{ type ipv4_addr . inet_service; }"),
            ("merged", "{ type ipv4_addr; flags interval; auto-merge; }"),
            (
                "covered",
                "{ type ipv4_addr; flags interval; elements = { 192.0.2.0/24 }; }",
            ),
        ] {
            make(name, properties);
            let before = run("nft", &["list", "ruleset"]);
            assert!(kernel.change_elements(&set(name), &addresses, true).is_err(), "{name}");
            assert_eq!(run("nft", &["list", "ruleset"]), before, "{name}");
        }
    });
}

#[test]
fn ipset_tells_of_a_full_set_and_of_one_that_is_not_there() {
    in_private_network(|| {
        let mut kernel = Ipset::open().unwrap();
        let one = [(address("192.0.2.1"), None)];
        let error = kernel.change("none", &one, true).unwrap_err().to_string();
        assert!(error.contains("`none`: it is not there"), "{error}");
        run(
            "ipset",
            &["create", "small", "hash:ip", "maxelem", "2", "hashsize", "64"],
        );
        let many: Vec<_> = (1..=200_u8)
            .map(|last| (IpAddr::from([192, 0, 2, last]), None))
            .collect();
        let error = kernel.change("small", &many, true).unwrap_err().to_string();
        assert!(error.contains("the set is full"), "{error}");
        let error = kernel
            .change("small", &[(address("2001:db8::1"), None)], true)
            .unwrap_err()
            .to_string();
        assert!(error.contains("cannot change ipset `small`"), "{error}");
        assert!(kernel.change(&"x".repeat(40), &one, true).is_err());

        run(
            "ipset",
            &["create", "large", "hash:ip", "maxelem", "200000", "timeout", "0"],
        );
        let many: Vec<_> = (0..100_000_u32)
            .map(|number| (std::net::Ipv4Addr::from(0x0a00_0000 + number).into(), Some(600)))
            .collect();
        kernel.change("large", &many, true).unwrap();
        kernel.change("large", &many, true).unwrap();
        assert!(run("ipset", &["list", "-t", "large"]).contains("Number of entries: 100000"));
        assert_eq!(kernel.elements("large").unwrap().len(), 100_000);
        assert!(kernel.elements("none").is_err());
        kernel.change("large", &many, false).unwrap();
        kernel.change("large", &many, false).unwrap();
        assert!(kernel.elements("large").unwrap().is_empty());
        assert!(run("ipset", &["list", "-t", "large"]).contains("Number of entries: 0"));
    });
}

#[test]
fn hears_who_deletes_something_and_not_what_we_do() {
    in_private_network(|| {
        make("s", "{ type ipv4_addr; }");
        let mut watch = Watch::open().unwrap();
        let mut kernel = Nftables::open().unwrap();
        let mut next = |patience| watch.next(patience, Nftables::is_ours).unwrap().into_iter().next();
        let addresses = [address("192.0.2.1"), address("192.0.2.2")];
        kernel.change_elements(&set("s"), &addresses, true).unwrap();
        kernel.change_elements(&set("s"), &addresses[..1], false).unwrap();
        for words in [&["flush", "set", "inet", "t", "s"][..], &["flush", "ruleset"]] {
            run("nft", words);
            let heard = wait_for(Duration::from_secs(5), "it is heard", || {
                next(Duration::from_millis(100))
            });
            assert_eq!(
                (heard.tables, heard.program.as_deref()),
                (vec!["t".to_owned()], Some("nft"))
            );
        }
        make("s", "{ type ipv4_addr; }");
        assert_eq!(next(Duration::from_millis(50)), None, "what is added is nobody's loss");
    });
}

#[test]
fn a_flood_of_which_not_all_is_heard_may_have_deleted_anything() {
    in_private_network(|| {
        let target = target();
        let mut kernel = Nftables::open().unwrap();
        kernel.prepare(&target).unwrap();
        let bans: Vec<Change> = (0..60_000_u32)
            .map(|number| Change::Add(IpAddr::from((0x0a00_0000 + number).to_be_bytes()).into(), Some(600)))
            .collect();
        let mut watch = Watch::open().unwrap();
        // Each element makes a notice; nobody reads them meanwhile, and the buffer is full.
        for _ in 0..4 {
            kernel.apply(&target, &bans).unwrap();
            run("nft", &["flush", "set", "inet", "f2b-table", "addr-set-j"]);
        }
        let anything = Disturbance {
            tables: Vec::new(),
            program: None,
        };
        let patience = Duration::from_millis(100);
        wait_for(SOON, "it is told that not all was heard", || {
            let heard = watch.next(patience, Nftables::is_ours).unwrap();
            heard.contains(&anything).then_some(())
        });
        // It goes on hearing: what was kept, and, when there is room again, what is new.
        wait_for(SOON, "the next is heard", || {
            make("marker", "{ type ipv4_addr; }");
            run("nft", &["delete", "table", "inet", "t"]);
            let heard: Vec<Disturbance> = (0..200)
                .flat_map(|_| watch.next(Duration::from_millis(1), Nftables::is_ours).unwrap())
                .collect();
            heard.iter().any(|heard| heard.tables == ["t"]).then_some(())
        });
    });
}

#[test]
fn a_table_that_belongs_to_another_process_is_told_so() {
    in_private_network(|| {
        let mut owner = Command::new("nft")
            .arg("-i")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut input = owner.stdin.take().unwrap();
        writeln!(input, "add table inet f2b-table {{ flags owner; }}").unwrap();
        wait_for(Duration::from_secs(5), "the table is there", || {
            run("nft", &["list", "tables"]).contains("f2b-table").then_some(())
        });
        let mut kernel = Nftables::open().unwrap();
        let error = kernel.prepare(&target()).unwrap_err().to_string();
        assert!(
            error.contains("belongs to another process") && error.contains("f2b-table"),
            "{error}"
        );
        drop(input);
        owner.wait().unwrap();
        kernel.prepare(&target()).unwrap();
    });
}
