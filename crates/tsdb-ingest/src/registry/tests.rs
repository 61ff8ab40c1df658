//! Which format a request is taken for, several formats beside each other, and formats that are tried in
//! turn. The formats of this crate, and one that stands for those of others.

use std::sync::Mutex;

use tsdb_core::{DataPoint, MemoryBudget, NAME_TAG, Tags};

use super::*;
use crate::testing::Recorder;
use crate::{
    Ingestion, LineError, ParseOptions, Pipeline, PipelineOptions, Precision, Reason, WriteReport,
    WriteRequest,
};

/// One point per line: a name and a value with a bar between them, and whatever may follow a space. What
/// it reads is at second 1.
#[derive(Debug, Default)]
struct Bars {
    /// What was handed to it.
    seen: Mutex<Vec<String>>,
}

impl Ingestion for Bars {
    fn parse(&self, input: &[u8]) -> Result<Vec<DataPoint>> {
        self.seen.lock().unwrap().push(String::from_utf8_lossy(input).into_owned());
        let mut points = Vec::new();
        for (line, text) in (1..).zip(String::from_utf8_lossy(input).lines()) {
            let number = |text: &str| text.split(' ').next()?.parse().ok();
            let pair = text.split_once('|').and_then(|(name, rest)| Some((name, number(rest)?)));
            let Some((name, value)) = pair else {
                let reason = Reason::Other { text: "no bar and number: write name|1.5".to_owned() };
                let error = LineError { line, column: 1, text: text.to_owned(), reason };
                return Err(Error::Line { error });
            };
            let tags = Tags::new([(NAME_TAG, name), ("from", "bars")])?;
            points.push(DataPoint::new(1_000_000_000, value, tags)?);
        }
        Ok(points)
    }

    fn supported_formats(&self) -> Vec<&'static str> {
        vec!["text/x-bars", "bars"]
    }
}

impl Format for Bars {
    fn looks_like(&self, head: &[u8]) -> Likelihood {
        if head.contains(&b'|') { Likelihood::Likely } else { Likelihood::No }
    }
}

/// A format with names alone.
struct Names(&'static [&'static str]);

impl Ingestion for Names {
    fn parse(&self, _: &[u8]) -> Result<Vec<DataPoint>> {
        Ok(Vec::new())
    }

    fn supported_formats(&self) -> Vec<&'static str> {
        self.0.to_vec()
    }
}

impl Format for Names {}

fn with_bars() -> (FormatRegistry, Arc<Bars>) {
    let bars = Arc::new(Bars::default());
    let mut registry = FormatRegistry::default();
    registry.register(bars.clone()).unwrap();
    (registry, bars)
}

/// The preferred short name of a format.
fn name(format: &Arc<dyn Format>) -> &'static str {
    format.supported_formats().into_iter().find(|name| !name.contains('/')).unwrap()
}

fn detected(registry: &FormatRegistry, body: &[u8]) -> String {
    match registry.candidates(&Choice::Detect, body) {
        Ok(formats) => formats.iter().map(name).collect::<Vec<_>>().join(" "),
        Err(error) => format!("!{error}"),
    }
}

struct Fixture {
    registry: FormatRegistry,
    store: Arc<Recorder>,
    pipeline: Pipeline,
}

impl Fixture {
    fn new(registry: FormatRegistry) -> Fixture {
        let store = Arc::new(Recorder::default());
        let pipeline =
            Pipeline::new(store.clone(), MemoryBudget::default(), PipelineOptions::default());
        Fixture { registry, store, pipeline }
    }

    /// Writes `body` as a server would, and returns the rows that were stored with the report.
    fn write(
        &self,
        name: Option<&str>,
        content_type: Option<&str>,
        body: &str,
    ) -> Result<(Vec<String>, WriteReport)> {
        let choice = self.registry.choose(name, content_type)?;
        let formats = self.registry.candidates(&choice, body.as_bytes())?;
        let request = WriteRequest {
            database: "d",
            policy: None,
            body: body.as_bytes(),
            options: ParseOptions::new(Precision::Nanoseconds, 7),
        };
        let report = self.pipeline.write_first(&formats, &request)?;
        Ok((self.store.take_rows(), report))
    }
}

const JSON: &str = "{\"measurement\":\"m\",\"tags\":{\"h\":\"a\"},\"fields\":{\"f\":1},\"time\":5}";
const LINE: &str = "m,h=a f=1 5";
const CSV: &str = "measurement,h:tag,f,time\nm,a,1,5\n";

#[test]
fn format_autodetection() {
    let (registry, _) = with_bars();
    let unknown = "!the body looks like none of the known formats: name one in Content-Type \
                   (application/json, text/plain, text/csv, text/x-bars), or in the parameter format";
    let cases: &[(&[u8], &str)] = &[
        (JSON.as_bytes(), "json line-protocol"),
        (b" \r\n [ {\"a\":1}]", "json line-protocol"),
        (b"[]", "json line-protocol"),
        (b"{", "json line-protocol"),
        (b"\xef\xbb\xbf{\"a\"", "json line-protocol"),
        (b"{a:1}", "json line-protocol"),
        (LINE.as_bytes(), "line-protocol csv"),
        (b"m f=1", "line-protocol"),
        (b"# comment, with = and a space\nm f=1,g=2 5\n", "line-protocol csv"),
        (b"m\\ x,a=b\\ c f=1", "line-protocol csv"),
        (b"m\\ x", "line-protocol"),
        (b"{m} f=1", "json line-protocol"),
        (CSV.as_bytes(), "csv line-protocol"),
        (b"\xef\xbb\xbftime,f\n1,2", "csv line-protocol"),
        (b"time, f\n", "csv line-protocol"),
        (b"a=b,c", "line-protocol csv"),
        (b"m|1.5", "bars line-protocol"),
        (b"anything", "line-protocol"),
        (b"", "line-protocol"),
        (b"\x0a\x10\x0a\x08cpu\x00\x01,=", unknown),
        (b"\xff\xfe{\x00", unknown),
        (&[0x1f, 0x8b, 8, 0], unknown),
    ];
    for (body, expected) in cases {
        assert_eq!(detected(&registry, body), *expected, "{:?}", String::from_utf8_lossy(body));
    }
    // No more than the first bytes are looked at, and a character that their end cuts is none that is wrong.
    let mut long = b"m f=1".to_vec();
    long.resize(limits::HEAD_BYTES_MAX - 1, b' ');
    long.extend("ä\0".bytes());
    assert_eq!(detected(&registry, &long), "line-protocol");
    assert!(detected(&FormatRegistry::empty(), b"m f=1").starts_with('!'));
}

#[test]
fn content_type_negotiation() {
    let (registry, _) = with_bars();
    let chosen = |format: Option<&str>, content_type: Option<&str>| match registry
        .choose(format, content_type)
    {
        Ok(Choice::Given(format)) => name(&format).to_owned(),
        Ok(Choice::Detect) => "?".to_owned(),
        Err(error) => format!("!{error}"),
    };
    for (content_type, expected) in [
        ("application/json", "json"),
        ("Application/JSON; charset=utf-8", "json"),
        (" application/x-ndjson ", "json"),
        ("application/ndjson", "json"),
        ("text/csv;header=present", "csv"),
        ("text/plain", "line-protocol"),
        ("text/plain; charset=utf-8", "line-protocol"),
        ("text/x-bars", "bars"),
        // No claim about the body, or none that is known.
        ("application/x-www-form-urlencoded", "?"),
        ("application/octet-stream", "?"),
        ("text/html", "?"),
        ("*/*", "?"),
        ("", "?"),
        // A short name is no media type.
        ("json", "?"),
    ] {
        assert_eq!(chosen(None, Some(content_type)), expected, "{content_type}");
    }
    assert_eq!(chosen(None, None), "?");
    for foreign in ["application/x-protobuf", "Application/X-Protobuf; proto=x.Request"] {
        let refusal = chosen(None, Some(foreign));
        let supported = "use application/json, text/plain, text/csv, text/x-bars";
        assert!(refusal.starts_with("!unsupported content type"), "{refusal}");
        assert!(refusal.ends_with(supported), "{refusal}");
    }
    // The short name wins.
    assert_eq!(chosen(Some("csv"), Some("application/json")), "csv");
    assert_eq!(chosen(Some("NDJSON"), None), "json");
    assert_eq!(chosen(Some("influx"), Some("application/x-protobuf")), "line-protocol");
    let unknown = "!unknown format \"xml\": use json, line-protocol, csv, prometheus, bars";
    assert_eq!(chosen(Some("xml"), Some("application/json")), unknown);
    assert!(chosen(Some("text/csv"), None).starts_with("!unknown format"));
}

/// All formats through one pipeline, whose caches they share, in turn and again.
#[test]
fn multiple_format_coexistence() {
    let (registry, _) = with_bars();
    let fixture = Fixture::new(registry);
    for round in 0..3 {
        for (format, body, rows) in [
            ("json", JSON, "m,h=a f=1.0 5"),
            ("line-protocol", LINE, "m,h=a f=1.0 5"),
            ("csv", CSV, "m,h=a f=1.0 5"),
            ("bars", "m|2", "m,from=bars value=2.0 1000000000"),
            // Bytes that mean another series in another format.
            ("line-protocol", "m\\,h\\=a f=1 5", "m\\,h=a f=1.0 5"),
            ("json", "{\"measurement\":\"m,h=a\",\"value\":1,\"time\":5}", "m\\,h=a value=1.0 5"),
        ] {
            let (stored, report) = fixture.write(Some(format), None, body).unwrap();
            assert_eq!(report.error_text(), None, "{format}");
            assert_eq!(stored, [rows], "{format} in round {round}");
        }
    }
    let calls = fixture.store.state().resolve_calls;
    assert_eq!(calls, 5, "once each; what CSV brings is known from JSON, byte for byte");
}

#[test]
fn one_charset_per_format_in_one_pipeline() {
    let fixture = Fixture::new(FormatRegistry::default());
    let json = JSON.replace("\"a\"", "\"ä\"");
    for _ in 0..2 {
        let (stored, _) = fixture.write(None, None, "m,h=ä f=1 5").unwrap();
        assert_eq!(stored, ["m,h=ä f=1.0 5"]);
        let (stored, report) = fixture.write(None, None, &json).unwrap();
        assert_eq!(stored, [""; 0]);
        assert!(report.error_text().unwrap().contains("is not ASCII"));
    }
    let options = PipelineOptions {
        charset: Some(tsdb_core::TagCharset::Utf8),
        ..PipelineOptions::default()
    };
    let pipeline = Pipeline::new(fixture.store.clone(), MemoryBudget::default(), options);
    let fixture = Fixture { pipeline, ..fixture };
    assert_eq!(fixture.write(None, None, &json).unwrap().0, ["m,h=ä f=1.0 5"], "set for all");
}

#[test]
fn fallback_parsing() {
    let (registry, bars) = with_bars();
    let fixture = Fixture::new(registry);
    let take_seen = || std::mem::take(&mut *bars.seen.lock().unwrap()).len();
    // Likely one thing, and another.
    let (stored, report) = fixture.write(None, None, "m,a=b|c f=1 5").unwrap();
    assert_eq!((stored, report.errors_total), (vec!["m,a=b|c f=1.0 5".to_owned()], 0));
    assert_eq!(take_seen(), 0, "line protocol is likely too, and stands before it");
    let (stored, _) = fixture.write(None, None, "{m} f=1 5").unwrap();
    assert_eq!(stored, ["{m} f=1.0 5"], "no JSON, which it looked like");
    let (stored, _) = fixture.write(None, Some("text/html"), "a=b,m\nx|y f=1 5").unwrap();
    assert_eq!((stored, take_seen()), (vec!["x|y f=1.0 5".to_owned()], 1), "it looked like bars");
    let (stored, _) = fixture.write(None, None, "measurement,f\nx=y|z,5\n").unwrap();
    assert_eq!((stored, take_seen()), (vec!["x=y|z f=5.0 7".to_owned()], 0));

    // Nobody can read it: the answer is that of the likeliest.
    let (stored, report) = fixture.write(None, None, "[{\"measurement\":1}]").unwrap();
    assert_eq!(stored, [""; 0]);
    assert!(matches!(report.errors[0].reason, Reason::WrongType { .. }), "{report:?}");
    let (stored, report) = fixture.write(None, None, "x|y").unwrap();
    assert_eq!((stored.len(), report.errors_total), (0, 1));
    assert!(matches!(&report.errors[0].reason, Reason::Other { text } if text.contains("no bar")));
    take_seen();

    // Never after a row was stored.
    let (stored, report) = fixture.write(None, None, "m,a=b f=1 5\nx|1\nx|2").unwrap();
    assert_eq!((stored.len(), report.errors_total), (1, 2));
    // Nor when a row was understood and dropped, or only text was left out.
    let (stored, report) = fixture.write(None, None, "m,a=b|1 time=1").unwrap();
    assert_eq!((stored.len(), report.dropped_total), (0, 1));
    let (stored, report) = fixture.write(None, None, "m,a=b|1 s=\"x\"\nm|2 s").unwrap();
    assert_eq!((stored.len(), report.ignored_total, report.errors_total), (0, 1, 1));
    // Nor what is named.
    let (stored, report) = fixture.write(Some("json"), None, LINE).unwrap();
    assert_eq!((stored.len(), report.errors_total), (0, 1));
    let (stored, report) = fixture.write(None, Some("text/csv"), LINE).unwrap();
    assert_eq!((stored.len(), report.errors_total), (0, 1));
    assert_eq!(take_seen(), 0);
    // What the store says is no reason to try on.
    fixture.store.state().epochs_to_end = usize::MAX;
    assert!(matches!(fixture.write(None, None, "m,a=b|c f=1"), Err(Error::Store(_))));
    assert_eq!(take_seen(), 0);
}

#[test]
fn points_of_others_are_stored_as_rows_of_one_field() {
    let (registry, _) = with_bars();
    let fixture = Fixture::new(registry);
    for _ in 0..2 {
        let (stored, report) = fixture.write(None, Some("text/x-bars"), "a|1\nb|2\na|3").unwrap();
        assert_eq!(
            stored,
            [
                "a,from=bars value=1.0 1000000000",
                "b,from=bars value=2.0 1000000000",
                "a,from=bars value=3.0 1000000000"
            ]
        );
        assert_eq!((report.rows, report.errors_total), (3, 0));
    }
    let (stored, report) = fixture.write(Some("bars"), None, "a|1\nb").unwrap();
    assert_eq!(stored, [""; 0], "its first bad record refuses the request");
    let shown = report.errors[0].to_string();
    assert_eq!((report.errors[0].line, report.errors_total), (2, 1));
    assert_eq!(shown, "unable to parse 'b': no bar and number: write name|1.5");
}

#[test]
fn names_are_taken_once() {
    let mut registry = FormatRegistry::default();
    let mut register = |names: &'static [&'static str]| registry.register(Arc::new(Names(names)));
    assert_eq!(register(&["text/xml", "xml"]), Ok(()));
    let cases: [(&'static [&'static str], &'static str); 4] = [
        (&["json"], "json"),
        (&["text/new", "JSON"], "JSON"),
        (&["new", "Text/CSV"], "Text/CSV"),
        (&["xml"], "xml"),
    ];
    for (names, taken) in cases {
        assert_eq!(register(names), Err(Error::DuplicateFormat { name: taken }), "{names:?}");
    }
    assert_eq!(register(&["text/new"]), Err(Error::NamelessFormat));
    assert_eq!(register(&[]), Err(Error::NamelessFormat));
    assert_eq!(register(&["text/new", "new"]), Ok(()), "what was refused has taken nothing");
    assert_eq!(registry.names(), ["json", "line-protocol", "csv", "prometheus", "xml", "new"]);
    assert!(registry.by_name("XML").is_some() && registry.by_name("text/xml").is_none());
    assert!(registry.by_media_type("TEXT/XML;a=b").is_some());
    assert!(registry.by_media_type("xml").is_none());
}
