//! Writing, as CPython's C pickler does with protocol 5, byte for byte in what replies hold.

use crate::{Reply, Value};

const PROTO_5: [u8; 2] = [0x80, 5];
const FRAME: u8 = 0x95;
/// CPython does not frame fewer bytes than this.
const FRAME_MIN: usize = 4;
/// CPython closes a frame when it has grown so long.
const FRAME_TARGET: usize = 64 * 1024;
/// So many items go into one `APPENDS` or `SETITEMS`.
const BATCH: usize = 1000;
const STOP: u8 = b'.';
const MARK: u8 = b'(';
const MEMOIZE: u8 = 0x94;

/// A message with one value.
pub fn encode(value: &Value) -> Vec<u8> {
    finish(|writer| writer.value(value))
}

/// The message that answers a command: `(0, value)` or `(1, exception)`.
pub fn encode_reply(reply: &Reply) -> Vec<u8> {
    finish(|writer| {
        match reply {
            Ok(value) => {
                writer.value(&Value::Int(0));
                writer.value(value);
            }
            Err(error) => {
                writer.value(&Value::Int(1));
                writer.global(error.class.module(), error.class.name());
                writer.tuple(&error.args);
                writer.reduce();
            }
        }
        writer.put(&[0x86, MEMOIZE]);
    })
}

fn finish(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer {
        out: PROTO_5.to_vec(),
        frame: Vec::new(),
    };
    write(&mut writer);
    writer.put(&[STOP]);
    writer.end_frame();
    writer.out
}

struct Writer {
    out: Vec<u8>,
    frame: Vec<u8>,
}

impl Writer {
    /// Adds the bytes of one operation.
    fn put(&mut self, bytes: &[u8]) {
        self.frame.extend_from_slice(bytes);
    }

    /// Frames are closed between values only.
    fn between(&mut self) {
        if self.frame.len() >= FRAME_TARGET {
            self.end_frame();
        }
    }

    fn end_frame(&mut self) {
        if self.frame.len() >= FRAME_MIN {
            self.out.push(FRAME);
            self.out.extend_from_slice(&(self.frame.len() as u64).to_le_bytes());
        }
        self.out.append(&mut self.frame);
    }

    fn value(&mut self, value: &Value) {
        self.between();
        match value {
            Value::None => self.put(b"N"),
            Value::Bool(true) => self.put(&[0x88]),
            Value::Bool(false) => self.put(&[0x89]),
            Value::Int(number) => self.int(*number),
            Value::Float(number) => {
                self.put(b"G");
                self.put(&number.to_be_bytes());
            }
            Value::Str(text) => self.text(text),
            Value::Addr(text) => {
                self.global("builtins", "str");
                self.tuple(&[Value::Str(text.clone())]);
                self.reduce();
            }
            Value::Bytes(bytes) => {
                self.sized(bytes, [b'C', b'B', 0x8e]);
                self.put(&[MEMOIZE]);
            }
            Value::List(items) => {
                self.put(&[b']', MEMOIZE]);
                if let [only] = items.as_slice() {
                    self.value(only);
                    return self.put(b"a");
                }
                for batch in items.chunks(BATCH) {
                    self.put(&[MARK]);
                    for item in batch {
                        self.value(item);
                    }
                    self.put(b"e");
                }
            }
            Value::Tuple(items) => self.tuple(items),
            Value::Dict(items) => {
                self.put(&[b'}', MEMOIZE]);
                if let [(key, value)] = items.as_slice() {
                    self.value(key);
                    self.value(value);
                    return self.put(b"s");
                }
                for batch in items.chunks(BATCH) {
                    self.put(&[MARK]);
                    for (key, value) in batch {
                        self.value(key);
                        self.value(value);
                    }
                    self.put(b"u");
                }
            }
        }
    }

    fn tuple(&mut self, items: &[Value]) {
        match items {
            [] => return self.put(b")"),
            [_] | [_, _] | [_, _, _] => {
                for item in items {
                    self.value(item);
                }
                self.put(&[if items.len() == 1 {
                    0x85
                } else if items.len() == 2 {
                    0x86
                } else {
                    0x87
                }]);
            }
            _ => {
                self.put(&[MARK]);
                for item in items {
                    self.value(item);
                }
                self.put(b"t");
            }
        }
        self.put(&[MEMOIZE]);
    }

    fn int(&mut self, number: i64) {
        if let Ok(byte) = u8::try_from(number) {
            self.put(&[b'K', byte]);
        } else if let Ok(short) = u16::try_from(number) {
            self.put(b"M");
            self.put(&short.to_le_bytes());
        } else if let Ok(int) = i32::try_from(number) {
            self.put(b"J");
            self.put(&int.to_le_bytes());
        } else {
            // LONG1: as few bytes of two's complement as hold the sign.
            let bytes = number.to_le_bytes();
            let fill = if number < 0 { 0xff } else { 0 };
            let mut length = bytes.len();
            while let Some([before, last]) = bytes.get(length.saturating_sub(2)..length)
                && *last == fill
                && (*before >= 0x80) == (number < 0)
            {
                length -= 1;
            }
            self.put(&[0x8a, u8::try_from(length).unwrap_or(8)]);
            self.put(bytes.get(..length).unwrap_or(&bytes));
        }
    }

    fn text(&mut self, text: &str) {
        self.sized(text.as_bytes(), [0x8c, b'X', 0x8d]);
        self.put(&[MEMOIZE]);
    }

    /// Bytes with their length in one, four or eight bytes, each with its own code.
    fn sized(&mut self, bytes: &[u8], [short, medium, long]: [u8; 3]) {
        if let Ok(length) = u8::try_from(bytes.len()) {
            self.put(&[short, length]);
        } else if let Ok(length) = u32::try_from(bytes.len()) {
            self.put(&[medium]);
            self.put(&length.to_le_bytes());
        } else {
            self.put(&[long]);
            self.put(&(bytes.len() as u64).to_le_bytes());
        }
        self.put(bytes);
    }

    fn global(&mut self, module: &str, name: &str) {
        self.text(module);
        self.text(name);
        self.put(&[0x93, MEMOIZE]);
    }

    fn reduce(&mut self) {
        self.put(&[b'R', MEMOIZE]);
    }
}
