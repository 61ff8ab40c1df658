//! Suites with a stage of their own must wait for it.
//!
//! A suite `e2e_*` needs the release server and a suite `sim_*` takes minutes, so that plain
//! `cargo test` must leave them out. How they are run is in `ci`.

use super::Report;
use crate::ci::SUITE_FEATURES;
use crate::workspace::{TESTS_PACKAGE, Workspace};

/// Checks that each such suite requires the feature that its stage turns on.
pub fn check(workspace: &Workspace) -> Report {
    let mut report = Report::default();
    let Some(package) = workspace.package(TESTS_PACKAGE) else {
        report.offences.push(format!("Cargo.toml: the workspace has no package {TESTS_PACKAGE}"));
        return report;
    };
    let mut suite_count = 0_usize;
    for target in package.targets.iter().filter(|target| target.is("test")) {
        let feature = SUITE_FEATURES.iter().find(|feature| {
            target.name.strip_prefix(**feature).is_some_and(|rest| rest.starts_with('_'))
        });
        let Some(feature) = feature else { continue };
        suite_count += 1;
        if !target.required_features.iter().any(|required| required == feature) {
            report.offences.push(format!(
                "{}: add `[[test]]` with `name = \"{}\"` and `required-features = \
                 [\"{feature}\"]`, or plain cargo test runs a suite that needs its own stage",
                package.manifest, target.name
            ));
        }
    }
    report.summary = format!("{suite_count} suites with a stage of their own");
    report
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::workspace::{Package, TESTS_PACKAGE, Target, Workspace};

    fn offences(name: &str, required: &[&str]) -> Vec<String> {
        let target = Target {
            name: name.into(),
            kinds: vec!["test".into()],
            required_features: required.iter().map(|feature| (*feature).into()).collect(),
        };
        let package =
            Package { name: TESTS_PACKAGE.into(), targets: vec![target], ..Package::default() };
        let (root, target_dir) = (".".into(), "target".into());
        check(&Workspace { root, target_dir, packages: vec![package] }).offences
    }

    #[test]
    fn suite_without_its_feature_is_an_offence() {
        assert!(offences("e2e_http", &["e2e"]).is_empty());
        assert!(offences("conformance", &[]).is_empty());
        assert!(offences("simple", &[]).is_empty());
        assert!(offences("e2e_http", &["sim"])[0].contains("required-features = [\"e2e\"]"));
        assert!(offences("sim_crash", &[])[0].contains("name = \"sim_crash\""));
    }
}
