//! What a line must contain for a template to match: asked before the search, which is dear on lines without a date.

/// What every match of a template contains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// A colon between two digits.
    pub(super) clock: bool,
    /// So many digits in a row.
    pub(super) digits: usize,
    /// This byte.
    pub(super) byte: Option<u8>,
}

/// What a line contains.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contents<'a> {
    text: &'a [u8],
    clock: bool,
    digits: usize,
}

impl Needs {
    /// Of a pattern before its elements are expanded and without its optional parts.
    pub(super) fn of(settled: &str) -> Self {
        // Elements in a class, or that are literal text, are none.
        if settled.contains('[') || settled.contains("%%") {
            return Self::default();
        }
        let clock = ["%H:%M", "%k:%M", "%I:%M"].iter().any(|time| settled.contains(time));
        // `20260822` at least.
        let digits = if settled.contains("%ExY%Exm%Exd") { 8 } else { 0 };
        Self {
            clock,
            digits,
            byte: None,
        }
    }
}

impl<'a> Contents<'a> {
    /// Looks through a line once; `None` if its digits may be others than 0 to 9.
    pub(super) fn of(text: &'a str) -> Option<Self> {
        if !text.is_ascii() {
            return None;
        }
        let text = text.as_bytes();
        let clock = text
            .windows(3)
            .any(|three| matches!(three, [before, b':', after] if before.is_ascii_digit() && after.is_ascii_digit()));
        let (mut longest, mut run) = (0, 0);
        for byte in text {
            run = if byte.is_ascii_digit() { run + 1 } else { 0 };
            longest = longest.max(run);
        }
        Some(Self {
            text,
            clock,
            digits: longest,
        })
    }

    /// Whether a template with these needs can match.
    pub(super) fn meet(&self, needs: Needs) -> bool {
        (self.clock || !needs.clock)
            && self.digits >= needs.digits
            && needs.byte.is_none_or(|byte| memchr::memchr(byte, self.text).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_meets_only_needs_it_can_fulfil() {
        let clock = Needs {
            clock: true,
            ..Needs::default()
        };
        let epoch = Needs {
            digits: 10,
            ..Needs::default()
        };
        let tai = Needs {
            byte: Some(b'@'),
            ..Needs::default()
        };
        for (line, meets) in [
            ("at x(Service.java:123)", [false, false, false]),
            ("13:40", [true, false, false]),
            ("x 1795305600", [false, true, false]),
            ("a@b", [false, false, true]),
            ("", [false, false, false]),
        ] {
            let contents = Contents::of(line).unwrap();
            assert_eq!([clock, epoch, tai].map(|needs| contents.meet(needs)), meets, "{line}");
        }
        assert!(Contents::of("é").is_none());
    }
}
