//! The layers: which crate may depend on which of ours, and that the runtime stays in the server.
//!
//! The table below is the law that `docs/ARCHITECTURE.md` explains; a new edge needs a decision
//! record in `docs/adr` and a line here.

use super::Report;
use super::tree::Tree;
use crate::command::Cmd;
use crate::workspace::{Dependency, SERVER_PACKAGE, TESTS_PACKAGE, Workspace};

/// May depend on every crate of the workspace except `xtask`.
const ALL: &[&str] = &["*"];

/// Each crate with those of ours that it may depend on, in normal, dev and build dependencies.
const LAYERS: &[(&str, &[&str])] = &[
    // L0: types, the storage seam, the seams to the world
    ("tsdb-core", &[]),
    // L1: leaves that never see each other
    ("tsdb-wal", &["tsdb-core"]),
    ("tsdb-index", &["tsdb-core"]),
    ("tsdb-ql", &["tsdb-core"]),
    ("tsdb-agg", &["tsdb-core"]),
    // L2: storage, ingest and execution never see each other
    ("tsdb-lsm", &["tsdb-core", "tsdb-wal", "tsdb-index"]),
    ("tsdb-ingest", &["tsdb-core"]),
    ("tsdb-exec", &["tsdb-core", "tsdb-ql", "tsdb-agg"]),
    // L3: wires everything
    (SERVER_PACKAGE, ALL),
    // Beside the layers
    (TESTS_PACKAGE, ALL),
    ("tsdb-bench", &["tsdb-core"]),
    ("xtask", &[]),
];

/// The asynchronous runtime and what brings it: only the server may have them in its tree (I9).
const SERVER_ONLY: &[&str] = &["tokio", "hyper", "hyper-util", "tonic", "axum"];

/// Crates beside or above the layers, which [`SERVER_ONLY`] does not bind: they talk to the server.
const UNBOUND: &[&str] = &[SERVER_PACKAGE, TESTS_PACKAGE, "tsdb-bench"];

/// The map of the crates, which must not forget one.
const MAP: &str = "docs/ARCHITECTURE.md";

/// Checks every edge between our crates, as the manifests have them, and that the map names them.
pub fn check(tree: &Tree, workspace: &Workspace) -> Report {
    let mut report = Report::default();
    let ours = |name: &str| workspace.package(name).is_some();
    let mut edge_count = 0_usize;
    for package in &workspace.packages {
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == package.name) else {
            report.offences.push(format!(
                "{}: the crate {} has no line in LAYERS (xtask/src/tidy/layers.rs); decide what \
                 it may depend on",
                package.manifest, package.name
            ));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|edge| ours(&edge.package)) {
            edge_count += 1;
            let free = *allowed == ALL && dependency.package != "xtask";
            if !free && !allowed.contains(&dependency.package.as_str()) {
                let manifest = tree.source(&package.manifest).map(|source| source.text.as_str());
                let line = manifest.and_then(|text| manifest_line(text, dependency));
                let place = line.map_or(package.manifest.clone(), |(number, line)| {
                    format!("{}:{number}: remove `{line}`", package.manifest)
                });
                report.offences.push(format!(
                    "{place}: {} may not depend on {} ({}); it may on: {}; a new edge needs a \
                     decision record in docs/adr and a line in LAYERS",
                    package.name,
                    dependency.package,
                    dependency.kind.table(),
                    if allowed.is_empty() { "none of ours".into() } else { allowed.join(", ") }
                ));
            }
        }
    }
    let map = tree.source(MAP).map(|source| source.text.as_str()).unwrap_or_default();
    for package in &workspace.packages {
        if !map.contains(&format!("`{}`", package.name)) {
            report.offences.push(format!("{MAP}: the crate `{}` is missing", package.name));
        }
    }
    report.summary = format!("{} crates, {edge_count} edges", workspace.packages.len());
    report
}

/// The line of the manifest that declares a dependency, with its number.
fn manifest_line<'a>(manifest: &'a str, dependency: &Dependency) -> Option<(usize, &'a str)> {
    let table = dependency.kind.table();
    let mut inside = false;
    for (index, line) in manifest.lines().map(str::trim).enumerate() {
        if let Some(header) = line.strip_prefix('[') {
            let header = header.trim_end_matches(']');
            // `[dependencies]`, or `[target.'cfg(unix)'.dependencies]`
            inside = header == table || header.ends_with(&format!(".{table}"));
            if header.ends_with(&format!("{table}.{}", dependency.key)) {
                return Some((index + 1, line));
            }
        }
        let key = line.split(['=', '.', ' ']).next().unwrap_or_default().trim_matches('"');
        if inside && key == dependency.key {
            return Some((index + 1, line));
        }
    }
    None
}

/// Checks that nothing below the server has the asynchronous runtime anywhere in its resolved tree.
///
/// # Errors
/// Cargo cannot resolve a tree.
pub fn check_server_only(workspace: &Workspace) -> Result<Report, String> {
    let mut report = Report::default();
    let bound =
        workspace.packages.iter().filter(|package| !UNBOUND.contains(&package.name.as_str()));
    let mut crate_count = 0_usize;
    for package in bound {
        crate_count += 1;
        let args = ["tree", "--package", &package.name, "--all-features"];
        let edges = ["--edges", "normal,build,dev", "--prefix", "depth"];
        let tree = Cmd::cargo(&workspace.root, args).args(edges).output()?;
        report.offences.extend(runtime_paths(&tree).into_iter().map(|path| {
            format!(
                "{}: {path}: only {SERVER_PACKAGE} may have an asynchronous runtime in its \
                 tree (I9); remove the dependency or its feature",
                package.manifest
            )
        }));
    }
    report.summary = format!("{crate_count} crates without {}", SERVER_ONLY.join(", "));
    Ok(report)
}

/// The paths that lead to a crate of [`SERVER_ONLY`] in what `cargo tree --prefix depth` prints:
/// lines of a depth and a package, `2hashbrown v0.17.1`.
fn runtime_paths(tree: &str) -> Vec<String> {
    let mut path: Vec<&str> = Vec::new();
    let mut offences = Vec::new();
    for line in tree.lines() {
        let name_at = line.find(|c: char| !c.is_ascii_digit()).unwrap_or(line.len());
        let (depth, package) = line.split_at(name_at);
        let name = package.split(' ').next().unwrap_or_default();
        path.truncate(depth.parse().unwrap_or(0));
        path.push(name);
        // invariant: I9: this check is the one that keeps it
        if SERVER_ONLY.contains(&name) && !offences.iter().any(|way: &String| way.ends_with(name)) {
            offences.push(path.join(" -> "));
        }
    }
    offences
}

#[cfg(test)]
mod tests {
    use super::{check, manifest_line, runtime_paths};
    use crate::tidy::tree::Tree;
    use crate::workspace::{Dependency, DependencyKind, Package, Workspace};

    fn dependency(package: &str, kind: DependencyKind) -> Dependency {
        Dependency { package: package.into(), key: package.into(), kind }
    }

    fn workspace(edges: &[(&str, &str, DependencyKind)]) -> Workspace {
        let mut names: Vec<&str> = edges.iter().flat_map(|(from, to, _)| [*from, *to]).collect();
        names.sort_unstable();
        names.dedup();
        let package = |name: &str| Package {
            name: name.into(),
            manifest: format!("crates/{name}/Cargo.toml"),
            dependencies: edges
                .iter()
                .filter(|(from, _, _)| *from == name)
                .map(|(_, to, kind)| dependency(to, *kind))
                .collect(),
            ..Package::default()
        };
        Workspace {
            root: ".".into(),
            target_dir: "target".into(),
            packages: names.into_iter().map(package).collect(),
        }
    }

    /// A map that names all crates but one.
    fn map_of(workspace: &Workspace, forgotten: &str) -> (&'static str, &'static str) {
        let names = workspace.packages.iter().map(|package| package.name.as_str());
        let named = names.filter(|name| *name != forgotten).map(|name| format!("`{name}`"));
        // Leaked, because it is a few bytes of a test and fixtures are borrowed texts.
        (super::MAP, named.collect::<String>().leak())
    }

    #[test]
    fn allowed_edges_pass() {
        let edges = [
            ("tsdb-wal", "tsdb-core", DependencyKind::Normal),
            ("tsdb-server", "tsdb-lsm", DependencyKind::Normal),
            ("tsdb-tests", "tsdb-exec", DependencyKind::Dev),
        ];
        let workspace = workspace(&edges);
        let report = check(&Tree::of(&[map_of(&workspace, "")]), &workspace);
        assert!(report.offences.is_empty(), "{:?}", report.offences);
        assert_eq!(report.summary, "6 crates, 3 edges");
    }

    #[test]
    fn crate_that_the_map_forgot_is_found() {
        let workspace = workspace(&[("tsdb-wal", "tsdb-core", DependencyKind::Normal)]);
        let offences = check(&Tree::of(&[map_of(&workspace, "tsdb-wal")]), &workspace).offences;
        assert_eq!(offences, ["docs/ARCHITECTURE.md: the crate `tsdb-wal` is missing"]);
    }

    #[test]
    fn every_forbidden_edge_is_found_with_its_line() {
        let edges = [
            ("tsdb-wal", "tsdb-index", DependencyKind::Dev),
            ("tsdb-exec", "tsdb-lsm", DependencyKind::Normal),
            ("tsdb-core", "tsdb-wal", DependencyKind::Build),
            ("tsdb-server", "xtask", DependencyKind::Normal),
        ];
        let manifest = "[dependencies]\ntsdb-index.workspace = true\n\n[dev-dependencies]\n\
                        tsdb-index = { path = \"../tsdb-index\" }\n";
        let workspace = workspace(&edges);
        let map = map_of(&workspace, "");
        let tree = Tree::of(&[("crates/tsdb-wal/Cargo.toml", manifest), map]);
        let offences = check(&tree, &workspace).offences;
        assert_eq!(offences.len(), 4, "{offences:?}");
        let line = "crates/tsdb-wal/Cargo.toml:5: remove `tsdb-index = { path";
        assert!(offences.iter().any(|offence| offence.starts_with(line)), "{offences:?}");
    }

    #[test]
    fn unknown_crate_is_an_offence() {
        let edges = [("tsdb-new", "tsdb-core", DependencyKind::Normal)];
        let offences = check(&Tree::default(), &workspace(&edges)).offences;
        assert!(offences[0].contains("tsdb-new has no line in LAYERS"), "{offences:?}");
    }

    #[test]
    fn manifest_lines_are_found_in_every_form() {
        #[track_caller]
        fn check(manifest: &str, kind: DependencyKind, line: Option<usize>) {
            let found = manifest_line(manifest, &dependency("b", kind));
            assert_eq!(found.map(|(number, _)| number), line, "{manifest}");
        }
        let normal = DependencyKind::Normal;
        check("[package]\nb = 1\n[dependencies]\nbb = 1\nb.workspace = true\n", normal, Some(5));
        check("[dependencies.b]\npath = \"../b\"\n", normal, Some(1));
        check("[target.'cfg(unix)'.dependencies]\nb = \"1\"\n", normal, Some(2));
        check("[dependencies]\nb = 1\n", DependencyKind::Build, None);
        check("[dev-dependencies]\nb = 1\n", normal, None);
        check("[build-dependencies]\nb = 1\n", DependencyKind::Build, Some(2));
    }

    #[test]
    fn runtime_in_a_tree_is_found_with_its_path() {
        // proves: I9
        let tree = "0tsdb-core v0.1.0 (crates/tsdb-core)\n1crc32c v0.6.9\n1helper v1.0.0\n\
                    2tokio v1.54.1\n2tokio v1.54.1 (*)\n1tokio-like v1.0.0\n";
        assert_eq!(runtime_paths(tree), ["tsdb-core -> helper -> tokio"]);
        assert!(runtime_paths("0tsdb-core v0.1.0\n1crc32c v0.6.9\n").is_empty());
    }
}
