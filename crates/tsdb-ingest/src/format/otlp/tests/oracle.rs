//! Any message that `prost` writes is read as `prost` reads it, as protocol buffers and as JSON, and any bytes are
//! accepted or refused as by `prost`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use proptest::prelude::*;
use tsdb_core::{SeriesKey, TagCharset, time};

use super::super::{attributes::number_text, buckets, naming};
use super::generate::request;
use super::*;

type Labels = BTreeMap<String, String>;

/// What a request has to become.
#[derive(Debug, Default, PartialEq)]
struct Expected {
    rows: Vec<String>,
    points: u64,
    refused: u64,
    exemplars: u64,
}

/// What stands around a point: its resource and scope, and its metric.
struct Place<'a> {
    common: Labels,
    is_sound: bool,
    name: String,
    own: Option<&'a str>,
    is_delta: bool,
    has_temporality: bool,
}

fn value_text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        None => String::new(),
        Some(any::Value::String(text)) => text.clone(),
        Some(any::Value::Bool(flag)) => flag.to_string(),
        Some(any::Value::Int(number)) => number.to_string(),
        Some(any::Value::Double(number)) => number_text(*number),
        // The texts of these have tests of their own.
        Some(other) => {
            let message = AnyValue { value: Some(other.clone()) }.encode_to_vec();
            super::super::text_of(Some(Reader::new(&message)))
        }
    }
}

/// The labels of attributes; `None` where they cannot be any.
fn labels(attributes: &[KeyValue], taken: impl Fn(&str) -> bool) -> Option<Labels> {
    let mut sorted: Vec<&KeyValue> = attributes.iter().collect();
    sorted.sort_by(|one, other| one.key.cmp(&other.key));
    let mut found = Labels::new();
    for attribute in sorted {
        let text = value_text(attribute.value.as_ref());
        if attribute.key.is_empty() {
            return None;
        }
        let mut name = Naming::default().label(&attribute.key);
        while taken(&name) {
            name = format!("exported_{name}");
        }
        if !text.is_empty() {
            let known = found.entry(name).or_default();
            if !known.is_empty() {
                known.push(';');
            }
            known.push_str(&text);
        }
    }
    Some(found)
}

fn key(name: &str, labels: &Labels) -> Option<SeriesKey> {
    let mut tags: Vec<(&str, &str)> = labels.iter().map(|(n, v)| (&**n, &**v)).collect();
    SeriesKey::new(name, &mut tags, TagCharset::Utf8).ok()
}

/// The value of an attribute of a resource.
fn attribute(attributes: &[KeyValue], key: &str) -> String {
    let last = attributes.iter().rfind(|attribute| attribute.key == key);
    last.map_or_else(String::new, |last| value_text(last.value.as_ref()))
}

fn expected(request: &Request) -> Expected {
    let mut expected = Expected::default();
    for of_resource in &request.resource_metrics {
        let empty = Resource::default();
        let attributes = &of_resource.resource.as_ref().unwrap_or(&empty).attributes;
        let name = attribute(attributes, "service.name");
        let mut identity = Labels::new();
        if !name.is_empty() {
            identity.insert("job".to_owned(), name);
        }
        let has_identity = !identity.is_empty();
        let mut latest = None;
        for of_scope in &of_resource.scope_metrics {
            let promoted =
                if has_identity { Some(Labels::new()) } else { labels(attributes, |_| false) };
            let mut common = identity.clone();
            let scope = of_scope.scope.clone().unwrap_or_default();
            for (name, text) in [("name", &scope.name), ("schema_url", &of_scope.schema_url)] {
                if !text.is_empty() {
                    common.insert(format!("otel_scope_{name}"), text.clone());
                }
            }
            let others = labels(&scope.attributes, |name| name == "name");
            let is_sound = promoted.is_some() && others.is_some();
            common.extend(promoted.unwrap_or_default());
            let others = others.unwrap_or_default().into_iter();
            common.extend(others.map(|(name, text)| (format!("otel_scope_{name}"), text)));
            for metric in &of_scope.metrics {
                let place = Place::of(metric, common.clone(), is_sound);
                expected.metric(metric, &place, &mut latest);
            }
        }
        if let (true, Some(latest)) = (has_identity, latest) {
            expected.info(attributes, &identity, latest);
        }
    }
    expected
}

impl Place<'_> {
    fn of(metric: &Metric, common: Labels, is_sound: bool) -> Place<'static> {
        use naming::Kind;
        let (kind, temporality, own) = match &metric.data {
            Some(Data::Sum(sum)) if sum.is_monotonic => {
                (Kind::Counter, sum.aggregation_temporality, None)
            }
            Some(Data::Sum(sum)) => (Kind::UpDown, sum.aggregation_temporality, None),
            Some(Data::Histogram(data)) => {
                (Kind::Histogram, data.aggregation_temporality, Some("le"))
            }
            Some(Data::Exponential(data)) => {
                (Kind::Histogram, data.aggregation_temporality, Some("le"))
            }
            Some(Data::Summary(_)) => (Kind::Summary, 2, Some("quantile")),
            _ => (Kind::Gauge, 2, None),
        };
        let name = Naming::default().metric(&metric.name, &metric.unit, kind);
        let is_delta = temporality == 1;
        let has_temporality = matches!(temporality, 1 | 2);
        let mut common = common;
        if let Some((mut name, text)) = own.and_then(|own| common.remove_entry(own)) {
            while Some(&*name) == own || common.contains_key(&name) {
                name = format!("exported_{name}");
            }
            common.insert(name, text);
        }
        Place { common, is_sound, name, own, is_delta, has_temporality }
    }
}

/// A series of a point: suffix, own label, and value.
type Series = (&'static str, Option<f64>, f64);

impl Expected {
    fn metric(&mut self, metric: &Metric, place: &Place<'_>, latest: &mut Option<i64>) {
        match &metric.data {
            None => {}
            Some(Data::Gauge(Gauge { data_points }) | Data::Sum(Sum { data_points, .. })) => {
                for point in data_points {
                    self.exemplars += point.exemplars.len() as u64;
                    let value = point.value.as_ref().map(|value| match value {
                        number::Value::Double(value) => *value,
                        number::Value::Int(value) => *value as f64,
                    });
                    let stale = (point.flags & 1 == 1).then_some(f64::NAN);
                    let series = stale.or(value).map(|value| vec![("", None, value)]);
                    self.point(place, &point.attributes, point.time_unix_nano, series, latest);
                }
            }
            Some(Data::Histogram(data)) => {
                for point in &data.data_points {
                    self.exemplars += point.exemplars.len() as u64;
                    let mut below = Vec::new();
                    let counts = &point.bucket_counts;
                    let told = buckets::explicit(counts, &point.explicit_bounds, &mut below);
                    let is_stale = point.flags & 1 == 1;
                    let series =
                        told.ok().map(|()| histogram(&below, point.count, point.sum, is_stale));
                    self.point(place, &point.attributes, point.time_unix_nano, series, latest);
                }
            }
            Some(Data::Exponential(data)) => {
                for point in &data.data_points {
                    self.exemplars += point.exemplars.len() as u64;
                    let is_stale = point.flags & 1 == 1;
                    let series = exponential(point, is_stale)
                        .map(|below| histogram(&below, point.count, point.sum, is_stale));
                    self.point(place, &point.attributes, point.time_unix_nano, series, latest);
                }
            }
            Some(Data::Summary(data)) => {
                for point in &data.data_points {
                    let or_stale = |value| if point.flags & 1 == 1 { f64::NAN } else { value };
                    let quantiles = point.quantile_values.iter();
                    let mut series: Vec<Series> =
                        quantiles.map(|q| ("", Some(q.quantile), or_stale(q.value))).collect();
                    series.push(("_sum", None, or_stale(point.sum)));
                    series.push(("_count", None, or_stale(point.count as f64)));
                    self.point(
                        place,
                        &point.attributes,
                        point.time_unix_nano,
                        Some(series),
                        latest,
                    );
                }
            }
        }
    }

    fn point(
        &mut self,
        place: &Place<'_>,
        attributes: &[KeyValue],
        stamp: u64,
        series: Option<Vec<Series>>,
        latest: &mut Option<i64>,
    ) {
        self.points += 1;
        let taken = |name: &str| Some(name) == place.own || place.common.contains_key(name);
        let labels = labels(attributes, taken)
            .filter(|_| place.is_sound && place.has_temporality && !place.name.is_empty());
        let stamp = if stamp == 0 { Some(NOW) } else { i64::try_from(stamp).ok() };
        let stamp = stamp.filter(|stamp| time::check_time(*stamp).is_ok());
        let (Some(mut labels), Some(stamp), Some(series)) = (labels, stamp, series) else {
            self.refused += 1;
            return;
        };
        labels.extend(place.common.clone());
        if place.is_delta {
            labels.insert("__temporality__".to_owned(), "delta".to_owned());
        }
        for (suffix, number, value) in series {
            let mut labels = labels.clone();
            if let (Some(own), Some(number)) = (place.own, number) {
                labels.insert(own.to_owned(), number_text(number));
            }
            let Some(key) = key(&format!("{}{suffix}", place.name), &labels) else {
                self.refused += 1;
                return;
            };
            self.rows.push(format!("{key} value={value:?} {stamp}"));
            *latest = (*latest).max(Some(stamp));
        }
    }

    fn info(&mut self, attributes: &[KeyValue], identity: &Labels, latest: i64) {
        let others: Vec<KeyValue> =
            attributes.iter().filter(|a| a.key != "service.name").cloned().collect();
        let found = labels(&others, |name| matches!(name, "job" | "instance"));
        if let Some(mut labels) = found.filter(|labels| !labels.is_empty()) {
            labels.extend(identity.clone());
            let key = key("target_info", &labels);
            self.rows.extend(key.map(|key| format!("{key} value=1.0 {latest}")));
        }
    }
}

fn exponential(point: &ExponentialPoint, is_stale: bool) -> Option<Vec<buckets::Below>> {
    let empty = Buckets::default();
    let side = |side: &Option<Buckets>| side.clone().unwrap_or(empty.clone());
    let (positive, negative) = (side(&point.positive), side(&point.negative));
    let of = |side: &'_ Buckets| side.offset;
    let mut below = Vec::new();
    let whole = buckets::Exponential {
        scale: point.scale,
        zero_count: point.zero_count,
        zero_threshold: point.zero_threshold,
        positive: buckets::Side { offset: of(&positive), counts: &positive.bucket_counts },
        negative: buckets::Side { offset: of(&negative), counts: &negative.bucket_counts },
    };
    let whole = if is_stale { buckets::Exponential::default() } else { whole };
    buckets::exponential(&whole, &mut below).ok().map(|()| below)
}

fn histogram(
    below: &[buckets::Below],
    count: u64,
    sum: Option<f64>,
    is_stale: bool,
) -> Vec<Series> {
    let or_stale = |value| if is_stale { f64::NAN } else { value };
    let bucket = |bound: f64, count: u64| ("_bucket", Some(bound), or_stale(count as f64));
    let mut series: Vec<Series> = below.iter().map(|b| bucket(b.bound, b.count)).collect();
    series.push(bucket(f64::INFINITY, count));
    if is_stale || sum.is_some() {
        series.push(("_sum", None, or_stale(sum.unwrap_or_default())));
    }
    series.push(("_count", None, or_stale(count as f64)));
    series
}

/// Sends `body`, and compares with the oracle.
fn check(fixture: &Fixture, body: &[u8]) {
    let expected = Request::decode(body).ok().map(|request| expected(&request));
    let outcome = fixture.send(OtlpEncoding::Protobuf, body, &[]);
    compare(fixture, outcome, expected);
}

#[track_caller]
fn compare(fixture: &Fixture, outcome: Result<WriteReport>, expected: Option<Expected>) {
    assert_eq!(fixture.budget.used(tsdb_core::Pool::Bodies), 0, "memory is kept");
    let Some(expected) = expected else {
        assert!(matches!(outcome, Err(Error::Damaged { .. })), "accepted: {outcome:?}");
        return;
    };
    let report = outcome.unwrap();
    let got = Expected {
        rows: fixture.store.take_rows(),
        points: report.brought.points,
        refused: report.refused_records,
        exemplars: report.brought.exemplars,
    };
    assert_eq!(got, expected, "{:?}", report.errors);
}

/// Writes a message as JSON by the names of its fields; numbers of 64 bits as texts.
fn put_json(out: &mut String, mut message: Reader<'_>, schema: &wire::Schema) {
    use wire::Kind;
    let mut lists: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    while !message.is_at_end() {
        let (number, _) = message.key().ok().unwrap();
        let place = schema.fields.iter().position(|(known, _)| *known == number).unwrap();
        let texts = lists.entry(schema.names[place]).or_default();
        let quoted = |bits: u64| format!("\"{}\"", number_json(f64::from_bits(bits)));
        let mut packed = |message: &mut Reader<'_>, text: &dyn Fn(&mut Reader<'_>) -> String| {
            let mut block = message.block().ok().unwrap();
            while !block.is_at_end() {
                texts.push(text(&mut block));
            }
        };
        match &schema.fields[place].1 {
            Kind::Varint => {
                texts.push(format!("\"{}\"", message.varint().ok().unwrap().cast_signed()))
            }
            Kind::Choice(_) => texts.push(message.varint().ok().unwrap().to_string()),
            Kind::Bool => texts.push((message.varint().ok().unwrap() != 0).to_string()),
            Kind::ZigZag => {
                let bits = message.varint().ok().unwrap();
                texts.push(((bits >> 1).cast_signed() ^ -((bits & 1).cast_signed())).to_string());
            }
            Kind::Fixed64 => texts.push(format!("\"{}\"", message.fixed64().ok().unwrap())),
            Kind::SignedFixed64 => {
                texts.push(format!("\"{}\"", message.fixed64().ok().unwrap().cast_signed()));
            }
            Kind::Double => texts.push(quoted(message.fixed64().ok().unwrap())),
            Kind::Text => texts.push(format!("{:?}", message.text().ok().unwrap())),
            Kind::Bytes | Kind::Id => {
                let bytes = message.block().ok().unwrap().rest();
                let is_id = matches!(schema.fields[place].1, Kind::Id);
                let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
                let value = Some(any::Value::Bytes(bytes.to_vec()));
                let base64 = || value_text(Some(&AnyValue { value }));
                texts.push(format!("\"{}\"", if is_id { hex } else { base64() }));
            }
            Kind::Varints => packed(&mut message, &|list| list.varint().ok().unwrap().to_string()),
            Kind::Fixed64s => {
                packed(&mut message, &|list| list.fixed64().ok().unwrap().to_string())
            }
            Kind::Doubles => packed(&mut message, &|list| quoted(list.fixed64().ok().unwrap())),
            Kind::Message(inner) | Kind::Messages(inner) => {
                let mut text = String::new();
                put_json(&mut text, message.block().ok().unwrap(), inner);
                texts.push(text);
            }
        }
    }
    out.push('{');
    for (at, (name, texts)) in lists.iter().enumerate() {
        let place = schema.names.iter().position(|known| known == name).unwrap();
        let is_list = matches!(
            schema.fields[place].1,
            Kind::Messages(_) | Kind::Varints | Kind::Fixed64s | Kind::Doubles
        );
        let (open, close) = if is_list { ("[", "]") } else { ("", "") };
        let comma = if at > 0 { ", " } else { "" };
        let _ = write!(out, "{comma}\"{name}\" : {open}{}{close}", texts.join(","));
    }
    out.push('}');
}

fn number_json(number: f64) -> String {
    if number.is_nan() {
        "NaN".to_owned()
    } else if number.is_infinite() {
        if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else {
        format!("{number:e}")
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn messages_are_read_as_by_prost(requests in proptest::collection::vec(request(), 1..3)) {
        let fixture = Fixture::new();
        for request in requests.iter().chain(&requests) {
            check(&fixture, &request.encode_to_vec());
        }
    }

    #[test]
    fn documents_are_the_messages_that_they_stand_for(request in request()) {
        let fixture = Fixture::new();
        let body = request.encode_to_vec();
        let mut text = String::new();
        put_json(&mut text, Reader::new(&body), &schema::REQUEST);
        let outcome = fixture.send(OtlpEncoding::Json, text.as_bytes(), &[]);
        // What is nothing on the wire is nothing in a document made of it: a sum of -0.
        let request = Request::decode(&*body).unwrap();
        compare(&fixture, outcome, Some(expected(&request)));
    }

    /// Bytes are changed, left out and repeated: some messages stay sound, and mean something else.
    #[test]
    fn damaged_messages_are_damaged_for_prost_too(
        request in request(),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), 0..3, any::<u8>()), 1..4),
    ) {
        let mut body = request.encode_to_vec();
        for (place, change, byte) in changes {
            if body.is_empty() {
                break;
            }
            let at = place.index(body.len());
            match change {
                0 => body[at] = byte,
                1 => drop(body.remove(at)),
                _ => body.insert(at, byte),
            }
        }
        let fixture = Fixture::new();
        let outcome = fixture.send(OtlpEncoding::Protobuf, &body, &[]);
        let is_damaged = matches!(outcome, Err(Error::Damaged { .. }));
        assert_eq!(is_damaged, Request::decode(&*body).is_err(), "{outcome:?}");
    }
}
