//! What CPython's `re` says, and what we say, as comparable text.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "test code")]
#![expect(clippy::disallowed_types, reason = "the oracle is a process of its own")]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use stockade_regex::{Budget, Flags, Regex, Scratch};

/// A question: flags as letters, pattern, text.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) flags: String,
    pub(crate) pattern: String,
    pub(crate) text: String,
}

impl Question {
    pub(crate) fn new(flags: &str, pattern: &str, text: &str) -> Self {
        Self {
            flags: flags.into(),
            pattern: pattern.into(),
            text: text.into(),
        }
    }
}

/// Why CPython cannot be asked here; says so on standard output.
pub(crate) fn missing_python() -> bool {
    let version = Command::new("python3").arg("--version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    match version {
        Ok(version) if version.starts_with("Python 3.11.") => false,
        Ok(version) => {
            println!("skipped: python3 is {version}, the oracle is CPython 3.11");
            true
        }
        Err(error) => {
            println!("skipped: python3 cannot be run: {error}");
            true
        }
    }
}

/// A CPython that answers questions for as long as it lives.
pub(crate) struct Python {
    child: Child,
    answers: BufReader<ChildStdout>,
}

/// Questions sent before the answers are read: they and their answers fit into the pipes.
const AT_ONCE: usize = 200;

impl Python {
    pub(crate) fn start() -> Self {
        let path = format!("{}/tests/cpython/oracle.py", env!("CARGO_MANIFEST_DIR"));
        let mut child = Command::new("python3")
            .args(["-B", &path])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, answers }
    }

    /// Answers in the order of the questions.
    pub(crate) fn ask(&mut self, questions: &[Question]) -> Vec<String> {
        let mut answers = Vec::with_capacity(questions.len());
        for some in questions.chunks(AT_ONCE) {
            let mut input = String::new();
            for question in some {
                let (pattern, text) = (hex(&question.pattern), hex(&question.text));
                writeln!(input, "{}\t{pattern}\t{text}", question.flags).unwrap();
            }
            input.push_str(".\n");
            let stdin = self.child.stdin.as_mut().unwrap();
            stdin.write_all(input.as_bytes()).unwrap();
            stdin.flush().unwrap();
            for _ in some {
                let mut line = String::new();
                self.answers.read_line(&mut line).unwrap();
                assert!(line.ends_with('\n'), "CPython went away");
                answers.push(line.trim_end_matches('\n').to_owned());
            }
        }
        answers
    }

    /// Makes `texts` the list that [`Python::search_all`] searches.
    pub(crate) fn hold(&mut self, texts: &[String]) {
        let mut input = String::from("C\n");
        for text in texts {
            writeln!(input, "T {}", hex(text)).unwrap();
        }
        self.child.stdin.as_mut().unwrap().write_all(input.as_bytes()).unwrap();
    }

    /// Answers for all texts held; asked first and read later, so that we search at the same time.
    pub(crate) fn search_all(&mut self, flags: &str, pattern: &str) {
        let input = format!("A {flags} {}\n", hex(pattern));
        self.child.stdin.as_mut().unwrap().write_all(input.as_bytes()).unwrap();
    }

    /// The answers to the oldest [`Python::search_all`] not read yet, by number of the text; what is missing is `N`.
    pub(crate) fn answers(&mut self) -> HashMap<usize, String> {
        let mut answers = HashMap::new();
        loop {
            let mut line = String::new();
            self.answers.read_line(&mut line).unwrap();
            let line = line.trim_end_matches('\n');
            assert!(!line.is_empty(), "CPython went away");
            match line.split_once(' ') {
                Some((number, answer)) => drop(answers.insert(number.parse().unwrap(), answer.to_owned())),
                None => return answers,
            }
        }
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It ends at the end of its input; nothing is left to be told.
        let _ = self.child.wait();
    }
}

/// Runs one of the Python scripts beside the tests.
pub(crate) fn run_python(script: &str, input: &str) -> String {
    let path = format!("{}/tests/cpython/{script}", env!("CARGO_MANIFEST_DIR"));
    let mut child = Command::new("python3")
        .args(["-B", &path])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::Builder::new()
        .spawn(move || stdin.write_all(input.as_bytes()))
        .unwrap();
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{script} failed");
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn flags(letters: &str) -> Flags {
    Flags {
        ignore_case: letters.contains('i'),
        multi_line: letters.contains('m'),
        dot_all: letters.contains('s'),
        verbose: letters.contains('x'),
        ascii: letters.contains('a'),
    }
}

/// What we say; the last pattern stays compiled.
#[derive(Default)]
pub(crate) struct Ourselves {
    scratch: Scratch,
    compiled: Option<(String, String, Compiled)>,
}

/// The two machines, or the refusal.
type Compiled = Result<[(&'static str, Regex); 2], String>;

impl Ourselves {
    /// Our answers, in the oracle's words, by each way there is to one; each with the way's name.
    ///
    /// CPython has no budget, so neither have we here: back-references in generated patterns can take many steps.
    pub(crate) fn answers(&mut self, question: &Question) -> Vec<(&'static str, String)> {
        let known =
            |(flags, pattern, _): &(String, String, _)| (flags, pattern) == (&question.flags, &question.pattern);
        if !self.compiled.as_ref().is_some_and(known) {
            let compiled =
                [("machine with memo", 0), ("machine without memo", u64::MAX)].map(|(name, without_memo)| {
                    let budget = Budget {
                        steps: 100_000_000,
                        steps_without_memo: without_memo,
                    };
                    Regex::with_budget(&question.pattern, flags(&question.flags), budget).map(|regex| (name, regex))
                });
            let compiled = match compiled {
                [Ok(first), Ok(second)] => Ok([first, second]),
                [Err(error), _] | [_, Err(error)] => Err(format!("E {} {}", error.span.start, hex(&error.message))),
            };
            self.compiled = Some((question.flags.clone(), question.pattern.clone(), compiled));
        }
        let regexes = match &self.compiled.as_ref().unwrap().2 {
            Ok(regexes) => regexes,
            Err(error) => return vec![("parser", error.clone())],
        };
        let scratch = &mut self.scratch;
        let mut answers = Vec::new();
        let mut add = |name, regex: &Regex, found, scratch: &Scratch| {
            let answer = match found {
                Ok(true) => spans(regex, scratch),
                Ok(false) => "N".into(),
                // Exponential without memo; that is what the memo is for. Back-references do without one.
                Err(_) if name != "machine with memo" || refers(&question.pattern) => return,
                Err(_) => "overrun".into(),
            };
            answers.push((name, answer));
        };
        for (name, regex) in regexes {
            let found = regex.search_plainly(&question.text, scratch);
            add(*name, regex, found, scratch);
        }
        let [_, (_, without_memo)] = regexes;
        let found = without_memo.search(&question.text, scratch);
        add("short form for ASCII", without_memo, found, scratch);
        let [(_, regex), _] = regexes;
        match regex.search_linear(&question.text, scratch) {
            Some(true) => answers.push(("linear engine", spans(regex, scratch))),
            Some(false) => answers.push(("linear engine", "N".into())),
            None => {}
        }
        answers
    }
}

fn refers(pattern: &str) -> bool {
    pattern.contains("(?P=") || (1..10).any(|group| pattern.contains(&format!("\\{group}")))
}

/// Whether a match found by CPython lacks all the literals we say it must have.
pub(crate) fn lacks_literals(question: &Question, theirs: &str) -> bool {
    let Some(spans) = theirs.strip_prefix("M ") else {
        return false;
    };
    let regex = Regex::new(&question.pattern, flags(&question.flags)).unwrap();
    let Some(literals) = regex.required_literals() else {
        return false;
    };
    let (start, end) = spans.split(' ').next().unwrap().split_once(',').unwrap();
    let matched = &question.text[start.parse().unwrap()..end.parse().unwrap()];
    !literals
        .iter()
        .any(|literal| matched.contains(std::str::from_utf8(literal).unwrap()))
}

pub(crate) fn spans(regex: &Regex, scratch: &Scratch) -> String {
    let mut out = String::from("M");
    for group in 0..=regex.groups() {
        match scratch.group(group) {
            Some(span) => write!(out, " {},{}", span.start, span.end).unwrap(),
            None => out.push_str(" -"),
        }
    }
    out
}

/// Equal answers; a position CPython does not give is not compared, nor a search it did not finish.
pub(crate) fn agree(theirs: &str, ours: &str) -> bool {
    if theirs == "T" {
        return true;
    }
    match (theirs.strip_prefix("E - "), ours.strip_prefix("E ")) {
        (Some(message), Some(ours)) => ours.split(' ').nth(1) == Some(message),
        _ => theirs == ours,
    }
}

/// An answer for people: messages as text.
pub(crate) fn readable(answer: &str) -> String {
    let words: Vec<&str> = answer.split(' ').collect();
    match words.as_slice() {
        ["E", position, message] => {
            let bytes: Vec<u8> = message
                .as_bytes()
                .chunks(2)
                .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
                .collect();
            format!("E {position} {}", String::from_utf8_lossy(&bytes))
        }
        _ => answer.to_owned(),
    }
}

pub(crate) fn hex(text: &str) -> String {
    let mut out = String::new();
    text.bytes().for_each(|byte| write!(out, "{byte:02x}").unwrap());
    out
}
