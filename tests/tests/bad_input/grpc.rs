//! Calls of gRPC that are refused: messages that are none, frames that lie, names and times that cannot be
//! stored. `proto/tsdb/v1/tsdb.proto` and `docs/api.md` are where the expectations come from.
//!
//! Calls are made below the generated client, which could not say most of this.

use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use prost::Message;
use prost::bytes::Bytes;
use tonic::Code;
use tsdb_server::grpc::proto;
use tsdb_tests::server::Server;

use super::{Bench, Case, GROWTH_BYTES_MAX, Headers, LARGE_GROWTH_BYTES_MAX};

const WRITE: &str = "/tsdb.v1.WriteService/Write";
const STREAM: &str = "/tsdb.v1.WriteService/WriteStream";
const QUERY: &str = "/tsdb.v1.QueryService/Query";
const HEALTH: &str = "/tsdb.v1.HealthService/Health";

/// What is called, how what is sent is made from the name of a database, the code, and what is said.
type Call = (&'static str, &'static str, fn(&str) -> Vec<u8>, Code, &'static [&'static str]);

const NO_MESSAGE: &[&str] = &["tsdb.v1.WriteRequest"];

/// Calls that fail as a whole. Nothing of them is stored.
#[rustfmt::skip]
const REFUSED: &[Call] = &[
    // Frames, which the library of a client makes: one that is broken is INTERNAL by gRPC's own table.
    ("no frame", WRITE, |_| Vec::new(), Code::Internal, &["Missing request message"]),
    ("half a head of a frame", WRITE, |_| b"\0\0\0".to_vec(), Code::Internal, &["Unexpected EOF"]),
    ("a frame that is longer than it says", WRITE, |db| [frame(&batch(db)), b"more".to_vec()].concat(), Code::Internal, &["Unexpected EOF"]),
    ("a frame that is shorter than it says", WRITE, |db| cut(&frame(&batch(db)), 1), Code::Internal, &["Unexpected EOF"]),
    ("a frame that is said to be packed", WRITE, |db| flagged(1, &batch(db)), Code::Internal, &["compressed-flag but no grpc-encoding"]),
    ("a flag that does not exist", WRITE, |db| flagged(2, &batch(db)), Code::Internal, &["compression flag: 2"]),
    ("a frame of 4 GiB", WRITE, |_| b"\0\xff\xff\xff\xff".to_vec(), Code::ResourceExhausted, &["25000000"]),
    ("a frame of 25000001 bytes", WRITE, |_| framed(0, &vec![0; 25_000_001]), Code::ResourceExhausted, &["25000000"]),
    ("a frame of 25000001 bytes in a stream", STREAM, |_| framed(0, &vec![0; 25_000_001]), Code::ResourceExhausted, &["25000000"]),
    ("a query of 131073 bytes", QUERY, |_| framed(0, &vec![0; 131_073]), Code::ResourceExhausted, &["131072"]),
    // Messages.
    ("garbage", WRITE, |_| framed(0, &[0xff; 100]), Code::InvalidArgument, NO_MESSAGE),
    ("text", WRITE, |_| framed(0, b"m v=1 1\n"), Code::InvalidArgument, NO_MESSAGE),
    ("JSON", WRITE, |_| framed(0, b"{\"database\":\"d\"}"), Code::InvalidArgument, NO_MESSAGE),
    ("a message cut short", WRITE, |db| framed(0, &cut(&batch(db).encode_to_vec(), 1)), Code::InvalidArgument, NO_MESSAGE),
    ("a wrong type of wire", WRITE, |_| framed(0, b"\x10\x01"), Code::InvalidArgument, NO_MESSAGE),
    ("a name that is no UTF-8", WRITE, |_| framed(0, b"\x12\x01\xff"), Code::InvalidArgument, NO_MESSAGE),
    ("a number without end", WRITE, |_| framed(0, &[b"\x08".as_slice(), &[0x80; 100]].concat()), Code::InvalidArgument, NO_MESSAGE),
    ("messages inside each other without end", WRITE, |_| framed(0, &nested()), Code::InvalidArgument, NO_MESSAGE),
    ("garbage in a stream", STREAM, |_| framed(0, &[0xff; 100]), Code::InvalidArgument, NO_MESSAGE),
    ("garbage for a query", QUERY, |_| framed(0, &[0xff; 100]), Code::InvalidArgument, &["tsdb.v1.QueryRequest"]),
    ("garbage for health", HEALTH, |_| framed(0, &[0xff; 100]), Code::InvalidArgument, &["tsdb.v1.HealthRequest"]),
    // Targets.
    ("no database", WRITE, |_| frame(&batch("")), Code::InvalidArgument, &["database is required"]),
    ("an empty message", WRITE, |_| framed(0, b""), Code::InvalidArgument, &["database is required"]),
    ("a database that cannot be", WRITE, |_| frame(&batch("a/b")), Code::InvalidArgument, &["database name \"a/b\" is not valid", "use 1 to 64 of"]),
    ("a database with a NUL", WRITE, |_| frame(&batch("a\0b")), Code::InvalidArgument, &["is not valid", "use 1 to 64 of"]),
    ("no such policy", WRITE, |db| frame(&proto::WriteRequest { retention_policy: "nope".to_owned(), ..batch(db) }), Code::NotFound, &["retention policy not found: nope"]),
    ("no database in a stream", STREAM, |_| frame(&batch("")), Code::InvalidArgument, &["database is required"]),
    // Queries.
    ("no query", QUERY, |_| framed(0, b""), Code::InvalidArgument, &["missing", "query"]),
    ("no such database", QUERY, |_| frame(&question("nowhere", "SELECT v FROM m")), Code::NotFound, &["database not found: nowhere"]),
    ("no such policy in a query", QUERY, |_| frame(&proto::QueryRequest { retention_policy: "nope".to_owned(), ..question("control", "SELECT v FROM m") }), Code::NotFound, &["retention policy not found: nope"]),
    ("a text that is no query", QUERY, |db| frame(&question(db, "SELCT")), Code::InvalidArgument, &["line 1, char 1", "did you mean SELECT?"]),
    ("a second text that is no query", QUERY, |db| frame(&question(db, "SHOW DATABASES;\nSELCT")), Code::InvalidArgument, &["line 2, char 1", "did you mean SELECT?"]),
    ("a text too long", QUERY, |db| frame(&question(db, &"x".repeat(17_000))), Code::InvalidArgument, &["query is too long", "16384"]),
    ("a parameter that is missing", QUERY, |db| frame(&question(db, "SELECT v FROM m WHERE h = $h")), Code::InvalidArgument, &["missing parameter: h", "line 1, char 27"]),
    ("a parameter of a wrong type", QUERY, |db| frame(&bound(db, "SELECT v FROM m LIMIT $n", proto::parameter::Value::Number(1.5))), Code::InvalidArgument, &["expected integer at line 1, char 23"]),
    ("a parameter without a value", QUERY, |db| frame(&proto::QueryRequest { parameters: [("n".to_owned(), proto::Parameter { value: None })].into(), ..question(db, "SELECT v FROM m LIMIT $n") }), Code::InvalidArgument, &["missing parameter: n", "line 1, char 23"]),
];

/// Path, headers, code of calls of a good batch that are refused for what is around it.
#[rustfmt::skip]
const AROUND: &[(&str, Headers, Code)] = &[
    ("/tsdb.v1.WriteService/Nothing", &[], Code::Unimplemented),
    ("/tsdb.v1.NoService/Write", &[], Code::Unimplemented),
    ("/tsdb.v2.WriteService/Write", &[], Code::Unimplemented),
    ("/WriteService/Write", &[], Code::Unimplemented),
    (WRITE, &[("grpc-encoding", "gzip")], Code::Unimplemented),
    (WRITE, &[("grpc-encoding", "zstd")], Code::Unimplemented),
    (WRITE, &[("origin", "https://evil.example")], Code::PermissionDenied),
    (WRITE, &[("sec-fetch-site", "cross-site")], Code::PermissionDenied),
];

/// Headers of queries that are refused.
const TIMEOUTS: &[&str] = &["", "S", "10", "soon", "-1S", "+1S", "1.5S", "123456789S", "1x", "1 S"];

/// Content types that are not those of gRPC.
const TYPES: &[&str] =
    &["", "text/plain", "application/json", "application/x-protobuf", "application/grpcweb"];

/// What is done to a good batch of two rows.
type Change = fn(&mut proto::WriteRequest);

/// What is done to it, how many rows are stored of it, which rows are refused, and why.
type Batch = (&'static str, Change, u64, &'static [u64], &'static str);

const COLUMNS: &str = "a series has one column for each field name of its table";
const VALUES: &str = "a column has one value for each time";
const PRESENCE: &str = "a presence of one bit for each or none";

/// Batches with rows that are refused.
#[rustfmt::skip]
const BATCHES: &[Batch] = &[
    ("no measurement", |b| b.tables[0].measurement.clear(), 0, &[0, 1], "name of a measurement"),
    ("a NUL in the measurement", |b| b.tables[0].measurement = "a\0".to_owned(), 0, &[0, 1], "holds a NUL byte: remove it"),
    ("a measurement that is not ASCII", |b| b.tables[0].measurement = "m\u{e4}".to_owned(), 0, &[0, 1], "is not ASCII: use ASCII letters"),
    ("a long measurement", |b| b.tables[0].measurement = "m".repeat(257), 0, &[0, 1], "the limit is 256: shorten it"),
    ("a field name too few", |b| b.tables[0].field_names.clear(), 0, &[0, 1], COLUMNS),
    ("a field name too many", |b| b.tables[0].field_names.push("w".to_owned()), 0, &[0, 1], COLUMNS),
    ("an empty field name", |b| b.tables[0].field_names[0].clear(), 0, &[0, 1], "field name is empty: give it a name"),
    ("a field called time", |b| b.tables[0].field_names[0] = "time".to_owned(), 0, &[0, 1], "rename the field"),
    ("a field name that is not ASCII", |b| b.tables[0].field_names[0] = "\u{e4}".to_owned(), 0, &[0, 1], "is not ASCII: use ASCII letters"),
    ("a long field name", |b| b.tables[0].field_names[0] = "f".repeat(257), 0, &[0, 1], "the limit is 256: shorten it"),
    ("no columns", |b| series(b).columns.clear(), 0, &[0, 1], COLUMNS),
    ("a column too many", |b| series(b).columns.push(proto::Column::default()), 0, &[0, 1], COLUMNS),
    ("a value too few", |b| values(b).truncate(1), 0, &[0, 1], VALUES),
    ("a value too many", |b| values(b).push(3.0), 0, &[0, 1], VALUES),
    ("no values", |b| values(b).clear(), 0, &[0, 1], VALUES),
    ("a presence that is too long", |b| series(b).columns[0].presence = vec![3, 0], 0, &[0, 1], PRESENCE),
    ("a presence that is far too long", |b| series(b).columns[0].presence = vec![0xff; 1 << 20], 0, &[0, 1], PRESENCE),
    ("a presence for no row", |b| series(b).columns[0].presence = vec![0], 0, &[0, 1], "missing fields"),
    ("a presence for the first row", |b| series(b).columns[0].presence = vec![1], 1, &[1], "missing fields"),
    ("an empty tag key", |b| tag(b, "", "x"), 0, &[0, 1], "tag key is empty"),
    ("an empty tag value", |b| tag(b, "t", ""), 0, &[0, 1], "tag value is empty"),
    ("a reserved tag", |b| tag(b, "__name__", "x"), 0, &[0, 1], "tag key \"__name__\" is reserved: rename the tag"),
    ("another reserved tag", |b| tag(b, "__field__", "x"), 0, &[0, 1], "tag key \"__field__\" is reserved: rename the tag"),
    ("a tag called time", |b| tag(b, "time", "x"), 0, &[0, 1], "rename the tag"),
    ("a tag key that is not ASCII", |b| tag(b, "\u{e4}", "x"), 0, &[0, 1], "is not ASCII: use ASCII letters"),
    ("a tag value that is not ASCII", |b| tag(b, "t", "\u{e4}"), 0, &[0, 1], "is not ASCII: use ASCII letters"),
    ("a NUL in a tag", |b| tag(b, "t", "a\0b"), 0, &[0, 1], "holds a NUL byte: remove it"),
    ("a long tag value", |b| tag(b, "t", &"x".repeat(4097)), 0, &[0, 1], "the limit is 4096: shorten it"),
    ("65 tags", |b| (0..65).for_each(|place| tag(b, &format!("t{place}"), "x")), 0, &[0, 1], "the limit is 64: drop tags"),
    ("a time before all times", |b| series(b).times[0] = i64::MIN, 1, &[0], "time outside range"),
    ("a time behind all times", |b| series(b).times[1] = i64::MAX, 1, &[1], "time outside range"),
    ("another series that is wrong", |b| { let mut other = series(b).clone(); other.columns.clear(); b.tables[0].series.push(other); }, 2, &[2, 3], COLUMNS),
    ("another table that is wrong", |b| { let mut other = b.tables[0].clone(); other.measurement.clear(); b.tables.push(other); }, 2, &[2, 3], "name of a measurement"),
];

/// What is odd about a good batch of two rows, and is stored all the same: rows that can be read.
#[rustfmt::skip]
const GOOD: &[(&str, Change, usize)] = &[
    ("NaN with a payload, and an infinity", |b| *values(b) = vec![f64::from_bits(0x7ff4_dead_beef_0001), f64::NEG_INFINITY], 2),
    ("the first and the last time", |b| series(b).times = vec![-9_223_372_036_854_775_806, 9_223_372_036_854_775_806], 2),
    ("a time twice", |b| series(b).times = vec![7, 7], 1),
    ("no tags", |b| series(b).tags.clear(), 2),
    ("no rows", |b| b.tables[0].series.clear(), 0),
    ("no tables", |b| b.tables.clear(), 0),
    ("fields that nobody knows", |b| b.batch_id = u64::MAX, 2),
];

fn series(batch: &mut proto::WriteRequest) -> &mut proto::SeriesRows {
    &mut batch.tables[0].series[0]
}

fn values(batch: &mut proto::WriteRequest) -> &mut Vec<f64> {
    &mut series(batch).columns[0].values
}

fn tag(batch: &mut proto::WriteRequest, key: &str, value: &str) {
    series(batch).tags.insert(key.to_owned(), value.to_owned());
}

/// A good batch of two rows.
fn batch(database: &str) -> proto::WriteRequest {
    let series = proto::SeriesRows {
        tags: [("host".to_owned(), "a".to_owned())].into(),
        times: vec![1, 2],
        columns: vec![proto::Column { values: vec![1.0, 2.0], presence: Vec::new() }],
    };
    let table = proto::Table {
        measurement: "m".to_owned(),
        field_names: vec!["v".to_owned()],
        series: vec![series],
    };
    proto::WriteRequest {
        batch_id: 1,
        database: database.to_owned(),
        retention_policy: String::new(),
        tables: vec![table],
    }
}

fn question(database: &str, text: &str) -> proto::QueryRequest {
    let (database, query) = (database.to_owned(), text.to_owned());
    proto::QueryRequest { database, query, ..proto::QueryRequest::default() }
}

/// A question with a value for `$n`.
fn bound(database: &str, text: &str, value: proto::parameter::Value) -> proto::QueryRequest {
    let parameter = proto::Parameter { value: Some(value) };
    proto::QueryRequest {
        parameters: [("n".to_owned(), parameter)].into(),
        ..question(database, text)
    }
}

fn frame(message: &impl Message) -> Vec<u8> {
    flagged(0, message)
}

fn flagged(flag: u8, message: &impl Message) -> Vec<u8> {
    framed(flag, &message.encode_to_vec())
}

/// The frame of gRPC: a flag, a length, the message.
fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[flag][..], &length, message].concat()
}

/// All but the last `count` bytes.
fn cut(bytes: &[u8], count: usize) -> Vec<u8> {
    bytes[..bytes.len() - count].to_vec()
}

/// Groups that are opened and never closed, which a careless reader follows with its stack.
fn nested() -> Vec<u8> {
    // A group of number 20, which the message does not have.
    b"\xa3\x01".repeat(1 << 19)
}

/// A client of gRPC that sends any bytes.
pub struct Caller {
    runtime: tokio::runtime::Runtime,
    client: Client<HttpConnector, Full<Bytes>>,
    origin: String,
}

/// What came back.
pub struct Answer {
    http_status: u16,
    code: Option<Code>,
    message: String,
    frames: Vec<u8>,
}

impl Caller {
    pub fn new(server: &Server) -> Caller {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
        Caller { runtime, client, origin: format!("http://{}", server.address()) }
    }

    /// Asks a query.
    pub fn query(&self, database: &str, text: &str) -> Answer {
        self.call(QUERY, &[], frame(&question(database, text)))
    }

    fn call(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let mut request =
            hyper::Request::post(format!("{}{path}", self.origin)).header("te", "trailers");
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/grpc");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        self.runtime.block_on(async {
            let response = match self.client.request(request).await {
                Ok(response) => response,
                Err(error) => return Answer::broken(&error),
            };
            let (head, body) = response.into_parts();
            let body = match body.collect().await {
                Ok(body) => body,
                Err(error) => return Answer::broken(&error),
            };
            // A call that fails at once has its trailers where the headers are.
            let mut trailers = head.headers.clone();
            trailers.extend(body.trailers().cloned().unwrap_or_default());
            let text = |name: &str| {
                let value = trailers.get(name).map(|value| value.as_bytes().to_vec());
                value.map(|value| percent_decoded(&value))
            };
            let code =
                text("grpc-status").and_then(|code| Some(Code::from_i32(code.parse().ok()?)));
            let message = text("grpc-message");
            let frames = body.to_bytes().to_vec();
            let refusal = || String::from_utf8_lossy(&frames).into_owned();
            Answer {
                http_status: head.status.as_u16(),
                code: code.or_else(|| code_of_http(head.status.as_u16())),
                message: message.unwrap_or_else(refusal),
                frames,
            }
        })
    }
}

/// What a client of gRPC makes of a response that has no status of gRPC (http-grpc-status-mapping.md).
fn code_of_http(status: u16) -> Option<Code> {
    match status {
        200 => None,
        400 => Some(Code::Internal),
        401 => Some(Code::Unauthenticated),
        403 => Some(Code::PermissionDenied),
        404 => Some(Code::Unimplemented),
        429 | 502..=504 => Some(Code::Unavailable),
        _ => Some(Code::Unknown),
    }
}

impl Answer {
    fn broken(error: &impl std::fmt::Debug) -> Answer {
        Answer { http_status: 0, code: None, message: format!("{error:?}"), frames: Vec::new() }
    }

    /// Checks code and message.
    pub fn expect(&self, case: &mut Case, code: Code, says: &[&str]) {
        let shown = || format!("gRPC {} {:?} {:?}", self.http_status, self.code, self.message);
        case.expect(self.code == Some(code), || format!("{code:?} expected: {}", shown()));
        // That a service has no such call is all that there is to say.
        let says_why = !self.message.is_empty() || code == Code::Unimplemented;
        case.expect(says_why, || format!("no message: {}", shown()));
        for part in says {
            case.expect(self.message.contains(part), || format!("{part:?} is not in {}", shown()));
        }
    }

    /// The message of an answer that has one.
    fn decoded<M: Message + Default>(&self) -> Option<M> {
        M::decode(self.frames.get(5..)?).ok()
    }
}

/// The text of `grpc-message`.
fn percent_decoded(text: &[u8]) -> String {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (first, byte) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            _ => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// How many bad inputs the tables hold.
pub fn count() -> usize {
    REFUSED.len() + AROUND.len() + TIMEOUTS.len() + TYPES.len() + BATCHES.len()
}

/// Sends them all, and the good ones that look bad.
pub fn run(bench: &mut Bench) {
    let caller = Caller::new(bench.server());
    for (what, path, make, code, says) in REFUSED {
        // A message is in memory before it is known what it holds.
        let is_large = make("d").len() > 1 << 20;
        let growth_max = if is_large { LARGE_GROWTH_BYTES_MAX } else { GROWTH_BYTES_MAX };
        bench.case_within(growth_max, what, |case| {
            let answer = caller.call(path, &[], make(case.database()));
            answer.expect(case, *code, says);
            case.stored(0);
        });
    }
    for (path, headers, code) in AROUND {
        bench.case(&format!("{path} {headers:?}"), |case| {
            let answer = caller.call(path, headers, frame(&batch(case.database())));
            answer.expect(case, *code, &[]);
            case.stored(0);
        });
    }
    for timeout in TIMEOUTS {
        bench.case(&format!("grpc-timeout {timeout:?}"), |case| {
            let question = frame(&question("control", "SELECT v FROM control"));
            let answer = caller.call(QUERY, &[("grpc-timeout", timeout)], question);
            let says = "up to eight digits and one of H, M, S, m, u, n";
            answer.expect(case, Code::InvalidArgument, &["invalid grpc-timeout", says]);
        });
    }
    for content_type in TYPES {
        bench.case(&format!("content type {content_type:?}"), |case| {
            let headers = [("content-type", *content_type)];
            let answer = caller.call(WRITE, &headers, frame(&batch(case.database())));
            case.expect(answer.http_status == 415, || format!("{}", answer.http_status));
            case.stored(0);
        });
    }
    for (what, change, stored, refused, reason) in BATCHES {
        bench.case(what, |case| partly_stored(case, &caller, *change, (*stored, refused), reason));
    }
    for (what, change, stored) in GOOD {
        bench.case(what, |case| {
            let mut batch = batch(case.database());
            change(&mut batch);
            let answer = caller.call(WRITE, &[], frame(&batch));
            case.expect(answer.code == Some(Code::Ok), || answer.message.clone());
            case.stored(*stored);
        });
    }
    a_stream_stores_what_it_acknowledged(bench, &caller);
}

fn partly_stored(
    case: &mut Case,
    caller: &Caller,
    change: Change,
    (stored, refused): (u64, &[u64]),
    reason: &str,
) {
    let mut batch = batch(case.database());
    change(&mut batch);
    for path in [WRITE, STREAM] {
        let answer = caller.call(path, &[], frame(&batch));
        case.expect(answer.code == Some(Code::Ok), || answer.message.clone());
        let Some(said) = answer.decoded::<proto::WriteResponse>() else {
            case.expect(false, || format!("{path}: no response"));
            continue;
        };
        let rows: Vec<u64> = said.refused.iter().map(|refused| refused.row).collect();
        let holds = (said.rows_stored, said.rows_refused) == (stored, refused.len() as u64)
            && rows == refused
            && said.refused.iter().all(|refused| refused.reason.contains(reason));
        case.expect(holds, || format!("{path}: {reason:?} for {refused:?} expected: {said:?}"));
        case.stored(usize::try_from(stored).unwrap());
    }
}

/// The first batch that fails ends a stream; those behind it are not stored.
fn a_stream_stores_what_it_acknowledged(bench: &mut Bench, caller: &Caller) {
    bench.case("garbage in the middle of a stream", |case| {
        let good = frame(&batch(case.database()));
        let mut late = batch(case.database());
        series(&mut late).times = vec![3, 4];
        let body = [good, framed(0, &[0xff; 10]), frame(&late)].concat();
        let answer = caller.call(STREAM, &[], body);
        answer.expect(case, Code::InvalidArgument, NO_MESSAGE);
        let said = answer.decoded::<proto::WriteResponse>().map(|said| said.rows_stored);
        case.expect(said == Some(2), || format!("{said:?} is acknowledged"));
        case.stored(2);
    });
}
