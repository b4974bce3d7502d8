//! Python `re` syntax to [`Ast`]. Every refusal has a span, and CPython's own message where it has one.
//!
//! The order in which things are read and refused follows CPython 3.11, since the first refusal is the one reported.

use std::ops::Range;

use crate::Flags;
use crate::ast::{Assertion, Ast, Node, RepeatKind};
use crate::charset::{Case, CharSet, ClassItem};
use crate::error::PatternError;
use crate::escape::{self, Escape};
use crate::group::Opened;
use crate::token::{Token, Tokens};

/// Deeper groups are refused: parsing and compiling recurse once per level.
pub(crate) const MAX_DEPTH: usize = 200;
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
        spans: Vec::new(),
    };
    let root = parser.alternation(Scope {
        flags,
        verbose: flags.verbose,
        depth: 0,
        top: true,
    })?;
    if parser.flags.ascii && parser.asked_unicode {
        return Err(PatternError::new(
            "ASCII and UNICODE flags are incompatible",
            0..pattern.len(),
        ));
    }
    if let Some(token) = parser.tokens.peek() {
        return Err(PatternError::new("unbalanced parenthesis", token.start..token.end));
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
            spans: parser.spans,
        }),
    }
}

/// A pattern being read.
pub(crate) struct Parser<'p> {
    pub(crate) tokens: Tokens<'p>,
    /// Global flags; `(?i)` at the start adds to them.
    pub(crate) flags: Flags,
    pub(crate) asked_unicode: bool,
    /// Width of each group once it is closed.
    pub(crate) widths: Vec<Option<Width>>,
    pub(crate) names: Vec<(Box<str>, usize)>,
    /// Inside a look-behind: the groups there were when it began.
    pub(crate) look_behind_groups: Option<usize>,
    /// `(?(1)…)`: checked when all groups are known.
    pub(crate) number_tests: Vec<(usize, Range<usize>)>,
    /// CPython reports these only after the whole pattern has been read.
    pub(crate) late_error: Option<PatternError>,
    /// See [`Ast::spans`].
    pub(crate) spans: Vec<Range<usize>>,
}

/// What holds for the part of the pattern being read.
#[derive(Clone, Copy)]
pub(crate) struct Scope {
    pub(crate) flags: Flags,
    pub(crate) verbose: bool,
    pub(crate) depth: usize,
    /// Not inside any group.
    pub(crate) top: bool,
}

/// What a quantifier may do with the item before it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ItemKind {
    Plain,
    Place,
    Repeated,
}

impl Parser<'_> {
    pub(crate) fn alternation(&mut self, mut scope: Scope) -> Result<Node, PatternError> {
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

    pub(crate) fn sequence(&mut self, mut scope: Scope, first: bool) -> Result<Node, PatternError> {
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
                self.spans.push(token.start..self.tokens.position());
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
                    self.spans.push(token.start..token.end);
                    continue;
                }
                '$' => {
                    let place = if scope.flags.multi_line {
                        Assertion::LineEnd
                    } else {
                        Assertion::FinalLineEnd
                    };
                    items.push((Node::Assert(place), ItemKind::Place));
                    self.spans.push(token.start..token.end);
                    continue;
                }
                character => literal(u32::from(character), scope.flags),
            };
            items.push((item, ItemKind::Plain));
            self.spans.push(token.start..self.tokens.position());
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
        if node.has_span()
            && node.children().next().is_none()
            && let Some(span) = self.spans.last_mut()
        {
            span.end = self.tokens.position();
        }
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

    pub(crate) fn is_closed(&self, group: usize) -> bool {
        self.widths.get(group).is_some_and(Option::is_some)
    }

    pub(crate) fn check_look_behind(&self, group: usize) -> Result<(), PatternError> {
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

    /// Fewest and most characters the node matches.
    pub(crate) fn width(&self, node: &Node) -> Width {
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

pub(crate) type Width = (u64, u64);

pub(crate) fn case(flags: Flags) -> Case {
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
