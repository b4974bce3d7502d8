//! A line as text, and what is left of it when its date is cut out.

use std::ops::Range;

/// Buffers a jail reuses from line to line.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    pub(crate) decoded: String,
    pub(crate) subject: String,
    pub(crate) joint: Vec<u8>,
}

/// The line as text: itself, or with undecodable bytes replaced as Python's `replace` does.
pub(crate) fn decode<'a>(line: &'a [u8], buffer: &'a mut String) -> &'a str {
    if let Ok(text) = std::str::from_utf8(line) {
        return text;
    }
    buffer.clear();
    for chunk in line.utf8_chunks() {
        buffer.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            buffer.push(char::REPLACEMENT_CHARACTER);
        }
    }
    buffer
}

/// What the rules see: the line without its date, joined without a separator, and a line end.
pub(crate) fn subject<'a>(text: &str, cut: &Range<usize>, buffer: &'a mut String) -> &'a str {
    buffer.clear();
    buffer.push_str(text.get(..cut.start).unwrap_or(""));
    buffer.push_str(text.get(cut.end..).unwrap_or(text));
    buffer.push('\n');
    buffer
}
