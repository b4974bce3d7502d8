//! Dates as the installed `fail2ban-regex` reads them: the same lines, the same times, the same text left after the cut.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "test code")]
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "asks the installed package by the clock of this machine, and says what it left out"
)]

use std::fmt::Write as _;
use std::process::Command;

use jiff::tz::TimeZone;
use stockade_core::Timestamp;
use stockade_filter::{Clock, Filter, FilterSettings, Memory, Verdict};

/// Time of the match (`None` if the line has no date) and the text before ` from`.
type Reading = Option<(Option<i64>, String)>;

const RULE: &str = "^(?P<rest>.*) from <HOST>$";

/// What `fail2ban-regex` makes of the lines; `None` if it is not installed.
fn theirs(lines: &[String], pattern: Option<&str>, zone: &str) -> Option<Vec<Reading>> {
    let path = std::env::temp_dir().join(format!("stockade-dates-{}-{:p}", std::process::id(), lines));
    let mut log = String::new();
    for (index, line) in lines.iter().enumerate() {
        writeln!(
            log,
            "{line} from 10.{}.{}.{}",
            index >> 16,
            (index >> 8) & 255,
            index & 255
        )
        .unwrap();
    }
    std::fs::write(&path, log).unwrap();
    let mut command = Command::new("fail2ban-regex");
    command.env("TZ", zone).args(["--usedns=no", "-o", "row"]);
    if let Some(pattern) = pattern {
        command.args(["-d", pattern]);
    }
    let output = command.arg(&path).arg(RULE).output();
    std::fs::remove_file(&path).unwrap();
    let Ok(output) = output else {
        println!("skipped: fail2ban-regex (package fail2ban) is not installed");
        return None;
    };
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
    lines
        .iter()
        .map(|line| {
            let seen = filter.examine(format!("{line} from 10.0.0.1").as_bytes(), clock, &mut memory, false);
            let Verdict::Match(found) = seen.verdict else {
                return None;
            };
            let time = seen.date.and_then(|date| date.time).map(Timestamp::secs);
            Some((time, found.fields.get("rest").unwrap_or("").to_owned()))
        })
        .collect()
}

/// A different number for each call, the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// `format` with moments of the last 300 days and the next three, in the zone.
fn written(format: &str, count: usize, zone: &TimeZone, now: i64, numbers: &mut Numbers) -> Vec<String> {
    (0..count)
        .map(|_| {
            let ago = i64::try_from(numbers.below(303 * 86_400)).unwrap() - 3 * 86_400;
            let moment = jiff::Timestamp::from_second(now - ago).unwrap().to_zoned(zone.clone());
            moment.strftime(format).to_string()
        })
        .collect()
}

fn now() -> i64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// Compares and gives the number of lines compared.
fn compare(lines: &[String], pattern: Option<&str>, zone_name: &str, differences: &mut Vec<String>) -> Option<usize> {
    let zone = TimeZone::get(zone_name).ok()?;
    let theirs = theirs(lines, pattern, zone_name)?;
    let ours = ours(lines, pattern, &zone, now());
    for ((line, theirs), ours) in lines.iter().zip(&theirs).zip(&ours) {
        if theirs != ours {
            differences.push(format!(
                "{pattern:?} {zone_name}: {line:?}\n   theirs {theirs:?}\n   ours   {ours:?}"
            ));
        }
    }
    Some(lines.len())
}

fn report(compared: usize, differences: &[String]) {
    println!("{compared} lines compared");
    let shown = &differences[..differences.len().min(40)];
    assert!(
        differences.is_empty(),
        "{} of {compared} differ:\n{}",
        differences.len(),
        shown.join("\n")
    );
}

/// Formats the default templates read, with something before or after.
const DEFAULT_FORMATS: [&str; 44] = [
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
    "[%s.123456] x",
    "type=X msg=audit(%s.123:456): x",
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
    "+02:00 %b %d %H:%M:%S x",
    "[%b %d %H:%M:%S] NOTICE[12] c.c:",
    "[%Y-%m-%d %H:%M:%S] NOTICE[12] c.c:",
    "1.2.3.4 - - [%d/%b/%Y:%H:%M:%S +0200] \"GET /\"",
    "((%b %d %H:%M:%S x",
    "((( %b %d %H:%M:%S x",
    "x%Y-%m-%d %H:%M:%S x",
    "1%Y-%m-%d %H:%M:%S x",
    "host app: %Y-%m-%d %H:%M:%S something",
    "%b %d %H:%M:%S host: %Y-%m-%d 10:00:00 inner",
    "no date at all",
    "%Y-%m-%d %H:%M:%S CEST x",
];

#[test]
fn default_dates_are_read_as_upstream_reads_them_one_format_at_a_time() {
    let mut numbers = Numbers(7);
    let (mut compared, mut differences) = (0, Vec::new());
    for zone_name in ["UTC", "Europe/Zurich"] {
        let Ok(zone) = TimeZone::get(zone_name) else {
            println!("skipped: no time zone database (package tzdata)");
            return;
        };
        // Local time is the same code for all formats without a zone: a few show it.
        let formats = if zone_name == "UTC" {
            &DEFAULT_FORMATS[..]
        } else {
            &DEFAULT_FORMATS[3..12]
        };
        for format in formats {
            let lines = written(format, 40, &zone, now(), &mut numbers);
            let Some(count) = compare(&lines, None, zone_name, &mut differences) else {
                return;
            };
            compared += count;
        }
    }
    report(compared, &differences);
}

#[test]
fn default_dates_in_mixed_order_are_read_as_upstream_reads_them() {
    let mut numbers = Numbers(11);
    let mut differences = Vec::new();
    let zone = TimeZone::UTC;
    let lines: Vec<String> = (0..1500)
        .map(|_| {
            let format = DEFAULT_FORMATS[usize::try_from(numbers.below(44)).unwrap()];
            // Long past: upstream gives a line without a date the last date if that is recent.
            written(format, 1, &zone, now() - 4 * 86_400, &mut numbers).remove(0)
        })
        .collect();
    let Some(compared) = compare(&lines, None, "UTC", &mut differences) else {
        return;
    };
    // Deviation D-049: which of two templates that fit a line with a leading zone name comes first depends, upstream, on how long the
    // front one was not used; with 1 seed of dates around now some single line may differ by it. Seen: 1 of 1,500 on 2026-11-22.
    let by_order = differences
        .iter()
        .filter(|difference| difference.contains(": \"PDT "))
        .count();
    if by_order <= 3 {
        differences.retain(|difference| !difference.contains(": \"PDT "));
    }
    report(compared, &differences);
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
    let mut compared = 0;
    for line in &lines {
        let Some(count) = compare(std::slice::from_ref(line), None, "UTC", &mut differences) else {
            return;
        };
        compared += count;
    }
    report(compared, &differences);
}

#[test]
fn custom_datepatterns_are_read_as_upstream_reads_them() {
    let mut numbers = Numbers(13);
    let (mut compared, mut differences) = (0, Vec::new());
    for (pattern, format) in [
        ("%Y-%m-%d %H:%M:%S", "x %Y-%m-%d %H:%M:%S y"),
        ("^%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S y"),
        ("{^LN-BEG}%Y%m%d-%H%M%S", "[%Y%m%d-%H%M%S y"),
        ("{^LN-BEG}", "- %b %d %H:%M:%S x"),
        ("{^LN-BEG}", "x %b %d %H:%M:%S x"),
        ("EPOCH", "%s x"),
        ("t={EPOCH};", "x t=%s; y"),
        ("{^LN-BEG}EPOCH", "[%s x"),
        ("LEPOCH", "%s123 x"),
        ("LEPOCH", "%s123456 x"),
        ("{LEPOCH}", "at %s123 x"),
        ("TAI64N", "@4000000068a85c0912345678 x"),
        ("{^LN-BEG}TAI64N", "- @4000000068a85c0912345678 x"),
        ("^[^\\[]*\\[({DATE})", "1.2.3.4 - [%d/%b/%Y:%H:%M:%S +0200] x"),
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
        ("%Y-%m-%d\nEPOCH", "%Y-%m-%d x"),
        ("%Y:%m:%d-%H:%M:%S$", "%Y:%m:%d-%H:%M:%S"),
        ("%ExY%Exm%Exd%ExH%ExM", "%Y%m%d%H%M x"),
        ("\\[%d/%b/%Y %H:%M:%S\\]", "a [%d/%b/%Y %H:%M:%S] b"),
        ("%Y-%m-%d %H%%%M", "%Y-%m-%d %H%%%M x"),
        ("^%H:%M:%S.%f", "%H:%M:%S.123 x"),
        ("^(?:%Y-)?%m-%d[ T]%H:%M:%S(?:\\.%f)?", "%m-%d %H:%M:%S x"),
        ("^L %d/%m/%Y - %H:%M:%S", "L %d/%m/%Y - %H:%M:%S: x"),
        ("^{DATE}", "%Y-%m-%d %H:%M:%S x"),
        ("(?i)T%Y-%m-%d", "t%Y-%m-%d x"),
    ] {
        let zone = TimeZone::UTC;
        let lines = written(format, 25, &zone, now(), &mut numbers);
        let Some(count) = compare(&lines, Some(pattern), "UTC", &mut differences) else {
            return;
        };
        compared += count;
    }
    report(compared, &differences);
}
