//! Takes a command line apart as Python's `optparse` does, which scripts that call `fail2ban-regex` are written for: options
//! anywhere between the words, long ones shortened as long as they are clear, short ones bundled, `--` before words only.

use std::ffi::OsString;

/// An option and how it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<T> {
    pub(super) what: T,
    /// `c` for `-c`; 0 for none.
    pub(super) short: char,
    pub(super) long: &'static [&'static str],
    pub(super) takes_value: bool,
}

/// What stands on a command line.
#[derive(Debug)]
pub(super) struct Found<T> {
    /// In order, with their values.
    pub(super) options: Vec<Given<T>>,
    /// What is no option, in order.
    pub(super) words: Vec<String>,
}

/// An option that was given.
#[derive(Debug)]
pub(super) struct Given<T> {
    pub(super) what: T,
    /// As it was written, for messages.
    pub(super) name: String,
    /// Empty for those that take none.
    pub(super) value: String,
}

/// Sorts the words; an error is a sentence about the first one that is wrong. What stood before it is kept in `found`.
pub(super) fn sort<T: Copy>(args: Vec<OsString>, known: &[Known<T>], found: &mut Found<T>) -> Result<(), String> {
    let mut args = args.into_iter().map(|word| word.to_string_lossy().into_owned());
    while let Some(word) = args.next() {
        if word == "--" {
            found.words.extend(args);
            break;
        }
        if let Some(long) = word.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (long, None),
            };
            let (option, name) = by_name(name, known)?;
            let value = match (option.takes_value, value) {
                (true, Some(value)) => value,
                (true, None) => args
                    .next()
                    .ok_or_else(|| format!("--{name} option requires 1 argument"))?,
                (false, None) => String::new(),
                (false, Some(_)) => return Err(format!("--{name} option does not take a value")),
            };
            found.options.push(Given {
                what: option.what,
                name: format!("--{name}"),
                value,
            });
            continue;
        }
        let Some(mut bundle) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
            found.words.push(word);
            continue;
        };
        while let Some(letter) = bundle.chars().next() {
            bundle = bundle.get(letter.len_utf8()..).unwrap_or("");
            let option = known
                .iter()
                .find(|option| option.short == letter)
                .ok_or_else(|| format!("no such option: -{letter}"))?;
            let mut value = String::new();
            if option.takes_value {
                value = match bundle {
                    "" => args
                        .next()
                        .ok_or_else(|| format!("-{letter} option requires 1 argument"))?,
                    rest => rest.to_owned(),
                };
                bundle = "";
            }
            found.options.push(Given {
                what: option.what,
                name: format!("-{letter}"),
                value,
            });
        }
    }
    Ok(())
}

/// The option of a long name, or of the only one that begins so; with its full name.
fn by_name<'a, T>(name: &str, known: &'a [Known<T>]) -> Result<(&'a Known<T>, &'static str), String> {
    let mut fitting: Vec<(&Known<T>, &'static str)> = Vec::new();
    for option in known {
        for long in option.long {
            if *long == name {
                return Ok((option, long));
            }
            if long.starts_with(name) {
                fitting.push((option, long));
            }
        }
    }
    match fitting.as_slice() {
        [] => Err(format!("no such option: --{name}")),
        [only] => Ok(*only),
        several => {
            let mut names: Vec<String> = several.iter().map(|(_, long)| format!("--{long}")).collect();
            names.sort();
            Err(format!("ambiguous option: --{name} ({}?)", names.join(", ")))
        }
    }
}

/// A whole number as `optparse` takes it: decimal, `0x1f`, `0b11`, `017`.
pub(super) fn number(given: &str) -> Option<i64> {
    let text = given.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (digits, base) = if let Some(digits) = lower.strip_prefix("0x") {
        (digits, 16)
    } else if let Some(digits) = lower.strip_prefix("0b") {
        (digits, 2)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (lower.as_str(), 8)
    } else {
        (lower.as_str(), 10)
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    i64::from_str_radix(digits, base).ok()?.checked_mul(sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[Known<char>] = &[
        Known {
            what: 'v',
            short: 'v',
            long: &["verbose"],
            takes_value: false,
        },
        Known {
            what: 'd',
            short: '\0',
            long: &["verbose-date", "VD"],
            takes_value: false,
        },
        Known {
            what: 'o',
            short: 'o',
            long: &["out"],
            takes_value: true,
        },
    ];

    fn shown(words: &[&str]) -> String {
        let mut found = Found {
            options: Vec::new(),
            words: Vec::new(),
        };
        let sorted = sort(words.iter().map(OsString::from).collect(), KNOWN, &mut found);
        let options: Vec<_> = found
            .options
            .iter()
            .map(|given| format!("{}{}={}", given.what, given.name, given.value))
            .collect();
        format!("{options:?} {:?} {sorted:?}", found.words)
    }

    #[test]
    fn command_lines_are_taken_apart_as_optparse_does() {
        for (words, outcome) in [
            (&["a", "-vo", "x", "b"][..], r#"["v-v=", "o-o=x"] ["a", "b"] Ok(())"#),
            (&["-void"], r#"["v-v=", "o-o=id"] [] Ok(())"#),
            (&["--out=a=b", "--o", "c"], r#"["o--out=a=b", "o--out=c"] [] Ok(())"#),
            (&["-", "--", "-v"], r#"[] ["-", "-v"] Ok(())"#),
            (&["--verbose"], r#"["v--verbose="] [] Ok(())"#),
            (
                &["--verb"],
                r#"[] [] Err("ambiguous option: --verb (--verbose, --verbose-date?)")"#,
            ),
            (&["-v", "-x"], r#"["v-v="] [] Err("no such option: -x")"#),
            (&["--out"], r#"[] [] Err("--out option requires 1 argument")"#),
            (&["--VD=1"], r#"[] [] Err("--VD option does not take a value")"#),
        ] {
            assert_eq!(shown(words), outcome, "{words:?}");
        }
    }

    #[test]
    fn numbers_are_those_of_optparse() {
        for (text, value) in [
            ("12", Some(12)),
            ("-3", Some(-3)),
            (" 7 ", Some(7)),
            ("0x1F", Some(31)),
            ("0b11", Some(3)),
            ("017", Some(15)),
            ("0", Some(0)),
            ("x", None),
            ("", None),
            ("--1", None),
            ("9999999999999999999", None),
        ] {
            assert_eq!(number(text), value, "{text}");
        }
    }
}
