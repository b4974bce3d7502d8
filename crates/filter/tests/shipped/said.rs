//! Every sample comes out as its file says, in all forms of the log, and the review finds no fault in the rules.

#![expect(clippy::disallowed_methods, reason = "reads the repository")]

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use stockade_core::Timestamp;
use stockade_filter::{Clock, Filter, Memory, Verdict, review};

use crate::configured::{self, compile, repository, who};
use crate::samples::{self, Kind, Section};

/// 2026-11-22 15:00 UTC, shortly after the samples.
pub(crate) const NOW: Clock = Clock {
    now: Timestamp::from_secs(1_795_359_600),
    in_operation: false,
    findtime: 90 * 86_400,
};

/// How a line reaches the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As it stands in the file.
    File,
    /// The same with the date that newer syslog daemons write.
    Iso,
    /// From the journal, which tells the time itself.
    Journal,
}

/// Syslog's date in the samples.
const DATE: &str = "Nov 22 13:40:04 ";

/// The address that a line gets banned.
pub(crate) fn judged(filter: &Filter, line: &str, form: Form, memory: &mut Memory) -> Result<Option<String>, Verdict> {
    let verdict = match (form, line.strip_prefix(DATE)) {
        (Form::Journal, Some(rest)) => filter.judge_at(rest.as_bytes(), NOW.now, NOW, memory),
        (Form::Iso, Some(rest)) => {
            let line = format!("2026-11-22T13:40:04.123456+00:00 {rest}");
            filter.judge(line.as_bytes(), NOW, memory)
        }
        _ => filter.judge(line.as_bytes(), NOW, memory),
    };
    match verdict {
        Verdict::Match(found) => Ok(Some(who(&found))),
        Verdict::Miss | Verdict::Ignored | Verdict::Unusable(_) => Ok(None),
        other => Err(other),
    }
}

fn differences(name: &str, section: &Section, with: &str, filter: &Filter) -> Vec<String> {
    let syslog = |line: &str| line.starts_with(DATE);
    let mut differences = Vec::new();
    for form in [Form::File, Form::Iso, Form::Journal] {
        let mut memory = Memory::default();
        for sample in &section.samples {
            let line = sample.plain();
            if form != Form::File && !syslog(&line) {
                continue;
            }
            let found = judged(filter, &line, form, &mut memory);
            let fits = match (sample.kind, &found) {
                (Kind::Failure | Kind::Innocent, Ok(found)) => *found == sample.address,
                (Kind::Hostile, Ok(found)) => found.is_none() || *found == sample.address,
                (_, Err(_)) => false,
            };
            if !fits {
                differences.push(format!(
                    "{name}.samples:{} {with} {form:?}: expected {:?}, found {found:?}: {line}",
                    sample.number, sample.address
                ));
            }
        }
    }
    differences
}

/// All filters with the options that their samples name: the section, the name of the filter, its settings.
fn all() -> Vec<(String, Vec<Section>)> {
    configured::names()
        .into_iter()
        .map(|name| {
            let sections = samples::read(&name);
            (name, sections)
        })
        .collect()
}

#[test]
fn every_sample_comes_out_as_its_file_says_and_the_review_finds_no_fault() {
    let all = all();
    let filters: BTreeSet<String> = all
        .iter()
        .flat_map(|(_, sections)| sections.iter().flat_map(|section| section.filters.clone()))
        .collect();
    let filters: Vec<String> = filters.into_iter().collect();
    let settings = configured::settings(&filters);
    let mut faults = Vec::new();
    let mut lines = 0;
    for (name, sections) in &all {
        let mut reviewed = Vec::new();
        for section in sections {
            for with in &section.filters {
                let settings = &settings[with];
                let filter = compile(with, settings, &TimeZone::UTC);
                faults.extend(differences(name, section, with, &filter));
                lines += section.samples.len();
                if !reviewed.contains(settings) {
                    for finding in review(&filter, settings) {
                        faults.push(format!("{with}: {finding:?}"));
                    }
                    reviewed.push(settings.clone());
                }
            }
        }
        let samples = || sections.iter().flat_map(|section| &section.samples);
        for kind in [Kind::Failure, Kind::Innocent, Kind::Hostile] {
            if !samples().any(|sample| sample.kind == kind) {
                faults.push(format!("{name} has no sample of {kind:?}"));
            }
        }
    }
    println!(
        "{} filters, {} with options; {lines} sample lines",
        all.len(),
        filters.len()
    );
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn no_filter_finds_a_failure_in_the_innocent_or_hostile_lines_of_another_service() {
    let all = all();
    let names: Vec<String> = all.iter().map(|(name, _)| name.clone()).collect();
    let settings = configured::settings(&names);
    let (mut tried, mut wrong) = (0, Vec::new());
    for name in &names {
        let filter = compile(name, &settings[name], &TimeZone::UTC);
        for (other, sections) in all.iter().filter(|(other, _)| other != name) {
            let samples = sections.iter().flat_map(|section| &section.samples);
            for sample in samples.filter(|sample| sample.kind != Kind::Failure) {
                let found = judged(&filter, &sample.plain(), Form::File, &mut Memory::default());
                tried += 1;
                if matches!(&found, Ok(Some(_))) && found != Ok(sample.address.clone()) {
                    wrong.push(format!("{name} in {other}.samples:{}: {found:?}", sample.number));
                }
            }
        }
    }
    println!("{tried} pairs of filters and lines tried");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_is_compiled_in_and_every_sample_has_a_filter() {
    let entries = std::fs::read_dir(repository("config/filter.d")).unwrap();
    for entry in entries {
        let path = entry.unwrap().path();
        let name = format!("filter.d/{}", path.file_name().unwrap().to_str().unwrap());
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(stockade_config::builtin::text(&name), Some(text.as_str()), "{name}");
    }
    let names = configured::names();
    for entry in std::fs::read_dir(repository("testdata/samples")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(names.contains(&name), "no filter for the samples of {name}");
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            stockade_config::builtin::samples(&name),
            Some(text.as_str()),
            "{name}.samples"
        );
    }
}
