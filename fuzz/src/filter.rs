//! Lines, dates and rules.

use std::cell::RefCell;
use std::path::Path;

use jiff::tz::TimeZone;
use stockade_config::{Overrides, Value, load};
use stockade_core::Timestamp;
use stockade_filter::{Clock, Examination, Filter, FilterSettings, Memory, UseDns, Verdict};

/// 2026-11-22 00:00:05 UTC.
const NOW: i64 = 1_795_305_605;

fn clock(in_operation: bool) -> Clock {
    Clock {
        now: Timestamp::from_secs(NOW),
        in_operation,
        findtime: 600,
    }
}

/// A zone with leaps, so that hours that are not there or there twice are among the dates.
fn zone() -> TimeZone {
    TimeZone::get("Europe/Zurich").unwrap_or(TimeZone::UTC)
}

fn with_dates(datepattern: Option<&str>) -> Option<Filter> {
    let settings = FilterSettings {
        failregex: vec!["<F-ID>\\S*</F-ID>".to_owned()],
        datepattern: datepattern.map(str::to_owned),
        maxlines: 1,
        ..FilterSettings::default()
    };
    match Filter::new(&settings, &zone()) {
        Ok(filter) => Some(filter),
        Err(faults) => {
            assert!(!faults.is_empty());
            assert!(faults.iter().all(|fault| !fault.to_string().is_empty()));
            None
        }
    }
}

fn lines(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.split(|&byte| byte == b'\n').take(40)
}

/// The date stands in the line, as the text that it is after decoding.
fn sound(filter: &Filter, line: &[u8], seen: &Examination) {
    if let Some(hit) = &seen.date {
        let text = String::from_utf8_lossy(line);
        assert!(hit.range.start <= hit.range.end, "{hit:?}");
        if std::str::from_utf8(line).is_ok() {
            assert!(text.get(hit.range.clone()).is_some(), "{hit:?} in {text:?}");
        }
        assert!(filter.date_templates().nth(hit.template).is_some());
    }
    assert!(seen.hits.iter().all(|&rule| rule < filter.failregex().len()));
}

/// Each line as it is judged, with the gate and without, and closely looked at.
fn judge(filter: &Filter, data: &[u8]) {
    for in_operation in [true, false] {
        let mut memories: [Memory; 4] = std::array::from_fn(|_| Memory::default());
        let [gated, plain, close, again] = &mut memories;
        for line in lines(data) {
            let with = filter.judge(line, clock(in_operation), gated);
            let without = filter.judge_plain(line, clock(in_operation), plain);
            // A line that no rule matches is not compared with the clock.
            let pass = |verdict: &Verdict| matches!(verdict, Verdict::Miss | Verdict::TooOld);
            assert!(
                with == without || (pass(&with) && pass(&without)),
                "the gate changes {:?}: {with:?}, {without:?}",
                String::from_utf8_lossy(line)
            );
            if let Verdict::Match(found) = &with {
                assert!(found.rule < filter.failregex().len());
            }
            let seen = filter.examine(line, clock(in_operation), close, true);
            sound(filter, line, &seen);
            let _any = filter.judge_at(line, Timestamp::from_secs(NOW - 5), clock(in_operation), again);
        }
    }
}

thread_local! {
    static DEFAULTS: RefCell<Option<Filter>> = const { RefCell::new(None) };
    static BUILT_IN: RefCell<Vec<Filter>> = const { RefCell::new(Vec::new()) };
}

/// Lines with dates of any kind, by the default templates.
pub(crate) fn date(data: &[u8]) {
    DEFAULTS.with_borrow_mut(|filter| {
        if filter.is_none() {
            *filter = with_dates(None);
        }
        let Some(filter) = filter else {
            panic!("the default dates do not compile")
        };
        let mut memory = Memory::default();
        for line in lines(data) {
            let seen = filter.examine(line, clock(true), &mut memory, false);
            sound(filter, line, &seen);
        }
    });
}

/// A `datepattern`, then `%%`, then lines for it.
pub(crate) fn datepattern(data: &[u8]) {
    let [pattern, text] = super::parts(data);
    if let Some(filter) = with_dates(Some(&pattern)) {
        judge(&filter, text.as_bytes());
    }
}

/// Rules, a line each (`p:` prefregex, `i:` ignoreregex, `d:` datepattern, else failregex), then `%%`, then lines.
pub(crate) fn rules(data: &[u8]) {
    let [rules, text] = super::parts(data);
    let mut settings = FilterSettings {
        maxlines: 1,
        usedns: match rules.len() % 4 {
            0 => UseDns::Yes,
            1 => UseDns::Warn,
            2 => UseDns::No,
            _ => UseDns::Raw,
        },
        ..FilterSettings::default()
    };
    for rule in rules.split('\n').take(6) {
        match rule.split_once(':') {
            Some(("p", rule)) => settings.prefregex = Some(rule.to_owned()),
            Some(("i", rule)) => settings.ignoreregex.push(rule.to_owned()),
            Some(("d", pattern)) => settings.datepattern = Some(pattern.to_owned()),
            _ => settings.failregex.push(rule.to_owned()),
        }
    }
    match Filter::new(&settings, &zone()) {
        Ok(filter) => judge(&filter, text.as_bytes()),
        Err(faults) => assert!(!faults.is_empty()),
    }
}

/// The rules of the built-in jails.
fn built_in() -> Vec<Filter> {
    let config = load(Path::new("/nonexistent"), &Overrides::default());
    let mut filters = Vec::new();
    for jail in &config.jails {
        let texts = |option: &str| jail.lines(option).map(|line| line.text.clone()).collect::<Vec<_>>();
        let text = |option: &str| {
            let found = jail.settings.iter().find(|setting| setting.option == option)?;
            match &found.value {
                Value::Text(text) => Some(text.clone()),
                _ => None,
            }
        };
        let settings = FilterSettings {
            prefregex: text("prefregex"),
            failregex: texts("addfailregex"),
            ignoreregex: texts("addignoreregex"),
            datepattern: text("datepattern"),
            maxlines: 1,
            ..FilterSettings::default()
        };
        filters.extend(Filter::new(&settings, &zone()));
    }
    filters
}

/// Hostile lines for the built-in filters.
pub(crate) fn line(data: &[u8]) {
    BUILT_IN.with_borrow_mut(|filters| {
        if filters.is_empty() {
            *filters = built_in();
            assert!(!filters.is_empty(), "the built-in filters do not compile");
        }
        for filter in filters {
            judge(filter, data);
        }
    });
}
