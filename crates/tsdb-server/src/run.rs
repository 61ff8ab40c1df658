//! One run of the server from the command line to the exit code.

use std::ffi::OsString;
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tsdb_core::MemoryBudget;
use tsdb_core::env::Env;

use crate::app::{App, blocking};
use crate::config::{Args, Config, open_files_max, raise_open_files};
use crate::continuous::Scheduler;
use crate::exposition::Exposition;
use crate::shutdown::{self, Signals};
use crate::tls::Tls;
use crate::wiring::{self, Store};
use crate::{Error, Exit, demo, http, listen, memory_watch, reload, telemetry, tls, tools};

/// Threads that may block, beside one for each query that may run at once: one per running write, some for
/// maintenance and for what needs no turn. Never reached in practice, since turns bound what runs at once.
const BLOCKING_THREADS_MAX: usize = 128;

/// Files that the storage, the listener and the runtime need beside connections.
const FILES_OF_STORAGE: usize = 64;

/// How often histograms are drained.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Runs the server with `arguments`, the first of which is the program's name, and says how it ended.
/// Failures are printed to standard error.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Error::Usage(usage)) => {
            // Help goes to standard output, complaints to standard error; if that is closed, so be it.
            let _ = usage.print();
            Error::Usage(usage).exit().map_or(ExitCode::SUCCESS, ExitCode::from)
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "tsdb-server: {error}");
            error.exit().map_or(ExitCode::SUCCESS, ExitCode::from)
        }
    }
}

fn run(arguments: impl IntoIterator<Item = OsString>) -> Result<(), Error> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Some(outcome) = tools::run(&arguments) {
        let tools::Outcome { text, is_damaged } = outcome?;
        std::io::stdout()
            .write_all(text.as_bytes())
            .map_err(|cause| Error::System { what: "write to standard output", cause })?;
        let message = "the directory is damaged; nothing was changed".to_owned();
        let damaged = Error::Storage { exit: Exit::Corrupt, message };
        return if is_damaged { Err(damaged) } else { Ok(()) };
    }
    let args = Args::try_parse_from(arguments)?;
    let config = Config::load(args.clone())?;
    telemetry::init(&config.log)?;
    raise_open_files();
    let env = Env::real();
    let budget = MemoryBudget::with_total(config.memory_bytes);
    let store = wiring::open(&config, &env, &budget)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(crate::app::worker_threads())
        .max_blocking_threads(BLOCKING_THREADS_MAX + config.query_concurrency)
        .thread_name("tsdb-http")
        .build()
        .map_err(|cause| Error::System { what: "start threads", cause })?;
    let served = runtime.block_on(serve(args, config, env, store, budget));
    // A query that ignores its cancellation must not hold up the end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    served
}

async fn serve(
    args: Args,
    config: Config,
    env: Env,
    store: Store,
    budget: MemoryBudget,
) -> Result<(), Error> {
    let mut signals = Signals::new()?;
    // First, so that a bad file opens no port.
    let encryption = match config.tls.clone() {
        Some((cert, key)) => Some(Arc::new(Tls::load(cert, key)?)),
        None => None,
    };
    let listener = listen::bind(config.listen).await?;
    let address =
        listener.local_addr().map_err(|cause| Error::Listen { address: config.listen, cause })?;
    let exposition = Exposition::new()
        .map_err(|error| Error::Config { message: format!("metrics: {error}") })?;
    let otlp = match config.otlp_listen {
        Some(wanted) => Some(listen::bind(wanted).await?),
        None => None,
    };
    let otlp_address = otlp.as_ref().and_then(|listener| listener.local_addr().ok());
    let app = App::new(config, env, store, budget, exposition);
    announce(&app.config(), address, otlp_address)?;
    let is_reachable = !(app.is_on_loopback() && otlp_address.is_none_or(is_on_loopback));
    if app.config().auth && is_reachable && encryption.is_none() {
        tracing::warn!(
            "passwords and tokens come from other machines unencrypted: add --tls-cert and --tls-key"
        );
    }
    if let Some(encryption) = &encryption {
        tls::watch(encryption);
    }
    reload::spawn(&app, args, encryption.clone())?;
    spawn_upkeep(&app);
    memory_watch::spawn(&app);
    if app.config().demo {
        demo::spawn(&app);
    }
    let continuous = app.config().continuous_queries.then(|| Scheduler::start(&app));
    let stopping = Arc::clone(&app);
    let stop = async move {
        let number = signals.next().await;
        tracing::info!(signal = number, "stopping: finishing requests, then flushing");
        stopping.begin_stop();
        shutdown::exit_at_next(signals);
    };
    serve_until(listener, otlp, &app, encryption, stop).await;
    if let Some(continuous) = continuous {
        continuous.stop().await;
    }
    close(&app).await
}

async fn serve_until(
    listener: TcpListener,
    otlp: Option<TcpListener>,
    app: &Arc<App>,
    encryption: Option<Arc<Tls>>,
    stop: impl Future<Output = ()>,
) {
    // Both ports share what there may be of connections; each holds a turn while it waits for the next one.
    let waiting = usize::from(otlp.is_some());
    let connections_max = connections_that_fit(app.config().connections_max) + waiting;
    let turns = Arc::new(Semaphore::new(connections_max));
    // Closed when the end has come.
    let (open, end) = watch::channel(());
    let ended = |mut end: watch::Receiver<()>| async move {
        let _ = end.changed().await;
    };
    let router = http::router(Arc::clone(app));
    let served = listen::serve(
        listener,
        router,
        encryption.clone(),
        Arc::clone(&turns),
        ended(end.clone()),
        shutdown::GRACE,
    );
    let served_otlp = async {
        let Some(listener) = otlp else { return true };
        let address = listener.local_addr();
        let router = http::otlp_router(Arc::clone(app), address.is_ok_and(is_on_loopback));
        listen::serve(listener, router, encryption, turns, ended(end), shutdown::GRACE).await
    };
    let stopping = async {
        stop.await;
        drop(open);
    };
    let (finished, finished_otlp, ()) = tokio::join!(served, served_otlp, stopping);
    if !(finished && finished_otlp) {
        tracing::warn!("some requests did not finish in time and were cut off");
    }
}

/// Whether only this machine can reach an address.
fn is_on_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// As many of `wanted` connections as the process may have files open, with some left for the storage: a
/// log that cannot open its next file takes no more writes.
fn connections_that_fit(wanted: usize) -> usize {
    let files = open_files_max().and_then(|files| usize::try_from(files).ok());
    let fitting = files.map_or(wanted, |files| files.saturating_sub(FILES_OF_STORAGE).max(1));
    if fitting < wanted {
        tracing::warn!(
            connections = fitting,
            "the limit of open files allows no more connections: raise it with ulimit -n"
        );
    }
    wanted.min(fitting)
}

/// Flushes and releases the data directory.
async fn close(app: &App) -> Result<(), Error> {
    let storage = Arc::clone(app.storage());
    let closed = blocking(move || storage.close()).await;
    let failed = |message: String| {
        let message = format!("closing the store: {message}; what was acknowledged is in the log");
        Error::Storage { exit: crate::Exit::Io, message }
    };
    closed
        .map_err(|refused| failed(refused.message().to_owned()))?
        .map_err(|error| failed(error.to_string()))?;
    tracing::info!("stopped");
    Ok(())
}

fn spawn_upkeep(app: &Arc<App>) {
    let app = Arc::clone(app);
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(UPKEEP_EVERY);
        loop {
            ticks.tick().await;
            app.exposition().upkeep();
        }
    });
}

/// Tells where the server and its data are, with commands that work when pasted.
fn announce(config: &Config, address: SocketAddr, otlp: Option<SocketAddr>) -> Result<(), Error> {
    let text = announcement(config, address, otlp);
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever closed the other end does not want to read it.
        Err(cause) if cause.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::System { what: "write to standard output", cause })
        }
        _ => Ok(()),
    }
}

fn announcement(config: &Config, address: SocketAddr, otlp: Option<SocketAddr>) -> String {
    let url = url_of(config, address);
    let otlp = otlp.map_or_else(String::new, |address| {
        format!("OTLP, over HTTP and gRPC, listens on {}\n", url_of(config, address))
    });
    let version = env!("CARGO_PKG_VERSION");
    let Config { data_dir, durability, .. } = config;
    let demo = if config.demo {
        "This machine is sampled every second into the database demo:\n  \
         SELECT mean(usage_user) FROM cpu WHERE time > now() - 5m GROUP BY time(10s), cpu\n\n"
    } else {
        ""
    };
    let (asked, user) = if config.auth {
        let create = "CREATE USER admin WITH PASSWORD 'secret' WITH ALL PRIVILEGES";
        let asked = format!(
            "Everybody is asked for a user or a token. The first administrator is created by\n\n  \
             curl '{url}/query' --data-urlencode \"q={create}\"\n\n"
        );
        (asked, " -u admin:secret")
    } else {
        (String::new(), "")
    };
    format!(
        "tsdb-server {version} listens on {url}\n\
         {otlp}\
         Data lies in {} (durability {durability})\n\n\
         {demo}\
         {asked}\
         Open {url}/ in a browser, or write a point, read it back, see what is there:\n\n  \
         curl{user} -i '{url}/write?db=mydb' --data-binary 'cpu,host=a usage=0.64'\n  \
         curl{user} -G '{url}/query?db=mydb&pretty=true' --data-urlencode 'q=SELECT * FROM cpu'\n  \
         curl{user} -G '{url}/query?db=mydb' --data-urlencode 'q=SHOW MEASUREMENTS'\n",
        data_dir.display()
    )
}

/// How an address is connected to.
fn url_of(config: &Config, address: SocketAddr) -> String {
    // 0.0.0.0 can be listened on, and not be connected to everywhere.
    let host = if address.ip().is_unspecified() {
        SocketAddr::new(std::net::Ipv4Addr::LOCALHOST.into(), address.port())
    } else {
        address
    };
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{host}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    #[test]
    fn the_announcement_names_data_and_three_commands() {
        let config = Config::from_settings(Settings::default()).unwrap();
        for (address, url) in [
            ("127.0.0.1:8086", "http://127.0.0.1:8086/"),
            ("0.0.0.0:9", "http://127.0.0.1:9/"),
            ("[::1]:7", "http://[::1]:7/"),
        ] {
            let text = announcement(&config, address.parse().unwrap(), None);
            assert!(text.contains(config.data_dir.to_str().unwrap()));
            let commands: Vec<_> =
                text.lines().filter(|line| line.trim_start().starts_with("curl ")).collect();
            assert_eq!(commands.len(), 3);
            assert!(commands.iter().all(|command| command.contains(url)), "{text}");
            assert!(!text.contains("OTLP") && !text.contains("admin"));
        }
        let asking = Config { auth: true, ..config.clone() };
        let text = announcement(&asking, "127.0.0.1:8086".parse().unwrap(), None);
        assert!(
            text.contains("\"q=CREATE USER admin WITH PASSWORD 'secret' WITH ALL PRIVILEGES\"")
        );
        assert_eq!(text.matches("curl -u admin:secret ").count(), 3, "{text}");
        let address = "127.0.0.1:8086".parse().unwrap();
        let text = announcement(&config, address, Some("0.0.0.0:4317".parse().unwrap()));
        assert!(
            text.contains("\nOTLP, over HTTP and gRPC, listens on http://127.0.0.1:4317\n"),
            "{text}"
        );
    }

    #[test]
    fn wrong_use_has_its_exit_code() {
        let exit = |flags: &[&str]| {
            let arguments = std::iter::once("tsdb-server").chain(flags.iter().copied());
            run(arguments.map(OsString::from)).unwrap_err().exit()
        };
        assert_eq!(exit(&["--help"]), None);
        assert_eq!(exit(&["--version"]), None);
        assert_eq!(exit(&["--nonsense"]), Some(crate::Exit::Usage));
        assert_eq!(exit(&["--durability", "never"]), Some(crate::Exit::Usage));
        assert_eq!(exit(&["--listen", "0.0.0.0:0"]), Some(crate::Exit::Usage));
        assert_eq!(exit(&["--config", "/does/not/exist.toml"]), Some(crate::Exit::Usage));
    }
}
