//! Commands as `--dp` prints them: Python's `pprint` with an indent of 2 and lines of up to 1000 characters.

use stockade_protocol::{Value, repr};

const WIDTH: usize = 1000;
const INDENT: usize = 2;

/// A command over as many lines as it needs.
pub(crate) fn pretty(command: &[Value]) -> String {
    let mut out = String::new();
    // Only the lengths matter, so a copy of the command is spared.
    let flat: Vec<String> = command.iter().map(repr).collect();
    if fits(&format!("[{}]", flat.join(", ")), 0, 0) {
        out.push('[');
        out.push_str(&flat.join(", "));
        out.push(']');
    } else {
        items(&mut out, command, 0, 0);
    }
    out
}

fn fits(text: &str, indent: usize, allowance: usize) -> bool {
    text.chars().count() + indent + allowance <= WIDTH
}

/// A list with one item on each line. `allowance` is what follows it on its last line.
fn items(out: &mut String, values: &[Value], indent: usize, allowance: usize) {
    let indent = indent + INDENT;
    out.push('[');
    out.push_str(&" ".repeat(INDENT - 1));
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push_str(",\n");
            out.push_str(&" ".repeat(indent));
        }
        let last = index + 1 == values.len();
        item(out, value, indent, if last { allowance + 1 } else { 1 });
    }
    out.push(']');
}

fn item(out: &mut String, value: &Value, indent: usize, allowance: usize) {
    let flat = repr(value);
    match value {
        _ if fits(&flat, indent, allowance) => out.push_str(&flat),
        Value::List(values) if !values.is_empty() => items(out, values, indent, allowance),
        Value::Str(text) => {
            let pieces = pieces(text, indent, allowance);
            out.push_str(&pieces.join(&format!("\n{}", " ".repeat(indent))));
        }
        _ => out.push_str(&flat),
    }
}

/// A long text as several that Python joins: lines, and what of them does not fit in a line is parted behind blanks.
fn pieces(text: &str, indent: usize, allowance: usize) -> Vec<String> {
    let shown = |text: &str| repr(&Value::from(text));
    let length = |text: &str| shown(text).chars().count();
    let width = WIDTH.saturating_sub(indent);
    let mut pieces = Vec::new();
    let lines = lines(text);
    for (index, line) in lines.iter().enumerate() {
        let last = index + 1 == lines.len();
        if length(line) <= width.saturating_sub(if last { allowance } else { 0 }) {
            pieces.push(shown(line));
            continue;
        }
        let words = words(line);
        let mut current = String::new();
        for (index, word) in words.iter().enumerate() {
            let end = last && index + 1 == words.len();
            let candidate = format!("{current}{word}");
            if length(&candidate) > width.saturating_sub(if end { allowance } else { 0 }) {
                if !current.is_empty() {
                    pieces.push(shown(&current));
                }
                (*word).clone_into(&mut current);
            } else {
                current = candidate;
            }
        }
        if !current.is_empty() {
            pieces.push(shown(&current));
        }
    }
    pieces
}

/// Lines with what ends them, as `str.splitlines(True)` parts them.
fn lines(text: &str) -> Vec<&str> {
    let ends = |c: char| {
        matches!(
            c,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(ends) {
        let end = rest.get(at..).unwrap_or_default();
        let length = if end.starts_with("\r\n") {
            2
        } else {
            end.chars().next().map_or(0, char::len_utf8)
        };
        let Some((line, after)) = rest.split_at_checked(at + length) else {
            break;
        };
        lines.push(line);
        rest = after;
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

/// Words with the blanks behind them; blanks at the beginning are a piece of their own.
fn words(line: &str) -> Vec<&str> {
    let blank = |c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c);
    let mut words = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let word = rest.find(blank).unwrap_or(rest.len());
        let behind = rest.get(word..).unwrap_or_default();
        let blanks = behind.find(|c| !blank(c)).unwrap_or(behind.len());
        let Some((piece, after)) = rest.split_at_checked(word + blanks) else {
            break;
        };
        words.push(piece);
        rest = after;
    }
    words
}
