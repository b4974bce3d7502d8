//! Generated patterns and texts: what CPython refuses we refuse, what it matches we match, group by group.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "test code"
)]
#![expect(clippy::disallowed_methods, reason = "the seed of a longer run")]

use crate::oracle::{Question, agree, ask_ourselves, ask_python, lacks_literals, missing_python, readable, spans};
use stockade_regex::{Budget, Flags, Regex, Scratch};

/// xorshift64*: the same numbers everywhere for a seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % limit
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

const ATOMS: &[&str] = &[
    "a", "b", "c", "ab", "A", "1", " ", ".", "\\w", "\\d", "\\s", "\\W", "\\S", "\\D", "[ab]", "[^a]", "[a-c1]",
    "[^b\\d]", "[\\W]", "\\.", "-", "é", "[é-ü]", "\\n", "k", "S", "_", "[^\\s,]", "ba", "\\x61", "\\u00e9", "\\141",
];
/// Few letters and many repetitions: what makes a search long, and the memo work.
const LOOPING: &[&str] = &[
    "a",
    "b",
    "[ab]",
    ".",
    "a*",
    "a+",
    "[^b]*",
    "(?:a|ab)*",
    "a*?",
    "(?:(?!ba).)*",
    "b?",
    "aa",
    "[a-c]+",
];
const PLACES: &[&str] = &["^", "$", "\\b", "\\B", "\\A", "\\Z"];
const QUANTIFIERS: &[&str] = &[
    "*", "+", "?", "*?", "+?", "??", "*+", "++", "?+", "{2}", "{1,2}", "{,2}", "{2,}", "{1,3}?", "{0,2}+", "{2,}+",
    "{0}", "{,}",
];
const PIECES: &[&str] = &[
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "*",
    "+",
    "?",
    "|",
    "\\",
    "^",
    "$",
    "-",
    ",",
    "1",
    "2",
    "a",
    "b",
    ":",
    "=",
    "!",
    "<",
    ">",
    "P",
    "(?",
    "(?P<",
    "(?P=",
    "(?<=",
    "(?(",
    "x",
    "i",
    "#",
    " ",
    "\\1",
    "\\8",
    "\\x",
    "\\u12",
    "\\N{",
    "\\07",
    "\\400",
    "\\q",
    "(?i)",
    "(?a",
    "(?-",
    "(?x)",
    "é",
    "_",
    "'",
    "{1,2}",
    "{2,1}",
    "\n",
    "a-",
    "\\d",
    "\\b",
    "n>",
    "(?#",
    "(?:a",
    "0",
    "\\U00110000",
];
const TEXT: &[&str] = &[
    "a", "b", "c", "a", "b", "A", "B", "1", "2", " ", "-", ".", "\n", "_", "é", "É", "k", "s", "ſ", "\u{301}", ",",
];

struct Writer<'r> {
    random: &'r mut Random,
    atoms: &'static [&'static str],
    groups: usize,
    named: usize,
}

impl Writer<'_> {
    fn alternation(&mut self, depth: usize) -> String {
        let mut out = self.sequence(depth);
        while self.random.below(4) == 0 {
            out.push('|');
            out.push_str(&self.sequence(depth));
        }
        out
    }

    fn sequence(&mut self, depth: usize) -> String {
        let mut out = String::new();
        for _ in 0..self.random.below(4) {
            out.push_str(&self.item(depth));
        }
        out
    }

    fn item(&mut self, depth: usize) -> String {
        if self.random.below(8) == 0 {
            return self.random.pick(PLACES).into();
        }
        let mut item = if depth > 0 && self.random.below(2) == 0 {
            self.group(depth - 1)
        } else {
            self.random.pick(self.atoms).into()
        };
        if self.random.below(3) == 0 {
            item.push_str(self.random.pick(QUANTIFIERS));
        }
        item
    }

    fn group(&mut self, depth: usize) -> String {
        match self.random.below(15) {
            0..=3 => {
                self.groups += 1;
                format!("({})", self.alternation(depth))
            }
            4 => {
                self.groups += 1;
                self.named += 1;
                let name = self.named;
                format!("(?P<n{name}>{})", self.alternation(depth))
            }
            5 | 6 => format!("(?:{})", self.alternation(depth)),
            7 => format!("(?={})", self.alternation(depth)),
            8 => format!("(?!{})", self.alternation(depth)),
            9 => {
                let behind = self.random.pick(&[
                    "a", "[ab]", "ab|ba", "\\w", "b{2}", "^", "(?:a|.)", "\\b", "a(?=b)", "(a)",
                ]);
                if behind.contains("(a)") {
                    self.groups += 1;
                }
                format!("(?<{}{behind})", self.random.pick(&["=", "!"]))
            }
            10 => format!("(?>{})", self.alternation(depth)),
            11 => format!(
                // Not `(?a:`: CPython 3.11 skips to where the first class matches by its Unicode meaning.
                "(?{}:{})",
                self.random.pick(&["i", "-i", "s", "m", "im-s", "x"]),
                self.alternation(depth)
            ),
            12 if self.groups > 0 => format!("\\{}", 1 + self.random.below(self.groups)),
            13 if self.named > 0 => format!("(?P=n{})", 1 + self.random.below(self.named)),
            14 | 12 if self.groups > 0 => {
                let group = 1 + self.random.below(self.groups);
                let (yes, no) = (self.sequence(depth), self.sequence(depth));
                if self.random.below(2) == 0 {
                    format!("(?({group}){yes}|{no})")
                } else {
                    format!("(?({group}){yes})")
                }
            }
            _ => format!(
                "(?:{})",
                self.random.pick(&["a*", "(?!ab).", "a|b", "", "a*b?", "[^,]*,"])
            ),
        }
    }
}

fn text(random: &mut Random) -> String {
    (0..random.below(14)).map(|_| random.pick(TEXT)).collect()
}

/// CPython would take hours for these; the machine without memo is compared with CPython elsewhere.
#[test]
fn the_memo_changes_no_answer() {
    let mut random = Random(seed() + 2);
    let mut scratch = Scratch::default();
    let (mut compared, mut linear) = (0, 0);
    let search = |regex: &Regex, text: &str, scratch: &mut Scratch| match regex.search(text, scratch) {
        Ok(true) => Some(spans(regex, scratch)),
        Ok(false) => Some("N".into()),
        Err(_) => None,
    };
    for _ in 0..6_000 {
        let pattern = Writer {
            random: &mut random,
            atoms: LOOPING,
            groups: 0,
            named: 0,
        }
        .alternation(3);
        let with_memo = Budget {
            steps: 1_000_000,
            steps_without_memo: 0,
        };
        let without_memo = Budget {
            steps: 100_000,
            steps_without_memo: u64::MAX,
        };
        let Ok(with_memo) = Regex::with_budget(&pattern, Flags::default(), with_memo) else {
            continue;
        };
        let without_memo = Regex::with_budget(&pattern, Flags::default(), without_memo).unwrap();
        for _ in 0..4 {
            let text: String = (0..20 + random.below(40))
                .map(|_| random.pick(&["a", "a", "a", "b", "é"]))
                .collect();
            let Some(ours) = search(&with_memo, &text, &mut scratch) else {
                continue;
            };
            if let Some(plain) = search(&without_memo, &text, &mut scratch) {
                assert_eq!(ours, plain, "{pattern:?} on {text:?}");
                compared += 1;
            }
            if let Some(found) = with_memo.search_linear(&text, &mut scratch) {
                let theirs = if found { spans(&with_memo, &scratch) } else { "N".into() };
                assert_eq!(ours, theirs, "{pattern:?} on {text:?}, linear engine");
                linear += 1;
            }
        }
    }
    println!("{compared} searches with and without memo, {linear} also by the linear engine, no difference");
    assert!(compared > 10_000);
}

fn compare(questions: &[Question]) {
    let theirs = ask_python(questions);
    assert_eq!(theirs.len(), questions.len());
    let mut scratch = Scratch::default();
    let mut differences = Vec::new();
    let (mut matched, mut refused, mut linear) = (0, 0, 0);
    for (question, theirs) in questions.iter().zip(&theirs) {
        matched += usize::from(theirs.starts_with('M'));
        refused += usize::from(theirs.starts_with('E'));
        let shown = format!(
            "{:?} flags {:?} on {:?}",
            question.pattern, question.flags, question.text
        );
        for (way, ours) in ask_ourselves(question, &mut scratch) {
            linear += usize::from(way == "linear engine");
            if !agree(theirs, &ours) {
                differences.push(format!(
                    "{shown}: CPython {}, {way} {}",
                    readable(theirs),
                    readable(&ours)
                ));
            }
        }
        if lacks_literals(question, theirs) {
            differences.push(format!("{shown}: the match has none of the required literals"));
        }
    }
    println!(
        "{} pairs compared ({matched} matched, {refused} refused, {linear} also by the linear engine), {} differences",
        questions.len(),
        differences.len()
    );
    differences.sort_by_key(String::len);
    assert!(
        differences.is_empty(),
        "{}",
        differences[..differences.len().min(25)].join("\n")
    );
}

/// `STOCKADE_SEED` gives other patterns than usual.
fn seed() -> u64 {
    std::env::var("STOCKADE_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(2026)
}

#[test]
fn generated_patterns_match_as_in_cpython() {
    if missing_python() {
        return;
    }
    let mut random = Random(seed());
    let mut questions = Vec::new();
    for _ in 0..6_000 {
        let pattern = Writer {
            random: &mut random,
            atoms: ATOMS,
            groups: 0,
            named: 0,
        }
        .alternation(3);
        let flags = random.pick(&["", "", "i", "m", "s", "ia", "im", "x"]);
        for _ in 0..5 {
            questions.push(Question::new(flags, &pattern, &text(&mut random)));
        }
    }
    compare(&questions);
}

#[test]
fn mangled_patterns_are_refused_as_in_cpython() {
    if missing_python() {
        return;
    }
    let mut random = Random(seed() + 1);
    let questions: Vec<Question> = (0..40_000)
        .map(|_| {
            let pattern: String = (0..=random.below(8)).map(|_| random.pick(PIECES)).collect();
            Question::new(random.pick(&["", "", "x"]), &pattern, "ab1-x\n")
        })
        .filter(|question| !question.pattern.contains("\\N{"))
        .collect();
    compare(&questions);
}
