//! JSON that is refused: records, each between two good ones in an array and on lines of their own, and whole
//! documents. `docs/formats.md` is where the expectations come from.

use super::{Bench, Case, name};

/// A record; the column of the mistake, from 1; the reason; what to do, in part.
type Row = (&'static [u8], usize, &'static str, &'static str);

const KEYS: &str = "use measurement, tags, fields, value and time";
const RFC3339: &str = "neither an integer nor RFC 3339 (2006-01-02T15:04:05Z)";
const RANGE: &str = "time outside range -9223372036854775806 - 9223372036854775806";

/// Records that stand alone or in an array.
#[rustfmt::skip]
const RECORDS: &[Row] = &[
    // No record at all.
    (b"1", 1, "the record is a number", "give an object"),
    (b"null", 1, "the record is null", "give an object"),
    (b"\"m\"", 1, "the record is a text", "give an object"),
    (b"true", 1, "the record is a boolean", "give an object"),
    (b"[1]", 1, "the record is an array", "give an object"),
    // No JSON, as far as brackets show where it ends.
    (br#"{"measurement":"m","value":1,}"#, 30, "a name in double quotes should stand here", ""),
    (br#"{"measurement":"m","value":}"#, 28, "a value should stand here", ""),
    (br#"{"measurement":"m" "value":1}"#, 20, "a comma or a closing bracket should stand here", ""),
    (br#"{"measurement":"m","value"1}"#, 27, "a colon should stand here", ""),
    (br#"{measurement:"m","value":1}"#, 2, "a name in double quotes should stand here", ""),
    (br#"{'measurement':'m','value':1}"#, 2, "a name in double quotes should stand here", ""),
    (br#"{"measurement":"m","value":NaN}"#, 28, "a value should stand here", ""),
    (br#"{"measurement":"m","value":Infinity}"#, 28, "a value should stand here", ""),
    (br#"{"measurement":"m","value":-Infinity}"#, 29, "a digit should stand here", ""),
    (br#"{"measurement":"m","value":tru}"#, 28, "a value should stand here", ""),
    (br#"{"measurement":"m","value":TRUE}"#, 28, "a value should stand here", ""),
    (br#"{"measurement":"m","value":.5}"#, 28, "a value should stand here", ""),
    (br#"{"measurement":"m","value":+1}"#, 28, "a value should stand here", ""),
    (br#"{"measurement":"m","value":01}"#, 28, "a number may not begin with a zero", ""),
    (br#"{"measurement":"m","value":1.}"#, 30, "a digit should stand here", ""),
    (br#"{"measurement":"m","value":1e}"#, 30, "a digit should stand here", ""),
    (br#"{"measurement":"m","value":0x10}"#, 29, "a comma or a closing bracket should stand here", ""),
    (br#"{"measurement":"m","value":1 /* one */}"#, 30, "a comma or a closing bracket should stand here", ""),
    (br#"{"measurement":"\x41","value":1}"#, 17, "this escape does not exist", ""),
    (br#"{"measurement":"\u12g4","value":1}"#, 17, "this escape does not exist", ""),
    (br#"{"measurement":"\ud800","value":1}"#, 17, "half of a pair of surrogates", ""),
    (br#"{"measurement":"\udc00","value":1}"#, 17, "half of a pair of surrogates", ""),
    (br#"{"measurement":"\ud800\u0041","value":1}"#, 17, "half of a pair of surrogates", ""),
    (b"{\"measurement\":\"a\tb\",\"value\":1}", 18, "a control character stands in a text", ""),
    (b"{\"measurement\":\"a\0b\",\"value\":1}", 18, "a control character stands in a text", ""),
    (b"{\"measurement\":\"\xff\",\"value\":1}", 17, "invalid UTF-8", ""),
    (b"{\"measurement\":\"\xed\xa0\x80\",\"value\":1}", 17, "invalid UTF-8", ""),
    (b"{\"measurement\":\"m\",\xc3\"value\":1}", 20, "invalid UTF-8", ""),
    // Numbers out of range.
    (br#"{"measurement":"m","value":1e999}"#, 28, "this number is too large", "1.7976931348623157e308"),
    (br#"{"measurement":"m","value":-1e999}"#, 28, "this number is too large", "1.7976931348623157e308"),
    (br#"{"measurement":"m","fields":{"a":1,"b":2e308}}"#, 40, "this number is too large", "1.7976931348623157e308"),
    // Keys.
    (br#"{}"#, 1, "missing measurement", "name of a measurement"),
    (br#"{"measurement":"m","vaule":1}"#, 20, "unknown key \"vaule\"", KEYS),
    (br#"{"measurement":"m","value":1,"":2}"#, 30, "unknown key \"\"", KEYS),
    (br#"{"measurement":"m","Value":1}"#, 20, "unknown key \"Value\"", KEYS),
    (br#"{"measurement":"m","measurement":"n","value":1}"#, 20, "duplicate key \"measurement\"", "keep one of them"),
    (br#"{"measurement":"m","value":1,"value":2}"#, 30, "duplicate key \"value\"", "keep one of them"),
    (br#"{"measurement":"m","value":1,"time":1,"timestamp":2}"#, 39, "duplicate key \"timestamp\"", "keep one of them"),
    (br#"{"measurement":"m","tags":{},"tags":{},"value":1}"#, 30, "duplicate key \"tags\"", "keep one of them"),
    // Measurement.
    (br#"{"value":1}"#, 1, "missing measurement", "name of a measurement"),
    (br#"{"measurement":null,"value":1}"#, 1, "missing measurement", "name of a measurement"),
    (br#"{"measurement":"","value":1}"#, 1, "missing measurement", "name of a measurement"),
    (br#"{"measurement":5,"value":1}"#, 1, "measurement is a number", "give a text"),
    (br#"{"measurement":["m"],"value":1}"#, 1, "measurement is an array", "give a text"),
    (br#"{"measurement":"\u00e4","value":1}"#, 1, "measurement \"ä\" is not ASCII", "use ASCII letters"),
    // Tags.
    (br#"{"measurement":"m","tags":[],"value":1}"#, 1, "tags is an array", "give an object"),
    (br#"{"measurement":"m","tags":"a=b","value":1}"#, 27, "tags is a text", "give an object"),
    (br#"{"measurement":"m","tags":{"a":5},"value":1}"#, 28, "tags.a is a number", "give a text"),
    (br#"{"measurement":"m","tags":{"a":true},"value":1}"#, 28, "tags.a is a boolean", "give a text"),
    (br#"{"measurement":"m","tags":{"a":{"b":"c"}},"value":1}"#, 28, "tags.a is an object", "give a text"),
    (br#"{"measurement":"m","tags":{"a":""},"value":1}"#, 1, "tag value is empty", "leave the pair out"),
    (br#"{"measurement":"m","tags":{"":"b"},"value":1}"#, 1, "tag key is empty", "leave the pair out"),
    (br#"{"measurement":"m","tags":{"a":"1","a":"2"},"value":1}"#, 1, "duplicate tags", "\"a\""),
    (br#"{"measurement":"m","tags":{"__name__":"1"},"value":1}"#, 1, "tag key \"__name__\" is reserved", "rename the tag"),
    (br#"{"measurement":"m","tags":{"__field__":"1"},"value":1}"#, 1, "tag key \"__field__\" is reserved", "rename the tag"),
    (br#"{"measurement":"m","tags":{"time":"1"},"value":1}"#, 1, "input tag \"time\"", "rename the tag"),
    (br#"{"measurement":"m","tags":{"\u00e4":"1"},"value":1}"#, 1, "is not ASCII", "use ASCII letters"),
    (br#"{"measurement":"m","tags":{"a":"\u00e4"},"value":1}"#, 1, "is not ASCII", "use ASCII letters"),
    (br#"{"measurement":"m","tags":{"a":"\u0000"},"value":1}"#, 1, "holds a NUL byte", "remove it"),
    // Fields.
    (br#"{"measurement":"m"}"#, 1, "missing fields", "at least one field"),
    (br#"{"measurement":"m","fields":{}}"#, 1, "missing fields", "at least one field"),
    (br#"{"measurement":"m","fields":null}"#, 1, "missing fields", "at least one field"),
    (br#"{"measurement":"m","value":null}"#, 1, "missing fields", "at least one field"),
    (br#"{"measurement":"m","fields":{"f":null}}"#, 1, "missing fields", "at least one field"),
    (br#"{"measurement":"m","fields":5}"#, 1, "fields is a number", "give an object"),
    (br#"{"measurement":"m","fields":[1]}"#, 1, "fields is an array", "give an object"),
    (br#"{"measurement":"m","fields":{"f":[1]}}"#, 30, "fields.f is an array", "give a number"),
    (br#"{"measurement":"m","fields":{"f":{"g":1}}}"#, 30, "fields.f is an object", "give a number"),
    (br#"{"measurement":"m","fields":{"":1}}"#, 1, "field name is empty", "leave the pair out"),
    (br#"{"measurement":"m","fields":{"time":1}}"#, 1, "input field \"time\"", "rename the field"),
    (br#"{"measurement":"m","fields":{"\u00e4":1}}"#, 1, "is not ASCII", "use ASCII letters"),
    // Times.
    (br#"{"measurement":"m","value":1,"time":1.5}"#, 1, "time \"1.5\" is", RFC3339),
    (br#"{"measurement":"m","value":1,"time":"5"}"#, 1, "time \"5\" is", RFC3339),
    (br#"{"measurement":"m","value":1,"time":"yesterday"}"#, 1, "time \"yesterday\" is", RFC3339),
    (br#"{"measurement":"m","value":1,"time":"2023-13-01T00:00:00Z"}"#, 1, "time \"2023-13-01T00:00:00Z\" is", RFC3339),
    (br#"{"measurement":"m","value":1,"time":"2023-02-29T00:00:00Z"}"#, 1, "time \"2023-02-29T00:00:00Z\" is", RFC3339),
    (br#"{"measurement":"m","value":1,"time":true}"#, 1, "time \"a boolean\" is", RFC3339),
    (br#"{"measurement":"m","value":1,"time":{}}"#, 1, "time \"an object\" is", RFC3339),
    (br#"{"measurement":"m","value":1,"time":9223372036854775807}"#, 1, RANGE, "check the time and its unit"),
    (br#"{"measurement":"m","value":1,"time":-9223372036854775808}"#, 1, RANGE, "check the time and its unit"),
    (br#"{"measurement":"m","value":1,"time":18446744073709551615}"#, 1, RANGE, "check the time and its unit"),
    (br#"{"measurement":"m","value":1,"time":"9999-01-01T00:00:00Z"}"#, 1, RANGE, "check the time and its unit"),
    // Columns.
    (br#"{"measurement":"m","time":[1,2],"fields":{"f":[1]}}"#, 43, "fields.f has 1 values for 2 times", "null where there is none"),
    (br#"{"measurement":"m","time":[1],"fields":{"f":[1],"g":[1,2]}}"#, 49, "fields.g has 2 values for 1 times", "null where there is none"),
    (br#"{"measurement":"m","time":[1,2],"value":[1,2,3]}"#, 1, "value has 3 values for 2 times", "null where there is none"),
    (br#"{"measurement":"m","time":[1],"value":5}"#, 1, "value is a number", "give an array with a value for each time"),
    (br#"{"measurement":"m","time":[1],"fields":{"f":5}}"#, 41, "fields.f is a number", "give an array with a value for each time"),
    (br#"{"measurement":"m","time":[1],"fields":{"f":[[1]]}}"#, 41, "fields.f is an array", "give single values in an array"),
    (br#"{"measurement":"m","time":[[1]],"value":[1]}"#, 1, "time is an array", "give single values in an array"),
    (br#"{"measurement":"m","time":[1]}"#, 1, "missing fields", "at least one field"),
    (br#"{"measurement":"m","time":["x"],"value":[1]}"#, 1, "time \"x\" is", RFC3339),
    (br#"{"measurement":"m","time":[1],"tags":{"a":[]},"value":[1]}"#, 39, "tags.a is an array", "give a text"),
];

/// Documents: line or record and column of the first mistake, what is said of it, rows that are stored.
type Document = (&'static [u8], u64, usize, &'static [&'static str], usize);

#[rustfmt::skip]
const DOCUMENTS: &[Document] = &[
    (b"{", 1, 2, &["it ends too early"], 0),
    (b"[", 1, 1, &["the array is not closed"], 0),
    (b"[{", 1, 2, &["it ends too early"], 0),
    (b"]", 1, 1, &["neither an object nor an array begins here"], 0),
    (b"5", 1, 1, &["neither an object nor an array begins here"], 0),
    (b"\"text\"", 1, 1, &["neither an object nor an array begins here"], 0),
    (b"cpu,host=a usage=1", 1, 1, &["neither an object nor an array begins here"], 0),
    (b"\0", 1, 1, &["neither an object nor an array begins here"], 0),
    (b"\xff\xfe[\0{\0", 1, 1, &["neither an object nor an array begins here"], 0),
    (br#"{"measurement":"m","value":1,"time":1"#, 1, 38, &["it ends too early"], 0),
    (br#"[{"measurement":"m","value":1,"time":1}"#, 2, 1, &["the array is not closed"], 1),
    (br#"[{"measurement":"m","value":1,"time":1},"#, 2, 1, &["the array is not closed"], 1),
    (br#"[{"measurement":"m","value":1,"time":1},]"#, 2, 1, &["a record should begin here"], 1),
    (br#"[,{"measurement":"m","value":1,"time":1}]"#, 1, 1, &["a record should begin here"], 0),
    (br#"[{"measurement":"m","value":1,"time":1} {"measurement":"m","value":1,"time":2}]"#, 2, 1, &["a comma or a closing bracket should stand here"], 1),
    (br#"[{"measurement":"m","value":1,"time":1}] x"#, 2, 1, &["the array has ended before"], 1),
    (br#"[{"measurement":"m","value":1,"time":1}][]"#, 2, 1, &["the array has ended before"], 1),
    (br#"{"measurement":"m","value":1,"time":1}}"#, 2, 1, &["an object should begin here"], 1),
    (br#"{"measurement":"m","value":1,"time":1},{"measurement":"m","value":1,"time":2}"#, 2, 1, &["an object should begin here"], 1),
    // A quote that is never closed takes what is behind it along.
    (b"{\"measurement\":\"m\",\"value\":1,\"time\":1}\n{\"measurement\":\"m,\"value\":1}\n{\"measurement\":\"m\",\"value\":1,\"time\":2}\n", 2, 20, &["a comma or a closing bracket should stand here"], 2),
    (br#"[{"measurement":"m","value":1,"time":1},{"measurement":"m,"value":1},{"measurement":"m","value":1,"time":2}]"#, 2, 20, &["a comma or a closing bracket should stand here"], 1),
    (br#"[{"measurement":"m","value":1,"time":1},{"measurement":"m"#, 2, 16, &["this text is not closed"], 1),
    // A bracket of the wrong kind: on its line it costs that line, in an array it ends the array.
    (b"{\"measurement\":\"m\",\"value\":1,\"time\":1}\n{\"measurement\":\"m\",\"value\":1]\n{\"measurement\":\"m\",\"value\":1,\"time\":2}\n", 2, 29, &["a comma or a closing bracket should stand here"], 2),
    (br#"[{"measurement":"m","value":1,"time":1},{"measurement":"m","value":1],{"measurement":"m","value":1,"time":2}]"#, 2, 29, &["2 refused, 1 stored", "it ends too early"], 1),
    // Rows of one record are refused one by one.
    (br#"{"measurement":"m","time":[1,"x",3,4],"value":[1,2,3,4]}"#, 1, 1, &["time \"x\" is neither an integer nor RFC 3339"], 3),
    (br#"{"measurement":"m","time":[1,9223372036854775807,3],"value":[1,2,3]}"#, 1, 1, &["time outside range"], 2),
    (br#"{"measurement":"m","time":[1,1.5],"value":[1,2]}"#, 1, 1, &["time \"1.5\" is neither an integer nor RFC 3339"], 1),
];

/// Documents that are too large to write down: what they are, how they are made, what is said, rows that
/// are stored.
type Made = (&'static str, fn() -> Vec<u8>, &'static [&'static str], usize);

#[rustfmt::skip]
const MADE: &[Made] = &[
    ("33 levels", || deep(33), &["line 2, column 257: nested more than 32 levels deep", "a record has three"], 2),
    ("100000 levels", || deep(100_000), &["nested more than 32 levels deep"], 2),
    ("a million open arrays", || b"[".repeat(1_000_000), &["nested more than 32 levels deep"], 0),
    ("a million open objects", || b"{\"a\":".repeat(1_000_000), &["record is longer than 4194304 bytes: split it into several"], 0),
    ("a record of 4 MiB and a byte", || long_text(4_194_305), &["record is longer than 4194304 bytes: split it into several"], 2),
    ("a name of a row too long", || wide("fields", 60_000), &["is longer than 262144 bytes: split it into several"], 2),
    ("1001 fields", || wide("fields", 1001), &["1001 fields in one row, the limit is 1000: split the row"], 2),
    ("65 tags", || tags(65), &["65 tags, the limit is 64: drop tags that no query needs"], 2),
    ("4097 columns", columns, &["4097 columns in one record, the limit is 4096: split it into several records"], 2),
    ("an integer of 400 digits", || between(&format!("{{\"measurement\":\"m\",\"value\":{}}}", "9".repeat(400))), &["1.7976931348623157e308"], 2),
    ("a million commas", || [b"[".as_slice(), &b",".repeat(1_000_000)].concat(), &["a record should begin here"], 0),
    ("a hundred thousand empty records", || format!("[{}{{}}]", "{},".repeat(99_999)).into_bytes(), &["100000 refused", "missing measurement"], 0),
    ("a hundred thousand numbers", || format!("[{}1]", "1,".repeat(99_999)).into_bytes(), &["100000 refused", "the record is a number"], 0),
    ("quotes", || [b"[\"".as_slice(), &b"\\\"".repeat(500_000)].concat(), &["this text is not closed"], 0),
];

/// A good record with this time.
fn good(time: u32) -> String {
    format!("{{\"measurement\":\"good\",\"value\":1,\"time\":{time}}}")
}

/// `record` between two good ones.
fn between(record: &str) -> Vec<u8> {
    format!("[{},{record},{}]", good(1), good(2)).into_bytes()
}

fn deep(levels: usize) -> Vec<u8> {
    between(&("{\"tags\":".repeat(levels) + "1" + &"}".repeat(levels)))
}

/// A record of so many bytes, most of them text.
fn long_text(bytes: usize) -> Vec<u8> {
    let front = "{\"measurement\":\"m\",\"value\":1,\"fields\":{\"s\":\"";
    between(&format!("{front}{}\"}}}}", "x".repeat(bytes - front.len() - 3)))
}

fn wide(key: &str, count: usize) -> Vec<u8> {
    let members: Vec<String> = (0..count).map(|place| format!("\"f{place}\":1")).collect();
    between(&format!("{{\"measurement\":\"m\",\"{key}\":{{{}}}}}", members.join(",")))
}

fn tags(count: usize) -> Vec<u8> {
    let members: Vec<String> = (0..count).map(|place| format!("\"t{place}\":\"x\"")).collect();
    let members = members.join(",");
    between(&format!("{{\"measurement\":\"m\",\"tags\":{{{members}}},\"value\":1}}"))
}

fn columns() -> Vec<u8> {
    let members: Vec<String> = (0..4097).map(|place| format!("\"f{place}\":[1]")).collect();
    let members = members.join(",");
    between(&format!("{{\"measurement\":\"m\",\"time\":[1],\"fields\":{{{members}}}}}"))
}

/// How many bad inputs the tables hold.
pub fn count() -> usize {
    RECORDS.len() + DOCUMENTS.len() + MADE.len()
}

/// Sends them all.
pub fn run(bench: &mut Bench) {
    for (record, column, reason, remedy) in RECORDS {
        bench.case(&name(record), |case| {
            let front = good(1).into_bytes();
            let array = [b"[", &front[..], b",", record, b",", good(2).as_bytes(), b"]"].concat();
            check(case, "application/json", &array, (*column, reason, remedy), 2);
            // The same with other times, so that rows are added and not replaced.
            let front = good(3).into_bytes();
            let lines = [&front[..], b"\n", record, b"\n", good(4).as_bytes(), b"\n"].concat();
            check(case, "application/x-ndjson", &lines, (*column, reason, remedy), 4);
        });
    }
    for (body, line, column, says, stored) in DOCUMENTS {
        bench.case(&name(body), |case| {
            let headers = &[("Content-Type", "application/json")];
            let response = case.send("POST", "/api/v1/write?db=$DB", headers, body);
            let place = format!("the first: line {line}, column {column}: ");
            case.refused(&response, 400, says);
            case.refused(&response, 400, &[&place]);
            case.stored(*stored);
        });
    }
    for (what, make, says, stored) in MADE {
        bench.case(what, |case| {
            let headers = &[("Content-Type", "application/json")];
            let response = case.send("POST", "/api/v1/write?db=$DB", headers, &make());
            case.refused(&response, 400, says);
            case.stored(*stored);
        });
    }
}

/// Sends a document with a bad record in the second place of three.
fn check(
    case: &mut Case,
    media_type: &'static str,
    body: &[u8],
    (column, reason, remedy): (usize, &str, &str),
    stored: usize,
) {
    let headers: Vec<(&str, &str)> = vec![("Content-Type", media_type)];
    let response = case.send("POST", "/api/v1/write?db=$DB", &headers, body);
    let first = format!("1 refused, 2 stored; the first: line 2, column {column}: ");
    case.refused(&response, 400, &[&first, reason, remedy]);
    case.listed(&response, 2, &[(2, Some(column), reason)]);
    case.stored(stored);
}
