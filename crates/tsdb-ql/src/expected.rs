//! What a message about an unexpected token says: what was found, and what was expected, in the
//! short words of InfluxDB instead of the parser's full list of tokens.

use crate::{ast::Span, function::most_similar, limits::FOUND_CHARS_MAX, token::Token};

/// Tokens that can begin any expression; the list of all of them helps nobody.
const EXPRESSION_START: [&str; 4] = ["identifier", "string", "number", "bool"];

/// Tokens that can follow any expression. Named only when nothing else can.
const CONTINUATIONS: [&str; 25] = [
    "+", "-", "*", "/", "%", "&", "|", "^", "=", "!=", "=~", "!~", "<", "<=", ">", ">=", ",", ".",
    "::", "(", "AS", "AND", "OR", "DISTINCT", "INTO",
];

/// Keywords that can also be names: where a name is expected they go without saying.
const SOFT_KEYWORDS: [&str; 33] = [
    "ANALYZE",
    "CARDINALITY",
    "DATABASE",
    "DATABASES",
    "DEFAULT",
    "DIAGNOSTICS",
    "DURATION",
    "EXACT",
    "FIELD",
    "FILL",
    "FOR",
    "GROUPS",
    "INF",
    "KEY",
    "KEYS",
    "KILL",
    "MEASUREMENT",
    "MEASUREMENTS",
    "NAME",
    "POLICIES",
    "POLICY",
    "QUERIES",
    "QUERY",
    "REJECTS",
    "REPLICATION",
    "RETENTION",
    "SERIES",
    "SHARD",
    "SHARDS",
    "STATS",
    "TAG",
    "TZ",
    "VALUES",
];

/// The same of statements about users and tokens.
const ACCOUNT_KEYWORDS: [&str; 15] = [
    "ALL",
    "EXPIRES",
    "GRANT",
    "GRANTS",
    "PASSWORD",
    "PRIVILEGES",
    "READ",
    "REVOKE",
    "SET",
    "TO",
    "TOKEN",
    "TOKENS",
    "USER",
    "USERS",
    "WRITE",
];

/// The same, of statements about continuous queries.
const CONTINUOUS_KEYWORDS: [&str; 5] = ["BEGIN", "CONTINUOUS", "END", "EVERY", "RESAMPLE"];

/// The token as the message repeats it: keywords in capitals, the rest as written.
pub(crate) fn found(token: &Token, span: Span, text: &str) -> String {
    let written = text.get(span.start..span.end).unwrap_or_default();
    if written.is_empty() {
        return "EOF".to_owned();
    }
    if token.is_hard_keyword() || token.is_soft_keyword() {
        return written.to_ascii_uppercase();
    }
    match written.char_indices().nth(FOUND_CHARS_MAX) {
        Some((cut, _)) => format!("{}…", written.get(..cut).unwrap_or_default()),
        None => written.to_owned(),
    }
}

/// The parser's terminals, condensed.
pub(crate) fn readable(terminals: &[String]) -> Vec<String> {
    let names: Vec<&str> = terminals.iter().map(|name| name.trim_matches('"')).collect();
    let has = |name: &str| names.contains(&name);
    if has("identifier") && has("string") && has("number") {
        return EXPRESSION_START.map(str::to_owned).to_vec();
    }
    // Behind the columns of a query that must have a target.
    if has("INTO") && !has("FROM") {
        return vec!["INTO".to_owned()];
    }
    let helpful =
        |name: &&str| !(CONTINUATIONS.contains(name) || has("identifier") && is_soft_keyword(name));
    let mut kept: Vec<&str> = names.iter().copied().filter(helpful).collect();
    if kept.is_empty() {
        kept.clone_from(&names);
    }
    let ends = kept.contains(&";");
    kept.retain(|name| *name != ";");
    if ends {
        kept.extend([";", "EOF"]);
    }
    kept.into_iter().map(spelled_out).collect()
}

fn is_soft_keyword(name: &str) -> bool {
    [&SOFT_KEYWORDS[..], &ACCOUNT_KEYWORDS, &CONTINUOUS_KEYWORDS]
        .iter()
        .any(|keywords| keywords.contains(&name))
}

/// Keywords that never come alone.
fn spelled_out(name: &str) -> String {
    match name {
        "GROUP" => "GROUP BY",
        "ORDER" => "ORDER BY",
        other => other,
    }
    .to_owned()
}

/// The expected keyword that `found` was probably meant to be.
pub(crate) fn suggestion(found: &str, expected: &[String]) -> Option<String> {
    let keywords = expected
        .iter()
        .map(String::as_str)
        .filter(|word| word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b' '));
    most_similar(&found.to_ascii_uppercase(), keywords)
        .filter(|word| !word.eq_ignore_ascii_case(found) && *word != "EOF")
        .map(str::to_owned)
}
