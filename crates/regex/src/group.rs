//! Everything that begins with a parenthesis.

use std::fmt::Write;
use std::ops::Range;

use crate::ast::{Node, Side};
use crate::charset::is_word;
use crate::error::PatternError;
use crate::inline_flags::is_flag;
use crate::parse::{MAX_DEPTH, Parser, Scope, case};
use crate::token::Token;

/// What a parenthesis turned out to be.
pub(crate) enum Opened {
    Node(Node),
    Nothing,
    GlobalFlags,
}

impl Parser<'_> {
    pub(crate) fn group(&mut self, open: Token, scope: Scope) -> Result<Opened, PatternError> {
        if !self.tokens.eat('?')? {
            return self.capture(open, scope, None).map(Opened::Node);
        }
        let Some(kind) = self.tokens.take()? else {
            return Err(self.unexpected_end());
        };
        if kind.escaped {
            return Err(self.unknown_extension(open, kind));
        }
        let inner = Scope {
            depth: scope.depth + 1,
            top: false,
            ..scope
        };
        match kind.character {
            'P' => self.python_extension(open, scope),
            ':' => self.body(open, inner).map(Opened::Node),
            '>' => Ok(Opened::Node(Node::Atomic(Box::new(self.body(open, inner)?)))),
            '#' => loop {
                if self.tokens.peek().is_none() {
                    return Err(self.tokens.error("missing ), unterminated comment", open.start));
                }
                if self.tokens.take()?.is_some_and(|token| token.is(')')) {
                    return Ok(Opened::Nothing);
                }
            },
            '=' | '!' => {
                let leaf = self.begin_look(open);
                let node = self.body(open, inner)?;
                self.end_look(leaf);
                let negative = kind.character == '!';
                Ok(Opened::Node(Node::Look {
                    node: Box::new(node),
                    side: Side::Ahead,
                    negative,
                }))
            }
            '<' => self.look_behind(open, inner).map(Opened::Node),
            '(' => self.conditional(open, inner).map(Opened::Node),
            character if is_flag(character) || character == '-' => match self.inline_flags(kind)? {
                None => Ok(Opened::GlobalFlags),
                Some(change) => {
                    let flags = change.apply(scope.flags);
                    let verbose = (scope.verbose || change.on.verbose) && !change.off.verbose;
                    self.body(
                        open,
                        Scope {
                            flags,
                            verbose,
                            ..inner
                        },
                    )
                    .map(Opened::Node)
                }
            },
            _ => Err(self.unknown_extension(open, kind)),
        }
    }

    /// The alternation inside a group, and its closing parenthesis.
    fn body(&mut self, open: Token, scope: Scope) -> Result<Node, PatternError> {
        let node = self.alternation(scope)?;
        self.close(open)?;
        Ok(node)
    }

    /// A look-around comes before what is in it, so its place among the spans is taken when it begins.
    fn begin_look(&mut self, open: Token) -> usize {
        self.spans.push(open.start..open.end);
        self.spans.len() - 1
    }

    fn end_look(&mut self, leaf: usize) {
        let end = self.tokens.position();
        if let Some(span) = self.spans.get_mut(leaf) {
            span.end = end;
        }
    }

    fn close(&mut self, open: Token) -> Result<(), PatternError> {
        if self.tokens.eat(')')? {
            return Ok(());
        }
        Err(self.tokens.error("missing ), unterminated subpattern", open.start))
    }

    fn capture(&mut self, open: Token, scope: Scope, name: Option<(&str, Range<usize>)>) -> Result<Node, PatternError> {
        let group = self.widths.len();
        if let Some((name, span)) = name {
            if let Some(&(_, earlier)) = self.names.iter().find(|(known, _)| **known == *name) {
                let message = format!(
                    "redefinition of group name {} as group {group}; was group {earlier}",
                    quoted(name)
                );
                return Err(PatternError::new(message, span));
            }
            self.names.push((name.into(), group));
        }
        self.widths.push(None);
        let node = self.body(
            open,
            Scope {
                depth: scope.depth + 1,
                top: false,
                ..scope
            },
        )?;
        let width = self.width(&node);
        if let Some(slot) = self.widths.get_mut(group) {
            *slot = Some(width);
        }
        Ok(Node::Group(group, Box::new(node)))
    }

    fn python_extension(&mut self, open: Token, scope: Scope) -> Result<Opened, PatternError> {
        if self.tokens.eat('<')? {
            let (name, span) = self.group_name('>')?;
            return self.capture(open, scope, Some((&name, span))).map(Opened::Node);
        }
        if self.tokens.eat('=')? {
            let (name, span) = self.group_name(')')?;
            let group = self.named_group(&name, &span)?;
            if !self.is_closed(group) {
                return Err(PatternError::new("cannot refer to an open group", span));
            }
            self.check_look_behind(group)?;
            self.spans.push(open.start..self.tokens.position());
            return Ok(Opened::Node(Node::Backreference {
                group,
                case: case(scope.flags),
            }));
        }
        let Some(token) = self.tokens.take()? else {
            return Err(self.unexpected_end());
        };
        let written = self.tokens.text(token.start..token.end);
        Err(self
            .tokens
            .error(format!("unknown extension ?P{written}"), open.start + 1))
    }

    fn group_name(&mut self, terminator: char) -> Result<(String, Range<usize>), PatternError> {
        let (name, span) = self.tokens.take_until(terminator, "group name")?;
        if is_identifier(name) {
            return Ok((name.to_owned(), span));
        }
        Err(PatternError::new(
            format!("bad character in group name {}", quoted(name)),
            span,
        ))
    }

    fn named_group(&self, name: &str, span: &Range<usize>) -> Result<usize, PatternError> {
        let known = self.names.iter().find(|(known, _)| **known == *name);
        known
            .map(|&(_, group)| group)
            .ok_or_else(|| PatternError::new(format!("unknown group name {}", quoted(name)), span.clone()))
    }

    fn look_behind(&mut self, open: Token, inner: Scope) -> Result<Node, PatternError> {
        let Some(kind) = self.tokens.take()? else {
            return Err(self.unexpected_end());
        };
        if !kind.is('=') && !kind.is('!') {
            let written = self.tokens.text(kind.start..kind.end);
            return Err(self
                .tokens
                .error(format!("unknown extension ?<{written}"), open.start + 1));
        }
        let leaf = self.begin_look(open);
        let outer = self.look_behind_groups;
        self.look_behind_groups = outer.or(Some(self.widths.len()));
        let node = self.alternation(inner)?;
        self.look_behind_groups = outer;
        self.close(open)?;
        self.end_look(leaf);
        let (min, max) = self.width(&node);
        let span = open.start..self.tokens.position();
        let width = usize::try_from(min).unwrap_or(usize::MAX);
        if min > u64::from(u32::MAX) {
            self.late_error
                .get_or_insert(PatternError::new("looks too much behind", span));
        } else if min != max {
            self.late_error
                .get_or_insert(PatternError::new("look-behind requires fixed-width pattern", span));
        }
        Ok(Node::Look {
            node: Box::new(node),
            side: Side::Behind(width),
            negative: kind.is('!'),
        })
    }

    fn conditional(&mut self, open: Token, inner: Scope) -> Result<Node, PatternError> {
        let (name, span) = self.tokens.take_until(')', "group name")?;
        let group = if is_identifier(name) {
            self.named_group(name, &span)?
        } else {
            let Some(group) = python_integer(name) else {
                return Err(PatternError::new(
                    format!("bad character in group name {}", quoted(name)),
                    span,
                ));
            };
            if group == 0 {
                return Err(PatternError::new("bad group number", span));
            }
            // sre's MAXGROUPS on 64-bit machines.
            if group >= usize::try_from(i32::MAX / 2).unwrap_or(usize::MAX) {
                return Err(PatternError::new(format!("invalid group reference {group}"), span));
            }
            if !self.number_tests.iter().any(|(known, _)| *known == group) {
                self.number_tests.push((group, span));
            }
            group
        };
        self.check_look_behind(group)?;
        if inner.depth > MAX_DEPTH {
            return Err(self
                .tokens
                .error(format!("groups are nested more than {MAX_DEPTH} deep"), open.start));
        }
        let yes = self.sequence(inner, false)?;
        let mut no = Node::Empty;
        if self.tokens.eat('|')? {
            no = self.sequence(inner, false)?;
            if self.tokens.peek_is('|') {
                let here = self.tokens.position();
                return Err(self
                    .tokens
                    .error("conditional backref with more than two branches", here));
            }
        }
        self.close(open)?;
        Ok(Node::Conditional {
            group,
            yes: Box::new(yes),
            no: Box::new(no),
        })
    }

    fn unexpected_end(&self) -> PatternError {
        self.tokens.error("unexpected end of pattern", self.tokens.position())
    }

    fn unknown_extension(&self, open: Token, kind: Token) -> PatternError {
        let written = self.tokens.text(kind.start..kind.end);
        self.tokens
            .error(format!("unknown extension ?{written}"), open.start + 1)
    }
}

fn is_identifier(name: &str) -> bool {
    let mut characters = name.chars();
    let starts = characters
        .next()
        .is_some_and(|first| first == '_' || first.is_alphabetic());
    starts && characters.all(|character| is_word(character, false))
}

/// Python's `int()` on text, as far as ASCII goes.
fn python_integer(text: &str) -> Option<usize> {
    let text = text.trim();
    let text = text.strip_prefix('+').unwrap_or(text);
    let negative_zero = text
        .strip_prefix('-')
        .filter(|rest| rest.bytes().all(|byte| byte == b'0'));
    let text = negative_zero.unwrap_or(text);
    if text.starts_with('_') || text.ends_with('_') || text.contains("__") {
        return None;
    }
    let digits: String = text.chars().filter(|&character| character != '_').collect();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(usize::MAX))
}

/// Python's `repr` of a text.
fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut out = String::from(quote);
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if character == quote => out.extend(['\\', quote]),
            _ if character.is_ascii_control() => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\x{:02x}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
    out.push(quote);
    out
}
