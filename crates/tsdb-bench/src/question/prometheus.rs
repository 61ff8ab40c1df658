//! Questions for servers of the Prometheus family: an expression with the times at which it is evaluated.
//! Windows there end at the time they are named by, so answers are alike in work and not in values.

use std::fmt;

use super::{Function, Question, Wanted};
use crate::http::escape;

/// An expression and when it is evaluated.
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    /// The expression.
    pub text: String,
    /// First, last and step in seconds; one time alone without a step.
    pub times: (i64, i64, Option<u32>),
}

impl Range {
    /// Path with its query, below the root of Prometheus' API.
    pub fn path(&self) -> String {
        let query = escape(&self.text);
        match self.times {
            (start, end, Some(step)) => {
                format!("/api/v1/query_range?query={query}&start={start}&end={end}&step={step}")
            }
            (_, end, None) => format!("/api/v1/query?query={query}&time={end}"),
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, end, step) = self.times;
        match step {
            Some(step) => write!(f, "{} [{start}..{end} by {step}]", self.text),
            None => write!(f, "{} [{end}]", self.text),
        }
    }
}

/// The expression; `extended` may use what only MetricsQL has: functions that keep the metric's name, so
/// that one expression serves many metrics.
pub fn range(question: &Question, extended: bool) -> Range {
    let end = question.end_s.unwrap_or(question.data_end_s);
    match question.wanted {
        Wanted::Newest => {
            let text = "last_over_time({__name__=~'cpu_usage_.*'}[1d])".to_owned();
            Range { text, times: (end, end, None) }
        }
        Wanted::Rows => {
            let host = hosts(question);
            let all = ["__name__=~'cpu_usage_.*'".to_owned()].into_iter().chain(host.clone());
            let all = all.collect::<Vec<_>>().join(", ");
            let bound = question.above.unwrap_or(0.0);
            let user = selector("cpu_usage_user", host);
            let text = format!("{{{all}}} and on(hostname) {user} > {bound}");
            Range { text, times: (question.start_s.unwrap_or(end), end, Some(10)) }
        }
        Wanted::Aggregates(function, _) => aggregates(question, function, extended, end),
    }
}

fn aggregates(question: &Question, function: Function, extended: bool, end: i64) -> Range {
    let (window, times) = match (question.window_s, question.start_s) {
        // The last windows before the end: there is no "first" to ask for.
        (Some(step), None) => {
            let windows = i64::from(question.limit.unwrap_or(1));
            let last = (end - 1).div_euclid(60) * 60;
            (step, (last - (windows - 1) * i64::from(step), last, Some(step)))
        }
        (Some(step), Some(start)) => (step, (start, end, Some(step))),
        (None, start) => {
            let length = u32::try_from(end - start.unwrap_or(end)).unwrap_or(0);
            (length, (end, end, None))
        }
    };
    let duration = match (window % 3600, window % 60) {
        (0, _) => format!("{}h", window / 3600),
        (_, 0) => format!("{}m", window / 60),
        _ => format!("{window}s"),
    };
    let fields = question.fields();
    let text = if extended || fields.len() == 1 {
        expression(question, function, fields, &duration, extended)
    } else {
        let relabelled = |field: &&str| {
            let one = expression(question, function, &[field], &duration, false);
            format!("label_replace({one},\"m\",\"{field}\",\"\",\"\")")
        };
        fields.iter().map(relabelled).collect::<Vec<_>>().join(" or ")
    };
    Range { text, times }
}

fn expression(
    question: &Question,
    function: Function,
    fields: &[&str],
    duration: &str,
    keep_name: bool,
) -> String {
    let host = hosts(question);
    let series = match fields {
        [field] => selector(&format!("cpu_{field}"), host),
        _ => {
            let names = format!("__name__=~'cpu_({})'", fields.join("|"));
            let all: Vec<String> = [names].into_iter().chain(host).collect();
            format!("{{{}}}", all.join(", "))
        }
    };
    let mut labels = Vec::new();
    labels.extend(keep_name.then_some("__name__"));
    labels.extend(question.by_host.then_some("hostname"));
    let by = if labels.is_empty() { String::new() } else { format!(" by ({})", labels.join(", ")) };
    let rolled = |name: &str| format!("{name}_over_time({series}[{duration}])");
    match function {
        Function::Max => format!("max({}){by}", rolled("max")),
        Function::Mean if question.window_s.is_some() => format!("avg({}){by}", rolled("avg")),
        Function::Mean => {
            format!("sum({}){by} / sum({}){by}", rolled("sum"), rolled("count"))
        }
        Function::Stddev => format!("max({}){by}", rolled("stddev")),
        Function::Sum => match question.above {
            // The same values are looked at; a sum above a bound is newer than the Debian package.
            Some(bound) if keep_name => {
                format!("sum(count_gt_over_time({series}[{duration}], {bound})){by}")
            }
            _ => format!("sum({}){by}", rolled("sum")),
        },
    }
}

fn selector(name: &str, host: Option<String>) -> String {
    host.map_or_else(|| name.to_owned(), |host| format!("{name}{{{host}}}"))
}

fn hosts(question: &Question) -> Option<String> {
    let hosts = question.hosts.as_ref()?;
    let names: Vec<String> = hosts.iter().map(|host| format!("host_{host}")).collect();
    let operator = if names.len() == 1 { "=" } else { "=~" };
    Some(format!("hostname{operator}'{}'", names.join("|")))
}
