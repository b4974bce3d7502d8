//! A mail as text: headers that stay headers, and a body that any mail server takes.

use std::fmt::Write as _;

use stockade_core::Timestamp;

/// Lines longer than this may not be sent as they are: RFC 5321 ends them at 998 bytes.
const LONGEST_LINE: usize = 900;

pub(crate) struct Message<'a> {
    pub(crate) from_name: &'a str,
    pub(crate) from: &'a str,
    pub(crate) to: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) body: &'a str,
    pub(crate) date: Timestamp,
}

impl Message<'_> {
    /// The mail, lines ended by `\n`.
    pub(crate) fn text(&self) -> String {
        let plain = self.body.is_ascii() && self.body.lines().all(|line| line.len() <= LONGEST_LINE);
        let charset = if self.body.is_ascii() { "us-ascii" } else { "utf-8" };
        let encoding = if plain { "7bit" } else { "base64" };
        let mut text = format!(
            "Content-Type: text/plain; charset=\"{charset}\"\nMIME-Version: 1.0\nContent-Transfer-Encoding: {encoding}\n"
        );
        for (name, value) in [
            ("Subject", encoded(self.subject)),
            (
                "From",
                format!("{}{}", display_name(self.from_name), bracketed(self.from)),
            ),
            ("To", encoded(self.to)),
            ("Date", date(self.date)),
        ] {
            let _ = writeln!(text, "{name}: {value}");
        }
        text.push('\n');
        if plain {
            text.push_str(self.body);
        } else {
            let code = base64(self.body.as_bytes());
            for line in code.as_bytes().chunks(76) {
                text.push_str(&String::from_utf8_lossy(line));
                text.push('\n');
            }
        }
        text
    }
}

/// The bare address of `Name <address>` or `address`; `None` if it would not stay one word of a command.
pub(crate) fn address(text: &str) -> Option<&str> {
    let bare = match text.split_once('<') {
        Some((_, rest)) => rest.trim_end().strip_suffix('>')?,
        None => text.trim(),
    };
    let sound = |c: char| c.is_ascii_graphic() && !matches!(c, '<' | '>' | ',');
    (!bare.is_empty() && bare.len() <= 320 && bare.chars().all(sound)).then_some(bare)
}

/// The addresses of a list with commas between; `None` for what is no address.
pub(crate) fn recipients(text: &str) -> Vec<Option<&str>> {
    text.split(',')
        .filter(|part| !part.trim().is_empty())
        .map(address)
        .collect()
}

fn bracketed(from: &str) -> String {
    format!("<{}>", address(from).unwrap_or_default())
}

/// A name before an address: in quotation marks where it has characters that mean something to mail programs.
fn display_name(name: &str) -> String {
    let mut name = if !name.is_ascii() {
        encoded(name)
    } else if name.contains(['[', ']', '\\', '(', ')', '<', '>', '@', ',', ':', ';', '"', '.']) {
        format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        name.to_owned()
    };
    if !name.is_empty() {
        name.push(' ');
    }
    name
}

/// A header's value on one line of ASCII; other characters in encoded words (RFC 2047), and nothing that could end the header.
fn encoded(text: &str) -> String {
    let clean: String = text.chars().filter(|c| !c.is_control()).take(400).collect();
    if clean.is_ascii() {
        return clean;
    }
    let mut words: Vec<String> = vec![String::new()];
    for c in clean.chars() {
        match words.last_mut() {
            // A word has at most 75 characters: 45 bytes become 60.
            Some(word) if word.len() + c.len_utf8() <= 45 => word.push(c),
            _ => words.push(c.to_string()),
        }
    }
    let words = words
        .iter()
        .map(|word| format!("=?utf-8?b?{}?=", base64(word.as_bytes())));
    words.collect::<Vec<_>>().join("\n ")
}

/// RFC 4648.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |place: usize| usize::from(three.get(place).copied().unwrap_or_default());
        let all = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let sign = SIGNS.get(all >> (18 - 6 * place) & 63).copied().map_or('=', char::from);
            text.push(if place <= three.len() { sign } else { '=' });
        }
    }
    text
}

/// `Mon, 23 Nov 2026 00:13:49 -0000`, the form for times whose zone is not told.
fn date(at: Timestamp) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (days, seconds) = (at.secs().div_euclid(86_400), at.secs().rem_euclid(86_400));
    // The calendar repeats every 400 years; counted from the first of March of the year 0, leap days come last.
    let since = days + 719_468;
    let (era, day) = (since.div_euclid(146_097), since.rem_euclid(146_097));
    let year_of_era = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = (shifted + 2) % 12;
    let year = era * 400 + year_of_era + i64::from(month < 2);
    let named = |list: &'static [&str], place: i64| {
        usize::try_from(place)
            .ok()
            .and_then(|place| list.get(place))
            .copied()
            .unwrap_or_default()
    };
    format!(
        "{}, {day:02} {} {year:04} {:02}:{:02}:{:02} -0000",
        named(&DAYS, days.rem_euclid(7)),
        named(&MONTHS, month),
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_dates_as_pythons_formatdate_does() {
        // python3 -c 'import email.utils; print(email.utils.formatdate(N))'
        for (secs, expected) in [
            (0, "Thu, 01 Jan 1970 00:00:00 -0000"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 -0000"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 -0000"),
            (1_795_392_829, "Mon, 23 Nov 2026 00:13:49 -0000"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 -0000"),
        ] {
            assert_eq!(date(Timestamp::from_secs(secs)), expected);
        }
    }

    #[test]
    fn encodes_base64_as_rfc_4648_does() {
        for (text, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(text.as_bytes()), expected);
        }
    }

    #[test]
    fn takes_one_word_for_an_address_and_nothing_else() {
        assert_eq!(address("Ops <ops@example.org> "), Some("ops@example.org"));
        assert_eq!(address(" root "), Some("root"));
        for bad in ["", "a b", "a>b", "<a", "<>", "a\r\nDATA", "ä@example.org"] {
            assert_eq!(address(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn keeps_every_header_one_header() {
        let message = Message {
            from_name: "A, \"B\"",
            from: "a@example.org",
            to: "root",
            subject: "banned x\r\nBcc: you@example.org\r\n\r\nü",
            body: &"é".repeat(2000),
            date: Timestamp::from_secs(0),
        };
        let text = message.text();
        assert!(text.contains("\nFrom: \"A, \\\"B\\\"\" <a@example.org>\n"), "{text}");
        assert!(!text.contains("\nBcc"), "{text}");
        assert!(text.lines().all(|line| line.len() <= 78 && line.is_ascii()), "{text}");
    }
}
