//! With which bytes a match, or what is left of one, can begin.
//!
//! All sets are supersets: what looks around or asserts is taken to hold.

use memchr::memmem::Finder;

use crate::ast::{Assertion, Ast, Node, RepeatKind};
use crate::program::{FirstSet, Inst, Pc, Program, Start, SubKind};

/// Each choice is examined by walking on from it; for larger programs that would take seconds.
const MAX_EXAMINED: usize = 5_000;

/// First bytes at both ways of each choice and after each loop.
pub(crate) fn first_sets(program: &mut Program) {
    if program.code.len() > MAX_EXAMINED {
        return;
    }
    let mut sets = vec![FirstSet::all()];
    let mut index_of = |set: FirstSet| {
        if let Some(known) = sets.iter().position(|known| *known == set) {
            return known;
        }
        sets.push(set);
        sets.len() - 1
    };
    let mut notes = std::mem::take(&mut program.notes);
    let mut loops = Vec::new();
    for (pc, note) in notes.iter_mut().enumerate() {
        match program.code.get(pc) {
            Some(Inst::Split { first, second }) => {
                note.ways = Some([
                    index_of(first_set(program, *first)),
                    index_of(first_set(program, *second)),
                ]);
            }
            Some(Inst::Loop(repeat)) => {
                let follow = first_set(program, pc + 1);
                let disjoint = program
                    .classes
                    .get(repeat.class)
                    .is_some_and(|class| class.shares_no_start(&follow));
                loops.push((pc, index_of(follow), disjoint));
            }
            _ => {}
        }
    }
    for (pc, follow, disjoint) in loops {
        if let Some(Inst::Loop(repeat)) = program.code.get_mut(pc) {
            repeat.follow = follow;
            // What follows cannot begin with anything the loop takes: giving back is of no use.
            if disjoint && repeat.stop.is_none() && repeat.kind == RepeatKind::Greedy {
                repeat.kind = RepeatKind::Possessive;
            }
        }
    }
    program.notes = notes;
    program.first_sets = sets;
}

/// Bytes with which the text at `pc` may begin for a match to be possible.
fn first_set(program: &Program, origin: Pc) -> FirstSet {
    let mut set = FirstSet::none();
    let mut seen = vec![false; program.code.len()];
    let mut pending = vec![origin];
    while let Some(pc) = pending.pop() {
        match seen.get_mut(pc) {
            Some(seen) if !*seen => *seen = true,
            _ => continue,
        }
        let Some(inst) = program.code.get(pc) else {
            return FirstSet::all();
        };
        match inst {
            Inst::Byte(byte) => set.add(*byte),
            Inst::Literal(bytes) => bytes.first().into_iter().for_each(|byte| set.add(*byte)),
            Inst::Class(class) => add_class(&mut set, program, *class),
            Inst::Loop(repeat) => {
                if repeat.max > 0 {
                    add_class(&mut set, program, repeat.class);
                }
                if repeat.min == 0 {
                    pending.push(pc + 1);
                }
            }
            Inst::Split { first, second } => pending.extend([*first, *second]),
            Inst::Jump(to) => pending.push(*to),
            Inst::LoopHead { exit, .. } | Inst::CounterHead { exit, .. } => pending.extend([pc + 1, *exit]),
            Inst::Conditional { no, .. } => pending.extend([pc + 1, *no]),
            Inst::Assert(Assertion::TextEnd) => set.end = true,
            Inst::Assert(Assertion::FinalLineEnd | Assertion::LineEnd) => {
                set.add(b'\n');
                set.end = true;
            }
            Inst::Sub {
                kind: SubKind::Look { .. },
                end,
            } => pending.push(*end),
            Inst::Sub {
                kind: SubKind::Round,
                end,
            } => pending.extend([pc + 1, *end]),
            // From inside, its end is a match whatever follows; from outside, it goes on behind.
            Inst::SubEnd { start } if *start < origin && origin <= pc => return FirstSet::all(),
            Inst::Save(_)
            | Inst::SubEnd { .. }
            | Inst::Sub {
                kind: SubKind::Atomic, ..
            }
            | Inst::Clear(_)
            | Inst::Assert(_)
            | Inst::LookLiteral { .. }
            | Inst::CounterReset(_)
            | Inst::CounterEnter { .. } => pending.push(pc + 1),
            Inst::Backreference { .. } | Inst::Match => return FirstSet::all(),
        }
    }
    set
}

fn add_class(set: &mut FirstSet, program: &Program, class: usize) {
    if let Some(class) = program.classes.get(class) {
        set.add_class(class);
    }
}

/// Where a match of the pattern can begin.
pub(crate) fn start(ast: &Ast, program: &Program) -> Start {
    let leading = if program.code.len() > MAX_EXAMINED {
        FirstSet::all()
    } else {
        first_set(program, 0)
    };
    if always_starts_with(&ast.root, Assertion::TextStart) {
        return Start::Text(Box::new(leading));
    }
    if always_starts_with(&ast.root, Assertion::LineStart) {
        return Start::Line;
    }
    let literal = leading_literal(&ast.root);
    if literal.len() > 1 {
        return Start::Literal(Box::new(Finder::new(literal.as_bytes()).into_owned()));
    }
    let set = leading;
    if set.end || set.is_all() {
        return Start::Anywhere;
    }
    let bytes: Vec<u8> = (0..=255).filter(|&byte| set.has(Some(byte))).collect();
    if bytes.len() <= 3 {
        Start::Bytes(bytes)
    } else {
        Start::Set(Box::new(set))
    }
}

fn always_starts_with(node: &Node, place: Assertion) -> bool {
    match node {
        Node::Assert(found) => *found == place || (place == Assertion::LineStart && *found == Assertion::TextStart),
        Node::Group(_, node) | Node::Atomic(node) => always_starts_with(node, place),
        Node::Concat(nodes) => nodes.first().is_some_and(|node| always_starts_with(node, place)),
        Node::Alternate(nodes) => nodes.iter().all(|node| always_starts_with(node, place)),
        Node::Repeat { node, min, .. } => *min > 0 && always_starts_with(node, place),
        _ => false,
    }
}

/// The literal every match begins with.
fn leading_literal(node: &Node) -> String {
    let mut literal = String::new();
    take_literal(node, &mut literal);
    literal
}

/// Appends the literal the node begins with; `true` if the node is that literal wholly.
fn take_literal(node: &Node, literal: &mut String) -> bool {
    match node {
        Node::Empty => true,
        Node::Char(character) => {
            literal.push(*character);
            true
        }
        Node::Group(_, node) => take_literal(node, literal),
        Node::Concat(nodes) => nodes.iter().all(|node| take_literal(node, literal)),
        _ => false,
    }
}
