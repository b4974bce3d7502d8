//! Texts written to make a matcher slow, and patterns written to break a parser.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::fmt::Write as _;

use stockade_regex::{Budget, Flags, Overrun, Regex, Scratch};

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern, Flags::default()).unwrap()
}

/// Steps a fruitless search takes for a text of a size, with a budget that does not stand in the way.
fn steps(pattern: &str, text: &str) -> u64 {
    let budget = Budget {
        steps: u64::MAX,
        ..Budget::default()
    };
    let regex = Regex::with_budget(pattern, Flags::default(), budget).unwrap();
    let mut scratch = Scratch::default();
    assert_eq!(regex.search(text, &mut scratch), Ok(false), "{pattern}");
    scratch.steps()
}

/// Pattern, and the text repeated `n` times with an end that spoils the match.
const SLOW_IN_CPYTHON: &[(&str, &str, &str, &str)] = &[
    ("^(?:a|aa)+$", "", "a", "!"),
    ("^(?:a+)+$", "", "a", "!"),
    ("(?:a*)*b", "", "a", "!"),
    ("(?:a+b?)+c", "", "a", "!"),
    ("^(?:a|b|ab)*c", "", "ab", "!"),
    ("^(?:a?){20}a{20}$", "", "a", "!"),
    ("(?:x+x+)+y", "", "x", ""),
    ("a*b", "", "a", ""),
    ("a*?b", "", "a", ""),
    (r"\s+$", "x", " ", "x"),
    (".*foo.*bar", "", "foo", ""),
    (r"\S+@\S+", "", "a", ""),
    (r"(?:\S+\s+)*x$", "", "a b ", "!"),
    (r"(?:(?!x).)*y", "", "a", ""),
    (r"^(?:a(?=b|a)|a)*c", "", "a", "!"),
    (r"^(a)?(?:(?(1)a|b)|a)*c", "", "a", "!"),
    (r"^(?:(?>a+)|a)*c", "", "a", "!"),
    // exim and sshd (rfc5424) filters; an unclosed quotation.
    (
        r#"SMTP protocol error in "[^"]+(?:"+[^"]*(?="))*?" H="#,
        "SMTP protocol error in \"a",
        "\"b",
        "",
    ),
    (r#"^(?:\[(?:[^\]"]*|"[^"]*")*\])+ x"#, "[", "a\"b\"", ""),
];

#[test]
fn a_fruitless_search_is_at_most_linear_in_the_text() {
    let mut superlinear = Vec::new();
    for (pattern, start, repeated, end) in SLOW_IN_CPYTHON {
        let text = |times: usize| format!("{start}{}{end}", repeated.repeat(times));
        let (short, long) = (steps(pattern, &text(500)), steps(pattern, &text(4_000)));
        // Eight times the text: linear is a factor of 8, quadratic one of 64.
        if long > 12 * short.max(2_000) {
            superlinear.push(format!("{pattern}: {short} steps, then {long}"));
        }
    }
    assert!(superlinear.is_empty(), "{superlinear:#?}");
}

#[test]
fn a_hostile_line_of_usual_length_stays_within_the_budget() {
    let mut scratch = Scratch::default();
    for (pattern, start, repeated, end) in SLOW_IN_CPYTHON {
        let text = format!("{start}{}{end}", repeated.repeat(1_500 / repeated.len()));
        assert_eq!(regex(pattern).search(&text, &mut scratch), Ok(false), "{pattern}");
    }
}

#[test]
fn the_linear_engine_decides_when_a_regular_pattern_overruns() {
    let budget = Budget {
        steps: 10,
        ..Budget::default()
    };
    let regex = Regex::with_budget(r"(a+)+(b)\w+", Flags::default(), budget).unwrap();
    assert!(regex.is_regular());
    let mut scratch = Scratch::default();
    let text = format!("{}b{}", "a".repeat(2_000), "-a-ab".repeat(100));
    assert_eq!(regex.search(&text, &mut scratch), Ok(false));
    let text = format!("{text}aé");
    assert_eq!(regex.search(&text, &mut scratch), Ok(true));
    assert_eq!(scratch.group(0), Some(text.len() - 5..text.len()));
    assert_eq!(scratch.group(2), Some(text.len() - 4..text.len() - 3));
}

#[test]
fn a_pattern_that_is_not_regular_reports_the_overrun() {
    let regex = regex(r"^(a+)+\1$");
    assert!(!regex.is_regular());
    let text = format!("{}!", "a".repeat(5_000));
    let mut scratch = Scratch::default();
    assert_eq!(regex.search(&text, &mut scratch), Err(Overrun));
    assert_eq!(scratch.group(0), None);
    // The scratch is as good as new.
    assert_eq!(regex.search("aa", &mut scratch), Ok(true));
    assert_eq!(scratch.group(1), Some(0..1));
}

#[test]
fn patterns_are_shared_between_threads_and_scratch_between_patterns() {
    fn shared<T: Send + Sync>(_: &T) {}
    let (first, second) = (regex("(a)(b)?"), regex("x|(?P<y>y)"));
    shared(&first);
    let mut scratch = Scratch::default();
    assert_eq!(first.search("ab", &mut scratch), Ok(true));
    assert_eq!(second.search("y", &mut scratch), Ok(true));
    assert_eq!((scratch.group(1), scratch.group(2)), (Some(0..1), None));
    assert_eq!(first.search("b", &mut scratch), Ok(false));
    assert_eq!(scratch.group(0), None);
    assert_eq!(second.names(), [("y".into(), 1)]);
}

#[test]
fn a_line_of_ten_megabytes_needs_no_stack() {
    let text = format!("{}!", "ab".repeat(5 << 20));
    let mut scratch = Scratch::default();
    for pattern in ["(?:a|b)*c", "(?:ab?)*?c", "(?:(a)|(b))+!", "(?:a(?=b)|b)*!"] {
        // Found or given up; what matters is that it ends.
        let _ = regex(pattern).search(&text, &mut scratch);
    }
}

#[test]
fn patterns_nested_too_deeply_are_refused() {
    for (open, close) in [
        ("(", ")"),
        ("(?:", ")*"),
        ("(?=", ")"),
        ("(?>", ")"),
        ("(?:a|", ")"),
        ("(?i:", "){2}"),
        ("()(?(1)", ")"),
    ] {
        let nested = |depth: usize| format!("{}a{}", open.repeat(depth), close.repeat(depth));
        assert!(
            Regex::new(&nested(100), Flags::default()).is_ok() || close == "){2}",
            "{open}"
        );
        let error = Regex::new(&nested(100_000), Flags::default()).unwrap_err();
        assert!(error.message.contains("nested"), "{open}: {error}");
    }
}

#[test]
fn nested_repetitions_do_not_grow_without_bound() {
    let mut pattern = String::from("a|bc");
    for _ in 0..12 {
        pattern = format!("(?:{pattern}){{1,20}}");
    }
    let mut scratch = Scratch::default();
    let regex = regex(&format!("^{pattern}$"));
    assert_eq!(regex.search("abcabc", &mut scratch), Ok(true));
    let mut long = String::new();
    for number in 0..20_000 {
        write!(long, "word{number}|").unwrap();
    }
    assert!(Regex::new(&long, Flags::default()).is_ok());
}

#[test]
fn counted_repetitions_match_however_long() {
    let mut scratch = Scratch::default();
    let text = "ab".repeat(3_000);
    assert_eq!(regex("^(?:a|b){6000}$").search(&text, &mut scratch), Ok(true));
    assert_eq!(regex("^(?:a|b){6001}$").search(&text, &mut scratch), Ok(false));
    assert_eq!(regex("^(?:ab|a){2000,}?b").search(&text, &mut scratch), Ok(true));
    assert_eq!(regex("^(?:ab|c){2000,2500}+").search(&text, &mut scratch), Ok(true));
    assert_eq!(scratch.group(0), Some(0..5_000));
    assert_eq!(regex("^(a?){3000}b").search(&text, &mut scratch), Ok(true));
}
