//! A block surveyed at once says of each line what examining it alone says, and leaves the same behind.

mod common;

use stockade_core::Timestamp;
use stockade_filter::{Clock, Examination, Filter, Memory, Outcome, Surveyed, Verdict, Who};

/// What the report of `fail2ban-regex` counts of one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counted {
    line: Vec<u8>,
    overran: bool,
    /// Whether it is ignored, and the first `ignoreregex` that matches it then.
    ignored: (bool, Option<usize>),
    found: Vec<(usize, bool, &'static str, Option<Who>)>,
}

fn of_examination(line: &[u8], seen: &Examination) -> Counted {
    let found = seen.found.iter().map(|hit| {
        let (what, who) = match &hit.verdict {
            Verdict::Match(found) => ("match", Some(found.who.clone())),
            Verdict::Ignored => ("held", hit.who.clone()),
            _ => ("unusable", None),
        };
        // Whether it helps is of no account where nobody can be named.
        (hit.rule, hit.helps && what != "unusable", what, who)
    });
    Counted {
        line: line.to_vec(),
        overran: matches!(seen.verdict, Verdict::Overrun(_)),
        ignored: if seen.verdict == Verdict::Ignored && seen.found.is_empty() {
            (true, seen.ignored_by.first().copied())
        } else {
            (false, None)
        },
        found: found.collect(),
    }
}

#[test]
fn a_block_is_surveyed_as_its_lines_are_examined_by_all_stock_filters_on_all_samples() {
    let (Some(runs), Some(zone)) = (common::runs(), common::zurich()) else {
        return;
    };
    let all: Vec<&[u8]> = runs
        .iter()
        .flat_map(|run| &run.lines)
        .map(|line| line.bytes.as_slice())
        .collect();
    let (mut lines, mut told, mut surveyed) = (0_usize, 0, 0);
    for (number, run) in runs.iter().enumerate() {
        let filter = Filter::new(&run.settings, &zone).unwrap();
        if !filter.can_survey() {
            continue;
        }
        surveyed += 1;
        let mut blocks: Vec<Vec<u8>> = vec![Vec::new()];
        let own = run.lines.iter().map(|line| line.bytes.as_slice());
        let foreign = all.iter().skip(number % 5).step_by(5).copied();
        let date = |index: usize| format!("Nov 22 13:{:02}:{:02} host ", index / 60 % 60, index % 60);
        let texts = [
            "x[1]: nothing\n",
            "sshd[7]: Something\n",
            "y\r\n",
            "ünd: no\n",
            "\n",
            "sshd[8]: \n",
        ];
        for (index, line) in own.chain(foreign).enumerate() {
            let block = blocks.last_mut().unwrap();
            for copy in 0..index % 4 {
                block.extend_from_slice(date(index + copy).as_bytes());
                block.extend_from_slice(texts[(index + copy) % texts.len()].as_bytes());
            }
            // Damaged copies too.
            let from = index % 7 * usize::from(index.is_multiple_of(5));
            block.extend_from_slice(line.get(from..).unwrap_or(line));
            block.extend_from_slice(if index % 3 == 0 { b"\r\n" } else { b"\n" });
            if index % 17 == 0 {
                blocks.push(Vec::new());
            }
        }
        for check_all in [true, false] {
            let clock = Clock {
                now: Timestamp::from_secs(1_124_013_600),
                in_operation: false,
                // Some of them are too old.
                findtime: if number.is_multiple_of(2) {
                    10_000_000_000
                } else {
                    86_400 * 400
                },
            };
            let (mut fast, mut slow) = (Memory::default(), Memory::default());
            for block in &blocks {
                let mut expected = Vec::new();
                let mut prefixed = (0, 0);
                let mut count = (0, 0);
                for line in stockade_lines(block) {
                    let seen = filter.examine(line, clock, &mut slow, check_all);
                    count.0 += 1;
                    prefixed.0 += u64::from(seen.prefregex);
                    let counted = of_examination(line, &seen);
                    if counted.overran || counted.ignored.0 || !counted.found.is_empty() {
                        expected.push(counted);
                    }
                }
                let mut found = Vec::new();
                filter.survey(block, clock, &mut fast, check_all, &mut |told| match told {
                    Surveyed::Passed {
                        lines,
                        count: more,
                        prefixed: more_prefixed,
                    } => {
                        assert_eq!(more, stockade_lines(lines).count() as u64);
                        count.1 += more;
                        prefixed.1 += more_prefixed;
                    }
                    Surveyed::Line(line, glance) => {
                        count.1 += 1;
                        prefixed.1 += u64::from(glance.prefregex);
                        let hits = glance.found.iter().map(|hit| match &hit.outcome {
                            Outcome::Match(who) => (hit.rule, hit.helps, "match", Some(who.clone())),
                            Outcome::Held(who) => (hit.rule, hit.helps, "held", who.clone()),
                            Outcome::Unusable => (hit.rule, false, "unusable", None),
                        });
                        found.push(Counted {
                            line: line.to_vec(),
                            overran: glance.overran,
                            ignored: (glance.ignored, glance.ignored_by.filter(|_| glance.ignored)),
                            found: hits.collect(),
                        });
                    }
                });
                let name = format!("{} {}", run.name, run.options);
                assert_eq!(found, expected, "{name}");
                assert_eq!(count.1, count.0, "{name}: lines");
                assert_eq!(prefixed.1, prefixed.0, "{name}: prefregex");
                assert_eq!(filter.date_order(&fast), filter.date_order(&slow), "{name}");
                for number in 0..filter.date_templates().count() {
                    assert_eq!(
                        filter.date_hits(number, &fast),
                        filter.date_hits(number, &slow),
                        "{name}"
                    );
                }
                lines += stockade_lines(block).count();
                told += expected.len();
            }
        }
    }
    println!("{surveyed} filters, {lines} lines judged both ways, {told} of them with a hit");
    assert!(told > 1000);
}

fn stockade_lines(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    block.split_inclusive(|byte| *byte == b'\n').map(|line| {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        line.strip_suffix(b"\r").unwrap_or(line)
    })
}
