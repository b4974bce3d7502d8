//! `bantime.formula` and `bantime.factor`: arithmetic as Python writes it, and nothing else of Python.
//!
//! Upstream hands these texts to Python's `eval`. Here they are read once into a small tree that knows numbers, the operators, a closed list
//! of functions, and what is known of the ban.

use std::fmt;

use parse::Parser;

mod evaluate;
mod parse;

/// A number as Python would have it: whole until divided or mixed with fractions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A whole number.
    Int(i128),
    /// A number that may have a fraction.
    Float(f64),
}

impl Number {
    /// As a fraction.
    #[expect(clippy::cast_precision_loss, reason = "Python's arithmetic does the same")]
    pub fn float(self) -> f64 {
        match self {
            Self::Int(number) => number as f64,
            Self::Float(number) => number,
        }
    }

    /// The whole part; what does not fit becomes the largest or smallest.
    #[expect(clippy::cast_possible_truncation, reason = "cut on purpose, and saturating")]
    pub fn whole(self) -> i64 {
        match self {
            Self::Int(number) => i64::try_from(number).unwrap_or(if number < 0 { i64::MIN } else { i64::MAX }),
            Self::Float(number) => number as i64,
        }
    }
}

impl fmt::Display for Number {
    /// As Python prints it: `600`, `5400.0`, `1e+16`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(number) => write!(f, "{number}"),
            Self::Float(number) if *number == 0.0 || (1e-4..1e16).contains(&number.abs()) => write!(f, "{number:?}"),
            Self::Float(number) => {
                let text = format!("{number:e}");
                match text.split_once('e') {
                    Some((digits, exponent)) => {
                        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
                        write!(f, "{digits}e{sign}{exponent:0>2}")
                    }
                    // Infinite, or no number at all.
                    None => f.write_str(&text.to_lowercase()),
                }
            }
        }
    }
}

/// What a formula may ask of a ban.
#[derive(Clone, Copy, Debug)]
pub struct Variables {
    /// `ban.Time`: how long the jail bans.
    pub time: Number,
    /// `ban.Count`: how many bans there were before.
    pub count: u32,
    /// `banFactor`, also `ban.Factor`.
    pub factor: Number,
}

/// An expression that can be computed.
#[derive(Clone, Debug, PartialEq)]
pub struct Formula(Expression);

#[derive(Clone, Debug, PartialEq)]
enum Expression {
    Number(Number),
    Variable(Variable),
    Unary(Unary, Box<Expression>),
    Binary(Binary, Box<Expression>, Box<Expression>),
    /// Comparisons in a chain: `a < b <= c`.
    Compare(Box<Expression>, Vec<(Comparison, Expression)>),
    /// Condition, then, else.
    If(Box<[Expression; 3]>),
    Call(Function, Vec<Expression>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Variable {
    Time,
    Count,
    Factor,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Unary {
    Minus,
    Plus,
    Not,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Modulo,
    Power,
    ShiftLeft,
    ShiftRight,
    And,
    Or,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Less,
    LessEqual,
    Equal,
    NotEqual,
    GreaterEqual,
    Greater,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Function {
    Min,
    Max,
    Abs,
    Int,
    Float,
    Round,
    Exp,
    Log,
    Log2,
    Log10,
    Sqrt,
    Pow,
    Floor,
    Ceil,
}

/// The functions and how many arguments they take.
const FUNCTIONS: &[(&str, Function, std::ops::RangeInclusive<usize>)] = &[
    ("min", Function::Min, 2..=64),
    ("max", Function::Max, 2..=64),
    ("abs", Function::Abs, 1..=1),
    ("int", Function::Int, 1..=1),
    ("float", Function::Float, 1..=1),
    ("round", Function::Round, 1..=1),
    ("math.exp", Function::Exp, 1..=1),
    ("math.log", Function::Log, 1..=2),
    ("math.log2", Function::Log2, 1..=1),
    ("math.log10", Function::Log10, 1..=1),
    ("math.sqrt", Function::Sqrt, 1..=1),
    ("math.pow", Function::Pow, 2..=2),
    ("math.floor", Function::Floor, 1..=1),
    ("math.ceil", Function::Ceil, 1..=1),
];

/// Why a text is no formula, or has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormulaError {
    /// More than 1 KiB, or nested too deep.
    TooLong,
    /// Nothing is there, or something is missing at the end.
    Ended,
    /// Something that has no place there.
    Unexpected(Box<str>),
    /// A name that is not known.
    Name(Box<str>),
    /// A function with too few or too many arguments.
    Arguments(&'static str),
    /// A division by zero.
    DivisionByZero,
    /// A number that is too large, or a value that a function has not.
    Range,
}

impl fmt::Display for FormulaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("it is longer than 1024 bytes or nested more than 64 deep"),
            Self::Ended => f.write_str("it ends where a number should be"),
            Self::Unexpected(text) => write!(f, "`{text}` is not understood"),
            Self::Name(name) => write!(f, "the name `{name}` is not known"),
            Self::Arguments(name) => write!(f, "`{name}` has too few or too many arguments"),
            Self::DivisionByZero => f.write_str("division by zero"),
            Self::Range => f.write_str("a number is too large, or a function has no value there"),
        }
    }
}

impl std::error::Error for FormulaError {}

impl Formula {
    /// Reads a formula. Fails with what is not understood.
    pub fn parse(text: &str) -> Result<Self, FormulaError> {
        Parser::read(text).map(Self)
    }

    /// What it comes to. Fails where Python would.
    pub fn evaluate(&self, ban: Variables) -> Result<Number, FormulaError> {
        self.0.evaluate(ban)
    }

    /// Whether it asks for something of the ban.
    pub fn has_variables(&self) -> bool {
        self.0.has_variables()
    }
}
