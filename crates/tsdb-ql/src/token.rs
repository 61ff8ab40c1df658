//! The tokens of TQL and the patterns that find them. What needs the tokens before (regular
//! expressions, parameters) is added by `lexer`.

use logos::{Lexer, Logos};
use tsdb_core::time::parse_duration;

use crate::error::Error;

/// Why a piece of text is no token; none when it begins with a character that begins nothing.
pub(crate) type TokenError = Option<Error>;

/// A token. Keywords stand in any case of letters.
#[derive(Logos, Debug, Clone, PartialEq)]
#[logos(error = TokenError)]
#[logos(skip r"[ \t\r\n\x0C]+")]
#[logos(skip(r"--[^\n]*", allow_greedy = true))]
#[logos(skip r"/\*([^*]|\*+[^*/])*\*+/")]
pub(crate) enum Token {
    // --- keywords that no unquoted name can be
    #[token("SELECT", ignore(case))]
    Select,
    #[token("FROM", ignore(case))]
    From,
    #[token("WHERE", ignore(case))]
    Where,
    #[token("GROUP", ignore(case))]
    Group,
    #[token("BY", ignore(case))]
    By,
    #[token("ORDER", ignore(case))]
    Order,
    #[token("ASC", ignore(case))]
    Asc,
    #[token("DESC", ignore(case))]
    Desc,
    #[token("LIMIT", ignore(case))]
    Limit,
    #[token("OFFSET", ignore(case))]
    Offset,
    #[token("SLIMIT", ignore(case))]
    SeriesLimit,
    #[token("SOFFSET", ignore(case))]
    SeriesOffset,
    #[token("AND", ignore(case))]
    And,
    #[token("OR", ignore(case))]
    Or,
    #[token("AS", ignore(case))]
    As,
    #[token("IN", ignore(case))]
    In,
    #[token("ON", ignore(case))]
    On,
    #[token("WITH", ignore(case))]
    With,
    #[token("DISTINCT", ignore(case))]
    Distinct,
    #[token("TRUE", ignore(case))]
    True,
    #[token("FALSE", ignore(case))]
    False,
    #[token("EXPLAIN", ignore(case))]
    Explain,
    #[token("SHOW", ignore(case))]
    Show,
    #[token("CREATE", ignore(case))]
    Create,
    #[token("ALTER", ignore(case))]
    Alter,
    #[token("DROP", ignore(case))]
    Drop,
    #[token("DELETE", ignore(case))]
    Delete,
    #[token("INTO", ignore(case))]
    Into,

    // --- keywords only where one is due, names elsewhere
    #[token("ANALYZE", ignore(case))]
    Analyze,
    #[token("CARDINALITY", ignore(case))]
    Cardinality,
    #[token("DATABASE", ignore(case))]
    Database,
    #[token("DATABASES", ignore(case))]
    Databases,
    #[token("DEFAULT", ignore(case))]
    Default,
    #[token("DIAGNOSTICS", ignore(case))]
    Diagnostics,
    #[token("DURATION", ignore(case))]
    DurationKeyword,
    #[token("EXACT", ignore(case))]
    Exact,
    #[token("FIELD", ignore(case))]
    Field,
    #[token("FILL", ignore(case))]
    Fill,
    #[token("FOR", ignore(case))]
    For,
    #[token("GROUPS", ignore(case))]
    Groups,
    #[token("INF", ignore(case))]
    Inf,
    #[token("KEY", ignore(case))]
    Key,
    #[token("KEYS", ignore(case))]
    Keys,
    #[token("KILL", ignore(case))]
    Kill,
    #[token("MEASUREMENT", ignore(case))]
    Measurement,
    #[token("MEASUREMENTS", ignore(case))]
    Measurements,
    #[token("NAME", ignore(case))]
    Name,
    #[token("POLICIES", ignore(case))]
    Policies,
    #[token("POLICY", ignore(case))]
    Policy,
    #[token("QUERIES", ignore(case))]
    Queries,
    #[token("QUERY", ignore(case))]
    Query,
    #[token("REJECTS", ignore(case))]
    Rejects,
    #[token("REPLICATION", ignore(case))]
    Replication,
    #[token("RETENTION", ignore(case))]
    Retention,
    #[token("SERIES", ignore(case))]
    Series,
    #[token("SHARD", ignore(case))]
    Shard,
    #[token("SHARDS", ignore(case))]
    Shards,
    #[token("STATS", ignore(case))]
    Stats,
    #[token("TAG", ignore(case))]
    Tag,
    #[token("TZ", ignore(case))]
    Tz,
    #[token("VALUES", ignore(case))]
    Values,

    // --- the same, of statements about users and tokens
    #[token("ALL", ignore(case))]
    All,
    #[token("EXPIRES", ignore(case))]
    Expires,
    #[token("GRANT", ignore(case))]
    Grant,
    #[token("GRANTS", ignore(case))]
    Grants,
    #[token("PASSWORD", ignore(case))]
    Password,
    #[token("PRIVILEGES", ignore(case))]
    Privileges,
    #[token("READ", ignore(case))]
    Read,
    #[token("REVOKE", ignore(case))]
    Revoke,
    #[token("SET", ignore(case))]
    Set,
    #[token("TO", ignore(case))]
    To,
    /// `TOKEN`; a variant must not be called as its enum.
    #[token("TOKEN", ignore(case))]
    Bearer,
    #[token("TOKENS", ignore(case))]
    Tokens,
    #[token("USER", ignore(case))]
    User,
    #[token("USERS", ignore(case))]
    Users,
    #[token("WRITE", ignore(case))]
    Write,

    // --- the same, of continuous queries
    #[token("BEGIN", ignore(case))]
    Begin,
    #[token("CONTINUOUS", ignore(case))]
    Continuous,
    #[token("END", ignore(case))]
    End,
    #[token("EVERY", ignore(case))]
    Every,
    #[token("RESAMPLE", ignore(case))]
    Resample,

    // --- names and constants
    #[regex(r"[A-Za-z_][A-Za-z0-9_]*", |lexer| lexer.slice().to_owned())]
    #[regex(r#""([^"\\\n]|\\[^\n])*""#, quoted)]
    Identifier(String),
    #[regex(r"'([^'\\\n]|\\[^\n])*'", quoted)]
    String(String),
    #[regex(r"[0-9]+", integer)]
    Integer(u64),
    #[regex(r"[0-9]*\.[0-9]+([eE][+-]?[0-9]+)?", number, priority = 20)]
    #[regex(r"[0-9]+[eE][+-]?[0-9]+", number, priority = 20)]
    Number(f64),
    #[regex(r"[0-9]+[A-Za-zµμ][0-9A-Za-zµμ]*", duration, priority = 5)]
    Duration(i64),
    /// `$name`; the lexer puts its value in its place.
    #[regex(r"\$[A-Za-z_][A-Za-z0-9_]*", |lexer| lexer.slice().trim_start_matches('$').to_owned())]
    Parameter(String),
    /// `/…/`; found by the lexer, which alone knows where a slash divides.
    Regex(String),

    // --- signs
    #[token("+")]
    Plus,
    #[token("-")]
    Minus,
    #[token("*")]
    Star,
    #[token("/")]
    Slash,
    #[token("%")]
    Percent,
    #[token("&")]
    Ampersand,
    #[token("|")]
    Pipe,
    #[token("^")]
    Caret,
    #[token("=")]
    Equal,
    #[token("!=")]
    #[token("<>")]
    NotEqual,
    #[token("=~")]
    Matches,
    #[token("!~")]
    NotMatches,
    #[token("<")]
    Less,
    #[token("<=")]
    LessOrEqual,
    #[token(">")]
    Greater,
    #[token(">=")]
    GreaterOrEqual,
    #[token("(")]
    OpenParen,
    #[token(")")]
    CloseParen,
    #[token(",")]
    Comma,
    #[token(".")]
    Dot,
    #[token("::")]
    DoubleColon,
    /// `:MEASUREMENT`, the name of what was read, in INTO.
    #[token(":MEASUREMENT", ignore(case))]
    BackReference,
    /// Between statements; the parser puts one behind the last.
    #[token(";")]
    Semicolon,

    // --- what went wrong
    /// A piece of text that is no token, already reported.
    #[regex(r#""([^"\\\n]|\\[^\n])*"#, unterminated_identifier)]
    #[regex(r"'([^'\\\n]|\\[^\n])*", unterminated_string)]
    #[regex(r"/\*([^*]|\*+[^*/])*\**", unterminated_comment)]
    #[regex(r"[0-9]*\.[0-9]+[A-Za-zµμ]+", fractional_duration, priority = 5)]
    Error,
}

impl Token {
    /// Whether an operand ends with this token, so that a slash behind it divides and does not
    /// begin a regular expression. (A star can also be an operator; the lexer knows which.)
    pub(crate) fn ends_operand(&self) -> bool {
        match self {
            Token::Identifier(_)
            | Token::String(_)
            | Token::Integer(_)
            | Token::Number(_)
            | Token::Duration(_)
            | Token::Parameter(_)
            | Token::Regex(_)
            | Token::CloseParen
            | Token::True
            | Token::False => true,
            other => other.is_soft_keyword(),
        }
    }

    /// Whether this keyword is a name where no keyword is due.
    pub(crate) fn is_soft_keyword(&self) -> bool {
        self.is_account_keyword()
            || self.is_continuous_keyword()
            || matches!(
                self,
                Token::Analyze
                    | Token::Cardinality
                    | Token::Database
                    | Token::Databases
                    | Token::Default
                    | Token::Diagnostics
                    | Token::DurationKeyword
                    | Token::Exact
                    | Token::Field
                    | Token::Fill
                    | Token::For
                    | Token::Groups
                    | Token::Inf
                    | Token::Key
                    | Token::Keys
                    | Token::Kill
                    | Token::Measurement
                    | Token::Measurements
                    | Token::Name
                    | Token::Policies
                    | Token::Policy
                    | Token::Queries
                    | Token::Query
                    | Token::Rejects
                    | Token::Replication
                    | Token::Retention
                    | Token::Series
                    | Token::Shard
                    | Token::Shards
                    | Token::Stats
                    | Token::Tag
                    | Token::Tz
                    | Token::Values
            )
    }

    /// Whether this is such a keyword of the statements about users and tokens.
    fn is_account_keyword(&self) -> bool {
        matches!(
            self,
            Token::All
                | Token::Expires
                | Token::Grant
                | Token::Grants
                | Token::Password
                | Token::Privileges
                | Token::Read
                | Token::Revoke
                | Token::Set
                | Token::To
                | Token::Bearer
                | Token::Tokens
                | Token::User
                | Token::Users
                | Token::Write
        )
    }

    /// Whether this is such a keyword of the statements about continuous queries.
    fn is_continuous_keyword(&self) -> bool {
        matches!(
            self,
            Token::Begin | Token::Continuous | Token::End | Token::Every | Token::Resample
        )
    }

    /// Whether this is a keyword that no unquoted name can be.
    pub(crate) fn is_hard_keyword(&self) -> bool {
        matches!(
            self,
            Token::Select
                | Token::From
                | Token::Where
                | Token::Group
                | Token::By
                | Token::Order
                | Token::Asc
                | Token::Desc
                | Token::Limit
                | Token::Offset
                | Token::SeriesLimit
                | Token::SeriesOffset
                | Token::And
                | Token::Or
                | Token::As
                | Token::In
                | Token::On
                | Token::With
                | Token::Distinct
                | Token::True
                | Token::False
                | Token::Explain
                | Token::Show
                | Token::Create
                | Token::Alter
                | Token::Drop
                | Token::Delete
                | Token::Into
        )
    }

    /// Whether this is an operator with operands inside an expression.
    pub(crate) fn is_operator(&self) -> bool {
        matches!(
            self,
            Token::Plus
                | Token::Minus
                | Token::Star
                | Token::Slash
                | Token::Percent
                | Token::Ampersand
                | Token::Pipe
                | Token::Caret
                | Token::Equal
                | Token::NotEqual
                | Token::Matches
                | Token::NotMatches
                | Token::Less
                | Token::LessOrEqual
                | Token::Greater
                | Token::GreaterOrEqual
        )
    }
}

/// The text between the quotes, with its escapes resolved.
fn quoted(lexer: &mut Lexer<'_, Token>) -> Result<String, Error> {
    let slice = lexer.slice();
    let inner = slice.get(1..slice.len().saturating_sub(1)).unwrap_or_default();
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(character) = rest.next() {
        if character != '\\' {
            text.push(character);
            continue;
        }
        match rest.next() {
            Some('n') => text.push('\n'),
            Some(escaped @ ('\\' | '"' | '\'')) => text.push(escaped),
            other => {
                let escape = std::iter::once('\\').chain(other).collect();
                return Err(Error::BadEscape { escape });
            }
        }
    }
    Ok(text)
}

fn integer(lexer: &mut Lexer<'_, Token>) -> Result<u64, Error> {
    let too_large = |_| Error::NumberTooLarge { text: lexer.slice().to_owned() };
    lexer.slice().parse().map_err(too_large)
}

fn number(lexer: &mut Lexer<'_, Token>) -> Result<f64, Error> {
    match lexer.slice().parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(Error::NumberTooLarge { text: lexer.slice().to_owned() }),
    }
}

fn duration(lexer: &mut Lexer<'_, Token>) -> Result<i64, Error> {
    parse_duration(lexer.slice()).map_err(Error::BadDuration)
}

fn unterminated_identifier(_: &mut Lexer<'_, Token>) -> Result<(), Error> {
    Err(Error::Unterminated { what: "identifier", terminator: "\"" })
}

fn unterminated_string(_: &mut Lexer<'_, Token>) -> Result<(), Error> {
    Err(Error::Unterminated { what: "string", terminator: "'" })
}

fn unterminated_comment(_: &mut Lexer<'_, Token>) -> Result<(), Error> {
    Err(Error::Unterminated { what: "comment", terminator: "*/" })
}

fn fractional_duration(lexer: &mut Lexer<'_, Token>) -> Result<(), Error> {
    Err(Error::FractionalDuration { text: lexer.slice().to_owned() })
}
