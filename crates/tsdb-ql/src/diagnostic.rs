//! Errors with their place in the query text, and how they are shown: one line that clients of
//! InfluxDB know, the text with a caret line under it, and the remedy. What can be wrong is in
//! `error`.

use std::fmt::{self, Write as _};

use crate::{ast::Span, error::Error, limits::EXCERPT_CHARS_MAX, secret::masked};

/// An error and the place in the query text that it is about.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnostic {
    /// What is wrong.
    pub error: Error,
    /// Where.
    pub span: Span,
}

/// A place in a text as people count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The character in that line, from 1.
    pub column: usize,
}

impl Diagnostic {
    /// An error about the bytes `span` of the query.
    #[must_use]
    pub const fn new(error: Error, span: Span) -> Self {
        Self { error, span }
    }

    /// Where it begins in `text`, the query it was found in.
    #[must_use]
    pub fn position(&self, text: &str) -> Position {
        let before = text.get(..self.span.start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Position {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        }
    }

    /// The error with its place in one line, as InfluxDB writes it: `found X, expected Y at line
    /// 1, char 8`.
    #[must_use]
    pub fn headline(&self, text: &str) -> String {
        let Position { line, column } = self.position(text);
        format!("{} at line {line}, char {column}", printable(&self.error.to_string()))
    }

    /// The headline, the line of the query with carets under the place, and the remedy, in four
    /// lines.
    #[must_use]
    pub fn render(&self, text: &str) -> String {
        let (excerpt, carets) = self.excerpt(text);
        let remedy = self.error.remedy();
        format!("{}\n{excerpt}\n{carets}\n{remedy}", self.headline(text))
    }

    /// The line of `text` where the error begins, cut around it, and the line of carets below.
    fn excerpt(&self, text: &str) -> (String, String) {
        let start = self.span.start.min(text.len());
        let line_start = text
            .get(..start)
            .and_then(|before| before.rfind('\n'))
            .map_or(0, |newline| newline + 1);
        let line = text.get(line_start..).unwrap_or_default().lines().next().unwrap_or_default();
        let end_in_line = self.span.end.max(start).saturating_sub(line_start).min(line.len());
        let column = line.get(..start - line_start).unwrap_or(line).chars().count();
        let end_column = line.get(..end_in_line).unwrap_or(line).chars().count();

        let first_shown = column.saturating_sub(EXCERPT_CHARS_MAX / 2);
        let mut shown = String::new();
        if first_shown > 0 {
            shown.push('…');
        }
        let window = line.chars().skip(first_shown).take(EXCERPT_CHARS_MAX);
        shown.extend(window.map(|c| if c.is_control() { ' ' } else { c }));
        if line.chars().count() > first_shown + EXCERPT_CHARS_MAX {
            shown.push('…');
        }
        let indent = column - first_shown + usize::from(first_shown > 0);
        let width = (end_column.max(column + 1) - column).min(EXCERPT_CHARS_MAX / 2);
        (shown, format!("{}{}", " ".repeat(indent), "^".repeat(width)))
    }
}

/// The error alone, without its place.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.error.to_string()))
    }
}

impl std::error::Error for Diagnostic {}

/// `message` in one line: names from the query may hold control characters, and messages go to
/// logs and terminals.
fn printable(message: &str) -> String {
    let mut line = String::with_capacity(message.len());
    for character in message.chars() {
        if character.is_control() {
            // Writing to a String cannot fail.
            let _ = write!(line, "{}", character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

/// Everything that is wrong with the text of a query, at least one error, in the order of the
/// text.
///
/// Displays as `error parsing query: found X, expected Y at line 1, char 8`, the text with
/// carets, and the remedy; further errors follow in the same form.
#[derive(Debug, Clone, PartialEq)]
pub struct ParseErrors {
    text: Box<str>,
    diagnostics: Vec<Diagnostic>,
}

impl ParseErrors {
    pub(crate) fn new(text: &str, diagnostics: Vec<Diagnostic>) -> Self {
        assert!(!diagnostics.is_empty(), "a failed parse has a reason");
        Self { text: text.into(), diagnostics }
    }

    /// The errors, in the order of the text.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }
}

impl fmt::Display for ParseErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.diagnostics.iter().enumerate() {
            f.write_str(if index == 0 { "error parsing query: " } else { "\nalso: " })?;
            f.write_str(&diagnostic.render(&self.text))?;
        }
        Ok(())
    }
}

impl std::error::Error for ParseErrors {}

/// Everything that is wrong with the meaning of a statement, at least one error.
///
/// Displays as one line for each error; [`CheckErrors::render`] shows them in the text.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckErrors {
    diagnostics: Vec<Diagnostic>,
}

impl CheckErrors {
    /// Ok when there is no error.
    pub(crate) fn from_diagnostics(diagnostics: Vec<Diagnostic>) -> Result<(), Self> {
        if diagnostics.is_empty() { Ok(()) } else { Err(Self { diagnostics }) }
    }

    /// The errors.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// The errors in the form of [`ParseErrors`], without its first words; `text` is the query
    /// that the statement was parsed from.
    #[must_use]
    pub fn render(&self, text: &str) -> String {
        let text = masked(text);
        let rendered: Vec<String> =
            self.diagnostics.iter().map(|diagnostic| diagnostic.render(&text)).collect();
        rendered.join("\nalso: ")
    }
}

impl fmt::Display for CheckErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.diagnostics.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{diagnostic}")?;
        }
        Ok(())
    }
}

impl std::error::Error for CheckErrors {}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, start: usize, end: usize, expected: &str) {
        let diagnostic = Diagnostic::new(Error::OnlyTime, Span::new(start, end));
        let rendered = diagnostic.render(text);
        let first_three: Vec<&str> = rendered.lines().take(3).collect();
        assert_eq!(first_three.join("\n"), expected);
    }

    #[test]
    fn the_carets_stand_under_the_place() {
        check(
            "SELECT time\nFROM cpu",
            7,
            11,
            "at least 1 non-time field must be queried at line 1, char 8\n\
             SELECT time\n       ^^^^",
        );
        check(
            "SELECT\n\ttime FROM cpu",
            8,
            12,
            "at least 1 non-time field must be queried at line 2, char 2\n \
             time FROM cpu\n ^^^^",
        );
        // The end of the text has one caret behind it.
        check("ab", 2, 2, "at least 1 non-time field must be queried at line 1, char 3\nab\n  ^");
    }

    #[test]
    fn characters_count_not_bytes() {
        check(
            "SELECT \"zähler\" time",
            17,
            21,
            "at least 1 non-time field must be queried at line 1, char 17\n\
             SELECT \"zähler\" time\n                ^^^^",
        );
    }

    #[test]
    fn long_lines_are_cut_around_the_place() {
        let text = format!("{}X{}", "a".repeat(500), "b".repeat(500));
        let rendered = Diagnostic::new(Error::OnlyTime, Span::new(500, 501)).render(&text);
        let lines: Vec<&str> = rendered.lines().collect();
        assert_eq!(lines[1].chars().count(), EXCERPT_CHARS_MAX + 2);
        let caret = lines[2].chars().position(|c| c == '^').unwrap();
        assert_eq!(lines[1].chars().nth(caret), Some('X'));
    }

    #[test]
    fn control_characters_do_not_reach_the_log() {
        let error = Error::UnknownFunction { name: "a\u{1b}[31m\nb".to_owned(), suggestion: None };
        let line = Diagnostic::new(error, Span::default()).headline("");
        assert_eq!(line, "undefined function a\\u{1b}[31m\\nb() at line 1, char 1");
    }
}
