//! The server over another engine: one line says which. Here it is the store in memory, which makes a
//! server for tests that leaves no files behind.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tsdb_core::env::Env;
use tsdb_core::{MemoryBudget, MemoryStore};
use tsdb_server::app::App;
use tsdb_server::config::{Config, Settings};
use tsdb_server::exposition::Exposition;
use tsdb_server::wiring::Store;
use tsdb_server::{http, listen};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The one line: any `Append + Select + Maintain` serves.
    let store = Store::new(Arc::new(MemoryStore::new()));

    let config = Config::from_settings(Settings::default())?;
    let budget = MemoryBudget::with_total(config.memory_bytes);
    let app = App::new(config, Env::real(), store, budget, Exposition::new()?);
    let listener = listen::bind("127.0.0.1:0".parse()?).await?;
    let address = listener.local_addr()?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let end = async {
        // Ends when the other half is used or dropped.
        let _ = stopped.await;
    };
    let grace = Duration::from_secs(1);
    let turns = Arc::new(tokio::sync::Semaphore::new(16));
    let server = tokio::spawn(listen::serve(listener, http::router(app), None, turns, end, grace));

    let written =
        exchange(address, "POST /write?db=home", "temperature,room=kitchen value=21.5").await?;
    assert!(written.starts_with("HTTP/1.1 204"), "{written}");
    let query = "GET /query?db=home&q=SELECT%20value%20FROM%20temperature";
    let answer = exchange(address, query, "").await?;
    println!("{answer}");
    assert!(answer.contains("21.5"), "{answer}");

    drop(stop);
    server.await?;
    Ok(())
}

/// One request on a connection of its own.
async fn exchange(
    address: std::net::SocketAddr,
    request: &str,
    body: &str,
) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let length = body.len();
    let head = format!("{request} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    stream.write_all(format!("{head}Content-Length: {length}\r\n\r\n{body}").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
