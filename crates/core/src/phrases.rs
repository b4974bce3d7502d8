//! What log lines have in common, kept once: a line becomes what it has of its own and places in the text of earlier ones.
//!
//! The text to refer to is made of the first lines that had too little in common with it. It only grows, up to a limit, so what was
//! shortened can be read for as long as it is there.

/// So much text is referred to at most. It has to be less than 2^16, as places have two bytes.
const MOST_TEXT: usize = 8 << 10;

/// What is longer is left as it is: such lines are rare, and looking for each of their pieces would take longer than they deserve.
const LONGEST: usize = 2 << 10;

/// Places of pieces of text, by their hash. A power of two.
const SLOTS: usize = 2048;

/// The length of a piece that is looked up.
const PIECE: usize = 4;

/// A reference has three bytes: what is shorter is not worth one.
const SHORTEST: usize = 5;

/// A byte below it says that so many bytes follow, and one more; another one how long a reference is, beyond [`PIECE`].
const REFERENCE: u8 = 0x80;

/// Text to refer to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Phrases {
    text: Vec<u8>,
    /// Where a piece of the hash is in the text, plus one; empty while there is no text.
    places: Vec<u16>,
}

impl Phrases {
    /// Fewer bytes, that [`Self::expand`] turns back into these.
    pub(crate) fn shorten(&mut self, bytes: &[u8]) -> Box<[u8]> {
        let mut short = self.written(bytes);
        if bytes.len() <= LONGEST && short.len() > bytes.len() / 8 * 5 && self.learn(bytes) {
            short = self.written(bytes);
        }
        // Copied, since cutting the vector to size would leave a gap behind it.
        short.as_slice().into()
    }

    /// The same bytes without references, which takes no search.
    pub(crate) fn as_they_are(bytes: &[u8]) -> Box<[u8]> {
        let mut whole = Vec::with_capacity(bytes.len() + bytes.len() / 64 + 1);
        write_own(&mut whole, bytes);
        whole.as_slice().into()
    }

    /// What was shortened.
    pub(crate) fn expand(&self, short: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(2 * short.len());
        let mut rest = short;
        while let Some((&head, after)) = rest.split_first() {
            let length = usize::from(head & !REFERENCE);
            // What is not there cannot be asked for: it was written below.
            if head < REFERENCE {
                let (own, after) = after.split_at_checked(length + 1).unwrap_or((after, &[]));
                bytes.extend_from_slice(own);
                rest = after;
            } else {
                let Some((place, after)) = after.split_first_chunk() else {
                    break;
                };
                let place = usize::from(u16::from_le_bytes(*place));
                let shared = self.text.get(place..place + length + PIECE);
                bytes.extend_from_slice(shared.unwrap_or_default());
                rest = after;
            }
        }
        bytes
    }

    fn written(&self, bytes: &[u8]) -> Vec<u8> {
        let mut short = Vec::with_capacity(bytes.len() + bytes.len() / 64 + 1);
        if bytes.len() > LONGEST {
            write_own(&mut short, bytes);
            return short;
        }
        let (mut own, mut at) = (0, 0);
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            match self.find(rest) {
                Some((place, length)) => {
                    write_own(&mut short, bytes.get(own..at).unwrap_or_default());
                    short.push(REFERENCE | u8::try_from(length - PIECE).unwrap_or(0));
                    short.extend(place.to_le_bytes());
                    at += length;
                    own = at;
                }
                None => at += 1,
            }
        }
        write_own(&mut short, bytes.get(own..).unwrap_or_default());
        short
    }

    /// Where the text goes on like these bytes, and how far.
    fn find(&self, bytes: &[u8]) -> Option<(u16, usize)> {
        let place = self.places.get(slot(bytes)?)?.checked_sub(1)?;
        let text = self.text.get(usize::from(place)..)?;
        let alike = text.iter().zip(bytes).take_while(|(one, other)| one == other).count();
        let length = alike.min(usize::from(!REFERENCE) + PIECE);
        (length >= SHORTEST).then_some((place, length))
    }

    /// Takes over text to refer to; `false` if there is no room.
    fn learn(&mut self, bytes: &[u8]) -> bool {
        if bytes.len() < SHORTEST || self.text.len() + bytes.len() > MOST_TEXT {
            return false;
        }
        if self.places.is_empty() {
            self.places = vec![0; SLOTS];
        }
        let begin = self.text.len();
        self.text.extend_from_slice(bytes);
        for place in begin..self.text.len() {
            let slot = self.text.get(place..).and_then(slot);
            if let Some(known) = slot
                .and_then(|slot| self.places.get_mut(slot))
                .filter(|known| **known == 0)
            {
                *known = u16::try_from(place + 1).unwrap_or(0);
            }
        }
        true
    }
}

fn write_own(short: &mut Vec<u8>, own: &[u8]) {
    for piece in own.chunks(usize::from(REFERENCE)) {
        short.push(u8::try_from(piece.len() - 1).unwrap_or(0));
        short.extend_from_slice(piece);
    }
}

fn slot(bytes: &[u8]) -> Option<usize> {
    let piece = u32::from_le_bytes(*bytes.first_chunk()?);
    usize::try_from(piece.wrapping_mul(0x9e37_79b1) >> 16)
        .ok()
        .map(|hash| hash % SLOTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_shortened_comes_out_as_it_was_also_when_more_was_learned_since() {
        let mut phrases = Phrases::default();
        let mut kept: Vec<(Vec<u8>, Box<[u8]>)> = Vec::new();
        let mut seed = 7_u32;
        let mut next = move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed >> 8
        };
        for number in 0..3000_u32 {
            let bytes: Vec<u8> = match number % 6 {
                0 => format!("Nov 22 host sshd[{}]: Failed password for root from {}", next(), next()).into_bytes(),
                1 => (0..next() % 600).map(|_| next().to_le_bytes()[0]).collect(),
                2 => vec![b'A'; usize::try_from(next() % 3000).unwrap()],
                3 => (0..next() % 9)
                    .map(|_| b"ab"[usize::try_from(next() % 2).unwrap()])
                    .collect(),
                4 => "host sshd[1]: "
                    .repeat(usize::try_from(next() % 40).unwrap())
                    .into_bytes(),
                _ => Vec::new(),
            };
            let short = phrases.shorten(&bytes);
            assert!(short.len() <= bytes.len() + bytes.len() / 64 + 1);
            kept.push((bytes, short));
        }
        for (bytes, short) in &kept {
            assert_eq!(phrases.expand(short), *bytes);
            assert_eq!(phrases.expand(&Phrases::as_they_are(bytes)), *bytes);
        }
        assert!(phrases.text.len() <= MOST_TEXT && phrases.text.capacity() <= 2 * MOST_TEXT);
        let line = b"Nov 22 host sshd[4711]: Failed password for root from 192.0.2.7";
        assert!(phrases.shorten(line).len() < 30);
    }
}
