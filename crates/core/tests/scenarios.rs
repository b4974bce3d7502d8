//! Timed events and what they lead to: `testdata/scenario/*.txt`.
//!
//! A scenario begins with its name. Events follow, each with the lines (`> …`) of what it leads to; failures that are only
//! counted lead to nothing that is shown. Times are seconds. `now T` before a failure is the clock, if it differs from the
//! time of the failure; `retry ID N` asks the ledger, `status` the counters.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

use stockade_core::logline::render;
use stockade_core::{
    Ban, Effect, Effects, Event, Failure, FailureId, Fields, Jail, JailName, JailSettings, LineText, Offenders,
    Seconds, Timestamp, Until,
};

fn at(text: &str) -> Timestamp {
    Timestamp::from_secs(text.parse().unwrap())
}

fn failure(id: &str, at: Timestamp) -> Failure {
    let lines = vec![LineText {
        text: "a line".into(),
        date: 0..0,
    }];
    Failure {
        id: FailureId::parse(id),
        at,
        attempts: 1,
        lines,
        fields: Fields::default(),
    }
}

fn until(ban: &Ban) -> String {
    match ban.until {
        Until::At(end) => format!("until {}", end.secs()),
        Until::Forever => "for ever".to_owned(),
    }
}

fn show(effects: &Effects, jail: &Jail) -> Vec<String> {
    let ids = |bans: &[Ban]| bans.iter().map(|ban| ban.id.to_string()).collect::<Vec<_>>().join(" ");
    let prolong = |ban: &Ban| format!("prolong {} {} bantime {}", ban.id, until(ban), ban.bantime.0);
    let show = |effect: &Effect| match effect {
        Effect::Ban(ban) => Some(format!(
            "ban {} since {} {} failures {}",
            ban.id,
            ban.since.secs(),
            until(ban),
            ban.failures
        )),
        Effect::Unban(ban) => Some(format!("unban {}", ban.id)),
        Effect::Store(_) => None,
        Effect::UnbanAll(bans) => Some(format!("unban-all {}", ids(bans)).trim_end().to_owned()),
        Effect::Prolong(ban) => Some(prolong(ban)),
        Effect::Again(again) => {
            let longer = again.longer.then(|| prolong(jail.ban_of(&again.id).unwrap()));
            let recheck = again.recheck.then(|| format!("recheck {}", again.id));
            let both: Vec<String> = longer.into_iter().chain(recheck).collect();
            Some(both.join("\n"))
        }
        // Each of these stands beside the effect it tells of, or is only a count.
        Effect::Log(line) if matches!(line.event, Event::Found(..) | Event::Ban(_) | Event::Unban(_)) => None,
        Effect::Log(line) => {
            let (_, level) = line.event.origin();
            let mut text = String::new();
            render(line, &mut text, &mut |text, time| {
                text.push_str(&time.secs().to_string());
            });
            Some(format!("log {} {text}", format!("{level:?}").to_uppercase()))
        }
    };
    let shown = effects.iter().filter_map(show);
    shown
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

struct World {
    jail: Jail,
    settings: JailSettings,
    offenders: Offenders,
}

impl World {
    fn new() -> Self {
        let settings = JailSettings {
            maxretry: 5,
            ..JailSettings::default()
        };
        Self {
            jail: Jail::new(JailName::new("jail").unwrap(), settings.clone()),
            settings,
            offenders: Offenders::default(),
        }
    }

    fn event(&mut self, words: &[&str], out: &mut Effects) {
        match words {
            ["set", "maxretry", number] => self.settings.maxretry = number.parse().unwrap(),
            ["set", "bantime", number] => self.settings.bantime = Seconds(number.parse().unwrap()),
            ["set", "ignore", entry] => self.jail.ignore_mut().add(entry),
            ["now", now, "fail", time, id] => {
                self.jail
                    .on_failure(failure(id, at(time)), &mut self.offenders, at(now), out);
            }
            ["fail", times @ .., id] => {
                let now = times.iter().map(|time| at(time)).max().unwrap();
                for time in times {
                    self.jail
                        .on_failure(failure(id, at(time)), &mut self.offenders, now, out);
                }
            }
            ["attempt", time, id, lines] => {
                let line = LineText {
                    text: "a line".into(),
                    date: 0..0,
                };
                let lines = vec![line; lines.parse().unwrap()];
                self.jail
                    .attempt(FailureId::parse(id), lines, &mut self.offenders, at(time), out);
            }
            ["tick", time] => {
                self.jail.on_tick(at(time), out);
            }
            ["ban", time, id] => {
                self.jail
                    .ban_manually(FailureId::parse(id), &mut self.offenders, at(time), out);
            }
            ["unban", time, id] => {
                let known = self.jail.is_banned(&FailureId::parse(id));
                assert_eq!(self.jail.unban(&FailureId::parse(id), at(time), out), known);
            }
            ["unban-all", time] => {
                let count = self.jail.bans().count();
                assert_eq!(self.jail.unban_all(at(time), out), count);
            }
            ["shutdown"] => self.jail.shutdown(out),
            ["retry", id, number] => {
                let retry = self
                    .jail
                    .ledger()
                    .get(&FailureId::parse(id))
                    .map_or(0, |ticket| ticket.retry);
                assert_eq!(retry.to_string(), *number, "retry of {id}");
            }
            [
                "status",
                "failed",
                failed,
                "of",
                total_failed,
                "banned",
                banned,
                "of",
                total_banned,
            ] => {
                let status = self.jail.status();
                assert_eq!(
                    [
                        status.currently_failed.to_string(),
                        status.total_failed.to_string(),
                        status.currently_banned.to_string(),
                        status.total_banned.to_string()
                    ],
                    [*failed, *total_failed, *banned, *total_banned]
                );
            }
            other => panic!("no such event: {other:?}"),
        }
        self.jail.set_settings(self.settings.clone());
    }
}

fn play(file: &str, text: &str) -> usize {
    let mut scenarios = 0;
    let mut world = World::new();
    let mut name = String::new();
    let lines: Vec<(usize, &str)> = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let mut index = 0;
    while index < lines.len() {
        let (number, line) = lines[index];
        index += 1;
        if let Some(new) = line.strip_prefix("scenario ") {
            new.clone_into(&mut name);
            world = World::new();
            scenarios += 1;
            continue;
        }
        let mut effects = Effects::new();
        world.event(&line.split(' ').collect::<Vec<_>>(), &mut effects);
        let mut expected = Vec::new();
        while let Some(effect) = lines.get(index).and_then(|(_, line)| line.strip_prefix("> ")) {
            expected.push(effect.to_owned());
            index += 1;
        }
        assert_eq!(
            show(&effects, &world.jail),
            expected,
            "{file}:{}: {line} in: {name}",
            number + 1
        );
    }
    scenarios
}

#[test]
fn failures_are_counted_as_observed_on_fail2ban() {
    assert_eq!(
        play("counting.txt", include_str!("../../../testdata/scenario/counting.txt")),
        18
    );
}

#[test]
fn bans_begin_grow_and_end_as_observed_on_fail2ban() {
    assert_eq!(
        play("banning.txt", include_str!("../../../testdata/scenario/banning.txt")),
        11
    );
}
