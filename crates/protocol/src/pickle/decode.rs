//! Reading protocols 0 to 5, as far as values need them.

use std::collections::HashMap;
use std::fmt;

use crate::{ErrorClass, RemoteError, Reply, Value};

/// Values may be nested so deep; Fail2Ban's own messages need eight.
const DEPTH_LIMIT: usize = 64;

/// A message may make so many values, copies by way of the memo included: a small message must not grow a large memory.
const VALUE_LIMIT: usize = 8_000_000;

/// Copies by way of the memo may hold so many bytes of text together.
const COPY_LIMIT_BYTES: usize = 64 << 20;

/// Why a message could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PickleError {
    /// It ends before it should.
    Truncated,
    /// It has an operation that values do not need; its code.
    Unsupported(u8),
    /// It names something that is not in the closed table.
    Forbidden(String),
    /// It is not well-formed.
    Malformed(&'static str),
    /// It nests too deep, or means more values than a message may have.
    TooLarge,
}

impl fmt::Display for PickleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the pickled message ends too early"),
            Self::Unsupported(code) => write!(
                f,
                "the pickled message has operation 0x{code:02x}, which no value needs"
            ),
            Self::Forbidden(name) => write!(f, "the pickled message names `{name}`, which is not allowed in one"),
            Self::Malformed(what) => write!(f, "the pickled message is malformed: {what}"),
            Self::TooLarge => f.write_str("the pickled message nests too deep or means too many values"),
        }
    }
}

impl std::error::Error for PickleError {}

/// Reads a message with one value.
///
/// # Errors
/// Fails on anything but values, and on what exceeds the limits; never panics, never runs anything.
pub fn decode(bytes: &[u8]) -> Result<Value, PickleError> {
    match read(bytes)? {
        Object::Value(value) => Ok(value),
        Object::Global(_) | Object::Error(_) => {
            Err(PickleError::Malformed("a class or exception where a value belongs"))
        }
        Object::Reply(reply) => match reply {
            Ok(value) => Ok(Value::Tuple(vec![Value::Int(0), value])),
            Err(_) => Err(PickleError::Malformed("an exception where a value belongs")),
        },
    }
}

/// Reads what a server answers: `(0, value)` or `(1, exception)`.
///
/// A bare text, which Fail2Ban sends when it could not read the command, is an error with that text.
///
/// # Errors
/// As [`decode`], and if it is not an answer.
pub fn decode_reply(bytes: &[u8]) -> Result<Reply, PickleError> {
    match read(bytes)? {
        Object::Reply(reply) => Ok(reply),
        Object::Value(Value::Tuple(items) | Value::List(items)) => match <[Value; 2]>::try_from(items) {
            Ok([Value::Int(0), value]) => Ok(Ok(value)),
            Ok([Value::Int(_), Value::Str(text)]) => Ok(Err(RemoteError::new(ErrorClass::Exception, text))),
            Ok(_) => Err(PickleError::Malformed("neither an answer nor an exception")),
            Err(items) => Ok(Err(RemoteError {
                class: ErrorClass::Exception,
                args: items,
            })),
        },
        Object::Value(Value::Str(text)) => Ok(Err(RemoteError::new(ErrorClass::Exception, text))),
        _ => Err(PickleError::Malformed("not an answer")),
    }
}

/// What lies on the stack.
#[derive(Clone, Debug)]
enum Object {
    Value(Value),
    /// A callable of the closed table.
    Global(Callable),
    /// An exception that was made.
    Error(RemoteError),
    /// `(1, exception)`, which is no value.
    Reply(Reply),
}

#[derive(Clone, Copy, Debug)]
enum Callable {
    Str,
    List,
    Error(ErrorClass),
}

/// A stack entry with how deep it nests.
#[derive(Clone, Debug)]
struct Entry {
    object: Object,
    depth: usize,
    /// What a copy of it costs.
    values: usize,
    bytes: usize,
}

impl Entry {
    fn leaf(value: Value) -> Self {
        let bytes = match &value {
            Value::Str(text) | Value::Addr(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            _ => 0,
        };
        Self {
            object: Object::Value(value),
            depth: 1,
            values: 1,
            bytes,
        }
    }
}

fn read(bytes: &[u8]) -> Result<Object, PickleError> {
    let mut machine = Machine {
        rest: bytes,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        made: 0,
        copied: 0,
    };
    loop {
        if let Some(entry) = machine.step()? {
            return Ok(entry.object);
        }
    }
}

struct Machine<'a> {
    rest: &'a [u8],
    stack: Vec<Entry>,
    marks: Vec<usize>,
    /// Only immutable things and what was whole when it was remembered; see `put`.
    memo: HashMap<u64, Entry>,
    made: usize,
    copied: usize,
}

impl<'a> Machine<'a> {
    /// Carries out one operation; yields the result at the end.
    fn step(&mut self) -> Result<Option<Entry>, PickleError> {
        let code = self.byte()?;
        match code {
            // PROTO, FRAME
            0x80 => {
                self.byte()?;
            }
            0x95 => {
                self.take(8)?;
            }
            b'.' => return self.pop().map(Some),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => {
                self.pop()?;
            }
            b'1' => {
                self.pop_mark()?;
            }
            b'N' => self.push_value(Value::None)?,
            0x88 => self.push_value(Value::Bool(true))?,
            0x89 => self.push_value(Value::Bool(false))?,
            b'K' => {
                let number = self.byte()?;
                self.push_value(Value::Int(number.into()))?;
            }
            b'M' => {
                let number = u16::from_le_bytes(self.array()?);
                self.push_value(Value::Int(number.into()))?;
            }
            b'J' => {
                let number = i32::from_le_bytes(self.array()?);
                self.push_value(Value::Int(number.into()))?;
            }
            b'I' | b'L' => {
                let line = self.line()?;
                let value = match (code, line) {
                    (b'I', "00") => Value::Bool(false),
                    (b'I', "01") => Value::Bool(true),
                    _ => {
                        let digits = line.strip_suffix('L').unwrap_or(line);
                        Value::Int(
                            digits
                                .parse()
                                .map_err(|_| PickleError::Malformed("not a whole number"))?,
                        )
                    }
                };
                self.push_value(value)?;
            }
            0x8a => {
                let length = self.byte()?;
                let number = self.long(length.into())?;
                self.push_value(Value::Int(number))?;
            }
            0x8b => {
                let length = self.length4()?;
                let number = self.long(length)?;
                self.push_value(Value::Int(number))?;
            }
            b'F' => {
                let number = self
                    .line()?
                    .parse()
                    .map_err(|_| PickleError::Malformed("not a number"))?;
                self.push_value(Value::Float(number))?;
            }
            b'G' => {
                let number = f64::from_be_bytes(self.array()?);
                self.push_value(Value::Float(number))?;
            }
            // Text: BINUNICODE in three lengths, UNICODE as a line, strings of Python 2 as a line or in two lengths.
            0x8c | b'X' | 0x8d => {
                let length = self.length(code, 0x8c, b'X')?;
                let text = text_of(self.take(length)?);
                self.push_value(Value::Str(text))?;
            }
            b'V' => {
                let text = raw_unicode_escape(self.line_bytes()?);
                self.push_value(Value::Str(text))?;
            }
            b'S' => {
                let text = quoted(self.line_bytes()?).ok_or(PickleError::Malformed("a string without quotes"))?;
                self.push_value(Value::Str(text))?;
            }
            b'U' | b'T' => {
                let length = self.length(code, b'U', b'T')?;
                let text = text_of(self.take(length)?);
                self.push_value(Value::Str(text))?;
            }
            b'C' | b'B' | 0x8e | 0x96 => {
                let length = self.length(code, b'C', b'B')?;
                let bytes = self.take(length)?.to_vec();
                self.push_value(Value::Bytes(bytes))?;
            }
            b']' => self.push_value(Value::List(Vec::new()))?,
            b'}' => self.push_value(Value::Dict(Vec::new()))?,
            b')' => self.push_value(Value::Tuple(Vec::new()))?,
            // EMPTY_SET and ADDITEMS, FROZENSET: the server sends none, a client may; they are lists to us.
            0x8f => self.push_value(Value::List(Vec::new()))?,
            b'l' | 0x91 => {
                let items = self.pop_mark()?;
                self.push_collection(items, |values| Ok(Value::List(values)))?;
            }
            b't' => {
                let items = self.pop_mark()?;
                self.push_tuple(items)?;
            }
            0x85..=0x87 => {
                let count = usize::from(code - 0x84);
                let start = self
                    .stack
                    .len()
                    .checked_sub(count)
                    .ok_or(PickleError::Malformed("the stack is empty"))?;
                if self.marks.last().is_some_and(|mark| *mark > start) {
                    return Err(PickleError::Malformed("a tuple across a mark"));
                }
                let items = self.stack.split_off(start);
                self.push_tuple(items)?;
            }
            b'd' => {
                let items = self.pop_mark()?;
                self.push_collection(items, |values| Ok(Value::Dict(pairs(values)?)))?;
            }
            b'a' => {
                let item = self.pop()?;
                self.extend(vec![item])?;
            }
            b'e' | 0x90 => {
                let items = self.pop_mark()?;
                self.extend(items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.extend(vec![key, value])?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.extend(items)?;
            }
            b'2' => {
                let top = self
                    .stack
                    .last()
                    .ok_or(PickleError::Malformed("the stack is empty"))?
                    .clone();
                self.push_copy(top)?;
            }
            // The memo.
            0x94 => {
                let index = self.memo.len() as u64;
                self.remember(index)?;
            }
            b'q' => {
                let index = self.byte()?.into();
                self.remember(index)?;
            }
            b'r' => {
                let index = u32::from_le_bytes(self.array()?).into();
                self.remember(index)?;
            }
            b'p' => {
                let index = self
                    .line()?
                    .parse()
                    .map_err(|_| PickleError::Malformed("a memo index"))?;
                self.remember(index)?;
            }
            b'h' => {
                let index = self.byte()?.into();
                self.recall(index)?;
            }
            b'j' => {
                let index = u32::from_le_bytes(self.array()?).into();
                self.recall(index)?;
            }
            b'g' => {
                let index = self
                    .line()?
                    .parse()
                    .map_err(|_| PickleError::Malformed("a memo index"))?;
                self.recall(index)?;
            }
            // Callables and calls.
            b'c' => {
                let module = self.line()?;
                let name = self.line()?;
                self.push_global(module, name)?;
            }
            0x93 => {
                let name = self.pop_text()?;
                let module = self.pop_text()?;
                self.push_global(&module, &name)?;
            }
            b'R' => self.reduce()?,
            other => return Err(PickleError::Unsupported(other)),
        }
        Ok(None)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], PickleError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(PickleError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, PickleError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(PickleError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn length4(&mut self) -> Result<usize, PickleError> {
        usize::try_from(u32::from_le_bytes(self.array()?)).map_err(|_| PickleError::TooLarge)
    }

    /// A length of one byte after `short`, of four after `medium`, else of eight.
    fn length(&mut self, code: u8, short: u8, medium: u8) -> Result<usize, PickleError> {
        if code == short {
            Ok(self.byte()?.into())
        } else if code == medium {
            self.length4()
        } else {
            usize::try_from(u64::from_le_bytes(self.array()?)).map_err(|_| PickleError::TooLarge)
        }
    }

    fn long(&mut self, length: usize) -> Result<i64, PickleError> {
        let bytes = self.take(length)?;
        let fill = if bytes.last().is_some_and(|last| *last >= 0x80) {
            0xff
        } else {
            0
        };
        let mut wide = [fill; 8];
        for (to, from) in wide.iter_mut().zip(bytes) {
            *to = *from;
        }
        let number = i64::from_le_bytes(wide);
        let fits = bytes.iter().skip(8).all(|byte| *byte == fill) && (number < 0) == (fill == 0xff);
        fits.then_some(number)
            .ok_or(PickleError::Malformed("a whole number of more than 64 bits"))
    }

    fn line_bytes(&mut self) -> Result<&'a [u8], PickleError> {
        let end = self
            .rest
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or(PickleError::Truncated)?;
        let line = self.take(end)?;
        self.take(1)?;
        Ok(line)
    }

    fn line(&mut self) -> Result<&'a str, PickleError> {
        std::str::from_utf8(self.line_bytes()?).map_err(|_| PickleError::Malformed("a line that is not text"))
    }

    fn push(&mut self, entry: Entry) -> Result<(), PickleError> {
        self.made += 1;
        if self.made > VALUE_LIMIT || entry.depth > DEPTH_LIMIT || entry.values > VALUE_LIMIT {
            return Err(PickleError::TooLarge);
        }
        self.stack.push(entry);
        Ok(())
    }

    fn push_value(&mut self, value: Value) -> Result<(), PickleError> {
        self.push(Entry::leaf(value))
    }

    /// A copy costs what it holds.
    fn push_copy(&mut self, entry: Entry) -> Result<(), PickleError> {
        self.made = self.made.saturating_add(entry.values);
        self.copied = self.copied.saturating_add(entry.bytes);
        if self.copied > COPY_LIMIT_BYTES {
            return Err(PickleError::TooLarge);
        }
        self.push(entry)
    }

    fn pop(&mut self) -> Result<Entry, PickleError> {
        if self.marks.last().is_some_and(|mark| *mark >= self.stack.len()) {
            return Err(PickleError::Malformed("nothing lies above the mark"));
        }
        self.stack.pop().ok_or(PickleError::Malformed("the stack is empty"))
    }

    fn pop_text(&mut self) -> Result<String, PickleError> {
        match self.pop()?.object {
            Object::Value(Value::Str(text)) => Ok(text),
            _ => Err(PickleError::Malformed("a name that is not text")),
        }
    }

    fn pop_mark(&mut self) -> Result<Vec<Entry>, PickleError> {
        let mark = self.marks.pop().ok_or(PickleError::Malformed("there is no mark"))?;
        if mark > self.stack.len() {
            return Err(PickleError::Malformed("the mark lies above the stack"));
        }
        Ok(self.stack.split_off(mark))
    }

    fn push_collection(
        &mut self,
        items: Vec<Entry>,
        make: impl FnOnce(Vec<Value>) -> Result<Value, PickleError>,
    ) -> Result<(), PickleError> {
        let depth = 1 + items.iter().map(|item| item.depth).max().unwrap_or(0);
        let values = items.iter().map(|item| item.values).fold(1, usize::saturating_add);
        let bytes = items.iter().map(|item| item.bytes).fold(0, usize::saturating_add);
        let object = Object::Value(make(only_values(items)?)?);
        self.push(Entry {
            object,
            depth,
            values,
            bytes,
        })
    }

    /// A tuple; `(1, exception)` is an answer.
    fn push_tuple(&mut self, mut items: Vec<Entry>) -> Result<(), PickleError> {
        if let [
            Entry {
                object: Object::Value(Value::Int(_)),
                ..
            },
            Entry {
                object: Object::Error(_),
                ..
            },
        ] = items.as_slice()
            && let Some(Entry {
                object: Object::Error(error),
                depth,
                values,
                bytes,
            }) = items.pop()
        {
            return self.push(Entry {
                object: Object::Reply(Err(error)),
                depth,
                values,
                bytes,
            });
        }
        self.push_collection(items, |values| Ok(Value::Tuple(values)))
    }

    /// Puts items into the list or dict on the stack.
    fn extend(&mut self, items: Vec<Entry>) -> Result<(), PickleError> {
        let mut target = self.pop()?;
        for item in &items {
            target.depth = target.depth.max(1 + item.depth);
            target.values = target.values.saturating_add(item.values);
            target.bytes = target.bytes.saturating_add(item.bytes);
        }
        let values = only_values(items)?;
        match &mut target.object {
            Object::Value(Value::List(list)) => list.extend(values),
            Object::Value(Value::Dict(dict)) => dict.extend(pairs(values)?),
            _ => return Err(PickleError::Malformed("items for something that holds none")),
        }
        self.push(target)
    }

    /// Puts a copy of the top into the memo.
    ///
    /// A list or dict is remembered when it is made, before it is filled, because Python's memo holds references. Since
    /// values here are copies, a list that is used twice could not be told from the empty one: only what does not change
    /// is remembered, and [`Machine::recall`] refuses the rest.
    fn remember(&mut self, index: u64) -> Result<(), PickleError> {
        let top = self.stack.last().ok_or(PickleError::Malformed("the stack is empty"))?;
        let entry = match &top.object {
            Object::Value(Value::List(_) | Value::Dict(_)) => changing(),
            Object::Value(Value::Tuple(_)) if top.values > 16 => changing(),
            _ => top.clone(),
        };
        self.memo.insert(index, entry);
        Ok(())
    }

    fn recall(&mut self, index: u64) -> Result<(), PickleError> {
        let entry = self
            .memo
            .get(&index)
            .ok_or(PickleError::Malformed("a memo index that was never set"))?
            .clone();
        if entry.depth == 0 {
            return Err(PickleError::Malformed(
                "the same list, dict or large tuple in two places",
            ));
        }
        self.push_copy(entry)
    }

    fn push_global(&mut self, module: &str, name: &str) -> Result<(), PickleError> {
        // Protocols below 3 write Python 2's names.
        let module = if matches!(module, "__builtin__" | "exceptions") {
            "builtins"
        } else {
            module
        };
        let callable = match (module, name) {
            ("builtins", "str" | "unicode") => Callable::Str,
            ("builtins", "list" | "set" | "frozenset") => Callable::List,
            _ => ErrorClass::ALL
                .into_iter()
                .find(|class| class.module() == module && class.name() == name)
                .map(Callable::Error)
                .ok_or_else(|| PickleError::Forbidden(format!("{module}.{name}").chars().take(100).collect()))?,
        };
        self.push(Entry {
            object: Object::Global(callable),
            depth: 1,
            values: 1,
            bytes: 0,
        })
    }

    fn reduce(&mut self) -> Result<(), PickleError> {
        let arguments = self.pop()?;
        let callable = self.pop()?;
        let (Object::Global(callable), Object::Value(Value::Tuple(args))) = (callable.object, arguments.object) else {
            return Err(PickleError::Malformed("a call of something that cannot be called"));
        };
        let object = match callable {
            Callable::Error(class) => Object::Error(RemoteError { class, args }),
            Callable::Str => match args.as_slice() {
                [Value::Str(text)] => Object::Value(Value::Addr(text.clone())),
                _ => return Err(PickleError::Malformed("a text made of something else")),
            },
            Callable::List => match <[Value; 1]>::try_from(args) {
                Ok([Value::List(items)]) => Object::Value(Value::List(items)),
                _ => return Err(PickleError::Malformed("a set made of something else")),
            },
        };
        self.push(Entry {
            object,
            ..arguments_of(arguments.depth, arguments.values, arguments.bytes)
        })
    }
}

fn changing() -> Entry {
    arguments_of(0, 0, 0)
}

fn arguments_of(depth: usize, values: usize, bytes: usize) -> Entry {
    Entry {
        object: Object::Value(Value::None),
        depth,
        values,
        bytes,
    }
}

fn only_values(items: Vec<Entry>) -> Result<Vec<Value>, PickleError> {
    let value = |item: Entry| match item.object {
        Object::Value(value) => Ok(value),
        Object::Error(error) => Ok(Value::Str(error.to_string())),
        Object::Global(_) | Object::Reply(_) => Err(PickleError::Malformed("a class where a value belongs")),
    };
    items.into_iter().map(value).collect()
}

fn pairs(values: Vec<Value>) -> Result<Vec<(Value, Value)>, PickleError> {
    let mut values = values.into_iter();
    let mut pairs = Vec::with_capacity(values.len() / 2);
    while let Some(key) = values.next() {
        pairs.push((
            key,
            values.next().ok_or(PickleError::Malformed("a key without a value"))?,
        ));
    }
    Ok(pairs)
}

/// Text as Python writes it: UTF-8, with lone surrogates, which become U+FFFD.
fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Protocol 0: Latin-1 with `\uXXXX` and `\UXXXXXXXX`.
fn raw_unicode_escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let digits = match (byte, tail.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => 0,
        };
        let code = tail
            .get(1..=digits)
            .filter(|_| digits > 0)
            .and_then(|hex| std::str::from_utf8(hex).ok());
        if let Some(code) = code.and_then(|hex| u32::from_str_radix(hex, 16).ok()) {
            out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            rest = tail.get(1 + digits..).unwrap_or_default();
        } else {
            out.push(char::from(byte));
        }
    }
    out
}

/// Protocol 0's strings of Python 2: in quotes, with back-slash escapes.
fn quoted(bytes: &[u8]) -> Option<String> {
    let quote = *bytes.first()?;
    let inner = bytes.strip_prefix(&[quote])?.strip_suffix(&[quote])?;
    if !matches!(quote, b'\'' | b'"') {
        return None;
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next()? {
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'x' => {
                let digits = [bytes.next()?, bytes.next()?];
                out.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
            }
            other => out.push(other),
        }
    }
    Some(text_of(&out))
}
