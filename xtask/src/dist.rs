//! What people install: an archive and a Debian package of the release server, in `target/dist`.
//!
//! The files beside the program are those in `packaging`, where the Dockerfile is, too.

use std::fs;
use std::path::Path;

use crate::command::Cmd;
use crate::workspace::{SERVER_PACKAGE, Workspace};

/// Documents that go along.
const DOCUMENTS: [&str; 9] = [
    "README.md",
    "CHANGELOG.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "docs/operations.md",
    "docs/settings.md",
    "docs/api.md",
    "docs/tql.md",
    "docs/line-protocol.md",
];

/// Puts the archive and the package into `target/dist`. What the machine lacks is left out, with a line that says how
/// to get it.
///
/// # Errors
/// A build that fails, or a file that cannot be written.
pub fn run() -> Result<(), String> {
    let workspace = Workspace::load()?;
    let flags = ["build", "--release", "--locked", "--package", SERVER_PACKAGE];
    Cmd::cargo(&workspace.root, flags).run()?;
    let dist = workspace.target_dir.join("dist");
    if dist.exists() {
        fs::remove_dir_all(&dist).map_err(|error| failed("remove", &dist, &error))?;
    }
    make_dir(&dist)?;
    let program = dist.join(SERVER_PACKAGE);
    let built = workspace.target_dir.join("release").join(SERVER_PACKAGE);
    // Without what only debuggers read it has a fifth of the size.
    let strip = Cmd::program("strip", &workspace.root);
    strip.args(["--strip-debug", "-o", &shown(&program), &shown(&built)]).run()?;
    let version = version(&Cmd::program(&program, &dist).args(["--version"]).output()?)?;
    archive(&workspace.root, &dist, &program, &version)?;
    package(&workspace.root, &dist, &program, &version)?;
    fs::remove_file(&program).map_err(|error| failed("remove", &program, &error))
}

/// The archive: a directory with the program and what stands beside it.
fn archive(root: &Path, dist: &Path, program: &Path, version: &str) -> Result<(), String> {
    let name = format!("{SERVER_PACKAGE}-{version}-{}-linux", std::env::consts::ARCH);
    let dir = dist.join(&name);
    make_dir(&dir)?;
    copy(program, &dir.join(SERVER_PACKAGE))?;
    for file in ["tsdb-server.service", "tsdb.toml"] {
        copy(&root.join("packaging").join(file), &dir.join(file))?;
    }
    for document in DOCUMENTS {
        copy(&root.join(document), &dir.join(document))?;
    }
    let archive = format!("{name}.tar.gz");
    Cmd::program("tar", dist).args(["--owner=0", "--group=0", "-czf", &archive, &name]).run()?;
    println!("{}", dist.join(archive).display());
    fs::remove_dir_all(&dir).map_err(|error| failed("remove", &dir, &error))
}

/// The package for Debian and its kin.
fn package(root: &Path, dist: &Path, program: &Path, version: &str) -> Result<(), String> {
    if !Cmd::program("dpkg-deb", dist).args(["--version"]).works() {
        println!("SKIPPED: no package, dpkg-deb is missing (apt-get install dpkg)");
        return Ok(());
    }
    let arch = debian_arch(std::env::consts::ARCH);
    let name = format!("{SERVER_PACKAGE}_{version}_{arch}");
    let dir = dist.join(&name);
    copy(program, &dir.join("usr/bin").join(SERVER_PACKAGE))?;
    copy(&root.join("packaging/tsdb.toml"), &dir.join("etc/tsdb/tsdb.toml"))?;
    let unit = "tsdb-server.service";
    copy(&root.join("packaging").join(unit), &dir.join("lib/systemd/system").join(unit))?;
    for document in DOCUMENTS {
        let file = Path::new(document).file_name().unwrap_or_default();
        copy(&root.join(document), &dir.join("usr/share/doc").join(SERVER_PACKAGE).join(file))?;
    }
    let kib = fs::metadata(program).map_err(|error| failed("read", program, &error))?.len() >> 10;
    write(&dir.join("DEBIAN/control"), &control(version, arch, kib))?;
    write(&dir.join("DEBIAN/conffiles"), "/etc/tsdb/tsdb.toml\n")?;
    for (script, text) in [("postinst", AFTER_INSTALL), ("prerm", BEFORE_REMOVAL)] {
        let path = dir.join("DEBIAN").join(script);
        write(&path, text)?;
        Cmd::program("chmod", dist).args(["755", &shown(&path)]).run()?;
    }
    let build = Cmd::program("dpkg-deb", dist);
    build.args(["--root-owner-group", "--build", &name, &format!("{name}.deb")]).run()?;
    println!("{}", dist.join(format!("{name}.deb")).display());
    fs::remove_dir_all(&dir).map_err(|error| failed("remove", &dir, &error))
}

/// Starts the server again after an upgrade, and not by itself after the first installation: its settings come first.
const AFTER_INSTALL: &str = "\
#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl try-restart tsdb-server.service
fi
";

const BEFORE_REMOVAL: &str = "\
#!/bin/sh
set -e
if [ -d /run/systemd/system ] && [ \"$1\" = remove ]; then
    systemctl disable --now tsdb-server.service
fi
";

fn control(version: &str, arch: &str, kib: u64) -> String {
    format!(
        "Package: {SERVER_PACKAGE}\n\
         Version: {version}\n\
         Architecture: {arch}\n\
         Maintainer: the authors of {SERVER_PACKAGE}\n\
         Section: database\n\
         Priority: optional\n\
         Installed-Size: {kib}\n\
         Depends: libc6\n\
         Description: time series database\n \
         Takes InfluxDB line protocol, Prometheus remote write and OTLP, answers InfluxQL.\n"
    )
}

/// What Debian calls a processor.
fn debian_arch(arch: &str) -> &str {
    match arch {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The version in what `--version` prints.
fn version(printed: &str) -> Result<String, String> {
    let word = printed.split_whitespace().nth(1);
    word.map(str::to_owned).ok_or_else(|| format!("--version printed {printed:?}"))
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> String {
    format!("cannot {what} {}: {error}", path.display())
}

fn make_dir(path: &Path) -> Result<(), String> {
    fs::create_dir_all(path).map_err(|error| failed("make", path, &error))
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    to.parent().map_or(Ok(()), make_dir)?;
    fs::copy(from, to).map(|_| ()).map_err(|error| failed("copy", from, &error))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    path.parent().map_or(Ok(()), make_dir)?;
    fs::write(path, text).map_err(|error| failed("write", path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_processors_have_the_names_of_packages() {
        assert_eq!(version("tsdb-server 0.1.0\n").unwrap(), "0.1.0");
        assert!(version("tsdb-server").is_err());
        assert_eq!((debian_arch("x86_64"), debian_arch("riscv64")), ("amd64", "riscv64"));
        let control = control("0.1.0", "amd64", 7);
        assert!(
            control.lines().all(|line| line.contains(": ") || line.starts_with(' ')),
            "{control}"
        );
    }

    #[test]
    fn all_that_goes_along_is_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let packaging = ["tsdb-server.service", "tsdb.toml", "Dockerfile"];
        let packaging = packaging.iter().map(|file| root.join("packaging").join(file));
        for path in DOCUMENTS.iter().map(|document| root.join(document)).chain(packaging) {
            assert!(path.is_file(), "{}", path.display());
        }
    }
}
