//! Log lines and fields of a ticket as one piece of bytes.
//!
//! Most addresses fail once and are never banned: what is kept of them must be small. Names and values of fields nearly always stand in the
//! lines, so that only their places are kept; numbers take as many bytes as they need.

use crate::failure::Fields;
use crate::{LineText, Timestamp};

/// Names of fields that need one byte.
const NAMES: &[&str] = &[
    "user", "ip4", "ip6", "dns", "fid", "id", "alt_user", "port", "mlfid", "raw", "alt_ip4", "alt_ip6",
];

/// A value written out, in the place of the number of its line.
const WRITTEN: usize = 0;

/// Lines and fields as bytes.
pub(crate) fn pack(lines: &[LineText], fields: &Fields) -> Vec<u8> {
    if lines.is_empty() && fields.is_empty() {
        return Vec::new();
    }
    let room: usize = lines.iter().map(|line| line.text.len() + 16).sum();
    let mut bytes = Vec::with_capacity(room + 64);
    number(&mut bytes, lines.len());
    for line in lines {
        number(&mut bytes, line.date.start);
        number(&mut bytes, line.date.end);
        text(&mut bytes, &line.text);
    }
    for (name, value) in fields.iter() {
        let known = NAMES.iter().position(|known| *known == name);
        number(&mut bytes, known.map_or(WRITTEN, |place| place + 1));
        if known.is_none() {
            text(&mut bytes, name);
        }
        let found = lines
            .iter()
            .enumerate()
            .find_map(|(index, line)| Some((index + 1, place_of(&line.text, value)?)));
        if let Some((line, at)) = found {
            number(&mut bytes, line);
            number(&mut bytes, at);
            number(&mut bytes, value.len());
        } else {
            number(&mut bytes, WRITTEN);
            text(&mut bytes, value);
        }
    }
    bytes
}

/// Where a value stands in a line, as `str::find` says it, which prepares itself for longer texts than these.
fn place_of(line: &str, value: &str) -> Option<usize> {
    let (line, value) = (line.as_bytes(), value.as_bytes());
    let Some(first) = value.first() else { return Some(0) };
    let mut place = 0;
    loop {
        place += line.get(place..)?.iter().position(|byte| byte == first)?;
        if line.get(place..)?.starts_with(value) {
            return Some(place);
        }
        place += 1;
    }
}

/// What was packed.
pub(crate) fn unpack(bytes: &[u8]) -> (Vec<LineText>, Fields) {
    let mut reader = Reader(bytes);
    let mut fields = Fields::default();
    // What cannot be read cannot be there: it was written above.
    let lines = reader.lines().unwrap_or_default();
    while reader.field(&lines, &mut fields).is_some() {}
    (lines, fields)
}

/// Writes a number in as many bytes as it needs.
pub(crate) fn number(bytes: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or(0);
        value >>= 7;
        if value == 0 {
            return bytes.push(low);
        }
        bytes.push(low | 0x80);
    }
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    number(bytes, text.len());
    bytes.extend_from_slice(text.as_bytes());
}

/// Reads what was written here, and has what is left.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    fn lines(&mut self) -> Option<Vec<LineText>> {
        (0..self.number()?)
            .map(|_| {
                let (start, end) = (self.number()?, self.number()?);
                Some(LineText {
                    text: self.text()?.into(),
                    date: start..end,
                })
            })
            .collect()
    }

    fn field(&mut self, lines: &[LineText], fields: &mut Fields) -> Option<()> {
        let name = match self.number()? {
            WRITTEN => self.text()?,
            known => NAMES.get(known.checked_sub(1)?)?,
        };
        let value = match self.number()? {
            WRITTEN => self.text()?,
            line => {
                let (at, length) = (self.number()?, self.number()?);
                lines.get(line.checked_sub(1)?)?.text.get(at..at.checked_add(length)?)?
            }
        };
        fields.set(name, value);
        Some(())
    }

    pub(crate) fn number(&mut self) -> Option<usize> {
        let mut value = 0;
        for shift in (0..usize::BITS).step_by(7) {
            let (first, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= usize::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// A time, which has eight bytes.
    pub(crate) fn time(&mut self) -> Option<Timestamp> {
        let (micros, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(Timestamp::from_micros(i64::from_le_bytes(*micros)))
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = self.number()?;
        std::str::from_utf8(self.bytes(length)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_where_it_stands_first() {
        for line in [
            "",
            "a",
            "aab",
            "x \u{fc}ber y \u{fc}ber",
            "aaab aab",
            "\u{20ac}\u{20ad}",
        ] {
            for value in ["", "a", "aab", "\u{fc}ber", "b a", "\u{20ad}", "z"] {
                assert_eq!(place_of(line, value), line.find(value), "{value:?} in {line:?}");
            }
        }
    }

    #[test]
    fn what_is_packed_comes_out_as_it_was_and_values_that_stand_in_a_line_take_no_room() {
        let line = |text: &str| LineText {
            text: text.into(),
            date: 0..15.min(text.len()),
        };
        let long = "ä".repeat(5000);
        let lines = [
            line("Nov 22 14:07:54 host sshd[1]: Failed password for joe from 192.0.2.7"),
            line(""),
            line(&long),
        ];
        let mut fields = Fields::default();
        for (name, value) in [
            ("user", "joe"),
            ("ip4", "192.0.2.7"),
            ("empty", ""),
            ("odd name", "elsewhere"),
            ("fid", "\0\n"),
        ] {
            fields.set(name, value);
        }
        for count in 0..=lines.len() {
            let lines = lines.get(..count).unwrap_or_default();
            for fields in [&fields, &Fields::default()] {
                assert_eq!(unpack(&pack(lines, fields)), (lines.to_vec(), fields.clone()));
            }
        }
        let mut two = Fields::default();
        two.set("user", "joe");
        two.set("ip4", "192.0.2.7");
        let first = lines.get(..1).unwrap_or_default();
        assert_eq!(pack(first, &two).len(), 68 + 4 + 2 * 4, "{first:?}");
    }
}
