//! The log: lines on standard error, filtered by the configured directives.
//!
//! Not here: metrics (`exposition.rs`), and what is logged; each module says its own.

use std::io::IsTerminal;
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;

use crate::Error;

/// Starts logging for the whole process. A second call changes nothing.
///
/// # Errors
/// [`Error::Config`] when the directives do not parse.
pub fn init(directives: &str) -> Result<(), Error> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(directives)?)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_filter_reloading();
    let handle = builder.reload_handle();
    // Only a second call fails, in a process that embeds several servers; the first log serves them.
    if tracing::subscriber::set_global_default(builder.finish()).is_ok() {
        let change: Change = Box::new(move |filter| handle.reload(filter).is_ok());
        let _ = CHANGE.set(change);
    }
    Ok(())
}

/// Logs what other directives say from now on.
///
/// # Errors
/// As [`init`].
pub fn change(directives: &str) -> Result<(), Error> {
    let filter = filter(directives)?;
    if let Some(change) = CHANGE.get() {
        change(filter);
    }
    Ok(())
}

/// That directives parse.
///
/// # Errors
/// As [`init`].
pub fn check(directives: &str) -> Result<(), Error> {
    filter(directives).map(|_| ())
}

/// Puts another filter in place.
type Change = Box<dyn Fn(EnvFilter) -> bool + Send + Sync>;

/// How the filter of the process's log is changed, once it has one.
static CHANGE: OnceLock<Change> = OnceLock::new();

fn filter(directives: &str) -> Result<EnvFilter, Error> {
    EnvFilter::try_new(directives).map_err(|cause| Error::Config {
        message: format!(
            "log {directives:?} is not valid: {cause}: write error, warn, info, debug or trace"
        ),
    })
}

/// Text of a user as it may stand in a log line: cut, and without control characters, which could forge
/// lines or steer a terminal.
pub fn clean(text: &str) -> String {
    const CHARACTERS_MAX: usize = 256;
    text.chars()
        .take(CHARACTERS_MAX)
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_cannot_forge_log_lines() {
        assert_eq!(clean("a\nb\u{1b}[0m\u{9b}"), "a\u{fffd}b\u{fffd}[0m\u{fffd}");
        assert_eq!(clean(&"x".repeat(1000)).len(), 256);
    }

    #[test]
    fn wrong_directives_are_refused() {
        assert!(init("tsdb_server=loud").unwrap_err().to_string().contains("debug"));
    }
}
