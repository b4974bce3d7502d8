//! The glob language of `logpath`, one path component at a time: `*`, `?`, `[abc]`, `[a-z]`, `[!x]`.
//!
//! As Python's `glob` has it: a leading dot must be written out, `**` is no more than `*`, a class that is not closed
//! stands for itself, and there is no escape but a class.

use std::ffi::OsStr;

/// Whether a path component is a pattern rather than a name.
pub(crate) fn is_pattern(component: &OsStr) -> bool {
    component
        .as_encoded_bytes()
        .iter()
        .any(|byte| matches!(byte, b'*' | b'?' | b'['))
}

/// Whether a file name fits a pattern.
pub(crate) fn fits(pattern: &OsStr, name: &OsStr) -> bool {
    let pattern: Vec<char> = pattern.to_string_lossy().chars().collect();
    let name: Vec<char> = name.to_string_lossy().chars().collect();
    if name.first() == Some(&'.') && pattern.first() != Some(&'.') {
        return false;
    }
    fits_chars(&pattern, &name)
}

/// Linear in memory, at worst quadratic in time: only the last `*` is ever tried again.
fn fits_chars(pattern: &[char], name: &[char]) -> bool {
    let (mut at, mut place) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let fitting = match (pattern.get(at), name.get(place)) {
            (None, None) => return true,
            (Some('*'), _) => {
                retry = Some((at, place));
                at += 1;
                continue;
            }
            (_, None) | (None, _) => None,
            (Some('?'), Some(_)) => Some(1),
            (Some('['), Some(&letter)) => match class(pattern.get(at + 1..).unwrap_or_default(), letter) {
                Some((length, true)) => Some(length + 1),
                Some((_, false)) => None,
                None => (letter == '[').then_some(1),
            },
            (Some(expected), Some(letter)) => (expected == letter).then_some(1),
        };
        if let Some(length) = fitting {
            at += length;
            place += 1;
        } else if let Some((star, from)) = retry
            && from < name.len()
        {
            retry = Some((star, from + 1));
            at = star + 1;
            place = from + 1;
        } else {
            return false;
        }
    }
}

/// The length of a class after its `[`, and whether it holds the letter; `None` if it is not closed.
fn class(pattern: &[char], letter: char) -> Option<(usize, bool)> {
    let negated = pattern.first() == Some(&'!');
    let begin = usize::from(negated);
    // A `]` right after the opening is a member.
    let close = pattern.iter().skip(begin + 1).position(|&c| c == ']')? + begin + 1;
    let mut members = pattern.get(begin..close)?;
    let mut held = false;
    loop {
        members = match members {
            [from, '-', to, rest @ ..] => {
                held |= (*from..=*to).contains(&letter);
                rest
            }
            [one, rest @ ..] => {
                held |= *one == letter;
                rest
            }
            [] => return Some((close + 1, held != negated)),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn names_fit_as_python_says() {
        let patterns = [
            "*",
            "*.log",
            "a*c",
            "a**c",
            "?",
            "a?c",
            "[abc]x",
            "[!abc]x",
            "[a-c]x",
            "[]]x",
            "[!]]x",
            "[a",
            "[",
            "a[",
            "[-a]x",
            "[a-]x",
            ".*",
            "[.]x",
            "*a*b*",
            "ä?",
            "log.[0-9]*",
            "[z-a]x",
            "[!a",
            "x[[]y",
            "*[!.gz]",
        ];
        let names = [
            "", "a", "ac", "abc", "abbc", "x.log", ".log", ".x", "ax", "bx", "dx", "]x", "-x", "[a", "[", "a[", "aXb",
            "xaxbx", "äö", "ä", "log.1", "log.10", "log.gz", "x[y", "[!a", "aab", "ab",
        ];
        let script = "import sys, os, glob, tempfile\n\
            patterns, names = [part.split('\\x01') for part in sys.argv[1].split('\\x02')]\n\
            d = tempfile.mkdtemp()\n\
            for n in names:\n    n and open(os.path.join(d, n), 'w')\n\
            for p in patterns:\n    found = set(os.path.basename(f) for f in glob.glob(os.path.join(glob.escape(d), p)))\n\
            \x20   print(''.join('1' if n in found else '0' for n in names))\n\
            __import__('shutil').rmtree(d)\n";
        let argument = format!("{}\x02{}", patterns.join("\x01"), names.join("\x01"));
        let Ok(output) = Command::new("python3").args(["-c", script, &argument]).output() else {
            testkit::skip("python3 is not installed");
            return;
        };
        let expected = String::from_utf8(output.stdout).unwrap();
        assert_eq!(
            expected.lines().count(),
            patterns.len(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        for (pattern, row) in patterns.iter().zip(expected.lines()) {
            for (name, flag) in names.iter().zip(row.chars()).filter(|(name, _)| !name.is_empty()) {
                let fit = if is_pattern(pattern.as_ref()) {
                    fits(pattern.as_ref(), name.as_ref())
                } else {
                    pattern == name
                };
                assert_eq!(fit, flag == '1', "{pattern} and {name}");
            }
        }
    }
}
