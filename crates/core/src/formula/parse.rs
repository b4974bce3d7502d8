//! From text to tree, with Python's precedence.

use super::{Binary, Comparison, Expression, FUNCTIONS, FormulaError, Number, Unary, Variable};

const LONGEST: usize = 1024;
const DEEPEST: usize = 64;

/// From loosest to tightest, below comparisons: Python knows `&` and `|` and `^` too, which no ban time needs.
const LEVELS: &[&[(&str, Binary)]] = &[
    &[("<<", Binary::ShiftLeft), (">>", Binary::ShiftRight)],
    &[("+", Binary::Add), ("-", Binary::Subtract)],
    &[
        ("*", Binary::Multiply),
        ("//", Binary::FloorDivide),
        ("/", Binary::Divide),
        ("%", Binary::Modulo),
    ],
];

const COMPARISONS: &[(&str, Comparison)] = &[
    ("<=", Comparison::LessEqual),
    (">=", Comparison::GreaterEqual),
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

#[derive(Clone, Debug, PartialEq)]
enum Token<'a> {
    Number(Number),
    /// A name with its dots.
    Name(&'a str),
    Sign(&'static str),
}

/// The longest come first, so that `**` is not two `*`.
const SIGNS: &[&str] = &[
    "**", "//", "<<", ">>", "<=", ">=", "==", "!=", "+", "-", "*", "/", "%", "<", ">", "(", ")", ",",
];

pub(super) struct Parser<'a> {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token<'a>>>,
    depth: usize,
}

type Parsed = Result<Expression, FormulaError>;

impl<'a> Parser<'a> {
    pub(super) fn read(text: &'a str) -> Parsed {
        if text.len() > LONGEST {
            return Err(FormulaError::TooLong);
        }
        let mut parser = Parser {
            tokens: tokens(text)?.into_iter().peekable(),
            depth: 0,
        };
        let expression = parser.expression()?;
        match parser.tokens.next() {
            None => Ok(expression),
            Some(token) => Err(unexpected(&token)),
        }
    }

    fn accept(&mut self, wanted: &Token<'_>) -> bool {
        self.tokens.next_if(|token| token == wanted).is_some()
    }

    fn expect(&mut self, sign: &'static str) -> Result<(), FormulaError> {
        match self.tokens.next() {
            Some(Token::Sign(found)) if found == sign => Ok(()),
            Some(token) => Err(unexpected(&token)),
            None => Err(FormulaError::Ended),
        }
    }

    fn deeper<T>(&mut self, what: impl FnOnce(&mut Self) -> Result<T, FormulaError>) -> Result<T, FormulaError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(FormulaError::TooLong);
        }
        let outcome = what(self);
        self.depth -= 1;
        outcome
    }

    /// `a if b else c`
    fn expression(&mut self) -> Parsed {
        self.deeper(|parser| {
            let value = parser.either()?;
            if !parser.accept(&Token::Name("if")) {
                return Ok(value);
            }
            let condition = parser.either()?;
            match parser.tokens.next() {
                Some(Token::Name("else")) => {
                    let other = parser.expression()?;
                    Ok(Expression::If(Box::new([condition, value, other])))
                }
                Some(token) => Err(unexpected(&token)),
                None => Err(FormulaError::Ended),
            }
        })
    }

    fn either(&mut self) -> Parsed {
        let mut value = self.both()?;
        while self.accept(&Token::Name("or")) {
            value = Expression::Binary(Binary::Or, Box::new(value), Box::new(self.both()?));
        }
        Ok(value)
    }

    fn both(&mut self) -> Parsed {
        let mut value = self.negation()?;
        while self.accept(&Token::Name("and")) {
            value = Expression::Binary(Binary::And, Box::new(value), Box::new(self.negation()?));
        }
        Ok(value)
    }

    fn negation(&mut self) -> Parsed {
        if self.accept(&Token::Name("not")) {
            let value = self.deeper(Self::negation)?;
            return Ok(Expression::Unary(Unary::Not, Box::new(value)));
        }
        let first = self.level(LEVELS)?;
        let mut rest = Vec::new();
        while let Some(comparison) = self.operator(COMPARISONS) {
            rest.push((comparison, self.level(LEVELS)?));
        }
        Ok(if rest.is_empty() {
            first
        } else {
            Expression::Compare(Box::new(first), rest)
        })
    }

    fn operator<T: Copy>(&mut self, known: &[(&str, T)]) -> Option<T> {
        let Some(Token::Sign(sign)) = self.tokens.peek() else {
            return None;
        };
        let (_, operator) = known.iter().find(|(name, _)| name == sign)?;
        self.tokens.next();
        Some(*operator)
    }

    fn level(&mut self, levels: &[&[(&str, Binary)]]) -> Parsed {
        let Some((operators, tighter)) = levels.split_first() else {
            return self.signed();
        };
        let mut value = self.level(tighter)?;
        while let Some(operator) = self.operator(operators) {
            value = Expression::Binary(operator, Box::new(value), Box::new(self.level(tighter)?));
        }
        Ok(value)
    }

    /// `-a`; a power binds tighter to its left: `-2**2` is -4.
    fn signed(&mut self) -> Parsed {
        let sign = self.operator(&[("-", Unary::Minus), ("+", Unary::Plus)]);
        if let Some(sign) = sign {
            let value = self.deeper(Self::signed)?;
            return Ok(Expression::Unary(sign, Box::new(value)));
        }
        let base = self.atom()?;
        if !self.accept(&Token::Sign("**")) {
            return Ok(base);
        }
        let exponent = self.deeper(Self::signed)?;
        Ok(Expression::Binary(Binary::Power, Box::new(base), Box::new(exponent)))
    }

    fn atom(&mut self) -> Parsed {
        match self.tokens.next().ok_or(FormulaError::Ended)? {
            Token::Number(number) => Ok(Expression::Number(number)),
            Token::Sign("(") => {
                let value = self.expression()?;
                self.expect(")")?;
                Ok(value)
            }
            Token::Name(name) => self.named(name),
            token @ Token::Sign(_) => Err(unexpected(&token)),
        }
    }

    fn named(&mut self, name: &str) -> Parsed {
        let constant = |number| Ok(Expression::Number(number));
        match name {
            "ban.Time" => Ok(Expression::Variable(Variable::Time)),
            "ban.Count" => Ok(Expression::Variable(Variable::Count)),
            "banFactor" | "ban.Factor" => Ok(Expression::Variable(Variable::Factor)),
            "math.pi" => constant(Number::Float(std::f64::consts::PI)),
            "math.e" => constant(Number::Float(std::f64::consts::E)),
            "True" => constant(Number::Int(1)),
            "False" => constant(Number::Int(0)),
            name => {
                let (known, function, counts) = FUNCTIONS
                    .iter()
                    .find(|(known, ..)| *known == name)
                    .ok_or_else(|| FormulaError::Name(name.into()))?;
                self.expect("(")?;
                let mut arguments = Vec::new();
                while !self.accept(&Token::Sign(")")) {
                    if !arguments.is_empty() {
                        self.expect(",")?;
                        if self.accept(&Token::Sign(")")) {
                            break;
                        }
                    }
                    arguments.push(self.expression()?);
                }
                if counts.contains(&arguments.len()) {
                    Ok(Expression::Call(*function, arguments))
                } else {
                    Err(FormulaError::Arguments(known))
                }
            }
        }
    }
}

fn unexpected(token: &Token<'_>) -> FormulaError {
    match token {
        Token::Number(number) => FormulaError::Unexpected(number.to_string().into()),
        Token::Name(name) => FormulaError::Unexpected((*name).into()),
        Token::Sign(sign) => FormulaError::Unexpected((*sign).into()),
    }
}

fn tokens(text: &str) -> Result<Vec<Token<'_>>, FormulaError> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let token =
            if first.is_ascii_digit() || (first == '.' && rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit)) {
                let (number, after) = number(rest)?;
                rest = after;
                Token::Number(number)
            } else if first.is_ascii_alphabetic() || first == '_' {
                let end = rest
                    .find(|character: char| !character.is_ascii_alphanumeric() && !matches!(character, '_' | '.'))
                    .unwrap_or(rest.len());
                let (name, after) = rest.split_at(end);
                rest = after;
                Token::Name(name)
            } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
                rest = rest.get(sign.len()..).unwrap_or_default();
                Token::Sign(sign)
            } else {
                return Err(FormulaError::Unexpected(first.escape_default().to_string().into()));
            };
        tokens.push(token);
        rest = rest.trim_start();
    }
    Ok(tokens)
}

/// A number at the start of a text, and what comes after it: `60`, `1_000`, `1.5`, `2e3`.
fn number(text: &str) -> Result<(Number, &str), FormulaError> {
    let mut end = 0;
    let mut before = ' ';
    for character in text.chars() {
        let sign_of_exponent = matches!(character, '+' | '-') && matches!(before, 'e' | 'E');
        if !(character.is_ascii_alphanumeric() || matches!(character, '.' | '_') || sign_of_exponent) {
            break;
        }
        before = character;
        end += 1;
    }
    let (written, after) = text.split_at(end);
    let unread = || FormulaError::Unexpected(written.into());
    let between = written
        .as_bytes()
        .windows(3)
        .filter(|window| matches!(window, [a, b'_', c] if a.is_ascii_digit() && c.is_ascii_digit()));
    if between.count() != written.matches('_').count() {
        return Err(unread());
    }
    let plain = written.replace('_', "");
    if plain.bytes().all(|byte| byte.is_ascii_digit()) {
        // Python takes `00` and refuses `07`, which in other languages is octal.
        if plain.len() > 1 && plain.starts_with('0') && plain.bytes().any(|byte| byte != b'0') {
            return Err(unread());
        }
        return match plain.parse() {
            Ok(number) => Ok((Number::Int(number), after)),
            Err(_) => Err(FormulaError::Range),
        };
    }
    let allowed = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-');
    match plain.parse() {
        Ok(number) if plain.bytes().all(allowed) => Ok((Number::Float(number), after)),
        _ => Err(unread()),
    }
}
