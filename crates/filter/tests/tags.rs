//! Tags and whom they name, beside the installed `fail2ban-regex`: the same id and the same fields of each line.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "asks the installed package, and says what it left out"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

use jiff::tz::TimeZone;
use stockade_core::Timestamp;
use stockade_filter::{Clock, Filter, FilterSettings, Memory, UseDns, Verdict, Who};

/// A rule and lines it is tried on; both get a mark in front, so that all are tried in one run.
const CASES: &[(&str, &[&str])] = &[
    (
        "<HOST>$",
        &[
            "192.0.2.7",
            "[192.0.2.7]",
            "[192.0.2.7",
            "192.0.2.7]",
            "2001:DB8::A",
            "[2001:db8::a]",
            "::ffff:1.2.3.4",
            "::fffff:1.2.3.4",
            "::FFFF:1.2.3.4",
            "::ffff:102:304",
            "::1",
            "1:2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7::",
            "fe80::1%eth0",
            "host.example",
            "a-b_c.example",
            "-x",
            "x-",
            "x.",
            "^x",
            "1.2.3.4.5",
            "é.example",
            "",
            "[host]",
            "192.0.2.7:22",
        ],
    ),
    (
        "<ADDR>$",
        &["192.0.2.7", "[2001:db8::7]", "host.example", "1.2.3.4.5", "12345:1::"],
    ),
    (
        "<IP4>$",
        &["192.0.2.7", "[192.0.2.7]", "::ffff:192.0.2.7", "::1", "1.2.3"],
    ),
    ("<IP6>$", &["192.0.2.7", "2001:db8::7", "[2001:db8::7]", "::", "a::b"]),
    ("<DNS>$", &["192.0.2.7", "host.example", "2001:db8::7"]),
    (
        "<SUBNET>$",
        &[
            "1.2.3.4/24",
            "1.2.3.4",
            "[1.2.3.4/24]",
            "1.2.3.4/33",
            "1.2.3.4/32",
            "2001:db8::1/64",
            "2001:db8::1/128",
            "1.2.3.4/",
            "1.2.3.4/255.255.255.0",
        ],
    ),
    ("<F-SUBNET/>$", &["1.2.3.4/24"]),
    ("<F-IP4/>$", &["1.2.3.4"]),
    ("<F-IP6/>$", &["2001:db8::1"]),
    ("<F-ADDR/>$", &["1.2.3.4", "2001:db8::1"]),
    ("<F-DNS/>$", &["host.example"]),
    ("<IP4>/<CIDR> x$", &["1.2.3.4/16 x"]),
    ("<IP4>/<F-CIDR/> y$", &["1.2.3.4/16 y"]),
    ("<F-ID/>$", &["bob", "1.2.3.4", "a b", "é"]),
    ("<F-ID>[^ ]+</F-ID>$", &["bob", "1.2.3.4"]),
    (
        "<F-ID>.*?</F-ID> from <HOST>$",
        &["bob from 1.2.3.4", "1.2.3.4 from 1.2.3.4", " from 1.2.3.4"],
    ),
    (
        "<F-USER>\\w*</F-USER> <HOST> <F-PORT/>$",
        &["bob 1.2.3.4 22", " 1.2.3.4 ssh"],
    ),
    ("<F-PORT>\\d+</F-PORT> <ADDR>$", &["22 1.2.3.4"]),
    (
        "(?:user <F-USER>\\w*</F-USER> )?(?:alt <F-ALT_USER>\\w*</F-ALT_USER> )?(?:one <F-ALT_USER1>\\w*</F-ALT_USER1> )?<ADDR>$",
        &[
            "user a alt b 1.2.3.4",
            "alt b 1.2.3.4",
            "user  alt b 1.2.3.4",
            "alt  one c 1.2.3.4",
            "one c 1.2.3.4",
            "1.2.3.4",
        ],
    ),
    (
        "<ADDR> <F-TUPLE_ID>\\w*</F-TUPLE_ID>(?: <F-TUPLE_ID_2>\\S+</F-TUPLE_ID_2>)?$",
        &["1.2.3.4 a", "1.2.3.4 a b", "1.2.3.4 a it's", "1.2.3.4 "],
    ),
    ("<F-ID>\\w+</F-ID> <F-TUPLE_ID>\\w+</F-TUPLE_ID>$", &["bob x"]),
    (
        "<F-SOME_THING>\\S+</F-SOME_THING> <F-X1>\\S*</F-X1> <ADDR>$",
        &["a b 1.2.3.4", "a  1.2.3.4"],
    ),
    ("<F-NOFAIL>ok</F-NOFAIL> <F-ID>\\d</F-ID>$", &["no 1"]),
    ("(?P<own>\\w+) (?P<ip4>\\S+)$", &["x 1.2.3.4"]),
    (
        "<host> <F-HOST/> <F-user> </F-X> <foo> <ADDR>$",
        &["<host> <F-HOST/> <F-user> </F-X> <foo> 1.2.3.4"],
    ),
    ("((?i)UP) <ADDR>$", &["up 1.2.3.4", "UP 1.2.3.4"]),
    ("(?:(?i)UP2) <ADDR>$", &["up2 1.2.3.4"]),
    ("\\d+ \\w+ <ADDR>$", &["١٢ café 1.2.3.4"]),
    ("x <ADDR>\\s*\\Z", &["x 1.2.3.4"]),
    ("y <ADDR>\\Z", &["y 1.2.3.4"]),
    ("z <ADDR>\\n\\Z", &["z 1.2.3.4"]),
];

/// Ends of lines of which the outcome differs by intent, and why.
const INTENDED: &[(&str, &str)] = &[
    (": ::", "D-056: HEAD takes it for an address"),
    (": 1.2.3.4.5", "D-041: a number is no name"),
    ("r14 64: bob", "D-039: the line end is no part of an id"),
    ("r14 65: 1.2.3.4", "D-039: the line end is no part of an id"),
    ("r15 68:  from 1.2.3.4", "D-039: nothing is no id"),
];

type Found = BTreeMap<usize, (String, BTreeMap<String, String>)>;

/// Reads rows and writes `number TAB id TAB name=value…`, all text in hex.
const ROWS: &str = r"
import ast, sys
for row in sys.stdin.buffer.read().decode().split('],\n'):
    if not row.strip().startswith('['):
        continue
    who, time, fields = ast.literal_eval(row + ']')
    text = lambda value: str(value).encode().hex()
    if isinstance(who, list):
        who = who[0]
    # What upstream adds for its own tags; ours come from the id.
    added = ('mark', 'ip', 'fid') if 'tuple_id' in fields else ('mark', 'ip')
    said = {name: value for name, value in fields.items() if value is not None and name not in added}
    print(fields['mark'], text(who), ','.join('%s=%s' % (name, text(value)) for name, value in sorted(said.items())), sep='\t')
";

fn unhex(text: &str) -> String {
    let bytes = (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap());
    String::from_utf8(bytes.collect()).unwrap()
}

fn marked(number: usize, rule: &str) -> String {
    format!("^r{number} (?P<mark>\\d+): {rule}")
}

fn lines() -> Vec<String> {
    let mut lines = Vec::new();
    for (number, (_, tries)) in CASES.iter().enumerate() {
        for line in *tries {
            lines.push(format!("r{number} {}: {line}", lines.len()));
        }
    }
    lines
}

fn theirs(usedns: &str) -> Option<Found> {
    let base = std::env::temp_dir().join(format!("stockade-tags-{}-{usedns}", std::process::id()));
    let (log, filter) = (base.with_extension("log"), base.with_extension("conf"));
    std::fs::write(&log, lines().join("\n") + "\n").unwrap();
    let mut text = String::from("[Definition]\nfailregex = ");
    for (number, (rule, _)) in CASES.iter().enumerate() {
        let indent = if number == 0 { "" } else { "            " };
        writeln!(text, "{indent}{}", marked(number, rule).replace('%', "%%")).unwrap();
    }
    std::fs::write(&filter, text).unwrap();
    let command = format!(
        "fail2ban-regex -l CRITICAL --usedns={usedns} -o row {} {} | python3 -c \"$ROWS\"",
        log.display(),
        filter.display()
    );
    let output = Command::new("sh").env("ROWS", ROWS).args(["-c", &command]).output();
    std::fs::remove_file(&log).unwrap();
    std::fs::remove_file(&filter).unwrap();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    if text.is_empty() {
        println!("skipped: fail2ban-regex (package fail2ban) or python3 is not installed");
        return None;
    }
    let rows = text.lines().map(|row| {
        let parts: Vec<&str> = row.split('\t').collect();
        let fields = parts[2].split(',').filter_map(|pair| pair.split_once('='));
        let fields = fields.map(|(name, value)| (name.to_owned(), unhex(value))).collect();
        (parts[0].parse().unwrap(), (unhex(parts[1]), fields))
    });
    Some(rows.collect())
}

fn ours(usedns: UseDns) -> Found {
    let settings = FilterSettings {
        usedns,
        failregex: CASES
            .iter()
            .enumerate()
            .map(|(number, (rule, _))| marked(number, rule))
            .collect(),
        ..FilterSettings::default()
    };
    let filter = Filter::new(&settings, &TimeZone::UTC).unwrap();
    let clock = Clock {
        now: Timestamp::from_secs(1_795_305_600),
        in_operation: true,
        findtime: 600,
    };
    let mut found = Found::new();
    for (number, line) in lines().iter().enumerate() {
        if let Verdict::Match(hit) = filter.judge(line.as_bytes(), clock, &mut Memory::default()) {
            let who = match hit.who {
                Who::Id(id) => id.to_string(),
                Who::Name(name) => name.to_string(),
            };
            let tuple = hit.fields.get("tuple_id").is_some();
            let fields = hit
                .fields
                .iter()
                .filter(|(name, _)| *name != "mark" && !(tuple && *name == "fid"));
            let fields = fields
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            found.insert(number, (who, fields));
        }
    }
    found
}

#[test]
fn tags_name_whom_upstream_says_they_name_with_the_same_fields() {
    let (mut compared, mut differences) = (0, Vec::new());
    for (name, usedns) in [("no", UseDns::No), ("raw", UseDns::Raw)] {
        let Some(theirs) = theirs(name) else { return };
        let ours = ours(usedns);
        for (number, line) in lines().iter().enumerate() {
            compared += 1;
            let (theirs, ours) = (theirs.get(&number), ours.get(&number));
            if theirs != ours && !INTENDED.iter().any(|(end, _)| line.ends_with(end)) {
                differences.push(format!(
                    "usedns = {name}: {line}\n   theirs {theirs:?}\n   ours   {ours:?}"
                ));
            }
        }
    }
    println!("{compared} lines compared");
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
