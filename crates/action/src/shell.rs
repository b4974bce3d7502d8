//! Where in a shell command a place is: what quotes it stands in, and who reads the word it belongs to.
//!
//! # The rule
//!
//! Text that somebody outside can choose never becomes part of a command. It is handed to the shell as an environment
//! variable, and the command refers to it. The form of the reference depends on the quotes at its place, so that the
//! program receives exactly the value as one word:
//!
//! | place | reference |
//! |---|---|
//! | unquoted | `"${f2bV_x}"` |
//! | within `"…"` or a here-document | `${f2bV_x}` |
//! | within `'…'` | `'"${f2bV_x}"'` |
//! | the code of another shell (`sh -c`, `eval`, `ssh`) | the reference for the place in *that* code, quoted for this one |
//! | within `'…'` in the text of another program (`awk`, `sed`…) | `${f2bV_x}`, not expanded: as Fail2Ban does |
//!
//! # Why it is safe even where this reading of the command is wrong
//!
//! A shell does not parse the result of an expansion again. All forms have their quotes in pairs, so in every state of
//! the shell each of them is an expansion or plain text; a wrong guess can split or garble a word, and never run one.
//! Code for another shell is read like the command itself, to any depth, so that only the innermost shell expands.
//!
//! What remains: a program that is handed code and is not in the lists below, and a program that takes a word starting with `-` as an option. Commands should write `--` before it.

/// Quotes around a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quoting {
    /// None: the shell splits words here.
    Unquoted,
    /// Within double quotes or `${…}`.
    Expanding,
    /// Within a here-document in which the shell expands.
    Document,
    /// Within single quotes.
    Single,
    /// Within a here-document with a quoted delimiter, or a comment.
    Inert,
}

/// Who reads the word at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// A program that takes it as data.
    Data,
    /// Another shell that runs it as code; the place within that code.
    Shell(Box<Place>),
    /// A program that may run it as code of another language.
    Program,
}

/// A place in a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) quoting: Quoting,
    pub(crate) reader: Reader,
    /// How many backtick substitutions the place is in; each of them removes one layer of backslashes.
    pub(crate) backticks: u32,
}

impl Place {
    /// The reference to a variable for this place.
    pub(crate) fn reference(&self, variable: &str) -> String {
        match (&self.reader, self.quoting) {
            (Reader::Shell(inner), quoting) => {
                // What quotes become within backticks differs between shells; without them the inner shell may split the
                // value into words, and does nothing worse.
                let reference = if self.backticks == 0 {
                    inner.reference(variable)
                } else {
                    inner.bare_reference(variable)
                };
                let mut quoted = quote(&reference, quoting);
                for _ in 0..self.backticks.min(4) {
                    quoted = quoted.replace('\\', "\\\\").replace('$', "\\$");
                }
                quoted
            }
            (_, Quoting::Unquoted) => format!("\"${{{variable}}}\""),
            (Reader::Data, Quoting::Single) => format!("'\"${{{variable}}}\"'"),
            (Reader::Program, Quoting::Single) | (_, Quoting::Expanding | Quoting::Document | Quoting::Inert) => {
                format!("${{{variable}}}")
            }
        }
    }

    /// A reference without quotes.
    fn bare_reference(&self, variable: &str) -> String {
        match &self.reader {
            Reader::Shell(inner) => quote(&inner.bare_reference(variable), self.quoting),
            Reader::Data | Reader::Program => format!("${{{variable}}}"),
        }
    }

    /// True if a program of another language, here or within code for another shell, reads the place.
    pub(crate) fn is_program(&self) -> bool {
        match &self.reader {
            Reader::Data => false,
            Reader::Shell(inner) => inner.is_program() || inner.quoting == Quoting::Inert,
            Reader::Program => true,
        }
    }
}

/// Text that a shell reads as this very text within these quotes.
fn quote(text: &str, quoting: Quoting) -> String {
    let special = match quoting {
        Quoting::Single => return text.replace('\'', "'\\''"),
        Quoting::Inert => return text.to_owned(),
        Quoting::Expanding => "\\\"$`",
        Quoting::Document => "\\$`",
        Quoting::Unquoted => "\\\"$`'{}",
    };
    let mut quoted = String::with_capacity(text.len() * 2);
    for c in text.chars() {
        if special.contains(c) {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}

const SHELLS: &[&str] = &[
    "sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "busybox", "su", "runuser", "script",
];
/// Of code for another shell, as much is read.
const LONGEST_CODE: usize = 64 * 1024;

const CODE_WORDS: &[&str] = &["eval", "ssh", "trap", "watch"];
const PROGRAMS: &[&str] = &[
    "awk",
    "gawk",
    "mawk",
    "nawk",
    "sed",
    "perl",
    "python",
    "python3",
    "ruby",
    "php",
    "node",
    "lua",
    "tclsh",
    "expect",
    "jq",
    "mysql",
    "mariadb",
    "psql",
    "sqlite3",
    "m4",
    "bc",
    "dc",
    "ed",
    "ex",
    "vim",
    "xargs",
    "parallel",
    "make",
    "osascript",
];

/// Words of the shell itself: after some of them a command begins, the others are commands that it has built in.
const KEYWORDS: &[&str] = &[
    "if", "then", "elif", "else", "while", "until", "do", "!", "time", "exec", "command",
];
const BUILTINS: &[&str] = &[
    ":", ".", "[", "[[", "break", "case", "cd", "continue", "done", "echo", "esac", "eval", "exit", "export", "false",
    "fi", "for", "local", "printf", "pwd", "read", "readonly", "return", "set", "shift", "source", "test", "times",
    "trap", "true", "type", "ulimit", "umask", "unset", "wait",
];

/// The programs that a command starts, by the names it starts them by.
///
/// Names that are made at run time (`$tool`) and functions of the command itself are left out.
pub fn programs(command: &str) -> Vec<String> {
    let mut lexer = Lexer::new();
    lexer.read(command);
    lexer.read("\n");
    lexer.close(0);
    let mut programs = lexer.programs;
    programs.retain(|name| !command.contains(&format!("{name}()")));
    programs
}

/// One level of nesting.
#[derive(Debug)]
enum Frame {
    /// Commands, up to `closer`.
    Code(Code),
    /// `'…'`; true once the text so far looks like a program rather than like words.
    Single(bool),
    /// `"…"`
    Double,
    /// `${…}`, with the number of open braces.
    Parameter(u32),
    /// A here-document.
    Document { document: Document, line: String },
    /// `# …`
    Comment,
}

#[derive(Debug)]
struct Code {
    closer: Closer,
    /// Parentheses opened within.
    depth: u32,
    /// The word that is being read, without its quotes.
    word: Option<String>,
    call: Call,
    /// The code for another shell that was read so far in this simple command.
    for_shell: String,
    /// Here-documents that begin after the next line end.
    documents: Vec<Document>,
    /// The programs that were started so far.
    programs: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closer {
    Nothing,
    Parenthesis,
    Backtick,
}

#[derive(Clone, Debug)]
struct Document {
    delimiter: String,
    quoted: bool,
    tabs: bool,
}

/// What is known of the simple command that is being read.
#[derive(Clone, Copy, Debug, Default)]
struct Call {
    words: u32,
    /// The name of the command has been read.
    is_named: bool,
    /// The next word is a file to read or write.
    to_file: bool,
    shell: bool,
    /// The next word is code for a shell.
    code_next: bool,
    /// All further words are code for a shell.
    code_all: bool,
    program: bool,
}

impl Call {
    fn end_word(&mut self, word: &str) {
        self.words = self.words.saturating_add(1);
        let base = word.rsplit('/').next().unwrap_or(word);
        if self.code_next {
            self.code_next = false;
            self.shell = false;
        } else if self.shell && word.starts_with('-') && !word.starts_with("--") && word.contains('c') {
            self.code_next = true;
        } else if SHELLS.contains(&base) {
            self.shell = true;
        } else if CODE_WORDS.contains(&base) {
            self.code_all = true;
        } else if PROGRAMS.contains(&base) || (self.words == 1 && word.contains('$')) {
            // A command whose name is not known here may be anything.
            self.program = true;
        }
    }

    fn is_code(self) -> bool {
        self.code_next || self.code_all
    }
}

impl Code {
    fn new(closer: Closer) -> Self {
        Self {
            closer,
            depth: 0,
            word: None,
            call: Call::default(),
            for_shell: String::new(),
            documents: Vec::new(),
            programs: Vec::new(),
        }
    }

    fn end_word(&mut self) {
        if let Some(word) = self.word.take() {
            self.note_program(&word);
            self.call.end_word(&word);
            // `eval` and `ssh` join their words.
            if self.call.code_all {
                self.push_code(' ');
            }
        }
    }

    /// Keeps the name of the program, if `word` is the one that names it.
    fn note_program(&mut self, word: &str) {
        let is_assignment = word.split_once('=').is_some_and(|(name, _)| !name.contains('/'));
        let is_file = std::mem::take(&mut self.call.to_file);
        if self.call.is_named || is_file || is_assignment || KEYWORDS.contains(&word) {
            return;
        }
        self.call.is_named = true;
        let is_name = word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '.');
        let is_plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+@".contains(c));
        if is_name && is_plain && !BUILTINS.contains(&word) {
            self.programs.push(word.to_owned());
        }
    }

    fn push_code(&mut self, c: char) {
        if self.call.is_code() && self.for_shell.len() < LONGEST_CODE {
            self.for_shell.push(c);
        }
    }

    /// Who reads what comes next.
    fn reader(&self) -> Reader {
        if self.call.is_code() {
            let mut inner = Lexer::new();
            inner.read(&self.for_shell);
            Reader::Shell(Box::new(inner.place()))
        } else if self.call.program {
            Reader::Program
        } else {
            Reader::Data
        }
    }

    fn end_command(&mut self) {
        self.end_word();
        self.call = Call::default();
        self.for_shell.clear();
    }

    fn push(&mut self, c: char) {
        self.push_code(c);
        let word = self.word.get_or_insert_default();
        // Only names and options are looked at; a long word is data.
        if word.len() < 64 {
            word.push(c);
        }
    }
}

/// Reads a command piece by piece.
#[derive(Debug)]
pub(crate) struct Lexer {
    frames: Vec<Frame>,
    /// The programs of the commands within the command that have been read to their end.
    programs: Vec<String>,
}

impl Lexer {
    pub(crate) fn new() -> Self {
        Self {
            frames: vec![Frame::Code(Code::new(Closer::Nothing))],
            programs: Vec::new(),
        }
    }

    /// Reads text of the command itself.
    pub(crate) fn read(&mut self, text: &str) {
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            let ahead = rest.as_str();
            let used = self.step(c, ahead);
            for _ in 0..used {
                rest.next();
            }
        }
    }

    /// Notes that a value stands here, and returns where here is.
    pub(crate) fn value(&mut self) -> Place {
        let place = self.place();
        if let Some(code) = self.code_mut() {
            code.push('x');
        }
        if let Some(Frame::Document { line, .. }) = self.frames.last_mut() {
            line.push('x');
        }
        place
    }

    pub(crate) fn place(&self) -> Place {
        let mut reader = Reader::Data;
        for frame in self.frames.iter().rev() {
            if let Frame::Code(code) = frame {
                reader = code.reader();
                break;
            }
        }
        let backticks = self
            .frames
            .iter()
            .filter(|frame| matches!(frame, Frame::Code(code) if code.closer == Closer::Backtick))
            .count();
        let quoting = match self.frames.last() {
            Some(Frame::Code(_)) | None => Quoting::Unquoted,
            Some(Frame::Double | Frame::Parameter(_)) => Quoting::Expanding,
            Some(Frame::Single(program)) => {
                if *program && reader == Reader::Data {
                    reader = Reader::Program;
                }
                Quoting::Single
            }
            Some(Frame::Document { document, .. }) => {
                reader = Reader::Data;
                if document.quoted {
                    Quoting::Inert
                } else {
                    Quoting::Document
                }
            }
            Some(Frame::Comment) => Quoting::Inert,
        };
        Place {
            quoting,
            reader,
            backticks: u32::try_from(backticks).unwrap_or(u32::MAX),
        }
    }

    fn code_mut(&mut self) -> Option<&mut Code> {
        self.frames.iter_mut().rev().find_map(|frame| match frame {
            Frame::Code(code) => Some(code),
            _ => None,
        })
    }

    /// Reads one character; returns how many of those ahead belong to it.
    fn step(&mut self, c: char, ahead: &str) -> usize {
        match self.frames.last_mut() {
            None => {
                self.frames.push(Frame::Code(Code::new(Closer::Nothing)));
                0
            }
            Some(Frame::Code(_)) => self.step_code(c, ahead),
            Some(Frame::Single(program)) => {
                if c == '\'' {
                    self.frames.pop();
                } else {
                    *program |= "\\;|&(){}`$".contains(c);
                    if let Some(code) = self.code_mut() {
                        code.push(c);
                    }
                }
                0
            }
            Some(Frame::Double) => match c {
                '"' => {
                    self.frames.pop();
                    0
                }
                '\\' => {
                    if let Some(next) = ahead.chars().next()
                        && let Some(code) = self.code_mut()
                    {
                        if !"\\\"$`\n".contains(next) {
                            code.push('\\');
                        }
                        code.push(next);
                    }
                    1
                }
                _ => self.step_expansion(c, ahead),
            },
            Some(Frame::Parameter(open)) => match c {
                '{' => {
                    *open = open.saturating_add(1);
                    0
                }
                '}' => {
                    *open = open.saturating_sub(1);
                    if *open == 0 {
                        self.frames.pop();
                    }
                    0
                }
                '\\' => 1,
                _ => self.step_expansion(c, ahead),
            },
            Some(Frame::Comment) => {
                if c == '\n' {
                    self.frames.pop();
                    return self.step(c, ahead);
                }
                0
            }
            Some(Frame::Document { document, line }) => {
                if c == '\n' {
                    let text = if document.tabs {
                        line.trim_start_matches('\t')
                    } else {
                        line.as_str()
                    };
                    if text == document.delimiter {
                        self.frames.pop();
                        // Its text is no word of the command that follows.
                        if let Some(code) = self.code_mut() {
                            code.word = None;
                        }
                    } else {
                        line.clear();
                    }
                    return 0;
                }
                line.push(c);
                if document.quoted {
                    return 0;
                }
                if c == '\\' { 1 } else { self.step_expansion(c, ahead) }
            }
        }
    }

    /// `$(`, `${` and backticks, where quotes do not matter.
    fn step_expansion(&mut self, c: char, ahead: &str) -> usize {
        match c {
            '`' => {
                self.backtick();
                return 0;
            }
            '$' if ahead.starts_with('(') => {
                self.frames.push(Frame::Code(Code::new(Closer::Parenthesis)));
                return 1;
            }
            '$' if ahead.starts_with('{') => {
                self.frames.push(Frame::Parameter(1));
                return 1;
            }
            _ => {}
        }
        if let Some(code) = self.code_mut() {
            code.push(c);
        }
        0
    }

    /// Ends all levels from this one on.
    fn close(&mut self, level: usize) {
        for frame in self.frames.drain(level..) {
            if let Frame::Code(mut code) = frame {
                code.end_word();
                self.programs.append(&mut code.programs);
            }
        }
    }

    fn backtick(&mut self) {
        let open = self
            .frames
            .iter()
            .rposition(|frame| matches!(frame, Frame::Code(code) if code.closer == Closer::Backtick));
        match open {
            Some(open) => self.close(open),
            None => self.frames.push(Frame::Code(Code::new(Closer::Backtick))),
        }
    }

    fn step_code(&mut self, c: char, ahead: &str) -> usize {
        let Some(Frame::Code(code)) = self.frames.last_mut() else {
            return 0;
        };
        match c {
            '\\' => {
                // A line continuation is nothing at all; any other character loses its meaning.
                if let Some(next) = ahead.chars().next().filter(|next| *next != '\n') {
                    code.push(next);
                }
                1
            }
            '\'' => {
                code.word.get_or_insert_default();
                self.frames.push(Frame::Single(false));
                0
            }
            '"' => {
                code.word.get_or_insert_default();
                self.frames.push(Frame::Double);
                0
            }
            '#' if code.word.is_none() => {
                self.frames.push(Frame::Comment);
                0
            }
            '\n' => {
                code.end_command();
                let documents = std::mem::take(&mut code.documents);
                for document in documents.into_iter().rev() {
                    self.frames.push(Frame::Document {
                        document,
                        line: String::new(),
                    });
                }
                0
            }
            ' ' | '\t' | '\r' | '<' | '>' if !(c == '<' && ahead.starts_with('<')) => {
                code.end_word();
                code.call.to_file |= matches!(c, '<' | '>');
                0
            }
            '<' if ahead.starts_with("<<") => {
                code.end_word();
                2
            }
            '<' if ahead.starts_with('<') => {
                code.end_word();
                let (document, used) = read_delimiter(ahead);
                code.documents.push(document);
                used
            }
            ';' | '|' | '&' => {
                code.end_command();
                0
            }
            '(' => {
                code.end_command();
                code.depth = code.depth.saturating_add(1);
                0
            }
            ')' => {
                code.end_command();
                if code.depth > 0 {
                    code.depth -= 1;
                } else if code.closer == Closer::Parenthesis {
                    self.close(self.frames.len().saturating_sub(1));
                }
                0
            }
            '`' | '$' => self.step_expansion(c, ahead),
            '{' | '}' if code.word.is_none() => {
                // A group's braces are words of their own, and no command.
                code.end_command();
                0
            }
            _ => {
                code.push(c);
                0
            }
        }
    }
}

/// Reads the delimiter of a here-document; `ahead` starts at the second `<`. Returns how many characters it took.
fn read_delimiter(ahead: &str) -> (Document, usize) {
    let mut document = Document {
        delimiter: String::new(),
        quoted: false,
        tabs: false,
    };
    let mut used = 1;
    let mut rest = ahead.chars().skip(1).peekable();
    if rest.next_if_eq(&'-').is_some() {
        document.tabs = true;
        used += 1;
    }
    while rest.next_if(|c| matches!(c, ' ' | '\t')).is_some() {
        used += 1;
    }
    let mut quote = None;
    for c in rest {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), '\n') => break,
            (None, '\'' | '"') => {
                document.quoted = true;
                quote = Some(c);
            }
            (None, '\\') => document.quoted = true,
            (None, c) if c.is_whitespace() || ";|&<>()`".contains(c) => break,
            (_, c) => document.delimiter.push(c),
        }
        used += 1;
    }
    (document, used)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The place of `@` in a command.
    fn at(command: &str) -> Place {
        let (before, _) = command.split_once('@').unwrap();
        let mut lexer = Lexer::new();
        lexer.read(before);
        lexer.place()
    }

    #[test]
    fn the_programs_of_a_command_are_those_it_starts() {
        for (command, expected) in [
            ("iptables -w -N f2b-x", &["iptables"][..]),
            ("/usr/sbin/sendmail -f root <x", &["/usr/sbin/sendmail"]),
            (">/tmp/x sort </tmp/y; : > z", &["sort"]),
            (
                "printf 'iptables-save; nft' | mail -s \"from `uname -n`\" root >/dev/null 2>&1",
                &["uname", "mail"],
            ),
            ("x=$(whois 192.0.2.1 | head -1) || exit 1", &["whois", "head"]),
            ("{ nft -a list table t | grep -q x; } || true", &["nft", "grep"]),
            (
                "if ! ipset -q test a b; then\n  LC_ALL=C $tool x\nelse ip route; fi # iptables",
                &["ipset", "ip"],
            ),
            ("f() { echo; }\nf; cat <<EOF\nnot a program\nEOF\n", &["cat"]),
        ] {
            assert_eq!(programs(command), expected, "{command}");
        }
    }

    #[test]
    fn knows_the_quotes_at_a_place() {
        for (command, expected) in [
            ("printf @", Quoting::Unquoted),
            ("printf \"@\"", Quoting::Expanding),
            ("printf '@'", Quoting::Single),
            ("printf 'a' @", Quoting::Unquoted),
            ("printf \\' @", Quoting::Unquoted),
            ("printf \"\\\"@\"", Quoting::Expanding),
            ("printf \"`whois @`\"", Quoting::Unquoted),
            ("printf \"`whois '@'`\"", Quoting::Single),
            ("printf \"$(whois '@')\"", Quoting::Single),
            ("printf \"$(whois x)@\"", Quoting::Expanding),
            ("printf \"`date +\"%a\"` @\"", Quoting::Expanding),
            ("printf \"${x:-@}\"", Quoting::Expanding),
            ("# don't\nprintf @", Quoting::Unquoted),
            ("# don't @", Quoting::Inert),
            ("echo a#'@'", Quoting::Single),
            ("cat <<EOF\n'@\nEOF\n", Quoting::Document),
            ("cat <<'EOF'\n@\nEOF\n", Quoting::Inert),
            ("cat <<-EOF\n\tit's\n\tEOF\nprintf @", Quoting::Unquoted),
            ("cat <<EOF | tr a b\nit's\nEOF\nprintf '@'", Quoting::Single),
            ("cat <<< word @", Quoting::Unquoted),
            ("(cd /; echo '@')", Quoting::Single),
            (
                "for p in $(echo 'tcp,udp' | sed 's/,/ /g'); do\nprintf \"@\"\ndone",
                Quoting::Expanding,
            ),
        ] {
            assert_eq!(at(command).quoting, expected, "{command}");
        }
    }

    #[test]
    fn knows_who_reads_the_word() {
        for (command, expected) in [
            ("curl --data '@'", "data"),
            ("sh -c '@'", "shell(data)"),
            ("/bin/bash -ec 'echo @'", "shell(data)"),
            ("sh -c 'echo \"$1\"' _ '@'", "data"),
            ("sh /usr/local/bin/notify '@'", "data"),
            ("sudo -u mail sh -c \"@\"", "shell(data)"),
            ("sh -c 'sh -c \"echo @\"'", "shell(shell(data))"),
            ("sh -c \"sh -c \\\"awk @\\\"\"", "shell(shell(program))"),
            ("eval \"@\"", "shell(data)"),
            ("eval sh -c '\"@\"'", "shell(shell(data))"),
            ("ssh host \"ban @\"", "shell(data)"),
            ("awk '/@/'", "program"),
            ("echo '@' | awk '{print}'", "data"),
            ("$tool '@'", "program"),
            ("x=$(date) ; mail -s '@'", "data"),
            ("notify 'a; b @'", "program"),
            ("sh -c true; mail '@'", "data"),
        ] {
            assert_eq!(shown(&at(command).reader), expected, "{command}");
        }
    }

    fn shown(reader: &Reader) -> String {
        match reader {
            Reader::Data => "data".to_owned(),
            Reader::Program => "program".to_owned(),
            Reader::Shell(inner) => format!("shell({})", shown(&inner.reader)),
        }
    }
}
