//! Snapshots of a running server, checking directories and restoring them, with the release binary.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking, its helpers too")]

use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tsdb_tests::server::{Server, binary};

fn tool(words: &[&str]) -> Output {
    Command::new(binary()).args(words).output().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A batch is five rows with the same number. A snapshot that is taken while a writer sends batches has whole ones: as
/// many as were acknowledged before, at least, and as were sent after, at most.
#[test]
fn a_snapshot_under_load_restores_to_whole_batches() {
    let dir = tempfile::tempdir().unwrap();
    let (data, restored) = (dir.path().join("data"), dir.path().join("restored"));
    let server = Server::start(&data, &[]);
    let (stop, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    let report = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = server.client();
            for batch in 0u64.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let lines: String =
                    (0..5).map(|row| format!("m,r=r{row} v={batch} {batch}\n")).collect();
                client.write("d", &lines);
                acknowledged.store(batch + 1, Ordering::Relaxed);
            }
        });
        while acknowledged.load(Ordering::Relaxed) < 50 {
            std::thread::yield_now();
        }
        let mut client = server.client();
        let before = acknowledged.load(Ordering::Relaxed);
        let response = client.post("/api/v1/admin/snapshot?name=daily", b"").unwrap();
        let after = acknowledged.load(Ordering::Relaxed) + 1;
        stop.store(true, Ordering::Relaxed);
        assert_eq!(response.status, 200, "{}", response.text());
        (response.json(), before, after)
    });
    let (report, before, after) = report;
    assert_eq!(report["name"], "daily");
    let mut client = server.client();
    let listed = client.get("/api/v1/admin/snapshot").unwrap().json();
    assert_eq!(listed["snapshots"], serde_json::json!(["daily"]));
    let again = client.post("/api/v1/admin/snapshot?name=daily", b"").unwrap();
    assert_eq!(again.status, 409, "{}", again.text());
    for name in ["", "..", "a/b", "x%00", &"n".repeat(65)] {
        let target = format!("/api/v1/admin/snapshot?name={name}");
        assert_eq!(client.post(&target, b"").unwrap().status, 400, "{name}");
    }
    // What the server does next is nothing to the snapshot.
    client.query("d", "DROP MEASUREMENT m");
    assert_eq!(client.post("/api/v1/admin/compact", b"").unwrap().status, 204);
    let snapshot = data.join("snapshots/daily");
    let busy = tool(&["verify", "--data-dir", text(&data)]);
    assert_eq!(busy.status.code(), Some(73), "{busy:?}");
    let checked = tool(&["verify", "--data-dir", text(&snapshot), "--json"]);
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    let found: serde_json::Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!((&found["files"], &found["bytes"]), (&report["files"], &report["bytes"]));
    let copied = tool(&["restore", "--from", text(&snapshot), "--data-dir", text(&restored)]);
    assert_eq!(copied.status.code(), Some(0), "{copied:?}");
    let refused = tool(&["restore", "--from", text(&snapshot), "--data-dir", text(&restored)]);
    assert_eq!(refused.status.code(), Some(74), "{refused:?}");
    let second = Server::start(&restored, &[]);
    let mut client = second.client();
    let rows = client.number("d", "SELECT count(v) FROM m").unwrap();
    let batches = rows / 5.0;
    assert!(batches.fract() == 0.0 && batches >= before as f64 && batches <= after as f64);
    second.kill();
    let gone =
        server.client().request("DELETE", "/api/v1/admin/snapshot?name=daily", &[], b"").unwrap();
    assert_eq!(gone.status, 204);
    assert!(!snapshot.exists());
    server.kill();
}

#[test]
fn damage_is_told_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let lines: String = (0..3000).map(|n| format!("m,h=a v={n} {n}\n")).collect();
    server.client().write("d", &lines);
    let (status, log) = server.terminate();
    assert!(status.success(), "{log}");
    let sound = tool(&["verify", "--data-dir", text(dir.path())]);
    assert!(
        sound.status.success() && String::from_utf8_lossy(&sound.stdout).contains("3000 rows"),
        "{sound:?}"
    );
    let runs = std::fs::read_dir(dir.path().join("runs")).unwrap();
    let run = runs.into_iter().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&run).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&run, bytes).unwrap();
    let told = tool(&["verify", "--data-dir", text(dir.path())]);
    let words = String::from_utf8_lossy(&told.stdout).into_owned();
    assert_eq!(told.status.code(), Some(65));
    assert!(
        words.contains("1 problems") && words.contains(text(&run)) && words.contains("byte"),
        "{words}"
    );
    let nothing = tool(&["verify", "--data-dir", text(&dir.path().join("nowhere"))]);
    assert_eq!(nothing.status.code(), Some(65), "{nothing:?}");
    assert_eq!(tool(&["verify"]).status.code(), Some(64));
}
