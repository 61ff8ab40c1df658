//! The Python packages `influxdb` and `influxdb-client`, unchanged, against the server: the scripts in
//! `examples/python` write and query with them, and check what they get.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking, its helpers too")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tsdb_tests::server::Server;

const ADMIN_TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A package, and the script that uses it.
struct Client {
    /// What pip installs. requests and its kin come along; the version is the last of the package.
    requirement: &'static str,
    module: &'static str,
    script: &'static str,
    /// The database that the script makes and drops.
    database: &'static str,
    /// Whether the server asks who somebody is; the script gets a token for that.
    asks: bool,
}

/// A Python with the package, in an environment of its own below the target directory, where the next
/// run finds it again.
fn python(client: &Client) -> Result<PathBuf, String> {
    let environment = format!("python-{}", client.module);
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join(environment);
    let python = environment.join("bin/python");
    if !has_module(&python, client.module) {
        let create = ["-m", "venv", "--clear"];
        run(Command::new("python3").args(create).arg(&environment), "python3 -m venv")?;
        let install = ["-m", "pip", "install", "--quiet", "--no-input", client.requirement];
        run(Command::new(&python).args(install), &format!("pip install {}", client.requirement))?;
    }
    let imports = has_module(&python, client.module);
    if imports { Ok(python) } else { Err("the package does not import".to_owned()) }
}

fn has_module(python: &Path, module: &str) -> bool {
    let import = Command::new(python).args(["-c", &format!("import {module}")]).output();
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

fn check(client: &Client) {
    let python = match python(client) {
        Ok(python) => python,
        Err(why) => {
            return tsdb_tests::skip(&format!(
                "no Python with the package (python3 -m venv, pip install {}): {why}",
                client.requirement
            ));
        }
    };
    let dir = tempfile::tempdir().unwrap();
    let token_file = dir.path().join("token");
    std::fs::write(&token_file, ADMIN_TOKEN).unwrap();
    let token_flags = ["--auth", "--admin-token-file", token_file.to_str().unwrap()];
    let (flags, arguments) = match (client.asks, client.module) {
        (false, _) => (&[][..], &[][..]),
        // It makes its first administrator itself.
        (true, "influxdb") => (&["--auth"][..], &[][..]),
        (true, _) => (&token_flags[..], &["--admin-token", ADMIN_TOKEN][..]),
    };
    let server = Server::start(&dir.path().join("data"), flags);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/python");
    let address = server.address();
    let done = Command::new(python)
        .arg(script.join(client.script))
        .args(["--host", &address.ip().to_string(), "--port", &address.port().to_string()])
        .args(arguments)
        .output()
        .unwrap();
    let text = text(&done);
    assert!(done.status.success(), "{text}");
    assert!(text.contains("all as expected\n"), "{text}");
    if !client.asks {
        let left = server.client().query("", "SHOW DATABASES").to_string();
        assert!(!left.contains(client.database), "the example cleans up: {left}");
    }
}

#[test]
fn the_python_client_works_unchanged() {
    check(&Client {
        requirement: "influxdb==5.3.2",
        module: "influxdb",
        script: "quickstart.py",
        database: "quickstart",
        asks: false,
    });
}

#[test]
fn the_python_client_of_influxdb_2_writes_unchanged() {
    check(&Client {
        requirement: "influxdb-client==1.50.0",
        module: "influxdb_client",
        script: "influxdb2.py",
        database: "influxdb2",
        asks: false,
    });
}

#[test]
fn the_python_client_manages_users_unchanged() {
    check(&Client {
        requirement: "influxdb==5.3.2",
        module: "influxdb",
        script: "accounts.py",
        database: "accounts",
        asks: true,
    });
}

#[test]
fn the_python_client_of_influxdb_2_writes_with_a_token() {
    check(&Client {
        requirement: "influxdb-client==1.50.0",
        module: "influxdb_client",
        script: "tokens.py",
        database: "tokens",
        asks: true,
    });
}
