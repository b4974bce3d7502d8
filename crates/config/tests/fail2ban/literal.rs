//! What `-d` prints, read back as values: lists of texts, numbers, truths and `None`, as Python writes them.

use stockade_protocol::Value;

/// The value that one line of `-d` is. Panics with the place if it is none.
pub(crate) fn read(line: &str) -> Value {
    let mut reader = Reader { rest: line };
    let value = reader.value();
    assert!(reader.rest.trim().is_empty(), "`{}` is left of {line}", reader.rest);
    value
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn value(&mut self) -> Value {
        self.skip();
        if self.take("[") {
            return Value::List(self.values("]"));
        }
        if self.take("(") {
            return Value::Tuple(self.values(")"));
        }
        if self.take("{") {
            let mut pairs = Vec::new();
            while !self.closes("}") {
                let key = self.value();
                self.skip();
                assert!(self.take(":"), "no `:` before `{}`", self.rest);
                pairs.push((key, self.value()));
                self.comma();
            }
            return Value::Dict(pairs);
        }
        if self.rest.starts_with(['\'', '"']) {
            return Value::Str(self.text());
        }
        for (word, value) in [
            ("None", Value::None),
            ("True", Value::Bool(true)),
            ("False", Value::Bool(false)),
        ] {
            if self.take(word) {
                return value;
            }
        }
        let end = self.rest.find([',', ']', ')', '}']).unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(end);
        self.rest = rest;
        number
            .parse()
            .map(Value::Int)
            .or_else(|_| number.parse().map(Value::Float))
            .unwrap_or_else(|_| panic!("`{number}` is no number"))
    }

    fn values(&mut self, close: &str) -> Vec<Value> {
        let mut values = Vec::new();
        while !self.closes(close) {
            values.push(self.value());
            self.comma();
        }
        values
    }

    fn closes(&mut self, close: &str) -> bool {
        self.skip();
        assert!(!self.rest.is_empty(), "`{close}` is missing");
        self.take(close)
    }

    fn comma(&mut self) {
        self.skip();
        self.take(",");
    }

    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, word: &str) -> bool {
        let rest = self.rest.strip_prefix(word);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// A text, and those that follow it without a comma: `pprint` cuts long ones.
    fn text(&mut self) -> String {
        let mut text = String::new();
        while let Some(quote) = self.rest.chars().next().filter(|c| matches!(c, '\'' | '"')) {
            let mut characters = self.rest.get(1..).unwrap().chars();
            loop {
                match characters.next().expect("a text ends") {
                    '\\' => text.push(escaped(&mut characters)),
                    end if end == quote => break,
                    other => text.push(other),
                }
            }
            self.rest = characters.as_str();
            self.skip();
        }
        text
    }
}

fn escaped(characters: &mut std::str::Chars<'_>) -> char {
    let kind = characters.next().expect("something is escaped");
    let digits = match kind {
        'n' => return '\n',
        'r' => return '\r',
        't' => return '\t',
        'x' => 2,
        'u' => 4,
        'U' => 8,
        other => return other,
    };
    let code: String = characters.by_ref().take(digits).collect();
    char::from_u32(u32::from_str_radix(&code, 16).unwrap()).unwrap()
}

#[test]
fn reads_what_python_prints() {
    let text = |text: &str| Value::Str(text.to_owned());
    assert_eq!(
        read(r#"['a', "it's", 'x\\n\n\xa0\'"', 'one ' 'two', 5, -1.5, None, [True, ['k', False]], {'s': 1}]"#),
        Value::List(vec![
            text("a"),
            text("it's"),
            text("x\\n\n\u{a0}'\""),
            text("one two"),
            Value::Int(5),
            Value::Float(-1.5),
            Value::None,
            Value::List(vec![
                Value::Bool(true),
                Value::List(vec![text("k"), Value::Bool(false)])
            ]),
            Value::Dict(vec![(text("s"), Value::Int(1))]),
        ])
    );
}
