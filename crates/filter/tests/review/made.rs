//! Rules made to have a fault, and their neighbours that have none.

#![expect(clippy::unwrap_used, reason = "test code")]

use jiff::tz::TimeZone;
use stockade_filter::{Filter, FilterSettings, Finding, FindingKind, review};

fn findings(settings: &FilterSettings) -> Vec<Finding> {
    review(&Filter::new(settings, &TimeZone::UTC).unwrap(), settings)
}

fn of_rule(rule: &str) -> Vec<Finding> {
    findings(&FilterSettings {
        failregex: vec![rule.into()],
        ..FilterSettings::default()
    })
}

fn of_pair(prefregex: &str, rule: &str) -> Vec<Finding> {
    findings(&FilterSettings {
        prefregex: Some(prefregex.into()),
        failregex: vec![rule.into()],
        ..FilterSettings::default()
    })
}

fn kinds(findings: &[Finding]) -> Vec<FindingKind> {
    findings.iter().map(|finding| finding.kind).collect()
}

#[test]
fn a_rule_that_can_never_match_is_told() {
    for rule in [
        "^failed from <HOST>$x",
        "failed ^from <HOST>",
        r"failed from <HOST>\Z",
        "^(?!failed)failed from <HOST>",
        "^(?=[0-9])failed from <HOST>",
        "^(?=.* ok;)[^ ]* failed from <HOST>$",
        r"^failed\bfrom <HOST>",
        r"^failed from <HOST> [^\s\S]",
        "\"^<HOST>\"",
        "^failed\\nfrom <HOST>",
        "^a(?!.*<b>).*<b> <HOST>$",
    ] {
        assert_eq!(kinds(&of_rule(rule)), [FindingKind::NeverMatches], "{rule}");
    }
}

#[test]
fn a_rule_that_matches_some_line_is_not_said_to_match_none() {
    for rule in [
        "^failed from <HOST>$",
        r"^failed from <HOST>\s*$",
        r"^failed from <HOST>$\n",
        r"^failed from <HOST>\n\Z",
        "^failed from <HOST>\n?$",
        "(?m)^failed from <HOST>$",
        "(?:^|,)failed from <HOST>(?:,|$)",
        "^(?!failed b)failed from <HOST>",
        "^(?=.* from )failed from <HOST>$",
        "^(?=.{3,}$)failed from <HOST>",
        r"^failed\b from\b <HOST>\b",
        r"^é\b from <HOST>",
        r"^\Bé from <HOST>",
        "(?i)^(?!FAILED x)failed from <HOST>",
        r"(a)?(?(1)b|c)\1? from <HOST>",
        "^(?<!x)failed from <HOST>",
        "^(?>a|ab)c from <HOST>",
        "^a{2,5}+b from <HOST>",
    ] {
        let found = of_rule(rule);
        assert!(!kinds(&found).contains(&FindingKind::NeverMatches), "{rule}: {found:?}");
    }
}

#[test]
fn a_rule_that_the_content_of_the_prefregex_excludes_is_told() {
    let prefix = r"^\S+ sshd\[\d+\]: <F-CONTENT>.+</F-CONTENT>$";
    let narrow = r"^\S+ sshd\[\d+\]: <F-CONTENT>(?:Failed|Invalid) .+</F-CONTENT>$";
    for (prefregex, rule, never) in [
        (prefix, "^Failed password from <HOST>", false),
        (prefix, r"^\S+ sshd\[\d+\]: Failed password from <HOST>", true),
        (prefix, r"sshd\[\d+\]: Failed password from <HOST>", false),
        (prefix, r"^\s*\S+ Failed password from <HOST>", false),
        (prefix, "^Failed password from <HOST>\\n", true),
        (narrow, "^Failed password from <HOST>", false),
        (narrow, "^Connection closed by <HOST>", true),
        (narrow, "Connection closed by <HOST>", false),
        ("^x <F-CONTENT>.*</F-CONTENT>$", "^x from <HOST>", false),
    ] {
        let found = of_pair(prefregex, rule);
        let told = found.iter().any(|finding| finding.kind == FindingKind::NeverMatches);
        assert_eq!(told, never, "{prefregex} {rule}: {found:?}");
    }
    let found = of_pair("^x$y <F-CONTENT>.+</F-CONTENT>", "^from <HOST>");
    assert_eq!((found[0].option, found.len()), ("prefregex", 1));
}

#[test]
fn a_date_expected_where_it_was_cut_out_is_told() {
    for (rule, pattern, told) in [
        (r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d failed from <HOST>", None, true),
        (r"^\d+-\d+-\d+[T ]\d+:\d+:\d+\S* failed from <HOST>", None, true),
        (r"^\w{3}\s+\d+ \d\d:\d\d:\d\d \S+ failed from <HOST>", None, true),
        (
            r"^\[\d\d/\w+/\d{4}:\d\d:\d\d:\d\d [^\]]+\] failed from <HOST>",
            None,
            true,
        ),
        // Another date may follow.
        (r"^\s*\d{4}-\d\d-\d\d \d\d:\d\d:\d\d failed from <HOST>", None, false),
        (r"^ \d{4}-\d\d-\d\d \d\d:\d\d:\d\d failed from <HOST>", None, false),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d failed from <HOST>", None, false),
        (r"^\S+ \S+ failed from <HOST>", None, false),
        (r"^\d+\.\d+\.\d+\.\d+ failed from <HOST>", None, false),
        (r"^(?:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d )?failed from <HOST>", None, false),
        // The date that is cut stands elsewhere.
        (
            r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d failed from <HOST>",
            Some("at {EPOCH}$"),
            false,
        ),
    ] {
        let found = findings(&FilterSettings {
            failregex: vec![rule.into()],
            datepattern: pattern.map(str::to_owned),
            ..FilterSettings::default()
        });
        let never = found.iter().any(|finding| finding.kind == FindingKind::NeverMatches);
        assert_eq!(never, told, "{rule}: {found:?}");
    }
}

#[test]
fn a_rule_that_takes_an_address_from_free_text_is_told_with_a_line_that_shows_it() {
    for (rule, example) in [
        (
            r"^failed for .*? from <HOST>",
            "failed for x from 203.0.113.66 from 198.51.100.7",
        ),
        (
            r"^ failed for .* from <HOST>: .*$",
            "2026-11-22 00:00:00 failed for  from 198.51.100.7: from 203.0.113.66: ",
        ),
        (
            r"^failed for .+? from <HOST> port \d+",
            "failed for x from 203.0.113.66 port 1 from 198.51.100.7 port 1",
        ),
        (
            r"failed for \S+ from <HOST>",
            "2026-11-22 00:00:00 failed for x from 203.0.113.66 from 198.51.100.7",
        ),
        (
            r"^failed for <F-USER>\S+</F-USER> from <HOST>",
            "failed for x from 203.0.113.66 from 198.51.100.7",
        ),
        (
            r"^failed for <F-USER>(?:(?! from ).)*</F-USER> from <HOST>",
            "failed for x from 203.0.113.66 from 198.51.100.7",
        ),
        (
            r"^failed for <F-USER>.*?</F-USER> from <HOST>(?: .*)?$",
            "failed for x from 203.0.113.66 from 198.51.100.7",
        ),
        (
            r"^failed for (?P<user>.*?) \(as (?P=user)\) from <HOST>(?: .*)?$",
            "failed for x (as x) from 203.0.113.66 (as x (as x) from 203.0.113.66) from 198.51.100.7",
        ),
    ] {
        let found = of_rule(rule);
        assert_eq!(kinds(&found), [FindingKind::Forgeable], "{rule}");
        assert_eq!(found[0].example.as_deref(), Some(example), "{rule}");
    }
}

#[test]
fn a_rule_whose_free_text_can_imitate_nothing_is_not_told() {
    for rule in [
        "^failed for .* from <HOST>$",
        "^failed for .* from <HOST>",
        "^failed for \"[^\"]*\" from \"<HOST>\"",
        r"^failed for \S+ from <HOST>",
        r"^failed for <F-USER>\S+</F-USER> from <HOST>$",
        "^failed from <HOST> for .*$",
        "^<HOST> asked for .* from .*$",
        "^<HOST> - - \\[\\] \"GET [^\"]*\" 404",
        "failed from <HOST>",
        "^.* failed from <HOST>$",
        "^Accepted for <F-MLFGAINED><F-USER>.*?</F-USER></F-MLFGAINED> <F-MLFID>x</F-MLFID> from <HOST>",
    ] {
        assert_eq!(of_rule(rule), [], "{rule}");
    }
    assert_eq!(
        of_pair(
            r"^\S+ sshd\[\d+\]: <F-CONTENT>.+</F-CONTENT>$",
            r"^Failed \S+ for .* from <HOST>(?: port \d+)?$"
        ),
        []
    );
}

#[test]
fn free_text_of_one_rule_that_holds_the_whole_of_another_is_told() {
    let found = findings(&FilterSettings {
        failregex: vec![r"bad from <HOST>\b".into(), "^agent .* of <HOST>$".into()],
        ..FilterSettings::default()
    });
    assert_eq!(kinds(&found), [FindingKind::Forgeable]);
    assert_eq!(found[0].index, 0);
    let example = "2026-11-22 00:00:00 agent bad from 203.0.113.66 of 198.51.100.7";
    assert_eq!(found[0].example.as_deref(), Some(example));
}

#[test]
fn a_rule_that_a_line_can_make_slow_is_told() {
    for (rule, slow) in [
        (r"^(?P<w>\w+)(?: ?\w+)*! (?P=w) from <HOST>", true),
        (r"(.*),(.*),(.*),\1 from <HOST>", true),
        // Regular, or cheap for the machine.
        (r"^(?:\w+\s?)*! from <HOST>", false),
        (r"^(?P<w>\w+) is (?P=w) from <HOST>", false),
        (r"^(?!.*x)\S+ from <HOST>$", false),
        (r"^(?:(?! from ).)* from <HOST>$", false),
    ] {
        let found = of_rule(rule);
        let told = found.iter().any(|finding| finding.kind == FindingKind::Slow);
        assert_eq!(told, slow, "{rule}: {found:?}");
    }
}
