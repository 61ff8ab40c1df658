//! TQL: any text as a query.

use tsdb_ql::{check, parse};

/// Any text as statements.
///
/// # Panics
/// If a tree is printed as something that is no query or another one, or an error has no message and no place
/// in the text.
pub fn tql_parse(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let statements = match parse(text) {
        Ok(statements) => statements,
        Err(errors) => {
            let message = errors.to_string();
            assert!(message.contains("at line") && !message.contains('\0'), "{message:?}");
            return;
        }
    };
    for statement in &statements {
        let judged = check(statement).map_err(|errors| errors.to_string());
        assert!(judged.err().is_none_or(|message| !message.is_empty()), "an error that is silent");
        let printed = statement.to_string();
        if printed.contains("[REDACTED]") {
            // Passwords are never printed, so this is no query any more.
            continue;
        }
        let again = match parse(&printed) {
            Ok(again) => again,
            Err(errors) => panic!("{printed:?} was printed and is no query: {errors}"),
        };
        assert_eq!(again.len(), 1, "{printed:?} is one statement");
        let second = again.first().map(ToString::to_string);
        assert_eq!(second.as_ref(), Some(&printed), "what was printed is another query");
    }
}
