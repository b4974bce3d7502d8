//! Just enough JSON to read the recordings' `truth.json`.

/// A JSON value; objects keep their order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    /// `null`, `true`, `false`.
    Word(String),
    /// A number as written.
    Number(String),
    /// A string, escapes resolved.
    Text(String),
    /// An array.
    List(Vec<Json>),
    /// An object.
    Map(Vec<(String, Json)>),
}

impl Json {
    /// Reads a whole document.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader {
            rest: text,
            whole: text.len(),
        };
        let value = reader.value(0)?;
        reader.blanks();
        if reader.rest.is_empty() {
            Ok(value)
        } else {
            Err(reader.fault("text after the end"))
        }
    }

    /// The member of an object.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        self.members()
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    /// The members of an object; empty for anything else.
    pub(crate) fn members(&self) -> &[(String, Self)] {
        if let Self::Map(members) = self { members } else { &[] }
    }

    /// The items of an array; empty for anything else.
    pub(crate) fn items(&self) -> &[Self] {
        if let Self::List(items) = self { items } else { &[] }
    }

    /// The text of a string.
    pub(crate) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The whole seconds of a time.
    pub(crate) fn seconds(&self) -> Option<i64> {
        if let Self::Number(digits) = self {
            digits.split('.').next()?.parse().ok()
        } else {
            None
        }
    }

    /// A whole number.
    pub(crate) fn number(&self) -> Option<usize> {
        if let Self::Number(digits) = self {
            digits.parse().ok()
        } else {
            None
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
    whole: usize,
}

impl Reader<'_> {
    fn fault(&self, what: &str) -> String {
        format!("{what} at byte {}", self.whole - self.rest.len())
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, mark: char) -> bool {
        self.blanks();
        match self.rest.strip_prefix(mark) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self, depth: usize) -> Result<Json, String> {
        if depth > 64 {
            return Err(self.fault("nested too deeply"));
        }
        if self.take('{') {
            let mut members = Vec::new();
            while !self.take('}') {
                if !members.is_empty() && !self.take(',') {
                    return Err(self.fault("expected `,` or `}`"));
                }
                self.blanks();
                let name = self.string()?;
                if !self.take(':') {
                    return Err(self.fault("expected `:`"));
                }
                members.push((name, self.value(depth + 1)?));
            }
            return Ok(Json::Map(members));
        }
        if self.take('[') {
            let mut items = Vec::new();
            while !self.take(']') {
                if !items.is_empty() && !self.take(',') {
                    return Err(self.fault("expected `,` or `]`"));
                }
                items.push(self.value(depth + 1)?);
            }
            return Ok(Json::List(items));
        }
        self.blanks();
        if self.rest.starts_with('"') {
            return self.string().map(Json::Text);
        }
        let end = self
            .rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c)))
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        match word {
            "" => Err(self.fault("expected a value")),
            "null" | "true" | "false" => Ok(Json::Word(word.to_owned())),
            _ => Ok(Json::Number(word.to_owned())),
        }
    }

    fn string(&mut self) -> Result<String, String> {
        if !self.take('"') {
            return Err(self.fault("expected a string"));
        }
        let mut text = String::new();
        let mut marks = self.rest.char_indices();
        while let Some((at, mark)) = marks.next() {
            match mark {
                '"' => {
                    self.rest = self.rest.get(at + 1..).unwrap_or_default();
                    return Ok(text);
                }
                '\\' => match marks.next().map(|(_, mark)| mark) {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some('r') => text.push('\r'),
                    Some('u') => {
                        let digits: String = marks.by_ref().take(4).map(|(_, mark)| mark).collect();
                        let code = u32::from_str_radix(&digits, 16).map_err(|_| self.fault("bad \\u escape"))?;
                        text.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                    }
                    Some(other) => text.push(other),
                    None => break,
                },
                other => text.push(other),
            }
        }
        Err(self.fault("string without end"))
    }
}

#[cfg(test)]
mod tests {
    use super::Json;

    #[test]
    fn reads_values_of_every_kind() {
        let value = Json::parse(r#" {"a": [1, "x\"\u00e9", null], "b": {}} "#).unwrap();
        assert_eq!(value.get("a").unwrap().items()[0].number(), Some(1));
        assert_eq!(value.get("a").unwrap().items()[1].text(), Some("x\"\u{e9}"));
        assert!(value.get("b").unwrap().members().is_empty());
    }

    #[test]
    fn refuses_what_is_not_json() {
        for text in ["", "{", "[1", "\"a", "{\"a\" 1}", "1 2"] {
            assert!(Json::parse(text).is_err(), "{text}");
        }
    }
}
