//! The language alone: text to a checked tree, and errors that point at their place.

use tsdb_ql::{Statement, check, parse};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let text =
        "SELECT mean(usage) FROM cpu WHERE host = 'a' AND time > now() - 1h GROUP BY time(5m)";
    let statements = parse(text)?;
    for statement in &statements {
        check(statement)?;
        // A printed tree parses to the same tree.
        println!("{statement}");
        assert_eq!(parse(&statement.to_string())?, statements);
        assert!(matches!(statement, Statement::Select(_)));
    }

    match parse("SELECT mean(usage FROM cpu") {
        Ok(_) => return Err("a parenthesis is missing".into()),
        Err(wrong) => println!("{wrong}"),
    }
    Ok(())
}
