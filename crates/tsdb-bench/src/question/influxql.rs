//! Questions in InfluxQL, in the words of TSBS.

use super::{Question, Wanted};
use crate::clock::rfc3339;
use crate::dataset::SECOND_NS;

/// The query.
pub fn text(question: &Question) -> String {
    let mut text = format!("SELECT {} FROM cpu", columns(question));
    let conditions = conditions(question);
    if !conditions.is_empty() {
        text.push_str(&format!(" WHERE {}", conditions.join(" AND ")));
    }
    let window = question.window_s.map(|seconds| match seconds % 3600 {
        0 => format!("time({}h)", seconds / 3600),
        _ => format!("time({}m)", seconds / 60),
    });
    let host =
        (question.by_host || question.wanted == Wanted::Newest).then(|| "hostname".to_owned());
    let groups: Vec<String> = window.into_iter().chain(host).collect();
    if !groups.is_empty() {
        text.push_str(&format!(" GROUP BY {}", groups.join(",")));
    }
    match (question.wanted, question.limit) {
        (Wanted::Newest, _) => text.push_str(" ORDER BY time DESC LIMIT 1"),
        (_, Some(limit)) => text.push_str(&format!(" LIMIT {limit}")),
        (_, None) => {}
    }
    text
}

fn columns(question: &Question) -> String {
    let Wanted::Aggregates(function, _) = question.wanted else { return "*".to_owned() };
    let call = |field: &&str| format!("{}({field})", function.name());
    question.fields().iter().map(call).collect::<Vec<_>>().join(", ")
}

fn conditions(question: &Question) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(hosts) = &question.hosts {
        let equal = |host: &u32| format!("hostname = 'host_{host}'");
        all.push(format!("({})", hosts.iter().map(equal).collect::<Vec<_>>().join(" OR ")));
    }
    let time = |seconds: i64| rfc3339(seconds * SECOND_NS);
    all.extend(question.start_s.map(|start| format!("time >= '{}'", time(start))));
    all.extend(question.end_s.map(|end| format!("time < '{}'", time(end))));
    all.extend(question.above.map(|bound| format!("usage_user > {bound:.1}")));
    all
}
