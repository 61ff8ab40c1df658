//! A small reader of Rust source: what is code, comment or literal; where functions begin and end;
//! which modules a file declares.
//!
//! It knows just enough of the language for the checks of `tidy` and builds no syntax tree. It
//! judges nothing.

use std::ops::Range;

/// What a stretch of source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    /// A string, byte string or character, with its quotes.
    Literal,
}

/// The source with comments and literals turned to spaces; line breaks stay, so that byte
/// positions and line numbers agree with the source.
pub fn code_only(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    for (range, kind) in spans(source) {
        let piece = source.get(range).unwrap_or_default();
        if kind == Kind::Code {
            code.push_str(piece);
        } else {
            code.extend(piece.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
        }
    }
    code
}

/// The source without comments and without white space outside of literals: what counts when one
/// asks whether the meaning of a file may have changed.
pub fn essence(source: &str) -> String {
    let mut essence = String::with_capacity(source.len());
    for (range, kind) in spans(source) {
        let piece = source.get(range).unwrap_or_default();
        match kind {
            Kind::Code => essence.extend(piece.chars().filter(|c| !c.is_whitespace())),
            Kind::Literal => essence.push_str(piece),
            Kind::Comment => {}
        }
    }
    essence
}

/// Cuts the source into stretches of one kind that together are the whole.
fn spans(source: &str) -> Vec<(Range<usize>, Kind)> {
    let scanner = Scanner { bytes: source.as_bytes() };
    let mut spans: Vec<(Range<usize>, Kind)> = Vec::new();
    let mut start = 0;
    while start < source.len() {
        let (end, kind) = scanner.piece(start);
        match spans.last_mut() {
            Some((range, Kind::Code)) if kind == Kind::Code => range.end = end,
            _ => spans.push((start..end, kind)),
        }
        start = end;
    }
    spans
}

struct Scanner<'a> {
    bytes: &'a [u8],
}

impl Scanner<'_> {
    /// The byte at `at`, 0 past the end (a NUL is no part of any token we look for).
    fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }

    /// End and kind of the comment, the literal or the one byte of code at `start`.
    fn piece(&self, start: usize) -> (usize, Kind) {
        match (self.byte(start), self.byte(start + 1)) {
            (b'/', b'/') => (self.line_end(start), Kind::Comment),
            (b'/', b'*') => (self.block_comment_end(start), Kind::Comment),
            (b'"', _) => (self.quoted_end(start + 1, b'"'), Kind::Literal),
            (b'r' | b'b' | b'c', _) if !is_word(self.byte(start.wrapping_sub(1))) => {
                match self.raw_string_end(start) {
                    Some(end) => (end, Kind::Literal),
                    None => (start + 1, Kind::Code),
                }
            }
            (b'\'', _) => match self.char_end(start) {
                Some(end) => (end, Kind::Literal),
                None => (start + 1, Kind::Code), // a lifetime
            },
            _ => (start + 1, Kind::Code),
        }
    }

    fn line_end(&self, start: usize) -> usize {
        let rest = self.bytes.get(start..).unwrap_or_default();
        start + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())
    }

    /// Block comments nest in Rust.
    fn block_comment_end(&self, start: usize) -> usize {
        let (mut at, mut depth) = (start + 2, 1_usize);
        while depth > 0 && at < self.bytes.len() {
            match (self.byte(at), self.byte(at + 1)) {
                (b'/', b'*') => (depth, at) = (depth + 1, at + 2),
                (b'*', b'/') => (depth, at) = (depth - 1, at + 2),
                _ => at += 1,
            }
        }
        at.min(self.bytes.len())
    }

    /// Past the quote that closes a literal whose content begins at `at`.
    fn quoted_end(&self, mut at: usize, quote: u8) -> usize {
        while at < self.bytes.len() {
            match self.byte(at) {
                b'\\' => at += 2,
                byte if byte == quote => return at + 1,
                _ => at += 1,
            }
        }
        self.bytes.len()
    }

    /// `r"…"`, `br#"…"#` and their kin; `None` when the letters begin a plain word. `b"…"` needs
    /// no case of its own: its letter is code and its string follows.
    fn raw_string_end(&self, start: usize) -> Option<usize> {
        let r = if self.byte(start) == b'r' { start } else { start + 1 };
        if self.byte(r) != b'r' {
            return None;
        }
        let hashes = (r + 1..).take_while(|at| self.byte(*at) == b'#').count();
        let open = r + 1 + hashes;
        if self.byte(open) != b'"' {
            return None;
        }
        let closes = |at: usize| {
            self.byte(at) == b'"' && (1..=hashes).all(|step| self.byte(at + step) == b'#')
        };
        let close = (open + 1..self.bytes.len()).find(|at| closes(*at));
        Some(close.map_or(self.bytes.len(), |at| at + 1 + hashes))
    }

    /// Past a character literal; `None` for a lifetime or a label.
    fn char_end(&self, start: usize) -> Option<usize> {
        if self.byte(start + 1) == b'\\' {
            return Some(self.quoted_end(start + 1, b'\''));
        }
        let width = match self.byte(start + 1) {
            0..0x80 => 1,
            0x80..0xE0 => 2,
            0xE0..0xF0 => 3,
            _ => 4,
        };
        let close = start + 1 + width;
        (self.byte(close) == b'\'').then_some(close + 1)
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// A word or one sign of the code, with its byte position.
struct Token<'a> {
    text: &'a str,
    at: usize,
}

/// The words and signs of `code`, which must come from [`code_only`].
fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = code.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        if c.is_whitespace() {
            continue;
        }
        let mut end = at + c.len_utf8();
        if c.is_alphanumeric() || c == '_' {
            while let Some((next, _)) = rest.next_if(|(_, c)| c.is_alphanumeric() || *c == '_') {
                end = next + 1;
            }
        }
        tokens.push(Token { text: code.get(at..end).unwrap_or_default(), at });
    }
    tokens
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name, without a path.
    pub name: String,
    /// Line of `fn`, counted from 1.
    pub line_first: usize,
    /// Line of the closing brace.
    pub line_last: usize,
    /// Whether an attribute such as `#[test]` stands above it.
    pub is_test: bool,
}

impl Function {
    /// Length in lines, from `fn` to the closing brace.
    pub fn line_count(&self) -> usize {
        self.line_last - self.line_first + 1
    }
}

/// The functions of `code` (from [`code_only`]), nested ones too, in order of their first line.
pub fn functions(code: &str) -> Vec<Function> {
    let lines = LineStarts::of(code);
    let tokens = tokens(code);
    let mut functions = Vec::new();
    for (index, pair) in tokens.windows(2).enumerate() {
        let [keyword, name] = pair else { continue };
        let named = name.text.starts_with(|c: char| c.is_alphabetic() || c == '_');
        if keyword.text != "fn" || !named {
            continue; // `fn(u8)` is a type
        }
        let after = tokens.get(index + 2..).unwrap_or_default();
        if let Some(end) = body_end(after) {
            functions.push(Function {
                name: name.text.to_owned(),
                line_first: lines.line(keyword.at),
                line_last: lines.line(end),
                is_test: is_test(tokens.get(..index).unwrap_or_default()),
            });
        }
    }
    functions
}

/// Position of the brace that closes the body; `None` for a declaration that ends in `;`.
fn body_end(after_name: &[Token<'_>]) -> Option<usize> {
    let (mut round, mut curly) = (0_i32, 0_i32);
    for token in after_name {
        match token.text {
            "(" | "[" => round += 1,
            ")" | "]" => round -= 1,
            ";" if round == 0 && curly == 0 => return None,
            // A brace inside parentheses belongs to an argument, not to the body.
            "{" if round == 0 || curly > 0 => curly += 1,
            "}" if curly > 0 => {
                curly -= 1;
                if curly == 0 {
                    return Some(token.at);
                }
            }
            _ => {}
        }
    }
    None
}

/// Whether one of the attributes that end at the end of `before` is `#[test]` or `#[….test(…)]`.
fn is_test(before: &[Token<'_>]) -> bool {
    let mut rest = before;
    loop {
        // Step over `pub(crate) async unsafe …` between the attributes and `fn`.
        while let [head @ .., last] = rest {
            let qualifiers = ["pub", "crate", "super", "in", "(", ")", "async", "const", "unsafe"];
            if !qualifiers.contains(&last.text) && last.text != "extern" {
                break;
            }
            rest = head;
        }
        if rest.last().is_none_or(|token| token.text != "]") {
            return false;
        }
        let Some(open) = rest.iter().rposition(|token| token.text == "#") else { return false };
        let (head, attribute) = rest.split_at(open);
        // `#[cfg(test)]` is no test: the word must stand before any parenthesis.
        let path = attribute.iter().take_while(|token| token.text != "(");
        if path.into_iter().any(|token| token.text == "test") {
            return true;
        }
        rest = head;
    }
}

/// The modules that `code` (from [`code_only`]) takes from other files with `mod name;`, each as
/// its path from the file: `["inner", "name"]` for one that stands inside `mod inner { … }`.
pub fn module_files(code: &str) -> Vec<Vec<String>> {
    let tokens = tokens(code);
    let mut open: Vec<Option<&str>> = Vec::new();
    let mut files = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let before = |back: usize| Some(tokens.get(index.checked_sub(back)?)?.text);
        let module = if before(2) == Some("mod") { before(1) } else { None };
        match (token.text, module) {
            ("{", module) => open.push(module),
            ("}", _) => drop(open.pop()),
            (";", Some(name)) => {
                files.push(open.iter().flatten().copied().chain([name]).map(Into::into).collect());
            }
            _ => {}
        }
    }
    files
}

/// Where the lines of a text begin.
pub struct LineStarts {
    starts: Vec<usize>,
}

impl LineStarts {
    /// Reads the text once.
    pub fn of(text: &str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self { starts: [0].into_iter().chain(breaks.map(|(at, _)| at + 1)).collect() }
    }

    /// Line of the byte position `at`, counted from 1.
    pub fn line(&self, at: usize) -> usize {
        self.starts.partition_point(|start| *start <= at)
    }
}

#[cfg(test)]
mod tests {
    use super::{code_only, essence, functions, module_files};

    #[test]
    fn comments_and_literals_become_spaces() {
        #[track_caller]
        fn check(source: &str, code: &str) {
            let blanked = code_only(source);
            assert_eq!(blanked.len(), source.len(), "positions must agree");
            assert_eq!(blanked.split_whitespace().collect::<Vec<_>>().join(" "), code, "{source}");
        }
        check("a // b\nc", "a c");
        check("a /* b /* c */ d */ e", "a e");
        check("a \"b \\\" // c\" d", "a d");
        check("a r#\"b \" c\"# d", "a d");
        check("a br\"b\\\" c", "a c");
        check("a b\"x\" c'y'", "a b c");
        check("f::<'a>(b'\\'', '\"', 'é') g", "f::<'a>(b , , ) g");
        check("r#type bar \"unclosed", "r#type bar");
        check("'outer: loop { break 'outer }", "'outer: loop { break 'outer }");
        check("a /* unclosed", "a");
        check("let é = 1; // é", "let é = 1;");
    }

    /// All texts of up to five of the signs that matter: whatever they mean, the reader ends, keeps
    /// lengths and lines, and makes nothing up.
    #[test]
    fn every_short_text_can_be_read() {
        let signs = ["/", "*", "\"", "'", "r", "#", "\\", "é", "\n", "{"];
        let mut texts = vec![String::new()];
        for _ in 0..5 {
            let longer: Vec<String> = texts
                .iter()
                .flat_map(|text| signs.iter().map(move |sign| format!("{text}{sign}")))
                .collect();
            for text in &longer {
                let code = code_only(text);
                assert_eq!(code.len(), text.len(), "{text:?}");
                let same = code.bytes().zip(text.bytes());
                assert!(same.clone().all(|(a, b)| a == b || a == b' '), "{text:?}: {code:?}");
                assert!(same.clone().all(|(a, b)| (a == b'\n') == (b == b'\n')), "{text:?}");
                functions(&code);
            }
            texts = longer;
        }
    }

    #[test]
    fn essence_ignores_layout_and_comments_but_not_literals() {
        let one = "/// doc\npub const A: &str = \"a b\"; // why\n";
        let two = "pub  const A:\n    &str = \"a b\";";
        assert_eq!(essence(one), essence(two));
        assert_ne!(essence(one), essence("pub const A: &str = \"ab\";"));
    }

    #[test]
    fn functions_have_names_lines_and_tests_are_known() {
        let source = "\
//! fn in_comment() {}
type Callback = fn(u8) -> u8;
trait T { fn declared(&self, x: [u8; 4]); }
#[test]
fn first() {
    let s = \"}\";
}
#[tokio::test(flavor = \"current_thread\")]
#[expect(clippy::all, reason = \"x\")]
pub(crate) async fn second() { if a { b } }
#[cfg(test)]
fn helper(x: fn() -> u8) -> impl Fn() {
    fn nested() {}
}
";
        let found: Vec<_> = functions(&code_only(source))
            .into_iter()
            .map(|f| (f.name, f.line_first, f.line_last, f.is_test))
            .collect();
        let expected = [
            ("first".to_owned(), 5, 7, true),
            ("second".to_owned(), 10, 10, true),
            ("helper".to_owned(), 12, 14, false),
            ("nested".to_owned(), 13, 13, false),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn tests_inside_a_proptest_block_are_known() {
        let source = "proptest! {\n  #[test]\n  fn holds(x in vec({ 0..3 }, 2)) {\n  }\n}";
        let found = functions(&code_only(source));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].line_first, found[0].line_last), (3, 4));
        assert!(found[0].is_test);
    }

    #[test]
    fn modules_know_the_inline_modules_around_them() {
        let code = "pub mod a; mod b { fn f() { {} } pub(crate) mod c; } mod d { } mod e;";
        assert_eq!(module_files(code), [vec!["a"], vec!["b", "c"], vec!["e"]]);
    }
}
