//! Labels of a series: what key they make, and how they are shown.

use tsdb_core::{NAME_TAG, SeriesKey};

use crate::report::excerpt;
use crate::{Reason, Validation, limits};

/// Labels as names and values, in the order of the request.
pub(in crate::format) type Pairs<'a> = Vec<(&'a str, &'a str)>;

/// The key of a series: its metric is the measurement, all other labels that are not empty are tags. The order
/// does not matter. Sorts `labels`.
///
/// # Errors
/// No metric, a label without a name or twice, what [`Validation::series_key`] refuses.
pub(in crate::format) fn series_key(
    labels: &mut Pairs<'_>,
    validation: &Validation,
) -> Result<SeriesKey, Reason> {
    labels.sort_unstable();
    if labels.first().is_some_and(|(name, _)| name.is_empty()) {
        return Err(Reason::EmptyLabelName);
    }
    let twice = labels.windows(2).find_map(|pair| match pair {
        [(one, _), (other, _)] if one == other => Some((*one).to_owned()),
        _ => None,
    });
    if let Some(key) = twice {
        return Err(Reason::DuplicateTags { key });
    }
    // A label without a value is no label.
    labels.retain(|(_, value)| !value.is_empty());
    let metric = labels.iter().position(|(name, _)| *name == NAME_TAG);
    let Some(metric) = metric else { return Err(Reason::MissingMetricName) };
    let (_, metric) = labels.remove(metric);
    validation.series_key(metric, labels)
}

/// A reason for more labels than a series can have, empty ones among them.
pub(in crate::format) fn too_many(count: u64) -> Reason {
    Reason::Limit(tsdb_core::Error::TooMany {
        what: "labels",
        count,
        count_max: limits::LABELS_MAX as u64,
        remedy: "drop labels that no query needs",
    })
}

/// A series as Prometheus writes it: `up{job="x"}`, cut where it gets long.
pub(in crate::format) fn shown(labels: &[(&str, &str)]) -> String {
    let metric = labels.iter().find(|(name, _)| *name == NAME_TAG).map_or("", |(_, value)| value);
    let mut text = String::new();
    let mut put = |part: &str| {
        let left = limits::ERROR_TEXT_BYTES_MAX.saturating_add(1).saturating_sub(text.len());
        let cut = part.char_indices().map(|(at, c)| at + c.len_utf8()).find(|end| *end >= left);
        text.push_str(part.get(..cut.unwrap_or(part.len())).unwrap_or_default());
    };
    put(metric);
    put("{");
    let others = labels.iter().filter(|(name, _)| *name != NAME_TAG);
    for (place, (name, value)) in others.enumerate() {
        put(if place > 0 { "," } else { "" });
        put(name);
        put("=\"");
        put(value);
        put("\"");
    }
    put("}");
    excerpt(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(labels: &[(&str, &str)]) -> Result<String, Reason> {
        series_key(&mut labels.to_vec(), &Validation::default()).map(|key| key.to_string())
    }

    #[test]
    fn labels_make_a_key() {
        let expected = "up,a=1,b=2";
        for labels in [
            [("__name__", "up"), ("a", "1"), ("b", "2"), ("c", "")],
            [("c", ""), ("b", "2"), ("a", "1"), ("__name__", "up")],
        ] {
            assert_eq!(key(&labels).unwrap(), expected, "{labels:?}");
        }
        assert_eq!(key(&[("__name__", "http.server:dauer_ä")]).unwrap(), "http.server:dauer_ä");
        let twice = |key: &str| Err(Reason::DuplicateTags { key: key.to_owned() });
        for (labels, refusal) in [
            (&[][..], Err(Reason::MissingMetricName)),
            (&[("job", "x")], Err(Reason::MissingMetricName)),
            (&[("__name__", "")], Err(Reason::MissingMetricName)),
            (&[("__name__", "up"), ("", "x")], Err(Reason::EmptyLabelName)),
            (&[("__name__", "up"), ("", "")], Err(Reason::EmptyLabelName)),
            (&[("a", "1"), ("__name__", "up"), ("a", "2")], twice("a")),
            (&[("a", "1"), ("__name__", "up"), ("a", "")], twice("a")),
            (&[("__name__", "up"), ("__name__", "up")], twice("__name__")),
        ] {
            assert_eq!(key(labels), refusal, "{labels:?}");
        }
        assert!(matches!(key(&[("__name__", "up"), ("__field__", "x")]), Err(Reason::Limit(_))));
        assert!(matches!(key(&[("__name__", "up"), ("time", "x")]), Err(Reason::TimeTag { .. })));
    }

    #[test]
    fn series_are_shown_as_prometheus_writes_them() {
        assert_eq!(shown(&[("a", "1"), ("__name__", "up"), ("b", "x")]), "up{a=\"1\",b=\"x\"}");
        assert_eq!(shown(&[]), "{}");
        assert_eq!(shown(&[("__name__", "a\nb")]), "a\\nb{}");
        let long = "ä".repeat(1000);
        for labels in [&[("__name__", long.as_str())][..], &[("a", &long), ("b", &long)]] {
            let text = shown(labels);
            assert!(text.len() <= limits::ERROR_TEXT_BYTES_MAX + 3, "{}", text.len());
            assert!(text.ends_with("..."), "{text}");
        }
    }
}
