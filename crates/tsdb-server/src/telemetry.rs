//! The log: lines on standard error, filtered by the configured directives.
//!
//! Not here: metrics (`exposition.rs`), and what is logged; each module says its own.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::Error;

/// Starts logging for the whole process. A second call changes nothing.
///
/// # Errors
/// [`Error::Config`] when the directives do not parse.
pub fn init(directives: &str) -> Result<(), Error> {
    let filter = EnvFilter::try_new(directives).map_err(|cause| Error::Config {
        message: format!(
            "log {directives:?} is not valid: {cause}: write error, warn, info, debug or trace"
        ),
    })?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .finish();
    // Only a second call fails, in a process that embeds several servers; the first log serves them.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(())
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
