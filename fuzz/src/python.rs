//! Our `re` beside CPython's: the same refusals, the same groups.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use stockade_regex::{Budget, Regex, Scratch};

use crate::regex::{flags, groups, question};

/// Answers one question per line, as `crates/regex/tests/cpython/oracle.py` does; `-` if it takes too long.
const SCRIPT: &str = r#"
import re, signal, sys, warnings
sys.path.insert(0, sys.argv[1])
warnings.simplefilter("ignore")
sys.dont_write_bytecode = True
import oracle
class Late(Exception): pass
def late(*_): raise Late()
signal.signal(signal.SIGALRM, late)
for line in sys.stdin:
    flags, pattern, text = line.rstrip("\n").split("\t")
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        said = oracle.answer(flags, bytes.fromhex(pattern).decode(), bytes.fromhex(text).decode())
    except (Late, MemoryError):
        said = "-"
    signal.setitimer(signal.ITIMER_REAL, 0)
    oracle.compiled.clear()
    re.purge()
    print(said, flush=True)
"#;

struct Python {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Drop for Python {
    fn drop(&mut self) {
        // It ends by itself when nobody asks any more; this is for the one that hangs.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

thread_local! {
    static PYTHON: RefCell<Option<Python>> = const { RefCell::new(None) };
}

/// Whether this machine has the CPython that we follow.
fn is_here() -> bool {
    static HERE: OnceLock<bool> = OnceLock::new();
    *HERE.get_or_init(|| {
        let version = Command::new("python3").arg("--version").output();
        version.is_ok_and(|output| output.stdout.starts_with(b"Python 3.11."))
    })
}

fn start() -> Option<Python> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/regex/tests/cpython");
    let mut child = Command::new("python3")
        .args(["-B", "-c", SCRIPT, folder])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let questions = child.stdin.take()?;
    let answers = BufReader::new(child.stdout.take()?);
    Some(Python {
        child,
        questions,
        answers,
    })
}

fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn ask(flags: &str, pattern: &str, text: &str) -> Option<String> {
    PYTHON.with_borrow_mut(|python| {
        if python.is_none() && is_here() {
            *python = start();
        }
        let asked = python.as_mut()?;
        let question = format!("{flags}\t{}\t{}\n", hex(pattern), hex(text));
        let mut answer = String::new();
        let sent = asked.questions.write_all(question.as_bytes());
        let read = sent.and_then(|()| asked.answers.read_line(&mut answer));
        if read.is_ok_and(|bytes| bytes > 0) {
            return Some(answer.trim_end().to_owned());
        }
        // It died of the question: the next one is asked of a new one.
        *python = None;
        None
    })
}

/// The documented differences of `stockade-regex`, and what depends on the version of Unicode.
fn is_known_difference(pattern: &str, theirs: &str) -> bool {
    let flags_in = pattern.match_indices("(?").any(|(at, _)| {
        let rest = pattern.get(at + 2..).unwrap_or_default();
        let end = rest.find([')', ':']).unwrap_or(rest.len());
        let word = rest.get(..end).unwrap_or_default();
        word.contains(['t', 'a', 'L', 'u'])
    });
    pattern.contains("\\N") || flags_in || theirs == "-"
}

/// Asks both; without CPython 3.11 there is nothing to ask.
pub(crate) fn search(data: &[u8]) {
    let (letters, pattern, text) = question(data);
    let budget = Budget {
        steps: 200_000,
        steps_without_memo: 0,
    };
    let mut scratch = Scratch::default();
    let ours = match Regex::with_budget(&pattern, flags(&letters), budget) {
        Err(error) => format!("E {} {}", error.span.start, hex(&error.message)),
        Ok(regex) => match regex.search(&text, &mut scratch) {
            Err(_) => return,
            Ok(false) => "N".to_owned(),
            Ok(true) => groups(&regex, &scratch)
                .into_iter()
                .fold("M".to_owned(), |mut out, group| {
                    // Writing to a String cannot fail.
                    let _ = match group {
                        Some((start, end)) => write!(out, " {start},{end}"),
                        None => write!(out, " -"),
                    };
                    out
                }),
        },
    };
    let Some(theirs) = ask(&letters, &pattern, &text) else {
        return;
    };
    if is_known_difference(&pattern, &theirs) {
        return;
    }
    let equal = match (theirs.strip_prefix("E - "), ours.strip_prefix("E ")) {
        (Some(message), Some(ours)) => ours.split(' ').nth(1) == Some(message),
        // Messages quote names, and what Python takes for printable is not kept here: the position has to be right.
        _ if !pattern.is_ascii() && ours.starts_with('E') => theirs.split(' ').take(2).eq(ours.split(' ').take(2)),
        _ => theirs == ours,
    };
    assert!(
        equal,
        "CPython: {theirs}; ours: {ours}; flags {letters:?} pattern {pattern:?} text {text:?}"
    );
}
