//! What the server answers.

use std::fmt;

use crate::repr::repr;

/// A value as Python knows it: what travels on the socket and what `-d` prints.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `None`
    None,
    /// `True`, `False`
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
    /// Text.
    Str(String),
    /// An address or network object: travels as `str(…)` by REDUCE, shows as text.
    Addr(String),
    /// `bytes`
    Bytes(Vec<u8>),
    /// `[…]`
    List(Vec<Value>),
    /// `(…)`
    Tuple(Vec<Value>),
    /// `{…}`, in insertion order.
    Dict(Vec<(Value, Value)>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Str(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Str(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

/// `(0, value)` or `(1, exception)`.
pub type Reply = Result<Value, RemoteError>;

/// An exception as Fail2Ban's server would raise it.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteError {
    /// Its class.
    pub class: ErrorClass,
    /// Its arguments; `str(exc)` shows the only one, or all of them as a tuple.
    pub args: Vec<Value>,
}

/// Exception classes that clients know by name (behaviour spec 7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// `builtins.Exception`
    Exception,
    /// `builtins.IndexError`
    IndexError,
    /// `builtins.KeyError`
    KeyError,
    /// `builtins.ValueError`
    ValueError,
    /// `builtins.TypeError`
    TypeError,
    /// `builtins.AttributeError`
    AttributeError,
    /// `builtins.NameError`
    NameError,
    /// `builtins.SyntaxError`
    SyntaxError,
    /// `builtins.FileNotFoundError`
    FileNotFoundError,
    /// `builtins.RuntimeError`
    RuntimeError,
    /// `builtins.LookupError`
    LookupError,
    /// `fail2ban.exceptions.UnknownJailException`
    UnknownJail,
    /// `fail2ban.exceptions.DuplicateJailException`
    DuplicateJail,
    /// `fail2ban.server.failregex.RegexException`
    Regex,
}

impl ErrorClass {
    /// All classes.
    pub const ALL: [Self; 14] = [
        Self::Exception,
        Self::IndexError,
        Self::KeyError,
        Self::ValueError,
        Self::TypeError,
        Self::AttributeError,
        Self::NameError,
        Self::SyntaxError,
        Self::FileNotFoundError,
        Self::RuntimeError,
        Self::LookupError,
        Self::UnknownJail,
        Self::DuplicateJail,
        Self::Regex,
    ];

    /// The module that Python finds it in.
    pub const fn module(self) -> &'static str {
        match self {
            Self::UnknownJail | Self::DuplicateJail => "fail2ban.exceptions",
            Self::Regex => "fail2ban.server.failregex",
            _ => "builtins",
        }
    }

    /// Its name in that module.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exception => "Exception",
            Self::IndexError => "IndexError",
            Self::KeyError => "KeyError",
            Self::ValueError => "ValueError",
            Self::TypeError => "TypeError",
            Self::AttributeError => "AttributeError",
            Self::NameError => "NameError",
            Self::SyntaxError => "SyntaxError",
            Self::FileNotFoundError => "FileNotFoundError",
            Self::RuntimeError => "RuntimeError",
            Self::LookupError => "LookupError",
            Self::UnknownJail => "UnknownJailException",
            Self::DuplicateJail => "DuplicateJailException",
            Self::Regex => "RegexException",
        }
    }
}

impl RemoteError {
    /// An exception with one text.
    pub fn new(class: ErrorClass, text: impl Into<String>) -> Self {
        Self {
            class,
            args: vec![Value::Str(text.into())],
        }
    }
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.args.as_slice() {
            [] => Ok(()),
            // A KeyError shows the key and not the text.
            [only] if self.class == ErrorClass::KeyError => f.write_str(&repr(only)),
            [only] => only.fmt(f),
            // An error of the system: its number, its words and the file.
            [Value::Int(number), Value::Str(text), file] if self.class == ErrorClass::FileNotFoundError => {
                write!(f, "[Errno {number}] {text}: {}", repr(file))
            }
            args => f.write_str(&repr(&Value::Tuple(args.to_vec()))),
        }
    }
}

impl std::error::Error for RemoteError {}
