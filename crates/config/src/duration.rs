//! Spans of time as the configuration writes them: `10m`, `1d 12h`, `1h+30min`, `60*60`.
//!
//! Fail2Ban rewrites such a text to an expression and has Python evaluate it. This is the arithmetic of it and nothing
//! more: what else Python would have computed (`2**3`, `True`, a tuple for `1d,2h`) is refused. Behaviour spec 1.5.

use std::fmt;

use stockade_core::Seconds;

/// A number as Python would have it: whole numbers stay whole until divided or mixed with fractions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A whole number.
    Int(i64),
    /// A number that may have a fraction.
    Float(f64),
}

impl Number {
    /// Whole seconds, rounded down.
    pub fn seconds(self) -> Seconds {
        match self {
            Self::Int(number) => Seconds(number),
            // `as` saturates at the ends of i64; NaN cannot arise, see `divide`.
            #[expect(clippy::cast_possible_truncation, reason = "rounded down on purpose, and saturating")]
            Self::Float(number) => Seconds(number.floor() as i64),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "Python's arithmetic does the same")]
    fn float(self) -> f64 {
        match self {
            Self::Int(number) => number as f64,
            Self::Float(number) => number,
        }
    }
}

impl fmt::Display for Number {
    /// As Python prints it: `600`, `5400.0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number:?}"),
        }
    }
}

/// Why a text is no span of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DurationError {
    /// Nothing is there.
    Empty,
    /// A word that is no unit.
    Unit(String),
    /// Something that has no place there.
    Unexpected(String),
    /// The text ends where a number should be.
    Ended,
    /// A division by zero.
    DivisionByZero,
    /// More than fits in 64 bits.
    TooLarge,
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("no time is given"),
            Self::Unit(word) => write!(f, "`{word}` is no unit of time"),
            Self::Unexpected(text) => write!(f, "`{text}` is not understood"),
            Self::Ended => f.write_str("a number is missing at the end"),
            Self::DivisionByZero => f.write_str("it divides by zero"),
            Self::TooLarge => f.write_str("the number is too large"),
        }
    }
}

impl std::error::Error for DurationError {}

/// How a time is written; for the `mend` part of a message.
pub const MEND: &str = "write seconds, or numbers with s, m, h, d, w, mo or y: 600, 10m, 1d 12h; -1 is for ever";

/// Reads a span of time in seconds, rounded down; negative values are Fail2Ban's “for ever”.
///
/// ```
/// use stockade_config::duration::parse;
/// use stockade_core::Seconds;
/// assert_eq!(parse("1d 12h"), Ok(Seconds(129_600)));
/// assert_eq!(parse("1h30"), Ok(Seconds(3_630)), "a number without a unit is seconds");
/// ```
pub fn parse(text: &str) -> Result<Seconds, DurationError> {
    evaluate(text).map(Number::seconds)
}

/// Reads a span of time and keeps its fraction, as `fail2ban-client --str2sec` prints it.
pub fn evaluate(text: &str) -> Result<Number, DurationError> {
    let mut parser = Parser {
        rest: text.trim(),
        depth: 0,
    };
    if parser.rest.is_empty() {
        return Err(DurationError::Empty);
    }
    let number = parser.sum()?;
    if parser.rest.is_empty() {
        Ok(number)
    } else {
        Err(parser.unexpected())
    }
}

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

/// Brackets and signs within one another: a hostile value may not exhaust the stack.
const DEPTH_LIMIT: usize = 50;

impl Parser<'_> {
    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, character: char) -> bool {
        self.skip();
        let taken = self.rest.strip_prefix(character);
        self.rest = taken.unwrap_or(self.rest);
        taken.is_some()
    }

    fn unexpected(&self) -> DurationError {
        DurationError::Unexpected(self.rest.chars().take(20).collect())
    }

    /// `term`s with `+`, `-` or nothing between them; nothing adds.
    fn sum(&mut self) -> Result<Number, DurationError> {
        self.depth += 1;
        if self.depth > DEPTH_LIMIT {
            return Err(self.unexpected());
        }
        let mut total = self.product()?;
        loop {
            if self.take('+') {
                total = add(total, self.product()?)?;
            } else if self.take('-') {
                total = add(total, negative(self.product()?)?)?;
            } else if self.rest.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
                total = add(total, self.product()?)?;
            } else {
                self.depth -= 1;
                return Ok(total);
            }
        }
    }

    fn product(&mut self) -> Result<Number, DurationError> {
        let mut total = self.factor()?;
        loop {
            if self.take('*') {
                total = multiply(total, self.factor()?)?;
            } else if self.take('/') {
                total = divide(total, self.factor()?)?;
            } else {
                return Ok(total);
            }
        }
    }

    fn factor(&mut self) -> Result<Number, DurationError> {
        let mut minus = false;
        loop {
            if self.take('-') {
                minus = !minus;
            } else if !self.take('+') {
                break;
            }
        }
        let number = if self.take('(') {
            let inner = self.sum()?;
            if !self.take(')') {
                return Err(if self.rest.is_empty() {
                    DurationError::Ended
                } else {
                    self.unexpected()
                });
            }
            inner
        } else {
            self.number()?
        };
        if minus { negative(number) } else { Ok(number) }
    }

    fn number(&mut self) -> Result<Number, DurationError> {
        self.skip();
        if self.rest.is_empty() {
            return Err(DurationError::Ended);
        }
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        // Python refuses `007`, and Fail2Ban `5.h`; both are more likely slips than meant.
        let octal =
            digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.") && digits.contains(|c| c != '0');
        if digits.is_empty() || digits.ends_with('.') || octal {
            return Err(self.unexpected());
        }
        let number = if digits.contains('.') {
            let float: f64 = digits.parse().map_err(|_| self.unexpected())?;
            finite(float)?
        } else {
            Number::Int(digits.parse().map_err(|_| DurationError::TooLarge)?)
        };
        self.rest = rest.trim_start();
        let end = self
            .rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        if word.is_empty() || word.starts_with(|c: char| c.is_ascii_digit()) {
            return Ok(number);
        }
        // `1h30`: the unit ends where digits begin again.
        let end = word.find(|c: char| c.is_ascii_digit()).unwrap_or(word.len());
        let (name, _) = word.split_at(end);
        let unit = unit(name).ok_or_else(|| DurationError::Unit(word.chars().take(20).collect()))?;
        self.rest = self.rest.get(end..).unwrap_or(rest);
        multiply(number, unit)
    }
}

fn unit(name: &str) -> Option<Number> {
    Some(match name.to_ascii_lowercase().as_str() {
        "s" | "ss" | "sec" | "second" | "seconds" => Number::Int(1),
        "m" | "mi" | "mm" | "min" | "minute" | "minutes" => Number::Int(60),
        "h" | "hh" | "hou" | "hour" | "hours" => Number::Int(3_600),
        "d" | "da" | "dd" | "day" | "days" => Number::Int(86_400),
        "w" | "ww" | "wee" | "week" | "weeks" => Number::Int(604_800),
        // A twelfth of the year below; both are fractions in Fail2Ban.
        "mo" | "mon" | "month" | "months" => Number::Float(2_629_800.0),
        "y" | "yy" | "yea" | "year" | "years" => Number::Float(31_557_600.0),
        _ => return None,
    })
}

fn finite(number: f64) -> Result<Number, DurationError> {
    if number.is_finite() {
        Ok(Number::Float(number))
    } else {
        Err(DurationError::TooLarge)
    }
}

fn whole(number: Option<i64>) -> Result<Number, DurationError> {
    number.map(Number::Int).ok_or(DurationError::TooLarge)
}

fn add(a: Number, b: Number) -> Result<Number, DurationError> {
    match (a, b) {
        (Number::Int(a), Number::Int(b)) => whole(a.checked_add(b)),
        _ => finite(a.float() + b.float()),
    }
}

fn multiply(a: Number, b: Number) -> Result<Number, DurationError> {
    match (a, b) {
        (Number::Int(a), Number::Int(b)) => whole(a.checked_mul(b)),
        _ => finite(a.float() * b.float()),
    }
}

fn divide(a: Number, b: Number) -> Result<Number, DurationError> {
    if b.float() == 0.0 {
        Err(DurationError::DivisionByZero)
    } else {
        finite(a.float() / b.float())
    }
}

fn negative(number: Number) -> Result<Number, DurationError> {
    multiply(number, Number::Int(-1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computes_what_fail2ban_computes() {
        // `fail2ban-client --str2sec`, 1.0.2.
        for (text, printed) in [
            ("600", "600"),
            ("1d12h", "129600"),
            ("1d 12h", "129600"),
            ("1y 6mo", "47336400.0"),
            ("1h30", "3630"),
            ("1hour+30min", "5400"),
            ("1year-6mo", "15778800.0"),
            ("1h-2m", "3480"),
            ("60*60", "3600"),
            ("1.5h", "5400.0"),
            ("1M", "60"),
            ("-1", "-1"),
            ("-1d", "-86400"),
            ("1 h", "3600"),
            ("2*1h30m", "9000"),
            ("(1h+1m)*2", "7320"),
            ("1h/2", "1800.0"),
            ("3/2", "1.5"),
            ("1.0", "1.0"),
            (" 1h ", "3600"),
            (".5h", "1800.0"),
            ("1h1", "3601"),
            ("- 1", "-1"),
            ("+1", "1"),
            ("1h *2", "7200"),
            ("1h30m10s", "5410"),
            ("1 2", "3"),
            ("1--2", "3"),
            ("1mon", "2629800.0"),
            ("1ww", "604800"),
            ("1 day 2 hours", "93600"),
            ("1hou", "3600"),
            ("1mo1", "2629801.0"),
            ("-1h30m", "-1800"),
            ("1d+-1h", "82800"),
        ] {
            assert_eq!(evaluate(text).unwrap().to_string(), printed, "{text}");
        }
    }

    #[test]
    fn refuses_what_fail2ban_refuses_and_what_python_would_compute_beyond_times() {
        for text in [
            "",
            "abc",
            "1secs",
            "1mins",
            "1hr",
            "1hrs",
            "1mons",
            "1yrs",
            "forever",
            "1e3",
            "0x10",
            "1x",
            "1d,2h",
            "5.h",
            "007",
            "h",
            "1das",
            "1d-",
            "*2",
            "1/0",
            "1h;",
            "2**3",
            "True",
            "1h,",
            "(1",
            "1)",
            "99999999999999999999",
            "99999999999999w",
        ] {
            parse(text).unwrap_err();
        }
        parse(&"(".repeat(100_000)).unwrap_err();
        parse(&"-".repeat(100_000)).unwrap_err();
    }
}
