//! Both programs: ours, and the installed one in a process that stays warm.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use testkit::TempDir;

/// What a run has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The installed `fail2ban-regex`.
pub(crate) struct Oracle {
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    _script: TempDir,
}

impl Oracle {
    /// Starts it in a folder; `None` if there is none, which has been told then.
    pub(crate) fn start(directory: &Path) -> Option<Self> {
        if !testkit::requires(&["fail2ban-regex"]) {
            return None;
        }
        let program = std::env::split_paths(&std::env::var_os("PATH").unwrap())
            .map(|folder| folder.join("fail2ban-regex"))
            .find(|program| program.is_file())
            .unwrap();
        // The Python that has the package is the one its first line names.
        let text = std::fs::read_to_string(&program).unwrap();
        let python = PathBuf::from(text.lines().next().unwrap().strip_prefix("#!").unwrap().trim());
        let script = TempDir::new("regex-oracle");
        let file = script.write("oracle.py", include_str!("oracle.py"));
        let mut process = Command::new(python)
            .arg(file)
            .arg(program)
            .current_dir(directory)
            .env("TZ", "UTC")
            .env("LC_ALL", "C.UTF-8")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Some(Self {
            requests: process.stdin.take().unwrap(),
            answers: BufReader::new(process.stdout.take().unwrap()),
            process,
            _script: script,
        })
    }

    pub(crate) fn run(&mut self, words: &[&str]) -> Said {
        let mut request = format!("{}\n", words.len()).into_bytes();
        for word in words {
            request.extend(format!("{}\n", word.len()).into_bytes());
            request.extend(word.as_bytes());
        }
        self.requests.write_all(&request).unwrap();
        self.requests.flush().unwrap();
        let mut head = String::new();
        self.answers.read_line(&mut head).unwrap();
        let numbers: Vec<usize> = head.split_whitespace().map(|number| number.parse().unwrap()).collect();
        let mut text = |length: usize| {
            let mut bytes = vec![0; length];
            self.answers.read_exact(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        Said {
            code: i32::try_from(numbers[0]).unwrap(),
            out: text(numbers[1]),
            err: text(numbers[2]),
        }
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Our program in the same circumstances.
pub(crate) fn ours(words: &[&str], directory: &Path) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_stockade"))
        .arg0("fail2ban-regex")
        .args(words)
        .current_dir(directory)
        .env("TZ", "UTC")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said {
        code: output.status.code().unwrap(),
        out: text(&output.stdout),
        err: text(&output.stderr),
    }
}
