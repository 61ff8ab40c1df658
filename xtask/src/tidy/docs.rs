//! Markdown as the checks need it: rows of tables, and links that must lead somewhere.
//!
//! What the tables of the blueprint and of the invariants mean is known to their own modules.

use super::Report;
use super::tree::Tree;

/// A row of a table, without the header's meaning.
#[derive(Debug)]
pub struct Row<'a> {
    /// Line in the file, counted from 1.
    pub line: usize,
    /// The cells, trimmed.
    pub cells: Vec<&'a str>,
}

impl<'a> Row<'a> {
    /// The cell at `index`, empty when the row is too short.
    pub fn cell(&self, index: usize) -> &'a str {
        self.cells.get(index).copied().unwrap_or_default()
    }
}

/// All rows of all tables of a text: headers and the lines below them too, which no id matches.
pub fn rows(text: &str) -> Vec<Row<'_>> {
    let rows = prose(text).filter_map(|(line, content)| {
        let inner = content.trim().strip_prefix('|')?.strip_suffix('|')?;
        Some(Row { line, cells: inner.split('|').map(str::trim).collect() })
    });
    rows.collect()
}

/// What stands between backticks in a cell, in order.
pub fn code_spans(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// The lines outside of fenced blocks, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fenced && !fence).then_some((index + 1, line))
    })
}

/// Checks that every relative link of every Markdown file leads to a file or directory.
pub fn check(tree: &Tree) -> Report {
    let mut report = Report::default();
    let (mut file_count, mut link_count) = (0_usize, 0_usize);
    for (path, source) in tree.sources().filter(|(path, _)| path.ends_with(".md")) {
        file_count += 1;
        for (line, content) in prose(&source.text) {
            for target in links(content) {
                link_count += 1;
                let Some(resolved) = resolve(path, target) else {
                    let offence = format!("{path}:{line}: `{target}` leads out of the repository");
                    report.offences.push(offence);
                    continue;
                };
                if !tree.exists(&resolved) {
                    report.offences.push(format!(
                        "{path}:{line}: `{target}` leads to {resolved}, which does not exist"
                    ));
                }
            }
        }
    }
    report.summary = format!("{file_count} files, {link_count} relative links");
    report
}

/// Targets of the links of a line that lead to a file: `[text](target)`, outside of code.
fn links(line: &str) -> Vec<&str> {
    let outside_code = line.split('`').step_by(2);
    let targets = outside_code.flat_map(|piece| piece.split("](").skip(1));
    targets
        .filter_map(|rest| rest.split([')', ' ']).next())
        .filter_map(|target| target.split('#').next())
        .filter(|target| !target.is_empty() && !target.contains("://"))
        .filter(|target| !target.starts_with("mailto:"))
        .collect()
}

/// The path from the root that `target` means in the file `from`; `None` above the root.
fn resolve(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for step in target.split('/') {
        match step {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::{check, code_spans, rows};
    use crate::tidy::tree::Tree;

    #[test]
    fn tables_are_read_outside_of_fences() {
        let text = "| a | b |\n|---|---|\n| I1 | `x` and `y z` |\n```\n| I2 | c |\n```\n";
        let rows = rows(text);
        assert_eq!(rows.len(), 3);
        assert_eq!((rows[2].line, rows[2].cell(0), rows[2].cell(7)), (3, "I1", ""));
        assert_eq!(code_spans(rows[2].cell(1)), ["x", "y z"]);
    }

    #[test]
    fn links_must_resolve() {
        #[track_caller]
        fn check_link(line: &str, ok: bool) {
            let tree = Tree::of(&[("docs/a.md", line), ("docs/b/c.md", ""), ("README.md", "")]);
            let report = check(&tree);
            assert_eq!(report.offences.is_empty(), ok, "{line}: {:?}", report.offences);
        }
        check_link("[x](b/c.md), [y](../README.md#part) and [z](#here)", true);
        check_link("[dir](b/) [web](https://example.org/x) [mail](mailto:a@example.org)", true);
        check_link("`[code](nothing.md)`", true);
        check_link("```\n[code](nothing.md)\n```", true);
        check_link("[lost](c.md)", false);
        check_link("![image](b/d.png)", false);
        check_link("[out](../../secret.md)", false);
    }
}
