//! What is said to be impossible is tried on every short text.

use super::{Condition, Outline, Text};
use crate::{Flags, Regex, Scratch};

/// Patterns made from a seed, with everything that reaches the search in another way.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[usize::try_from(self.roll(choices.len() as u64)).unwrap()]
    }

    fn pattern(&mut self, depth: u32) -> String {
        let mut out = String::new();
        for _ in 0..=self.roll(3) {
            let item = match self.roll(if depth == 0 { 4 } else { 9 }) {
                0 | 1 => self
                    .one_of(&[
                        "a", "b", " ", "é", ".", r"\w", r"\d", r"\s", "[^a]", "[ab]", "[^é]", r"\n",
                    ])
                    .to_owned(),
                2 => format!(
                    "{}{}",
                    self.one_of(&["a", ".", r"\W", "[^b]", "é"]),
                    self.one_of(&["*", "+?", "?", "{2}", "{1,2}"])
                ),
                3 => self
                    .one_of(&["^", "$", r"\Z", r"\A", r"\b", r"\B", "(?m:^)", "(?m:$)"])
                    .to_owned(),
                4 => format!("(?:{}|{})", self.pattern(depth - 1), self.pattern(depth - 1)),
                5 => format!("({}){}", self.pattern(depth - 1), self.one_of(&["*", "?", "+", ""])),
                6 => format!("(?{}{})", self.one_of(&["=", "!"]), self.pattern(depth - 1)),
                7 => self
                    .one_of(&["(?<=a)", "(?<!b)", "(?<=é)", "(?i:A)", "(?a:\\w)", "(?s:.)"])
                    .to_owned(),
                _ => format!("(?>{})", self.pattern(depth - 1)),
            };
            out.push_str(&item);
        }
        out
    }
}

/// All texts of up to so many of these characters.
fn texts(longest: usize) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut last = all.clone();
    for _ in 0..longest {
        last = last
            .iter()
            .flat_map(|text| ['a', 'b', ' ', 'é', '1'].map(|character| format!("{text}{character}")))
            .collect();
        all.extend_from_slice(&last);
    }
    all
}

#[test]
fn what_is_said_never_to_match_matches_no_short_line() {
    let lines: Vec<String> = texts(4).into_iter().map(|text| format!("{text}\n")).collect();
    let mut dice = Dice(20_261_122);
    let mut scratch = Scratch::default();
    let (mut patterns, mut never, mut silent) = (0, 0, 0);
    while patterns < 3_000 {
        let pattern = dice.pattern(2);
        let Ok(regex) = Regex::new(&pattern, Flags::default()) else {
            continue;
        };
        patterns += 1;
        let said = Outline::of(&regex).unwrap().never_matches(Text::Line, &[]);
        let matching = lines.iter().find(|line| regex.search(line, &mut scratch) == Ok(true));
        if let (true, Some(line)) = (said, matching) {
            panic!("{pattern:?} matches {line:?}");
        }
        never += usize::from(said);
        silent += usize::from(!said && matching.is_none());
    }
    println!("{patterns} patterns, {never} said never to match, {silent} more match no short line");
    assert!(never > 100, "{never}");
    assert!(silent < never, "{silent} of {never}");
}

#[test]
fn conditions_leave_every_short_text_that_meets_them() {
    let parts = texts(4);
    let mut dice = Dice(7);
    let mut scratch = Scratch::default();
    let compile = |pattern: &str| {
        let regex = Regex::new(pattern, Flags::default()).ok()?;
        let outline = Outline::of(&regex)?;
        Some((regex, outline))
    };
    let (mut pairs, mut never) = (0, 0);
    while pairs < 1_500 {
        let (first, second) = (dice.pattern(1), dice.pattern(1));
        let (Some((regex, outline)), Some((_, body))) = (compile(&first), compile(&format!("(?P<x>{second})"))) else {
            continue;
        };
        // The same, as conditions are asked.
        let (Some((whole, _)), Some((begins, start))) = (
            compile(&format!("\\A(?:{second})\\Z")),
            compile(&format!("\\A(?:{second})")),
        ) else {
            continue;
        };
        pairs += 1;
        for (condition, holds) in [
            (Condition::Captured(&body, 1), &whole),
            (Condition::Begins(&start), &begins),
            (Condition::BeginsNot(&start), &begins),
        ] {
            if !outline.never_matches(Text::Part, &[condition]) {
                continue;
            }
            never += 1;
            let wanted = !matches!(condition, Condition::BeginsNot(_));
            for text in &parts {
                let meets = holds.search(text, &mut scratch) == Ok(wanted);
                let matches = meets && regex.search(text, &mut scratch) == Ok(true);
                assert!(!matches, "{first:?} matches {text:?} with {second:?}, {condition:?}");
            }
        }
    }
    println!("{pairs} pairs, {never} conditions that exclude the pattern");
    assert!(never > 100, "{never}");
}
