//! Hostile text wherever a service writes text that is not its own: nobody but the true address may be named.

#![expect(clippy::disallowed_methods, reason = "asks the environment how much to try")]

use jiff::tz::TimeZone;
use stockade_filter::Memory;

use crate::configured::{self, compile};
use crate::forging::{Numbers, OTHERS, forged, text, written};
use crate::said::{Form, judged};
use crate::samples::{self, Kind};

/// Lines made of each sample with holes, unless `STOCKADE_HOSTILE_LINES` says how many.
const LINES_EACH: usize = 120;

#[test]
fn hostile_text_names_nobody_but_the_true_address() {
    let mut numbers = Numbers(0x5eed_2026_1122);
    let given = std::env::var("STOCKADE_HOSTILE_LINES").ok();
    let lines_each = given.map_or(LINES_EACH, |lines| lines.parse().unwrap());
    let names = configured::names();
    let sections: Vec<_> = names.iter().flat_map(|name| samples::read(name)).collect();
    let filters: Vec<String> = sections.iter().flat_map(|section| section.filters.clone()).collect();
    let settings = configured::settings(&filters);
    let (mut tried, mut found, mut wrong) = (0, 0, Vec::new());
    for section in &sections {
        let failures = section.samples.iter().filter(|sample| sample.kind == Kind::Failure);
        let lines: Vec<String> = failures
            .flat_map(|sample| OTHERS.iter().take(2).flat_map(|other| forged(sample, other)))
            .collect();
        for with in &section.filters {
            let filter = compile(with, &settings[with], &TimeZone::UTC);
            for sample in section.samples.iter().filter(|sample| sample.has_holes()) {
                let own: Vec<String> = OTHERS.iter().take(2).flat_map(|other| forged(sample, other)).collect();
                for round in 0..lines_each {
                    let line = sample.filled(|hole| {
                        let lines = if round % 2 == 0 && !own.is_empty() {
                            &own
                        } else {
                            &lines
                        };
                        written(
                            hole,
                            &if lines.is_empty() {
                                numbers.one::<&str>(&OTHERS).to_string()
                            } else {
                                text(lines, &mut numbers)
                            },
                        )
                    });
                    let form = if round % 4 == 0 { Form::Journal } else { Form::File };
                    let who = judged(&filter, &line, form, &mut Memory::default());
                    tried += 1;
                    match who {
                        Ok(None) => {}
                        Ok(who) if who == sample.address => found += 1,
                        other => wrong.push(format!(
                            "{with}, of sample line {}: {other:?} named by {line}",
                            sample.number
                        )),
                    }
                }
            }
        }
    }
    println!(
        "{tried} hostile lines tried: {found} name the true address, {} another",
        wrong.len()
    );
    wrong.truncate(60);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
