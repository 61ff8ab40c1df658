//! The configuration: any text as a file of settings, as flags, and line by line as one setting in both. A variable of
//! the environment is read as the flag of its name is.

use clap::{CommandFactory, Parser};
use tsdb_server::config::{Args, Config, Settings};

/// Any text as settings.
///
/// # Panics
/// If what is accepted is out of its bounds, a refusal names neither the setting nor the place, or a setting means something
/// else in a file than as a flag.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let file = of_file(text);
    let flags = of_flags(text.lines()).unwrap_or_default();
    judge(flags.clone());
    if let Some(file) = file {
        judge(file.clone());
        judge(flags.or(file));
    }
    text.lines().filter_map(|line| line.split_once('=')).for_each(compare);
}

fn of_file(text: &str) -> Option<Settings> {
    match Settings::from_toml(text) {
        Ok(settings) => Some(settings),
        Err(error) => {
            let message = error.to_string();
            assert!(message.contains("at line "), "{message:?} names no place");
            None
        }
    }
}

fn of_flags<'t>(flags: impl Iterator<Item = &'t str>) -> Option<Settings> {
    match Args::try_parse_from(std::iter::once("tsdb-server").chain(flags)) {
        Ok(args) => Some(args.settings),
        Err(error) => {
            assert!(!error.to_string().is_empty(), "an error that is silent");
            None
        }
    }
}

/// What is made of settings is complete and in its bounds; what is refused is named.
fn judge(typed: Settings) {
    let is_allowed = typed.allow_insecure == Some(true) || typed.auth == Some(true);
    let config = match Config::from_settings(typed) {
        Ok(config) => config,
        Err(error) => {
            let (message, command) = (error.to_string(), Args::command());
            let mut names = command.get_arguments().filter_map(|setting| setting.get_long());
            assert!(names.any(|name| message.contains(name)), "{message:?} names no setting");
            return;
        }
    };
    let limits = config.query_limits;
    let limits = [limits.series_max, limits.samples_max, limits.buckets_max, limits.rows_max];
    let counts = [config.query_concurrency, config.connections_max, config.series_max];
    assert!(!limits.contains(&0) && !counts.contains(&0), "{config:?} lets nothing through");
    assert!(config.memory_bytes >= 32 << 20 && !config.query_timeout.is_zero(), "{config:?}");
    assert!(config.query_memory_max.is_none_or(|bytes| bytes >= 1 << 20), "{config:?}");
    assert!(config.data_dir.is_absolute(), "{config:?}");
    let is_local = config.listen.ip().to_canonical().is_loopback();
    assert!(is_local || is_allowed, "{config:?} is open to others");
}

/// A key and a value, as a text in a file and as a flag.
fn compare((key, value): (&str, &str)) {
    // Lines of a file have quotes, flags have dashes.
    let (key, value) = (key.trim().trim_start_matches('-'), value.trim().trim_matches(['\'', '"']));
    let is_key = key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    if !is_key || value.is_empty() || value.contains(|c: char| c.is_control() || c == '\'') {
        return;
    }
    let file = of_file(&format!("{key} = '{value}'"));
    let flag = of_flags([format!("--{key}={value}").as_str()].into_iter());
    match (file, flag) {
        (None, None) => {}
        (None, Some(flag)) => {
            // Numbers and truth values are no texts in a file, and files are named by flags alone.
            let is_text = value.parse::<u64>().is_err() && value.parse::<bool>().is_err();
            assert!(!is_text || flag == Settings::default(), "{key}: {value:?} is only a flag");
        }
        (file, flag) => assert_eq!(file, flag, "{key}: {value:?}"),
    }
}
