//! The numbered invariants: each is checked somewhere in the code and proved by a test, or stands
//! as `open` with the reason.
//!
//! The table is in `docs/ARCHITECTURE.md`. In the code a comment marks the two sides: `invariant:`
//! and the number beside the check, `proves:` and the number inside a test.

use super::Report;
use super::docs::{Row, code_spans, rows};
use super::lex::{Function, functions};
use super::tree::{Source, Tree};
use std::collections::BTreeMap;

/// Where the table lies.
const TABLE: &str = "docs/ARCHITECTURE.md";

/// How many invariants there are; they are numbered from 1.
const INVARIANT_COUNT: usize = 12;

/// Columns of the table, after the id and the invariant itself.
const STATE: usize = 2;
const CHECKED: usize = 3;
const PROVED: usize = 4;

/// Lines after a mark, the mark's own included, among which the check must stand.
const CHECK_DISTANCE: usize = 5;

/// What counts as a check: an assert, a refusal, the end of the process or of its writing, or an
/// offence that tidy itself reports.
const CHECK_WORDS: &[&str] = &["assert", "Err(", "abort", "poison", "offences.push("];

/// Checks the table against the marks in the code.
pub fn check(tree: &Tree) -> Report {
    let mut report = Report::default();
    let Some(table) = tree.source(TABLE) else {
        report.offences.push(format!("{TABLE}: does not exist"));
        return report;
    };
    let marks = Marks::collect(tree, &mut report.offences);
    let rows = rows(&table.text);
    let mut open_count = 0_usize;
    for number in 1..=INVARIANT_COUNT {
        let id = format!("I{number}");
        match rows.iter().filter(|row| row.cell(0) == id).collect::<Vec<_>>().as_slice() {
            [row] => {
                open_count += usize::from(row.cell(STATE).starts_with("open"));
                let place = format!("{TABLE}:{}: {id}", row.line);
                let problems = problems(row, marks.of(&id));
                report.offences.extend(problems.into_iter().map(|what| format!("{place}: {what}")));
            }
            found => {
                let count = found.len();
                report.offences.push(format!("{TABLE}: {id} has {count} rows, must have one"));
            }
        }
    }
    report.summary = format!(
        "{INVARIANT_COUNT} invariants, {open_count} open, {} checks, {} proofs",
        marks.count(|sides| sides.checks.len()),
        marks.count(|sides| sides.proofs.len())
    );
    report
}

/// The two sides of one invariant in the code.
#[derive(Debug, Default)]
struct Sides {
    /// Files with a marked check.
    checks: Vec<String>,
    /// Names of the marked tests.
    proofs: Vec<String>,
}

/// All marks of the code by the id of the invariant.
#[derive(Debug, Default)]
struct Marks {
    by_id: BTreeMap<String, Sides>,
}

impl Marks {
    fn of(&self, id: &str) -> &Sides {
        const NONE: &Sides = &Sides { checks: Vec::new(), proofs: Vec::new() };
        self.by_id.get(id).unwrap_or(NONE)
    }

    fn count(&self, side: fn(&Sides) -> usize) -> usize {
        self.by_id.values().map(side).sum()
    }

    /// Reads the marks; one that stands beside nothing is an offence.
    fn collect(tree: &Tree, offences: &mut Vec<String>) -> Self {
        let mut marks = Self::default();
        for (path, source) in tree.rust() {
            let functions = functions(&source.code);
            for (index, line) in source.text.lines().enumerate() {
                let Some((kind, ids)) = mark(line) else { continue };
                let number = index + 1;
                let side = match kind {
                    Kind::Check => check_beside(source, number).then(|| path.to_owned()),
                    Kind::Proof => test_around(&functions, number),
                };
                let Some(side) = side else {
                    offences.push(format!("{path}:{number}: {}", kind.misplaced()));
                    continue;
                };
                for id in ids {
                    let sides = marks.by_id.entry(id).or_default();
                    match kind {
                        Kind::Check => sides.checks.push(side.clone()),
                        Kind::Proof => sides.proofs.push(side.clone()),
                    }
                }
            }
        }
        let known = |id: &str| {
            let number = id.strip_prefix('I').and_then(|number| number.parse().ok());
            number.is_some_and(|number: usize| (1..=INVARIANT_COUNT).contains(&number))
        };
        for id in marks.by_id.keys().filter(|id| !known(id)) {
            offences.push(format!("a mark names {id}, which is no invariant of {TABLE}"));
        }
        marks
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Check,
    Proof,
}

impl Kind {
    fn misplaced(self) -> &'static str {
        match self {
            Self::Check => "no check stands beside this mark; put it right above the assert",
            Self::Proof => "this mark stands outside of any test; put it inside the one it means",
        }
    }
}

/// The mark that a line carries, `// invariant: I2, I3: why`, with its ids.
fn mark(line: &str) -> Option<(Kind, Vec<String>)> {
    let comment = line.trim_start().strip_prefix("// ")?;
    let (kind, rest) = match comment.split_once(": ")? {
        ("invariant", rest) => (Kind::Check, rest),
        ("proves", rest) => (Kind::Proof, rest),
        _ => return None,
    };
    let is_id = |word: &&str| {
        let digits = word.strip_prefix('I').unwrap_or_default();
        !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit())
    };
    let words = rest.split([',', ':', ' ']).filter(|word| !word.is_empty());
    let ids: Vec<String> = words.take_while(is_id).map(str::to_owned).collect();
    (!ids.is_empty()).then_some((kind, ids))
}

fn check_beside(source: &Source, number: usize) -> bool {
    let mut near = source.code.lines().skip(number - 1).take(CHECK_DISTANCE);
    near.any(|line| CHECK_WORDS.iter().any(|word| line.contains(word)))
}

/// Name of the innermost test around a line.
fn test_around(functions: &[Function], number: usize) -> Option<String> {
    let mut around = functions.iter().filter(|function| {
        function.is_test && (function.line_first..=function.line_last).contains(&number)
    });
    around.next_back().map(|function| function.name.clone())
}

/// What is wrong with one row, given the marks of its invariant.
fn problems(row: &Row<'_>, sides: &Sides) -> Vec<String> {
    let mut problems = Vec::new();
    let state = row.cell(STATE);
    if let Some(reason) = state.strip_prefix("open") {
        if reason.trim_start_matches([':', ' ']).is_empty() {
            problems.push("is open without a reason; write `open: why`".into());
        }
        if !sides.checks.is_empty() && !sides.proofs.is_empty() {
            problems.push(format!(
                "is open but checked in {} and proved by {}; close it",
                sides.checks.join(", "),
                sides.proofs.join(", ")
            ));
        }
        return problems;
    }
    if state != "kept" {
        problems.push(format!("the state is `{state}`, must be `kept` or `open: why`"));
    }
    compare("checked in", "check", &code_spans(row.cell(CHECKED)), &sides.checks, &mut problems);
    compare("proved by", "test", &code_spans(row.cell(PROVED)), &sides.proofs, &mut problems);
    problems
}

/// What a cell names must be marked; naming one of several marks is enough.
fn compare(
    column: &str,
    what: &str,
    named: &[&str],
    marked: &[String],
    problems: &mut Vec<String>,
) {
    if named.is_empty() {
        let marked = if marked.is_empty() { "none is marked".into() } else { marked.join(", ") };
        problems.push(format!("`{column}` names no {what}; in the code: {marked}"));
    }
    for name in named {
        if !marked.iter().any(|mark| mark == name) {
            problems.push(format!("`{column}` names `{name}`, where the code has no such mark"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{INVARIANT_COUNT, TABLE, check, mark};
    use crate::tidy::Report;
    use crate::tidy::tree::Tree;

    const KEPT: &str = "x | kept | `crates/a/src/a.rs` | `holds` |";
    const CODE: &str = "fn f() {\n    // MARK: I4: why\n    debug_assert!(a < b);\n}\n";
    const TEST: &str = "#[test]\nfn holds() {\n    // PROOF: I4\n    check();\n}\n";

    /// The report for a table in which row I4 reads `row`, and one source file; the marks are put
    /// together here, else this file itself would carry them.
    fn report(row: &str, code: &str) -> Report {
        let mut table = String::new();
        for number in 1..=INVARIANT_COUNT {
            let row = if number == 4 { row } else { "x | open: later | | |" };
            table.push_str(&format!("| I{number} | {row}\n"));
        }
        let code = code.replace("MARK", "invariant").replace("PROOF", "proves");
        check(&Tree::of(&[(TABLE, &table), ("crates/a/src/a.rs", &code)]))
    }

    #[track_caller]
    fn offends(row: &str, code: &str, expected: &str) {
        let found = report(row, code).offences;
        assert!(found.len() == 1 && found[0].contains(expected), "{row}: {found:?}");
    }

    #[test]
    fn both_sides_make_an_invariant_kept() {
        let report = report(KEPT, &format!("{CODE}{TEST}"));
        assert!(report.offences.is_empty(), "{:?}", report.offences);
        assert_eq!(report.summary, "12 invariants, 11 open, 1 checks, 1 proofs");
    }

    #[test]
    fn missing_sides_are_found() {
        offends(KEPT, CODE, "names `holds`, where the code has no such mark");
        offends(KEPT, TEST, "names `crates/a/src/a.rs`, where the code has no such mark");
        let both = format!("{CODE}{TEST}");
        offends("x | kept | `crates/a/src/a.rs` | |", &both, "in the code: holds");
        offends("x | done | `crates/a/src/a.rs` | `holds` |", &both, "must be `kept`");
    }

    #[test]
    fn open_rows_have_a_reason_and_are_closed_in_time() {
        offends("x | open | | |", "", "without a reason");
        offends("x | open: later | | |", &format!("{CODE}{TEST}"), "close it");
        assert!(report("x | open: later | | |", CODE).offences.is_empty());
    }

    #[test]
    fn marks_must_stand_beside_what_they_mean() {
        let open = "x | open: later | | |";
        offends(open, "fn f() {\n    // MARK: I4\n    work();\n}\n", "no check stands beside");
        offends(open, "fn holds() {\n    // PROOF: I4\n}\n", "outside of any test");
        offends(open, &CODE.replace("I4", "I99"), "names I99");
    }

    #[test]
    fn lost_row_is_found() {
        let tree = Tree::of(&[(TABLE, "| I1 | x | open: later | | |\n")]);
        let offences = check(&tree).offences;
        assert_eq!(offences.len(), INVARIANT_COUNT - 1);
        assert!(offences[0].contains("I2 has 0 rows"), "{offences:?}");
    }

    #[test]
    fn several_ids_in_one_mark() {
        let line = "    // proves: I2, I3 and more";
        assert_eq!(mark(line).unwrap().1, ["I2", "I3"]);
        assert_eq!(mark("// proves: nothing"), None);
    }
}
