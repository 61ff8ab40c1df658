//! The ledger of what was asked for, `docs/blueprint.md`: complete, and true where it says `done`.
//!
//! The table of ids below keeps a row from being lost; what a row asks for stands in the ledger.

use super::Report;
use super::docs::{Row, code_spans, rows};
use super::lex::functions;
use super::tree::Tree;
use std::collections::BTreeMap;

/// Where the ledger lies.
const LEDGER: &str = "docs/blueprint.md";

/// Each section with the number of points below each of its points. `("B2.1", &[0, 2])` stands
/// for the rows B2.1.1, B2.1.2, B2.1.2.1 and B2.1.2.2.
const SECTIONS: &[(&str, &[usize])] = &[
    // Design card: language, kind, packages, top level, shape, used by
    ("C", &[0, 0, 13, 8, 11, 4]),
    // Phase 1: data structures, write-ahead log
    ("B1.1", &[0, 0, 3, 0, 0]),
    ("B1.2", &[0, 0, 0, 3, 0]),
    // Phase 2: LSM tree, time-based indexing
    ("B2.1", &[0, 0, 2, 3, 0]),
    ("B2.2", &[0, 0, 0, 3, 0]),
    // Phase 3: ingestion interface, pluggable formats
    ("B3.1", &[2, 0, 0, 3, 0]),
    ("B3.2", &[0, 0, 0, 3, 0]),
    // Phase 4: query parser, execution framework
    ("B4.1", &[0, 3, 0, 3, 0]),
    ("B4.2", &[0, 1, 0, 3, 0]),
    // Phase 5: core and advanced aggregations
    ("B5.1", &[2, 0, 0, 3, 0]),
    ("B5.2", &[0, 0, 0, 3, 0]),
    // Phase 6: query API, resource management
    ("B6.1", &[0, 0, 0, 3, 0]),
    ("B6.2", &[0, 0, 0, 3, 0]),
];

/// Rows of the card that name a package, and rows that name an entry of the top level.
const CARD_PACKAGES: &str = "C3.";
const CARD_TOP_LEVEL: &str = "C4.";

/// Columns of the ledger, after the id.
const REQUIREMENT: usize = 1;
const STATE: usize = 2;
const MODULES: usize = 3;
const TESTS: usize = 4;

/// Checks that every id has one row, and every row names what exists.
pub fn check(tree: &Tree) -> Report {
    let mut report = Report::default();
    let Some(ledger) = tree.source(LEDGER) else {
        report.offences.push(format!("{LEDGER}: does not exist"));
        return report;
    };
    let rows: Vec<Row<'_>> =
        rows(&ledger.text).into_iter().filter(|row| is_id(row.cell(0))).collect();
    check_ids(&rows, &mut report.offences);
    let tests = tests_by_name(tree);
    for row in &rows {
        let problems = problems(tree, &tests, row);
        let place = format!("{LEDGER}:{}: {}", row.line, row.cell(0));
        report.offences.extend(problems.into_iter().map(|problem| format!("{place}: {problem}")));
    }
    let open_count = rows.iter().filter(|row| row.cell(STATE) == "open").count();
    let done_count = rows.len() - open_count;
    report.summary = format!("{} rows, {done_count} done, {open_count} open", rows.len());
    report
}

/// `C3.1` or `B1.1.3`: one letter, then numbers with dots.
fn is_id(cell: &str) -> bool {
    let numbers = cell.strip_prefix(['B', 'C']).unwrap_or_default();
    numbers.starts_with(|c: char| c.is_ascii_digit())
        && numbers.chars().all(|c| c.is_ascii_digit() || c == '.')
}

/// All ids that the ledger must have.
fn expected_ids() -> Vec<String> {
    let mut ids = Vec::new();
    for (section, points) in SECTIONS {
        // The card's rows are C1, the blueprint's B1.1.1.
        let dot = if *section == "C" { "" } else { "." };
        for (index, below) in points.iter().enumerate() {
            let id = format!("{section}{dot}{}", index + 1);
            ids.extend((1..=*below).map(|sub| format!("{id}.{sub}")));
            ids.push(id);
        }
    }
    ids
}

fn check_ids(rows: &[Row<'_>], offences: &mut Vec<String>) {
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows {
        *count.entry(row.cell(0)).or_default() += 1;
    }
    let expected = expected_ids();
    for id in &expected {
        match count.remove(id.as_str()) {
            Some(1) => {}
            None => offences.push(format!("{LEDGER}: the row {id} is missing")),
            Some(more) => {
                offences.push(format!("{LEDGER}: the row {id} stands there {more} times"))
            }
        }
    }
    for id in count.keys() {
        offences.push(format!("{LEDGER}: the row {id} is not part of the blueprint or the card"));
    }
}

/// Paths of the files that have a test of this name.
type TestsByName = BTreeMap<String, Vec<String>>;

fn tests_by_name(tree: &Tree) -> TestsByName {
    let mut tests = TestsByName::new();
    for (path, source) in tree.rust() {
        for function in functions(&source.code).into_iter().filter(|function| function.is_test) {
            tests.entry(function.name).or_default().push(path.to_owned());
        }
    }
    tests
}

/// What is wrong with one row.
fn problems(tree: &Tree, tests: &TestsByName, row: &Row<'_>) -> Vec<String> {
    let (modules, named_tests) = (code_spans(row.cell(MODULES)), code_spans(row.cell(TESTS)));
    let mut problems = Vec::new();
    for module in modules.iter().filter(|module| !tree.exists(module)) {
        problems.push(format!("the module `{module}` does not exist"));
    }
    for test in &named_tests {
        problems.extend(test_problem(tests, &modules, test));
    }
    match row.cell(STATE) {
        "open" => {}
        "done" => {
            if modules.is_empty() {
                problems.push("is done but names no module".into());
            }
            if named_tests.is_empty() {
                problems.push("is done but names no test".into());
            }
            problems.extend(card_problem(tree, row));
        }
        other => problems.push(format!("the state is `{other}`, must be `done` or `open`")),
    }
    problems
}

/// A test is named as `path/of/file.rs::name`, or as `name` when it stands in one of the row's
/// modules.
fn test_problem(tests: &TestsByName, modules: &[&str], test: &str) -> Option<String> {
    let (path, name) = match test.rsplit_once("::") {
        Some((path, name)) => (Some(path), name),
        None => (None, test),
    };
    let Some(files) = tests.get(name) else {
        return Some(format!("no test is named `{name}`"));
    };
    let found = match path {
        Some(path) => files.iter().any(|file| file == path),
        None => files.iter().any(|file| modules.contains(&file.as_str())),
    };
    let others = files.join(", ");
    (!found).then(|| format!("the test `{test}` is elsewhere: write it with its file ({others})"))
}

/// The card's packages must be dependencies, its top-level entries must exist.
fn card_problem(tree: &Tree, row: &Row<'_>) -> Option<String> {
    let id = row.cell(0);
    let name = code_spans(row.cell(REQUIREMENT)).first().copied().unwrap_or_default();
    if id.starts_with(CARD_PACKAGES) && !is_dependency(tree, name) {
        return Some(format!("is done but no crate depends on `{name}`"));
    }
    if id.starts_with(CARD_TOP_LEVEL) && (name.is_empty() || !tree.exists(name)) {
        return Some(format!("is done but `{name}` does not exist"));
    }
    None
}

/// Whether the manifest of a crate has a line for the package (lalrpop also as `lalrpop-util`).
fn is_dependency(tree: &Tree, package: &str) -> bool {
    let manifests = tree.sources().filter(|(path, _)| {
        path.starts_with("crates/") && path.ends_with("/Cargo.toml") && !package.is_empty()
    });
    let mut lines = manifests.flat_map(|(_, source)| source.text.lines());
    lines.any(|line| line.split(['.', ' ', '=']).next() == Some(package))
}

#[cfg(test)]
mod tests {
    use super::{LEDGER, check, expected_ids};
    use crate::tidy::tree::Tree;

    /// The offences when row `id` reads `rest`, and all other rows are open.
    fn offences(id: &str, rest: &str) -> Vec<String> {
        let mut text = String::from("| id | requirement | state | modules | tests |\n");
        for other in expected_ids() {
            let rest = if other == id { rest } else { "x | open | | |" };
            text.push_str(&format!("| {other} | {rest}\n"));
        }
        check_text(&text)
    }

    fn check_text(text: &str) -> Vec<String> {
        let source = "#[test]\nfn proven() {}\nfn helper() {}\n";
        let manifest = "[dependencies]\nserde.workspace = true\n";
        let tree = Tree::of(&[
            (LEDGER, text),
            ("crates/a/src/a.rs", source),
            ("crates/a/src/b.rs", "//!\n"),
            ("crates/a/Cargo.toml", manifest),
        ]);
        check(&tree).offences
    }

    #[track_caller]
    fn passes(id: &str, rest: &str) {
        let found = offences(id, rest);
        assert!(found.is_empty(), "{rest}: {found:?}");
    }

    #[track_caller]
    fn offends(id: &str, rest: &str, expected: &str) {
        let found = offences(id, rest);
        assert!(found.len() == 1 && found[0].contains(expected), "{rest}: {found:?}");
    }

    #[test]
    fn done_rows_name_what_exists() {
        passes("B1.1.1", "x | done | `crates/a/src/a.rs` | `proven` |");
        passes("B1.1.1", "x | done | `crates/a/src/b.rs` | `crates/a/src/a.rs::proven` |");
        passes("B1.1.1", "x | open | `crates/a/src/a.rs` | |");
    }

    #[test]
    fn done_rows_that_are_not_done_are_found() {
        offends("B1.1.1", "x | done | `crates/a/src/a.rs` | |", "names no test");
        offends("B1.1.1", "x | done | | `crates/a/src/a.rs::proven` |", "names no module");
        offends("B1.1.1", "x | done | `crates/a/src/a.rs` | `unproven` |", "no test is named");
        offends("B1.1.1", "x | done | `crates/a/src/a.rs` | `helper` |", "no test is named");
        offends("B1.1.1", "x | done | `crates/a/src/b.rs` | `proven` |", "is elsewhere");
        offends("B1.1.1", "x | open | `crates/a/src/c.rs` | |", "does not exist");
        offends("B1.1.1", "x | open | | `unproven` |", "no test is named");
        offends("B1.1.1", "x | almost | | |", "must be `done` or `open`");
    }

    #[test]
    fn card_is_compared_with_the_tree() {
        let proof = "done | `crates/a` | `crates/a/src/a.rs::proven` |";
        passes("C3.5", &format!("`serde` | {proof}"));
        offends("C3.5", &format!("`tokio` | {proof}"), "no crate depends on `tokio`");
        passes("C4.2", &format!("`crates` | {proof}"));
        offends("C4.2", &format!("`README.md` | {proof}"), "`README.md` does not exist");
    }

    #[test]
    fn lost_doubled_and_unknown_rows_are_found() {
        let text: String =
            expected_ids().iter().map(|id| format!("| {id} | x | open | | |\n")).collect();
        assert!(check_text(&text).is_empty());
        let row = "| B4.2.4.2 | x | open | | |\n";
        assert!(check_text(&text.replace(row, ""))[0].contains("B4.2.4.2 is missing"));
        assert!(check_text(&format!("{text}{row}"))[0].contains("B4.2.4.2 stands there 2 times"));
        let unknown = row.replace("B4.2.4.2", "B7.1.1");
        assert!(check_text(&format!("{text}{unknown}"))[0].contains("B7.1.1 is not part"));
    }
}
