//! Values as Python shows them.
//!
//! `-d` prints commands so, `banned` prints its answer so, and scripts read both.

use std::fmt;

use crate::{RemoteError, Value};

impl fmt::Display for Value {
    /// `str(value)`: text as it is, everything else as [`repr`] shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Str(text) | Self::Addr(text) => f.write_str(text),
            other => f.write_str(&repr(other)),
        }
    }
}

/// `repr(value)`.
pub fn repr(value: &Value) -> String {
    let mut out = String::new();
    write_repr(value, &mut out);
    out
}

/// `repr(exception)`, as the server logs it.
pub fn repr_error(error: &RemoteError) -> String {
    let mut out = error.class.name().to_owned();
    out.push('(');
    write_items(&error.args, &mut out);
    out.push(')');
    out
}

fn write_repr(value: &Value, out: &mut String) {
    match value {
        Value::None => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Int(number) => out.push_str(&number.to_string()),
        Value::Float(number) => out.push_str(&repr_float(*number)),
        Value::Str(text) | Value::Addr(text) => write_text(text, out),
        Value::Bytes(bytes) => write_bytes(bytes, out),
        Value::List(items) => {
            out.push('[');
            write_items(items, out);
            out.push(']');
        }
        Value::Tuple(items) => {
            out.push('(');
            write_items(items, out);
            if items.len() == 1 {
                out.push(',');
            }
            out.push(')');
        }
        Value::Dict(items) => {
            out.push('{');
            for (index, (key, value)) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_repr(key, out);
                out.push_str(": ");
                write_repr(value, out);
            }
            out.push('}');
        }
    }
}

fn write_items(items: &[Value], out: &mut String) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        write_repr(item, out);
    }
}

/// Python prefers single quotes, unless the text has some and no double ones.
fn quote_for(has_single: bool, has_double: bool) -> char {
    if has_single && !has_double { '"' } else { '\'' }
}

fn write_text(text: &str, out: &mut String) {
    let quote = quote_for(text.contains('\''), text.contains('"'));
    out.push(quote);
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if character == quote => {
                out.push('\\');
                out.push(quote);
            }
            ' '..='~' => out.push(character),
            _ if is_printable(character) => out.push(character),
            _ => {
                let code = u32::from(character);
                let (letter, width) = match code {
                    0..=0xff => ('x', 2),
                    0x100..=0xffff => ('u', 4),
                    _ => ('U', 8),
                };
                out.extend(['\\', letter]);
                out.extend(
                    (0..width)
                        .rev()
                        .filter_map(|digit| char::from_digit(code >> (4 * digit) & 0xf, 16)),
                );
            }
        }
    }
    out.push(quote);
}

/// Whether Python shows a character as it is: neither control, format, private, unassigned nor a separator.
///
/// Rust escapes the same categories in its debug output, and combining marks only at the beginning of a text.
fn is_printable(character: char) -> bool {
    let text: String = ['a', character].into_iter().collect();
    text.escape_debug().nth(1) == Some(character)
}

fn write_bytes(bytes: &[u8], out: &mut String) {
    let quote = quote_for(bytes.contains(&b'\''), bytes.contains(&b'"'));
    out.push('b');
    out.push(quote);
    for &byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            _ if char::from(byte) == quote => {
                out.push('\\');
                out.push(quote);
            }
            b' '..=b'~' => out.push(char::from(byte)),
            _ => {
                out.push_str("\\x");
                out.extend(
                    [byte >> 4, byte & 0xf]
                        .into_iter()
                        .filter_map(|half| char::from_digit(half.into(), 16)),
                );
            }
        }
    }
    out.push(quote);
}

/// The shortest digits that mean the number; with an exponent below 1e-4 and from 1e16 on.
fn repr_float(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        format!("{number:?}")
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{mantissa}e{sign}{:02}", exponent.abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_show_as_in_python() {
        let text = |text: &str| Value::from(text);
        for (value, shown) in [
            (Value::None, "None"),
            (Value::Bool(true), "True"),
            (Value::Float(1.5), "1.5"),
            (Value::Float(600.0), "600.0"),
            (Value::Float(1e16), "1e+16"),
            (Value::Float(1e15), "1000000000000000.0"),
            (Value::Float(0.0001), "0.0001"),
            (Value::Float(0.00001), "1e-05"),
            (Value::Float(1.25e-7), "1.25e-07"),
            (text("a'b"), "\"a'b\""),
            (text("a'b\"c"), "'a\\'b\"c'"),
            (
                text("a\\b\n\t\u{1b}\u{a0}é\u{200b}\u{301}"),
                "'a\\\\b\\n\\t\\x1b\\xa0é\\u200b\u{301}'",
            ),
            (Value::Bytes(b"a'\xff".to_vec()), "b\"a'\\xff\""),
            (Value::Tuple(vec![]), "()"),
            (Value::Tuple(vec![Value::Int(1)]), "(1,)"),
            (Value::List(vec![Value::Int(1), text("a")]), "[1, 'a']"),
            (Value::Dict(vec![(text("jp"), Value::List(vec![]))]), "{'jp': []}"),
        ] {
            assert_eq!(repr(&value), shown);
        }
    }

    #[test]
    fn exceptions_show_as_in_python() {
        let error = RemoteError::new(crate::ErrorClass::UnknownJail, "nope");
        assert_eq!(repr_error(&error), "UnknownJailException('nope')");
    }
}
