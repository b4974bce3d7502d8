//! What a container wrote, out of the lines that Docker (`json-file`) or Podman and Kubernetes (`k8s-file`, CRI) wrap it in: `logencoding = container`.
//!
//! Long lines come in pieces, which may begin wherever their writer wants: they are put together before rules see them.

/// More of a line is passed over: the reader of other logs cuts such lines, too.
const LONGEST_BYTES: usize = 256 << 10;

/// What is kept of one log: for each stream the line that is not whole yet.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    output: Pending,
    errors: Pending,
}

#[derive(Debug, Default)]
struct Pending {
    text: Vec<u8>,
    /// A piece was longer than is kept, or damaged: the rest of the line is passed over.
    lost: bool,
}

/// A line of the log.
struct Entry {
    text: Vec<u8>,
    is_error: bool,
    /// Whether the container's line ends here.
    ends: bool,
}

impl Streams {
    /// The whole lines there are with this block of whole lines; those that nothing wraps stay as they are.
    pub(crate) fn unwrap(&mut self, block: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(block.len());
        for line in block.split_inclusive(|byte| *byte == b'\n') {
            let whole = line.strip_suffix(b"\n").unwrap_or(line);
            let entry = if let Some(json) = whole.strip_prefix(br#"{"log":""#) {
                json_file(json)
            } else if let Some(entry) = cri(whole) {
                Some(entry)
            } else {
                out.extend_from_slice(line);
                continue;
            };
            let Some(entry) = entry else {
                // Whose line it is a part of is not known.
                self.output.lose();
                self.errors.lose();
                continue;
            };
            let pending = if entry.is_error {
                &mut self.errors
            } else {
                &mut self.output
            };
            pending.add(&entry, &mut out);
        }
        out
    }
}

impl Pending {
    fn lose(&mut self) {
        if !self.text.is_empty() {
            self.lost = true;
            self.text = Vec::new();
        }
    }

    fn add(&mut self, entry: &Entry, out: &mut Vec<u8>) {
        if !self.lost {
            self.text.extend_from_slice(&entry.text);
            if self.text.len() > LONGEST_BYTES {
                self.lose();
            }
        }
        if entry.ends {
            if !self.lost {
                out.append(&mut self.text);
                out.push(b'\n');
            }
            *self = Self::default();
        } else if self.text.is_empty() {
            // A piece without text is one, too: what follows is no beginning of a line.
            self.lost = true;
        }
    }
}

/// `2026-11-22T13:40:04.123456789Z stdout F TEXT`; `None` if it is no such line.
fn cri(line: &[u8]) -> Option<Entry> {
    let mut words = line.splitn(4, |byte| *byte == b' ');
    let (time, stream, tag, text) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let is_time = time.get(10) == Some(&b'T') && time.first()?.is_ascii_digit();
    let ends = match tag.split(|byte| *byte == b':').next()? {
        b"F" => true,
        b"P" => false,
        _ => return None,
    };
    let is_error = match stream {
        b"stdout" => false,
        b"stderr" => true,
        _ => return None,
    };
    is_time.then(|| Entry {
        text: text.to_vec(),
        is_error,
        ends,
    })
}

/// What stands behind `{"log":"`; `None` if the line is cut off.
fn json_file(json: &[u8]) -> Option<Entry> {
    let (mut text, rest) = string(json)?;
    let ends = text.last() == Some(&b'\n');
    while text.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        text.pop();
    }
    // A line end inside would make two lines of one.
    for byte in &mut text {
        if *byte == b'\n' {
            *byte = b' ';
        }
    }
    let is_error = rest.windows(STDERR.len()).any(|part| part == STDERR);
    Some(Entry { text, is_error, ends })
}

const STDERR: &[u8] = br#""stream":"stderr""#;

/// A string of JSON from behind its first quote, and what stands behind its last.
fn string(json: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut text = Vec::with_capacity(json.len());
    let mut rest = json;
    loop {
        let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        text.extend_from_slice(rest.get(..plain)?);
        let escaped = match rest.get(plain..)? {
            [b'"', after @ ..] => return Some((text, after)),
            [_, escaped, after @ ..] => {
                rest = after;
                *escaped
            }
            _ => return None,
        };
        match escaped {
            b'n' => text.push(b'\n'),
            b'r' => text.push(b'\r'),
            b't' => text.push(b'\t'),
            b'b' => text.push(8),
            b'f' => text.push(12),
            b'u' => {
                let mut code = hexadecimal(rest)?;
                rest = rest.get(4..)?;
                let second = rest.strip_prefix(br"\u").and_then(hexadecimal);
                if let (0xd800..0xdc00, Some(low @ 0xdc00..0xe000)) = (code, second) {
                    code = 0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                    rest = rest.get(6..)?;
                }
                let letter = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                text.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            }
            other => text.push(other),
        }
    }
}

fn hexadecimal(text: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(text.get(..4)?).ok()?;
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unwrapped(log: &str) -> String {
        String::from_utf8(Streams::default().unwrap(log.as_bytes())).unwrap()
    }

    #[test]
    fn lines_come_out_as_the_container_wrote_them() {
        for (what, log, lines) in [
            (
                "json-file",
                "{\"log\":\"a \\\"b\\\" \\\\ \\u003cc\\u003e \\u00e9\\ud83d\\ude00\\t\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-22T13:40:04Z\"}\n",
                "a \"b\" \\ <c> é😀\t\n",
            ),
            (
                "k8s-file",
                "2026-11-22T13:40:04.123+00:00 stderr F a b  c\n",
                "a b  c\n",
            ),
            (
                "what nothing wraps",
                "Nov 22 13:40:04 vm x: y\n\n",
                "Nov 22 13:40:04 vm x: y\n\n",
            ),
            (
                "a line end of Windows",
                "{\"log\":\"a\\r\\n\",\"stream\":\"stdout\"}\n",
                "a\n",
            ),
            (
                "a line end inside",
                "{\"log\":\"a\\nb\\n\",\"stream\":\"stdout\"}\n",
                "a b\n",
            ),
            (
                "pieces, with another stream between them",
                "{\"log\":\"a\",\"stream\":\"stdout\"}\n{\"log\":\"e\\n\",\"stream\":\"stderr\"}\n{\"log\":\"b\\n\",\"stream\":\"stdout\"}\n",
                "e\nab\n",
            ),
            (
                "pieces of CRI",
                "2026-11-22T13:40:04Z stdout P a\n2026-11-22T13:40:04Z stdout F b\n",
                "ab\n",
            ),
            (
                "an empty piece",
                "2026-11-22T13:40:04Z stdout P \n2026-11-22T13:40:04Z stdout F b\n2026-11-22T13:40:04Z stdout F c\n",
                "c\n",
            ),
            (
                "cut off",
                "{\"log\":\"a\n{\"log\":\"b\\n\",\"stream\":\"stdout\"}\n",
                "b\n",
            ),
            (
                "cut off inside of a line",
                "{\"log\":\"a\",\"stream\":\"stdout\"}\n{\"log\":\"x\n{\"log\":\"b\\n\",\"stream\":\"stdout\"}\n{\"log\":\"c\\n\",\"stream\":\"stdout\"}\n",
                "c\n",
            ),
        ] {
            assert_eq!(unwrapped(log), lines, "{what}");
        }
    }

    #[test]
    fn a_line_without_end_is_not_kept_for_ever() {
        let mut streams = Streams::default();
        let piece = format!("2026-11-22T13:40:04Z stdout P {}\n", "x".repeat(16 << 10));
        for _ in 0..100 {
            assert!(streams.unwrap(piece.as_bytes()).is_empty());
            assert!(streams.output.text.len() <= LONGEST_BYTES + (16 << 10));
        }
        assert!(streams.unwrap(b"2026-11-22T13:40:04Z stdout F y\n").is_empty());
        assert_eq!(streams.unwrap(b"2026-11-22T13:40:04Z stdout F z\n"), b"z\n");
    }
}
