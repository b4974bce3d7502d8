//! What becomes of a line: whom it names, when it happened, and what is refused.

#![expect(clippy::unwrap_used, clippy::panic, reason = "test code")]

use jiff::tz::TimeZone;
use stockade_core::{FailureId, Timestamp};
use stockade_filter::{Clock, Filter, FilterSettings, Match, Memory, UseDns, Verdict, Who};

const NOW: i64 = 1_795_348_800; // 2026-11-22 12:00:00 UTC

fn settings(failregex: &[&str]) -> FilterSettings {
    FilterSettings {
        failregex: failregex.iter().map(|rule| (*rule).to_owned()).collect(),
        ..FilterSettings::default()
    }
}

fn clock(in_operation: bool) -> Clock {
    Clock {
        now: Timestamp::from_secs(NOW),
        in_operation,
        findtime: 600,
    }
}

fn judge(settings: &FilterSettings, line: &str) -> Verdict {
    let filter = Filter::new(settings, &TimeZone::UTC).unwrap();
    filter.judge(line.as_bytes(), clock(true), &mut Memory::default())
}

fn found(verdict: Verdict) -> Match {
    match verdict {
        Verdict::Match(found) => found,
        other => panic!("no match but {other:?}"),
    }
}

#[test]
fn names_are_told_from_addresses_and_numbers_from_both() {
    for (usedns, text, who) in [
        (UseDns::Warn, "192.0.2.7", Ok(Who::Id(FailureId::parse("192.0.2.7")))),
        (
            UseDns::Warn,
            "[2001:db8::7]",
            Ok(Who::Id(FailureId::parse("2001:db8::7"))),
        ),
        (
            UseDns::Warn,
            "::ffff:192.0.2.7",
            Ok(Who::Id(FailureId::parse("192.0.2.7"))),
        ),
        (UseDns::Warn, "host.example", Ok(Who::Name("host.example".into()))),
        (
            UseDns::Raw,
            "host.example",
            Ok(Who::Id(FailureId::Text("host.example".into()))),
        ),
        (UseDns::Warn, "2130706433", Err("a number in the place of a host name")),
        (UseDns::Warn, "0x7f.1", Err("a number in the place of a host name")),
        (UseDns::Raw, "127.1", Err("a number in the place of a host name")),
        (UseDns::Warn, "999.1.1.1", Err("not a valid IPv4 address")),
        (UseDns::Warn, "01.02.03.04", Err("not a valid IPv4 address")),
    ] {
        let settings = FilterSettings {
            usedns,
            ..settings(&["^from <HOST>$"])
        };
        let outcome = match judge(&settings, &format!("from {text}")) {
            Verdict::Match(found) => Ok(found.who),
            Verdict::Unusable(why) => Err(why),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(outcome, who, "{text}");
    }
    let no_names = FilterSettings {
        usedns: UseDns::No,
        ..settings(&["^from <HOST>$"])
    };
    assert_eq!(judge(&no_names, "from host.example"), Verdict::Miss);
}

#[test]
fn the_first_rule_that_matches_ends_the_search() {
    let verdict = judge(&settings(&["x <HOST>", "y <HOST>"]), "x y 192.0.2.3");
    assert_eq!(found(verdict).who, Who::Name("y".into()));
}

#[test]
fn the_date_is_cut_out_and_the_line_is_kept_whole() {
    let line = "[Nov 22 11:59:30] NOTICE[12] bad <7> 192.0.2.7";
    let found = found(judge(&settings(&[r"^\[\] NOTICE\[\d+\] bad <\d> <HOST>$"]), line));
    assert_eq!(found.at.secs(), NOW - 30);
    let text = found.lines.first().unwrap();
    assert_eq!((&*text.text, text.date.clone()), (line, 1..16));
}

#[test]
fn dates_far_from_now_are_taken_as_behaviour_3_7_says() {
    let filter = Filter::new(&settings(&["from <HOST>"]), &TimeZone::UTC).unwrap();
    for (in_operation, line, at) in [
        (true, "2026-11-22 11:59:30 from 192.0.2.7", Some(NOW - 30)),
        (true, "2026-11-22 11:50:00 from 192.0.2.7", Some(NOW)),
        (true, "2026-11-22 13:00:00 from 192.0.2.7", Some(NOW)),
        (true, "no date from 192.0.2.7", Some(NOW)),
        // It may be as old as the log: counted at every start, it would ban again and again.
        (false, "no date from 192.0.2.7", None),
        (false, "2026-11-22 11:50:01 from 192.0.2.7", Some(NOW - 599)),
        (false, "2026-11-22 11:49:59 from 192.0.2.7", None),
        (false, "2026-11-22 13:00:00 from 192.0.2.7", Some(NOW)),
    ] {
        let verdict = filter.judge(line.as_bytes(), clock(in_operation), &mut Memory::default());
        let outcome = if let Verdict::Match(found) = &verdict {
            Some(found.at.secs())
        } else {
            None
        };
        assert_eq!(outcome, at, "{in_operation} {line}: {verdict:?}");
        assert!(outcome.is_some() || matches!(verdict, Verdict::TooOld | Verdict::Undated));
    }
}

#[test]
fn a_line_without_a_date_has_the_last_one_if_that_is_recent() {
    let filter = Filter::new(&settings(&["from <HOST>"]), &TimeZone::UTC).unwrap();
    for (dated, at) in [("2026-11-22 11:59:20 x", NOW - 40), ("2026-11-22 11:58:00 x", NOW)] {
        let mut memory = Memory::default();
        assert_eq!(filter.judge(dated.as_bytes(), clock(true), &mut memory), Verdict::Miss);
        let verdict = filter.judge(b"undated from 192.0.2.7", clock(true), &mut memory);
        assert_eq!(found(verdict).at.secs(), at, "{dated}");
    }
}

#[test]
fn ignoreregex_takes_a_match_back() {
    let settings = FilterSettings {
        ignoreregex: vec!["^IGN".into()],
        ..settings(&["B <HOST>"])
    };
    assert_eq!(judge(&settings, "IGN B 192.0.2.1"), Verdict::Ignored);
    assert!(matches!(judge(&settings, "B 192.0.2.1"), Verdict::Match(_)));
}

#[test]
fn bytes_that_are_no_text_hide_nothing() {
    let filter = Filter::new(&settings(&["^bad .* from <HOST>$"]), &TimeZone::UTC).unwrap();
    let verdict = filter.judge(b"bad \xff\xfe\0 from 192.0.2.7", clock(true), &mut Memory::default());
    assert_eq!(
        &*found(verdict).lines.first().unwrap().text,
        "bad \u{fffd}\u{fffd}\0 from 192.0.2.7"
    );
}

#[test]
fn logtimezone_may_be_an_offset_an_abbreviation_or_a_name() {
    for (zone, shift) in [
        ("+0200", 7200),
        ("UTC-01:00", -3600),
        ("CET", 3600),
        ("Europe/Berlin", 3600),
    ] {
        let settings = FilterSettings {
            logtimezone: Some(zone.into()),
            ..settings(&["from <HOST>"])
        };
        let Ok(filter) = Filter::new(&settings, &TimeZone::UTC) else {
            assert_eq!(zone, "Europe/Berlin", "only names need the time zone database");
            continue;
        };
        let line = b"2026-11-22 12:00:00 from 192.0.2.7";
        let seen = filter.examine(line, clock(true), &mut Memory::default(), false);
        assert_eq!(seen.date.unwrap().time.unwrap().secs(), NOW - shift, "{zone}");
    }
}

#[test]
fn every_fault_of_the_rules_is_told_with_its_place() {
    let settings = FilterSettings {
        prefregex: Some("(".into()),
        failregex: vec!["from <HOST>".into(), " ".into(), "a(?i)b <HOST>".into()],
        ignoreregex: vec!["[".into()],
        datepattern: Some("%Y\n%Q".into()),
        logtimezone: Some("Mars/Base".into()),
        ..FilterSettings::default()
    };
    let errors = Filter::new(&settings, &TimeZone::UTC).unwrap_err();
    let mut places: Vec<(&str, usize)> = errors.iter().map(|error| (error.option, error.index)).collect();
    places.sort_unstable();
    assert_eq!(
        places,
        [
            ("datepattern", 1),
            ("failregex", 1),
            ("failregex", 2),
            ("ignoreregex", 0),
            ("logtimezone", 0),
            ("prefregex", 0)
        ]
    );
    assert!(errors.iter().all(|error| !error.mend.is_empty()));
}

#[test]
fn a_rule_that_names_nobody_is_refused_in_upstreams_words() {
    let errors = Filter::new(&settings(&["from <HOST>", "(?P<host>x)"]), &TimeZone::UTC).unwrap_err();
    let told: Vec<(usize, &str)> = errors
        .iter()
        .map(|error| (error.index, error.message.as_str()))
        .collect();
    assert_eq!(told, [(1, "No failure-id group in '(?P<host>x)'")]);
}

#[test]
fn tuples_and_stand_ins_are_put_together_as_upstream_does() {
    let rule = "<F-USER>\\w*</F-USER>/<F-ALT_USER>\\w*</F-ALT_USER>/<F-ALT_USER_1>\\w*</F-ALT_USER_1> <F-TUPLE_ID>\\w+</F-TUPLE_ID> <F-ID>\\w+</F-ID>";
    let found = found(judge(&settings(&[rule]), "//bob b a"));
    assert_eq!(found.fields.get("user"), Some("bob"));
    assert_eq!(found.who, Who::Id(FailureId::Text("('a', 'b')".into())));
    // Seen on 1.0.2: an address is no part of a tuple, and `alt_user1` is about `user1`.
    let rule = "<F-ALT_USER1>\\w+</F-ALT_USER1> <F-TUPLE_ID>\\w+</F-TUPLE_ID> <ADDR>";
    let found = self::found(judge(&settings(&[rule]), "bob b 192.0.2.7"));
    assert_eq!(
        (found.fields.get("user"), found.fields.get("user1")),
        (None, Some("bob"))
    );
    assert_eq!(found.who, Who::Id(FailureId::Text("(None, 'b')".into())));
}

#[test]
fn of_a_long_line_all_is_judged_and_the_beginning_is_kept() {
    let user = "ä".repeat(30_000);
    let line = format!("2026-11-22 11:59:59 fail {user} from 192.0.2.7");
    let found = found(judge(
        &settings(&["^\\s*fail <F-USER>.*?</F-USER> from <ADDR>$"]),
        &line,
    ));
    assert_eq!(found.who, Who::Id(FailureId::parse("192.0.2.7")));
    let kept = &found.lines.first().unwrap().text;
    assert!(
        line.starts_with(&**kept) && (8000..=8192).contains(&kept.len()),
        "{}",
        kept.len()
    );
    let name = found.fields.get("user").unwrap();
    assert!(
        user.starts_with(name) && (4000..=4096).contains(&name.len()),
        "{}",
        name.len()
    );
    assert!(found.fields.get("ip4").is_some_and(|ip4| ip4 == "192.0.2.7"));
}

#[test]
fn a_connection_that_fills_its_memory_keeps_its_latest_lines() {
    let rules = settings(&[
        "^\\s*c<F-MLFID>\\d+</F-MLFID> <F-NOFAIL>note</F-NOFAIL> .*$",
        "^\\s*c<F-MLFID>\\d+</F-MLFID> fail from <ADDR>$",
    ]);
    let filter = Filter::new(&rules, &TimeZone::UTC).unwrap();
    let mut memory = Memory::default();
    for number in 0..40 {
        let line = format!("c1 note {number} {}", "x".repeat(50_000));
        let verdict = filter.judge(line.as_bytes(), clock(true), &mut memory);
        assert!(matches!(verdict, Verdict::Ignored), "{verdict:?}");
    }
    let found = found(filter.judge(b"c1 fail from 192.0.2.7", clock(true), &mut memory));
    let bytes: usize = found.lines.iter().map(|line| line.text.len()).sum();
    assert!((40 << 10..=64 << 10).contains(&bytes), "{bytes}");
    assert_eq!(&*found.lines.last().unwrap().text, "c1 fail from 192.0.2.7");
    assert!(found.lines.iter().rev().nth(1).unwrap().text.starts_with("c1 note 39 "));
}

#[test]
fn a_rule_that_uses_up_its_steps_is_counted_and_told_once_an_hour() {
    // A back-reference: no linear engine can stand in.
    let settings = FilterSettings {
        failregex: vec![
            "^ok from <HOST>$".into(),
            r"^(?P<a>x*)*(?P<b>x*)*(?P=a)(?P=b)y from <HOST>$".into(),
        ],
        ..FilterSettings::default()
    };
    let filter = Filter::new(&settings, &TimeZone::UTC).unwrap();
    let mut memory = Memory::default();
    let line = format!("{}z y from 192.0.2.1", "x".repeat(20_000));
    for _ in 0..2 {
        let verdict = filter.judge(line.as_bytes(), clock(true), &mut memory);
        assert_eq!(verdict, Verdict::Overrun(Some(1)));
    }
    let told = filter.overruns().map(|rule| (rule.option, rule.index, rule.times));
    assert_eq!(told.collect::<Vec<_>>(), [("failregex", 1, 2)]);
    let mut tell = |seconds| filter.overrun_to_tell(Timestamp::from_secs(NOW + seconds)).is_some();
    assert_eq!(
        [0, 1, 3599, 3600, 3601].map(&mut tell),
        [true, false, false, true, false]
    );
}
