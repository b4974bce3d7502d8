//! The configuration's language.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fs;
use std::path::{Component, Path, PathBuf};

use stockade_config::{Diagnostic, Overrides, duration, fuzzing, load, options, shell_words, tags};

/// Findings are for a terminal: no control characters, and not without end.
fn presentable(finding: &Diagnostic) {
    let text = finding.to_string();
    assert!(text.len() < 12_000, "a finding of {} bytes", text.len());
    assert!(
        !text.chars().any(|c| c.is_control() && c != '\n'),
        "control characters in {text:?}"
    );
}

/// The line numbers lie in the file, and files with `\r\n` read as those with `\n`.
pub(crate) fn ini(data: &[u8]) {
    let (options, findings) = fuzzing::ini(data);
    let count = data.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() + 1;
    findings.iter().for_each(presentable);
    assert!(findings.len() <= 22, "{} findings", findings.len());
    for (section, option, value, lines) in &options {
        assert!(!section.is_empty() && !option.is_empty());
        assert!(value.len() <= data.len());
        assert!(
            lines
                .iter()
                .all(|&line| line > 0 && usize::try_from(line).is_ok_and(|line| line <= count))
        );
        assert!(lines.is_sorted());
    }
    if !data.contains(&b'\r') {
        let mut other = Vec::new();
        for &byte in data {
            other.extend_from_slice(if byte == b'\n' {
                b"\r\n"
            } else {
                std::slice::from_ref(&byte)
            });
        }
        assert_eq!(fuzzing::ini(&other), (options, findings), "other line ends");
    }
}

/// Two files on top of one another; values stay below their limit.
pub(crate) fn interpolation(data: &[u8]) {
    let [first, second] = super::parts(data);
    for value in fuzzing::interpolate(first.as_bytes(), second.as_bytes()) {
        match value {
            Ok(value) => assert!(value.len() <= 4 << 20, "a value of {} bytes", value.len()),
            Err(finding) => presentable(&finding),
        }
    }
}

/// First line: the text; the others: `tag=value`. What is left has no tag with a known plain value.
pub(crate) fn tags(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.split('\n');
    let first = lines.next().unwrap_or_default();
    let known: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once('=')).collect();
    let lookup = |tag: &str| {
        let found = known.iter().find(|(name, _)| *name == tag);
        found.map(|(_, value)| Cow::Owned((*value).to_owned()))
    };
    if let Ok(result) = tags::substitute(first, lookup) {
        assert!(result.len() <= 3 << 20, "a result of {} bytes", result.len());
        if !tags::has_tags(first) {
            assert_eq!(result, first);
        }
    }
}

/// What is read can be written again and reads the same; a list keeps all but blanks.
pub(crate) fn options(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match options::parse(&text) {
        Ok(read) => {
            let writable = read.options.iter().all(|(_, value)| !value.contains('"')) && read.name.trim() == read.name;
            if writable && !read.options.is_empty() {
                let inner: Vec<String> = read
                    .options
                    .iter()
                    .map(|(name, value)| format!("{name}=\"{value}\""))
                    .collect();
                let again = options::parse(&format!("{}[{}]", read.name, inner.join(", ")));
                assert_eq!(again.as_ref(), Ok(&read));
            }
        }
        Err(error) => drop(error.to_string()),
    }
    // As Python has it, the separators of ASCII are blanks too.
    let is_blank = |c: &char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(c);
    let blank = |text: &str| text.chars().filter(|c| !is_blank(c)).collect::<String>();
    assert_eq!(blank(&options::split_list(&text).concat()), blank(&text));
    // Words of a shell, as `journalmatch` and the prompt have them.
    if let Some(words) = shell_words::split(&text) {
        assert!(words.iter().map(String::len).sum::<usize>() <= text.len());
    }
}

/// A time is finite, and its text is a time again.
pub(crate) fn duration(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match duration::evaluate(&text) {
        Ok(duration::Number::Int(number)) => {
            assert_eq!(duration::parse(&text).map(|span| span.0), Ok(number));
            if number > i64::MIN {
                assert_eq!(duration::parse(&number.to_string()).map(|span| span.0), Ok(number));
            }
        }
        Ok(duration::Number::Float(number)) => assert!(number.is_finite()),
        Err(error) => assert!(error.to_string().len() < 200),
    }
}

/// A scratch folder of this process, in memory where the system has one there.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing depends on it: it lies among temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

thread_local! {
    static SCRATCH: RefCell<Option<Scratch>> = const { RefCell::new(None) };
}

/// A whole configuration: the input is files, each after a line `@@ NAME`. What goes on ends, and what is wrong can be shown.
pub(crate) fn tree(data: &[u8]) {
    SCRATCH.with_borrow_mut(|scratch| {
        let folder = scratch.get_or_insert_with(|| {
            let shared = Path::new("/dev/shm");
            let base = if shared.is_dir() {
                shared.to_owned()
            } else {
                std::env::temp_dir()
            };
            let id = format!("stockade-fuzz-{}-{:?}", std::process::id(), std::thread::current().id());
            Scratch(base.join(id))
        });
        let written = write_tree(&folder.0, data);
        let config = load(&folder.0, &Overrides::default());
        for path in written {
            // A file that stays would only be read by the next input.
            let _ = fs::remove_file(path);
        }
        config.diagnostics.iter().for_each(presentable);
        for jail in &config.jails {
            assert!(
                jail.problem.is_none() || jail.settings.is_empty(),
                "a jail left out has no settings"
            );
            if let Some(problem) = &jail.problem {
                assert!(!problem.is_empty());
            }
        }
    });
}

fn write_tree(folder: &Path, data: &[u8]) -> Vec<PathBuf> {
    let mut written = Vec::new();
    let marked = [b"\n".as_slice(), data].concat();
    let mut rest = marked.as_slice();
    let find = |rest: &[u8]| rest.windows(4).position(|window| window == b"\n@@ ");
    while let Some(at) = find(rest) {
        let after = rest.get(at + 4..).unwrap_or_default();
        let end = after.iter().position(|&byte| byte == b'\n').unwrap_or(after.len());
        let (name, content) = after.split_at(end);
        rest = content;
        let name = Path::new(std::str::from_utf8(name).unwrap_or("jail.local"));
        let plain = name.components().all(|part| matches!(part, Component::Normal(_)));
        if !plain || name.components().count() > 2 || name.as_os_str().is_empty() || written.len() >= 8 {
            continue;
        }
        let path = folder.join(name);
        let made = path.parent().is_some_and(|parent| fs::create_dir_all(parent).is_ok());
        let until = find(content).unwrap_or(content.len());
        let bytes = content.get(1..until.max(1)).unwrap_or_default();
        if made && fs::write(&path, bytes).is_ok() {
            written.push(path);
        }
    }
    written
}
