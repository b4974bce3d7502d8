//! The built-in asterisk filter reads each message as its server meant it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]
#![expect(clippy::disallowed_methods, reason = "reads the recorded logs")]

mod builtin;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use builtin::{differences, failure, filter, name};
use stockade_core::Timestamp;
use stockade_filter::{Filter, Memory};

#[test]
fn names_the_right_address_for_every_message_format() {
    let found = differences("asterisk", "logging", &["notice", "security", "both", "all"]);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn reads_the_date_in_all_forms_of_the_log() {
    let filter = filter("asterisk", "logging", "all");
    let noon = Timestamp::from_secs(1_795_354_804);
    for (form, head, tail) in [
        ("asterisk's default", "[Nov 22 13:40:04] NOTICE[1] manager.c: ", ""),
        ("%F %T", "[2026-11-22 13:40:04] NOTICE[1] manager.c: ", ""),
        ("%F %T.%3q", "[2026-11-22 13:40:04.250] NOTICE[1] manager.c: ", ""),
        (
            "syslog",
            "Nov 22 13:40:04 vm asterisk[9]: NOTICE[1]: manager.c:1 in f: ",
            "",
        ),
        (
            "syslog, ISO",
            "2026-11-22T14:40:04.25+01:00 vm asterisk[9]: NOTICE[1]: manager.c:1 in f: ",
            "",
        ),
        (
            "JSON",
            r#"{"hostname":"pbx","timestamp":"Nov 22 13:40:04","identifiers":{"lwp":1,"callid":""},"logmsg":{"location":{"filename":"manager.c","function":"f","line":1},"level":"NOTICE","message":""#,
            r#"\n"}}"#,
        ),
    ] {
        let line = format!("{head}198.51.100.7 failed to authenticate as 'x'{tail}");
        let found = failure(&filter, line.as_bytes(), &mut Memory::default());
        assert_eq!(found.map(|found| found.at.secs()), Some(noon.secs()), "{form}");
    }
}

#[test]
fn the_date_of_a_security_event_does_not_take_the_place_of_the_lines_own() {
    let filter = filter("asterisk", "logging", "security");
    let line = br#"[Nov 22 13:40:04] SECURITY[1] res_security_log.c: SecurityEvent="InvalidAccountID",EventTV="2026-11-21T01:01:01.184+0000",Severity="Error",Service="AMI",EventVersion="1",AccountID="a",SessionID="0x1",LocalAddress="IPV6/TCP/::/5038",RemoteAddress="IPV4/TCP/198.51.100.7/1""#;
    let found = failure(&filter, line, &mut Memory::default()).unwrap();
    assert_eq!(found.at.secs(), 1_795_354_804);
}

/// Lines of a recorded log that the filter names otherwise than the truth has it.
fn faults(run: &Path, file: &str, filter: &Filter) -> (usize, Vec<String>) {
    let log = fs::read(run.join(file)).unwrap();
    let mut memory = Memory::default();
    let named: Vec<Option<String>> = log
        .split(|byte| *byte == b'\n')
        .map(|line| failure(filter, line, &mut memory).map(|found| name(&found)))
        .collect();
    let mut scored = 0;
    let mut faults = Vec::new();
    let truth = fs::read_to_string(run.join("lines").join(format!("{file}.tsv"))).unwrap();
    for row in truth.lines().skip(1) {
        let cells: Vec<&str> = row.split('\t').collect();
        let (line, class, source) = (cells[0].parse::<usize>().unwrap(), cells[1], cells[2]);
        let found = named[line - 1].as_deref();
        if class == "FORGED" {
            // A whole line that an attacker wrote: nothing in a plain file tells it from a real one.
        } else if source.is_empty()
            || matches!(class, "tail" | "AMBIGUOUS" | "other" | "max-contacts")
            || class.ends_with("-no-address")
        {
            if found.is_some_and(|found| found != source) {
                faults.push(format!("{file}:{line} {class} names {found:?}"));
            }
        } else {
            scored += 1;
            if found != Some(source) {
                faults.push(format!("{file}:{line} {class} of {source} names {found:?}"));
            }
        }
    }
    (scored, faults)
}

/// The recorded runs and their logs.
fn recordings() -> Vec<(std::path::PathBuf, String)> {
    let Some(folder) = testkit::shared_data("data/asterisk") else {
        return Vec::new();
    };
    let mut logs = Vec::new();
    for run in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if !run.is_dir() {
            continue;
        }
        for table in fs::read_dir(run.join("lines")).unwrap() {
            let table = table.unwrap().path();
            logs.push((run.clone(), table.file_stem().unwrap().to_string_lossy().into_owned()));
        }
    }
    logs.sort();
    logs
}

#[test]
fn names_the_true_source_of_every_line_of_the_recorded_attacks() {
    let filter = filter("asterisk", "logging", "all");
    let mut scored = 0;
    let mut all = Vec::new();
    for (run, file) in recordings() {
        let (lines, faults) = faults(&run, &file, &filter);
        scored += lines;
        all.extend(faults.into_iter().map(|fault| format!("{}/{fault}", run.display())));
    }
    println!("{scored} lines read");
    assert!(all.is_empty(), "{} of {scored}:\n{}", all.len(), all.join("\n"));
}

#[test]
fn no_legitimate_phone_reaches_maxretry_in_any_recorded_log() {
    for value in ["notice", "security", "both", "all"] {
        let filter = filter("asterisk", "logging", value);
        for (run, file) in recordings() {
            let log = fs::read(run.join(&file)).unwrap();
            let mut memory = Memory::default();
            let mut counts: HashMap<String, usize> = HashMap::new();
            for line in log.split(|byte| *byte == b'\n') {
                if let Some(found) = failure(&filter, line, &mut memory) {
                    *counts.entry(name(&found)).or_default() += 1;
                }
            }
            for (address, count) in counts {
                let legitimate = address.starts_with("203.0.113.") || address.starts_with("2001:db8:900d:");
                assert!(
                    !legitimate || count < 5,
                    "{address} fails {count} times in {}/{file} with {value}",
                    run.display()
                );
            }
        }
    }
}

#[test]
fn one_mistyped_name_stays_below_maxretry_where_both_channels_share_a_log() {
    let lines: Vec<String> = ["No matching endpoint found", "No matching endpoint found", "Failed to authenticate"]
        .iter()
        .map(|why| format!("NOTICE[1] res_pjsip/pjsip_distributor.c: Request 'REGISTER' from '<sip:x@192.0.2.10>' failed for '203.0.113.24:5060' (callid: a) - {why}"))
        .chain(["InvalidAccountID\",|x|", "InvalidAccountID\",|x|", "ChallengeResponseFailed\",|<unknown>|,Challenge=\"1\",Response=\"2\",ExpectedResponse=\"\""].iter().map(|event| {
            let parts: Vec<&str> = event.split('|').collect();
            format!("SECURITY[1] res_security_log.c: SecurityEvent=\"{}EventTV=\"2026-11-22T13:40:04.184+0000\",Severity=\"Error\",Service=\"PJSIP\",EventVersion=\"1\",AccountID=\"{}\",SessionID=\"a\",LocalAddress=\"IPV4/UDP/192.0.2.10/5060\",RemoteAddress=\"IPV4/UDP/203.0.113.24/5060\"{}", parts[0], parts[1], parts[2])
        }))
        .collect();
    for (value, expected) in [("notice", 3), ("security", 2), ("both", 2), ("all", 6)] {
        let filter = filter("asterisk", "logging", value);
        let mut memory = Memory::default();
        let count = lines
            .iter()
            .filter(|line| failure(&filter, format!("[Nov 22 13:40:04] {line}").as_bytes(), &mut memory).is_some())
            .count();
        assert_eq!(count, expected, "{value}");
    }
}

#[test]
fn hostile_lines_cost_little_time() {
    let filter = filter("asterisk", "logging", "all");
    let heads = [
        "",
        "chan_sip.c: Registration from '",
        "res_pjsip/pjsip_distributor.c: Request 'A' from '\"",
        "res_pjsip_session.c: ",
        "acl.c: ",
        "Ext. ",
        "res_security_log.c: SecurityEvent=\"InvalidPassword\",EventTV=\"1\",Severity=\"E\",Service=\"SIP\",EventVersion=\"2\",AccountID=\"",
        "res_security_log.c: SecurityEvent=\"ChallengeResponseFailed\",EventTV=\"1\",Severity=\"E\",Service=\"PJSIP\",EventVersion=\"2\",AccountID=\"",
    ];
    let fillers = [
        " ",
        "\"",
        "\\",
        "\\\"",
        "1:",
        "' failed for '1.2.3.4:5060' (callid: a) - ",
        "\",LocalAddress=\"\",RemoteAddress=\"IPV4/UDP/1.1.1.1/1\"",
        ",Challenge=\"a\"",
        ": hacking attempt detected '1.2.3.4",
    ];
    for head in heads {
        for filler in fillers {
            let line = format!(
                "[Nov 22 13:40:04] NOTICE[1] {head}{}x",
                filler.repeat(20_000 / filler.len())
            );
            let start = Instant::now();
            assert_eq!(failure(&filter, line.as_bytes(), &mut Memory::default()), None);
            assert!(
                start.elapsed() < Duration::from_secs(2),
                "{head}{filler}…: {:?}",
                start.elapsed()
            );
        }
    }
}
