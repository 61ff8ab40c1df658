//! The settings as text: those in effect, as a file that could be given back, and all of them, as a table for the
//! manual. What each means and its default stand in the comments of `Settings`.

use std::fmt::{Display, Write as _};

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory};
use toml::Value;
use tsdb_core::TagCharset;
use tsdb_core::time::format_duration;

use super::value::ByteSize;
use super::{Args, Config, Settings, read_file};
use crate::Error;

/// The settings in effect as TOML, each with where it comes from. Secrets stand in files of their own and are not
/// printed. `matches` are those of the command line of `args`.
///
/// # Errors
/// As [`Config::load`].
pub(crate) fn print(args: Args, matches: &ArgMatches) -> Result<String, Error> {
    let of_file = match &args.config {
        Some(path) => read_file(path)?,
        None => Settings::default(),
    };
    let typed = args.settings.clone().or(of_file);
    let config = Config::load(args)?;
    let mut text = String::new();
    for (name, value) in in_effect(&config, &typed) {
        let from = match matches.value_source(&name.replace('-', "_")) {
            Some(ValueSource::CommandLine) => "flag",
            Some(ValueSource::EnvVariable) => "environment",
            _ if is_typed(&typed, name) => "file",
            _ => "default",
        };
        // Writing to a string cannot fail.
        let _ = match value {
            Some(value) => writeln!(text, "{name} = {value} # {from}"),
            None => writeln!(text, "# {name}: none ({from})"),
        };
    }
    Ok(text)
}

/// Whether a setting was given at all.
fn is_typed(typed: &Settings, name: &str) -> bool {
    typed.given().contains(&name)
}

/// The value that each setting has, as its key in a file would have it; none where there is no such value.
pub(super) fn in_effect(config: &Config, typed: &Settings) -> Vec<(&'static str, Option<Value>)> {
    let text = |value: &dyn Display| Some(Value::String(value.to_string()));
    let size = |bytes: u64| text(&ByteSize(bytes));
    let span = |time: std::time::Duration| {
        text(&format_duration(i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)))
    };
    let count = |count: u64| Some(Value::Integer(i64::try_from(count).unwrap_or(i64::MAX)));
    let path = |path: &std::path::Path| text(&path.display());
    let switch = |on: bool| Some(Value::Boolean(on));
    let limits = &config.query_limits;
    vec![
        ("listen", text(&config.listen)),
        ("otlp-listen", config.otlp_listen.and_then(|address| text(&address))),
        ("data-dir", path(&config.data_dir)),
        ("durability", text(&config.durability)),
        ("memory-limit", size(config.memory_bytes as u64)),
        ("body-limit", size(config.body_bytes_max as u64)),
        ("query-timeout", span(config.query_timeout)),
        ("query-concurrency", count(config.query_concurrency as u64)),
        ("query-series", count(limits.series_max)),
        ("query-samples", count(limits.samples_max)),
        ("query-rows", count(limits.rows_max)),
        ("query-buckets", count(limits.buckets_max)),
        ("query-memory", config.query_memory_max.and_then(|bytes| size(bytes as u64))),
        ("slow-query-time", span(config.slow_query_time)),
        ("continuous-queries", switch(config.continuous_queries)),
        ("continuous-query-interval", span(config.continuous_query_interval)),
        ("connections", count(config.connections_max as u64)),
        ("disk-reserve", config.disk_reserve.and_then(size)),
        ("merge-rate", size(config.merge_rate.unwrap_or(0))),
        ("retention-force", switch(config.retention_force)),
        ("series-max", count(config.series_max as u64)),
        ("database-series-max", config.database_series_max.and_then(|max| count(max as u64))),
        ("series-idle-time", span(config.series_idle_time)),
        (
            "tag-charset",
            config.tag_charset.and_then(|charset| match charset {
                TagCharset::Ascii => text(&"ascii"),
                _ => text(&"utf8"),
            }),
        ),
        ("demo", switch(config.demo)),
        ("allow-insecure", switch(typed.allow_insecure.unwrap_or(false))),
        ("auth", switch(config.auth)),
        ("admin-token-file", typed.admin_token_file.as_deref().and_then(path)),
        ("tls-cert", config.tls.as_ref().and_then(|(cert, _)| path(cert))),
        ("tls-key", config.tls.as_ref().and_then(|(_, key)| path(key))),
        ("log", text(&config.log)),
    ]
}

/// All settings as the page `docs/settings.md`.
pub(crate) fn reference() -> String {
    let mut text = String::from(
        "# Settings\n\n\
         Printed by `tsdb-server config reference`; what `tsdb-server --help` says. How they work together is in\n\
         [operations.md](operations.md).\n\n\
         | flag and TOML key | environment | default | meaning |\n|---|---|---|---|\n",
    );
    let command = Args::command();
    let known = command.get_arguments().filter(|arg| arg.get_id() != "config");
    for arg in known {
        let Some((flag, variable)) = arg.get_long().zip(arg.get_env()) else { continue };
        let value = arg.get_value_names().and_then(<[_]>::first).map_or("", |name| name.as_str());
        let shown = if value == "BOOL" { flag.to_owned() } else { format!("{flag} {value}") };
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let (meaning, default) = help.split_once(" [default: ").unwrap_or((&help, "none]"));
        let default = default.trim_end_matches(']');
        let default = match default {
            "none" | "by disk" | "by format" => default.to_owned(),
            value => format!("`{value}`"),
        };
        let variable = variable.to_string_lossy();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| `--{shown}` | `{variable}` | {default} | {meaning} |");
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;

    /// What `config print` says with these words behind it.
    fn printed(words: &[&str]) -> String {
        let words = std::iter::once("tsdb-server").chain(words.iter().copied());
        let matches = Args::command().try_get_matches_from(words).unwrap();
        print(Args::from_arg_matches(&matches).unwrap(), &matches).unwrap()
    }

    #[test]
    fn what_is_printed_can_be_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("given.toml");
        let given = "query-rows = 7\nmerge-rate = '0'\ndisk-reserve = '3MB'\nquery-memory = '2MiB'\n\
                     tag-charset = 'utf8'\nslow-query-time = '1500ms'\ndurability = 'interval:20'\n";
        std::fs::write(&path, given).unwrap();
        for words in [
            &[][..],
            &["--listen", "0.0.0.0:9", "--auth", "--otlp-listen", "127.0.0.1:4317"],
            &["--config", path.to_str().unwrap(), "--database-series-max", "9", "--demo"],
        ] {
            let text = printed(words);
            let again = path.with_extension("again");
            std::fs::write(&again, &text).unwrap();
            let twice = printed(&["--config", again.to_str().unwrap()]);
            let values = |text: &str| -> Vec<String> {
                text.lines()
                    .map(|line| line.rsplit_once(['#', '(']).unwrap().0.to_owned())
                    .collect()
            };
            assert_eq!(values(&text), values(&twice), "{text}");
        }
        let text = printed(&["--config", path.to_str().unwrap(), "--query-series", "5"]);
        for line in [
            "query-series = 5 # flag",
            "query-rows = 7 # file",
            "merge-rate = \"0\" # file",
            "slow-query-time = \"1500ms\" # file",
            "query-buckets = 1000000 # default",
            "# otlp-listen: none (default)",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn every_setting_is_printed_in_the_order_of_the_flags() {
        let config = Config::from_settings(Settings::default()).unwrap();
        let names: Vec<&str> =
            in_effect(&config, &Settings::default()).iter().map(|(name, _)| *name).collect();
        let command = Args::command();
        let flags: Vec<&str> = command
            .get_arguments()
            .filter(|arg| arg.get_id() != "config")
            .filter_map(clap::Arg::get_long)
            .collect();
        assert_eq!(names, flags);
    }

    #[test]
    fn the_manual_has_the_reference_as_it_is() {
        let manual = include_str!("../../../../docs/settings.md");
        assert!(
            manual == reference(),
            "cargo run -p tsdb-server -- config reference > docs/settings.md"
        );
    }
}
