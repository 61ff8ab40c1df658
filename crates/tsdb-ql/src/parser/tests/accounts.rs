//! Statements about users and tokens: what they become, and what is said of wrong ones.

use super::{check_canonical, parse};
use crate::ast::{AccountStatement, Privilege, Secret, Statement, TokenScope};

fn account(text: &str) -> AccountStatement {
    match parse(text).unwrap().remove(0) {
        Statement::Account(statement) => statement,
        other => panic!("{other}"),
    }
}

#[test]
fn statements_about_users_and_tokens() {
    let check = check_canonical;
    check("drop user u", "DROP USER u");
    check("GRANT READ ON d TO u", "=");
    check("GRANT write ON \"my db\" TO \"u u\"", "GRANT WRITE ON \"my db\" TO \"u u\"");
    check("GRANT ALL ON d TO u", "GRANT ALL PRIVILEGES ON d TO u");
    check("GRANT ALL TO u", "GRANT ALL PRIVILEGES TO u");
    check("REVOKE ALL PRIVILEGES FROM u", "=");
    check("REVOKE WRITE ON d FROM u", "=");
    check("SHOW USERS", "=");
    check("SHOW GRANTS FOR \"u\"", "SHOW GRANTS FOR u");
    check("CREATE TOKEN t WITH READ ON d", "=");
    check(
        "create token t with read on d, write on e, all on f expires in 30d",
        "CREATE TOKEN t WITH READ ON d, WRITE ON e, ALL PRIVILEGES ON f EXPIRES IN 30d",
    );
    check("CREATE TOKEN t WITH ALL PRIVILEGES", "=");
    check("SHOW TOKENS", "=");
    check("DROP TOKEN t", "=");
    // Their words are names elsewhere.
    check(
        "SELECT user, write, set AS all FROM read WHERE password = 'x'",
        "SELECT \"user\", \"write\", \"set\" AS \"all\" FROM \"read\" WHERE \"password\" = 'x'",
    );
    check("CREATE DATABASE token", "CREATE DATABASE \"token\"");
}

#[test]
fn passwords_are_read_and_never_printed() {
    let password = || Secret::new("it's".to_owned());
    let created = account("CREATE USER u WITH PASSWORD 'it\\'s' WITH ALL");
    let name = || "u".to_owned();
    let expected =
        AccountStatement::CreateUser { name: name(), password: password(), is_admin: true };
    assert_eq!(created, expected);
    assert_eq!(created.to_string(), "CREATE USER u WITH PASSWORD [REDACTED] WITH ALL PRIVILEGES");
    let set = account("SET PASSWORD FOR u = 'it\\'s'");
    assert_eq!(set, AccountStatement::SetPassword { name: name(), password: password() });
    assert_eq!(set.to_string(), "SET PASSWORD FOR u = [REDACTED]");
    assert!(!format!("{created:?} {set:?}").contains("it's"));
    let Statement::Account(AccountStatement::CreateToken { scopes, expires_ns, .. }) =
        parse("CREATE TOKEN t WITH READ ON d, ALL EXPIRES IN 1h").unwrap().remove(0)
    else {
        panic!("no token");
    };
    let read = TokenScope::Database { privilege: Privilege::Read, database: "d".to_owned() };
    assert_eq!(scopes, [read, TokenScope::Admin]);
    assert_eq!(expires_ns, Some(3_600_000_000_000));
}

#[test]
fn wrong_statements_are_explained_without_their_passwords() {
    for (text, message) in [
        ("CREATE USER x WITH PASSWORD", "found EOF, expected string at line 1, char 28"),
        ("CREATE USER x", "found EOF, expected WITH at line 1, char 14"),
        ("GRANT FOO ON d TO u", "found FOO, expected ALL, READ, WRITE at line 1, char 7"),
        ("GRANT READ TO u", "found TO, expected ON at line 1, char 12"),
        ("REVOKE READ FROM u", "found FROM, expected ON at line 1, char 13"),
        ("SHOW GRANTS", "found EOF, expected FOR at line 1, char 12"),
        ("SET PASSWORD FOR u", "found EOF, expected = at line 1, char 19"),
        ("CREATE TOKEN t", "found EOF, expected WITH at line 1, char 15"),
        ("CREATE TOKEN t WITH READ", "found EOF, expected ON at line 1, char 25"),
        ("CREATE USER x WITH PASSWORD 'hidden' 'hidden'", "found ********, expected WITH"),
        ("CREATE USER x WITH PASSWORD 'hidden' WITH", "found EOF, expected ALL"),
        ("CREATE USER x WITH PASSWORD \"hidden\"", "found ********, expected string"),
        ("SET PASSWORD FOR u = 'hidden' é", ""),
        ("SET PASSWORD FOR u = 'hidden", ""),
    ] {
        let told = parse(text).unwrap_err().to_string();
        assert!(told.contains(message), "{text}\n{told}");
        assert!(!told.contains("hidden"), "{text}\n{told}");
    }
}
