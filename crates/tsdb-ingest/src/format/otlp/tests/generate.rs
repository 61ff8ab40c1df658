//! Requests for the oracle: every kind of point, sound and not, with names that meet.

use proptest::prelude::*;

use super::super::messages::{ArrayValue, KeyValueList, exemplar};
use super::*;

fn name() -> impl Strategy<Value = String> {
    let names = [
        "",
        "a",
        "a.b",
        "a_b",
        "job",
        "le",
        "quantile",
        "time",
        "__name__",
        "ä",
        "1",
        "service.name",
    ];
    proptest::sample::select(names.to_vec()).prop_map(str::to_owned)
}

fn list<T: std::fmt::Debug>(item: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    proptest::collection::vec(item, 0..3)
}

fn any_value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        5 => name().prop_map(|text| Some(any::Value::String(text))),
        1 => any::<bool>().prop_map(|flag| Some(any::Value::Bool(flag))),
        1 => any::<i64>().prop_map(|number| Some(any::Value::Int(number))),
        1 => value().prop_map(|number| Some(any::Value::Double(number))),
        1 => list(any::<u8>()).prop_map(|bytes| Some(any::Value::Bytes(bytes))),
        1 => Just(None),
    ];
    let leaf = leaf.prop_map(|value| AnyValue { value });
    leaf.prop_recursive(2, 6, 2, |inner| {
        let pair = (name(), inner.clone());
        let pair = pair.prop_map(|(key, value)| KeyValue { key, value: Some(value) });
        prop_oneof![
            list(inner).prop_map(|values| any::Value::Array(ArrayValue { values })),
            list(pair).prop_map(|values| any::Value::List(KeyValueList { values })),
        ]
        .prop_map(|value| AnyValue { value: Some(value) })
    })
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let pair = (name(), proptest::option::of(any_value()));
    list(pair.prop_map(|(key, value)| KeyValue { key, value }))
}

fn value() -> impl Strategy<Value = f64> {
    // One NaN, since JSON has no other.
    let usual = any::<f64>().prop_filter("a number", |value| !value.is_nan());
    prop_oneof![4 => usual, 1 => Just(f64::NAN), 1 => Just(0.0)]
}

fn stamp() -> impl Strategy<Value = u64> {
    prop_oneof![1 => 0..9_u64, 8 => 1_700_000_000_000_000_000..1_700_000_000_000_000_009_u64, 1 => any::<u64>()]
}

fn exemplars() -> impl Strategy<Value = Vec<Exemplar>> {
    let held = prop_oneof![
        Just(None),
        value().prop_map(|value| Some(exemplar::Value::Double(value))),
        any::<i64>().prop_map(|value| Some(exemplar::Value::Int(value))),
    ];
    let ids = (list(any::<u8>()), list(any::<u8>()));
    list((attributes(), stamp(), held, ids).prop_map(|(filtered_attributes, time, value, ids)| {
        Exemplar {
            filtered_attributes,
            time_unix_nano: time,
            value,
            span_id: ids.0,
            trace_id: ids.1,
        }
    }))
}

fn number_points() -> impl Strategy<Value = Vec<NumberPoint>> {
    let held = prop_oneof![
        1 => Just(None),
        4 => value().prop_map(|value| Some(number::Value::Double(value))),
        2 => any::<i64>().prop_map(|value| Some(number::Value::Int(value))),
    ];
    let point = (attributes(), stamp(), stamp(), held, exemplars(), 0..4_u32);
    list(point.prop_map(|(attributes, start, time, value, exemplars, flags)| NumberPoint {
        attributes,
        start_time_unix_nano: start,
        time_unix_nano: time,
        value,
        exemplars,
        flags: flags.saturating_sub(2),
    }))
}

fn histogram_points() -> impl Strategy<Value = Vec<HistogramPoint>> {
    let bounds = prop_oneof![
        4 => (0..4_usize).prop_map(|count| vec![0.5, 1.0, 7.0, 1e6][..count].to_vec()),
        1 => list(value()),
    ];
    let lists = (bounds, proptest::collection::vec(0..9_u64, 5), 0..5_usize);
    let sums = (proptest::option::of(value()), proptest::option::of(value()));
    let point = (attributes(), stamp(), any::<u64>(), sums, lists, exemplars(), 0..4_u32);
    list(point.prop_map(|(attributes, time, count, (sum, min), lists, exemplars, flags)| {
        let (explicit_bounds, mut bucket_counts, spread) = lists;
        // Most have the counts that they should have.
        bucket_counts.truncate(explicit_bounds.len() + usize::from(spread > 0));
        HistogramPoint {
            attributes,
            time_unix_nano: time,
            count,
            sum,
            min,
            max: min,
            bucket_counts,
            explicit_bounds,
            exemplars,
            flags: flags.saturating_sub(2),
            ..HistogramPoint::default()
        }
    }))
}

fn exponential_points() -> impl Strategy<Value = Vec<ExponentialPoint>> {
    let side = || {
        let offset = prop_oneof![8 => -9..9_i32, 1 => any::<i32>()];
        let counts = proptest::collection::vec(prop_oneof![0..4_u64, any::<u64>()], 0..6);
        let side = (offset, counts);
        proptest::option::of(
            side.prop_map(|(offset, bucket_counts)| Buckets { offset, bucket_counts }),
        )
    };
    let scale = prop_oneof![8 => -3..9_i32, 1 => any::<i32>()];
    let zero = (0..3_u64, prop_oneof![4 => Just(0.0), 1 => value()]);
    let point = (
        attributes(),
        stamp(),
        (any::<u64>(), proptest::option::of(value())),
        scale,
        zero,
        (side(), side()),
        0..4_u32,
    );
    list(point.prop_map(|(attributes, time, (count, sum), scale, zero, sides, flags)| {
        ExponentialPoint {
            attributes,
            time_unix_nano: time,
            count,
            sum,
            scale,
            zero_count: zero.0,
            zero_threshold: zero.1,
            positive: sides.0,
            negative: sides.1,
            flags: flags.saturating_sub(2),
            ..ExponentialPoint::default()
        }
    }))
}

fn summary_points() -> impl Strategy<Value = Vec<SummaryPoint>> {
    let quantile = (value(), value()).prop_map(|(quantile, value)| Quantile { quantile, value });
    let point = (attributes(), stamp(), any::<u64>(), value(), list(quantile), 0..4_u32);
    list(point.prop_map(|(attributes, time, count, sum, quantile_values, flags)| SummaryPoint {
        attributes,
        time_unix_nano: time,
        count,
        sum,
        quantile_values,
        flags: flags.saturating_sub(2),
        ..SummaryPoint::default()
    }))
}

fn metrics() -> impl Strategy<Value = Metric> {
    let temporality = || prop_oneof![4 => Just(2), 2 => Just(1), 1 => Just(0), 1 => Just(9)];
    let data = prop_oneof![
        number_points().prop_map(|data_points| Data::Gauge(Gauge { data_points })),
        (number_points(), temporality(), any::<bool>()).prop_map(
            |(data_points, t, is_monotonic)| {
                Data::Sum(Sum { data_points, aggregation_temporality: t, is_monotonic })
            }
        ),
        (histogram_points(), temporality()).prop_map(|(data_points, t)| {
            Data::Histogram(Histogram { data_points, aggregation_temporality: t })
        }),
        (exponential_points(), temporality()).prop_map(|(data_points, t)| {
            Data::Exponential(Exponential { data_points, aggregation_temporality: t })
        }),
        summary_points().prop_map(|data_points| Data::Summary(Summary { data_points })),
    ];
    let unit = proptest::sample::select(vec!["", "s", "By", "1", "m/s", "{x}"]);
    (name(), name(), unit, proptest::option::weighted(0.9, data)).prop_map(
        |(name, description, unit, data)| Metric { name, description, unit: unit.to_owned(), data },
    )
}

pub(super) fn request() -> impl Strategy<Value = Request> {
    let scope = (name(), attributes());
    let scope =
        scope.prop_map(|(name, attributes)| Scope { name, version: String::new(), attributes });
    let scopes = (proptest::option::of(scope), list(metrics()), name())
        .prop_map(|(scope, metrics, schema_url)| ScopeMetrics { scope, metrics, schema_url });
    let resource = (attributes(), any::<bool>()).prop_map(|(mut attributes, is_named)| {
        if is_named {
            attributes.push(text("service.name", "s"));
        }
        Resource { attributes }
    });
    let resource_metrics = (proptest::option::of(resource), list(scopes), name()).prop_map(
        |(resource, scope_metrics, schema_url)| ResourceMetrics {
            resource,
            scope_metrics,
            schema_url,
        },
    );
    list(resource_metrics).prop_map(|resource_metrics| Request { resource_metrics })
}
