//! How many instructions a tree becomes at most, told without writing them: a pattern that cannot be too long is compiled when it is first
//! searched with.

use crate::ast::Node;

impl Node {
    /// No fewer instructions than `compile` writes for the node.
    pub(crate) fn extent(&self) -> usize {
        let inside = || self.children().map(Node::extent).fold(0, usize::saturating_add);
        match self {
            Node::Empty | Node::Char(_) | Node::Set(_) | Node::Assert(_) | Node::Backreference { .. } => 1,
            Node::Concat(_) => inside(),
            Node::Group(..) | Node::Look { .. } | Node::Conditional { .. } | Node::Atomic(_) => {
                inside().saturating_add(2)
            }
            // A choice before each branch, and a jump behind it.
            Node::Alternate(branches) => branches.len().saturating_mul(2).saturating_add(inside()),
            Node::Repeat { node, .. } if node.single().is_some() => 1,
            Node::Repeat { min, max, .. } => {
                let copies = max.unwrap_or(min.saturating_add(1)).max(1);
                let copies = usize::try_from(copies).unwrap_or(usize::MAX);
                // Each copy with its choice, its mark and what makes it atomic; where it counts instead there is one.
                copies.saturating_mul(inside().saturating_add(8)).saturating_add(8)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Flags, compile, parse, rewrite};

    #[test]
    fn is_never_less_than_what_a_pattern_becomes() {
        let parts = [
            "a",
            "[a-c]",
            r"\b",
            "(x)",
            "(?:ab|c|)",
            "(?=xy)",
            "(?<!x[yz])",
            "(?>ab?)",
            "(?:x(?!y).)*",
            "(?P<n>k)?(?(n)a|b)",
            "(?:a(?:b|c)?)",
            "",
            r"(q)\1",
        ];
        let quantifiers = [
            "",
            "?",
            "*",
            "+",
            "*?",
            "+?",
            "*+",
            "?+",
            "{3}",
            "{2,5}",
            "{2,5}?",
            "{2,}+",
            "{1,4}+",
            "{900,1200}",
            "{0}",
        ];
        let mut seen = 0;
        let mut check = |pattern: &str| {
            let Ok(mut ast) = parse::parse(pattern, Flags::default()) else {
                return;
            };
            for _ in 0..2 {
                let extent = ast.root.extent();
                for written in [
                    compile::compile(&ast),
                    compile::compile_plainly(&ast).map(|(program, _)| program),
                ] {
                    let length = written.unwrap().code.len();
                    // The last instruction says that it matches.
                    assert!(length <= extent + 1, "{pattern:?}: {length} of {extent}");
                    seen += 1;
                }
                ast.root = rewrite::rewrite(ast.root);
            }
        };
        for one in parts {
            for first in quantifiers {
                for other in parts {
                    for second in ["", "?", "*", "{2,3}", "{1,2}+"] {
                        check(&format!("(?:{one}){first}{other}"));
                        check(&format!("(?:(?:{one}){first}{other}){second}z|y"));
                    }
                }
            }
        }
        assert!(seen > 5_000, "{seen}");
    }
}
