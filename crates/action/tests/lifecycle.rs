//! Which commands of an action are called when. Expected sequences: behaviour spec 5.3, seen on Fail2Ban 1.0.2.

mod common;

use common::{Stage, action, ban, texts, with};
use stockade_action::Action;
use stockade_core::logline::Level;

const BY_FAMILY: &[(&str, &str)] = &[("by", "4"), ("by?family=inet6", "6")];

fn started(stage: &Stage, options: &[(&str, &str)]) -> Action {
    let mut action = stage.action(options);
    let (outcome, reports) = with(|context| action.start(context));
    assert!(outcome.is_ok(), "{}", texts(&reports));
    action
}

#[test]
fn starts_at_once_and_bans_without_a_check() {
    let stage = Stage::new("plain");
    let mut action = started(&stage, &[]);
    assert_eq!(stage.calls(), "START");
    let (outcome, reports) = with(|context| action.ban(&ban("192.0.2.7"), context));
    assert!(outcome.is_ok() && reports.is_empty(), "{}", texts(&reports));
    assert_eq!(stage.calls(), "BAN 192.0.2.7");
    let _ = with(|context| action.unban(&ban("192.0.2.7"), context));
    assert_eq!(stage.calls(), "UNBAN 192.0.2.7");
    let _ = with(|context| action.stop(context));
    assert_eq!(stage.calls(), "STOP");
}

#[test]
fn starts_an_action_by_family_before_the_first_ban_of_each() {
    let stage = Stage::new("demand");
    let mut action = started(&stage, BY_FAMILY);
    assert_eq!(stage.calls(), "");
    for (id, expected) in [
        ("192.0.2.7", "START4, BAN 192.0.2.7"),
        ("192.0.2.8", "BAN 192.0.2.8"),
        ("2001:db8::7", "START6, BAN 2001:db8::7"),
        ("192.0.2.0/24", "BAN 192.0.2.0/24"),
    ] {
        let (outcome, _) = with(|context| action.ban(&ban(id), context));
        assert!(outcome.is_ok());
        assert_eq!(stage.calls(), expected);
    }
    let _ = with(|context| action.stop(context));
    let calls = stage.calls();
    assert!(calls.ends_with("STOP4, STOP6"), "{calls}");
    assert_eq!(calls.matches("UNBAN").count(), 4, "{calls}");
}

#[test]
fn starts_and_stops_once_where_both_families_have_the_same_command() {
    let stage = Stage::new("same");
    let mut action = started(&stage, &[("foo?family=inet6", "6"), ("actionstart_on_demand", "false")]);
    assert_eq!(stage.calls(), "START");
    for id in ["192.0.2.7", "2001:db8::7"] {
        let _ = with(|context| action.ban(&ban(id), context));
    }
    assert_eq!(stage.calls(), "BAN 192.0.2.7, BAN 2001:db8::7");
    let _ = with(|context| action.stop(context));
    assert_eq!(stage.calls(), "UNBAN 192.0.2.7, UNBAN 2001:db8::7, STOP");
}

#[test]
fn checks_only_after_a_failure_and_tries_exactly_once_more() {
    let stage = Stage::new("check");
    let mut action = started(&stage, BY_FAMILY);
    stage.fail("ban");
    let (outcome, reports) = with(|context| action.ban(&ban("192.0.2.7"), context));
    assert_eq!(outcome.unwrap_err().to_string(), "Error banning 192.0.2.7");
    assert_eq!(stage.calls(), "START4, BAN 192.0.2.7, CHECK4, BAN 192.0.2.7");
    let last = reports.last().unwrap();
    assert_eq!((last.logger, last.level), ("fail2ban.actions", Level::Error));
    assert_eq!(
        last.text,
        "Failed to execute ban jail 'j' action 'act' info \
         'ActionInfo({'ip': '192.0.2.7', 'family': 'inet4'})': Error banning 192.0.2.7"
    );
}

#[test]
fn tries_again_at_once_where_there_is_no_check() {
    let stage = Stage::new("nocheck");
    let mut action = started(&stage, &[("actioncheck", "")]);
    stage.calls();
    stage.fail("ban");
    let (outcome, _) = with(|context| action.ban(&ban("192.0.2.7"), context));
    assert!(outcome.is_err());
    assert_eq!(stage.calls(), "BAN 192.0.2.7, BAN 192.0.2.7");
}

#[test]
fn restores_a_wiped_environment_and_sets_all_bans_again() {
    for (options, by) in [(BY_FAMILY, "4"), (&[][..], "")] {
        let stage = Stage::new("wiped");
        let mut action = started(&stage, options);
        for id in ["192.0.2.1", "192.0.2.2"] {
            let _ = with(|context| action.ban(&ban(id), context));
        }
        stage.calls();
        // The ban fails as long as the environment is wiped.
        let properties = stage.properties(options);
        let mut properties: Vec<(String, String)> = properties;
        let path = stage.directory.path().display().to_string();
        for (key, value) in &mut properties {
            if key == "actionban" {
                *value = format!("echo \"BAN <ip>\" >> {path}/calls; test ! -e {path}/wiped");
            }
        }
        assert!(action.set_properties(&properties).is_ok());
        stage.wipe();
        let (outcome, reports) = with(|context| action.ban(&ban("192.0.2.3"), context));
        assert!(outcome.is_ok(), "{}", texts(&reports));
        assert_eq!(
            stage.calls(),
            format!(
                "BAN 192.0.2.3, CHECK{by}, STOP{by}, START{by}, CHECK{by}, BAN 192.0.2.3, BAN 192.0.2.1, BAN 192.0.2.2"
            )
        );
        let log = texts(&reports);
        assert!(
            log.contains("Error Invariant check failed. Trying to restore a sane environment"),
            "{log}"
        );
        assert!(log.contains("Notice [j] Reban 192.0.2.1, action 'act'"), "{log}");
    }
}

#[test]
fn restores_the_other_family_too() {
    let stage = Stage::new("both");
    let mut action = started(&stage, BY_FAMILY);
    let path = stage.directory.path().display().to_string();
    let wiped = |what: &str| format!("{}; test ! -e {path}/wiped<by>", stage.command("none", what));
    let changes = [
        ("actioncheck".to_owned(), wiped("CHECK<by>")),
        ("actionban".to_owned(), wiped("BAN <ip>")),
        (
            "actionstart".to_owned(),
            format!("{}; rm -f {path}/wiped<by>", stage.command("none", "START<by>")),
        ),
    ];
    assert!(action.set_properties(&changes).is_ok());
    for id in ["192.0.2.1", "2001:db8::1"] {
        let _ = with(|context| action.ban(&ban(id), context));
    }
    stage.calls();
    stage.directory.write("wiped4", "");
    stage.directory.write("wiped6", "");
    let (outcome, _) = with(|context| action.ban(&ban("192.0.2.2"), context));
    assert!(outcome.is_ok());
    assert_eq!(
        stage.calls(),
        "BAN 192.0.2.2, CHECK4, STOP4, START4, CHECK4, BAN 192.0.2.2, BAN 192.0.2.1, \
         CHECK6, STOP6, START6, CHECK6, BAN 2001:db8::1"
    );
}

#[test]
fn repairs_by_its_own_command_if_there_is_one() {
    let stage = Stage::new("repair");
    let path = stage.directory.path().display().to_string();
    let repair = format!("{} && rm -f {path}/wiped", stage.command("repair", "REPAIR"));
    let ban_command = format!("echo \"BAN <ip>\" >> {path}/calls; test ! -e {path}/wiped");
    let options: &[(&str, &str)] = &[("actionrepair", &repair), ("actionban", &ban_command)];
    let mut action = started(&stage, options);
    stage.calls();
    stage.wipe();
    let (outcome, _) = with(|context| action.ban(&ban("192.0.2.7"), context));
    assert!(outcome.is_ok());
    assert_eq!(stage.calls(), "BAN 192.0.2.7, CHECK, REPAIR, CHECK, BAN 192.0.2.7");
    stage.wipe();
    stage.fail("repair");
    let (outcome, reports) = with(|context| action.ban(&ban("192.0.2.8"), context));
    assert!(outcome.is_err());
    assert_eq!(stage.calls(), "BAN 192.0.2.8, CHECK, REPAIR");
    assert!(
        texts(&reports).contains("Critical Unable to restore environment"),
        "{}",
        texts(&reports)
    );
}

#[test]
fn does_not_repair_for_an_unban_unless_told_to() {
    for (told, expected) in [
        ("false", "UNBAN 192.0.2.7, CHECK"),
        ("true", "UNBAN 192.0.2.7, CHECK, STOP, START, CHECK, UNBAN 192.0.2.7"),
    ] {
        let stage = Stage::new("unban");
        let path = stage.directory.path().display().to_string();
        let unban = format!("echo \"UNBAN <ip>\" >> {path}/calls; test ! -e {path}/wiped");
        let mut action = started(&stage, &[("actionunban", &unban), ("actionrepair_on_unban", told)]);
        let _ = with(|context| action.ban(&ban("192.0.2.7"), context));
        stage.calls();
        stage.wipe();
        let (outcome, reports) = with(|context| action.unban(&ban("192.0.2.7"), context));
        assert_eq!(stage.calls(), expected);
        assert_eq!(outcome.is_ok(), told == "true");
        let impossible = texts(&reports).contains("Invariant check failed. Unban is impossible.");
        assert_eq!(impossible, told == "false");
    }
}

#[test]
fn unbans_only_families_it_has_bans_of() {
    let stage = Stage::new("nothing");
    let mut action = started(&stage, BY_FAMILY);
    let _ = with(|context| action.ban(&ban("2001:db8::7"), context));
    stage.calls();
    let _ = with(|context| action.unban(&ban("192.0.2.7"), context));
    assert_eq!(stage.calls(), "");
}

#[test]
fn flushes_by_one_command_if_there_is_one() {
    let stage = Stage::new("flush");
    let flush = stage.command("flush", "FLUSH<by>");
    let mut options = BY_FAMILY.to_vec();
    options.push(("actionflush", &flush));
    let mut action = started(&stage, &options);
    for id in ["192.0.2.7", "192.0.2.8"] {
        let _ = with(|context| action.ban(&ban(id), context));
    }
    stage.calls();
    let (_, reports) = with(|context| action.flush(context));
    assert_eq!(stage.calls(), "FLUSH4");
    assert_eq!(texts(&reports), "Notice [j] Flush ticket(s) with act\n");
    let _ = with(|context| action.stop(context));
    assert_eq!(stage.calls(), "STOP4");
}

#[test]
fn leaves_restored_bans_alone_if_the_action_says_so() {
    let stage = Stage::new("restored");
    let mut restored = ban("192.0.2.7");
    restored.restored = true;
    for (norestored, expected) in [("1", ""), ("0", "BAN 192.0.2.7")] {
        let mut action = started(&stage, &[("norestored", norestored)]);
        stage.calls();
        let _ = with(|context| action.ban(&restored, context));
        assert_eq!(stage.calls(), expected);
    }
}

#[test]
fn prolongs_only_with_a_command_for_it() {
    let stage = Stage::new("prolong");
    let mut action = started(&stage, &[]);
    let _ = with(|context| action.ban(&ban("192.0.2.7"), context));
    stage.calls();
    let _ = with(|context| action.prolong(&ban("192.0.2.7"), context));
    assert_eq!(stage.calls(), "");
    let prolong = stage.command("prolong", "PROLONG <ip> <bantime>");
    assert!(action.set_property("actionprolong", &prolong).is_ok());
    let _ = with(|context| action.prolong(&ban("192.0.2.7"), context));
    assert_eq!(stage.calls(), "PROLONG 192.0.2.7 600");
}

#[test]
fn bans_again_what_it_could_not_ban_when_it_is_seen_again() {
    let stage = Stage::new("again");
    let mut action = started(&stage, &[]);
    stage.fail("ban");
    let _ = with(|context| action.ban(&ban("192.0.2.7"), context));
    stage.calls();
    stage.succeed("ban");
    let (outcome, reports) = with(|context| action.already_banned(&ban("192.0.2.7"), context));
    assert!(outcome.is_ok());
    assert_eq!(stage.calls(), "BAN 192.0.2.7");
    assert_eq!(texts(&reports), "Notice [j] Reban 192.0.2.7, action 'act'\n");
    let _ = with(|context| action.already_banned(&ban("192.0.2.7"), context));
    assert_eq!(stage.calls(), "CHECK");
    stage.wipe();
    let (outcome, _) = with(|context| action.already_banned(&ban("192.0.2.7"), context));
    assert!(outcome.is_ok());
    assert_eq!(stage.calls(), "CHECK, STOP, START, CHECK, BAN 192.0.2.7");
}

#[test]
fn tells_what_went_wrong_with_a_command_as_fail2ban_does() {
    let mut action = action(&[
        ("actionban", "echo out; printf 'err\\033[1m' >&2; exit 3"),
        ("actionunban", ""),
    ])
    .unwrap();
    let _ = with(|context| action.start(context));
    let (_, reports) = with(|context| action.ban(&ban("192.0.2.7"), context));
    let log: Vec<String> = reports
        .iter()
        .filter(|report| report.logger == "fail2ban.utils")
        .map(|report| report.text.split_once(" -- ").unwrap_or_default().1.to_owned())
        .take(4)
        .collect();
    assert_eq!(
        log,
        [
            "exec: echo out; printf 'err\\033[1m' >&2; exit 3",
            "stdout: 'out'",
            "stderr: 'err\\u{1b}[1m'",
            "returned 3"
        ]
    );
}

#[test]
fn says_which_program_is_missing_and_where_to_get_it() {
    let mut action = action(&[("actionban", "PATH=/nonexistent; iptables -L")]).unwrap();
    let _ = with(|context| action.start(context));
    let (_, reports) = with(|context| action.ban(&ban("192.0.2.7"), context));
    let log = texts(&reports);
    assert!(log.contains("HINT on 127"), "{log}");
    assert!(
        log.contains("Missing is `iptables`. Mend: apt-get install iptables"),
        "{log}"
    );
}

#[test]
fn refuses_what_it_cannot_run_and_says_why() {
    for (properties, expected) in [
        (
            &[("actionban", "<a>"), ("a", "<b>"), ("b", "x<a>")][..],
            "self referencing",
        ),
        (&[("actionban", "<a>"), ("a", "<a><a>")][..], "self referencing"),
        (&[("timeout", "soon")][..], "`timeout` of action `act` must be a time"),
        (
            &[("native", "ipfw")][..],
            "`native` of action `act` must be `nftables`, `yes` or `no`, not `ipfw`",
        ),
    ] {
        let error = action(properties)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        assert!(error.contains(expected), "{error}");
    }
    let jail = stockade_core::JailName::new("j").unwrap();
    let error = Action::new(&jail, "/etc/fail2ban/action.d/smtp.py", &[])
        .err()
        .map(|error| error.to_string());
    assert!(error.unwrap_or_default().contains("Python"));
}

#[test]
fn warns_of_tags_that_the_shell_would_take_for_a_redirection_or_a_program() {
    for (command, expected) in [
        ("echo <nosuch>", "unknown tag <nosuch>"),
        ("awk \"/<F-USER>/\"", "<F-USER> into the text of a program"),
        ("echo \"To: <nosuch>\"", ""),
        ("awk '/<ip>/'", ""),
        ("echo '<F-USER>'", ""),
    ] {
        let action = action(&[("actionban", command)]).unwrap();
        let warnings: String = action.warnings().iter().map(ToString::to_string).collect();
        assert!(
            warnings.contains(expected) && (expected.is_empty() == warnings.is_empty()),
            "{command}: {warnings}"
        );
    }
}
