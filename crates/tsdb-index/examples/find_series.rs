//! The index alone: names of series to numbers, conditions on tags to series, ranges of time to files.

use std::sync::Arc;

use tsdb_core::hash::HashKey;
use tsdb_core::matcher::{MatchOp, TagFilter};
use tsdb_core::{CancelToken, NamespaceId, SeriesKey, TagCharset, TimeRange};
use tsdb_index::{Registry, TimeIndex};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let namespace = NamespaceId(1);
    let registry = Registry::new(HashKey(*b"a secret of mine"), 1_000_000);
    let mut keys = Vec::new();
    for host in 0..1000 {
        let (host, region) = (format!("web-{host}"), if host % 4 == 0 { "eu" } else { "us" });
        let mut tags = [("host", host.as_str()), ("region", region)];
        keys.push(SeriesKey::new("cpu", &mut tags, TagCharset::Ascii)?);
    }
    let numbers = registry.resolve(namespace, &keys);
    assert!(numbers.iter().all(Result::is_ok));

    // region = 'eu' AND host =~ /^web-1.$/
    let filter = TagFilter::and([
        TagFilter::tag("region", MatchOp::Eq, "eu"),
        TagFilter::tag("host", MatchOp::Re, "^web-1.$"),
    ]);
    let measurements = [Arc::from("cpu")];
    let found =
        registry.head(namespace).matching(Some(&measurements), &filter, &CancelToken::new())?;
    for number in &found {
        if let Some((_, key)) = registry.table().key(*number) {
            println!("{}", key.as_str());
        }
    }
    assert_eq!(found.len(), 2, "web-12 and web-16");

    let mut files = TimeIndex::default();
    for day in 0..365 {
        files.insert(day * 86_400, day * 86_400 + 86_399, day);
    }
    let wanted = files.overlapping(TimeRange::new(10 * 86_400 + 5, 12 * 86_400));
    println!("files of days {wanted:?}");
    assert_eq!(wanted, [10, 11]);
    Ok(())
}
