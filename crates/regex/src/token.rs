//! The pattern as characters and escape pairs, one ahead, as CPython's tokenizer reads it.

use std::ops::Range;

use crate::error::PatternError;

/// A character, or a backslash with the character after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) character: char,
    pub(crate) escaped: bool,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Token {
    /// Whether the token is this character, unescaped.
    pub(crate) fn is(self, character: char) -> bool {
        !self.escaped && self.character == character
    }
}

/// Where in the pattern we read.
#[derive(Debug)]
pub(crate) struct Tokens<'p> {
    pattern: &'p str,
    next: Option<Token>,
}

impl<'p> Tokens<'p> {
    pub(crate) fn new(pattern: &'p str) -> Result<Self, PatternError> {
        let mut tokens = Self { pattern, next: None };
        tokens.next = tokens.read(0)?;
        Ok(tokens)
    }

    fn read(&self, start: usize) -> Result<Option<Token>, PatternError> {
        let mut characters = self.pattern.get(start..).unwrap_or_default().chars();
        let Some(character) = characters.next() else {
            return Ok(None);
        };
        if character != '\\' {
            let end = start + character.len_utf8();
            return Ok(Some(Token {
                character,
                escaped: false,
                start,
                end,
            }));
        }
        let Some(character) = characters.next() else {
            return Err(PatternError::new(
                "bad escape (end of pattern)",
                start..self.pattern.len(),
            ));
        };
        Ok(Some(Token {
            character,
            escaped: true,
            start,
            end: start + 1 + character.len_utf8(),
        }))
    }

    pub(crate) fn peek(&self) -> Option<Token> {
        self.next
    }

    /// Whether the next token is this character, unescaped.
    pub(crate) fn peek_is(&self, character: char) -> bool {
        self.next.is_some_and(|token| token.is(character))
    }

    /// Takes the next token. A lone backslash at the end is reported when it comes into view, as CPython does.
    pub(crate) fn take(&mut self) -> Result<Option<Token>, PatternError> {
        let token = self.next;
        if let Some(token) = token {
            self.next = self.read(token.end)?;
        }
        Ok(token)
    }

    /// Takes the next token if it is this character, unescaped.
    pub(crate) fn eat(&mut self, character: char) -> Result<bool, PatternError> {
        let found = self.peek_is(character);
        if found {
            self.take()?;
        }
        Ok(found)
    }

    /// Takes up to `limit` unescaped characters that satisfy `test`; returns what was taken.
    pub(crate) fn take_while(&mut self, limit: usize, test: impl Fn(char) -> bool) -> Result<&'p str, PatternError> {
        let start = self.position();
        for _ in 0..limit {
            if !self.next.is_some_and(|token| !token.escaped && test(token.character)) {
                break;
            }
            self.take()?;
        }
        Ok(self.text(start..self.position()))
    }

    /// The text up to `terminator`, which is taken too; `name` says in messages what was expected.
    pub(crate) fn take_until(&mut self, terminator: char, name: &str) -> Result<(&'p str, Range<usize>), PatternError> {
        let start = self.position();
        loop {
            let here = self.position();
            match self.take()? {
                None if here == start => return Err(self.error(format!("missing {name}"), here)),
                None => return Err(self.error(format!("missing {terminator}, unterminated name"), start)),
                Some(token) if token.is(terminator) => {
                    if here == start {
                        return Err(self.error(format!("missing {name}"), here));
                    }
                    return Ok((self.text(start..here), start..here));
                }
                Some(_) => {}
            }
        }
    }

    /// Goes back to an earlier place.
    pub(crate) fn seek(&mut self, start: usize) -> Result<(), PatternError> {
        self.next = self.read(start)?;
        Ok(())
    }

    /// Byte position of the next token.
    pub(crate) fn position(&self) -> usize {
        self.next.map_or(self.pattern.len(), |token| token.start)
    }

    pub(crate) fn text(&self, range: Range<usize>) -> &'p str {
        self.pattern.get(range).unwrap_or_default()
    }

    /// An error about everything from `start` to the next token.
    pub(crate) fn error(&self, message: impl Into<String>, start: usize) -> PatternError {
        PatternError::new(message, start..self.position().max(start))
    }
}
