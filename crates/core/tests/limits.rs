//! What somebody who writes log lines can make us remember.

use std::net::Ipv4Addr;

use stockade_core::{Ban, BanList, Failure, FailureId, FailureLedger, Fields, LineText, Seconds, Timestamp, Until};

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
