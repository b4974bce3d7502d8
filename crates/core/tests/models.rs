//! The ledger and the ban list beside models of them that are too simple to be wrong in the same way.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::collections::HashMap;

use stockade_core::{
    Ban, BanList, Failure, FailureId, FailureLedger, Fields, LineText, Seconds, Timestamp, Until, ban::Added,
};

/// A small generator of numbers, so that a failure can be seen again by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: i64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        i64::try_from(self.0 >> 1).unwrap() % limit
    }
}

/// The rules of behaviour spec 4.1 word for word, in exact fractions: times in quarters of a second.
#[derive(Clone, Copy)]
struct Model {
    first: i64,
    last: i64,
    retry: i64,
}

impl Model {
    fn fail(entry: &mut Option<Self>, time: i64, findtime: i64, maxretry: i64) -> Option<i64> {
        match entry {
            None => {
                *entry = Some(Self {
                    first: time,
                    last: time,
                    retry: 1,
                });
            }
            Some(model) => {
                if time > model.last {
                    model.last = time;
                    if model.first < time - findtime {
                        model.retry = half_even(model.retry * findtime, time - model.first);
                        model.first = time - findtime;
                    }
                }
                model.retry += 1;
            }
        }
        let retry = entry.as_ref().unwrap().retry;
        (retry >= maxretry).then(|| entry.take().unwrap().retry)
    }
}

/// A fraction rounded to the nearest whole number, a half to the even one.
fn half_even(numerator: i64, denominator: i64) -> i64 {
    let whole = numerator / denominator;
    match (2 * (numerator % denominator)).cmp(&denominator) {
        std::cmp::Ordering::Less => whole,
        std::cmp::Ordering::Greater => whole + 1,
        std::cmp::Ordering::Equal => whole + whole % 2,
    }
}

#[test]
fn random_failures_are_counted_as_by_the_rules_in_exact_fractions() {
    let mut random = Random(0x1ed_6e5);
    let (mut bans, mut steps) = (0, 0);
    for _ in 0..3000 {
        let findtime = 1 + random.below(30);
        let maxretry = 1 + random.below(8);
        let spread = 1 + random.below(findtime * 8);
        let mut ledger = FailureLedger::default();
        let mut models: HashMap<i64, Option<Model>> = HashMap::new();
        let mut clock = 4 * 1_795_000_000;
        for _ in 0..60 {
            clock += random.below(spread + 1);
            // One in eight comes late.
            let time = if random.below(8) == 0 {
                clock - random.below(4 * findtime)
            } else {
                clock
            };
            let who = random.below(3);
            let id = FailureId::parse(&format!("192.0.2.{who}"));
            let line = LineText {
                text: "a line".into(),
                date: 0..0,
            };
            let at = Timestamp::from_micros(time * 250_000);
            let failure = Failure {
                id: id.clone(),
                at,
                attempts: 1,
                lines: vec![line],
                fields: Fields::default(),
            };
            let ours = ledger.add(failure, u32::try_from(maxretry).unwrap(), Seconds(findtime), 3);
            let model = models.entry(who).or_default();
            let theirs = Model::fail(model, time, 4 * findtime, maxretry);
            assert_eq!(ours.as_ref().map(|(_, ticket)| i64::from(ticket.retry)), theirs);
            assert!(ours.iter().all(|(_, ticket)| ticket.matches.len() <= 3));
            let known = ledger.get(&id).map(|ticket| (i64::from(ticket.retry), ticket.last));
            let last = |model: &Model| (model.retry, Timestamp::from_micros(model.last * 250_000));
            assert_eq!(known, model.as_ref().map(last));
            bans += usize::from(theirs.is_some());
            steps += 1;
        }
    }
    assert!(
        bans > 10_000,
        "{bans} bans in {steps} steps: the random times lead to too few"
    );
}

#[test]
fn the_ban_list_agrees_with_a_list_that_is_searched_whole() {
    let mut random = Random(0xba_5e);
    let mut bans = BanList::default();
    let mut model: Vec<(FailureId, Until)> = Vec::new();
    let mut clock = 1000;
    for _ in 0..20_000 {
        clock += random.below(3);
        let now = Timestamp::from_secs(clock);
        let id = FailureId::parse(&format!("192.0.2.{}", random.below(40)));
        match random.below(4) {
            0 => {
                let place = model.iter().position(|(other, _)| *other == id);
                assert_eq!(
                    bans.remove(&id).map(|ban| ban.until),
                    place.map(|place| model.remove(place).1)
                );
            }
            1 => {
                let over = |until: &Until| matches!(until, Until::At(end) if *end < now);
                let mut lifted = 0;
                while let Some(ban) = bans.pop_expired(now) {
                    assert!(over(&ban.until));
                    lifted += 1;
                }
                let before = model.len();
                model.retain(|(_, until)| !over(until));
                assert_eq!(lifted, before - model.len());
            }
            _ => {
                let bantime = Seconds(random.below(100) - 1);
                let until = Until::after(now, bantime);
                let ban = Ban {
                    id: id.clone(),
                    since: now,
                    until,
                    bantime,
                    failures: 1,
                    matches: vec![],
                    fields: Fields::default(),
                    count: 1,
                    restored: false,
                };
                let added = bans.add(&ban);
                match model.iter_mut().find(|(other, _)| *other == id) {
                    None => {
                        assert_eq!(added, Added::New);
                        model.push((id, until));
                    }
                    Some((_, known)) if until > *known => {
                        assert!(matches!(added, Added::Prolonged(_)));
                        assert_eq!(bans.get(&id).unwrap().until, until);
                        *known = until;
                    }
                    Some(_) => assert!(matches!(added, Added::Known(_))),
                }
            }
        }
        let mut expected: Vec<Until> = model.iter().map(|(_, until)| *until).collect();
        expected.sort();
        assert_eq!(bans.iter().map(|ban| ban.until).collect::<Vec<_>>(), expected);
        assert_eq!(bans.len(), model.len());
    }
}

#[test]
fn a_hundred_thousand_bans_are_made_and_lifted_without_searching() {
    let mut bans = BanList::default();
    let ban = |number: u32, end: i64| Ban {
        id: FailureId::Addr(std::net::IpAddr::from(number.to_be_bytes())),
        since: Timestamp::from_secs(0),
        until: Until::At(Timestamp::from_secs(end)),
        bantime: Seconds(end),
        failures: 5,
        matches: vec![],
        fields: Fields::default(),
        count: 1,
        restored: false,
    };
    // With a search of the whole list for each, these are ten thousand million steps and take minutes.
    for number in 0..100_000 {
        assert_eq!(bans.add(&ban(number, i64::from(number % 977))), Added::New);
    }
    for number in 0..100_000 {
        assert!(matches!(
            bans.add(&ban(number, 1000 + i64::from(number % 7))),
            Added::Prolonged(_)
        ));
    }
    let mut lifted = 0;
    while bans.pop_expired(Timestamp::from_secs(2000)).is_some() {
        lifted += 1;
    }
    assert_eq!((lifted, bans.len()), (100_000, 0));
}
