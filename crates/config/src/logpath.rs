//! `logpath`: which files a jail reads.

use std::fs;
use std::path::{Path, PathBuf};

use crate::diagnostic::Place;

/// One line of `logpath`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPath {
    /// The path as it is written, `*` and all, without the word behind it.
    pub pattern: String,
    /// Where reading begins when the server has no position for the file.
    pub from: From,
    /// The files that match now, in the order of the directory.
    pub files: Vec<String>,
    /// Where the line stands.
    pub place: Place,
}

/// Where reading of a log begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// At its beginning (lines older than `findtime` are passed over).
    Head,
    /// At its end.
    Tail,
}

/// Files that one pattern may match; a pattern that matches more is a slip.
const FILES_LIMIT: usize = 10_000;

impl LogPath {
    /// Reads one line: a path, and perhaps `head` or `tail` after it. Gives back the word if it is another one.
    ///
    /// A path with a blank in it is one for us; Fail2Ban takes what follows the blank for such a word.
    pub(crate) fn parse(line: &str, place: Place) -> Result<Self, String> {
        let line = line.trim();
        let parted = line.rsplit_once(char::is_whitespace);
        let parted = parted.map(|(path, word)| (path.trim_end(), word));
        let (pattern, from) = match parted {
            Some((path, "head")) => (path, From::Head),
            Some((path, "tail")) => (path, From::Tail),
            _ => (line, From::Head),
        };
        let files = expand(pattern);
        if let Some((path, word)) = parted.filter(|_| pattern == line && files.is_empty())
            && !expand(path).is_empty()
        {
            return Err(word.to_owned());
        }
        Ok(Self {
            pattern: pattern.to_owned(),
            from,
            files,
            place,
        })
    }

    /// What the server is told to watch: the files, or the pattern itself while nothing matches it.
    pub fn paths(&self) -> Vec<&str> {
        if self.files.is_empty() {
            vec![&self.pattern]
        } else {
            self.files.iter().map(String::as_str).collect()
        }
    }
}

/// The existing files that `pattern` matches, as Python's `glob` finds them.
pub(crate) fn expand(pattern: &str) -> Vec<String> {
    if !has_magic(pattern) {
        return if Path::new(pattern).exists() {
            vec![pattern.to_owned()]
        } else {
            Vec::new()
        };
    }
    let mut found = vec![PathBuf::new()];
    let mut parts = pattern.split('/').peekable();
    if pattern.starts_with('/') {
        found = vec![PathBuf::from("/")];
    }
    while let Some(part) = parts.next() {
        if part.is_empty() {
            continue;
        }
        let last = parts.peek().is_none();
        found = found
            .iter()
            .flat_map(|directory| step(directory, part, last))
            .take(FILES_LIMIT)
            .collect();
    }
    found
        .into_iter()
        .filter(|path| path.exists())
        .filter_map(|path| path.to_str().map(str::to_owned))
        .collect()
}

/// Whether journald keeps a journal of the system on this machine.
pub(crate) fn has_journal() -> bool {
    let is_journal = |entry: std::io::Result<fs::DirEntry>| {
        entry.is_ok_and(|entry| {
            let name = entry.file_name();
            let name = name.as_encoded_bytes();
            name.starts_with(b"system") && name.ends_with(b".journal")
        })
    };
    ["/run/log/journal", "/var/log/journal"]
        .iter()
        .filter_map(|root| fs::read_dir(root).ok())
        .flatten()
        .filter_map(|folder| fs::read_dir(folder.ok()?.path()).ok())
        .any(|mut entries| entries.any(is_journal))
}

/// Whether a path is a pattern rather than a name.
pub fn has_magic(pattern: &str) -> bool {
    pattern.contains(['*', '?', '['])
}

fn step(directory: &Path, part: &str, last: bool) -> Vec<PathBuf> {
    if !has_magic(part) {
        return vec![directory.join(part)];
    }
    let listed = if directory.as_os_str().is_empty() {
        Path::new(".")
    } else {
        directory
    };
    let Ok(entries) = fs::read_dir(listed) else {
        return Vec::new();
    };
    let pattern: Vec<char> = part.chars().collect();
    entries
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().to_str().map(str::to_owned))
        // Hidden files are found only by a pattern that begins with a dot.
        .filter(|name| part.starts_with('.') || !name.starts_with('.'))
        .filter(|name| matches(&pattern, &name.chars().collect::<Vec<_>>()))
        .map(|name| directory.join(name))
        .filter(|path| last || path.is_dir())
        .take(FILES_LIMIT)
        .collect()
}

/// Whether `name` matches `pattern`, with `*`, `?` and `[…]`; linear but for the last `*`.
fn matches(pattern: &[char], name: &[char]) -> bool {
    let (mut at, mut on) = (0, 0);
    // Where to go on if what follows the last `*` does not match: after the star, one character later in the name.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let rest = pattern.get(at..).unwrap_or_default();
        match (rest.first(), name.get(on)) {
            (None, None) => return true,
            (Some('*'), _) => {
                at += 1;
                retry = Some((at, on));
                continue;
            }
            (Some(_), Some(&character)) => {
                if let Some(length) = matches_one(rest, character) {
                    at += length;
                    on += 1;
                    continue;
                }
            }
            _ => {}
        }
        match retry {
            Some((after, from)) if from < name.len() => {
                at = after;
                on = from + 1;
                retry = Some((after, from + 1));
            }
            _ => return false,
        }
    }
}

/// How many characters of the pattern stand for `character`, if they do.
fn matches_one(pattern: &[char], character: char) -> Option<usize> {
    match pattern {
        ['?', ..] => Some(1),
        ['[', rest @ ..] => {
            let negated = matches!(rest, ['!', ..]);
            let set = rest.get(usize::from(negated)..).unwrap_or_default();
            // A `]` right at the beginning belongs to the set; without a closing one `[` means itself.
            let end = set.iter().skip(1).position(|&c| c == ']').map(|end| end + 1);
            let Some(members) = end.and_then(|end| set.get(..end)) else {
                return (character == '[').then_some(1);
            };
            (in_set(members, character) != negated).then_some(members.len() + usize::from(negated) + 2)
        }
        [plain, ..] => (*plain == character).then_some(1),
        [] => None,
    }
}

fn in_set(members: &[char], character: char) -> bool {
    let mut rest = members;
    loop {
        match rest {
            [low, '-', high, after @ ..] => {
                if (*low..=*high).contains(&character) {
                    return true;
                }
                rest = after;
            }
            [one, after @ ..] => {
                if *one == character {
                    return true;
                }
                rest = after;
            }
            [] => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_names_as_a_shell_does() {
        for (pattern, name, expected) in [
            ("*.log", "a.log", true),
            ("*.log", "a.log.1", false),
            ("a*b*c", "axxbyybzc", true),
            ("a?c", "abc", true),
            ("[a-c]x[!0-9]", "bxq", true),
            ("[a-c]x[!0-9]", "bx5", false),
            ("[]]", "]", true),
            ("[x", "[x", true),
            ("*", "", true),
        ] {
            let (pattern_chars, name_chars): (Vec<_>, Vec<_>) = (pattern.chars().collect(), name.chars().collect());
            assert_eq!(matches(&pattern_chars, &name_chars), expected, "{pattern} {name}");
        }
    }
}
