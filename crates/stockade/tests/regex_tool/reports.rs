//! The report of both programs on the sample logs.

use std::path::Path;

use crate::oracle::{Oracle, ours};

/// Sample logs whose report differs, and why.
const DIFFERENT: [(&str, &str); 1] = [(
    "sshd",
    "192.030.0.6 is no address: its leading zero may mean octal (D-040)",
)];

#[test]
fn reports_on_the_sample_logs_what_fail2ban_reports() {
    let Some(mut oracle) = Oracle::start(Path::new("/")) else {
        return;
    };
    let mut compared = 0;
    let mut different = Vec::new();
    for log in testkit::package_files("fail2ban") {
        let Some(name) = log.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let filter = Path::new("/etc/fail2ban/filter.d").join(format!("{name}.conf"));
        let sample = log.parent().is_some_and(|parent| parent.ends_with("files/logs"));
        if !sample || !filter.exists() || DIFFERENT.iter().any(|(other, _)| *other == name) {
            continue;
        }
        let words = ["--print-all-matched", log.to_str().unwrap(), filter.to_str().unwrap()];
        let theirs = oracle.run(&words);
        assert!(theirs.out.contains("\nLines: "), "{name}: {theirs:?}");
        let ours = ours(&words, Path::new("/"));
        compared += 1;
        if normal(&ours.out) != normal(&theirs.out) {
            different.push(format!("{name}\n--- theirs\n{}\n--- ours\n{}", theirs.out, ours.out));
        }
    }
    println!("{compared} sample logs compared");
    assert!(
        different.is_empty(),
        "{} differ:\n{}",
        different.len(),
        different.join("\n")
    );
    assert!(compared > 0 || testkit::package_files("fail2ban").is_empty());
}

fn normal(report: &str) -> Vec<String> {
    let lines = report.lines().filter(|line| !line.starts_with("[processed in "));
    lines.map(crate::newer).collect()
}
