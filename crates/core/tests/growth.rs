//! How bans of known offenders grow, with CPython and recorded answers of Fail2Ban 1.0.2 beside it.
#![expect(
    clippy::disallowed_types,
    reason = "the test asks Python; the crate itself starts nothing"
)]

use std::process::Command;

use stockade_core::formula::{Formula, FormulaError, Number, Variables};
use stockade_core::growth::span;
use stockade_core::{
    Effect, Event, Failure, FailureId, Fields, Growth, Jail, JailName, JailSettings, Offenders, Seconds, Timestamp,
    offenders::LatestBan,
};

/// Each as it is understood by Python.
const FORMULAS: &[&str] = &[
    "ban.Time * (1<<(ban.Count if ban.Count<20 else 20)) * banFactor",
    "ban.Time * math.exp(float(ban.Count+1)*banFactor)/math.exp(1*banFactor)",
    "60*60/600",
    "2.0 / 2.885385",
    "-2**2",
    "2**-1",
    "-2**-2",
    "2**3**2",
    "(-8)**3",
    "7//2",
    "-7//2",
    "7//-2",
    "-7%3",
    "7%-3",
    "7.5//2",
    "-7.5//2",
    "-7.5%2",
    "1e3",
    "1_000 + .5",
    "10**20",
    "1<<100>>98",
    "-5>>1",
    "1 + 2 << 3 - 1",
    "1 < 2 < 3",
    "1 < 3 < 2",
    "not 0",
    "not 1 + 1",
    "0 or 5",
    "3 and 0",
    "1 if 0 else 2 if 1 else 3",
    "min(3, 2.0, 5)",
    "max(1, 1.0)",
    "max(ban.Count, 2) ** 2",
    "abs(-3) + abs(-2.5)",
    "int(-2.7) + round(2.5) + round(3.5) + math.floor(-1.5) + math.ceil(1.2)",
    "math.log(8, 2) + math.log2(8) + math.log10(1000) + math.log(math.e)",
    "math.sqrt(2) * math.pi",
    "math.pow(2, 10)",
    "True + 1",
    "ban.Time == 600 and ban.Count != 7",
    "1000000.12345",
    "1e16",
    "1e-7",
    "123456789012345680.0",
    "+-+1",
    "--1",
    "1 if ban.Count else 0",
    "10 ** 400",
    "1/3",
    "0.1 + 0.2",
    "5e-324",
];

/// Python takes some of these, and none of them is arithmetic.
const REFUSED: &[&str] = &[
    "",
    "foo(",
    "x",
    "__import__('os').system('id')",
    "ban.__class__",
    "ban.Time.real",
    "(lambda: 1)()",
    "[1][0]",
    "math.factorial(100000)",
    "exec",
    "1; 2",
    "1 2",
    "1,2",
    "07",
    "1__0",
    "1e",
    "0x10z",
    "min()",
    "math.exp(1, 2)",
    "1 if 2",
    "'a'*9",
    "1 +",
    "\u{1b}[2J",
];

fn variables() -> Variables {
    Variables {
        time: Number::Int(600),
        count: 3,
        factor: Number::Float(1.5),
    }
}

#[test]
fn formulas_come_to_what_python_computes() {
    if !testkit::requires(&["python3"]) {
        return;
    }
    let script = "import math, sys\nclass ban: Time = 600; Count = 3\nbanFactor = 1.5\n\
        for text in sys.argv[1:]:\n v = eval(text)\n print(int(v) if isinstance(v, bool) else v if isinstance(v, float) or abs(v) < 2**127 else float(v) if abs(v) < 10**300 else 'large')";
    let output = Command::new("python3")
        .args(["-c", script])
        .args(FORMULAS)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        text.lines().count(),
        FORMULAS.len(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for (formula, python) in FORMULAS.iter().zip(text.lines()) {
        let ours = Formula::parse(formula).unwrap().evaluate(variables());
        match ours {
            Ok(value) => assert_eq!(value.to_string(), python, "{formula}"),
            Err(error) => assert_eq!((error, python), (FormulaError::Range, "large"), "{formula}"),
        }
    }
}

#[test]
fn what_is_no_arithmetic_is_refused_and_depth_and_length_have_limits() {
    for text in REFUSED {
        assert!(Formula::parse(text).is_err(), "{text}");
    }
    assert_eq!(Formula::parse(&"(".repeat(500)), Err(FormulaError::TooLong));
    assert_eq!(Formula::parse(&"-".repeat(900)), Err(FormulaError::TooLong));
    assert_eq!(Formula::parse(&"1+".repeat(5000)), Err(FormulaError::TooLong));
    assert!(
        Formula::parse(&format!("{}1", "1+".repeat(500)))
            .unwrap()
            .evaluate(variables())
            .is_ok()
    );
    for text in [
        "1/0",
        "1//0",
        "1%0",
        "0**-1",
        "math.log(0)",
        "math.exp(1000)",
        "1<<-1",
        "1<<1.0",
        "math.sqrt(-1)",
    ] {
        assert!(Formula::parse(text).unwrap().evaluate(variables()).is_err(), "{text}");
    }
}

#[test]
fn spans_are_written_as_fail2ban_writes_them() {
    // Recorded from the log of 1.0.2.
    for (seconds, shown) in [
        ("5", "5s"),
        ("5.0", "5.0s"),
        ("5.123456", "5.123456s"),
        ("60", "1m"),
        ("60.0", "1.0m"),
        ("60.5", "1.0m 0.5s"),
        ("61", "1m 1s"),
        ("2880.0", "48.0m"),
        ("3594", "59m 54s"),
        ("3595", "1h"),
        ("3599.9", "1h"),
        ("3645", "1h"),
        ("3655", "1h 1m"),
        ("7195", "2h"),
        ("36054", "10h"),
        ("36055", "10h 1m"),
        ("86394", "23h 59m"),
        ("86395", "24h"),
        ("86430", "1d"),
        ("86431", "1d 1m"),
        ("90061.5", "1d 1h 1m"),
        ("172769", "1d 23h 59m"),
        ("172770", "2d"),
        ("604771", "7d"),
        ("606600", "1w"),
        ("606601", "1w 1h"),
        ("689400", "1w 1d"),
        ("1207799", "1w 6d 23h"),
        ("31534199", "52w 23h"),
        ("31579199", "1y"),
        ("31579200", "1y 1d"),
        ("3155760000.0", "100y 3w 4d"),
        ("1e16", "317097919y 43w 5d"),
        ("0", "0"),
        ("-1", "-1s"),
    ] {
        let number = Formula::parse(seconds).unwrap().evaluate(variables()).unwrap();
        assert_eq!(span(number), shown, "{seconds}");
    }
}

#[test]
fn a_chance_adds_at_most_rndtime_and_differs_from_ban_to_ban() {
    let settings = JailSettings {
        maxretry: 1,
        increment: true,
        growth: Growth {
            rndtime: Some(Seconds(1000)),
            ..Growth::default()
        },
        ..JailSettings::default()
    };
    let mut jail = Jail::new(JailName::new("j").unwrap(), settings);
    jail.seed(7);
    let mut offenders = Offenders::default();
    let at = Timestamp::from_secs(1_000_000);
    let known = LatestBan {
        since: Timestamp::from_secs(5),
        bantime: Seconds(600),
        count: 1,
    };
    let ids: Vec<FailureId> = (0..100)
        .map(|number| FailureId::parse(&format!("192.0.2.{number}")))
        .collect();
    offenders.fill(ids.iter().map(|id| (jail.name().clone(), id.clone(), known)));
    let mut effects = Vec::new();
    for id in ids {
        let failure = Failure {
            id,
            at,
            attempts: 1,
            lines: Vec::new(),
            fields: Fields::default(),
        };
        jail.on_failure(failure, &mut offenders, at, &mut effects);
    }
    let stored = effects.iter().filter_map(|effect| match effect {
        Effect::Store(ban) => Some((ban.bantime.0, ban.count)),
        _ => None,
    });
    let lengths: std::collections::BTreeSet<i64> = stored
        .map(|(length, count)| {
            assert_eq!(count, 2);
            assert!((1200..=2200).contains(&length), "{length}");
            length
        })
        .collect();
    assert!(lengths.len() > 50, "{lengths:?}");
    let increased = effects
        .iter()
        .filter(|effect| matches!(effect, Effect::Log(line) if matches!(line.event, Event::Increase { .. })));
    assert_eq!(increased.count(), 100);
}

#[test]
fn offenders_are_bounded_forgotten_when_old_and_not_remembered_unless_asked_for() {
    let jail = JailName::new("j").unwrap();
    let ban = |since, bantime| LatestBan {
        since: Timestamp::from_secs(since),
        bantime: Seconds(bantime),
        count: 1,
    };
    let id = |number: u32| FailureId::Addr(std::net::Ipv4Addr::from(number).into());
    let mut offenders = Offenders::default();
    offenders.fill((0..stockade_core::offenders::MOST_OFFENDERS + 10).map(|number| {
        let number = u32::try_from(number).unwrap();
        (jail.clone(), id(number), ban(i64::from(number), 600))
    }));
    assert!(offenders.len() <= stockade_core::offenders::MOST_OFFENDERS);
    assert!(offenders.in_jail(&jail, &id(0)).is_none(), "the eldest are forgotten");
    assert!(offenders.in_jail(&jail, &id(1_000_005)).is_some());
    offenders.forget(&jail, None);
    assert!(offenders.is_empty());
    // As the database is purged; recorded from 1.0.2: 86,401 s old with 600 s stays, a permanent ban too.
    let others = [(1, 13_599, 600), (2, 1, -1), (3, 11_000, 600), (4, 14_000, 600)];
    offenders.fill(others.map(|(number, since, bantime)| (jail.clone(), id(number), ban(since, bantime))));
    offenders.purge(Timestamp::from_secs(100_000), Seconds(86_400));
    let kept: Vec<u32> = (1..5)
        .filter(|number| offenders.in_jail(&jail, &id(*number)).is_some())
        .collect();
    assert_eq!(kept, [1, 2, 4]);
}
