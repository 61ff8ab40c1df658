//! Data directories that cannot be used: the server says which file and what to do, ends with its exit
//! code, and touches nothing.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test reports by panicking, its helpers too"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tsdb_tests::server::{Refusal, Server, binary, contents};

/// Starts a server that must refuse, and checks how it does.
#[track_caller]
fn assert_refuses(data_dir: &Path, flags: &[&str], code: i32, parts: &[&str]) {
    match Server::try_start(data_dir, flags) {
        Ok(_) => panic!("the server started on {}", data_dir.display()),
        Err(refusal) => assert_refusal(&refusal, code, parts),
    }
}

#[track_caller]
fn assert_refusal(refusal: &Refusal, code: i32, parts: &[&str]) {
    assert_eq!(refusal.status.code(), Some(code), "{}", refusal.log);
    for part in parts {
        assert!(refusal.log.contains(part), "{part:?} is not in {:?}", refusal.log);
    }
}

/// A directory with rows in runs and in the log, of a server that was killed.
fn used_directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let mut client = server.client();
    for round in 0..3 {
        let lines: String =
            (0..500).map(|n| format!("m,h=h{n} v={n} {}\n", n + 1000 * round)).collect();
        client.write("d", &lines);
        if round < 2 {
            assert_eq!(client.post("/api/v1/admin/flush", b"").unwrap().status, 204);
        }
    }
    // The marker of an idle log, after which damage to it is told from a torn tail.
    std::thread::sleep(std::time::Duration::from_millis(400));
    server.kill();
    dir
}

/// The files below `dir` whose names hold `part`, in lower case.
fn files(dir: &Path, part: &str) -> Vec<PathBuf> {
    let matches = |path: &Path| {
        let relative = path.strip_prefix(dir).unwrap().to_string_lossy().to_lowercase();
        relative.contains(part)
    };
    contents(dir).into_iter().map(|(path, _)| path).filter(|path| matches(path)).collect()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x40;
    fs::write(path, bytes).unwrap();
}

#[test]
fn wrong_settings_are_usage_errors() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    for (flags, part) in [
        (&["--listen", "0.0.0.0:0"][..], "--allow-insecure"),
        (&["--durability", "sometimes"], "interval:MS"),
        (&["--memory-limit", "1MiB"], "at least 32MiB"),
        (&["--config", "/does/not/exist"], "/does/not/exist"),
        (&["--log", "tsdb_server=loud"], "debug"),
        (&["--nonsense"], "--nonsense"),
    ] {
        assert_refuses(&data, flags, 64, &[part]);
    }
    assert!(!data.exists(), "nothing was created");
}

#[test]
fn a_port_that_is_taken_is_an_io_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    assert_refuses(dir.path(), &["--listen", &address], 74, &[&address, "--listen"]);
}

#[test]
fn a_directory_in_use_stays_with_its_first_server() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let mut client = server.client();
    client.write("d", "m v=1 1");
    let name = dir.path().to_string_lossy().into_owned();
    assert_refuses(dir.path(), &[], 73, &[&name, "in use by another process", "--data-dir"]);
    client.write("d", "m v=2 2");
    assert_eq!(client.number("d", "SELECT count(v) FROM m"), Some(2.0));
    server.kill();
    // The lock died with its holder.
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.client().number("d", "SELECT count(v) FROM m"), Some(2.0));
}

#[test]
fn a_path_that_is_a_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "precious").unwrap();
    assert_refuses(&file, &[], 73, &["file", "--data-dir"]);
    assert_refuses(&file.join("below"), &[], 73, &["file", "--data-dir"]);
    assert_eq!(fs::read(&file).unwrap(), b"precious");
}

#[test]
fn a_directory_without_permission_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let program = if rustix::process::geteuid().is_root() {
        // Permissions do not bind root, so the server has to be somebody else.
        let mut nobody = Command::new("setpriv");
        nobody.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(binary());
        let can = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(binary())
            .arg("--version")
            .output();
        if !can.is_ok_and(|done| done.status.success()) {
            tsdb_tests::skip(
                "running as root, and setpriv cannot start the server as somebody else",
            );
            return;
        }
        nobody
    } else {
        Command::new(binary())
    };
    let mut command = program;
    command.env_clear().args(["--listen", "127.0.0.1:0", "--data-dir"]).arg(dir.path());
    let refusal = Server::launch(&mut command).expect_err("the server refuses");
    let name = dir.path().to_string_lossy().into_owned();
    assert_refusal(&refusal, 73, &[&name, "make the directory writable"]);
    assert_eq!(contents(dir.path()), []);
}

#[test]
fn a_damaged_manifest_is_refused_and_nothing_is_touched() {
    let dir = used_directory();
    let manifests = files(dir.path(), "manifest");
    assert!(!manifests.is_empty());
    let bytes = fs::metadata(&manifests[0]).unwrap().len();
    for at in [0, bytes / 3, bytes / 2, bytes - 1] {
        let at = usize::try_from(at).unwrap();
        flip(&manifests[0], at);
        let before = contents(dir.path());
        // Damage to the number of the format looks like another format.
        let refusal = Server::try_start(dir.path(), &[]).expect_err("the server refuses");
        assert!(matches!(refusal.status.code(), Some(65 | 66)), "byte {at}: {}", refusal.log);
        assert!(refusal.log.to_lowercase().contains("manifest"), "byte {at}: {}", refusal.log);
        assert_eq!(contents(dir.path()), before, "byte {at}");
        flip(&manifests[0], at);
    }
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.client().number("d", "SELECT count(v) FROM m"), Some(1500.0));
}

#[test]
fn a_missing_run_is_refused_and_nothing_is_touched() {
    let dir = used_directory();
    let run = files(dir.path(), "")
        .into_iter()
        .filter(|path| {
            let name = path.to_string_lossy().to_lowercase();
            !name.contains("manifest") && !name.contains("wal") && !name.contains("lock")
        })
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .expect("there are runs");
    let aside = run.with_extension("aside");
    let elsewhere = tempfile::tempdir().unwrap();
    let aside = elsewhere.path().join(aside.file_name().unwrap());
    fs::copy(&run, &aside).unwrap();
    fs::remove_file(&run).unwrap();
    let before = contents(dir.path());
    let name = run.file_name().unwrap().to_string_lossy().into_owned();
    assert_refuses(dir.path(), &[], 65, &[&name]);
    assert_eq!(contents(dir.path()), before);
    fs::copy(&aside, &run).unwrap();
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.client().number("d", "SELECT count(v) FROM m"), Some(1500.0));
}

#[test]
fn a_damaged_log_is_refused_and_nothing_is_touched() {
    let dir = used_directory();
    let segment = files(dir.path(), "wal")
        .into_iter()
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .expect("there is a log");
    let written = fs::read(&segment).unwrap();
    let end = written.iter().rposition(|byte| *byte != 0).unwrap();
    flip(&segment, end / 2);
    let before = contents(dir.path());
    let name = segment.file_name().unwrap().to_string_lossy().into_owned();
    assert_refuses(dir.path(), &[], 65, &[&name, "damaged"]);
    assert_eq!(contents(dir.path()), before);
    flip(&segment, end / 2);
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.client().number("d", "SELECT count(v) FROM m"), Some(1500.0));
}
