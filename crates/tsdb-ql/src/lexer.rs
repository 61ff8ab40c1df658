//! From text to tokens: what the patterns in `token` cannot know. A slash begins a regular
//! expression where an operand is due and divides elsewhere; a `$name` becomes its value. A piece
//! of text that is no token is reported and stands as [`Token::Error`], so that the parse goes on
//! behind it.

use logos::Logos;

use crate::{
    ast::Span,
    diagnostic::Diagnostic,
    error::Error,
    parameter::{Parameter, Parameters},
    token::Token,
};

/// A token with its place: the bytes from the first number to before the second.
pub(crate) type SpannedToken = (usize, Token, usize);

/// The tokens of `text` with the values of `parameters`, and what is wrong with pieces of it.
/// Linear in the text.
pub(crate) fn lex(text: &str, parameters: &Parameters) -> (Vec<SpannedToken>, Vec<Diagnostic>) {
    let mut tokens: Vec<SpannedToken> = Vec::with_capacity(text.len() / 4);
    let mut diagnostics = Vec::new();
    let mut after_operand = false;
    let mut lexer = Token::lexer(text);
    while let Some(result) = lexer.next() {
        let start = lexer.span().start;
        let result = match result {
            Ok(Token::Slash) if !after_operand => {
                let (length, regex) = scan_regex(lexer.remainder());
                lexer.bump(length);
                regex.map(Token::Regex)
            }
            other => other.map_err(|error| {
                let character = lexer.slice().chars().next().unwrap_or_default();
                error.unwrap_or(Error::UnexpectedCharacter { character })
            }),
        };
        let end = lexer.span().end;
        after_operand = match &result {
            // Behind an operand a star multiplies, elsewhere it is a wildcard.
            Ok(Token::Star) => !after_operand,
            Ok(token) => token.ends_operand(),
            Err(_) => false,
        };
        match result {
            Ok(Token::Parameter(name)) => match parameters.get(&name).map(Parameter::tokens) {
                Some(Ok(values)) => {
                    tokens.extend(values.into_iter().map(|token| (start, token, end)));
                }
                Some(Err(error)) => {
                    diagnostics.push(Diagnostic::new(error, Span::new(start, end)));
                    tokens.push((start, Token::Error, end));
                }
                None => {
                    let error = Error::ParameterMissing { name };
                    diagnostics.push(Diagnostic::new(error, Span::new(start, end)));
                    tokens.push((start, Token::Error, end));
                }
            },
            Ok(token) => tokens.push((start, token, end)),
            Err(error) => {
                diagnostics.push(Diagnostic::new(error, Span::new(start, end)));
                tokens.push((start, Token::Error, end));
            }
        }
    }
    (tokens, diagnostics)
}

/// Whether `name` is read as that name without quotes. Keywords are always quoted when printed,
/// also those that could do without.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let mut lexer = Token::lexer(name);
    matches!(lexer.next(), Some(Ok(Token::Identifier(read))) if read == name)
        && lexer.span().len() == name.len()
}

/// The regular expression at the start of `rest`, which stands behind its first slash: how many
/// bytes it takes with its last slash, and its pattern. `\/` stands for a slash; every other
/// backslash belongs to the pattern, together with what follows it.
fn scan_regex(rest: &str) -> (usize, Result<String, Error>) {
    let mut pattern = String::new();
    let mut characters = rest.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '/' => return (at + 1, Ok(pattern)),
            '\n' => break,
            '\\' => match characters.next() {
                Some((_, '/')) => pattern.push('/'),
                Some((_, '\n')) | None => break,
                Some((_, escaped)) => pattern.extend(['\\', escaped]),
            },
            other => pattern.push(other),
        }
    }
    let line_end = rest.find('\n').unwrap_or(rest.len());
    (line_end, Err(Error::Unterminated { what: "regular expression", terminator: "/" }))
}

impl Parameter {
    /// The tokens that say the value; a negative one needs two.
    fn tokens(&self) -> Result<Vec<Token>, Error> {
        let signed = |negative: bool, token: Token| {
            Ok(if negative { vec![Token::Minus, token] } else { vec![token] })
        };
        match self {
            Parameter::Integer(value) => signed(*value < 0, Token::Integer(value.unsigned_abs())),
            Parameter::Number(value) if value.is_finite() => {
                signed(value.is_sign_negative(), Token::Number(value.abs()))
            }
            Parameter::Number(value) => Err(Error::NumberTooLarge { text: value.to_string() }),
            Parameter::String(text) => Ok(vec![Token::String(text.clone())]),
            Parameter::Boolean(true) => Ok(vec![Token::True]),
            Parameter::Boolean(false) => Ok(vec![Token::False]),
            Parameter::Duration(ns) => match ns.checked_abs() {
                Some(magnitude) => signed(*ns < 0, Token::Duration(magnitude)),
                None => Err(Error::NumberTooLarge { text: format!("{ns}ns") }),
            },
            Parameter::Identifier(name) => Ok(vec![Token::Identifier(name.clone())]),
            Parameter::Regex(pattern) => Ok(vec![Token::Regex(literal_form(pattern))]),
        }
    }
}

/// The pattern as it would come out of a literal: slashes without a backslash, line ends as
/// `\n`. Means the same, and can be printed as a literal.
fn literal_form(pattern: &str) -> String {
    let mut form = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match (character, if character == '\\' { characters.next() } else { None }) {
            ('\n', _) | ('\\', Some('\n')) => form.push_str("\\n"),
            ('\\', Some('/')) => form.push('/'),
            (plain, escaped) => form.extend(std::iter::once(plain).chain(escaped)),
        }
    }
    form
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<Token> {
        let (tokens, diagnostics) = lex(text, &Parameters::new());
        assert!(diagnostics.is_empty(), "{text}: {diagnostics:?}");
        tokens.into_iter().map(|(_, token, _)| token).collect()
    }

    fn name(text: &str) -> Token {
        Token::Identifier(text.to_owned())
    }

    #[test]
    fn each_kind_of_token_is_found() {
        let check = |text: &str, expected: &[Token]| assert_eq!(tokens(text), expected, "{text}");
        check("select FROM wHeRe", &[Token::Select, Token::From, Token::Where]);
        check("selected _x x1", &[name("selected"), name("_x"), name("x1")]);
        check(r#""a \"b\" \\ \n""#, &[name("a \"b\" \\ \n")]);
        check("'it\\'s'", &[Token::String("it's".to_owned())]);
        check("1 18446744073709551615", &[Token::Integer(1), Token::Integer(u64::MAX)]);
        check(
            "1.5 .5 1e3 1.5E-2",
            &[Token::Number(1.5), Token::Number(0.5), Token::Number(1000.0), Token::Number(0.015)],
        );
        check(
            "1h30m 10u 10µ",
            &[Token::Duration(5_400_000_000_000), Token::Duration(10_000), Token::Duration(10_000)],
        );
        check("a<>b", &[name("a"), Token::NotEqual, name("b")]);
        check("a -- rest\n/* x ** / */b", &[name("a"), name("b")]);
        check(
            "db..m::tag",
            &[name("db"), Token::Dot, Token::Dot, name("m"), Token::DoubleColon, Token::Tag],
        );
    }

    #[test]
    fn a_slash_is_a_regex_only_where_an_operand_is_due() {
        let regex = |pattern: &str| Token::Regex(pattern.to_owned());
        let check = |text: &str, expected: &[Token]| assert_eq!(tokens(text), expected, "{text}");
        check("a / b / c", &[name("a"), Token::Slash, name("b"), Token::Slash, name("c")]);
        check("=~ /a b/", &[Token::Matches, regex("a b")]);
        check("FROM /^c/, /d$/", &[Token::From, regex("^c"), Token::Comma, regex("d$")]);
        check("BY /x/", &[Token::By, regex("x")]);
        check("db../x/", &[name("db"), Token::Dot, Token::Dot, regex("x")]);
        check(
            "(1)/2",
            &[
                Token::OpenParen,
                Token::Integer(1),
                Token::CloseParen,
                Token::Slash,
                Token::Integer(2),
            ],
        );
        check("a * /b/", &[name("a"), Token::Star, regex("b")]);
        check("* / 2", &[Token::Star, Token::Slash, Token::Integer(2)]);
        check("key/2", &[Token::Key, Token::Slash, Token::Integer(2)]);
        check(r"=~ /a\/b\d\\/", &[Token::Matches, regex(r"a/b\d\\")]);
        check("=~ /-- no comment/", &[Token::Matches, regex("-- no comment")]);
    }

    #[test]
    fn parameters_become_their_values() {
        let parameters = Parameters::from([
            ("n".to_owned(), Parameter::Integer(-3)),
            ("host".to_owned(), Parameter::String("a' OR '1".to_owned())),
        ]);
        let (tokens, diagnostics) = lex("$n = $host $none", &parameters);
        let tokens: Vec<Token> = tokens.into_iter().map(|(_, token, _)| token).collect();
        assert_eq!(
            tokens,
            [
                Token::Minus,
                Token::Integer(3),
                Token::Equal,
                Token::String("a' OR '1".to_owned()),
                Token::Error,
            ]
        );
        assert_eq!(diagnostics.len(), 1);
        assert_eq!(diagnostics[0].error, Error::ParameterMissing { name: "none".to_owned() });
    }

    #[test]
    fn what_is_no_token_is_reported_and_skipped() {
        let check = |text: &str, message: &str, start: usize| {
            let (tokens, diagnostics) = lex(text, &Parameters::new());
            assert_eq!(diagnostics.len(), 1, "{text}: {diagnostics:?}");
            assert_eq!(diagnostics[0].to_string(), message, "{text}");
            assert_eq!(diagnostics[0].span.start, start, "{text}");
            assert!(tokens.iter().any(|(_, token, _)| *token == Token::Error), "{text}");
        };
        check("a # b", "found unexpected character '#'", 2);
        check("a ä b", "found unexpected character 'ä'", 2);
        check("a 'b", "found unterminated string, expected '", 2);
        check("a \"b\nc", "found unterminated identifier, expected \"", 2);
        check("a =~ /b", "found unterminated regular expression, expected /", 5);
        check("a /* b * ", "found unterminated comment, expected */", 2);
        check("'a\\x'", "found bad escape \\x", 0);
        check("99999999999999999999", "number 99999999999999999999 is too large", 0);
        check("1e999", "number 1e999 is too large", 0);
        check("1.5h", "found 1.5h, expected a duration of whole numbers", 0);
        check(
            "5y",
            "invalid duration \"5y\": unknown unit \"y\"; use ns, u, ms, s, m, h, d or w",
            0,
        );
    }
}
