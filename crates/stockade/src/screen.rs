//! What the commands for people show: coloured in a terminal, plain in a pipe; the demo shows the same as a picture.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};

/// How a piece of text looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Title,
    Dim,
    Name,
    Good,
    Bad,
}

impl Style {
    /// The terminal's code and the picture's colour.
    const fn looks(self) -> (&'static str, &'static str) {
        match self {
            Self::Plain => ("", "#d0d7de"),
            Self::Title => ("1", "#ffffff"),
            Self::Dim => ("2", "#7d8590"),
            Self::Name => ("36", "#76e3ea"),
            Self::Good => ("32", "#56d364"),
            Self::Bad => ("1;31", "#ff7b72"),
        }
    }
}

/// Pieces of a line.
pub(crate) type Spans<'a> = &'a [(Style, &'a str)];

/// Shows lines and remembers them.
pub(crate) struct Screen {
    has_colours: bool,
    lines: Vec<Vec<(Style, String)>>,
}

impl Screen {
    /// Standard output. Colours if it is a terminal and `NO_COLOR` is not set.
    pub(crate) fn new() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            has_colours: !refused && !is_dumb && std::io::stdout().is_terminal(),
            lines: Vec::new(),
        }
    }

    pub(crate) fn line(&mut self, spans: Spans<'_>) {
        let mut text = String::new();
        for (style, span) in spans {
            let (code, _) = style.looks();
            if self.has_colours && !code.is_empty() {
                // Writing to a string cannot fail.
                let _ = write!(text, "\x1b[{code}m{span}\x1b[0m");
            } else {
                text.push_str(span);
            }
        }
        let mut output = std::io::stdout().lock();
        // A closed pipe: nobody is listening; the exit code still tells.
        let _ = writeln!(output, "{}", text.trim_end()).and_then(|()| output.flush());
        self.lines
            .push(spans.iter().map(|(style, span)| (*style, (*span).to_owned())).collect());
    }

    pub(crate) fn blank(&mut self) {
        self.line(&[]);
    }

    pub(crate) fn title(&mut self, text: &str) {
        self.blank();
        self.line(&[(Style::Title, text)]);
    }

    /// A word and what there is to say about it.
    pub(crate) fn fact(&mut self, word: &str, text: &str) {
        self.line(&[(Style::Dim, &format!("  {word:<9} ")), (Style::Plain, text)]);
    }

    /// All that was shown, as a picture.
    pub(crate) fn svg(&self) -> String {
        const ADVANCE: f32 = 7.8;
        const STEP: usize = 18;
        const MARGIN: usize = 18;
        let longest = self
            .lines
            .iter()
            .map(|line| line.iter().map(|(_, span)| span.chars().count()).sum());
        let columns = u16::try_from(longest.max().unwrap_or(0)).unwrap_or(u16::MAX);
        let width = f32::from(columns).mul_add(ADVANCE, 36.0).ceil();
        let height = self.lines.len() * STEP + 2 * MARGIN;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
             role=\"img\" aria-label=\"Output of stockade demo\">\n\
             <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#0d1117\"/>\n\
             <g font-family=\"ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace\" font-size=\"13\" xml:space=\"preserve\" style=\"white-space:pre\">\n"
        );
        for (row, line) in self.lines.iter().enumerate().filter(|(_, line)| !line.is_empty()) {
            let y = MARGIN + 12 + row * STEP;
            let _ = write!(svg, "<text x=\"{MARGIN}\" y=\"{y}\">");
            for (style, span) in line {
                let weight = if *style == Style::Title {
                    " font-weight=\"bold\""
                } else {
                    ""
                };
                let _ = write!(
                    svg,
                    "<tspan fill=\"{}\"{weight}>{}</tspan>",
                    style.looks().1,
                    markup(span)
                );
            }
            svg.push_str("</text>\n");
        }
        svg.push_str("</g>\n</svg>\n");
        svg
    }
}

fn markup(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Foreign text for a terminal: what would steer it is written out, and it is cut to a length.
pub(crate) fn shown(text: &str, length: usize) -> String {
    let mut shown = String::new();
    for character in text.chars() {
        if shown.chars().count() >= length {
            shown.push('…');
            break;
        }
        if is_invisible(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Control characters, and those that turn the direction of writing or have no width.
fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_written_out() {
        assert_eq!(
            shown("a\x1b[31mb\r\n\u{202e}c\u{7f}\u{9b}", 99),
            "a\\u{1b}[31mb\\r\\n\\u{202e}c\\u{7f}\\u{9b}"
        );
        assert_eq!(shown("äöü€", 99), "äöü€");
        assert_eq!(shown("abcdef", 3), "abc…");
    }

    #[test]
    fn a_picture_holds_the_text_as_text() {
        let mut screen = Screen {
            has_colours: false,
            lines: Vec::new(),
        };
        screen.line(&[(Style::Good, "a < b & c")]);
        let svg = screen.svg();
        assert!(svg.contains(">a &lt; b &amp; c</tspan>"), "{svg}");
    }
}
