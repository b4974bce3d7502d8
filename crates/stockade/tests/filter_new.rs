//! `stockade filter new`: filters made of the sample lines of every service find these lines with their address, and no other address in hostile
//! variations of them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "test code")]

#[expect(dead_code, reason = "shared with the tests of the built-in filters")]
#[path = "../../filter/tests/shipped/configured.rs"]
mod configured;
#[path = "../../filter/tests/shipped/forging.rs"]
mod forging;
#[expect(dead_code, reason = "shared with the tests of the built-in filters")]
#[path = "../../filter/tests/shipped/samples.rs"]
mod samples;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use forging::{Numbers, OTHERS};
use jiff::tz::TimeZone;
use samples::{Hole, Kind, Part, Sample};
use stockade_config::Value;
use stockade_core::Timestamp;
use stockade_filter::{Clock, Filter, FilterSettings, Memory, UseDns, Verdict, review};
use testkit::TempDir;

/// Hostile lines made of each sample with holes.
const LINES_EACH: usize = 60;

/// What is said, on both outputs, and the exit code.
fn new(args: &[&str], lines: &str) -> (String, Option<i32>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_stockade"))
        .args(["filter", "new"])
        .args(args)
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may refuse its arguments and not read.
    let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (text, output.status.code())
}

/// The settings of a filter file.
fn settings(folder: &Path, name: &str) -> FilterSettings {
    let read = stockade_config::filter_settings(folder, Path::new(name), &[], false, &mut Vec::new());
    let mut settings = FilterSettings {
        usedns: UseDns::No,
        ..FilterSettings::default()
    };
    for setting in read.unwrap().unwrap().settings {
        match (setting.option.as_ref(), setting.value) {
            ("datepattern", Value::Text(text)) => settings.datepattern = Some(text),
            ("addfailregex", Value::Lines(lines)) => {
                settings.failregex = lines.into_iter().map(|line| line.text).collect();
            }
            _ => {}
        }
    }
    settings
}

fn judged(filter: &Filter, line: &str) -> Option<String> {
    let clock = Clock {
        // Shortly after the samples.
        now: Timestamp::from_secs(1_795_359_600),
        in_operation: true,
        findtime: 600,
    };
    match filter.judge(line.as_bytes(), clock, &mut Memory::default()) {
        Verdict::Match(found) => Some(configured::who(&found)),
        Verdict::Overrun(rule) => panic!("{rule:?} uses up its steps on {line}"),
        _ => None,
    }
}

/// The line as it would be pasted, with marks or without; where an address of IPv6 ends has to be told.
fn pasted(sample: &Sample, marked: bool) -> String {
    let address = sample.address.as_deref().unwrap();
    let mut is_free = marked || address.contains(':');
    let parts = sample.parts.iter().map(|part| match part {
        Part::Text(text) if is_free && text.contains(address) => {
            is_free = false;
            text.replacen(address, &format!("<<{address}>>"), 1)
        }
        Part::Text(text) => text.clone(),
        Part::Hole(_) if marked => "{{alice}}".to_owned(),
        Part::Hole(_) => "alice".to_owned(),
    });
    parts.collect()
}

/// Lines that were refused, by the reason.
type Refused = BTreeMap<String, Vec<String>>;

/// A filter made of some samples.
struct Made<'a> {
    name: String,
    samples: Vec<&'a Sample>,
}

/// Filters made of samples: one of all, if their dates are of one kind, else one of each; without those that are refused.
fn made<'a>(folder: &Path, name: &str, samples: &[&'a Sample], marked: bool, refused: &mut Refused) -> Vec<Made<'a>> {
    let to = folder.to_str().unwrap();
    let lines = |samples: &[&Sample]| {
        let lines: Vec<String> = samples.iter().map(|sample| pasted(sample, marked)).collect();
        lines.join("\n")
    };
    if new(&[name, "--to", to], &lines(samples)).1 == Some(0) {
        return vec![Made {
            name: name.to_owned(),
            samples: samples.to_vec(),
        }];
    }
    let accepted = samples.iter().filter(|sample| {
        let (said, code) = new(&["one"], &lines(&[sample]));
        if code != Some(0) {
            let reason = said
                .lines()
                .find_map(|line| line.strip_prefix("line 1: "))
                .unwrap_or(&said);
            refused
                .entry(reason.to_owned())
                .or_default()
                .push(format!("{name}:{}", sample.number));
        }
        code == Some(0)
    });
    let accepted: Vec<&Sample> = accepted.copied().collect();
    if accepted.is_empty() {
        return Vec::new();
    }
    if new(&[name, "--to", to], &lines(&accepted)).1 == Some(0) {
        return vec![Made {
            name: name.to_owned(),
            samples: accepted,
        }];
    }
    let each = accepted.into_iter().map(|sample| {
        let name = format!("{name}-{}", sample.number);
        let (said, code) = new(&[&name, "--to", to], &lines(&[sample]));
        assert_eq!(code, Some(0), "{said}");
        Made {
            name,
            samples: vec![sample],
        }
    });
    each.collect()
}

#[test]
fn filters_made_of_the_lines_of_every_service_find_them_and_nobody_else_in_hostile_ones() {
    let folder = TempDir::new("filter-new");
    let given = std::env::var("STOCKADE_HOSTILE_LINES").ok();
    let lines_each = given.map_or(LINES_EACH, |lines| lines.parse().unwrap());
    let mut numbers = Numbers(0x5eed_2026_1130);
    let mut refused = Refused::new();
    let (mut filters, mut given, mut found, mut tried, mut named) = (0, 0, 0, 0, 0);
    let mut wrong = Vec::new();
    for service in configured::names() {
        for (index, section) in samples::read(&service).iter().enumerate() {
            let failures = section.samples.iter().filter(|sample| sample.kind == Kind::Failure);
            let failures: Vec<&Sample> = failures.collect();
            let all = failures.iter().flat_map(|sample| forgeries(sample));
            let all: Vec<String> = all.collect();
            for marked in [true, false].into_iter().filter(|_| !failures.is_empty()) {
                given += failures.len();
                let name = format!("{service}-{index}-{}", if marked { "marked" } else { "plain" });
                for made in made(folder.path(), &name, &failures, marked, &mut refused) {
                    filters += 1;
                    let settings = settings(folder.path(), &made.name);
                    let filter = Filter::new(&settings, &TimeZone::UTC).unwrap();
                    wrong.extend(
                        review(&filter, &settings)
                            .iter()
                            .map(|finding| format!("{}: {finding:?}", made.name)),
                    );
                    for sample in made.samples {
                        found += 1;
                        if judged(&filter, &sample.plain()) != sample.address {
                            wrong.push(format!("{} does not find {}", made.name, sample.plain()));
                        }
                        let own = forgeries(sample);
                        for round in (0..lines_each).filter(|_| sample.has_holes()) {
                            let of = if round % 2 == 0 { &own } else { &all };
                            // As if the service escaped nothing.
                            let raw = Hole::Any { without: String::new() };
                            let line = sample.filled(|_| forging::written(&raw, &forging::text(of, &mut numbers)));
                            tried += 1;
                            match judged(&filter, &line) {
                                None => {}
                                Some(who) if Some(&who) == sample.address.as_ref() => named += 1,
                                Some(who) => wrong.push(format!("{}: {who} named by {line}", made.name)),
                            }
                        }
                    }
                }
            }
        }
    }
    println!(
        "{given} lines given, {filters} filters made, {found} lines found; {tried} hostile lines: {named} name the true address, {} faults",
        wrong.len()
    );
    wrong.truncate(60);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (reason, lines) in &refused {
        println!("refused: {reason}: {} {lines:?}", lines.len());
        let is_known = [
            "it has its address twice",
            "it has several addresses",
            "it has no address",
            "no date is found",
        ]
        .iter()
        .any(|known| reason.starts_with(known));
        assert!(is_known, "refused: {reason}: {lines:?}");
    }
    assert!(found * 10 > given * 8, "{found} of {given} lines");
}

fn forgeries(sample: &Sample) -> Vec<String> {
    OTHERS
        .iter()
        .take(2)
        .flat_map(|other| forging::forged(sample, other))
        .collect()
}

const DOOR: &str = "\
Nov 22 13:40:04 vm doord[106]: Failed password for bob from 198.51.100.7 port 4242 ssh2
Nov 22 13:40:05 vm doord[107]: Failed password for invalid user eve from 2001:db8::9 port 4243 ssh2
Nov 22 13:40:05 vm doord[108]: Failed password for alice from 198.51.100.8 port 4243 ssh2
- Nov 22 13:40:05 vm doord[109]: Accepted password for alice from 198.51.100.8 port 4243 ssh2
Nov 22 13:40:05 vm doord[110]: Login of {{a b}} from <<198.51.100.8>> to 198.51.100.1 failed: {{some reason; 100%}}
";

#[test]
fn lines_of_one_shape_make_one_rule_and_the_files_are_what_was_shown_and_are_never_overwritten() {
    let folder = TempDir::new("filter-new-door");
    let to = folder.path().to_str().unwrap();
    let (shown, code) = new(&["door"], DOOR);
    assert_eq!(code, Some(0), "{shown}");
    assert!(!folder.join("door.conf").exists());
    let (said, code) = new(&["door", "--to", to], DOOR);
    assert_eq!(code, Some(0), "{said}");
    for piece in [
        "of lines 1, 2, 3",
        "anything may stand for `a b`, `some reason; 100%`",
        "door: all 7 samples come out as expected",
        "    [door]\n      enabled = true\n",
    ] {
        assert!(said.contains(piece), "`{piece}` is not in\n{said}");
    }
    let settings = settings(folder.path(), "door");
    assert_eq!(settings.failregex.len(), 2, "{settings:?}");
    let written = std::fs::read_to_string(folder.join("door.conf")).unwrap();
    let rules = written.lines().filter(|line| line.contains("<ADDR>"));
    assert!(
        rules.clone().count() == 2 && rules.clone().all(|rule| shown.contains(rule)),
        "{written}\n{shown}"
    );
    for (name, gone) in [("door", "conf"), ("door", "samples")] {
        let (said, code) = new(&[name, "--to", to], DOOR);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("is there already, and is not overwritten"), "{said}");
        std::fs::remove_file(folder.join(format!("{name}.{gone}"))).unwrap();
    }
}

#[test]
fn words_that_mean_something_in_a_rule_or_a_file_stand_for_themselves() {
    let folder = TempDir::new("filter-new-words");
    let line = "2026-11-22 13:40:04 ; a ;b 100% %(c)s <HOST> <c> [d] (e|f)* #g \\h {i} $j ^k \"l\" ü\tfrom 192.0.2.1?";
    let (said, code) = new(&["words", "--to", folder.path().to_str().unwrap()], line);
    assert_eq!(code, Some(0), "{said}");
    let filter = Filter::new(&settings(folder.path(), "words"), &TimeZone::UTC).unwrap();
    assert_eq!(judged(&filter, line).as_deref(), Some("192.0.2.1"));
    for (from, to) in [
        ("<HOST>", "x"),
        ("(e|f)*", "e"),
        ("[d]", "d"),
        ("192.0.2.1?", "192.0.2.1"),
    ] {
        assert_eq!(judged(&filter, &line.replace(from, to)), None, "{from}");
    }
}

#[test]
fn numbers_differ_unless_they_tell_what_happened() {
    let web = r#"192.0.2.1 - bob [22/Nov/2026:13:40:04 +0000] "POST /admin HTTP/1.1" 401 581 "-" "Mozilla/5.0 (X)""#;
    let mail =
        "Nov 22 13:40:04 vm maild[8]: 5AMDe4xx012345 4711: AH01618 535 5.7.8 bad login for bob from 192.0.2.1 port 401";
    for (line, found, missed) in [
        (
            web,
            &[("581", "12"), ("bob", "eve"), ("Mozilla/5.0 (X)", "curl/8.1")][..],
            &[("401", "200"), ("POST", "GET"), ("/admin", "/")][..],
        ),
        (
            mail,
            &[
                ("401", "52"),
                ("[8]", "[900]"),
                ("4711", "5"),
                ("5AMDe4xx012345", "4bXcDe1x0F2345"),
                ("bob", "a b"),
            ],
            &[("535", "235"), ("bad", "good"), ("AH01618", "AH01619")],
        ),
    ] {
        let folder = TempDir::new("filter-new-numbers");
        let (said, code) = new(&["numbers", "--to", folder.path().to_str().unwrap()], line);
        assert_eq!(code, Some(0), "{said}");
        let filter = Filter::new(&settings(folder.path(), "numbers"), &TimeZone::UTC).unwrap();
        for (from, to) in found {
            assert_eq!(
                judged(&filter, &line.replacen(from, to, 1)).as_deref(),
                Some("192.0.2.1"),
                "{to}: {said}"
            );
        }
        for (from, to) in missed {
            assert_eq!(judged(&filter, &line.replacen(from, to, 1)), None, "{to}: {said}");
        }
    }
}

#[test]
fn what_cannot_be_used_is_told_with_the_line_and_a_mend() {
    let dated = |line: &str| format!("2026-11-22 13:40:04 {line}\n");
    let two = |first: &str, second: &str| dated(first) + &dated(second);
    let clash = "two are alike 192.0.2.1 to 192.0.2.2";
    for (what, args, lines, code, pieces) in [
        ("no name", &[][..], String::new(), 2, &["a name, and perhaps"][..]),
        (
            "a path for a name",
            &["../x"],
            String::new(),
            2,
            &["is no name for a filter", "mend:"],
        ),
        (
            "a built-in name",
            &["sshd"],
            String::new(),
            2,
            &["built-in filter `sshd`", "mend: another name"],
        ),
        (
            "no folder",
            &["door", "--to", "/nonexistent"],
            String::new(),
            2,
            &["no folder /nonexistent", "mkdir -p"],
        ),
        (
            "no file",
            &["door", "/nonexistent"],
            String::new(),
            2,
            &["/nonexistent cannot be read", "mend:"],
        ),
        (
            "nothing",
            &["door"],
            "\n\n".to_owned(),
            2,
            &["no line of a failure", "mend:"],
        ),
        (
            "only innocents",
            &["door"],
            format!("- {}", dated("fine 192.0.2.1")),
            2,
            &["no line of a failure"],
        ),
        (
            "no address",
            &["door"],
            dated("nobody"),
            2,
            &["line 1: it has no address", "mend: leave it out"],
        ),
        (
            "twice",
            &["door"],
            two("a 192.0.2.1", "b 192.0.2.1 c 192.0.2.1"),
            2,
            &["line 2: it has its address twice", "b <<192.0.2.1>> c"],
        ),
        (
            "several",
            &["door"],
            dated("192.0.2.1 to 192.0.2.2"),
            2,
            &["several addresses", "mend: mark the one"],
        ),
        (
            "no date",
            &["door"],
            "x 192.0.2.1".to_owned(),
            2,
            &["line 1: no date is found", "mend: paste whole lines"],
        ),
        (
            "an open mark",
            &["door"],
            dated("{{x 192.0.2.1"),
            2,
            &["`{{` without `}}`", "mend:"],
        ),
        (
            "two that contradict each other",
            &["door"],
            two(
                &clash.replace("192.0.2.1", "<<192.0.2.1>>"),
                &clash.replace("192.0.2.2", "<<192.0.2.2>>"),
            ),
            1,
            &[
                "lines 1 and 2 are alike, but different addresses",
                "mend: mark the same one in both",
            ],
        ),
        (
            "a failure and none that cannot be told apart",
            &["door"],
            format!("{}- {}", dated("x {{failed}} 192.0.2.1"), dated("x passed 192.0.2.1")),
            1,
            &[
                "line 2: it is no failure, but is read as one of 192.0.2.1, as line 1 is",
                "mend: mark less",
            ],
        ),
        (
            "an address between texts of others",
            &["door"],
            dated("{{x}}<<192.0.2.1>>{{y}}"),
            1,
            &[
                "line 1: its address cannot be told from the text around it",
                "mend: mark less",
            ],
        ),
    ] {
        let (said, came) = new(args, &lines);
        assert_eq!(came, Some(code), "{what}: {said}");
        for piece in pieces {
            assert!(said.contains(piece), "{what}: `{piece}` is not in\n{said}");
        }
    }
}
