//! A tree compiled to instructions.

use memchr::memmem::Finder;

use crate::ast::{Ast, Node, RepeatKind, Side};
use crate::charset::CharSet;
use crate::doomed::needs_ahead;
use crate::error::PatternError;
use crate::first::{first_sets, start};
use crate::literals;
use crate::program::{Class, FirstSet, Inst, Loop, Note, Pc, Program, Start, SubKind};

/// A repetition is written out as copies up to this many instructions, else it counts.
/// Copies keep the memo usable; a count would be part of the state.
const MAX_COPIED: usize = 2_000;
/// More instructions than this refuse the pattern.
pub(crate) const MAX_PROGRAM: usize = 100_000;
/// Conditionals on more groups than this turn the memo off: each doubles it.
const MAX_CONDITIONAL_GROUPS: usize = 3;

/// Compiles a tree.
pub(crate) fn compile(ast: &Ast) -> Result<Program, PatternError> {
    let (mut program, _) = translate(ast, false)?;
    first_sets(&mut program);
    needs_ahead(&mut program);
    program.start = start(ast, &program);
    if !matches!(program.start, Start::Literal(_)) {
        let finder = |literal: String| Box::new(Finder::new(literal.as_bytes()).into_owned());
        program.needed = literals::required_one(&ast.root).map(finder);
    }
    // A server keeps hundreds of programs, and a class alone has 400 bytes.
    program.code.shrink_to_fit();
    program.classes.shrink_to_fit();
    program.first_sets.shrink_to_fit();
    Ok(program)
}

/// Compiles a tree as it is written, one instruction for each leaf and no short cuts; beside each instruction the number
/// of the leaf, or of the look-around, that it stands for.
pub(crate) fn compile_plainly(ast: &Ast) -> Result<(Program, Vec<usize>), PatternError> {
    let (mut program, leaves) = translate(ast, true)?;
    program.start = match start(ast, &program) {
        at_places @ (Start::Text(_) | Start::Line) => at_places,
        _ => Start::Anywhere,
    };
    Ok((program, leaves))
}

fn translate(ast: &Ast, plain: bool) -> Result<(Program, Vec<usize>), PatternError> {
    let mut compiler = Compiler {
        code: Vec::new(),
        marks_of: Vec::new(),
        marks: Vec::new(),
        sets: Vec::new(),
        classes: Vec::new(),
        registers: 2 * (ast.groups + 1),
        counts: false,
        plain,
        leaves: 0,
        leaf: 0,
        leaf_of: Vec::new(),
    };
    compiler.node(&ast.root)?;
    compiler.emit(Inst::Match)?;
    let mut program = Program {
        notes: vec![Note::default(); compiler.code.len()],
        code: compiler.code,
        classes: compiler.classes,
        first_sets: vec![FirstSet::all()],
        registers: compiler.registers,
        groups: ast.groups,
        columns: 0,
        conditional_groups: Vec::new(),
        start: Start::Anywhere,
        ahead: Vec::new(),
        needed: None,
    };
    if !compiler.counts {
        memo_columns(&mut program, ast, &compiler.marks_of);
    }
    Ok((program, compiler.leaf_of))
}

struct Compiler {
    code: Vec<Inst>,
    /// Beside each instruction: marks of the loops around it.
    marks_of: Vec<Box<[usize]>>,
    marks: Vec<usize>,
    sets: Vec<CharSet>,
    classes: Vec<Class>,
    registers: usize,
    counts: bool,
    /// Without short cuts.
    plain: bool,
    /// Leaves before the node at hand.
    leaves: usize,
    /// The leaf at hand.
    leaf: usize,
    leaf_of: Vec<usize>,
}

impl Compiler {
    fn emit(&mut self, inst: Inst) -> Result<Pc, PatternError> {
        if self.code.len() >= MAX_PROGRAM {
            return Err(PatternError::new(
                format!("pattern needs more than {MAX_PROGRAM} instructions"),
                0..0,
            ));
        }
        self.code.push(inst);
        self.leaf_of.push(self.leaf);
        self.marks_of.push(self.marks.as_slice().into());
        Ok(self.code.len() - 1)
    }

    fn patch(&mut self, pc: Pc, inst: Inst) {
        if let Some(slot) = self.code.get_mut(pc) {
            *slot = inst;
        }
    }

    fn class(&mut self, set: &CharSet) -> usize {
        if let Some(known) = self.sets.iter().position(|known| known == set) {
            return known;
        }
        self.sets.push(set.clone());
        self.classes.push(Class::new(set));
        self.classes.len() - 1
    }

    fn register(&mut self) -> usize {
        self.registers += 1;
        self.registers - 1
    }

    fn node(&mut self, node: &Node) -> Result<(), PatternError> {
        if node.has_span() {
            self.leaf = self.leaves;
            self.leaves += 1;
        }
        match node {
            Node::Empty => Ok(()),
            Node::Char(_) => self.literal(node.literal().unwrap_or_default().as_bytes()),
            Node::Set(set) => {
                let class = self.class(set);
                self.emit(Inst::Class(class)).map(drop)
            }
            Node::Assert(place) => self.emit(Inst::Assert(*place)).map(drop),
            Node::Group(group, node) => {
                self.emit(Inst::Save(2 * group))?;
                self.node(node)?;
                self.emit(Inst::Save(2 * group + 1)).map(drop)
            }
            Node::Concat(nodes) => self.concat(nodes),
            Node::Alternate(branches) => self.alternate(branches),
            Node::Repeat { node, min, max, kind } => self.repeat(node, *min, *max, *kind),
            Node::Look { node, side, negative } => {
                if let (false, Side::Ahead, Some(literal)) = (self.plain, side, node.literal()) {
                    self.leaves += node.leaves();
                    let literal = literal.into_bytes().into();
                    return self
                        .emit(Inst::LookLiteral {
                            literal,
                            negative: *negative,
                        })
                        .map(drop);
                }
                let behind = match side {
                    Side::Ahead => None,
                    Side::Behind(width) => Some(*width),
                };
                let kind = SubKind::Look {
                    behind,
                    negative: *negative,
                };
                self.sub(kind, node)?;
                self.leaves += node.leaves();
                Ok(())
            }
            Node::Backreference { group, case } => self
                .emit(Inst::Backreference {
                    group: *group,
                    case: *case,
                })
                .map(drop),
            Node::Conditional { group, yes, no } => {
                let test = self.emit(Inst::Match)?;
                self.node(yes)?;
                let over = self.emit(Inst::Match)?;
                self.patch(
                    test,
                    Inst::Conditional {
                        group: *group,
                        no: self.code.len(),
                    },
                );
                self.node(no)?;
                self.patch(over, Inst::Jump(self.code.len()));
                Ok(())
            }
            Node::Atomic(node) => {
                self.sub(SubKind::Atomic, node)?;
                self.leaves += node.leaves();
                Ok(())
            }
        }
    }

    fn literal(&mut self, bytes: &[u8]) -> Result<(), PatternError> {
        let inst = match bytes {
            [] => return Ok(()),
            [byte] => Inst::Byte(*byte),
            _ => Inst::Literal(bytes.into()),
        };
        self.emit(inst).map(drop)
    }

    fn concat(&mut self, nodes: &[Node]) -> Result<(), PatternError> {
        let mut run = String::new();
        for node in nodes {
            if let (false, Node::Char(character)) = (self.plain, node) {
                run.push(*character);
                self.leaves += 1;
                continue;
            }
            self.literal(run.as_bytes())?;
            run.clear();
            self.node(node)?;
        }
        self.literal(run.as_bytes())
    }

    fn alternate(&mut self, branches: &[Node]) -> Result<(), PatternError> {
        let Some((last, others)) = branches.split_last() else {
            return Ok(());
        };
        let mut jumps = Vec::new();
        for branch in others {
            let split = self.emit(Inst::Match)?;
            self.node(branch)?;
            jumps.push(self.emit(Inst::Match)?);
            self.patch(
                split,
                Inst::Split {
                    first: split + 1,
                    second: self.code.len(),
                },
            );
        }
        self.node(last)?;
        for jump in jumps {
            self.patch(jump, Inst::Jump(self.code.len()));
        }
        Ok(())
    }

    /// A part matched on its own. Marks of loops outside mean nothing inside: no iteration of theirs ends there.
    fn sub(&mut self, kind: SubKind, node: &Node) -> Result<(), PatternError> {
        let start = self.emit(Inst::Match)?;
        let outside = std::mem::take(&mut self.marks);
        let result = self.copy(node).and_then(|()| self.emit(Inst::SubEnd { start }));
        self.marks = outside;
        result?;
        self.patch(
            start,
            Inst::Sub {
                kind,
                end: self.code.len(),
            },
        );
        Ok(())
    }

    fn repeat(&mut self, node: &Node, min: u32, max: Option<u32>, kind: RepeatKind) -> Result<(), PatternError> {
        let min = usize::try_from(min).unwrap_or(usize::MAX);
        let max = max.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
        // Each copy has the same leaves.
        let after = self.leaves + node.leaves();
        self.leaf = self.leaves;
        let repeated = self.repeat_node(node, min, max, kind);
        self.leaves = after;
        repeated
    }

    /// A copy of a node in a repetition.
    fn copy(&mut self, node: &Node) -> Result<(), PatternError> {
        let before = self.leaves;
        let result = self.node(node);
        self.leaves = before;
        result
    }

    fn repeat_node(&mut self, node: &Node, min: usize, max: usize, kind: RepeatKind) -> Result<(), PatternError> {
        if let Some(set) = node.single() {
            let class = self.class(&set);
            return self
                .emit(Inst::Loop(Loop {
                    class,
                    min,
                    max,
                    kind,
                    stop: None,
                    follow: 0,
                }))
                .map(drop);
        }
        if !self.plain
            && max == usize::MAX
            && kind != RepeatKind::Possessive
            && let Some((stop, set)) = node.tempered()
        {
            let class = self.class(&set);
            let stop = Some(Box::new(Finder::new(stop.as_bytes()).into_owned()));
            return self
                .emit(Inst::Loop(Loop {
                    class,
                    min,
                    max,
                    kind,
                    stop,
                    follow: 0,
                }))
                .map(drop);
        }
        if max == 0 {
            return Ok(());
        }
        let copies = if max == usize::MAX { min.saturating_add(1) } else { max };
        let size = node.size().saturating_add(3);
        if copies.saturating_mul(size) > MAX_COPIED && copies > 1 {
            return self.counted(node, min, max, kind);
        }
        for _ in 0..min {
            if kind == RepeatKind::Possessive {
                self.sub(SubKind::Atomic, node)?;
            } else {
                self.copy(node)?;
            }
        }
        match (kind, max) {
            (RepeatKind::Possessive, usize::MAX) => self.sub(SubKind::Round, node),
            (RepeatKind::Possessive, _) => self.possessive_options(node, max - min),
            (_, usize::MAX) => self.unbounded(node, kind == RepeatKind::Lazy),
            _ => self.options(node, max - min, kind == RepeatKind::Lazy),
        }
    }

    /// `X*` after the iterations that must be.
    fn unbounded(&mut self, node: &Node, lazy: bool) -> Result<(), PatternError> {
        let mark = self.mark_for(node)?;
        let head = self.code.len();
        let check = mark.map(|_| self.emit(Inst::Match)).transpose()?;
        let split = self.emit(Inst::Match)?;
        self.iteration(node, mark)?;
        self.emit(Inst::Jump(head))?;
        let exit = self.code.len();
        self.patch(split, choice(split + 1, exit, lazy));
        if let (Some(check), Some(mark)) = (check, mark) {
            self.patch(check, Inst::LoopHead { mark, exit });
        }
        Ok(())
    }

    /// `X{0,count}` as copies.
    fn options(&mut self, node: &Node, count: usize, lazy: bool) -> Result<(), PatternError> {
        let mark = if count > 1 { self.mark_for(node)? } else { None };
        let mut heads = Vec::new();
        for _ in 0..count {
            let check = mark.map(|_| self.emit(Inst::Match)).transpose()?;
            heads.push((check, self.emit(Inst::Match)?));
            self.iteration(node, mark)?;
        }
        let exit = self.code.len();
        self.patch_heads(heads, mark, exit, lazy);
        Ok(())
    }

    fn patch_heads(&mut self, heads: Vec<(Option<Pc>, Pc)>, mark: Option<usize>, exit: Pc, lazy: bool) {
        for (check, split) in heads {
            self.patch(split, choice(split + 1, exit, lazy));
            if let (Some(check), Some(mark)) = (check, mark) {
                self.patch(check, Inst::LoopHead { mark, exit });
            }
        }
    }

    fn possessive_options(&mut self, node: &Node, count: usize) -> Result<(), PatternError> {
        // Each option is taken if it matches, and never given back: an atomic group around all of them, each atomic.
        let start = self.emit(Inst::Match)?;
        let outside = std::mem::take(&mut self.marks);
        let mark = self.mark_for(node)?;
        let mut heads = Vec::new();
        for _ in 0..count {
            let check = mark.map(|_| self.emit(Inst::Match)).transpose()?;
            heads.push((check, self.emit(Inst::Match)?));
            if let Some(mark) = mark {
                self.emit(Inst::Save(mark))?;
            }
            self.sub(SubKind::Atomic, node)?;
        }
        let exit = self.emit(Inst::SubEnd { start })?;
        self.marks = outside;
        self.patch_heads(heads, mark, exit, false);
        self.patch(
            start,
            Inst::Sub {
                kind: SubKind::Atomic,
                end: exit + 1,
            },
        );
        Ok(())
    }

    /// A register for where an iteration began, if iterations may be empty.
    fn mark_for(&mut self, node: &Node) -> Result<Option<usize>, PatternError> {
        if !node.may_be_empty() {
            return Ok(None);
        }
        let mark = self.register();
        self.emit(Inst::Clear(mark))?;
        Ok(Some(mark))
    }

    fn iteration(&mut self, node: &Node, mark: Option<usize>) -> Result<(), PatternError> {
        let Some(mark) = mark else { return self.copy(node) };
        self.emit(Inst::Save(mark))?;
        self.marks.push(mark);
        let result = self.copy(node);
        self.marks.pop();
        result
    }

    /// A repetition too long to be written out.
    fn counted(&mut self, node: &Node, min: usize, max: usize, kind: RepeatKind) -> Result<(), PatternError> {
        self.counts = true;
        let outer = match kind {
            RepeatKind::Possessive => Some(self.emit(Inst::Match)?),
            RepeatKind::Greedy | RepeatKind::Lazy => None,
        };
        let (counter, mark) = (self.register(), self.register());
        self.emit(Inst::CounterReset(counter))?;
        self.emit(Inst::Clear(mark))?;
        let head = self.emit(Inst::Match)?;
        self.emit(Inst::CounterEnter { counter, min, mark })?;
        match outer {
            Some(_) => self.sub(SubKind::Atomic, node)?,
            None => self.copy(node)?,
        }
        self.emit(Inst::Jump(head))?;
        let exit = self.code.len();
        let lazy = kind == RepeatKind::Lazy;
        self.patch(
            head,
            Inst::CounterHead {
                counter,
                min,
                max,
                lazy,
                mark,
                exit,
            },
        );
        if let Some(outer) = outer {
            self.emit(Inst::SubEnd { start: outer })?;
            self.patch(
                outer,
                Inst::Sub {
                    kind: SubKind::Atomic,
                    end: self.code.len(),
                },
            );
        }
        Ok(())
    }
}

fn choice(body: Pc, exit: Pc, lazy: bool) -> Inst {
    if lazy {
        Inst::Split {
            first: exit,
            second: body,
        }
    } else {
        Inst::Split {
            first: body,
            second: exit,
        }
    }
}

impl Node {
    /// The text of a node that matches exactly one text.
    pub(crate) fn literal(&self) -> Option<String> {
        match self {
            Node::Char(character) => Some(character.to_string()),
            Node::Concat(nodes) => nodes.iter().map(Node::literal).collect(),
            _ => None,
        }
    }

    /// The set of a node that matches exactly one character and captures nothing.
    pub(crate) fn single(&self) -> Option<CharSet> {
        match self {
            Node::Char(character) => Some(CharSet::single(u32::from(*character))),
            Node::Set(set) => Some(set.clone()),
            _ => None,
        }
    }

    /// `(?!stop).`, the body of a tempered loop.
    pub(crate) fn tempered(&self) -> Option<(String, CharSet)> {
        let Node::Concat(nodes) = self else { return None };
        match nodes.as_slice() {
            [
                Node::Look {
                    node,
                    side: Side::Ahead,
                    negative: true,
                },
                Node::Set(set),
            ] => Some((node.literal()?, set.clone())),
            _ => None,
        }
    }

    /// About how many instructions the node becomes.
    fn size(&self) -> usize {
        let own = match self {
            Node::Repeat { node, min, max, .. } if node.single().is_none() => {
                let copies = max.unwrap_or(min.saturating_add(1)).max(1);
                let copies = usize::try_from(copies).unwrap_or(usize::MAX);
                let body = node.size().saturating_add(3);
                let size = copies.saturating_mul(body);
                // Beyond this it counts instead of being copied.
                return if size > MAX_COPIED {
                    body.saturating_add(3)
                } else {
                    size
                };
            }
            Node::Empty => 0,
            _ => 2,
        };
        self.children().map(Node::size).fold(own, usize::saturating_add)
    }
}

/// Gives each place where the machine can come back a column of the memo.
fn memo_columns(program: &mut Program, ast: &Ast, marks_of: &[Box<[usize]>]) {
    let mut groups = Vec::new();
    let mut refuses = false;
    ast.root.any(&mut |node| {
        match node {
            Node::Backreference { .. } => refuses = true,
            Node::Conditional { group, .. } if !groups.contains(group) => groups.push(*group),
            // A test on the group it is in depends on positions, not only on whether the group took part.
            Node::Group(group, inner) => {
                refuses |=
                    inner.any(&mut |node| matches!(node, Node::Conditional { group: test, .. } if test == group));
            }
            _ => {}
        }
        false
    });
    if refuses || groups.len() > MAX_CONDITIONAL_GROUPS {
        return;
    }
    let mut columns = 0;
    for ((inst, note), marks) in program.code.iter().zip(program.notes.iter_mut()).zip(marks_of) {
        let chooses = match inst {
            Inst::Split { .. } => true,
            Inst::Loop(repeat) => repeat.kind != RepeatKind::Possessive,
            _ => false,
        };
        if chooses {
            note.column = columns;
            note.marks.clone_from(marks);
            columns += (marks.len() + 1) << groups.len();
        }
    }
    program.columns = columns;
    program.conditional_groups = groups;
}
