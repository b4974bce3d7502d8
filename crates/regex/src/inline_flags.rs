//! Flags inside a pattern: `(?i)` for all of it, `(?i-s:…)` for a group.

use crate::Flags;
use crate::error::PatternError;
use crate::parse::Parser;
use crate::token::Token;

/// `(?on-off:`
#[derive(Clone, Copy, Default)]
pub(crate) struct FlagChange {
    pub(crate) on: Flags,
    pub(crate) off: Flags,
    unicode: bool,
}

impl FlagChange {
    pub(crate) fn apply(self, flags: Flags) -> Flags {
        let pick = |was: bool, on: bool, off: bool| (was || on) && !off;
        Flags {
            ignore_case: pick(flags.ignore_case, self.on.ignore_case, self.off.ignore_case),
            multi_line: pick(flags.multi_line, self.on.multi_line, self.off.multi_line),
            dot_all: pick(flags.dot_all, self.on.dot_all, self.off.dot_all),
            verbose: pick(flags.verbose, self.on.verbose, self.off.verbose),
            ascii: pick(flags.ascii, self.on.ascii, self.unicode),
        }
    }
}

impl Parser<'_> {
    /// Flags after `(?`; `None` if they are global, that is, closed by `)`.
    pub(crate) fn inline_flags(&mut self, first: Token) -> Result<Option<FlagChange>, PatternError> {
        let mut change = FlagChange::default();
        let mut token = first;
        if !token.is('-') {
            loop {
                self.turn_on(&mut change, token)?;
                token = self.flag_token("missing -, : or )")?;
                if token.is(')') || token.is('-') || token.is(':') {
                    break;
                }
                if token.escaped || !is_flag(token.character) {
                    return Err(self.not_a_flag(token, "missing -, : or )"));
                }
            }
        }
        if token.is(')') {
            self.asked_unicode |= change.unicode;
            // Asking for both globally is refused in the end; a group may choose.
            self.flags = FlagChange {
                unicode: false,
                ..change
            }
            .apply(self.flags);
            return Ok(None);
        }
        if token.is('-') {
            token = self.flag_token("missing flag")?;
            if token.escaped || !is_flag(token.character) {
                return Err(self.not_a_flag(token, "missing flag"));
            }
            loop {
                if matches!(token.character, 'a' | 'u' | 'L') {
                    let message = "bad inline flags: cannot turn off flags 'a', 'u' and 'L'";
                    return Err(self.tokens.error(message, self.tokens.position()));
                }
                set_flag(&mut change.off, token.character);
                token = self.flag_token("missing :")?;
                if token.is(':') {
                    break;
                }
                if token.escaped || !is_flag(token.character) {
                    return Err(self.not_a_flag(token, "missing :"));
                }
            }
        }
        let both = |pick: fn(Flags) -> bool| pick(change.on) && pick(change.off);
        if both(|flags| flags.ignore_case)
            || both(|flags| flags.multi_line)
            || both(|flags| flags.dot_all)
            || both(|flags| flags.verbose)
        {
            return Err(self
                .tokens
                .error("bad inline flags: flag turned on and off", token.start));
        }
        Ok(Some(change))
    }

    fn turn_on(&self, change: &mut FlagChange, token: Token) -> Result<(), PatternError> {
        let here = self.tokens.position();
        match token.character {
            'L' => {
                let message = "bad inline flags: cannot use 'L' flag with a str pattern";
                return Err(self.tokens.error(message, here));
            }
            // sre's undocumented template flag, gone in 3.13, makes every repetition an error.
            't' => {
                return Err(self
                    .tokens
                    .error("bad inline flags: flag 't' is not supported", token.start));
            }
            'u' => change.unicode = true,
            character => set_flag(&mut change.on, character),
        }
        if change.unicode && change.on.ascii {
            let message = "bad inline flags: flags 'a', 'u' and 'L' are incompatible";
            return Err(self.tokens.error(message, here));
        }
        Ok(())
    }

    fn flag_token(&mut self, missing: &str) -> Result<Token, PatternError> {
        match self.tokens.take()? {
            Some(token) => Ok(token),
            None => Err(self.tokens.error(missing, self.tokens.position())),
        }
    }

    fn not_a_flag(&self, token: Token, missing: &str) -> PatternError {
        let unknown = !token.escaped && token.character.is_alphabetic();
        self.tokens
            .error(if unknown { "unknown flag" } else { missing }, token.start)
    }
}

/// Whether the letter is one of Python's flags.
pub(crate) fn is_flag(character: char) -> bool {
    matches!(character, 'a' | 'i' | 'L' | 'm' | 's' | 't' | 'u' | 'x')
}

fn set_flag(flags: &mut Flags, character: char) {
    match character {
        'a' => flags.ascii = true,
        'i' => flags.ignore_case = true,
        'm' => flags.multi_line = true,
        's' => flags.dot_all = true,
        'x' => flags.verbose = true,
        _ => {}
    }
}
