//! The guide that our first users follow, on the stock configuration.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{Directory, fail2ban_is_here, ours, theirs, waits_for_a_log};

/// The guide, or `None` with a reason if the shared data is not here.
fn guide() -> Option<String> {
    let shared = std::env::var_os("STOCKADE_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let file = shared.join("guide/securing-asterisk.txt");
    let text = fs::read_to_string(&file).ok();
    if text.is_none() {
        eprintln!("skipped: {} is not here (set STOCKADE_SHARED)", file.display());
    }
    text
}

/// What stands in the guide from a line to the next one that begins with `end`.
fn passage<'a>(guide: &'a str, begin: &str, end: &str) -> &'a str {
    let (_, rest) = guide.split_once(begin).unwrap();
    let (passage, _) = rest.split_once(end).unwrap();
    passage
}

/// The stock configuration changed as the guide says.
fn changed(guide: &str, extra: &str) -> Directory {
    let directory = Directory::copy_of(Path::new("/etc/fail2ban"));
    let filter = passage(guide, "Now add the following in this file:\n", "\nIn the above lines");
    let filter = filter.replace("\nignoreregex =", &format!("{extra}\nignoreregex ="));
    directory.write("filter.d/asterisk.conf", filter);
    let jail = passage(guide, "in /etc/fail2ban/jail.conf\n", "\nThis filter will ban");
    let jail = jail.replace("/var/log/asterisk/full", "@DIR@/full");
    let stock = fs::read_to_string("/etc/fail2ban/jail.conf").unwrap();
    let stock = stock.replacen("\n#ignoreip = ", "\nignoreip = 192.0.2.0/24 ", 1);
    assert!(
        stock.contains("\nignoreip = 192.0.2.0/24 "),
        "the stock jail.conf has its commented `ignoreip`"
    );
    directory.write("jail.conf", stock + &jail);
    directory.write("full", "");
    directory
}

/// The regex of the guide's reader: quotation marks around the name. The page has lost its `<HOST>`.
fn readers_rule(guide: &str) -> String {
    let rule = passage(guide, "listed above:\n", "Hope this helps")
        .trim()
        .replace("for ''", "for '<HOST>'");
    format!("\n            {rule}\n")
}

#[test]
fn the_guides_configuration_means_what_it_means_to_fail2ban() {
    let (Some(guide), true) = (guide(), fail2ban_is_here()) else {
        return;
    };
    for extra in [String::new(), readers_rule(&guide)] {
        let directory = changed(&guide, &extra);
        let theirs = theirs(directory.path()).unwrap();
        let ours: Vec<String> = ours(directory.path())
            .into_iter()
            .filter(|line| !waits_for_a_log(line))
            .collect();
        assert_eq!(ours, theirs);
        let jail = |line: &&String| line.contains("'asterisk-iptables'");
        eprintln!(
            "the guide: {} commands equal, {} of them its jail's",
            ours.len(),
            ours.iter().filter(jail).count()
        );
    }
}

#[test]
fn the_guides_jail_has_its_rules_addresses_and_actions() {
    let (Some(guide), true) = (guide(), fail2ban_is_here()) else {
        return;
    };
    let extra = readers_rule(&guide);
    let directory = changed(&guide, &extra);
    let config = stockade_config::load(directory.path(), &stockade_config::Overrides::default());
    let jail = config
        .jails
        .iter()
        .find(|jail| jail.name == "asterisk-iptables")
        .unwrap();
    assert_eq!(jail.problem, None);
    let rules: Vec<_> = jail.lines("addfailregex").collect();
    assert_eq!(rules.len(), 9);
    let quoted = rules.last().unwrap();
    assert_eq!(quoted.text, extra.trim());
    // Each rule knows the line it stands in.
    let filter = fs::read_to_string(directory.path().join("filter.d/asterisk.conf")).unwrap();
    for rule in rules {
        let line = filter.lines().nth(rule.place.line as usize - 1).unwrap();
        assert!(
            line.ends_with(&rule.text),
            "{} is not in line {}",
            rule.text,
            rule.place.line
        );
    }
    let actions: Vec<_> = jail.actions.iter().map(|action| action.name.as_str()).collect();
    assert_eq!(actions, ["iptables-allports-ASTERISK", "sendmail-whois-ASTERISK"]);
}
