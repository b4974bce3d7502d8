//! The jails of `config/jail.conf`: each works, and each filter has one.

#![expect(clippy::unwrap_used, reason = "test code")]

use stockade_config::Overrides;
use testkit::TempDir;

use crate::configured::{self, repository};

/// Answers those who knock by letting them in: no jail of its own.
const WITHOUT_JAIL: [&str; 1] = ["apache-pass"];

fn load(local: &str) -> stockade_config::Config {
    let directory = TempDir::new("jails");
    for part in ["filter.d", "action.d", "jail.conf", "fail2ban.conf"] {
        let from = repository("config").join(part);
        std::os::unix::fs::symlink(from, directory.join(part)).unwrap();
    }
    directory.write("jail.local", local);
    stockade_config::load(directory.path(), &Overrides::default())
}

#[test]
fn every_jail_can_be_switched_on_and_every_filter_has_one() {
    let config = load("[DEFAULT]\nenabled = true\n");
    let mut filters = Vec::new();
    for jail in &config.jails {
        assert_eq!(jail.problem, None, "{}", jail.name);
        assert!(
            jail.settings.iter().any(|set| set.option == "addfailregex"),
            "{}",
            jail.name
        );
        filters.push(jail.filter.split('[').next().unwrap_or_default().to_owned());
    }
    println!("{} jails", config.jails.len());
    for name in configured::names() {
        let expected = !WITHOUT_JAIL.contains(&name.as_str());
        assert_eq!(filters.contains(&name), expected, "a jail for {name}");
    }
}

#[test]
fn only_sshd_and_asterisk_are_on_before_anybody_asks() {
    let config = load("");
    let names: Vec<&str> = config.jails.iter().map(|jail| jail.name.as_str()).collect();
    assert_eq!(names, ["sshd", "asterisk", "asterisk-full", "asterisk-security"]);
}
