//! Ways that are bound to fail because a literal they come to in the end is nowhere ahead.
//!
//! `(?:(?P<user>\S+)|[^:]+) from … (?(user): |$)`, as in Fail2Ban's sshd rules: whoever takes the first way has to find a
//! `: ` behind it. Where there is none, everything between would be tried in vain, in all the ways there are.
//!
//! A way of a choice is bound to a conditional if from there on every path to the end of the pattern (a) closes the
//! conditional's group before it comes to the conditional or the end, (b) does not open it again, and (c) comes to the
//! conditional. Then it is the conditional's first branch that is taken, and the literal it begins with stands at or
//! behind the place of the choice. Paths are overestimated, so none is overlooked. Inside look-arounds and atomic groups
//! nothing is dropped: a way that succeeds there is final, even if all fails later.

use memchr::memmem::FinderRev;

use crate::program::{Inst, Pc, Program};

/// Larger programs are left as they are.
const MAX_EXAMINED: usize = 2_000;

/// Finds the ways of choices that need a literal ahead.
pub(crate) fn needs_ahead(program: &mut Program) {
    if program.code.len() > MAX_EXAMINED {
        return;
    }
    for conditional in 0..program.code.len() {
        let Some((group, literal)) = asked_for(program, conditional) else {
            continue;
        };
        let number = program.ahead.len();
        let mut used = false;
        for choice in 0..program.code.len() {
            let Some(Inst::Split { first, second }) = program.code.get(choice) else {
                continue;
            };
            if in_part(program, choice) {
                continue;
            }
            let ways = [*first, *second];
            let bound = ways.map(|way| {
                let closes = |inst: &Inst, _| matches!(inst, Inst::Save(register) if *register == 2 * group + 1);
                !reaches(program, way, closes, |inst, pc| {
                    pc == conditional || matches!(inst, Inst::Match)
                })
            });
            if let Some(note) = program.notes.get_mut(choice) {
                for (need, bound) in note.needs.iter_mut().zip(bound) {
                    // A way that leads nowhere fails by itself.
                    if bound && need.is_none() {
                        *need = Some(number);
                        used = true;
                    }
                }
            }
        }
        if used {
            program.ahead.push(FinderRev::new(&literal).into_owned());
        }
    }
}

/// The group that a conditional asks for and the literal with which its first branch begins, if whoever closes the group is
/// bound to come to the conditional.
fn asked_for(program: &Program, conditional: Pc) -> Option<(usize, Vec<u8>)> {
    let Some(Inst::Conditional { group, .. }) = program.code.get(conditional) else {
        return None;
    };
    let literal = match program.code.get(conditional + 1)? {
        Inst::Literal(literal) => literal.to_vec(),
        Inst::Byte(byte) => vec![*byte],
        _ => return None,
    };
    let (opens, closes) = (2 * group, 2 * group + 1);
    let mut closings = (0..)
        .zip(&program.code)
        .filter(|(_, inst)| matches!(inst, Inst::Save(register) if *register == closes));
    let bound = closings.all(|(closing, _): (Pc, _)| {
        !reaches(
            program,
            closing + 1,
            |_, pc| pc == conditional,
            |inst, _| matches!(inst, Inst::Match),
        ) && !reaches(
            program,
            closing + 1,
            |_, _| false,
            |inst, _| matches!(inst, Inst::Save(register) if *register == opens),
        )
    });
    (bound && !in_part(program, conditional)).then_some((*group, literal))
}

/// Whether an instruction is inside a look-around, an atomic group or a possessive repetition.
fn in_part(program: &Program, pc: Pc) -> bool {
    let mut parts = program.code.iter().enumerate();
    parts.any(|(start, inst)| matches!(inst, Inst::Sub { end, .. } if start <= pc && pc < *end))
}

/// Whether a path leads from a place to an instruction that is wanted, without one that stops it.
fn reaches(program: &Program, from: Pc, stops: impl Fn(&Inst, Pc) -> bool, wanted: impl Fn(&Inst, Pc) -> bool) -> bool {
    let mut seen = vec![false; program.code.len()];
    let mut pending = vec![from];
    while let Some(pc) = pending.pop() {
        match seen.get_mut(pc) {
            Some(seen) if !*seen => *seen = true,
            _ => continue,
        }
        let Some(inst) = program.code.get(pc) else { return true };
        if stops(inst, pc) {
            continue;
        }
        if wanted(inst, pc) {
            return true;
        }
        match inst {
            Inst::Split { first, second } => pending.extend([*first, *second]),
            Inst::Jump(to) => pending.push(*to),
            Inst::LoopHead { exit, .. } | Inst::CounterHead { exit, .. } => pending.extend([pc + 1, *exit]),
            Inst::Conditional { no, .. } => pending.extend([pc + 1, *no]),
            Inst::Sub { end, .. } => pending.extend([pc + 1, *end]),
            Inst::SubEnd { start } => pending.extend([pc + 1, *start]),
            Inst::Match => {}
            _ => pending.push(pc + 1),
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use crate::{Flags, Regex, Scratch};

    fn ways_that_need(pattern: &str) -> usize {
        let regex = Regex::new(pattern, Flags::default()).unwrap();
        let needs = regex.program().unwrap().notes.iter().flat_map(|note| note.needs);
        needs.flatten().count()
    }

    #[test]
    fn only_ways_that_must_come_to_the_conditional_with_its_group_set_need_its_literal() {
        for (pattern, ways) in [
            (r"^(?:(a\S*)|[^:]+) x(?(1): |$)", 1),
            (r"^((?P<u>\S+)|[^:]+) x(?: y)?(?(u): |$)", 1),
            // The group may stay unset.
            (r"^(?:(a)?\S*|[^:]+) x(?(1): |$)", 1),
            (r"^(?:(?:(a)|b)\S*|c) x(?(1): |$)", 1),
            // The conditional may be left out.
            (r"^(?:(a\S*)|[^:]+) x(?:(?(1): |$)|y)", 0),
            // The way is taken in a part of its own: what succeeds there is final.
            (r"^(?>(a\S*)|[^:]+) x(?(1): |$)", 0),
            (r"^(?=(a\S*)|[^:]+)\S+ x(?(1): |$)", 0),
            (r"^(?:(a\S*)|[^:]+) x(?!(?(1): |$))", 0),
            // The group may be opened again.
            (r"^(?:(a\S)|[^:]+)* x(?(1): |$)", 0),
            // No literal.
            (r"^(?:(a\S*)|[^:]+) x(?(1)\d|$)", 0),
        ] {
            assert_eq!(ways_that_need(pattern), ways, "{pattern}");
        }
    }

    #[test]
    fn every_short_text_matches_as_it_does_when_all_ways_are_taken() {
        let mut scratch = Scratch::default();
        let mut matches = 0;
        for pattern in [
            r"^(?:(?P<u>\S+)|[^:]+) x(?(u): |$)",
            r"^(?:(?P<u>x\S*)|(?:(?!: ).)*?) ?x(?: x)?(?(u): |(?:(?! x).)*$)",
            r"(?:(x+)|[^:]+?)(?:(:+)|x| )*(?(1): |x)",
            r"(?:(?:(x)| )+|(:))(?(1)x|(?(2): |x))",
            r"(?:(x)|[x:])* ?(?(1): |x)",
            r"^(?:(?>(x)|:)|(x*)) ?(?(1): |(?(2)x |:))",
        ] {
            let regex = Regex::new(pattern, Flags::default()).unwrap();
            let mut plain = Regex::new(pattern, Flags::default()).unwrap();
            let mut program = plain.program().unwrap().clone();
            for note in &mut program.notes {
                note.needs = [None; 2];
            }
            plain.program = Some(Box::new(program)).into();
            plain.quick = None.into();
            let mut found = |regex: &Regex, text: &str| {
                let matched = regex.search(text, &mut scratch).unwrap();
                matched.then(|| {
                    (0..=regex.groups())
                        .map(|group| scratch.group(group))
                        .collect::<Vec<_>>()
                })
            };
            for number in 0..3_u32.pow(9) {
                let text: String = (0..9)
                    .map(|place| [' ', ':', 'x'][(number / 3_u32.pow(place) % 3) as usize])
                    .collect();
                let text = &text[usize::try_from(number % 5).unwrap()..];
                let expected = found(&plain, text);
                assert_eq!(found(&regex, text), expected, "{pattern} on {text:?}");
                matches += usize::from(expected.is_some());
            }
        }
        assert!(matches > 10_000, "{matches}");
    }

    #[test]
    fn a_way_is_not_taken_where_its_literal_is_not_ahead() {
        let pattern = r"^(?:(?P<user>\S+)|[^:]+) from (\d+)(?: port \d+)?(?(user): |$)";
        let regex = Regex::new(pattern, Flags::default()).unwrap();
        let mut scratch = Scratch::default();
        let mut of = |text: &str| {
            regex
                .search(text, &mut scratch)
                .unwrap()
                .then(|| (scratch.group(0), scratch.group(1)))
        };
        assert_eq!(of("root from 12 port 34"), Some((Some(0..20), None)));
        assert_eq!(of("root from 12 port 34: x"), Some((Some(0..22), Some(0..4))));
        assert_eq!(of("a: from 12 port 34"), None);
        assert_eq!(of("a: from 12 port 34: "), Some((Some(0..20), Some(0..2))));
    }
}
