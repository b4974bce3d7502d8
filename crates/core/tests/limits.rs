//! What somebody who writes log lines can make us remember.

use std::net::Ipv4Addr;

use stockade_core::{
    Ban, BanList, Failure, FailureId, FailureLedger, Fields, Jail, JailName, JailSettings, LineText, Offenders,
    Seconds, Timestamp, Until, offenders::LatestBan,
};

/// More than any of the limits, in pieces of 16 KiB.
const PIECES: u32 = 5000;

fn id(number: u32) -> FailureId {
    FailureId::Addr(Ipv4Addr::from(0x0a00_0000 + number).into())
}

fn fields() -> Fields {
    let mut fields = Fields::default();
    fields.set("user", &"A".repeat(16 << 10));
    fields
}

fn bytes(fields: &Fields) -> usize {
    fields.iter().map(|(key, value)| key.len() + value.len()).sum()
}

#[test]
fn long_user_names_of_many_addresses_do_not_fill_the_memory_of_the_ledger() {
    let mut ledger = FailureLedger::default();
    let failure = |number| Failure {
        id: id(number),
        at: Timestamp::from_secs(0),
        attempts: 1,
        lines: Vec::new(),
        fields: fields(),
    };
    for number in 0..PIECES {
        assert_eq!(ledger.add(failure(number), 2, Seconds(600), 5), None);
    }
    let kept: usize = (0..PIECES)
        .map(|number| bytes(&ledger.get(&id(number)).unwrap().fields))
        .sum();
    assert!(kept < 40 << 20, "{kept} bytes");
    for number in 0..PIECES {
        assert!(
            ledger.add(failure(number), 2, Seconds(600), 5).is_some(),
            "all are counted"
        );
    }
    assert_eq!(ledger.add(failure(0), 2, Seconds(600), 5), None);
    assert!(
        ledger.get(&id(0)).unwrap().fields.iter().next().is_some(),
        "there is room again"
    );
}

/// Ids need not be addresses; these have 64 KiB.
fn long_id(number: u32) -> FailureId {
    FailureId::Text(format!("{number} {}", "A".repeat(64 << 10)).into())
}

/// More of them than any of the limits.
const LONG_IDS: u32 = 3000;

#[test]
fn long_ids_do_not_fill_the_memory_of_the_ledger_and_the_eldest_are_forgotten_first() {
    let mut ledger = FailureLedger::default();
    let numbers = 0..LONG_IDS;
    for number in numbers.clone() {
        let failure = Failure {
            id: long_id(number),
            at: Timestamp::from_secs(number.into()),
            attempts: 1,
            lines: Vec::new(),
            fields: Fields::default(),
        };
        assert_eq!(ledger.add(failure, 2, Seconds(86_400), 5), None);
    }
    assert!(ledger.len() < (140 << 20) / (64 << 10), "{} ids", ledger.len());
    assert!(ledger.len() > (100 << 20) / (64 << 10), "{} ids", ledger.len());
    let known = numbers.clone().filter(|number| ledger.get(&long_id(*number)).is_some());
    let latest = numbers.clone().skip(numbers.len() - ledger.len());
    assert!(known.eq(latest), "the latest are known");
}

#[test]
fn long_ids_do_not_fill_the_memory_of_the_offenders_and_the_eldest_are_forgotten_first() {
    let mut offenders = Offenders::default();
    let jail = JailName::new("j").unwrap();
    let latest = |number: u32| LatestBan {
        since: Timestamp::from_secs(number.into()),
        bantime: Seconds(600),
        count: 1,
    };
    let numbers = 0..LONG_IDS;
    offenders.fill(
        numbers
            .clone()
            .map(|number| (jail.clone(), long_id(number), latest(number))),
    );
    assert!(offenders.len() < (70 << 20) / (64 << 10), "{} ids", offenders.len());
    assert!(offenders.len() > (50 << 20) / (64 << 10), "{} ids", offenders.len());
    assert!(offenders.in_jail(&jail, &long_id(LONG_IDS - 1)).is_some());
    assert!(offenders.in_jail(&jail, &long_id(0)).is_none());
    offenders.forget(&jail, None);
    offenders.fill(numbers.clone().map(|number| (jail.clone(), id(number), latest(number))));
    assert_eq!(offenders.len(), numbers.len(), "there is room again");
}

#[test]
fn of_one_id_the_latest_lines_are_kept_up_to_a_limit_of_bytes() {
    let mut ledger = FailureLedger::default();
    for number in 0..1000_u32 {
        let failure = Failure {
            id: id(1),
            at: Timestamp::from_secs(i64::from(number)),
            attempts: 1,
            lines: vec![LineText {
                text: format!("{number} {}", "C".repeat(8000)).into(),
                date: 0..0,
            }],
            fields: Fields::default(),
        };
        assert_eq!(ledger.add(failure, 5000, Seconds(600), 500), None);
    }
    let ticket = ledger.get(&id(1)).unwrap();
    assert_eq!(ticket.failures, 1000);
    let numbers: Vec<&str> = ticket
        .matches
        .iter()
        .filter_map(|line| line.text.split(' ').next())
        .collect();
    assert_eq!(numbers, ["992", "993", "994", "995", "996", "997", "998", "999"]);
}

#[test]
fn long_lines_and_user_names_of_many_bans_do_not_fill_the_memory_of_the_ban_list() {
    let mut bans = BanList::default();
    for number in 0..PIECES {
        bans.add(&Ban {
            id: id(number),
            since: Timestamp::from_secs(0),
            until: Until::Forever,
            bantime: Seconds(-1),
            failures: 1,
            matches: vec![LineText {
                text: "B".repeat(16 << 10).into(),
                date: 0..0,
            }],
            fields: fields(),
            count: 1,
            restored: false,
        });
    }
    let kept: usize = bans
        .iter()
        .map(|ban| bytes(&ban.fields) + ban.matches.iter().map(|line| line.text.len()).sum::<usize>())
        .sum();
    assert!(kept < 20 << 20, "{kept} bytes");
    assert_eq!(bans.len(), usize::try_from(PIECES).unwrap());
}

#[test]
fn a_restored_ban_lasts_no_longer_than_its_jail_bans_unless_the_jail_lets_them_grow() {
    let now = Timestamp::from_secs(10_000);
    for (increment, bantime, expected) in [
        (false, 600, Some(10_500)),
        (false, 50, None),
        (true, 600, Some(99_900)),
        (false, 200_000, Some(99_900)),
    ] {
        let settings = JailSettings {
            bantime: Seconds(bantime),
            increment,
            ..JailSettings::default()
        };
        let mut jail = Jail::new(JailName::new("j").unwrap(), settings);
        let ban = Ban {
            id: id(1),
            since: Timestamp::from_secs(9900),
            until: Until::At(Timestamp::from_secs(99_900)),
            bantime: Seconds(90_000),
            failures: 1,
            matches: Vec::new(),
            fields: Fields::default(),
            count: 4,
            restored: true,
        };
        jail.restore(ban, now, &mut Vec::new());
        let end = jail.bans().next().map(|ban| ban.until);
        assert_eq!(
            end,
            expected.map(|end| Until::At(Timestamp::from_secs(end))),
            "{increment} {bantime}"
        );
    }
}
