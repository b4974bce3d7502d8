//! Literals that every match must contain at least one of.
//!
//! Sound because each step only widens: a node's texts are replaced by a finite set that contains them all, or by
//! nothing known. Places and look-arounds consume nothing, so they stand for the empty text.

use crate::ast::Node;

/// A set of more literals than this is of no use to a scanner.
const MAX_LITERALS: usize = 32;
/// A class of more characters than this is not spelt out.
const MAX_CLASS: u32 = 6;
/// A repetition of more than this is not spelt out.
const MAX_REPETITIONS: u32 = 4;

/// Shorter literals are in most lines.
const MIN_NEEDED: usize = 3;

type Literals = Vec<String>;

/// The sets of literals of which each match contains one, the one that is likely to be rarest first; none contains a line feed.
pub(crate) fn sets(root: &Node) -> Vec<Vec<Vec<u8>>> {
    let mut candidates = Vec::new();
    collect(root, &mut candidates);
    candidates.sort_by(|a, b| commonness(a).total_cmp(&commonness(b)));
    candidates
        .into_iter()
        .map(|set| without_covered(set).into_iter().map(String::into_bytes).collect())
        .collect()
}

/// The rarest single literal that each match contains, if it is long enough to be worth looking for.
pub(crate) fn required_one(root: &Node) -> Option<String> {
    let mut candidates = Vec::new();
    collect(root, &mut candidates);
    let single = candidates.into_iter().filter(|texts| texts.len() == 1);
    let best = single.min_by(|a, b| commonness(a).total_cmp(&commonness(b)))?;
    best.into_iter().next().filter(|literal| literal.len() >= MIN_NEEDED)
}

/// Adds every set found of which each match of the node contains one.
fn collect(node: &Node, out: &mut Vec<Literals>) {
    if let Some(texts) = texts_of(node) {
        push_if_useful(texts, out);
        return;
    }
    match node {
        Node::Group(_, inner) | Node::Atomic(inner) => collect(inner, out),
        Node::Repeat { node, min, .. } if *min > 0 => collect(node, out),
        Node::Concat(nodes) => {
            // Neighbouring finite sets are multiplied into longer literals, as far as that stays small.
            let mut run = vec![String::new()];
            for node in nodes {
                let texts = texts_of(node);
                if let Some(longer) = texts.as_ref().and_then(|texts| product(&run, texts)) {
                    run = longer;
                    continue;
                }
                push_if_useful(std::mem::replace(&mut run, vec![String::new()]), out);
                match texts {
                    Some(texts) => run = texts,
                    None => collect(node, out),
                }
            }
            push_if_useful(run, out);
        }
        Node::Alternate(branches) => out.extend(union(branches.iter())),
        Node::Conditional { yes, no, .. } => out.extend(union([&**yes, &**no].into_iter())),
        _ => {}
    }
}

/// One set for several branches: each must promise something.
fn union<'n>(branches: impl Iterator<Item = &'n Node>) -> Option<Literals> {
    let mut all = Vec::new();
    for branch in branches {
        let mut candidates = Vec::new();
        collect(branch, &mut candidates);
        all.extend(
            candidates
                .into_iter()
                .min_by(|a, b| commonness(a).total_cmp(&commonness(b)))?,
        );
    }
    (all.len() <= MAX_LITERALS).then_some(all)
}

fn push_if_useful(texts: Literals, out: &mut Vec<Literals>) {
    if !texts.is_empty() && texts.iter().all(|text| !text.is_empty()) {
        out.push(texts);
    }
}

/// All texts the node can match, if they are few and without line feeds; a superset is allowed.
fn texts_of(node: &Node) -> Option<Literals> {
    match node {
        Node::Empty | Node::Assert(_) | Node::Look { .. } => Some(vec![String::new()]),
        Node::Char('\n') => None,
        Node::Char(character) => Some(vec![character.to_string()]),
        Node::Set(set) => {
            let size = set
                .ranges()
                .iter()
                .map(|&(first, last)| last - first + 1)
                .fold(0, u32::saturating_add);
            if size > MAX_CLASS || set.contains(u32::from('\n')) {
                return None;
            }
            let codes = set.ranges().iter().flat_map(|&(first, last)| first..=last);
            Some(codes.filter_map(char::from_u32).map(String::from).collect())
        }
        Node::Group(_, inner) | Node::Atomic(inner) => texts_of(inner),
        Node::Concat(nodes) => nodes
            .iter()
            .try_fold(vec![String::new()], |run, node| product(&run, &texts_of(node)?)),
        Node::Alternate(branches) => {
            let mut all = Vec::new();
            for branch in branches {
                all.extend(texts_of(branch)?);
            }
            (all.len() <= MAX_LITERALS).then_some(all)
        }
        Node::Repeat {
            node,
            min,
            max: Some(max),
            ..
        } if *max <= MAX_REPETITIONS => {
            let texts = texts_of(node)?;
            let mut run = vec![String::new()];
            let mut all = Vec::new();
            for count in 0..=*max {
                if count >= *min {
                    all.extend_from_slice(&run);
                }
                if count < *max {
                    run = product(&run, &texts)?;
                }
            }
            (all.len() <= MAX_LITERALS).then_some(all)
        }
        Node::Conditional { yes, no, .. } => {
            let mut all = texts_of(yes)?;
            all.extend(texts_of(no)?);
            (all.len() <= MAX_LITERALS).then_some(all)
        }
        Node::Repeat { .. } | Node::Backreference { .. } => None,
    }
}

fn product(first: &[String], second: &[String]) -> Option<Literals> {
    if first.len().saturating_mul(second.len()) > MAX_LITERALS {
        return None;
    }
    Some(
        first
            .iter()
            .flat_map(|start| second.iter().map(move |end| format!("{start}{end}")))
            .collect(),
    )
}

/// Sorted; a literal that contains another one of the set adds nothing.
fn without_covered(mut texts: Literals) -> Literals {
    texts.sort_unstable();
    texts.dedup();
    let covered = |text: &String| texts.iter().any(|other| other != text && text.contains(other.as_str()));
    texts.iter().filter(|text| !covered(text)).cloned().collect()
}

/// About how often one of the literals turns up in a log: the sum of 2^-bits, with few bits for frequent letters.
fn commonness(texts: &Literals) -> f64 {
    texts
        .iter()
        .map(|text| (-text.bytes().map(bits).sum::<f64>().min(60.0)).exp2())
        .sum()
}

fn bits(byte: u8) -> f64 {
    match byte {
        b' ' | b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 2.0,
        b'0'..=b'9' | b'.' | b':' => 2.5,
        b'"' | b'[' | b']' | b'-' | b'=' | b',' => 3.0,
        b'a'..=b'z' => 3.5,
        _ => 4.5,
    }
}

#[cfg(test)]
mod tests {
    use crate::{Flags, Regex};

    fn literals(pattern: &str) -> Option<Vec<String>> {
        let literals = Regex::new(pattern, Flags::default()).unwrap().required_literals()?;
        Some(
            literals
                .into_iter()
                .map(|literal| String::from_utf8(literal).unwrap())
                .collect(),
        )
    }

    #[test]
    fn every_match_contains_one_of_the_literals() {
        let some = |texts: &[&str]| Some(texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        for (pattern, wanted) in [
            ("abc", some(&["abc"])),
            ("a(?:bc|de)f", some(&["abcf", "adef"])),
            ("x+foo.*barrel", some(&["barrel"])),
            ("(?:foo)?", None),
            (r"\d+|foo", None),
            ("(foo)+|bar", some(&["bar", "foo"])),
            ("(?i:ab)", some(&["AB", "Ab", "aB", "ab"])),
            ("(?i)k", some(&["K", "k", "\u{212a}"])),
            (r"(a)?(?(1)foo|bar)", some(&["bar", "foo"])),
            ("foo\nbarr", some(&["barr"])),
            ("[a\n]b", some(&["b"])),
            ("(?=foo)", None),
            ("(?!foo)bar", some(&["bar"])),
            ("(?>foo|ba)", some(&["ba", "foo"])),
            ("[ab]{2}", some(&["aa", "ab", "ba", "bb"])),
            ("fo{0,1}", some(&["f"])),
        ] {
            assert_eq!(literals(pattern), wanted, "{pattern}");
        }
    }
}
