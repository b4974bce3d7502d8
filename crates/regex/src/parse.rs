//! Python `re` syntax to [`Ast`]. Every refusal has a span, and CPython's own message where it has one.
//!
//! The order in which things are read and refused follows CPython 3.11, since the first refusal is the one reported.

use std::fmt::Write;
use std::ops::Range;

use crate::Flags;
use crate::ast::{Assertion, Ast, Node, RepeatKind, Side};
use crate::charset::{Case, CharSet, ClassItem, is_word};
use crate::error::PatternError;
use crate::escape::{self, Escape};
use crate::token::{Token, Tokens};

/// Deeper groups are refused: parsing and compiling recurse once per level.
const MAX_DEPTH: usize = 200;
/// sre's `MAXREPEAT`.
const TOO_MANY_REPEATS: u32 = u32::MAX;

/// Parses a pattern.
pub(crate) fn parse(pattern: &str, flags: Flags) -> Result<Ast, PatternError> {
    let mut parser = Parser {
        tokens: Tokens::new(pattern)?,
        flags,
        asked_unicode: false,
        widths: vec![None],
        names: Vec::new(),
        look_behind_groups: None,
        number_tests: Vec::new(),
        late_error: None,
    };
    let root = parser.alternation(Scope {
        flags,
        verbose: flags.verbose,
        depth: 0,
        top: true,
    })?;
    if let Some(token) = parser.tokens.peek() {
        return Err(PatternError::new("unbalanced parenthesis", token.start..token.end));
    }
    if parser.flags.ascii && parser.asked_unicode {
        return Err(PatternError::new(
            "ASCII and UNICODE flags are incompatible",
            0..pattern.len(),
        ));
    }
    for (group, span) in &parser.number_tests {
        if *group >= parser.widths.len() {
            return Err(PatternError::new(
                format!("invalid group reference {group}"),
                span.clone(),
            ));
        }
    }
    match parser.late_error {
        Some(error) => Err(error),
        None => Ok(Ast {
            root,
            groups: parser.widths.len() - 1,
            names: parser.names,
        }),
    }
}

struct Parser<'p> {
    tokens: Tokens<'p>,
    /// Global flags; `(?i)` at the start adds to them.
    flags: Flags,
    asked_unicode: bool,
    /// Width of each group once it is closed.
    widths: Vec<Option<Width>>,
    names: Vec<(Box<str>, usize)>,
    /// Inside a look-behind: the groups there were when it began.
    look_behind_groups: Option<usize>,
    /// `(?(1)…)`: checked when all groups are known.
    number_tests: Vec<(usize, Range<usize>)>,
    /// CPython reports these only after the whole pattern has been read.
    late_error: Option<PatternError>,
}

/// What holds for the part of the pattern being read.
#[derive(Clone, Copy)]
struct Scope {
    flags: Flags,
    verbose: bool,
    depth: usize,
    /// Not inside any group.
    top: bool,
}

/// What a quantifier may do with the item before it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ItemKind {
    Plain,
    Place,
    Repeated,
}

impl Parser<'_> {
    fn alternation(&mut self, mut scope: Scope) -> Result<Node, PatternError> {
        if scope.depth > MAX_DEPTH {
            let start = self.tokens.position();
            return Err(self
                .tokens
                .error(format!("groups are nested more than {MAX_DEPTH} deep"), start));
        }
        let first = self.sequence(scope, scope.top)?;
        if !self.tokens.peek_is('|') {
            return Ok(first);
        }
        if scope.top {
            scope.flags = self.flags;
            scope.verbose = self.flags.verbose;
        }
        let mut branches = vec![first];
        while self.tokens.eat('|')? {
            branches.push(self.sequence(scope, false)?);
        }
        Ok(Node::Alternate(branches))
    }

    fn sequence(&mut self, mut scope: Scope, first: bool) -> Result<Node, PatternError> {
        let mut items: Vec<(Node, ItemKind)> = Vec::new();
        while let Some(token) = self.tokens.peek() {
            if token.is('|') || token.is(')') {
                break;
            }
            self.tokens.take()?;
            if scope.verbose && !token.escaped && self.skipped_when_verbose(token)? {
                continue;
            }
            if token.escaped {
                items.push(self.escape(token, scope.flags)?);
                continue;
            }
            let item = match token.character {
                '[' => self.class(token, scope.flags)?,
                '*' | '+' | '?' | '{' => {
                    if self.quantifier(token, &mut items)? {
                        continue;
                    }
                    literal(u32::from('{'), scope.flags)
                }
                '.' => Node::Set(CharSet::dot(scope.flags.dot_all)),
                '(' => {
                    match self.group(token, scope)? {
                        Opened::Node(node) => items.push((node, ItemKind::Plain)),
                        Opened::Nothing => {}
                        Opened::GlobalFlags => {
                            if !first || !items.is_empty() {
                                let message = "global flags not at the start of the expression";
                                return Err(self.tokens.error(message, token.start));
                            }
                            scope.flags = self.flags;
                            scope.verbose = self.flags.verbose;
                        }
                    }
                    continue;
                }
                '^' => {
                    let place = if scope.flags.multi_line {
                        Assertion::LineStart
                    } else {
                        Assertion::TextStart
                    };
                    items.push((Node::Assert(place), ItemKind::Place));
                    continue;
                }
                '$' => {
                    let place = if scope.flags.multi_line {
                        Assertion::LineEnd
                    } else {
                        Assertion::FinalLineEnd
                    };
                    items.push((Node::Assert(place), ItemKind::Place));
                    continue;
                }
                character => literal(u32::from(character), scope.flags),
            };
            items.push((item, ItemKind::Plain));
        }
        Ok(Node::concat(
            items
                .into_iter()
                .map(|(node, _)| node)
                .filter(|node| *node != Node::Empty)
                .collect(),
        ))
    }

    /// White space and comments in verbose patterns.
    fn skipped_when_verbose(&mut self, token: Token) -> Result<bool, PatternError> {
        match token.character {
            ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c' => Ok(true),
            '#' => {
                while let Some(token) = self.tokens.take()? {
                    if token.is('\n') {
                        break;
                    }
                }
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn escape(&mut self, token: Token, flags: Flags) -> Result<(Node, ItemKind), PatternError> {
        let place = |assertion| (Node::Assert(assertion), ItemKind::Place);
        let plain = |node| (node, ItemKind::Plain);
        Ok(match escape::escape(&mut self.tokens, token)? {
            Escape::Literal(code) => plain(literal(code, flags)),
            Escape::Category { category, negated } => {
                plain(Node::Set(CharSet::category(category, negated, flags.ascii)))
            }
            Escape::TextStart => place(Assertion::TextStart),
            Escape::TextEnd => place(Assertion::TextEnd),
            Escape::WordBoundary { negated } => place(Assertion::WordBoundary {
                ascii: flags.ascii,
                negated,
            }),
            Escape::Group(group) => {
                if group >= self.widths.len() {
                    let message = format!("invalid group reference {group}");
                    return Err(self.tokens.error(message, token.start + 1));
                }
                if !self.is_closed(group) {
                    return Err(self.tokens.error("cannot refer to an open group", token.start));
                }
                self.check_look_behind(group)?;
                plain(Node::Backreference {
                    group,
                    case: case(flags),
                })
            }
        })
    }

    fn class(&mut self, token: Token, flags: Flags) -> Result<Node, PatternError> {
        let class = escape::class(&mut self.tokens, token.start)?;
        let mut distinct = class.items.clone();
        distinct.dedup();
        let set = match *distinct.as_slice() {
            // A class of one literal is compiled as that literal, which folds case without the quirks of classes.
            [ClassItem::Literal(code)] => {
                let set = CharSet::literal(code, case(flags));
                if class.negated { set.negated() } else { set }
            }
            _ => CharSet::class(&class.items, class.negated, case(flags), flags.ascii),
        };
        Ok(set.only().map_or(Node::Set(set), Node::Char))
    }

    /// Applies the quantifier to the last item; `false` if the `{` is only a brace.
    fn quantifier(&mut self, token: Token, items: &mut Vec<(Node, ItemKind)>) -> Result<bool, PatternError> {
        let (min, max) = match token.character {
            '?' => (0, Some(1)),
            '*' => (0, None),
            '+' => (1, None),
            _ => match self.braces(token)? {
                Some(bounds) => bounds,
                None => return Ok(false),
            },
        };
        let Some((node, kind)) = items.pop().filter(|item| item.1 != ItemKind::Place) else {
            return Err(self.tokens.error("nothing to repeat", token.start));
        };
        if kind == ItemKind::Repeated {
            return Err(self.tokens.error("multiple repeat", token.start));
        }
        let kind = if self.tokens.eat('?')? {
            RepeatKind::Lazy
        } else if self.tokens.eat('+')? {
            RepeatKind::Possessive
        } else {
            RepeatKind::Greedy
        };
        items.push((
            Node::Repeat {
                node: Box::new(node),
                min,
                max,
                kind,
            },
            ItemKind::Repeated,
        ));
        Ok(true)
    }

    /// `{m}`, `{m,}`, `{,n}`, `{m,n}`, `{,}`; anything else is a literal brace.
    fn braces(&mut self, token: Token) -> Result<Option<(u32, Option<u32>)>, PatternError> {
        if self.tokens.peek_is('}') {
            return Ok(None);
        }
        let digit = |character: char| character.is_ascii_digit();
        let low = self.tokens.take_while(usize::MAX, digit)?;
        let high = if self.tokens.eat(',')? {
            self.tokens.take_while(usize::MAX, digit)?
        } else {
            low
        };
        if !self.tokens.eat('}')? {
            self.tokens.seek(token.end)?;
            return Ok(None);
        }
        let number = |digits: &str| match digits.parse::<u32>() {
            Ok(number) if number < TOO_MANY_REPEATS => Ok(number),
            _ => Err(self.tokens.error("the repetition number is too large", token.start)),
        };
        let min = if low.is_empty() { 0 } else { number(low)? };
        let max = if high.is_empty() { None } else { Some(number(high)?) };
        if max.is_some_and(|max| max < min) {
            return Err(self.tokens.error("min repeat greater than max repeat", token.end));
        }
        Ok(Some((min, max)))
    }

    fn group(&mut self, open: Token, scope: Scope) -> Result<Opened, PatternError> {
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
                let node = self.body(open, inner)?;
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
        let outer = self.look_behind_groups;
        self.look_behind_groups = outer.or(Some(self.widths.len()));
        let node = self.alternation(inner)?;
        self.look_behind_groups = outer;
        self.close(open)?;
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

    /// Flags after `(?`; `None` if they are global, that is, closed by `)`.
    fn inline_flags(&mut self, first: Token) -> Result<Option<FlagChange>, PatternError> {
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

    fn is_closed(&self, group: usize) -> bool {
        self.widths.get(group).is_some_and(Option::is_some)
    }

    fn check_look_behind(&self, group: usize) -> Result<(), PatternError> {
        let Some(groups) = self.look_behind_groups else {
            return Ok(());
        };
        let here = self.tokens.position();
        if !self.is_closed(group) {
            return Err(self.tokens.error("cannot refer to an open group", here));
        }
        if group >= groups {
            let message = "cannot refer to group defined in the same lookbehind subpattern";
            return Err(self.tokens.error(message, here));
        }
        Ok(())
    }

    fn unexpected_end(&self) -> PatternError {
        self.tokens.error("unexpected end of pattern", self.tokens.position())
    }

    fn unknown_extension(&self, open: Token, kind: Token) -> PatternError {
        let written = self.tokens.text(kind.start..kind.end);
        self.tokens
            .error(format!("unknown extension ?{written}"), open.start + 1)
    }

    /// Fewest and most characters the node matches.
    fn width(&self, node: &Node) -> Width {
        match node {
            Node::Empty | Node::Assert(_) | Node::Look { .. } => (0, 0),
            Node::Char(_) | Node::Set(_) => (1, 1),
            Node::Group(_, node) | Node::Atomic(node) => self.width(node),
            Node::Concat(nodes) => nodes.iter().map(|node| self.width(node)).fold((0, 0), |sum, width| {
                (sum.0.saturating_add(width.0), sum.1.saturating_add(width.1))
            }),
            Node::Alternate(nodes) => nodes
                .iter()
                .map(|node| self.width(node))
                .reduce(|all, width| (all.0.min(width.0), all.1.max(width.1)))
                .unwrap_or((0, 0)),
            Node::Repeat { node, min, max, .. } => {
                let width = self.width(node);
                let most = match max {
                    Some(max) => width.1.saturating_mul(u64::from(*max)),
                    None if width.1 > 0 => u64::MAX,
                    None => 0,
                };
                (width.0.saturating_mul(u64::from(*min)), most)
            }
            Node::Backreference { group, .. } => self.widths.get(*group).copied().flatten().unwrap_or((0, u64::MAX)),
            Node::Conditional { yes, no, .. } => {
                let (yes, no) = (self.width(yes), self.width(no));
                (yes.0.min(no.0), yes.1.max(no.1))
            }
        }
    }
}

type Width = (u64, u64);

/// What a parenthesis turned out to be.
enum Opened {
    Node(Node),
    Nothing,
    GlobalFlags,
}

/// `(?on-off:`
#[derive(Clone, Copy, Default)]
struct FlagChange {
    on: Flags,
    off: Flags,
    unicode: bool,
}

impl FlagChange {
    fn apply(self, flags: Flags) -> Flags {
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

fn is_flag(character: char) -> bool {
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

fn case(flags: Flags) -> Case {
    match (flags.ignore_case, flags.ascii) {
        (false, _) => Case::Exact,
        (true, false) => Case::Unicode,
        (true, true) => Case::Ascii,
    }
}

fn literal(code: u32, flags: Flags) -> Node {
    let set = CharSet::literal(code, case(flags));
    set.only().map_or(Node::Set(set), Node::Char)
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
