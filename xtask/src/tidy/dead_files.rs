//! Source files that no crate compiles.
//!
//! A file that no `mod` names is neither checked nor tested, and rots; cargo does not warn.

use super::Report;
use super::lex::module_files;
use super::tree::Tree;
use std::collections::BTreeSet;

/// Follows the `mod` declarations from every crate root and reports the files that they miss.
pub fn check(tree: &Tree) -> Report {
    let mut reached = BTreeSet::new();
    for (path, _) in tree.rust().filter(|(path, _)| is_root(path)) {
        reach(tree, path, &mut reached);
    }
    let mut report = Report::default();
    for (path, _) in tree.rust() {
        if !reached.contains(path) {
            report.offences.push(format!(
                "{path}: no `mod` declaration leads here; declare it or delete the file"
            ));
        }
    }
    report.summary = format!("{} Rust files", tree.rust().count());
    report
}

/// Whether cargo compiles the file on its own: `build.rs`, the roots in `src`, and each file or
/// `main.rs` directly in `tests`, `examples`, `benches` and `fuzz_targets`.
fn is_root(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        [.., "build.rs"] | [.., "src", "lib.rs" | "main.rs"] => true,
        [.., "src", "bin", _] | [.., "src", "bin", _, "main.rs"] => true,
        // Not under `src`, where a module may have these names.
        [.., dir, _, "main.rs"] if holds_targets(dir) => !parts.contains(&"src"),
        [.., dir, _] if holds_targets(dir) => !parts.contains(&"src"),
        _ => false,
    }
}

fn holds_targets(dir: &str) -> bool {
    ["tests", "examples", "benches", "fuzz_targets"].contains(&dir)
}

fn reach(tree: &Tree, path: &str, reached: &mut BTreeSet<String>) {
    let Some(source) = tree.source(path) else { return };
    if !reached.insert(path.to_owned()) {
        return;
    }
    let (dir, file) = path.rsplit_once('/').unwrap_or(("", path));
    let base = if is_root(path) || file == "mod.rs" {
        dir.to_owned()
    } else {
        path.trim_end_matches(".rs").to_owned()
    };
    for module in module_files(&source.code) {
        let stem = format!("{base}/{}", module.join("/"));
        reach(tree, &format!("{stem}.rs"), reached);
        reach(tree, &format!("{stem}/mod.rs"), reached);
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tree::Tree;

    #[track_caller]
    fn dead(files: &[(&str, &str)], expected: &[&str]) {
        let offences = check(&Tree::of(files)).offences;
        let paths: Vec<&str> =
            offences.iter().filter_map(|offence| Some(offence.split_once(": ")?.0)).collect();
        assert_eq!(paths, expected);
    }

    #[test]
    fn declared_files_are_alive() {
        dead(
            &[
                ("crates/a/benches/speed.rs", "mod support;"),
                ("crates/a/benches/support/mod.rs", ""),
                ("crates/a/benches/wide/main.rs", "mod part;"),
                ("crates/a/benches/wide/part.rs", ""),
                ("crates/a/build.rs", ""),
                ("crates/a/src/bin/tool.rs", ""),
                ("crates/a/src/lib.rs", "mod b; mod c;\n#[cfg(test)] mod tests { mod deep; }"),
                ("crates/a/src/b.rs", "pub mod d;"),
                ("crates/a/src/b/d.rs", ""),
                ("crates/a/src/c/mod.rs", "mod e;"),
                ("crates/a/src/c/e.rs", ""),
                ("crates/a/src/tests/deep.rs", ""),
                ("crates/a/tests/suite/main.rs", "mod part;"),
                ("crates/a/tests/suite/part.rs", ""),
                ("tests/tests/e2e.rs", "mod common;"),
                ("tests/tests/common/mod.rs", ""),
            ],
            &[],
        );
    }

    #[test]
    fn undeclared_files_are_dead_with_all_below_them() {
        dead(
            &[
                ("crates/a/benches/support/mod.rs", ""),
                ("crates/a/src/lib.rs", "// mod b;\nmod tests;"),
                ("crates/a/src/b.rs", "mod d;"),
                ("crates/a/src/b/d.rs", ""),
                ("crates/a/src/tests.rs", ""),
                ("crates/a/src/tests/lost.rs", ""),
                ("tests/tests/common/mod.rs", ""),
            ],
            &[
                "crates/a/benches/support/mod.rs",
                "crates/a/src/b.rs",
                "crates/a/src/b/d.rs",
                "crates/a/src/tests/lost.rs",
                "tests/tests/common/mod.rs",
            ],
        );
    }
}
