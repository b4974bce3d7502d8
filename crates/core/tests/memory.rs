//! How much memory an address takes that failed once. In a program of its own, so that nothing else takes memory meanwhile.
#![expect(clippy::unwrap_used, reason = "test code")]
#![expect(
    clippy::disallowed_methods,
    reason = "the test asks the kernel how much memory it has; the crate itself does not"
)]

use std::net::Ipv4Addr;

use stockade_core::{Failure, FailureId, FailureLedger, Fields, LineText, Seconds, Timestamp};

const ADDRESSES: u32 = 200_000;

/// Fail2Ban 1.0.2 takes 1,460 bytes, with a line like these.
const LIMIT: u64 = 120;

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[test]
fn an_address_that_failed_once_takes_a_twelfth_of_what_fail2ban_takes() {
    let failure = |number: u32| {
        let address = Ipv4Addr::from(0x0b00_0000 + number * 13);
        let text = format!(
            "Nov 22 14:07:54 host sshd[{}]: Failed password for invalid user admin from {address} port {} ssh2",
            1000 + number,
            number % 60_000
        );
        let mut fields = Fields::default();
        fields.set("user", "admin");
        fields.set("ip4", &address.to_string());
        Failure {
            id: FailureId::Addr(address.into()),
            at: Timestamp::from_secs(i64::from(number)),
            attempts: 1,
            lines: vec![LineText {
                text: text.into(),
                date: 0..15,
            }],
            fields,
        }
    };
    let mut ledger = FailureLedger::default();
    let before = resident();
    let mut text = 0;
    for number in 0..ADDRESSES {
        let failure = failure(number);
        text += failure.lines.iter().map(|line| line.text.len()).sum::<usize>();
        assert!(ledger.add(failure, 5, Seconds(86_400), 5).is_none());
    }
    let each = (resident() - before) / u64::from(ADDRESSES);
    println!(
        "{each} bytes for each address, {} of them its line",
        text / ADDRESSES as usize
    );
    assert!(each < LIMIT, "{each} bytes for each address");
    // All is there, for a ban.
    let last = failure(ADDRESSES - 1);
    let ticket = ledger.get(&last.id).unwrap();
    assert_eq!((ticket.matches, ticket.fields), (last.lines, last.fields));
}
