//! Random bodies of line protocol, valid, nearly valid and broken, and what a server has stored of them in a form in
//! which two servers can be compared. What differs from InfluxDB on purpose (docs/line-protocol.md) is never made at
//! random: [`LISTED`] has a body for each.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::seed::Seed;

/// Pieces that names are made of. Tag keys and field names get a letter in front, so that no tag is called as a field:
/// how such columns are told apart is a matter of queries.
const PIECES: [&str; 24] = [
    "a", "b", "host", "ä", "日本", "🦀", "\\ ", "\\,", "\\=", "\\\"", "\"", "\\x", "\\\\", ".",
    "-", ":", "/", "#", "'", "`", "1", "e5", "{}", "%20",
];

/// Numbers in all forms, and what looks like one.
const NUMBERS: [&str; 52] = [
    "0",
    "-0",
    "1",
    "-1",
    "007",
    "1.5",
    "-1.5",
    ".5",
    "-.5",
    "5.",
    "1e5",
    "1E5",
    "1e-5",
    "1.e+5",
    ".5e3",
    "1e400",
    "-1e400",
    "1e-400",
    "4.9e-324",
    "2.5e-324",
    "1.7976931348623157e308",
    "1.7976931348623159e308",
    "9007199254740993",
    "0.1",
    "123456789012345678901234567890",
    "0.30000000000000004",
    "1i",
    "-1i",
    "-0i",
    "007i",
    "9007199254740993i",
    "9223372036854775807i",
    "-9223372036854775808i",
    "9223372036854775808i",
    "1.0i",
    "1e3i",
    "i",
    "-i",
    "-",
    "--1",
    "+1",
    ".",
    "1e",
    "1e+",
    "1.2.3",
    "0x10",
    "1_000",
    "nan",
    "NaN",
    "inf",
    "-inf",
    "",
];

/// Values that are no numbers.
const WORDS: [&str; 24] = [
    "t",
    "T",
    "true",
    "True",
    "TRUE",
    "f",
    "F",
    "false",
    "False",
    "FALSE",
    "tRUE",
    "truth",
    "yes",
    "null",
    "\"\"",
    "\"text\"",
    "\"a b,c=d\"",
    "\"a\\\"b\"",
    "\"a\\\\\"",
    "\"ä\"",
    "\"#\"",
    "\"a\nb\"",
    "'x'",
    "\"a\"b",
];

/// What stands behind the fields beside a time of the round.
const TIMES: [&str; 24] = [
    "",
    "",
    "",
    " ",
    " 0",
    " -1",
    " 007",
    " -0",
    " 9223372036854775806",
    " 9223372036854775807",
    " -9223372036854775806",
    " -9223372036854775807",
    " -9223372036854775808",
    " 99999999999999999999",
    " 1.5",
    " 1e9",
    " +5",
    " 5x",
    " 5 6",
    " -",
    " --5",
    " \"5\"",
    " 5  ",
    " x",
];

/// Characters that damage a line. A `u` behind digits, a carriage return, a NUL and a newline are listed differences.
const DAMAGE: [&str; 20] = [
    ",", ",", "=", "=", " ", " ", "\"", "\\", "#", "-", "+", ".", "0", "9", "e", "i", "t", "x",
    "ä", ",,",
];

/// Units of times in parameters of a request, with their ns.
pub const PRECISIONS: [(&str, i64); 6] = [
    ("ns", 1),
    ("u", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// A week of InfluxDB's shards, in ns, into which times fall.
const WEEK_NS: std::ops::Range<u64> = 1_600_041_600_000_000_000..1_600_600_000_000_000_000;

/// Times behind this one, up to the current year, are those of requests: rows came without one.
const NOW_NS: std::ops::Range<i64> = 1_735_689_600_000_000_000..4_000_000_000_000_000_000;

/// Makes a body.
pub type Body = fn() -> Vec<u8>;

/// Bodies of which something else is stored than by InfluxDB, or that are judged otherwise, each with the beginning of its
/// row in the table of docs/line-protocol.md.
pub const LISTED: [(&str, Body); 14] = [
    ("text is not stored", || b"m a=\"x\" 1".to_vec()),
    ("numbers of one field may be", || b"m b=1 1\nm b=1i 2".to_vec()),
    ("`1u` is accepted", || b"m c=1u 1".to_vec()),
    ("lines may end with CR LF", || b"m d=1 1\r\nm d=2 2\r\n".to_vec()),
    ("a comment ends at its newline", || b"# a=\"\nm e=1 1\nm e=2 2".to_vec()),
    ("a newline always ends a name", || b"f\\\nm f=1 1".to_vec()),
    ("NUL is refused", || b"m\0 g=1 1".to_vec()),
    ("bytes that are not UTF-8", || b"m\xff h=1 1".to_vec()),
    ("a stray quote in a value", || b"m i=x\" 1\nm i=2 2\nm i=3\" 3".to_vec()),
    ("a field without a name", || b"m \t=1 1".to_vec()),
    ("a field's name that ends in a backslash", || br"m k\\=1,l=2 1".to_vec()),
    ("a measurement may have a backslash before", || br"m\\,a=b l=1 1".to_vec()),
    ("an equals sign behind a text", || b"m f=\"x\"=1,2i,g=81 1".to_vec()),
    ("limits of the table above", || format!("m,t={} j=1 1", "x".repeat(5000)).into_bytes()),
];

fn pick<'c>(seed: &mut Seed, choices: &[&'c str]) -> &'c str {
    let place = usize::try_from(seed.within(0..choices.len() as u64)).unwrap_or(0);
    choices[place]
}

fn name(seed: &mut Seed) -> String {
    (0..seed.within(1..4)).map(|_| pick(seed, &PIECES)).collect()
}

fn value(seed: &mut Seed) -> String {
    match seed.within(0..8) {
        0 => pick(seed, &NUMBERS).to_owned(),
        1 => pick(seed, &WORDS).to_owned(),
        2 => format!("{}i", seed.bits().cast_signed() >> seed.within(0..64)),
        3 | 4 => {
            let any = f64::from_bits(seed.bits());
            let value = if any.is_finite() { any } else { 1.0 };
            // The same number as one writes it, and with an exponent.
            if seed.within(0..2) == 0 { format!("{value}") } else { format!("{value:e}") }
        }
        5 => format!("{:?}", seed.within(0..1_000_000) as f64 / 1000.0 - 500.0),
        6 => format!("{}.{}", seed.within(0..100), seed.bits()),
        _ => format!("{}", seed.within(0..101)),
    }
}

fn time(seed: &mut Seed, unit_ns: i64) -> String {
    if seed.within(0..3) == 0 {
        return pick(seed, &TIMES).to_owned();
    }
    format!(" {}", seed.within(WEEK_NS) / unit_ns.unsigned_abs())
}

/// A number in letters of which no damage makes another number.
fn letters(number: u64) -> String {
    let letter = |digit: char| char::from(b"abcdfghjkl"[digit.to_digit(10).unwrap_or(0) as usize]);
    format!("{number:04}").chars().map(letter).collect()
}

/// A line whose measurement begins with its number, and whose fields have it in their names: where measurements have fields
/// of one name and several types, InfluxDB shows but one of the types.
fn line(number: u64, unit_ns: i64, seed: &mut Seed) -> String {
    let own = letters(number);
    let mut line = format!("l{number}_");
    if seed.within(0..2) == 0 {
        line.push_str(&name(seed));
    }
    for _ in 0..seed.within(0..4) {
        let (key, value) = (name(seed), name(seed));
        line.push_str(&format!(",t{key}={value}"));
    }
    line.push_str(pick(seed, &[" ", " ", " ", " ", "  "]));
    for place in 0..seed.within(1..4) {
        let comma = if place == 0 { "" } else { "," };
        let (name, value) = (name(seed), value(seed));
        line.push_str(&format!("{comma}f{place}{own}{name}={value}"));
    }
    line.push_str(&time(seed, unit_ns));
    line
}

/// `line` with a few characters inserted, removed or replaced behind its number.
fn damaged(line: &str, seed: &mut Seed) -> String {
    let mut characters: Vec<String> = line.chars().map(String::from).collect();
    let kept = line.find('_').map_or(0, |place| place + 1);
    for _ in 0..seed.within(1..4) {
        let length = characters.len() as u64;
        if length <= kept as u64 {
            break;
        }
        let place = usize::try_from(seed.within(kept as u64..length)).unwrap_or(kept);
        match seed.within(0..5) {
            0 => drop(characters.remove(place)),
            1 => characters[place] = pick(seed, &DAMAGE).to_owned(),
            2 => characters.truncate(place),
            3 => characters.insert(place, characters[place].clone()),
            _ => characters.insert(place, pick(seed, &DAMAGE).to_owned()),
        }
    }
    characters.concat()
}

/// A body around the measurement `l{number}_`: mostly one line; valid ones also behind blanks and between comments.
pub fn body(number: u64, unit_ns: i64, seed: &mut Seed) -> String {
    let line = line(number, unit_ns, seed);
    match seed.within(0..10) {
        0 => format!("{}{line}", pick(seed, &[" ", "  ", "\t", "\n", "\n\n", " \n"])),
        1 => format!("{line}{}", pick(seed, &["\n", "\n\n", "\n ", "\n# end", " \n#\n"])),
        2 => format!("# comment\n{line}\n  # {number}\n"),
        3 => format!("#{line}").replace(['"', '\\', '\n'], ""),
        4 => {
            pick(seed, &["", "\n", " ", "\t", "#", "# \n", ",", "=", " =", "\"", "\\", ",a=b f=1"])
                .to_owned()
        }
        5..7 => line,
        _ => damaged(&line, seed),
    }
}

/// Whether a body shows a listed difference after all, by damage or by chance.
pub fn is_listed(body: &str) -> bool {
    let measurement = measurement_of(body);
    body.contains("\t=")
        || body.contains(r"\\=")
        || measurement.contains(r"\\")
        || has_sign_behind_text(body)
}

/// The measurement of the line of a body, as it is written: up to the first comma or space without a backslash before it.
fn measurement_of(body: &str) -> &str {
    let line = body.find('l').map_or("", |begin| &body[begin..]);
    let mut before = ' ';
    let end = line.find(|character| {
        let is_end = [',', ' '].contains(&character) && before != '\\';
        before = character;
        is_end
    });
    &line[..end.unwrap_or(line.len())]
}

/// Whether an equals sign stands between the end of a text and the next comma or space.
fn has_sign_behind_text(body: &str) -> bool {
    body.match_indices("=\"").any(|(place, begin)| {
        let mut rest = body[place + begin.len()..].chars();
        while let Some(character) = rest.next() {
            match character {
                '\\' => drop(rest.next()),
                '"' => break,
                _ => {}
            }
        }
        rest.take_while(|character| ![',', ' '].contains(character))
            .any(|character| character == '=')
    })
}

/// Numbers by measurement, tags and time, and by field.
pub type Rows = BTreeMap<String, BTreeMap<String, f64>>;

/// The numbers of an answer to `SELECT * … GROUP BY *`: text is left out, flags are 0 and 1, and times of requests are one.
pub fn rows(result: &Value) -> Rows {
    let mut rows = Rows::new();
    for series in result.get("series").and_then(Value::as_array).into_iter().flatten() {
        // A series is shown with the tags of all others, which it has not.
        let tags = series["tags"].as_object().into_iter().flatten();
        let tags: Vec<_> = tags.filter(|(_, value)| *value != "").collect();
        let columns = series["columns"].as_array().cloned().unwrap_or_default();
        for values in series["values"].as_array().into_iter().flatten() {
            let time = values[0].as_i64().unwrap_or_default();
            let time = if NOW_NS.contains(&time) { "now".to_owned() } else { time.to_string() };
            let key = format!("{} {tags:?} {time}", series["name"]);
            for (column, value) in
                columns.iter().zip(values.as_array().into_iter().flatten()).skip(1)
            {
                let flag = value.as_bool().map(|flag| f64::from(u8::from(flag)));
                if let Some(number) = value.as_f64().or(flag) {
                    let name = column.as_str().unwrap_or_default().to_owned();
                    rows.entry(key.clone()).or_default().insert(name, number);
                }
            }
        }
    }
    rows
}
