//! What `cargo metadata` says about the workspace, reduced to what the commands need.
//!
//! Judging it (allowed edges, missing features) is the business of `tidy`.

use crate::command::Cmd;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The package with the suites over all crates.
pub const TESTS_PACKAGE: &str = "tsdb-tests";

/// The package with the server binary.
pub const SERVER_PACKAGE: &str = "tsdb-server";

/// The package with the measuring stick.
pub const BENCH_PACKAGE: &str = "tsdb-bench";

/// The workspace: where it lies and what is in it.
#[derive(Debug)]
pub struct Workspace {
    /// Directory of the workspace's `Cargo.toml`.
    pub root: PathBuf,
    /// Where cargo puts what it builds.
    pub target_dir: PathBuf,
    /// The members, in cargo's order.
    pub packages: Vec<Package>,
}

/// One member of the workspace.
#[derive(Debug, Default)]
pub struct Package {
    /// Name in the manifest.
    pub name: String,
    /// Manifest relative to the root, with `/`.
    pub manifest: String,
    /// Dependencies as written in the manifest, of all kinds and platforms.
    pub dependencies: Vec<Dependency>,
    /// Features, `default` included.
    pub features: Vec<String>,
    /// Libraries, binaries, tests, examples and benches.
    pub targets: Vec<Target>,
}

/// One dependency line of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// Name of the package that is depended on.
    pub package: String,
    /// Key in the manifest; differs from the package when renamed.
    pub key: String,
    /// Which table of the manifest it stands in.
    pub kind: DependencyKind,
}

/// The table of a manifest that a dependency stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DependencyKind {
    /// `[dependencies]`
    Normal,
    /// `[dev-dependencies]`
    Dev,
    /// `[build-dependencies]`
    Build,
}

impl DependencyKind {
    /// Name of the manifest's table.
    pub fn table(self) -> &'static str {
        match self {
            Self::Normal => "dependencies",
            Self::Dev => "dev-dependencies",
            Self::Build => "build-dependencies",
        }
    }
}

/// One build target of a package.
#[derive(Debug, Default)]
pub struct Target {
    /// Name, as `--test NAME`, `--example NAME` or `--bench NAME` takes it.
    pub name: String,
    /// Kinds as cargo calls them: `lib`, `bin`, `test`, `example`, `bench`, `custom-build`, ...
    pub kinds: Vec<String>,
    /// Features without which it is left out.
    pub required_features: Vec<String>,
}

impl Target {
    /// Whether the target is of this kind.
    pub fn is(&self, kind: &str) -> bool {
        self.kinds.iter().any(|own| own == kind)
    }
}

impl Workspace {
    /// Asks cargo; touches neither the network nor the lock file's packages.
    ///
    /// # Errors
    /// Cargo fails (a broken manifest, say) or answers with something unknown.
    pub fn load() -> Result<Self, String> {
        // The manifest's directory at compile time: right under `cargo run` and `cargo test`
        // from any directory, and a checkout that was moved is compiled anew.
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let args = ["metadata", "--format-version", "1", "--no-deps"];
        Self::parse(&Cmd::cargo(here, args).output()?)
    }

    fn parse(json: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(json)
            .map_err(|error| format!("cargo metadata wrote no valid JSON: {error}"))?;
        let root = PathBuf::from(text(&value, "workspace_root")?);
        let target_dir = PathBuf::from(text(&value, "target_directory")?);
        let packages = list(&value, "packages").map(|package| parse_package(package, &root));
        let packages = packages.collect::<Result<Vec<_>, _>>()?;
        Ok(Self { root, target_dir, packages })
    }

    /// The member with this name.
    pub fn package(&self, name: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.name == name)
    }
}

fn parse_package(value: &Value, root: &Path) -> Result<Package, String> {
    let manifest = PathBuf::from(text(value, "manifest_path")?);
    let manifest = manifest.strip_prefix(root).unwrap_or(&manifest);
    let features = value.get("features").and_then(Value::as_object);
    Ok(Package {
        name: text(value, "name")?,
        manifest: manifest.to_string_lossy().replace('\\', "/"),
        dependencies: list(value, "dependencies")
            .map(parse_dependency)
            .collect::<Result<Vec<_>, _>>()?,
        features: features.into_iter().flat_map(|map| map.keys().cloned()).collect(),
        targets: list(value, "targets").map(parse_target).collect::<Result<Vec<_>, _>>()?,
    })
}

fn parse_dependency(value: &Value) -> Result<Dependency, String> {
    let package = text(value, "name")?;
    let key = value.get("rename").and_then(Value::as_str).unwrap_or(&package).to_owned();
    let kind = match value.get("kind").and_then(Value::as_str) {
        None => DependencyKind::Normal,
        Some("dev") => DependencyKind::Dev,
        Some("build") => DependencyKind::Build,
        Some(other) => return Err(format!("cargo metadata has the unknown kind `{other}`")),
    };
    Ok(Dependency { package, key, kind })
}

fn parse_target(value: &Value) -> Result<Target, String> {
    let strings = |key| list(value, key).filter_map(Value::as_str).map(str::to_owned).collect();
    Ok(Target {
        name: text(value, "name")?,
        kinds: strings("kind"),
        required_features: strings("required-features"),
    })
}

fn text(value: &Value, key: &str) -> Result<String, String> {
    let found = value.get(key).and_then(Value::as_str);
    found.map(str::to_owned).ok_or_else(|| format!("cargo metadata has no `{key}`"))
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::{Dependency, DependencyKind, Workspace};

    const METADATA: &str = r#"{
        "workspace_root": "/w", "target_directory": "/w/target",
        "packages": [{
            "name": "a", "manifest_path": "/w/crates/a/Cargo.toml",
            "features": {"default": [], "test-util": []},
            "dependencies": [
                {"name": "b", "kind": null, "rename": null},
                {"name": "c", "kind": "dev", "rename": "see"},
                {"name": "d", "kind": "build", "rename": null}
            ],
            "targets": [{"name": "e2e_x", "kind": ["test"], "required-features": ["e2e"]}]
        }]
    }"#;

    #[test]
    fn metadata_is_reduced() {
        let workspace = Workspace::parse(METADATA).unwrap();
        let package = workspace.package("a").unwrap();
        assert_eq!(package.manifest, "crates/a/Cargo.toml");
        assert_eq!(package.features, ["default", "test-util"]);
        let dependency = |package: &str, key: &str, kind| Dependency {
            package: package.into(),
            key: key.into(),
            kind,
        };
        assert_eq!(
            package.dependencies,
            [
                dependency("b", "b", DependencyKind::Normal),
                dependency("c", "see", DependencyKind::Dev),
                dependency("d", "d", DependencyKind::Build),
            ]
        );
        assert!(package.targets[0].is("test"));
        assert_eq!(package.targets[0].required_features, ["e2e"]);
    }

    #[test]
    fn broken_metadata_is_named() {
        assert_eq!(Workspace::parse("{}").unwrap_err(), "cargo metadata has no `workspace_root`");
        assert!(Workspace::parse("no").unwrap_err().contains("no valid JSON"));
    }
}
