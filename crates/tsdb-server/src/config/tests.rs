//! Settings as they are typed, and what becomes of them.

use super::*;

fn settings(flags: &[&str]) -> Settings {
    let line = std::iter::once("tsdb-server").chain(flags.iter().copied());
    Args::try_parse_from(line).unwrap().settings
}

fn config(flags: &[&str]) -> Result<Config, Error> {
    Config::from_settings(settings(flags))
}

#[test]
fn nothing_typed_gives_the_documented_defaults() {
    let config = config(&[]).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8086");
    assert!(config.data_dir.is_absolute() && config.data_dir.ends_with("tsdb-data"));
    assert_eq!(config.durability, Durability::Sync);
    assert_eq!(config.body_bytes_max, 25_000_000);
    assert_eq!(config.query_timeout, Duration::from_secs(30));
    assert_eq!(config.query_limits, QueryLimits::default());
    assert_eq!(config.query_limits.samples_max, 10_000_000_000);
    assert_eq!((config.query_memory_max, config.disk_reserve), (None, None));
    assert_eq!(config.merge_rate, Some(64 << 20));
    assert_eq!(config.series_idle_time, Duration::from_secs(900));
    assert_eq!(config.tag_charset, None);
    assert!(!config.demo);
}

#[test]
fn limits_of_queries_and_the_reserve_of_disk_are_read() {
    let config = config(&[
        "--query-series=1",
        "--query-samples=2",
        "--query-rows=3",
        "--query-buckets=4",
        "--query-memory=5MiB",
        "--disk-reserve=0",
        "--merge-rate=0",
    ]);
    let config = config.unwrap();
    let limits = config.query_limits;
    let read = [limits.series_max, limits.samples_max, limits.rows_max, limits.buckets_max];
    assert_eq!(read, [1, 2, 3, 4]);
    assert_eq!((config.query_memory_max, config.disk_reserve), (Some(5 << 20), Some(0)));
    assert_eq!(config.merge_rate, None);
    let file = "query-rows = 7\nquery-memory = '2MiB'\ndisk-reserve = 100\nmerge-rate = '1MiB'";
    let config = Config::from_settings(toml::from_str(file).unwrap()).unwrap();
    assert_eq!(config.query_limits.rows_max, 7);
    assert_eq!((config.query_memory_max, config.disk_reserve), (Some(2 << 20), Some(100)));
    assert_eq!(config.merge_rate, Some(1 << 20));
}

#[test]
fn the_time_until_series_are_idle_is_read() {
    for (text, seconds) in [("1s", 1), ("90m", 5400), ("7d", 604_800)] {
        let due = Duration::from_secs(seconds);
        let typed = config(&["--series-idle-time", text]).unwrap();
        assert_eq!(typed.series_idle_time, due);
        let file = Settings::from_toml(&format!("series-idle-time = '{text}'")).unwrap();
        assert_eq!(Config::from_settings(file.clone()).unwrap().series_idle_time, due);
        let both = settings(&["--series-idle-time=2s"]).or(file);
        assert_eq!(both.series_idle_time, Some(TimeSpan(Duration::from_secs(2))));
    }
    let error =
        Settings::from_toml("demo = true\nseries-idle-time = '15'").unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("a length of time"), "{error}");
}

#[test]
fn flag_wins_over_file_wins_over_default() {
    let file = toml::from_str(
        "listen = '127.0.0.1:1'\nmemory-limit = '64MiB'\ndurability = 'off'\ndemo = true\nbody-limit = 1000",
    )
    .unwrap();
    let typed = settings(&["--listen", "127.0.0.1:2", "--demo=false"]);
    let config = Config::from_settings(typed.or(file)).unwrap();
    assert_eq!(config.listen.port(), 2);
    assert_eq!(config.memory_bytes, 64 << 20);
    assert_eq!(config.durability, Durability::Off);
    assert!(!config.demo);
    assert_eq!(config.body_bytes_max, 1000);
    assert_eq!(config.query_concurrency, QUERY_CONCURRENCY_DEFAULT);
}

#[test]
fn every_setting_has_a_flag_a_variable_and_a_key_of_one_name() {
    use clap::CommandFactory;
    let mut known = String::new();
    for arg in Args::command().get_arguments().filter(|arg| arg.get_id() != "config") {
        let Some(flag) = arg.get_long().filter(|flag| *flag != "help" && *flag != "version") else {
            continue;
        };
        let variable = arg.get_env().unwrap().to_str().unwrap();
        assert_eq!(variable, format!("TSDB_{}", flag.to_uppercase().replace('-', "_")));
        known.push_str(flag);
        known.push('\n');
        // A key of the wrong type is told from an unknown key by the message.
        let message = toml::from_str::<Settings>(&format!("{flag} = []")).unwrap_err().to_string();
        assert!(!message.contains("unknown field"), "{flag}: {message}");
    }
    assert_eq!(known.lines().count(), 31);
}

#[test]
fn what_is_out_of_range_is_refused_with_a_remedy() {
    for (flags, part) in [
        (&["--listen", "0.0.0.0:8086"][..], "--allow-insecure"),
        (&["--listen", "[::]:8086"], "--allow-insecure"),
        (&["--listen", "192.168.1.5:8086"], "--allow-insecure"),
        (&["--otlp-listen", "0.0.0.0:4317"], "otlp-listen 0.0.0.0:4317 can be reached"),
        (&["--admin-token-file", "x"], "admin-token-file has no meaning without --auth"),
        (&["--memory-limit", "1MiB"], "at least 32MiB"),
        (&["--query-concurrency", "0"], "at least 1"),
        (&["--connections", "0"], "at least 1"),
        (&["--query-series", "0"], "query-series must be at least 1"),
        (&["--query-samples", "0"], "query-samples must be at least 1"),
        (&["--query-rows", "0"], "query-rows must be at least 1"),
        (&["--query-buckets", "0"], "query-buckets must be at least 1"),
        (&["--series-idle-time", "999ms"], "series-idle-time 999ms is out of range: give 1s to 7d"),
        (&["--series-idle-time", "169h"], "give 1s to 7d"),
        (&["--query-memory", "1000KiB"], "query-memory 1000KiB is too small: give at least 1MiB"),
    ] {
        let message = config(flags).unwrap_err().to_string();
        assert!(message.contains(part), "{flags:?}: {message}");
    }
    assert!(config(&["--listen", "0.0.0.0:1", "--allow-insecure"]).is_ok());
    assert!(config(&["--listen", "0.0.0.0:1", "--auth"]).is_ok_and(|config| config.auth));
    assert!(config(&["--listen", "[::ffff:127.0.0.1]:1"]).is_ok());
    let both = config(&["--otlp-listen", "127.0.0.1:4317"]).unwrap();
    assert_eq!((both.listen.port(), both.otlp_listen.unwrap().port()), (8086, 4317));
}

#[test]
fn the_token_of_the_administrator_comes_from_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    let load = || {
        let (auth, admin_token_file) = (Some(true), Some(path.clone()));
        let settings = Settings { auth, admin_token_file, ..Settings::default() };
        Config::load(Args { config: None, settings }).map_err(|error| error.to_string())
    };
    assert!(load().unwrap_err().contains("create the file"));
    let good = "0123456789abcdef0123456789abcdef";
    for text in
        ["", "short", &good[1..], &good.replace('0', " "), &good.replace('0', ":"), &good.repeat(9)]
    {
        std::fs::write(&path, text).unwrap();
        let told = load().unwrap_err();
        assert!(told.contains("admin-token-file") && told.contains("32 to 256"), "{told}");
        assert!(text.is_empty() || !told.contains(text), "{told}");
    }
    std::fs::write(&path, format!("{good}\n")).unwrap();
    let config = load().unwrap();
    assert_eq!(config.admin_token.as_ref().map(|token| token.reveal()), Some(good));
    assert!(!format!("{config:?}").contains(good), "never shown");
}

#[test]
fn a_bad_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tsdb.toml");
    let load = || {
        let args = Args { config: Some(path.clone()), settings: Settings::default() };
        Config::load(args).map_err(|error| error.to_string())
    };
    assert!(load().unwrap_err().contains("tsdb.toml"));
    for text in ["listne = 'x'", "listen = 'x'", "listen", "durability = 7"] {
        std::fs::write(&path, text).unwrap();
        assert!(load().unwrap_err().contains("tsdb.toml"), "{text}");
    }
    std::fs::write(&path, "# empty\n").unwrap();
    assert_eq!(load(), Config::from_settings(Settings::default()).map_err(|e| e.to_string()));
}
