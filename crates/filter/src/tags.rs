//! `<HOST>`, `<ADDR>`, `<F-USER>…</F-USER>` and the like become parts of a regex (behaviour spec 2.1).
//!
//! The expanded text is what `fail2ban-client get JAIL failregex` shows.

use crate::UseDns;

const IP4: &str = r"(?:::f{4,6}:)?(?P<ip4>(?:\d{1,3}\.){3}\d{1,3})";
const IP6: &str = r"(?P<ip6>(?:[0-9a-fA-F]{1,4}::?|:){1,7}(?:[0-9a-fA-F]{1,4}|(?<=:):))";
const DNS: &str = r"(?P<dns>[\w\-.^_]*\w)";
const CIDR: &str = r"(?P<cidr>\d+)";

/// Replaces all tags; anything in angle brackets that is no tag stays as it is.
pub(crate) fn expand(rule: &str, usedns: UseDns) -> String {
    let rule = local_flags(rule);
    let mut out = String::with_capacity(rule.len() + 200);
    let mut opened: Vec<&str> = Vec::new();
    let mut skiplines = 0_usize;
    let mut rest = rule.as_str();
    while let Some(at) = rest.find('<') {
        let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.push_str(before);
        let tag = from
            .find('>')
            .and_then(|end| Some((from.get(1..end)?, from.get(end + 1..)?)));
        match tag {
            Some(("SKIPLINES", tail)) => {
                for part in [r"\n(?P<skiplines", &skiplines.to_string(), r">(?:(?:.*\n)*?))"] {
                    out.push_str(part);
                }
                skiplines += 1;
                rest = tail;
            }
            Some((name, tail)) => {
                if let Some(text) = replacement(name, usedns, &mut opened) {
                    out.push_str(&text);
                    rest = tail;
                } else {
                    out.push('<');
                    rest = from.get(1..).unwrap_or("");
                }
            }
            None => {
                out.push_str(from);
                return out;
            }
        }
    }
    out.push_str(rest);
    out
}

/// The character of `rule` (from 0) that led to byte `at` of its expansion: the last one before which no more than that is made.
pub(crate) fn before_expansion(rule: &str, at: usize, usedns: UseDns) -> Option<usize> {
    let starts = rule.char_indices().map(|(start, _)| start).enumerate();
    let reached = starts.filter(|&(_, start)| {
        let before = rule.get(..start).unwrap_or_default();
        // A tag cut in two would be text; it belongs to where it begins.
        let in_tag = before.rfind('<') > before.rfind('>') && rule.get(start..).is_some_and(|rest| rest.contains('>'));
        !in_tag && expand(before, usedns).len() <= at
    });
    reached.map(|(character, _)| character).last()
}

fn replacement<'a>(tag: &'a str, usedns: UseDns, opened: &mut Vec<&'a str>) -> Option<String> {
    let addr = || format!(r"\[?(?:{IP4}|{IP6})\]?");
    Some(match tag {
        "HOST" if usedns == UseDns::No => addr(),
        "HOST" => format!("(?:{}|{DNS})", addr()),
        "ADDR" | "F-ADDR/" => addr(),
        "IP4" | "F-IP4/" => IP4.to_owned(),
        "IP6" | "F-IP6/" => IP6.to_owned(),
        "DNS" | "F-DNS/" => DNS.to_owned(),
        "CIDR" | "F-CIDR/" => CIDR.to_owned(),
        "SUBNET" | "F-SUBNET/" => format!(r"\[?(?:{IP4}|{IP6})(?:/{CIDR})?\]?"),
        "F-ID/" => r"(?P<fid>\S+)".to_owned(),
        "F-PORT/" => r"(?P<fport>\w+)".to_owned(),
        _ => {
            if let Some(name) = tag.strip_prefix("/F-").filter(|name| is_name(name)) {
                return opened.contains(&name).then(|| ")".to_owned());
            }
            let name = tag.strip_prefix("F-").filter(|name| is_name(name))?;
            opened.push(name);
            let group = match name {
                "ID" => "fid".to_owned(),
                "PORT" => "fport".to_owned(),
                _ => name.to_ascii_lowercase(),
            };
            format!("(?P<{group}>")
        }
    })
}

/// `-` is let through so that `<F-X-Y>` gives the error about its name rather than matching literally.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-')
}

/// `((?i)x)` and `(?:(?i)x)` are written `(?i:x)`: Python no longer takes global flags inside a pattern.
fn local_flags(rule: &str) -> String {
    let mut out = String::with_capacity(rule.len());
    let mut rest = rule;
    while let Some(at) = rest.find("(?") {
        let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.push_str(before);
        let letters = from.bytes().skip(2).take_while(u8::is_ascii_lowercase).count();
        let closed = letters > 0 && from.as_bytes().get(2 + letters) == Some(&b')');
        let opener = ["(?:", "("].into_iter().find(|opener| ends_with_opener(&out, opener));
        let parts = (closed, opener, from.get(..2 + letters), from.get(3 + letters..));
        if let (true, Some(opener), Some(flags), Some(tail)) = parts {
            out.truncate(out.len() - opener.len());
            out.push_str(flags);
            out.push(':');
            rest = tail;
        } else {
            out.push_str("(?");
            rest = from.get(2..).unwrap_or("");
        }
    }
    out.push_str(rest);
    out
}

/// Whether `text` ends in an opening bracket that is not escaped.
fn ends_with_opener(text: &str, opener: &str) -> bool {
    let Some(before) = text.strip_suffix(opener) else {
        return false;
    };
    before.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expansions as `fail2ban-regex` 1.0.2 shows them in its messages (with HEAD's bare `:` in IPv6 addresses).
    #[test]
    fn expands_tags_as_upstream_shows_them() {
        for (rule, expanded) in [
            ("<HOST>", format!(r"(?:\[?(?:{IP4}|{IP6})\]?|{DNS})")),
            ("<ADDR>", format!(r"\[?(?:{IP4}|{IP6})\]?")),
            ("<F-ID/>", r"(?P<fid>\S+)".into()),
            (
                "<F-ID>a</F-ID><F-PORT>x</F-PORT><F-USER>y</F-USER><F-ALT_USER>q</F-ALT_USER><F-X>",
                "(?P<fid>a)(?P<fport>x)(?P<user>y)(?P<alt_user>q)(?P<x>".into(),
            ),
            (
                "a<SKIPLINES>b<SKIPLINES>c",
                r"a\n(?P<skiplines0>(?:(?:.*\n)*?))b\n(?P<skiplines1>(?:(?:.*\n)*?))c".into(),
            ),
            (
                "<host> <F-HOST/> <F-user> </F-X> <foo",
                "<host> <F-HOST/> <F-user> </F-X> <foo".into(),
            ),
            (r"(?P<USER>x)<CODE>", r"(?P<USER>x)<CODE>".into()),
            ("a((?i)x)(?:(?i)y)", "a(?i:x)(?i:y)".into()),
            (r"a\((?i)x", r"a\((?i)x".into()),
            ("(?i)x", "(?i)x".into()),
        ] {
            assert_eq!(expand(rule, UseDns::Warn), expanded, "{rule}");
        }
        assert_eq!(expand("<HOST>", UseDns::No), format!(r"\[?(?:{IP4}|{IP6})\]?"));
    }

    #[test]
    fn a_place_in_the_expansion_leads_back_to_the_rule() {
        let rule = r"^é <HOST> (?P<x>a)<F-USER>b</F-USER> (c";
        let expanded = expand(rule, UseDns::Warn);
        for (piece, written) in [
            ("^", "^"),
            ("ip4", "<HOST>"),
            ("(?P<x>", "(?P<x>"),
            ("(?P<user>", "<F-USER>"),
            ("(c", "(c"),
        ] {
            let at = expanded.find(piece).unwrap();
            let expected = rule.chars().count() - rule.get(rule.find(written).unwrap()..).unwrap().chars().count();
            assert_eq!(before_expansion(rule, at, UseDns::Warn), Some(expected), "{piece}");
        }
    }
}
