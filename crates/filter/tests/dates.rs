//! Dates as the installed `fail2ban-regex` reads them with its clock stopped: the same lines, the same times, the same text left after the
//! cut. The clock stands at awkward moments (the end of a year, a leap day, changes of daylight saving) in several zones.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "test code")]
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "asks the installed package, and says what it left out"
)]

mod numbers;

use std::fmt::Write as _;
use std::process::Command;

use jiff::tz::TimeZone;
use numbers::Numbers;
use stockade_core::Timestamp;
use stockade_filter::{Clock, Dating, Filter, FilterSettings, Memory, Verdict};

/// Time of the match (`None` if the line has no date) and the text before ` from`.
type Reading = Option<(Option<i64>, String)>;

const RULE: &str = "^(?P<rest>.*) from <HOST>$";

/// Where and when the clock stands.
#[derive(Clone, Copy)]
struct Moment {
    zone: &'static str,
    local: &'static str,
}

const MOMENTS: [Moment; 12] = [
    at("UTC", "2026-11-22 12:00:00"),
    at("Europe/Zurich", "2026-12-31 23:59:30"),
    at("Europe/Zurich", "2027-01-01 00:00:10"),
    at("America/New_York", "2028-02-29 12:00:00"),
    at("Asia/Kathmandu", "2028-03-01 00:00:05"),
    at("UTC", "2027-02-28 23:59:59"),
    at("Europe/Zurich", "2027-03-28 03:30:00"),
    at("America/St_Johns", "2026-11-01 05:00:00"),
    at("Australia/Lord_Howe", "2026-10-04 03:00:00"),
    at("Pacific/Chatham", "2027-04-04 12:00:00"),
    at("Europe/Zurich", "2026-10-25 12:00:00"),
    at("America/Sao_Paulo", "2026-01-01 12:00:00"),
];

const fn at(zone: &'static str, local: &'static str) -> Moment {
    Moment { zone, local }
}

impl Moment {
    fn zone(self) -> Option<TimeZone> {
        let zone = TimeZone::get(self.zone).ok();
        if zone.is_none() {
            println!("skipped: no time zone database (package tzdata)");
        }
        zone
    }

    fn seconds(self, zone: &TimeZone) -> i64 {
        let local: jiff::civil::DateTime = self.local.parse().unwrap();
        local.to_zoned(zone.clone()).unwrap().timestamp().as_second()
    }
}

/// What `fail2ban-regex` makes of the lines; `None` if what is needed is not installed.
fn theirs(lines: &[String], pattern: Option<&str>, moment: Moment) -> Option<Vec<Reading>> {
    let path = std::env::temp_dir().join(format!("stockade-dates-{}-{:p}", std::process::id(), lines));
    let mut log = String::new();
    for (index, line) in lines.iter().enumerate() {
        let (high, middle, low) = (index >> 16, (index >> 8) & 255, index & 255);
        writeln!(log, "{line} from 10.{high}.{middle}.{low}").unwrap();
    }
    std::fs::write(&path, log).unwrap();
    let mut command = Command::new("faketime");
    command.env("TZ", moment.zone).args(["-f", moment.local]);
    command.args(["fail2ban-regex", "--usedns=no", "-l", "CRITICAL", "-o", "row"]);
    if let Some(pattern) = pattern {
        command.args(["-d", pattern]);
    }
    let output = command.arg(&path).arg(RULE).output();
    std::fs::remove_file(&path).unwrap();
    let Ok(output) = output else {
        println!("skipped: faketime (package faketime) is not installed");
        return None;
    };
    if output.status.code() == Some(127) {
        println!("skipped: fail2ban-regex (package fail2ban) is not installed");
        return None;
    }
    let text = String::from_utf8(output.stdout).unwrap();
    let mut readings = vec![None; lines.len()];
    for row in text.lines().filter(|row| row.starts_with("['10.")) {
        let mut parts = row.splitn(3, '\t');
        let address: Vec<usize> = parts.next().unwrap()[2..]
            .trim_end_matches("',")
            .split('.')
            .map(|part| part.parse().unwrap())
            .collect();
        let time = parts.next().unwrap().trim_end_matches(',');
        let time = time.split('.').next().unwrap().parse::<i64>().ok();
        let fields = parts.next().unwrap();
        let rest = fields
            .split_once("'rest': '")
            .map_or("", |(_, tail)| tail.split_once("', 'ip4'").unwrap().0);
        readings[(address[1] << 16) + (address[2] << 8) + address[3]] = Some((time, rest.to_owned()));
    }
    Some(readings)
}

fn ours(lines: &[String], pattern: Option<&str>, zone: &TimeZone, now: i64) -> Vec<Reading> {
    let settings = FilterSettings {
        failregex: vec![RULE.into()],
        datepattern: pattern.map(str::to_owned),
        ..FilterSettings::default()
    };
    let filter = Filter::new(&settings, zone).unwrap_or_else(|errors| panic!("{pattern:?}: {errors:?}"));
    let clock = Clock {
        now: Timestamp::from_secs(now),
        in_operation: false,
        findtime: i64::MAX,
    };
    let mut memory = Memory::default();
    let mut last = None;
    lines
        .iter()
        .map(|line| {
            let seen = filter.examine(format!("{line} from 10.0.0.1").as_bytes(), clock, &mut memory, false);
            let Verdict::Match(found) = seen.verdict else {
                return None;
            };
            // A line without a date has the last one, if that is recent or to come.
            let time = match seen.date {
                Some(date) if date.time.is_some() => {
                    last = date.time.map(Timestamp::secs);
                    last
                }
                // The pattern says that there is none.
                Some(date) if date.range.is_empty() => Some(now),
                _ => last.filter(|_| memory.dating() == Dating::Read),
            };
            Some((time, found.fields.get("rest").unwrap_or("").to_owned()))
        })
        .collect()
}

/// Compares and gives the number of lines compared.
fn compare(
    lines: &[String],
    pattern: Option<&str>,
    moment: Moment,
    zone: &TimeZone,
    differences: &mut Vec<String>,
) -> Option<usize> {
    let theirs = theirs(lines, pattern, moment)?;
    let ours = ours(lines, pattern, zone, moment.seconds(zone));
    for ((line, theirs), ours) in lines.iter().zip(&theirs).zip(&ours) {
        if theirs != ours && !a_day_off(line, theirs.as_ref(), ours.as_ref()) {
            differences.push(format!(
                "{pattern:?} {} {}: {line:?}\n   theirs {theirs:?}\n   ours   {ours:?}",
                moment.zone, moment.local
            ));
        }
    }
    Some(lines.len())
}

/// Deviation D-049: of a date with a zone, but without a year, that lies in another year in upstream's view.
fn a_day_off(line: &str, theirs: Option<&(Option<i64>, String)>, ours: Option<&(Option<i64>, String)>) -> bool {
    let zoned = ["+05:30 ", "CEST ", "PDT "].iter().any(|zone| line.contains(zone));
    match (theirs, ours) {
        (Some((Some(theirs), rest)), Some((Some(ours), same))) => {
            zoned && rest == same && (theirs - ours).abs() == 86_400
        }
        _ => false,
    }
}

fn report(compared: usize, differences: &[String]) {
    println!("{compared} lines compared");
    let shown = &differences[..differences.len().min(20)];
    assert!(
        differences.is_empty(),
        "{} of {compared} differ:\n{}",
        differences.len(),
        shown.join("\n")
    );
}

/// A moment around now, around a change of daylight saving, or in the last 300 days, written in the zone.
fn written(format: &str, zone: &TimeZone, now: i64, numbers: &mut Numbers) -> String {
    let now_stamp = jiff::Timestamp::from_second(now).unwrap();
    let seconds = match numbers.below(6) {
        0 => now - i64::try_from(numbers.below(4 * 90_000)).unwrap() + 90_000,
        1 => now - i64::try_from(numbers.below(7200)).unwrap() + 3600,
        2 => {
            zone.preceding(now_stamp)
                .next()
                .map_or(now, |change| change.timestamp().as_second())
                .max(now - 300 * 86_400)
                + i64::try_from(numbers.below(20_000)).unwrap()
                - 10_000
        }
        _ => now - i64::try_from(numbers.below(300 * 86_400)).unwrap(),
    };
    let moment = jiff::Timestamp::from_second(seconds).unwrap().to_zoned(zone.clone());
    moment.strftime(format).to_string()
}

/// Formats the default templates read, with something before or after.
const DEFAULT_FORMATS: [&str; 50] = [
    "%Y-%m-%dT%H:%M:%SZ x",
    "%Y-%m-%dT%H:%M:%S.123456+02:00 x",
    "%Y/%m/%d %H:%M:%S x",
    "%Y.%m.%d  %H:%M:%S,123 x",
    "%Y-%m/%d %H:%M:%S x",
    "%b %d %H:%M:%S host",
    "%b %e %H:%M:%S host",
    "%a %b %d %H:%M:%S host",
    "%a %b %d %H:%M:%S.011 %Y x",
    "%a %b %d %Y %H:%M:%S x",
    "%d/%m/%Y %H:%M:%S x",
    "%d/%m/%y %H:%M:%S x",
    "%d/%b/%Y:%H:%M:%S +0200 x",
    "%d-%b-%Y %H:%M:%S.5 x",
    "%m/%d/%Y:%H:%M:%S x",
    "%m-%d-%Y %H:%M:%S.252 x",
    "%s x",
    "%s.123 x",
    "[%s] x",
    "[%s x",
    "[%s.123456] x",
    "type=X msg=audit(%s.123:456): x",
    "type=X msg=audit(%s.123) x",
    "x %s x",
    "%H:%M:%S x",
    "<%m/%d/%y@%H:%M:%S> x",
    "%y%m%d %H:%M:%S x",
    "%y%m%d  %k:%M:%S x",
    "%b %d, %Y %I:%M:%S %p x",
    "%b-%d-%y %H:%M:%S x",
    "%Y%m%dT%H%M%S x",
    "%Y%m%d %H%M%S.5+0200 x",
    "CEST %b %d %H:%M:%S x",
    "PDT %a %b %d %H:%M:%S %Y x",
    "+05:30 %b %d %H:%M:%S x",
    "@4000000068a85c0912345678 x",
    "[%Y-%m-%d %H:%M:%S] x",
    "((%b %d %H:%M:%S x",
    "((( %b %d %H:%M:%S x",
    "x%Y-%m-%d %H:%M:%S x",
    "1%Y-%m-%d %H:%M:%S x",
    "host app: %Y-%m-%d %H:%M:%S something",
    "%b %d %H:%M:%S host: %Y-%m-%d 10:00:00 inner",
    "no date at all",
    "%Y-%m-%d %H:%M:%S CEST x",
    "%Y-02-29 %H:%M:%S x",
    "Feb 29 %H:%M:%S x",
    "%b 31 %H:%M:%S %Y x",
    "%Y-%m-%d 24:00:00 x",
    "%Y-%m-%d %H:%M:60 x",
];

/// Lines in runs of one format, as logs have them, between lines of others.
fn log(count: usize, zone: &TimeZone, now: i64, numbers: &mut Numbers) -> Vec<String> {
    let mut lines = Vec::new();
    while lines.len() < count {
        let format = DEFAULT_FORMATS[usize::try_from(numbers.below(50)).unwrap()];
        let run = if numbers.below(4) == 0 { numbers.below(8) } else { 1 };
        let before = ["", "", "", "", "yy ", "[", "host app[7]: ", "- "][usize::try_from(numbers.below(8)).unwrap()];
        for _ in 0..run {
            let mut line = format!("{before}{}", written(format, zone, now, numbers));
            if numbers.below(12) == 0 {
                let second = DEFAULT_FORMATS[usize::try_from(numbers.below(50)).unwrap()];
                line = format!("{line} {}", written(second, zone, now, numbers));
            }
            lines.push(line);
        }
    }
    lines
}

#[test]
fn dates_in_mixed_formats_are_read_as_upstream_reads_them_wherever_and_whenever() {
    let (mut compared, mut differences) = (0, Vec::new());
    for (seed, moment) in (1..).zip(MOMENTS) {
        let Some(zone) = moment.zone() else { return };
        let lines = log(2000, &zone, moment.seconds(&zone), &mut Numbers(seed));
        let Some(count) = compare(&lines, None, moment, &zone, &mut differences) else {
            return;
        };
        compared += count;
    }
    report(compared, &differences);
}

#[test]
fn the_hour_that_comes_twice_is_read_as_upstream_reads_it_in_the_first_line() {
    let mut differences = Vec::new();
    for (moment, line) in [
        (at("Europe/Zurich", "2026-08-01 12:00:00"), "2025-10-26 02:30:00 x"),
        (at("Europe/Zurich", "2026-12-01 12:00:00"), "2025-10-26 02:30:00 x"),
        (at("America/New_York", "2026-08-01 12:00:00"), "2025-11-02 01:30:00 x"),
        (at("America/New_York", "2026-12-01 12:00:00"), "2025-11-02 01:30:00 x"),
    ] {
        let Some(zone) = moment.zone() else { return };
        if compare(&[line.to_owned()], None, moment, &zone, &mut differences).is_none() {
            return;
        }
    }
    report(4, &differences);
}

#[test]
fn odd_dates_are_read_as_upstream_reads_them() {
    let lines: Vec<String> = [
        "Feb 30 10:00:00 x",
        "2026-02-30 10:00:00 x",
        "2026-08-22 24:00:00 x",
        "Aug 22 24:00:00 x",
        "Aug 22 29:00:00 x",
        "2026-08-22 11:59:60 x",
        "2026-08-22 11:59:61 x",
        "2026-08-22 11:60:00 x",
        "01/02/2026 03:04:05 x",
        "02/13/2026 03:04:05 x",
        "Aug 32 10:00:00 x",
        "Aug 0 10:00:00 x",
        "2026-13-01 10:00:00 x",
        "175586399 x",
        "17558639990 x",
        "1755863999000 x",
        "@4000000068a85c0912345678 x",
        "x @4000000068a85c0912345678 x",
        "Wed Aug 22 10:00:00 2026 x",
        "2026-08-22T11:59:59 UTC x",
        "2026-08-22T11:59:59 GMT x",
        "2026-08-22T11:59:59-0730 x",
        "2026-08-22T11:59:59+1 x",
        "2026-08-22T11:59:59.1234567 x",
        "2026-08-22T11:59:59.x",
        "2026-8-2 1:2:3 x",
        "feb 3 01:02:03 x",
        "FEB  3 01:02:03 x",
        "Feb  3  1:02:03 x",
        "2026-08-22     11:59:59",
        "",
        " ",
        "1999-08-22 11:59:59 x",
    ]
    .map(str::to_owned)
    .into();
    let mut differences = Vec::new();
    let Some(zone) = MOMENTS[0].zone() else { return };
    if let Some(compared) = compare(&lines, None, MOMENTS[0], &zone, &mut differences) {
        report(compared, &differences);
    }
}

/// Patterns with a format they read.
const CUSTOM: [(&str, &str); 61] = [
    ("%Y-%m-%d %H:%M:%S", "x %Y-%m-%d %H:%M:%S y"),
    ("^%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S y"),
    ("{^LN-BEG}%Y%m%d-%H%M%S", "[%Y%m%d-%H%M%S y"),
    ("{^LN-BEG}", "- %b %d %H:%M:%S x"),
    ("{^LN-BEG}", "x %b %d %H:%M:%S x"),
    ("EPOCH", "%s x"),
    ("EPOCH", "[%s x"),
    ("^EPOCH", "[%s] x"),
    ("epoch", "audit(%s x"),
    ("t={EPOCH};", "x t=%s; y"),
    ("{^LN-BEG}EPOCH", "[%s x"),
    ("LEPOCH", "%s123 x"),
    ("LEPOCH", "%s123456 x"),
    ("{LEPOCH}", "at %s123 x"),
    ("TAI64N", "@4000000068a85c0912345678 x"),
    ("{^LN-BEG}TAI64N", "- @4000000068a85c0912345678 x"),
    ("^[^\\[]*\\[({DATE})", "1.2.3.4 - [%d/%b/%Y:%H:%M:%S +0200] x"),
    ("^[^\\[]*\\[({DATE})", "1.2.3.4 - [%s] x"),
    ("^<co ts=\"{DATE}\"\\s+", "<co ts=\"%Y-%m-%dT%H:%M:%S\"  x"),
    ("%a(%Y)b", "x y"),
    ("a(%Y-%m-%d)b", "xa%Y-%m-%db y"),
    ("**%Y-%m-%d", "x%Y-%m-%d y"),
    ("%Y-%m-%d**", "x %Y-%m-%dy"),
    ("{UNB}%Y-%m-%d", "x%Y-%m-15y"),
    ("%d.%m.%Y %k:%M", "x %d.%m.%Y %k:%M y"),
    ("%b %d %Y %l:%M:%S %p", "%b %d %Y %l:%M:%S %p y"),
    ("%B %d %Y", "%B %d %Y y"),
    ("%A %d %B %Y", "%A %d %B %Y y"),
    ("%j %Y", "%j %Y y"),
    ("%U %w %Y", "%U %w %Y y"),
    ("%W %w %Y", "%W %w %Y y"),
    ("%W %a %Y", "%W %a %Y y"),
    ("%H:%M", "%H:%M y"),
    ("%H:%M:%S", "y %H:%M:%S y"),
    ("%d %b", "%d %b y"),
    ("%y-%m-%d", "%y-%m-%d y"),
    ("%Y-%m-%d %H:%M:%S %z", "%Y-%m-%d %H:%M:%S +0530 y"),
    ("%Y-%m-%d %H:%M:%S %Z", "%Y-%m-%d %H:%M:%S CEST y"),
    ("%Y-%m-%d %H:%M:%S %ExZ", "%Y-%m-%d %H:%M:%S X y"),
    ("%Y-%m-%d %H:%M:%S %Exz", "%Y-%m-%d %H:%M:%S UTC+02 y"),
    ("%Y-%m-%d %H:%M:%S %Exz", "%Y-%m-%d %H:%M:%S AEST y"),
    ("%c", "%a %b %d %H:%M:%S %Y y"),
    ("%x %X", "%m/%d/%y %H:%M:%S y"),
    ("%Y-%m-%d\nEPOCH", "%s x"),
    ("%Y-%m-%d\n  EPOCH", "%Y-%m-%d x"),
    ("%Y:%m:%d-%H:%M:%S$", "%Y:%m:%d-%H:%M:%S"),
    ("%ExY%Exm%Exd%ExH%ExM", "%Y%m%d%H%M x"),
    ("\\[%d/%b/%Y %H:%M:%S\\]", "a [%d/%b/%Y %H:%M:%S] b"),
    ("%Y-%m-%d %H%%%M", "%Y-%m-%d %H%%%M x"),
    ("^%H:%M:%S.%f", "%H:%M:%S.123 x"),
    ("^(?:%Y-)?%m-%d[ T]%H:%M:%S(?:\\.%f)?", "%m-%d %H:%M:%S x"),
    ("^L %d/%m/%Y - %H:%M:%S", "L %d/%m/%Y - %H:%M:%S: x"),
    ("^{DATE}", "%Y-%m-%d %H:%M:%S x"),
    ("(?i)T%Y-%m-%d", "t%Y-%m-%d x"),
    ("^x:()**", "x: %Y-%m-%d"),
    ("%Y", "%Y y"),
    ("%m-%d", "%m-%d y"),
    ("%y%j", "%y%j y"),
    ("%H", "%H y"),
    ("%I:%M %p", "%I:%M %p y"),
    ("%M:%S", "%M:%S y"),
];

#[test]
fn custom_datepatterns_are_read_as_upstream_reads_them() {
    let (mut compared, mut differences) = (0, Vec::new());
    for (seed, (pattern, format)) in (100..).zip(CUSTOM) {
        let moment = MOMENTS[usize::try_from(seed % 12).unwrap()];
        let Some(zone) = moment.zone() else { return };
        let mut numbers = Numbers(seed);
        let lines: Vec<String> = (0..60)
            .map(|_| written(format, &zone, moment.seconds(&zone), &mut numbers))
            .collect();
        let Some(count) = compare(&lines, Some(pattern), moment, &zone, &mut differences) else {
            return;
        };
        compared += count;
    }
    report(compared, &differences);
}
