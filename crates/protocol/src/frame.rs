//! Where one message ends and the next begins.

use std::fmt;

/// Stands after every message.
pub const END: &[u8] = b"<F2B_END_COMMAND>";

/// The message with which a client takes its leave.
pub const CLOSE: &[u8] = b"<F2B_CLOSE_COMMAND>";

/// A message may be this long: a configuration of thousands of jails fits.
const LIMIT_BYTES: usize = 32 << 20;

/// The other side sent more than a message may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameError;

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a message on the control socket is longer than {} MiB",
            LIMIT_BYTES >> 20
        )
    }
}

impl std::error::Error for FrameError {}

/// Bytes as they come, messages as they become whole.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    buffer: Vec<u8>,
    // No end marker begins before this place, so that bytes are looked at once.
    searched: usize,
}

impl Frames {
    /// Takes in bytes; fails if the message they belong to is too long.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        if self.buffer.len().saturating_add(bytes.len()) > LIMIT_BYTES {
            return Err(FrameError);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// The next whole message without its end marker; [`CLOSE`] is handed out like any other.
    #[expect(
        clippy::should_implement_trait,
        reason = "more may come after the last one, so it is not an iterator"
    )]
    pub fn next(&mut self) -> Option<Vec<u8>> {
        let rest = self.buffer.get(self.searched..)?;
        let Some(place) = rest.windows(END.len()).position(|window| window == END) else {
            self.searched = self.buffer.len().saturating_sub(END.len() - 1);
            return None;
        };
        let end = self.searched + place;
        let mut message: Vec<u8> = self.buffer.drain(..end + END.len()).collect();
        message.truncate(end);
        self.searched = 0;
        Some(message)
    }

    /// Whether a message has begun and not ended.
    pub fn is_partial(&self) -> bool {
        !self.buffer.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_whole_however_the_bytes_arrive() {
        let stream = b"one<F2B_END_COMMAND>two<F2B_END<F2B_END_COMMAND><F2B_CLOSE_COMMAND><F2B_END_COMMAND>rest";
        for size in [1, 2, 7, 16, 17, 18, 200] {
            let mut frames = Frames::default();
            let mut messages = Vec::new();
            for chunk in stream.chunks(size) {
                frames.push(chunk).unwrap();
                while let Some(message) = frames.next() {
                    messages.push(message);
                }
            }
            assert_eq!(
                messages,
                [b"one".to_vec(), b"two<F2B_END".to_vec(), CLOSE.to_vec()],
                "chunks of {size}"
            );
            assert!(frames.is_partial());
        }
    }

    #[test]
    fn a_message_without_end_is_refused_before_it_fills_the_memory() {
        let mut frames = Frames::default();
        let chunk = vec![b'x'; 1 << 20];
        let accepted = (0..100).take_while(|_| frames.push(&chunk).is_ok()).count();
        assert_eq!(accepted, LIMIT_BYTES >> 20);
    }
}
