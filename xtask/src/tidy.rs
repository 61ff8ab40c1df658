//! `cargo xtask tidy`: rules about the source tree that no compiler checks.
//!
//! Here the checks are listed, run and reported; each lives in its own module as a function from
//! the tree (and the workspace's metadata) to a [`Report`], and has tests that see it fail. The
//! rules themselves are explained in `docs/STYLE.md` and `docs/TESTING.md`.

mod blueprint;
mod dead_files;
mod docs;
mod format_pins;
mod invariants;
mod layers;
mod lex;
mod seams;
mod suites;
mod text;
mod tree;

use crate::workspace::Workspace;
use tree::Tree;

/// What a check found.
#[derive(Debug, Default)]
struct Report {
    /// What was looked at, in numbers: "9 crates, 27 edges".
    summary: String,
    /// What breaks a rule: where, what, and the remedy.
    offences: Vec<String>,
    /// What one should know but breaks no rule.
    notes: Vec<String>,
}

/// Runs every check and prints one line for each, with what it found below it.
///
/// # Errors
/// A file cannot be read, cargo fails, or a rule is broken; the message has the count.
pub fn run() -> Result<(), String> {
    let workspace = Workspace::load()?;
    let tree = Tree::read(&workspace.root)?;
    let reports = [
        ("layers", layers::check(&tree, &workspace)),
        ("tokio", layers::check_server_only(&workspace)?),
        ("suites", suites::check(&workspace)),
        ("seams", seams::check(&tree)),
        ("format_pins", format_pins::check(&tree)),
        ("invariants", invariants::check(&tree)),
        ("blueprint", blueprint::check(&tree)),
        ("docs", docs::check(&tree)),
        ("dead_files", dead_files::check(&tree)),
        ("text", text::check(&tree)),
    ];
    let mut offence_count = 0;
    for (name, report) in reports {
        offence_count += report.offences.len();
        println!("{}", render(name, &report));
    }
    match offence_count {
        0 => Ok(()),
        1 => Err("tidy: FAILED: 1 offence".into()),
        more => Err(format!("tidy: FAILED: {more} offences")),
    }
}

/// The lines of one report.
fn render(name: &str, report: &Report) -> String {
    let head = match report.offences.len() {
        0 => format!("tidy: {name}: ok ({})", report.summary),
        count => format!("tidy: {name}: FAILED ({}), offences: {count}", report.summary),
    };
    let offences = report.offences.iter().map(|offence| format!("  {offence}"));
    let notes = report.notes.iter().map(|note| format!("  note: {note}"));
    [head].into_iter().chain(offences).chain(notes).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::{Report, render};

    /// The whole of tidy, so that plain `cargo test` runs it.
    #[test]
    fn tidy() {
        super::run().unwrap();
    }

    #[test]
    fn reports_are_readable() {
        let mut report = Report { summary: "2 crates".into(), ..Report::default() };
        report.notes.push("b".into());
        assert_eq!(render("layers", &report), "tidy: layers: ok (2 crates)\n  note: b");
        report.offences.push("a".into());
        let expected = "tidy: layers: FAILED (2 crates), offences: 1\n  a\n  note: b";
        assert_eq!(render("layers", &report), expected);
    }
}
