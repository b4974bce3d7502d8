//! What CPython's `re` says, and what we say, as comparable text.
#![expect(clippy::unwrap_used, reason = "test code")]
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the oracle is a process of its own"
)]

use std::io::Write;
use std::process::{Command, Stdio};

use stockade_regex::{Flags, Regex, Scratch};

/// CPython has no budget; back-references in generated patterns can take this many steps.
const PATIENCE: u64 = 100_000_000;

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

/// Asks CPython all questions at once; answers in their order.
pub(crate) fn ask_python(questions: &[Question]) -> Vec<String> {
    let mut input = String::new();
    for question in questions {
        input.push_str(&format!(
            "{}\t{}\t{}\n",
            question.flags,
            hex(&question.pattern),
            hex(&question.text)
        ));
    }
    run_python("oracle.py", &input).lines().map(str::to_owned).collect()
}

/// Runs one of the Python scripts beside the tests.
pub(crate) fn run_python(script: &str, input: &str) -> String {
    let path = format!("{}/tests/{script}", env!("CARGO_MANIFEST_DIR"));
    let mut child = Command::new("python3")
        .arg(path)
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

/// Our answer, in the oracle's words.
pub(crate) fn ask_ourselves(question: &Question, scratch: &mut Scratch) -> String {
    match Regex::with_budget(&question.pattern, flags(&question.flags), PATIENCE) {
        Ok(regex) => answer(&regex, &question.text, scratch),
        Err(error) => format!("E {} {}", error.span.start, hex(&error.message)),
    }
}

pub(crate) fn answer(regex: &Regex, text: &str, scratch: &mut Scratch) -> String {
    match regex.search(text, scratch) {
        Ok(true) => spans(regex, scratch),
        Ok(false) => "N".into(),
        Err(_) => "overrun".into(),
    }
}

pub(crate) fn spans(regex: &Regex, scratch: &Scratch) -> String {
    let mut out = String::from("M");
    for group in 0..=regex.groups() {
        match scratch.group(group) {
            Some(span) => out.push_str(&format!(" {},{}", span.start, span.end)),
            None => out.push_str(" -"),
        }
    }
    out
}

/// Equal answers; a position CPython does not give is not compared.
pub(crate) fn agree(theirs: &str, ours: &str) -> bool {
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
            format!("refused at {position}: {}", String::from_utf8_lossy(&bytes))
        }
        _ => answer.to_owned(),
    }
}

pub(crate) fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}
