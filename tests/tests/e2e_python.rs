//! The Python package `influxdb`, unchanged, against the server: `examples/python/quickstart.py` creates
//! a database, writes, and queries with GROUP BY and fill.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tsdb_tests::server::Server;

/// A Python with the package, in an environment of its own below the target directory, where the next
/// run finds it again.
fn python() -> Result<PathBuf, String> {
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-influxdb");
    let python = environment.join("bin/python");
    if !has_package(&python) {
        let create = ["-m", "venv", "--clear"];
        run(Command::new("python3").args(create).arg(&environment), "python3 -m venv")?;
        // requests and its kin come along; the version is the last of the package.
        let install = ["-m", "pip", "install", "--quiet", "--no-input", "influxdb==5.3.2"];
        run(Command::new(&python).args(install), "pip install influxdb")?;
    }
    if has_package(&python) { Ok(python) } else { Err("the package does not import".to_owned()) }
}

fn has_package(python: &Path) -> bool {
    let import = Command::new(python).args(["-c", "import influxdb"]).output();
    import.is_ok_and(|done| done.status.success())
}

fn run(command: &mut Command, what: &str) -> Result<(), String> {
    match command.output() {
        Ok(done) if done.status.success() => Ok(()),
        Ok(done) => {
            Err(format!("{what} failed: {}", text(&done).lines().last().unwrap_or_default()))
        }
        Err(cause) => Err(format!("{what}: {cause}")),
    }
}

fn text(done: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr))
}

#[test]
fn the_python_client_works_unchanged() {
    let python = match python() {
        Ok(python) => python,
        Err(why) => {
            return tsdb_tests::skip(&format!("no Python with the package influxdb: {why}"));
        }
    };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/python/quickstart.py");
    let address = server.address();
    let done = Command::new(python)
        .arg(script)
        .args(["--host", &address.ip().to_string(), "--port", &address.port().to_string()])
        .output()
        .unwrap();
    let text = text(&done);
    assert!(done.status.success(), "{text}");
    assert!(text.ends_with("all as expected\n"), "{text}");
    let left = server.client().query("", "SHOW DATABASES").to_string();
    assert!(!left.contains("quickstart"), "the example cleans up: {left}");
}
