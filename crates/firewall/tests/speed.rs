//! How long the kernel takes; run with `cargo test --release -p stockade-firewall --test speed -- --ignored --nocapture`.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use stockade_firewall::{Block, Change, Firewall, NamedSet, Nftables, PortRange, Protocol, TableFamily, Target};
use testkit::{Network, output_of, requires};

fn address(number: u32) -> IpNet {
    IpAddr::from(number.to_be_bytes()).into()
}

fn median(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort();
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
    (at(50), at(99))
}

#[test]
#[ignore = "a measurement, not a check"]
fn measures_prepare_single_bans_and_batches() {
    if !requires(&["root", "unshare", "nsenter", "ip"]) {
        return;
    }
    Network::new().run(|| {
        let target = Target {
            table: "f2b-table".into(),
            chain: "f2b-chain".into(),
            priority: -1,
            hooks: Vec::new(),
            name: "asterisk".into(),
            ports: Some(vec![PortRange {
                first: 5060,
                last: 5061,
            }]),
            protocols: vec![Protocol(6), Protocol(17)],
            verdict: Block::Reject,
        };
        let mut firewall = Nftables::open().unwrap();
        let start = Instant::now();
        firewall.prepare(&target).unwrap();
        println!("prepare: {:?}", start.elapsed());
        let start = Instant::now();
        firewall.check(&target).unwrap();
        println!("check: {:?}", start.elapsed());

        let timed = |firewall: &mut Nftables, name: &str, change: &dyn Fn(u32) -> Change| {
            let times = (0..2000).map(|number| {
                let start = Instant::now();
                firewall.apply(&target, &[change(number)]).unwrap();
                start.elapsed()
            });
            let (median, slow) = median(times.collect());
            println!("{name}: median {median:?}, 99 % within {slow:?}");
        };
        let ban = |number| Change::Add(address(0x0a00_0000 + number), Some(600));
        timed(&mut firewall, "single ban", &ban);
        timed(&mut firewall, "single ban, prolonged", &ban);
        timed(&mut firewall, "single unban", &|number| {
            Change::Remove(address(0x0a00_0000 + number))
        });
        timed(&mut firewall, "single unban of what has ended", &|number| {
            Change::Remove(address(0x0a00_0000 + number))
        });
        let net = |number: u32| {
            Change::Add(
                IpNet::new((0x0b00_0000 + (number << 8)).to_be_bytes().into(), 24).unwrap(),
                None,
            )
        };
        timed(&mut firewall, "single ban of a network", &net);

        for count in [10_000_u32, 100_000] {
            let bans: Vec<_> = (0..count)
                .map(|number| Change::Add(address(0x1000_0000 + number * 7), Some(600)))
                .collect();
            for name in ["new", "prolonged"] {
                let start = Instant::now();
                firewall.apply(&target, &bans).unwrap();
                let time = start.elapsed();
                println!(
                    "{count} bans in one transaction, {name}: {time:?}, {:?} each",
                    time / count
                );
            }
            timed(&mut firewall, "single ban beside them", &|number| {
                Change::Add(address(0x4000_0000 + count + number), Some(600))
            });
            let start = Instant::now();
            let listed = firewall.list(&target).unwrap().len();
            println!("list of {listed}: {:?}", start.elapsed());
            let removals: Vec<_> = (0..count)
                .map(|number| Change::Remove(address(0x1000_0000 + number * 7)))
                .collect();
            let start = Instant::now();
            firewall.apply(&target, &removals).unwrap();
            println!("{count} unbans in one transaction: {:?}", start.elapsed());
        }
        let start = Instant::now();
        firewall.remove(&target).unwrap();
        println!("remove: {:?}", start.elapsed());
    });
}

/// What our way of holding networks, a hash set for each prefix length, takes beside so many of them, and what a set of intervals does.
#[test]
#[ignore = "a measurement, not a check"]
fn measures_networks_in_hash_sets_and_in_sets_of_intervals() {
    if !requires(&["root", "unshare", "nsenter", "ip", "nft"]) {
        return;
    }
    let network = |number: u32| IpNet::new((number << 8).to_be_bytes().into(), 24).unwrap();
    for count in [0_u32, 10_000, 100_000] {
        Network::new().run(|| {
            let target = Target {
                table: "f2b-table".into(),
                chain: "f2b-chain".into(),
                priority: -1,
                hooks: Vec::new(),
                name: "j".into(),
                ports: None,
                protocols: Vec::new(),
                verdict: Block::Drop,
            };
            let mut firewall = Nftables::open().unwrap();
            firewall.prepare(&target).unwrap();
            let there: Vec<_> = (0..count)
                .map(|number| Change::Add(network(number * 7), None))
                .collect();
            firewall.apply(&target, &there).unwrap();
            let mut timed = |what: &str, work: &mut dyn FnMut(&mut Nftables, u32)| {
                let times = (0..1000).map(|number| {
                    let start = Instant::now();
                    work(&mut firewall, 900_000 + number * 3);
                    start.elapsed()
                });
                let (median, slow) = median(times.collect());
                println!("{what} beside {count}: median {median:?}, 99 % within {slow:?}");
            };
            timed("a network into a hash set", &mut |firewall, number| {
                firewall.apply(&target, &[Change::Add(network(number), None)]).unwrap();
            });
            let set = NamedSet {
                family: TableFamily::Inet,
                table: "f2b-table".into(),
                set: "intervals".into(),
            };
            output_of(
                std::process::Command::new("nft")
                    .args(["add set inet f2b-table intervals { type ipv4_addr; flags interval; }"]),
            );
            let addresses: Vec<IpAddr> = (0..count).map(|number| network(number * 7).addr()).collect();
            let mut other = Nftables::open().unwrap();
            if count > 0 {
                other.change_elements(&set, &addresses, true).unwrap();
            }
            timed("one into a set of intervals, by netlink", &mut |firewall, number| {
                firewall.change_elements(&set, &[network(number).addr()], true).unwrap();
            });
            let start = Instant::now();
            output_of(
                std::process::Command::new("nft").args(["add element inet f2b-table intervals { 250.0.0.0/24 }"]),
            );
            println!("the same by the program nft, beside {count}: {:?}", start.elapsed());
        });
    }
}
