//! Words as a shell splits them: what `journalmatch` is written in, and what an operator types.

/// The words of `text`, or `None` if a quotation mark is not closed or a backslash ends it.
///
/// As Python's `shlex.split` without comments.
pub fn split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next()? {
                        '\'' => break,
                        other => word.push(other),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next()? {
                        '"' => break,
                        '\\' => match characters.next()? {
                            escaped @ ('"' | '\\') => word.push(escaped),
                            other => {
                                word.push('\\');
                                word.push(other);
                            }
                        },
                        other => word.push(other),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(characters.next()?),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn splits_as_pythons_shlex_does() {
        let words = split("a='x y' + \"b=q\\\"z\\n\" c\\ d #e ''").unwrap();
        assert_eq!(words, ["a=x y", "+", "b=q\"z\\n", "c d", "#e", ""]);
        assert_eq!(split("a='x y + b"), None);
        assert_eq!(split("a\\"), None);
        assert_eq!(split("  status  jp ").unwrap(), ["status", "jp"]);
        assert!(split("").unwrap().is_empty());
    }
}
