//! The exporters of the Python SDK of OpenTelemetry, unchanged, against the server: every kind of instrument over
//! HTTP and over gRPC, on the server's port and on one for OTLP alone, and what is stored of them.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking, its helpers too")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tsdb_tests::http::Client;
use tsdb_tests::server::Server;

/// The packages, with versions that are known to work.
const PACKAGES: [&str; 3] = [
    "opentelemetry-sdk==1.45.2",
    "opentelemetry-exporter-otlp-proto-http==1.45.2",
    "opentelemetry-exporter-otlp-proto-grpc==1.45.2",
];

/// What is measured and sent. Arguments: `http` or `grpc`, the endpoint, and `cumulative` or `delta`.
const SCRIPT: &str = r#"
import logging, sys
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

logging.basicConfig(level=logging.WARNING)
protocol, endpoint, wanted = sys.argv[1:]
temporality = AggregationTemporality.DELTA if wanted == "delta" else AggregationTemporality.CUMULATIVE
preferred = {Counter: temporality, Histogram: temporality}
if protocol == "http":
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    exporter = OTLPMetricExporter(endpoint=endpoint, compression=Compression.Gzip, preferred_temporality=preferred)
else:
    from grpc import Compression
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    exporter = OTLPMetricExporter(
        endpoint=endpoint, insecure=True, compression=Compression.Gzip, preferred_temporality=preferred,
        headers=(("x-tsdb-db", "grpc"),))
reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
resource = Resource.create({"service.name": "shop", "service.namespace": "eu",
    "service.instance.id": "i-1", "host.name": "h1"})
views = [View(instrument_name="size", aggregation=ExponentialBucketHistogramAggregation())]
provider = MeterProvider(metric_readers=[reader], resource=resource, views=views)
meter = provider.get_meter("lib", "1.2")
requests = meter.create_counter("http.requests", unit="{request}", description="what was asked")
queue = meter.create_up_down_counter("queue.length")
duration = meter.create_histogram("http.duration", unit="s",
    explicit_bucket_boundaries_advisory=[0.1, 1.0])
size = meter.create_histogram("size", unit="By")
meter.create_observable_gauge("memory.use", unit="1", callbacks=[lambda options: [Observation(0.5)]])
for n in range(4):
    requests.add(2, {"http.route": "/a"})
    queue.add(1 if n < 3 else -1)
    duration.record([0.05, 0.5, 0.7, 3.0][n], {"http.route": "/a"})
    size.record([1.0, 2.0, 3.0, 1000.0][n])
assert provider.force_flush(), "flush"
requests.add(5, {"http.route": "/a"})
assert provider.force_flush(), "flush"
provider.shutdown()
"#;

/// A Python with the packages, in an environment of its own below the target directory, where the next run finds
/// it again.
fn python() -> Result<PathBuf, String> {
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-opentelemetry");
    let python = environment.join("bin/python");
    if !has_packages(&python) {
        let create = ["-m", "venv", "--clear"];
        run(Command::new("python3").args(create).arg(&environment), "python3 -m venv")?;
        let install = ["-m", "pip", "install", "--quiet", "--no-input"];
        run(Command::new(&python).args(install).args(PACKAGES), "pip install")?;
    }
    if has_packages(&python) { Ok(python) } else { Err("the packages do not import".to_owned()) }
}

fn has_packages(python: &Path) -> bool {
    let import =
        "import opentelemetry.exporter.otlp.proto.http, opentelemetry.exporter.otlp.proto.grpc";
    let done = Command::new(python).args(["-c", import]).output();
    done.is_ok_and(|done| done.status.success())
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

/// Where the port for OTLP alone is.
fn otlp_address(server: &Server) -> SocketAddr {
    let mut lines = server.announcement().iter();
    let url =
        lines.find_map(|line| line.strip_prefix("OTLP, over HTTP and gRPC, listens on http://"));
    url.unwrap().parse().unwrap()
}

/// What must be stored of the script: queries with their one number.
fn expected(temporality: &str) -> Vec<(String, f64)> {
    let is_delta = temporality == "delta";
    let mark = if is_delta { " AND \"__temporality__\" = 'delta'" } else { "" };
    let job = format!("job = 'eu/shop' AND instance = 'i-1' AND otel_scope_name = 'lib'{mark}");
    let plain = "job = 'eu/shop' AND otel_scope_version = '1.2'";
    let bucket = |metric: &str, le: &str| {
        format!("SELECT first(value) FROM {metric}_bucket WHERE {job} AND le = '{le}'")
    };
    let mut all = vec![
        (
            format!(
                "SELECT first(value) FROM http_requests_total WHERE {job} AND http_route = '/a'"
            ),
            8.0,
        ),
        (format!("SELECT last(value) FROM queue_length WHERE {plain}"), 2.0),
        (format!("SELECT last(value) FROM memory_use_ratio WHERE {plain}"), 0.5),
        (bucket("http_duration_seconds", "0.1"), 1.0),
        (bucket("http_duration_seconds", "1"), 3.0),
        (bucket("http_duration_seconds", "+Inf"), 4.0),
        (format!("SELECT first(value) FROM http_duration_seconds_sum WHERE {job}"), 4.25),
        (format!("SELECT first(value) FROM http_duration_seconds_count WHERE {job}"), 4.0),
        (bucket("size_bytes", "1"), 1.0),
        (bucket("size_bytes", "2"), 2.0),
        (bucket("size_bytes", "4"), 3.0),
        (bucket("size_bytes", "512"), 3.0),
        (bucket("size_bytes", "1024"), 4.0),
        (bucket("size_bytes", "+Inf"), 4.0),
        (format!("SELECT first(value) FROM size_bytes_sum WHERE {job}"), 1006.0),
        (
            "SELECT last(value) FROM target_info WHERE job = 'eu/shop' AND host_name = 'h1'"
                .to_owned(),
            1.0,
        ),
    ];
    let (function, total) = if is_delta { ("sum", 13.0) } else { ("last", 13.0) };
    all.push((format!("SELECT {function}(value) FROM http_requests_total WHERE {job}"), total));
    all
}

#[test]
fn the_python_sdk_exports_every_instrument_both_ways() {
    let python = match python() {
        Ok(python) => python,
        Err(why) => {
            let packages = PACKAGES.join(" ");
            return tsdb_tests::skip(&format!(
                "no Python with OpenTelemetry: {why}; install python3 with venv, and let it reach an \
                 index that has {packages}"
            ));
        }
    };
    for temporality in ["cumulative", "delta"] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(dir.path(), &["--otlp-listen", "127.0.0.1:0"]);
        let own = otlp_address(&server);
        for (protocol, endpoint) in [
            ("http", format!("http://{}/v1/metrics?db=http", server.address())),
            ("grpc", server.address().to_string()),
            ("http", format!("http://{own}/v1/metrics?db=own")),
        ] {
            let mut command = Command::new(&python);
            let done =
                command.args(["-c", SCRIPT, protocol, &endpoint, temporality]).output().unwrap();
            let text = text(&done);
            assert!(done.status.success() && text.is_empty(), "{protocol} {endpoint}: {text}");
        }
        let mut client = server.client();
        for database in ["http", "grpc", "own"] {
            for (query, value) in expected(temporality) {
                let found = client.number(database, &query);
                assert_eq!(found, Some(value), "{temporality}, {database}: {query}");
            }
            let metadata = format!("/api/v1/metadata?db={database}&metric=http_requests_total");
            let known = client.get(&metadata).unwrap().json();
            let entry = &known["data"]["http_requests_total"][0];
            assert_eq!(entry["help"], "what was asked");
            assert_eq!(entry["type"], if temporality == "delta" { "unknown" } else { "counter" });
        }
        let metrics = client.get("/metrics").unwrap().text();
        assert!(metrics.lines().any(|line| line == "tsdb_otlp_points_rejected_total 0"));
        // gRPC on the port for OTLP alone, and nothing else there.
        let mut command = Command::new(&python);
        let address = own.to_string();
        let done = command.args(["-c", SCRIPT, "grpc", &address, temporality]).output().unwrap();
        assert!(done.status.success(), "{}", self::text(&done));
        let answer = Client::new(own).get("/query?q=SHOW+DATABASES").unwrap();
        assert_eq!(answer.status, 404, "{}", answer.text());
        let before = sums(&mut client);
        assert!(before[0].to_string().contains("size_bytes_bucket"), "{}", before[0]);
        let (status, log) = server.terminate();
        assert!(status.success(), "{log}");
        let server = Server::start(dir.path(), &[]);
        assert_eq!(sums(&mut server.client()), before, "after a restart");
    }
}

/// What is in each database: rows and sums of all measurements.
fn sums(client: &mut Client) -> Vec<Value> {
    let query = "SELECT count(value), sum(value) FROM /.*/";
    let databases = ["http", "grpc", "own"];
    databases.iter().map(|database| client.try_query(database, query).unwrap()).collect()
}

/// Documents as a person would send them.
#[test]
fn documents_are_taken_and_refused_in_json() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let mut client = server.client();
    let point = r#"{"asDouble":0.5,"timeUnixNano":"1700000000000000000"}"#;
    let document = |points: &str| {
        format!(
            r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"room.temperature",
            "unit":"Cel","gauge":{{"dataPoints":[{points}]}}}}]}}]}}]}}"#
        )
    };
    let json = [("Content-Type", "application/json")];
    for (body, status, answer) in [
        (document(point), 200, "{}"),
        (document(&format!("{{}},{point}")), 200, "\"rejectedDataPoints\":\"1\""),
        (
            document("{}"),
            400,
            "{\"code\":3,\"message\":\"1 of 1 data points rejected; data point 1",
        ),
        (document("1"), 400, "an object should stand here at byte"),
    ] {
        let response = client.request("POST", "/v1/metrics", &json, body.as_bytes()).unwrap();
        assert_eq!(response.status, status, "{}", response.text());
        assert!(response.text().contains(answer), "{}", response.text());
    }
    let query = "SELECT count(value) FROM room_temperature_celsius";
    assert_eq!(client.number("prometheus", query), Some(1.0));
}
