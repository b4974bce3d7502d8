//! The column `data`: what is known of a ban beside who and when, as JSON.
//!
//! Fail2Ban writes a blob with `matches`, `failures` and the captured fields; the first line is a list of what stands before its date, the date
//! and what follows, as long as it is the line that began the count. Seen on 1.0.2.

use std::fmt::Write as _;

use serde_json::Value;
use stockade_core::{Ban, Fields, LineText};

/// More than this is not looked at: nobody's log lines are so long.
const LONGEST: usize = 4 << 20;
const LONGEST_TEXT: usize = 64 << 10;
const MOST_MATCHES: usize = 1000;
const MOST_FIELDS: usize = 100;

/// What the column says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Data {
    pub(crate) failures: u32,
    pub(crate) matches: Vec<LineText>,
    pub(crate) fields: Fields,
}

/// Writes the column; of the log lines the last `max_matches`.
pub(crate) fn write(ban: &Ban, max_matches: usize) -> Vec<u8> {
    let mut json = String::from("{\"matches\": [");
    let first = ban.matches.len().saturating_sub(max_matches);
    let whole = first == 0 && u32::try_from(ban.matches.len()) == Ok(ban.failures);
    for (number, line) in ban.matches.iter().skip(first).enumerate() {
        if number > 0 {
            json.push_str(", ");
        }
        let parts = (whole && number == 0).then(|| parts(line)).flatten();
        match parts {
            Some([before, date, after]) => {
                // Writing to a String cannot fail.
                let _ = write!(json, "[{}, {}, {}]", quoted(before), quoted(date), quoted(after));
            }
            None => json.push_str(&quoted(&line.text)),
        }
    }
    let _ = write!(json, "], \"failures\": {}", ban.failures);
    for (name, value) in ban.fields.iter() {
        let _ = write!(json, ", {}: {}", quoted(name), quoted(value));
    }
    json.push('}');
    json.into_bytes()
}

fn parts(line: &LineText) -> Option<[&str; 3]> {
    if line.date.is_empty() {
        return None;
    }
    Some([
        line.text.get(..line.date.start)?,
        line.text.get(line.date.clone())?,
        line.text.get(line.date.end..)?,
    ])
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Reads the column; what cannot be understood is left out.
pub(crate) fn read(bytes: &[u8]) -> Data {
    let mut data = Data::default();
    if bytes.len() > LONGEST {
        return data;
    }
    let Ok(Value::Object(object)) = serde_json::from_str(&String::from_utf8_lossy(bytes)) else {
        return data;
    };
    for (name, value) in &object {
        match (name.as_str(), value) {
            ("matches", Value::Array(lines)) => {
                let from = lines.len().saturating_sub(MOST_MATCHES);
                data.matches = lines.iter().skip(from).filter_map(line).collect();
            }
            ("failures", Value::Number(number)) => {
                let count = number.as_i64().unwrap_or(0).max(0);
                data.failures = u32::try_from(count).unwrap_or(u32::MAX);
            }
            ("matches" | "failures", _) => {}
            (name, value) if data.fields.iter().count() < MOST_FIELDS && name.len() <= 100 => {
                if let Some(text) = field(value) {
                    data.fields.set(name, &text);
                }
            }
            _ => {}
        }
    }
    data
}

fn line(value: &Value) -> Option<LineText> {
    let (text, date) = match value {
        Value::String(text) => (text.clone(), 0..0),
        Value::Array(parts) => {
            let parts: Vec<&str> = parts.iter().map(|part| part.as_str().unwrap_or_default()).collect();
            let [before, date, _] = parts.as_slice() else {
                return Some(LineText {
                    text: cut(&parts.concat()).into(),
                    date: 0..0,
                });
            };
            (parts.concat(), before.len()..before.len() + date.len())
        }
        _ => return None,
    };
    let text = cut(&text);
    let date = if date.end <= text.len() { date } else { 0..0 };
    Some(LineText {
        text: text.into(),
        date,
    })
}

fn field(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(cut(text).to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(true) => Some("True".to_owned()),
        Value::Bool(false) => Some("False".to_owned()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(LONGEST_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockade_core::{FailureId, Seconds, Timestamp, Until};

    fn line_of(text: &str, date: std::ops::Range<usize>) -> LineText {
        LineText {
            text: text.into(),
            date,
        }
    }

    fn ban(matches: Vec<LineText>, failures: u32) -> Ban {
        let mut fields = Fields::default();
        fields.set("user", "joe");
        fields.set("ip4", "192.0.2.7");
        Ban {
            id: FailureId::parse("192.0.2.7"),
            since: Timestamp::from_secs(1_795_379_470),
            until: Until::At(Timestamp::from_secs(1_795_380_070)),
            bantime: Seconds(600),
            failures,
            matches,
            fields,
            count: 1,
            restored: false,
        }
    }

    #[test]
    fn writes_the_bytes_that_fail2ban_1_0_2_writes() {
        let text = "2026-11-22 20:31:10 fail user joe from 192.0.2.7 x\"é\\y";
        let lines = vec![line_of(text, 0..19); 3];
        // Recorded from 1.0.2 with such a log.
        let expected = r#"{"matches": [["", "2026-11-22 20:31:10", " fail user joe from 192.0.2.7 x\"é\\y"], "2026-11-22 20:31:10 fail user joe from 192.0.2.7 x\"é\\y", "2026-11-22 20:31:10 fail user joe from 192.0.2.7 x\"é\\y"], "failures": 3, "user": "joe", "ip4": "192.0.2.7"}"#;
        assert_eq!(String::from_utf8(write(&ban(lines.clone(), 3), 10)).unwrap(), expected);
        let later = write(&ban(lines.clone(), 7), 10);
        assert!(
            !String::from_utf8(later)
                .unwrap()
                .contains('['.to_string().repeat(2).as_str())
        );
        let none = r#"{"matches": [], "failures": 3, "user": "joe", "ip4": "192.0.2.7"}"#;
        assert_eq!(String::from_utf8(write(&ban(lines, 3), 0)).unwrap(), none);
    }

    #[test]
    fn reads_what_it_writes() {
        let lines = vec![line_of("x Nov 22 a\tb\u{1}", 2..8), line_of("ü", 0..0)];
        let ban = ban(lines, 2);
        let data = read(&write(&ban, 10));
        assert_eq!(data.matches, ban.matches);
        assert_eq!(data.failures, 2);
        assert_eq!(data.fields.get("user"), Some("joe"));
    }

    #[test]
    fn whatever_stands_there_is_read_as_far_as_it_makes_sense() {
        for (name, text, failures, matches) in [
            ("nothing", "", 0, 0),
            ("no JSON", "{'matches': []}", 0, 0),
            ("another type", "[1, 2]", 0, 0),
            ("cut off", r#"{"matches": ["a"#, 0, 0),
            (
                "wrong types",
                r#"{"matches": 7, "failures": "many", "user": ["x"]}"#,
                0,
                0,
            ),
            (
                "lists of all lengths",
                r#"{"matches": [[], ["a"], ["a", 1, "c"], null, {}], "failures": 2}"#,
                2,
                3,
            ),
            ("negative", r#"{"failures": -4}"#, 0, 0),
            (
                "too large",
                r#"{"failures": 99999999999, "matches": ["a"]}"#,
                u32::MAX,
                1,
            ),
            ("too deep", &"[".repeat(100_000), 0, 0),
        ] {
            let data = read(text.as_bytes());
            assert_eq!((data.failures, data.matches.len()), (failures, matches), "{name}");
        }
        assert_eq!(read(b"{\"user\": \"a\xff\"}").fields.get("user"), Some("a\u{fffd}"));
        let long = format!(r#"{{"matches": ["{}"]}}"#, "ü".repeat(100_000));
        assert_eq!(read(long.as_bytes()).matches[0].text.len(), 64 << 10);
    }
}
