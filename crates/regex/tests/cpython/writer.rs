//! Patterns and texts written by dice.
#![expect(clippy::indexing_slicing, reason = "test code")]

use crate::random::Random;

/// Of which pieces patterns are made.
pub(crate) struct Alphabet {
    pub(crate) atoms: &'static [&'static str],
    pub(crate) texts: &'static [&'static str],
    /// Whether classes are written by dice, too.
    pub(crate) classes: bool,
}

/// Something of everything `re` has.
pub(crate) const EVERYTHING: Alphabet = Alphabet {
    atoms: &[
        "a",
        "b",
        "c",
        "ab",
        "A",
        "1",
        " ",
        ".",
        "\\w",
        "\\d",
        "\\s",
        "\\W",
        "\\S",
        "\\D",
        "[ab]",
        "[^a]",
        "[a-c1]",
        "[^b\\d]",
        "[\\W]",
        "\\.",
        "-",
        "é",
        "[é-ü]",
        "\\n",
        "k",
        "S",
        "_",
        "[^\\s,]",
        "ba",
        "\\x61",
        "\\u00e9",
        "\\141",
        "ſ",
        "ß",
        "İ",
        "ı",
        "Σ",
        "ς",
        "\\U0001F600",
        "\\0",
        "\\07",
        "\\t",
        "\\\\",
        "\\/",
        "\\é",
        "{",
        "}",
        "]",
        "a{",
        "{,",
        "{1",
        "#",
        "\\#",
        "\\ ",
        "µ",
        "ǆ",
        "\\u212a",
        "K",
    ],
    texts: &[
        "a", "b", "c", "a", "b", "A", "B", "1", "2", " ", "-", ".", "\n", "_", "é", "É", "k", "s", "ſ", "\u{301}", ",",
        "K", "\u{212a}", "ß", "ẞ", "İ", "ı", "i", "I", "Σ", "ς", "σ", "😀", "\t", "#", "{", "ǅ", "µ", "μ", "٣",
        "\u{1c}", "\u{85}",
    ],
    classes: true,
};

/// Few letters and many repetitions: what makes a search long, and the memo and the linear engine work.
pub(crate) const LOOPING: Alphabet = Alphabet {
    atoms: &[
        "a",
        "b",
        "[ab]",
        ".",
        "a*",
        "a+",
        "[^b]*",
        "(?:a|ab)*",
        "a*?",
        "(?:(?!ba).)*",
        "b?",
        "aa",
        "[a-c]+",
        "(?!ab)",
        "(?=a)",
        "(?:(?!a b).)*?",
        "\\b",
        "(?:[^ab]*|b[^b]*b)*",
        " ",
        "\\S+",
        "(?<=b)",
        "(?!b+)",
    ],
    texts: &["a", "a", "a", "b", "b", "é", " "],
    classes: false,
};

/// Look-aheads and conditionals that can be written out, and what they meet then.
pub(crate) const GUARDED: Alphabet = Alphabet {
    atoms: &[
        "a",
        "b",
        "c",
        "ab",
        "(?!ab)",
        "(?!a|bc)",
        "(?=a)",
        "(?=[ab]c?)",
        "(?:(?!ab).)*",
        "(?:(?!ab).)*?",
        "(?:(?!aba).)*",
        "(?:(?!aa).)*?",
        "((?:(?! b ).)*)",
        "(?!ab\\b)",
        "(?!b$)",
        "(?!a*)",
        "(?:(?!ab)\\w+c?)*",
        "(a)?",
        "(b)?",
        "(?(1)a|b)",
        "(?(2)c|ba)",
        "[ab]+",
        "\\S*",
        ".*?",
        " ",
        "$",
        "(?=a[bc]+)",
        "([ab]|c)",
        "(?:(?!ac)[^b]){2,3}",
        "(?: |$)",
        "(?!c)",
        "\\b",
        "a\\b",
        "\\B",
        "\\S*\\b",
        "[^b]+?\\b",
        ".\\B",
        "\\.",
    ],
    texts: &["a", "a", "b", "b", "c", " ", "é", "\u{301}", "."],
    classes: false,
};

const PLACES: &[&str] = &["^", "$", "\\b", "\\B", "\\A", "\\Z"];
const QUANTIFIERS: &[&str] = &[
    "*", "+", "?", "*?", "+?", "??", "*+", "++", "?+", "{2}", "{1,2}", "{,2}", "{2,}", "{1,3}?", "{0,2}+", "{2,}+",
    "{0}", "{,}", "{3}+", "{,1}?", "{0,0}", "{1}",
];
const MEMBERS: &[&str] = &[
    "a",
    "b",
    "k",
    "S",
    "1",
    "\\d",
    "\\w",
    "\\s",
    "\\W",
    "\\S",
    "\\D",
    "a-c",
    "A-Z",
    "0-9",
    "é",
    "à-þ",
    "ſ",
    "-",
    "^",
    "[",
    "_",
    "\\]",
    "\\n",
    "\\b",
    "\\x41",
    "\\u03a3-\\u03c9",
    "\\-",
    ".",
    "$",
    "\\141",
    "\\U00010400-\\U00010430",
    "😀",
    "İ",
    "ǅ",
    "&&",
    "||",
    "--",
];
/// What a look-behind may hold: as long in all its branches.
const BEHIND: &[&str] = &[
    "a",
    "[ab]",
    "ab|ba",
    "\\w",
    "b{2}",
    "^",
    "(?:a|.)",
    "\\b",
    "a(?=b)",
    "(a)",
    "a|b|c",
    "(?:ab|c.)a",
    "",
    "(?!a)b",
    "(?<!a)b",
    "a(?!b)",
    "$",
    "(?>a)",
    "(?i:é)",
    "\\Ba",
    "b++",
    "(?:a|b){2}",
    "a*",
    "a|bc",
];

/// Writes one pattern.
pub(crate) struct Writer<'r> {
    random: &'r mut Random,
    alphabet: &'r Alphabet,
    groups: usize,
    /// Numbers and names of the groups that are closed: an open one may be asked for, but CPython 3.11 then sees what an
    /// earlier try left behind.
    closed: Vec<String>,
    names: Vec<String>,
}

/// A pattern with all that it may have, nested `depth` deep.
pub(crate) fn pattern(random: &mut Random, alphabet: &Alphabet, depth: usize) -> String {
    let start = if random.once_in(12) {
        random.pick(&[
            "(?i)",
            "(?s)",
            "(?m)",
            "(?x)",
            "(?a)",
            "(?im)(?s)",
            "(?u)",
            " (?i)",
            "(?x) (?i)",
        ])
    } else {
        ""
    };
    let mut writer = Writer {
        random,
        alphabet,
        groups: 0,
        closed: Vec::new(),
        names: Vec::new(),
    };
    format!("{start}{}", writer.alternation(depth))
}

pub(crate) fn text(random: &mut Random, alphabet: &Alphabet, length: usize) -> String {
    (0..random.below(length)).map(|_| random.pick(alphabet.texts)).collect()
}

impl Writer<'_> {
    fn alternation(&mut self, depth: usize) -> String {
        let mut out = self.sequence(depth);
        while self.random.once_in(4) {
            out.push('|');
            out.push_str(&self.sequence(depth));
        }
        out
    }

    fn sequence(&mut self, depth: usize) -> String {
        let mut out = String::new();
        for _ in 0..self.random.below(4) {
            out.push_str(&self.item(depth));
        }
        out
    }

    fn item(&mut self, depth: usize) -> String {
        if self.random.once_in(8) {
            let place = self.random.pick(PLACES).to_owned();
            // CPython refuses this, with a position to compare.
            return if self.random.once_in(100) { place + "*" } else { place };
        }
        let mut item = if depth > 0 && self.random.once_in(2) {
            self.group(depth - 1)
        } else if self.alphabet.classes && self.random.once_in(4) {
            self.class()
        } else {
            self.random.pick(self.alphabet.atoms).into()
        };
        if self.random.once_in(3) {
            item.push_str(self.random.pick(QUANTIFIERS));
        }
        item
    }

    fn class(&mut self) -> String {
        let mut out = String::from(self.random.pick(&["[", "[^", "["]));
        for _ in 0..=self.random.below(3) {
            out.push_str(self.random.pick(MEMBERS));
        }
        out.push(']');
        out
    }

    fn group(&mut self, depth: usize) -> String {
        match self.random.below(18) {
            0..=3 => {
                self.groups += 1;
                let number = self.groups.to_string();
                let body = self.alternation(depth);
                self.closed.push(number);
                format!("({body})")
            }
            4 => {
                self.groups += 1;
                let name = format!("{}{}", self.random.pick(&["n", "_", "é", "N1_"]), self.groups);
                // Known to what follows, and to what is inside, where CPython refuses most uses.
                let body = if self.random.once_in(20) {
                    self.names.push(name.clone());
                    self.alternation(depth)
                } else {
                    let body = self.alternation(depth);
                    self.names.push(name.clone());
                    body
                };
                self.closed.push(name.clone());
                format!("(?P<{name}>{body})")
            }
            5 | 6 => format!("(?:{})", self.alternation(depth)),
            7 => format!("(?={})", self.alternation(depth)),
            8 => format!("(?!{})", self.alternation(depth)),
            9 => {
                let sign = self.random.pick(&["=", "!"]).to_owned();
                // Mostly refused, as its width is not fixed.
                let behind = if self.random.once_in(3) {
                    self.alternation(depth.min(1))
                } else {
                    let behind = self.random.pick(BEHIND);
                    self.groups += usize::from(behind.contains("(a)"));
                    behind.to_owned()
                };
                format!("(?<{sign}{behind})")
            }
            10 => format!("(?>{})", self.alternation(depth)),
            11 | 12 => format!(
                "(?{}:{})",
                self.random
                    .pick(&["i", "-i", "s", "m", "im-s", "x", "-x", "is", "-m", "-s", "ix-sm"]),
                self.alternation(depth)
            ),
            // Not at the start: CPython 3.11 skips to where a first class matches by the meaning outside.
            13 if depth > 0 => format!(
                "-?(?{}:{})",
                self.random.pick(&["a", "u", "ai", "u-i"]),
                self.alternation(depth)
            ),
            14 if self.groups > 0 => format!("\\{}", 1 + self.random.below(self.groups)),
            15 if !self.names.is_empty() => {
                let name = &self.names[self.random.below(self.names.len())];
                format!("(?P={name})")
            }
            14..=16 if self.groups > 0 => self.conditional(depth),
            17 => String::from(self.random.pick(&["(?#a comment)", "(?x: a # b\n)", "(?:)", "()??"])),
            _ => format!(
                "(?:{})",
                self.random.pick(&["a*", "(?!ab).", "a|b", "", "a*b?", "[^,]*,"])
            ),
        }
    }

    fn conditional(&mut self, depth: usize) -> String {
        let group = match self.random.below(self.closed.len() + 1) {
            // One to come, if it comes.
            0 => (self.groups + 1).to_string(),
            number => self.closed[number - 1].clone(),
        };
        let (yes, no) = (self.sequence(depth), self.sequence(depth));
        if self.random.once_in(2) {
            format!("(?({group}){yes}|{no})")
        } else {
            format!("(?({group}){yes})")
        }
    }
}
