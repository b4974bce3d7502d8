//! A line in pieces: words that have to be there, numbers that may differ, and text that somebody else chose.

use std::net::IpAddr;
use std::ops::Range;

use super::line::Line;

/// A piece of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Has to be there.
    Literal(String),
    /// More than one blank.
    Blanks,
    Number,
    Hexadecimal,
    /// A mark of letters and digits in turns, as a mail's or a session's.
    Mark,
    /// An address that is not to be banned.
    Address,
    /// A month or day of the week, in a second date.
    Name,
    /// Somebody else's text.
    Anything,
    /// What may stand before an address of IPv4 in one of IPv6.
    Mapping,
    /// Whom to ban.
    Culprit,
}

/// What somebody else chose is expected behind these, if `=` or `:` follows.
const USERS: [&str; 9] = [
    "user", "username", "login", "logname", "account", "acct", "email", "userid", "mailbox",
];
/// Never a name where one is looked for.
const NO_NAMES: [&str; 22] = [
    "a",
    "an",
    "and",
    "authentication",
    "from",
    "does",
    "failed",
    "failure",
    "has",
    "in",
    "invalid",
    "is",
    "login",
    "no",
    "not",
    "of",
    "password",
    "the",
    "unknown",
    "user",
    "was",
    "with",
];
/// A name ends before these.
const AFTER_NAMES: [&str; 6] = ["from", "at", "on", "via", "by", "with"];
/// Numbers behind these tell what happened.
const CODES: [&str; 9] = [
    "code", "status", "error", "err", "errno", "result", "rc", "reason", "http",
];
const DATE_NAMES: &str = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec Mon Tue Wed Thu Fri Sat Sun";

/// The addresses in a text, by themselves and not as part of a word.
pub(super) fn addresses(text: &str) -> Vec<(Range<usize>, IpAddr)> {
    let mut found: Vec<(Range<usize>, IpAddr)> = Vec::new();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    for (start, character) in text.char_indices() {
        if found.last().is_some_and(|(last, _)| start < last.end)
            || !(character.is_ascii_hexdigit() || character == ':')
        {
            continue;
        }
        let (before, from) = text.split_at(start);
        let previous = before.chars().next_back();
        if previous.is_some_and(|c| is_word(c) || c == '.') {
            continue;
        }
        let run = from
            .find(|c: char| !(c.is_ascii_hexdigit() || c == '.' || c == ':'))
            .unwrap_or(from.len());
        let ends = (2..=run.min(50)).rev();
        let parsed = ends.filter_map(|end| {
            let (address, after) = from.split_at_checked(end)?;
            let mut after = after.chars();
            let stands_alone = match after.next() {
                Some('.') => !after.next().is_some_and(is_word),
                Some('-') => !after.next().is_some_and(is_word),
                next => !next.is_some_and(is_word),
            };
            let has_digit = address.contains(|c: char| c.is_ascii_digit());
            let address: IpAddr = address.parse().ok().filter(|_| stands_alone && has_digit)?;
            Some((start..start + end, address))
        });
        found.extend(parsed.take(1));
    }
    found
}

/// A line's content in pieces, with their places in it.
pub(super) fn of(line: &Line) -> Vec<(Piece, Range<usize>)> {
    let content = line.content();
    let culprit = line.address.map(|_| line.inside(&line.place));
    let mut others: Vec<Range<usize>> = line.marked.iter().map(|range| line.inside(range)).collect();
    let mut addresses: Vec<Range<usize>> = addresses(&content).into_iter().map(|(place, _)| place).collect();
    let meets = |a: &Range<usize>, b: &Range<usize>| a.start < b.end && b.start < a.end;
    addresses.retain(|address| {
        !culprit.iter().any(|culprit| meets(culprit, address)) && !others.iter().any(|other| meets(other, address))
    });
    for guess in names(&content) {
        let taken = others
            .iter()
            .chain(&culprit)
            .chain(&addresses)
            .any(|other| meets(other, &guess) || other.start == guess.start);
        if !taken {
            others.push(guess);
        }
    }
    others.sort_by_key(|range| range.start);
    let mut pieces: Vec<(Piece, Range<usize>)> = Vec::new();
    let mut at = 0;
    let mut others = others.into_iter().peekable();
    while at <= content.len() {
        if let Some(other) = others.next_if(|other| other.start <= at) {
            pieces.push((Piece::Anything, at..other.end.max(at)));
            at = other.end.max(at);
            continue;
        }
        if at == content.len() {
            break;
        }
        let known = [(culprit.as_ref(), Piece::Culprit)].into_iter();
        let mut known = known.chain(addresses.iter().map(|address| (Some(address), Piece::Address)));
        if let Some(place) = culprit.as_ref().filter(|place| place.start == at)
            && let Some((mapping, rest)) = content.get(place.clone()).and_then(|text| text.split_at_checked(7))
            && mapping.eq_ignore_ascii_case("::ffff:")
            && rest.contains('.')
        {
            pieces.push((Piece::Mapping, at..at + mapping.len()));
            pieces.push((Piece::Culprit, at + mapping.len()..place.end));
            at = place.end;
            continue;
        }
        if let Some((place, piece)) =
            known.find_map(|(place, piece)| Some((place.filter(|place| place.start == at)?, piece)))
        {
            at = place.end;
            pieces.push((piece, place.clone()));
            continue;
        }
        // A word ends where something known begins.
        let next = others.peek().map_or(content.len(), |other| other.start);
        let next = culprit
            .iter()
            .chain(&addresses)
            .map(|place| place.start)
            .filter(|start| *start > at)
            .fold(next, usize::min);
        let (piece, length) = word(&content, at, next);
        match (pieces.last_mut(), piece) {
            (Some((Piece::Literal(text), place)), Piece::Literal(more)) => {
                text.push_str(&more);
                place.end = at + length;
            }
            (_, piece) => pieces.push((piece, at..at + length)),
        }
        at += length;
    }
    pieces
}

/// The piece that begins at `at` and ends at `limit` at the latest, and its length.
fn word(content: &str, at: usize, limit: usize) -> (Piece, usize) {
    let (before, rest) = content.split_at_checked(at).unwrap_or((content, ""));
    let rest = rest.get(..limit - at).unwrap_or(rest);
    let length = |part: &dyn Fn(char) -> bool| rest.find(|c: char| !part(c)).unwrap_or(rest.len());
    let text = |length: usize| rest.get(..length).unwrap_or_default().to_owned();
    let blanks = length(&char::is_whitespace);
    if blanks > 0 {
        return if blanks == 1 && rest.starts_with(' ') {
            (Piece::Literal(" ".to_owned()), 1)
        } else {
            (Piece::Blanks, blanks)
        };
    }
    let hexadecimal = length(&|c| c.is_ascii_hexdigit() || c == '-');
    let groups: Vec<usize> = text(hexadecimal).split('-').map(str::len).collect();
    if groups == [8, 4, 4, 4, 12] {
        return (Piece::Hexadecimal, hexadecimal);
    }
    let end = length(&|c| c.is_alphanumeric() || c == '_');
    let word = text(end);
    if word.is_empty() {
        let next = rest.chars().next().map_or(1, char::len_utf8);
        return (Piece::Literal(text(next)), next);
    }
    let is_digits = word.bytes().all(|byte| byte.is_ascii_digit());
    if is_digits {
        let after = rest.get(end..).unwrap_or_default();
        let piece = if is_code(before, &word, after) {
            Piece::Literal(word)
        } else {
            Piece::Number
        };
        return (piece, end);
    }
    let bare = word.strip_prefix("0x").unwrap_or(&word);
    let is_hexadecimal = !bare.is_empty()
        && bare.bytes().all(|byte| byte.is_ascii_hexdigit())
        && (bare.len() < word.len() || bare.len() >= 8 && bare.bytes().any(|byte| byte.is_ascii_digit()));
    if is_hexadecimal {
        return (Piece::Hexadecimal, end);
    }
    let turns = word.as_bytes().windows(2);
    let turns = turns.filter(|pair| pair.iter().filter(|byte| byte.is_ascii_digit()).count() == 1);
    if word.len() >= 8 && word.is_ascii() && turns.count() >= 3 {
        return (Piece::Mark, end);
    }
    let in_date = before.ends_with(|c: char| c.is_ascii_digit() || "[/- ".contains(c))
        && DATE_NAMES.split(' ').any(|name| name == word)
        && rest
            .get(end..)
            .unwrap_or_default()
            .trim_start_matches(['/', '-', ' ', ','])
            .starts_with(|c: char| c.is_ascii_digit());
    if in_date {
        return (Piece::Name, end);
    }
    (Piece::Literal(word), end)
}

/// Whether a number tells what happened, as `401` of HTTP and `535` of SMTP do, and is no size, port or count.
fn is_code(before: &str, number: &str, after: &str) -> bool {
    let open = before.trim_end_matches(['=', ':', ' ', '"', '(', '#']);
    let previous = open.rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    if CODES.iter().any(|code| previous.eq_ignore_ascii_case(code)) && open.len() < before.len() {
        return true;
    }
    // The number behind a code is a size or a count.
    let adjoining = before
        .trim_end_matches(' ')
        .rsplit(|c: char| !c.is_alphanumeric())
        .next();
    if adjoining.is_some_and(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())) {
        return false;
    }
    let behind_request = before
        .strip_suffix("\" ")
        .and_then(|request| request.rsplit(' ').next())
        .is_some_and(|version| version.starts_with("HTTP/"));
    let alone = before.ends_with([' ', '"', '=']) || before.is_empty();
    let ends = after.is_empty() || after.starts_with([' ', '"', ',', '.', '-', ';', ':', ')']);
    behind_request
        || number.len() == 3
            && number.starts_with(['4', '5'])
            && alone
            && ends
            && !previous.eq_ignore_ascii_case("port")
}

/// Where somebody's name, address of mail or browser seems to stand.
fn names(content: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = content.get(at..).filter(|rest| !rest.is_empty()) {
        let next = rest.chars().next().map_or(1, char::len_utf8);
        let starts_word = !content
            .get(..at)
            .unwrap_or_default()
            .ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let name = if starts_word { name_at(content, at) } else { None };
        match name {
            Some(name) => {
                at = name.end.max(at + next);
                found.push(name);
            }
            None => at += next,
        }
    }
    found
}

/// The name that `at` tells of: a key with its value, `for` or `user` with a word, something in quotes, an address of mail.
fn name_at(content: &str, at: usize) -> Option<Range<usize>> {
    let (before, rest) = content.split_at_checked(at)?;
    let end = rest
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(rest.len());
    let key = rest.get(..end)?.to_ascii_lowercase();
    let after = rest.get(end..)?;
    let is_user = USERS.contains(&key.as_str()) || key.ends_with("user") || key.ends_with("username");
    if is_user
        && let Some(separator) = [": ", "\":\"", "\": \"", "=", ":"]
            .into_iter()
            .find(|text| after.starts_with(text))
    {
        let quote = separator.len() - usize::from(separator.ends_with('"'));
        return value(content, at + end + quote, separator == ": ");
    }
    // A web server's log: `ADDRESS - NAME [DATE]`.
    if before.ends_with(" - ")
        && let length = rest.find(' ')?
        && rest.get(length..)?.starts_with(" []")
    {
        return Some(at..at + length);
    }
    if matches!(key.as_str(), "for" | "user") && after.starts_with(' ') {
        let name = after.get(1..)?;
        let length = name.find([' ', ',', ';', '(', '[']).unwrap_or(name.len());
        let (name, behind) = name.split_at_checked(length)?;
        let word = behind.trim_start_matches(' ').split(' ').next().unwrap_or_default();
        let ends = behind.trim().is_empty()
            || behind.trim_start().starts_with([',', ';', '(', '['])
            || AFTER_NAMES.contains(&word);
        let is_name =
            !name.is_empty() && !NO_NAMES.contains(&name) && !name.contains(['\'', '"', '`', '=', ':', '<', '>']);
        if ends && is_name {
            let start = at + end + 1;
            return Some(start..start + length);
        }
    }
    let quote = rest.chars().next().filter(|c| ['\'', '"', '`'].contains(c));
    if let Some(quote) = quote {
        let length = rest.get(1..)?.find(quote)?;
        let inside = rest.get(1..=length)?;
        let behind = rest.get(length + 2..).unwrap_or_default();
        let is_closed = !behind.starts_with(|c: char| c.is_alphanumeric());
        // A value of which the key tells nothing, and a key.
        let is_keyed = before.ends_with(['=', ':']) || before.ends_with(": ") || behind.starts_with([':', '=']);
        let is_browser = inside.split_once('/').is_some_and(|(name, version)| {
            name.bytes().all(|byte| byte.is_ascii_alphanumeric())
                && name != "HTTP"
                && version.starts_with(|c: char| c.is_ascii_digit())
        });
        if is_closed && !is_keyed && (is_browser || !inside.contains(char::is_whitespace)) {
            return Some(at + 1..at + 1 + length);
        }
        return None;
    }
    let length = rest
        .find(|c: char| !(c.is_alphanumeric() || "._%+-@".contains(c)))
        .unwrap_or(rest.len());
    let (user, domain) = rest.get(..length)?.split_once('@')?;
    let is_mail =
        !user.is_empty() && domain.contains('.') && !domain.contains('@') && domain.parse::<IpAddr>().is_err();
    is_mail.then(|| at..at + length - (domain.len() - domain.trim_end_matches('.').len()))
}

/// The value that begins at `at`: in quotes or angle brackets, or up to a blank or what ends a value.
fn value(content: &str, at: usize, is_prose: bool) -> Option<Range<usize>> {
    let rest = content.get(at..)?;
    let blanks = if is_prose {
        rest.len() - rest.trim_start_matches([':', ' ']).len()
    } else {
        usize::from(rest.starts_with(['=', ':']))
    };
    let start = at + blanks;
    let rest = content.get(start..)?;
    for (open, close) in [('\'', '\''), ('"', '"'), ('`', '`'), ('<', '>')] {
        if let Some(inside) = rest.strip_prefix(open) {
            return inside.find(close).map(|length| start + 1..start + 1 + length);
        }
    }
    let length = rest
        .find([' ', ',', ';', ')', ']', '}', '\t', '&'])
        .unwrap_or(rest.len());
    let word = rest.get(..length)?;
    let is_number = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    if is_number || is_prose && (word.is_empty() || NO_NAMES.contains(&word)) {
        return None;
    }
    Some(start..start + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_stand_by_themselves() {
        for (text, expected) in [
            ("from 192.0.2.1: port", &["192.0.2.1"][..]),
            ("x=192.0.2.1:5060>", &["192.0.2.1"]),
            ("[2001:db8::1]:22 ::1", &["2001:db8::1", "::1"]),
            ("::ffff:192.0.2.1.", &["::ffff:192.0.2.1"]),
            ("1.2.3.4.5 v1.2.3.4 1.2.3.4.example.org 13:40:04 std::dec", &[]),
            ("300.1.1.1 1.1.1.300 12:34:56:78:9a:bc", &[]),
            ("address:192.0.2.1", &["192.0.2.1"]),
        ] {
            let found = addresses(text);
            let found: Vec<&str> = found.iter().map(|(place, _)| &text[place.clone()]).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn what_looks_like_a_name_is_found() {
        for (text, expected) in [
            ("Failed password for bob from 192.0.2.1", &["bob"][..]),
            ("Failed password for invalid user bob from 192.0.2.1", &["bob"]),
            ("authentication failed for bob", &["bob"]),
            ("user not found", &[]),
            ("user=bob, login='x y' ruser= rhost=h", &["bob", "x y", ""]),
            ("user=<bob>, method=PLAIN", &["bob"]),
            (r#"{"user":"bob","status":"403","msg":"x"}"#, &["bob"]),
            ("Login of 'bob' can't", &["bob"]),
            (
                r#""GET /a HTTP/1.1" 401 5 "-" "Mozilla/5.0 (X11; y)""#,
                &["-", "Mozilla/5.0 (X11; y)"],
            ),
            ("mail to bob@example.org.", &["bob@example.org"]),
            ("user: bob, x", &["bob"]),
            ("192.0.2.1 - - [] x", &["-"]),
            ("Login: failed", &[]),
        ] {
            let found: Vec<&str> = names(text).into_iter().map(|place| &text[place]).collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
