//! What a pattern can match, without what it asserts: a superset that an automaton goes through.
//!
//! Only ASCII is told apart here. Start reading at [`Outline::of`]; what becomes of it is in [`super::shapes`].

/// Bytes of ASCII, by their bits.
pub(super) type ByteSet = u128;

/// A pattern without assertions.
#[derive(Clone, Debug)]
pub(super) enum Outline {
    /// One byte of these.
    Byte(ByteSet),
    Sequence(Vec<Outline>),
    Choice(Vec<Outline>),
    Repeat {
        inner: Box<Outline>,
        least: u32,
        most: Option<u32>,
    },
}

/// Groups in groups, deeper than any pattern for dates.
const MAX_DEPTH: u32 = 20;

impl Outline {
    /// Reads a pattern; `None` if there is something in it that is not known here.
    pub(super) fn of(pattern: &str, ignore_case: bool) -> Option<Self> {
        let mut reader = Reader {
            rest: pattern.as_bytes(),
            ignore_case,
            groups: Vec::new(),
        };
        let outline = reader.choice(MAX_DEPTH)?;
        reader.rest.is_empty().then_some(outline)
    }

    /// So much of it that what it matches has as many bytes, or all of it.
    pub(super) fn beginning(&self, bytes: usize) -> Self {
        match self {
            Self::Byte(_) | Self::Choice(_) => self.clone(),
            Self::Sequence(items) => {
                let mut left = bytes;
                let mut taken = Vec::new();
                for item in items {
                    if left == 0 {
                        break;
                    }
                    taken.push(item.beginning(left));
                    left = left.saturating_sub(item.least());
                }
                Self::Sequence(taken)
            }
            Self::Repeat { inner, least, most } => {
                let times = u32::try_from(bytes).unwrap_or(u32::MAX);
                if inner.least() == 1 && *least >= times {
                    Self::Repeat {
                        inner: inner.clone(),
                        least: times,
                        most: Some(times),
                    }
                } else {
                    Self::Repeat {
                        inner: inner.clone(),
                        least: *least,
                        most: *most,
                    }
                }
            }
        }
    }

    /// How many bytes it matches at least.
    fn least(&self) -> usize {
        match self {
            Self::Byte(_) => 1,
            Self::Sequence(items) => items.iter().map(Self::least).sum(),
            Self::Choice(ways) => ways.iter().map(Self::least).min().unwrap_or(0),
            Self::Repeat { inner, least, .. } => inner
                .least()
                .saturating_mul(usize::try_from(*least).unwrap_or(usize::MAX)),
        }
    }

    /// How many bytes of a match are before some colon of it at most; `None` if there may be any number, or no colon.
    pub(super) fn before_colon(&self) -> Option<usize> {
        match self {
            Self::Byte(set) => (*set == one(b':')).then_some(0),
            Self::Sequence(items) => {
                let mut before = 0_usize;
                for item in items {
                    if let Some(more) = item.before_colon() {
                        return before.checked_add(more);
                    }
                    before = before.checked_add(item.most()?)?;
                }
                None
            }
            Self::Choice(ways) => ways.iter().try_fold(0, |most, way| Some(way.before_colon()?.max(most))),
            Self::Repeat { inner, least, .. } => inner.before_colon().filter(|_| *least > 0),
        }
    }

    /// How many bytes it matches at most.
    pub(super) fn most(&self) -> Option<usize> {
        match self {
            Self::Byte(_) => Some(1),
            Self::Sequence(items) => items
                .iter()
                .try_fold(0_usize, |most, item| most.checked_add(item.most()?)),
            Self::Choice(ways) => ways.iter().try_fold(0, |most, way| Some(way.most()?.max(most))),
            Self::Repeat { inner, most, .. } => inner.most()?.checked_mul(usize::try_from((*most)?).ok()?),
        }
    }

    /// Whether the first thing in it may be there any number of times.
    pub(super) fn begins_with_any_number(&self) -> bool {
        match self {
            Self::Sequence(items) => {
                let empty = |item: &&Self| matches!(item, Self::Sequence(items) if items.is_empty());
                items
                    .iter()
                    .find(|item| !empty(item))
                    .is_some_and(Self::begins_with_any_number)
            }
            Self::Repeat { most, .. } => most.is_none(),
            Self::Byte(_) | Self::Choice(_) => false,
        }
    }

    fn nothing() -> Self {
        Self::Sequence(Vec::new())
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    ignore_case: bool,
    /// Those with a name that have ended.
    groups: Vec<(&'a [u8], Outline)>,
}

impl<'a> Reader<'a> {
    fn take(&mut self, text: &[u8]) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        first.is_ascii().then_some(*first)
    }

    fn until(&mut self, end: u8) -> Option<&'a [u8]> {
        let length = self.rest.iter().position(|byte| *byte == end)?;
        let text = self.rest.get(..length)?;
        self.rest = self.rest.get(length + 1..)?;
        Some(text)
    }

    fn choice(&mut self, depth: u32) -> Option<Outline> {
        let mut ways = vec![self.sequence(depth)?];
        while self.take(b"|") {
            ways.push(self.sequence(depth)?);
        }
        if ways.len() == 1 {
            ways.pop()
        } else {
            Some(Outline::Choice(ways))
        }
    }

    fn sequence(&mut self, depth: u32) -> Option<Outline> {
        let mut items = Vec::new();
        while let Some(first) = self.rest.first().filter(|first| !b"|)".contains(first)) {
            if b"*+?{".contains(first) {
                return None;
            }
            let item = self.item(depth)?;
            items.push(self.repeated(item)?);
        }
        Some(Outline::Sequence(items))
    }

    fn item(&mut self, depth: u32) -> Option<Outline> {
        Some(match self.next()? {
            b'(' => return self.group(depth.checked_sub(1)?),
            b'[' => Outline::Byte(self.class()?),
            b'^' | b'$' => Outline::nothing(),
            b'.' => Outline::Byte(ByteSet::MAX),
            b'\\' if self.rest.first().is_some_and(|byte| b"bBAZ".contains(byte)) => {
                self.next();
                Outline::nothing()
            }
            b'\\' => Outline::Byte(self.escaped()?),
            literal => Outline::Byte(self.folded(one(literal))),
        })
    }

    fn group(&mut self, depth: u32) -> Option<Outline> {
        if self.take(b"?P=") {
            // What a group matched is something that it can match.
            let name = self.until(b')')?;
            let (_, group) = self.groups.iter().find(|(known, _)| *known == name)?;
            return Some(group.clone());
        }
        let asserts = [&b"?="[..], b"?!", b"?<=", b"?<!"]
            .into_iter()
            .any(|sign| self.take(sign));
        let name = if self.take(b"?P<") {
            Some(self.until(b'>')?)
        } else {
            None
        };
        if !asserts && name.is_none() && !self.take(b"?:") && self.rest.first() == Some(&b'?') {
            return None;
        }
        let inner = self.choice(depth)?;
        self.take(b")").then_some(())?;
        if asserts {
            return Some(Outline::nothing());
        }
        if let Some(name) = name {
            self.groups.push((name, inner.clone()));
        }
        Some(inner)
    }

    fn repeated(&mut self, item: Outline) -> Option<Outline> {
        let (least, most) = match self.rest.first() {
            Some(b'?') => (0, Some(1)),
            Some(b'*') => (0, None),
            Some(b'+') => (1, None),
            Some(b'{') => {
                let length = self.rest.iter().position(|byte| *byte == b'}')?;
                let range = std::str::from_utf8(self.rest.get(1..length)?).ok()?;
                self.rest = self.rest.get(length..)?;
                match range.split_once(',') {
                    None => (range.parse().ok()?, Some(range.parse().ok()?)),
                    Some((least, "")) => (least.parse().ok()?, None),
                    Some((least, most)) => (least.parse().ok()?, Some(most.parse().ok()?)),
                }
            }
            _ => return Some(item),
        };
        self.next();
        // In which order lengths are tried is no matter.
        if !self.take(b"?") {
            self.take(b"+");
        }
        let inner = Box::new(item);
        Some(Outline::Repeat { inner, least, most })
    }

    /// `[…]`, behind its bracket.
    fn class(&mut self) -> Option<ByteSet> {
        let negated = self.take(b"^");
        let mut set = 0;
        let mut first = true;
        while first || !self.take(b"]") {
            first = false;
            let from = match self.next()? {
                b'\\' => self.escaped()?,
                b'[' if self.rest.first() == Some(&b':') => return None,
                byte => one(byte),
            };
            let is_range = self.rest.first() == Some(&b'-') && self.rest.get(1).is_some_and(|byte| *byte != b']');
            if is_range {
                self.next();
                let to = match self.next()? {
                    b'\\' => self.escaped()?,
                    byte => one(byte),
                };
                (from.is_power_of_two() && to.is_power_of_two()).then_some(())?;
                (from <= to).then_some(())?;
                set |= (to - from) | to;
            } else {
                set |= from;
            }
        }
        let set = self.folded(set);
        Some(if negated { !set } else { set })
    }

    /// What follows a backslash.
    fn escaped(&mut self) -> Option<ByteSet> {
        Some(match self.next()? {
            b'd' => DIGITS,
            b'D' => !DIGITS,
            b's' => SPACES,
            b'S' => !SPACES,
            b'w' => WORDS,
            b'W' => !WORDS,
            b't' => one(b'\t'),
            letter if letter.is_ascii_alphanumeric() => return None,
            literal => one(literal),
        })
    }

    fn folded(&self, set: ByteSet) -> ByteSet {
        if self.ignore_case {
            // A small letter is 32 behind the large one.
            set | (set & LARGE) << 32 | (set >> 32) & LARGE
        } else {
            set
        }
    }
}

/// The set of one byte of ASCII.
const fn one(byte: u8) -> ByteSet {
    1 << (byte & 127)
}

/// The bytes from one to another.
const fn span(from: u8, to: u8) -> ByteSet {
    (one(to) - one(from)) | one(to)
}

const DIGITS: ByteSet = span(b'0', b'9');
const LARGE: ByteSet = span(b'A', b'Z');
const WORDS: ByteSet = DIGITS | LARGE | span(b'a', b'z') | one(b'_');
/// White space as Python has it.
const SPACES: ByteSet = span(b'\t', b'\r') | span(0x1c, b' ');

/// A word character of ASCII.
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_patterns_of_dates_are_made_of_and_nothing_else() {
        for (pattern, known) in [
            (r"(?=^|\b|\W)((?P<a>mon|tue) )?\d{1,2}[T ]?", true),
            (r"(?P<_sep>[-/.])x(?P=_sep)", true),
            (r"^(?:\W{0,2})?(@[0-9a-f]{24})(?=\b|\W|$)", true),
            (r"[^\[\]-]*\[", true),
            (r"a{2,}?b{0,3}", true),
            (r"b{,3}", false),
            (r"[]a]", true),
            (r"(?i)a", false),
            (r"(a)\1", false),
            (r"\x41", false),
            (r"a{x}", false),
            (r"(?P=no)", false),
            (r"é", false),
            (r"(a", false),
            (r"a)", false),
            (r"[a-\d]", false),
            (r"[b-a]", false),
        ] {
            assert_eq!(Outline::of(pattern, true).is_some(), known, "{pattern}");
        }
        let Some(Outline::Sequence(items)) = Outline::of(r"[a-c\]]", true) else {
            panic!()
        };
        assert!(
            matches!(items.as_slice(), [Outline::Byte(set)] if *set == span(b'a', b'c') | span(b'A', b'C') | one(b']'))
        );
    }
}
