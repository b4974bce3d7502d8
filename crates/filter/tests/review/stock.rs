//! What the review says about the stock filters in all modes, each looked at by hand (docs/compat/REVIEW.md), and about
//! the built-in ones.

#![expect(clippy::unwrap_used, reason = "test code")]
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "asks the installed package, and measures"
)]

use std::collections::BTreeSet;
use std::process::Command;

use crate::configured::{self, Configured};
use stockade_filter::{Finding, FindingKind, review};

/// Filter, option and kind of every finding, as reviewed with the filters of 1.0.2.
const REVIEWED: [(&str, &str, FindingKind); 4] = [
    ("pam-generic", "failregex", FindingKind::Forgeable),
    ("slapd", "failregex", FindingKind::Slow),
    ("sogo-auth", "ignoreregex", FindingKind::NeverMatches),
    ("sshd", "failregex", FindingKind::Forgeable),
];

fn reviewed(filters: &[Configured]) -> Vec<(&Configured, Finding)> {
    let mut all = Vec::new();
    for one in filters {
        all.extend(
            review(&one.filter, &one.settings)
                .into_iter()
                .map(|finding| (one, finding)),
        );
    }
    all
}

fn filter_of(one: &Configured) -> &str {
    one.name.split(':').next().unwrap()
}

#[test]
fn stock_filters_in_all_modes_have_the_findings_that_were_looked_at_and_no_others() {
    let Some(stock) = configured::stock() else { return };
    let started = std::time::Instant::now();
    let findings = reviewed(&stock);
    let took = started.elapsed();
    let default: Vec<Configured> = stock
        .iter()
        .filter(|one| !one.name.contains(':'))
        .map(Configured::again)
        .collect();
    let started = std::time::Instant::now();
    let of_jails = reviewed(&default).len();
    println!(
        "{} stock jails' sets of rules reviewed in {:?}, {of_jails} findings",
        default.len(),
        started.elapsed()
    );
    let rules: usize = stock.iter().map(|one| one.settings.failregex.len()).sum();
    println!(
        "{} sets of rules with {rules} failregex reviewed in {took:?}, {} findings",
        stock.len(),
        findings.len()
    );
    let mut kinds = BTreeSet::new();
    for (one, finding) in &findings {
        println!(
            "{} {} {}: {:?}",
            one.name,
            finding.option,
            finding.index + 1,
            finding.example
        );
        kinds.insert((filter_of(one), finding.option, format!("{:?}", finding.kind)));
    }
    let wanted: BTreeSet<_> = REVIEWED
        .into_iter()
        .map(|(name, option, kind)| (name, option, format!("{kind:?}")))
        .collect();
    assert_eq!(kinds, wanted);
}

#[test]
fn fail2ban_itself_takes_the_forged_address_from_the_lines_shown() {
    let Some(stock) = configured::stock() else { return };
    let default = stock
        .iter()
        .filter(|one| !one.name.contains(':') && filter_of(one) != "recidive");
    let default: Vec<Configured> = default.map(Configured::again).collect();
    let mut shown = 0;
    for (one, finding) in reviewed(&default) {
        let Some(line) = finding.example.filter(|_| finding.kind == FindingKind::Forgeable) else {
            continue;
        };
        let output = Command::new("fail2ban-regex")
            .args(["-o", "row", &line, &one.name])
            .output();
        let Ok(output) = output else {
            testkit::skip("fail2ban-regex cannot be run (package fail2ban)");
            return;
        };
        let rows = String::from_utf8(output.stdout).unwrap();
        assert!(rows.contains("'ip4': '203.0.113.66'"), "{} {line}: {rows}", one.name);
        shown += 1;
    }
    assert!(shown >= 2, "{shown}");
}

#[test]
fn the_built_in_filters_have_no_findings() {
    let filters = configured::built_in(&["sshd", "asterisk"]);
    assert!(filters.len() >= 4, "{}", filters.len());
    let findings: Vec<_> = reviewed(&filters)
        .into_iter()
        .map(|(one, finding)| (one.name.clone(), finding))
        .collect();
    assert_eq!(findings, []);
}
