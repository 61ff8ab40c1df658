//! Rules about single files that can be seen line by line: headers, banned macros, length of
//! functions, paths of somebody's machine, white space.

use super::Report;
use super::lex::{LineStarts, functions};
use super::tree::{Source, Tree};

/// Longer functions are counted: they should fit a screen.
const FUNCTION_LINES_WISHED: usize = 70;

/// Longer functions fail. A ratchet: lower it when the longest function allows.
const FUNCTION_LINES_MAX: usize = 120;

/// Code that may not stay, without its white space, and what to write instead.
const BANNED: &[(&str, &str)] = &[
    ("todo!", "write it, or leave it out and say so in docs/blueprint.md"),
    ("unimplemented!", "write it, or leave it out and say so in docs/blueprint.md"),
    ("dbg!", "assert what you looked at, or delete it"),
    ("#[ignore", "a test that does not run proves nothing; give it a stage of its own"),
    ("#[should_panic", "assert the wrong behaviour and say why it is wrong"),
];

/// First parts of absolute paths that only exist on somebody's machine.
const MACHINE_DIRS: &[&str] = &["home", "root", "Users", "build"];

/// Checks every text file.
pub fn check(tree: &Tree) -> Report {
    let mut report = Report::default();
    let mut long_functions = Vec::new();
    for (path, source) in tree.sources() {
        check_lines(path, &source.text, &mut report.offences);
        if path.ends_with(".rs") {
            check_rust(path, source, &mut report.offences);
            check_lengths(path, &source.code, &mut report.offences, &mut long_functions);
        }
    }
    if !long_functions.is_empty() {
        let (count, list) = (long_functions.len(), long_functions.join(", "));
        let note = format!("functions over {FUNCTION_LINES_WISHED} lines: {count}: {list}");
        report.notes.push(note);
    }
    report.summary = format!("{} files", tree.sources().count());
    report
}

fn check_lines(path: &str, text: &str, offences: &mut Vec<String>) {
    for (index, line) in text.split('\n').enumerate() {
        let number = index + 1;
        if line.ends_with('\r') {
            offences.push(format!("{path}:{number}: ends in CR LF, use LF"));
        } else if line.ends_with([' ', '\t']) {
            offences.push(format!("{path}:{number}: white space at the end of the line"));
        }
        for dir in MACHINE_DIRS {
            if has_machine_path(line, dir) {
                offences.push(format!(
                    "{path}:{number}: a path under /{dir} exists on one machine only; write it \
                     relative to the repository"
                ));
            }
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        offences.push(format!("{path}: the last line has no line break"));
    }
}

/// Whether `line` has the absolute path `/dir/…`; `docs/build/…` or a URL is none.
fn has_machine_path(line: &str, dir: &str) -> bool {
    let path = format!("/{dir}/");
    line.match_indices(&path).any(|(at, _)| {
        let before = line.get(..at).and_then(|head| head.chars().next_back());
        !before.is_some_and(|c| c.is_alphanumeric() || "._-*~/}>".contains(c))
    })
}

fn check_rust(path: &str, source: &Source, offences: &mut Vec<String>) {
    if !source.text.starts_with("//!") {
        offences.push(format!("{path}:1: begin with `//!`: what lives here, and what does not"));
    }
    let lines = LineStarts::of(&source.code);
    for (banned, remedy) in BANNED {
        for (at, _) in source.code.match_indices(banned) {
            let before = source.code.get(..at).and_then(|head| head.chars().next_back());
            if !before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
                let number = lines.line(at);
                offences.push(format!("{path}:{number}: `{banned}` may not stay: {remedy}"));
            }
        }
    }
}

fn check_lengths(path: &str, code: &str, offences: &mut Vec<String>, long: &mut Vec<String>) {
    for function in functions(code) {
        let (name, first, count) = (&function.name, function.line_first, function.line_count());
        if count > FUNCTION_LINES_MAX {
            offences.push(format!(
                "{path}:{first}: fn {name} has {count} lines, at most {FUNCTION_LINES_MAX} are \
                 allowed; take a step of it out and name it"
            ));
        } else if count > FUNCTION_LINES_WISHED {
            long.push(format!("{path}:{first} {name} ({count})"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::Report;
    use crate::tidy::tree::Tree;

    fn report(path: &str, text: &str) -> Report {
        check(&Tree::of(&[(path, text)]))
    }

    #[track_caller]
    fn offends(path: &str, text: &str, expected: &str) {
        let offences = report(path, text).offences;
        assert_eq!(offences.len(), 1, "{text}: {offences:?}");
        assert!(offences[0].starts_with(expected), "{text}: {offences:?}");
    }

    #[track_caller]
    fn passes(path: &str, text: &str) {
        let offences = report(path, text).offences;
        assert!(offences.is_empty(), "{text}: {offences:?}");
    }

    #[test]
    fn lines_are_clean() {
        offends("a.md", "x\r\n", "a.md:1: ends in CR LF");
        offends("a.md", "x\ny \n", "a.md:2: white space");
        offends("a.toml", "x", "a.toml: the last line");
        passes("a.md", "");
    }

    #[test]
    fn machine_paths_are_found() {
        let path = ["see ", "home", "x"].join("/");
        offends("a.md", &format!("{path}\n"), "a.md:1: a path under /home");
        let path = ["\"", "root", ".cargo\""].join("/");
        offends("a.toml", &format!("{path}\n"), "a.toml:1: a path under /root");
        passes("a.md", "docs/home/x, https://example.org/home/x, home/x, /homely/x\n");
    }

    #[test]
    fn rust_files_say_what_they_are() {
        offends("a.rs", "// no doc\n", "a.rs:1: begin with `//!`");
        passes("a.rs", "//! doc\n");
    }

    #[test]
    fn banned_code_is_found_in_code_only() {
        offends("a.rs", "//!\nfn f() { todo!() }\n", "a.rs:2: `todo!`");
        offends("a.rs", "//!\n#[test]\n#[ignore = \"x\"]\nfn f() {}\n", "a.rs:3: `#[ignore`");
        offends("a.rs", "//!\n#[should_panic]\nfn f() {}\n", "a.rs:2: `#[should_panic`");
        passes("a.rs", "//! todo!\nconst A: &str = \"todo!()\"; // dbg!\nmy_todo!();\n");
    }

    #[test]
    fn long_functions_are_counted_then_refused() {
        let function = |count: usize| format!("//!\nfn f() {{\n{}}}\n", "x;\n".repeat(count - 2));
        assert!(report("a.rs", &function(70)).notes.is_empty());
        let notes = report("a.rs", &function(71)).notes;
        assert_eq!(notes, ["functions over 70 lines: 1: a.rs:2 f (71)"]);
        passes("a.rs", &function(120));
        offends("a.rs", &function(121), "a.rs:2: fn f has 121 lines");
    }
}
