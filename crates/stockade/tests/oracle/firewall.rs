//! The kernel after the same bans with the package's firewall actions.

use std::collections::BTreeMap;

use crate::world::{World, both, possible};

/// Each has a name of its own, so that all can be in one jail.
const ACTIONS: &[&str] = &[
    r#"iptables-multiport[name=im, port="22,80:90", protocol=tcp]"#,
    "iptables-allports[name=ia, protocol=all]",
    "iptables[name=one, port=ssh, protocol=tcp]",
    "iptables-multiport-log[name=il, port=25, protocol=tcp]",
    "iptables-new[name=inew, port=22, protocol=udp]",
    r#"nftables-multiport[name=nm, port="22,80:90", protocol=tcp]"#,
    "nftables-allports[name=na, protocol=udp]",
    r#"nftables[name=nl, type=multiport, port="5060,5061", protocol="tcp,udp", blocktype=drop]"#,
    "iptables-ipset-proto6[name=is6, port=22, protocol=tcp]",
    "iptables-ipset-proto6-allports[name=isa]",
];

/// What lists the kernel's rules and sets.
const LISTINGS: &[&str] = &["iptables-save", "ip6tables-save", "ipset save", "nft -s list ruleset"];

/// The kernel's rules after each step, in an order that does not depend on which action was quicker (D-100).
type Kernel = Vec<(String, BTreeMap<String, usize>)>;

fn listed(world: &World) -> BTreeMap<String, usize> {
    let mut lines = BTreeMap::new();
    for listing in LISTINGS {
        let mut words = listing.split(' ');
        let output = world.net.command(words.next().unwrap()).args(words).output().unwrap();
        // Long lists of elements are written over several lines.
        let text = String::from_utf8_lossy(&output.stdout);
        let text = text.split(",\n").map(str::trim_start).collect::<Vec<_>>().join(", ");
        for line in text.lines() {
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            // Counters, and the seeds and growth of hash tables, are the kernel's own.
            let line = line.split(['[', ']']).step_by(2).collect::<String>();
            let line = line.split(" initval ").next().unwrap_or_default();
            *lines.entry(format!("{listing}: {}", line.trim_end())).or_default() += 1;
        }
    }
    lines
}

fn play(world: &mut World) -> Kernel {
    world.write(
        "etc/jail.local",
        &format!(
            "[DEFAULT]\nmaxretry = 1\nignoreself = false\n[sshd]\nenabled = false\n[walled]\nenabled = true\nfilter =\n\
             failregex = bad <HOST>\nlogpath = @/log\naction = {}\n",
            ACTIONS.join("\n  ")
        ),
    );
    world.write("log", "a line\n");
    world.start();
    let mut kernel = vec![("start".to_owned(), listed(world))];
    let mut step = |world: &World, what: &str, done: &dyn Fn(&BTreeMap<String, usize>) -> bool| {
        testkit::wait_until(crate::world::SOON, &format!("{:?}: {what}", world.whose), || {
            done(&listed(world))
        });
        kernel.push((what.to_owned(), listed(world)));
    };
    let all = ACTIONS.len();
    world.append("log", format!("{} bad 192.0.2.1\n", now()));
    step(world, "a failure", &|kernel| count(kernel, "192.0.2.1") == all);
    world.ask("set walled banip 2001:db8::1");
    step(world, "IPv6", &|kernel| count(kernel, "2001:db8::1") == all);
    world.ask("set walled banip 192.0.2.10 192.0.2.11 192.0.2.12");
    step(world, "more", &|kernel| count(kernel, "192.0.2.12") == all);
    world.ask("set walled unbanip 192.0.2.1");
    step(world, "unban", &|kernel| count(kernel, "192.0.2.1") == 0);
    world.ask("unban --all");
    step(world, "unban all", &|kernel| {
        count(kernel, "192.0.2.12") == 0 && count(kernel, "2001:db8::1") == 0
    });
    world.ask("set walled banip 192.0.2.77");
    step(world, "again", &|kernel| count(kernel, "192.0.2.77") == all);
    assert_eq!(world.stop(), Some(0));
    kernel.push(("stop".to_owned(), listed(world)));
    kernel
}

/// In how many chains and sets an address stands.
fn count(kernel: &BTreeMap<String, usize>, address: &str) -> usize {
    let there = kernel.iter().filter(|(line, _)| {
        // The rules of iptables are listed by nft too.
        let counts = !line.starts_with("nft") || line.contains("elements");
        counts && line.split([' ', ',', '/']).any(|word| word == address)
    });
    there.map(|(_, count)| count).sum()
}

fn now() -> String {
    let date = testkit::output_of(std::process::Command::new("date").arg("+%F %T"));
    date.trim_end().to_owned()
}

#[test]
fn the_packages_firewall_actions_leave_the_same_rules_in_the_kernel_after_every_step() {
    if !possible(&["iptables", "ip6tables", "nft", "ipset"]) {
        return;
    }
    let (ours, theirs) = both("firewall", true, play);
    println!(
        "firewall: {} actions, {} steps, {} rules and elements",
        ACTIONS.len(),
        theirs.len(),
        theirs
            .iter()
            .map(|(_, kernel)| kernel.values().sum::<usize>())
            .sum::<usize>()
    );
    for ((step, ours), (_, theirs)) in ours.iter().zip(&theirs) {
        let missing: Vec<_> = theirs
            .iter()
            .filter(|(line, count)| ours.get(*line) != Some(count))
            .collect();
        let more: Vec<_> = ours
            .iter()
            .filter(|(line, count)| theirs.get(*line) != Some(count))
            .collect();
        assert!(
            missing.is_empty() && more.is_empty(),
            "{step}\nonly theirs: {missing:#?}\nonly ours: {more:#?}"
        );
    }
}
