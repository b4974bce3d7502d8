//! Reading protocols 0 to 5, as far as values need them.

use std::collections::HashMap;
use std::fmt;

use super::text::{quoted, raw_unicode_escape, text_of};
use crate::{ErrorClass, RemoteError, Reply, Value};

/// Values may be nested so deep; Fail2Ban's own messages need eight.
const DEPTH_LIMIT: usize = 64;

/// A message may mean so many values; those that it uses in several places count each time. A jail needs about a hundred.
const VALUE_LIMIT: usize = 1_000_000;

/// Text that a message uses in several places may come to so many bytes.
const TEXT_LIMIT_BYTES: usize = 128 << 20;

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
    let (machine, result) = read(bytes, Errors::Known)?;
    machine.tree().value(result, 0)
}

/// Reads what a server answers: `(0, value)` or `(1, exception)`.
///
/// A bare text, which Fail2Ban sends when it could not read the command, is an error with that text.
///
/// # Errors
/// As [`decode`], and if it is not an answer.
pub fn decode_reply(bytes: &[u8]) -> Result<Reply, PickleError> {
    let (machine, result) = read(bytes, Errors::Any)?;
    let mut tree = machine.tree();
    if let Some(Node::Tuple(items) | Node::List(items)) = machine.nodes.get(result)
        && let [code, answer] = *items.as_slice()
        && let Value::Int(code) = tree.value(code, 1)?
    {
        if let Some(Node::Error(class, args)) = machine.nodes.get(answer) {
            let Value::Tuple(args) = tree.value(*args, 1)? else {
                return Err(PickleError::Malformed("an exception without arguments"));
            };
            return Ok(Err(RemoteError { class: *class, args }));
        }
        if let Some(Node::Fault(args)) = machine.nodes.get(answer) {
            let Value::Tuple(args) = tree.value(*args, 1)? else {
                return Err(PickleError::Malformed("an exception without arguments"));
            };
            return Ok(Err(json_fault(args)));
        }
        let answer = tree.value(answer, 1)?;
        return Ok(if code == 0 {
            Ok(answer)
        } else {
            Err(RemoteError {
                class: ErrorClass::Exception,
                args: vec![answer],
            })
        });
    }
    match tree.value(result, 0)? {
        Value::Str(text) => Ok(Err(RemoteError::new(ErrorClass::Exception, text))),
        Value::List(args) => Ok(Err(RemoteError {
            class: ErrorClass::Exception,
            args,
        })),
        _ => Err(PickleError::Malformed("neither an answer nor an exception")),
    }
}

/// Which exceptions may be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Errors {
    /// Those of [`ErrorClass`].
    Known,
    /// Whatever is called so: a server may have failed in any way. It is shown as an exception of no special kind, and never called.
    Any,
}

/// Python's fault of JSON carries the text and the place of it beside the words.
fn json_fault(args: Vec<Value>) -> RemoteError {
    let [Value::Str(what), Value::Str(text), Value::Int(place)] = args.as_slice() else {
        return RemoteError {
            class: ErrorClass::ValueError,
            args,
        };
    };
    let before = text.chars().take(usize::try_from(*place).unwrap_or(0));
    let (mut line, mut column) = (1, 1);
    for character in before {
        (line, column) = if character == '\n' {
            (line + 1, 1)
        } else {
            (line, column + 1)
        };
    }
    let text = format!("{what}: line {line} column {column} (char {place})");
    RemoteError::new(ErrorClass::ValueError, text)
}

/// What a message makes. Nodes hold the places of others, as Python's objects refer to others: one may be used twice.
#[derive(Clone, Debug)]
enum Node {
    Leaf(Value),
    List(Vec<usize>),
    Tuple(Vec<usize>),
    Dict(Vec<usize>),
    /// A callable of the closed table.
    Global(Callable),
    /// `str(text)`; the place of the text.
    Addr(usize),
    /// An exception that was made, with the place of its tuple of arguments.
    Error(ErrorClass, usize),
    /// A fault of JSON, with the place of its tuple of arguments.
    Fault(usize),
}

#[derive(Clone, Copy, Debug)]
enum Callable {
    Str,
    List,
    Error(ErrorClass),
    Fault,
}

fn read(bytes: &[u8], errors: Errors) -> Result<(Machine<'_>, usize), PickleError> {
    let mut machine = Machine {
        rest: bytes,
        errors,
        nodes: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    loop {
        if let Some(result) = machine.step()? {
            return Ok((machine, result));
        }
    }
}

/// Makes values of nodes, within the limits.
struct Tree<'a> {
    nodes: &'a [Node],
    made: usize,
    text_bytes: usize,
}

impl Tree<'_> {
    fn value(&mut self, node: usize, depth: usize) -> Result<Value, PickleError> {
        self.made += 1;
        // A list that holds itself ends here too.
        if depth > DEPTH_LIMIT || self.made > VALUE_LIMIT {
            return Err(PickleError::TooLarge);
        }
        let depth = depth + 1;
        match self.nodes.get(node) {
            Some(Node::Leaf(value)) => {
                self.text_bytes += match value {
                    Value::Str(text) | Value::Addr(text) => text.len(),
                    Value::Bytes(bytes) => bytes.len(),
                    _ => 0,
                };
                if self.text_bytes > TEXT_LIMIT_BYTES {
                    return Err(PickleError::TooLarge);
                }
                Ok(value.clone())
            }
            Some(Node::Addr(text)) => match self.value(*text, depth)? {
                Value::Str(text) => Ok(Value::Addr(text)),
                _ => Err(PickleError::Malformed("a text made of something else")),
            },
            Some(Node::List(items)) => Ok(Value::List(self.values(items, depth)?)),
            Some(Node::Tuple(items)) => Ok(Value::Tuple(self.values(items, depth)?)),
            Some(Node::Dict(items)) => {
                let mut pairs = Vec::with_capacity(items.len() / 2);
                for pair in items.chunks(2) {
                    let [key, value] = *pair else {
                        return Err(PickleError::Malformed("a key without a value"));
                    };
                    pairs.push((self.value(key, depth)?, self.value(value, depth)?));
                }
                Ok(Value::Dict(pairs))
            }
            _ => Err(PickleError::Malformed("a class or an exception where a value belongs")),
        }
    }

    fn values(&mut self, items: &[usize], depth: usize) -> Result<Vec<Value>, PickleError> {
        items.iter().map(|item| self.value(*item, depth)).collect()
    }
}

struct Machine<'a> {
    rest: &'a [u8],
    errors: Errors,
    nodes: Vec<Node>,
    stack: Vec<usize>,
    marks: Vec<usize>,
    memo: HashMap<u64, usize>,
}

impl<'a> Machine<'a> {
    fn tree(&self) -> Tree<'_> {
        Tree {
            nodes: &self.nodes,
            made: 0,
            text_bytes: 0,
        }
    }

    /// Carries out one operation; yields the result at the end.
    fn step(&mut self) -> Result<Option<usize>, PickleError> {
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
            b'}' => self.push(Node::Dict(Vec::new()))?,
            b')' => self.push(Node::Tuple(Vec::new()))?,
            // Sets (0x8f, 0x90, 0x91), which a client may send, are lists here.
            b']' | 0x8f => self.push(Node::List(Vec::new()))?,
            b'l' | 0x91 => {
                let items = self.pop_mark()?;
                self.push(Node::List(items))?;
            }
            b't' => {
                let items = self.pop_mark()?;
                self.push(Node::Tuple(items))?;
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
                self.push(Node::Tuple(items))?;
            }
            b'd' => {
                let items = self.pop_mark()?;
                self.push(Node::Dict(items))?;
            }
            b'a' => {
                let item = self.pop()?;
                self.extend(&[item])?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.extend(&[key, value])?;
            }
            b'e' | b'u' | 0x90 => {
                let items = self.pop_mark()?;
                self.extend(&items)?;
            }
            b'2' => {
                let top = *self.stack.last().ok_or(PickleError::Malformed("the stack is empty"))?;
                self.stack.push(top);
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

    fn push(&mut self, node: Node) -> Result<(), PickleError> {
        if self.nodes.len() >= VALUE_LIMIT {
            return Err(PickleError::TooLarge);
        }
        self.stack.push(self.nodes.len());
        self.nodes.push(node);
        Ok(())
    }

    fn push_value(&mut self, value: Value) -> Result<(), PickleError> {
        self.push(Node::Leaf(value))
    }

    fn pop(&mut self) -> Result<usize, PickleError> {
        if self.marks.last().is_some_and(|mark| *mark >= self.stack.len()) {
            return Err(PickleError::Malformed("nothing lies above the mark"));
        }
        self.stack.pop().ok_or(PickleError::Malformed("the stack is empty"))
    }

    fn pop_text(&mut self) -> Result<String, PickleError> {
        let top = self.pop()?;
        match self.nodes.get(top) {
            Some(Node::Leaf(Value::Str(text))) if text.len() < 200 => Ok(text.clone()),
            _ => Err(PickleError::Malformed("a name that is not text")),
        }
    }

    fn pop_mark(&mut self) -> Result<Vec<usize>, PickleError> {
        let mark = self.marks.pop().ok_or(PickleError::Malformed("there is no mark"))?;
        if mark > self.stack.len() {
            return Err(PickleError::Malformed("the mark lies above the stack"));
        }
        Ok(self.stack.split_off(mark))
    }

    /// Puts items into the list or dict on the stack.
    fn extend(&mut self, items: &[usize]) -> Result<(), PickleError> {
        let target = *self.stack.last().ok_or(PickleError::Malformed("the stack is empty"))?;
        match self.nodes.get_mut(target) {
            Some(Node::List(list) | Node::Dict(list)) => list.extend_from_slice(items),
            _ => return Err(PickleError::Malformed("items for something that holds none")),
        }
        Ok(())
    }

    fn remember(&mut self, index: u64) -> Result<(), PickleError> {
        let top = *self.stack.last().ok_or(PickleError::Malformed("the stack is empty"))?;
        self.memo.insert(index, top);
        Ok(())
    }

    fn recall(&mut self, index: u64) -> Result<(), PickleError> {
        let node = *self
            .memo
            .get(&index)
            .ok_or(PickleError::Malformed("a memo index that was never set"))?;
        self.stack.push(node);
        Ok(())
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
            // So protocols below 3 call it; Python makes a FileNotFoundError of it by its number.
            ("builtins", "OSError") => Callable::Error(ErrorClass::FileNotFoundError),
            _ => ErrorClass::ALL
                .into_iter()
                .find(|class| class.module() == module && class.name() == name)
                .map(Callable::Error)
                .or_else(|| self.other_error(module, name))
                .ok_or_else(|| PickleError::Forbidden(format!("{module}.{name}").chars().take(100).collect()))?,
        };
        self.push(Node::Global(callable))
    }

    fn other_error(&self, module: &str, name: &str) -> Option<Callable> {
        let is_error = ["Error", "Exception", "Warning"].iter().any(|end| name.ends_with(end));
        match (self.errors, module) {
            (Errors::Any, "json.decoder") if is_error => Some(Callable::Fault),
            (Errors::Any, _) if is_error => Some(Callable::Error(ErrorClass::Exception)),
            _ => None,
        }
    }

    /// Calls what the closed table has: makes a text, a list or an exception.
    fn reduce(&mut self) -> Result<(), PickleError> {
        const MALFORMED: PickleError = PickleError::Malformed("a call that makes no value");
        let arguments = self.pop()?;
        let callable = self.pop()?;
        let Some(Node::Tuple(args)) = self.nodes.get(arguments) else {
            return Err(MALFORMED);
        };
        // Nothing is copied: a short message could ask for many copies.
        let node = match (self.nodes.get(callable), args.as_slice()) {
            (Some(Node::Global(Callable::Error(class))), _) => Node::Error(*class, arguments),
            (Some(Node::Global(Callable::Fault)), _) => Node::Fault(arguments),
            (Some(Node::Global(Callable::Str)), [text]) => Node::Addr(*text),
            (Some(Node::Global(Callable::List)), [list]) => {
                self.stack.push(*list);
                return Ok(());
            }
            _ => return Err(MALFORMED),
        };
        self.push(node)
    }
}
