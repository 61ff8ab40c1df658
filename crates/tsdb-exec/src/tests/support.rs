//! What the tests share: rows as text into a store, answers as text out of it, and files of questions with
//! their expected answers.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::{Executor, QueryContext, QueryLimits, Series, StatementResult, Values};
use tsdb_core::catalogue::PolicySpec;
use tsdb_core::{
    Append, CatalogueChange, Error as CoreError, FieldSet, MemoryStore, SeriesKey, Storage,
    TagCharset, WriteBatch,
};

/// The database of the tests.
pub(super) const DATABASE: &str = "d";

/// The time that `now()` is.
pub(super) const NOW_NS: i64 = 1_000;

/// One row: series, fields, timestamp.
pub(super) type Row = (SeriesKey, Vec<(String, f64)>, i64);

/// An empty store with [`DATABASE`] in it.
pub(super) fn empty_store() -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::new());
    let (name, policy) = (DATABASE.into(), PolicySpec::default());
    store
        .change_catalogue(&CatalogueChange::CreateDatabase { name, policy })
        .unwrap()
        .wait()
        .unwrap();
    store
}

/// Reads `m,host=a,dc=x f=1,g=10 50`: no escapes, no quotes.
pub(super) fn row(line: &str) -> Row {
    let parts: Vec<&str> = line.split(' ').collect();
    let [series, fields, time] = parts.as_slice() else { panic!("{line}") };
    let mut names = series.split(',');
    let measurement = names.next().unwrap();
    let mut tags: Vec<(&str, &str)> = names.map(|tag| tag.split_once('=').unwrap()).collect();
    let key = SeriesKey::new(measurement, &mut tags, TagCharset::Utf8).unwrap();
    let field = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap();
        (name.to_owned(), value.parse().unwrap())
    };
    (key, fields.split(',').map(field).collect(), time.parse().unwrap())
}

/// Writes `rows` to the default policy of `database`, as one batch.
pub(super) fn load(store: &dyn Append, database: &str, policy: Option<&str>, rows: &[Row]) {
    let namespace = store.catalogue().namespace(database, policy).unwrap().id;
    let keys: Vec<SeriesKey> = rows.iter().map(|(key, _, _)| key.clone()).collect();
    let names = |row: &Row| FieldSet::new(row.1.iter().map(|(name, _)| name.as_str())).unwrap();
    let sets: Vec<FieldSet> = rows.iter().map(names).collect();
    let resolution = store.resolve(namespace, &keys, &sets).unwrap();
    let mut batch = WriteBatch::new(namespace, resolution.epoch);
    for (index, (_, fields, time)) in rows.iter().enumerate() {
        let mut fields = fields.clone();
        fields.sort_by(|a, b| a.0.cmp(&b.0));
        let values: Vec<f64> = fields.iter().map(|(_, value)| *value).collect();
        let series = *resolution.series[index].as_ref().unwrap();
        let set = *resolution.field_sets[index].as_ref().unwrap();
        batch.push(series, *time, set, &values).unwrap();
    }
    store.append(&batch).unwrap().wait().unwrap();
}

/// A store with the rows of `text`, one per line.
pub(crate) fn store_of(text: &str) -> Arc<MemoryStore> {
    let store = empty_store();
    let rows: Vec<Row> = text.lines().map(str::trim).filter(|l| !l.is_empty()).map(row).collect();
    load(&*store, DATABASE, None, &rows);
    store
}

/// The context of a request for [`DATABASE`] at [`NOW_NS`].
pub(crate) fn context() -> QueryContext<'static> {
    QueryContext { database: Some(DATABASE), ..QueryContext::new(NOW_NS) }
}

/// The answer to `query` as text: per table a line `# name,tag=value`, a line of column names and a line
/// per row; `-` is null. An error is the line `error: …`.
pub(crate) fn answer_with(
    store: Arc<dyn Storage>,
    query: &str,
    context: &QueryContext<'_>,
    limits: QueryLimits,
) -> String {
    let mut text = String::new();
    let statements = match tsdb_ql::parse(query) {
        Ok(statements) => statements,
        Err(errors) => {
            let first = errors.to_string();
            return format!("error: {}\n", first.lines().next().unwrap_or_default());
        }
    };
    let executor = Executor::new(store, limits);
    for statement in &statements {
        match executor.execute(statement, context) {
            Ok(result) => {
                for message in &result.messages {
                    writeln!(text, "{}: {}", message.level, message.text).unwrap();
                }
                result.series.iter().for_each(|series| table(series, &mut text));
            }
            Err(error) => {
                let error = error.to_string();
                writeln!(text, "error: {}", error.lines().next().unwrap_or_default()).unwrap();
            }
        }
    }
    text
}

/// As [`answer_with`], put together from the slices that it is handed out in.
pub(super) fn answer_in_slices(
    store: Arc<dyn Storage>,
    query: &str,
    context: &QueryContext<'_>,
    limits: QueryLimits,
) -> String {
    let executor = Executor::new(store, limits);
    let mut text = String::new();
    for statement in tsdb_ql::parse(query).unwrap() {
        let (mut of_statement, mut heads) = (String::new(), Vec::new());
        let result = executor.execute_in_slices(&statement, context, 3, &mut |slice| {
            let mut rows = String::new();
            table(slice.table, &mut rows);
            let head_end = rows.match_indices('\n').nth(1).unwrap().0 + 1;
            if slice.continues {
                assert_eq!(heads.last().unwrap(), &rows[..head_end]);
                rows.replace_range(..head_end, "");
            } else {
                heads.push(rows[..head_end].to_owned());
            }
            of_statement.push_str(&rows);
            Ok(())
        });
        match result {
            Ok(result) => {
                for message in &result.messages {
                    writeln!(text, "{}: {}", message.level, message.text).unwrap();
                }
                result.series.iter().for_each(|series| table(series, &mut of_statement));
                text.push_str(&of_statement);
            }
            Err(error) => {
                let error = error.to_string();
                writeln!(text, "error: {}", error.lines().next().unwrap_or_default()).unwrap();
            }
        }
    }
    text
}

/// Whether a query can be asked twice.
fn is_read_only(query: &str) -> bool {
    let statements = tsdb_ql::parse(query);
    statements.is_ok_and(|all| all.iter().all(tsdb_ql::Statement::is_read_only))
}

fn table(series: &Series, text: &mut String) {
    write!(text, "# {}", series.name.as_deref().unwrap_or("-")).unwrap();
    series.tags.iter().for_each(|(key, value)| write!(text, ",{key}={value}").unwrap());
    let names = series.times.iter().map(|_| "time").chain(series.columns.iter().map(|c| &*c.name));
    writeln!(text, "\n{}", names.collect::<Vec<_>>().join(" ")).unwrap();
    for row in 0..series.rows() {
        let time = series.times.as_ref().map(|times| times[row].to_string());
        let cells = series.columns.iter().map(|column| cell(&column.values, row));
        writeln!(text, "{}", time.into_iter().chain(cells).collect::<Vec<_>>().join(" ")).unwrap();
    }
}

fn cell(values: &Values, row: usize) -> String {
    let shown = match values {
        Values::Floats(values, valid) => valid.get(row).then(|| values[row].to_string()),
        Values::Integers(values, valid) => valid.get(row).then(|| values[row].to_string()),
        Values::Booleans(values) => Some(values[row].to_string()),
        Values::Strings(values) => values.get(row).map(ToString::to_string),
    };
    shown.unwrap_or_else(|| "-".to_owned())
}

/// Asks all questions of a file (`> question`, then the lines of its answer, a blank line, and anything
/// behind `//`) in order, and compares the answers, whose last digit may differ.
pub(super) fn check_file(store: &Arc<MemoryStore>, file: &str, context: &QueryContext<'_>) {
    check_file_within(4e-16, store, file, context);
}

/// As [`check_file`], with numbers that may differ by the part `tolerance` of them.
pub(super) fn check_file_within(
    tolerance: f64,
    store: &Arc<MemoryStore>,
    file: &str,
    context: &QueryContext<'_>,
) {
    let mut wrong = String::new();
    let mut questions = 0;
    let lines: Vec<&str> = file.lines().filter(|line| !line.starts_with("//")).collect();
    let text = format!("\n{}", lines.join("\n"));
    for block in text.split("\n> ").filter(|block| !block.trim().is_empty()) {
        let (question, expected) = block.split_once('\n').unwrap_or((block, ""));
        let got = answer_with(Arc::clone(store) as _, question, context, QueryLimits::default());
        if is_read_only(question) && !question.contains("EXPLAIN") {
            let limits = QueryLimits::default();
            let sliced = answer_in_slices(Arc::clone(store) as _, question, context, limits);
            assert_eq!(sliced, got, "{question}: in slices");
        }
        questions += 1;
        if !same(got.trim(), expected.trim(), tolerance) {
            writeln!(wrong, "> {question}\nexpected:\n{}\ngot:\n{got}", expected.trim()).unwrap();
        }
    }
    assert!(questions > 0, "the file asks nothing");
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Whether two answers are the same but for the last digits of their numbers. NaN is null to clients.
fn same(got: &str, expected: &str, tolerance: f64) -> bool {
    let got = got.replace(" NaN", " -");
    let number = |word: &str| word.parse::<f64>().ok().filter(|_| word.contains('.'));
    let word = |(a, b): (&str, &str)| match (number(a), number(b)) {
        (Some(a), Some(b)) => (a - b).abs() <= tolerance * a.abs(),
        _ => a == b,
    };
    let lines = got.lines().zip(expected.lines());
    got.lines().count() == expected.lines().count()
        && lines.into_iter().all(|(a, b)| {
            a.split(' ').count() == b.split(' ').count() && a.split(' ').zip(b.split(' ')).all(word)
        })
}

/// The message of a storage error in the answer, if that is what it is.
pub(super) fn storage_error(result: &crate::Result<StatementResult>) -> Option<&CoreError> {
    match result {
        Err(crate::Error::Storage(error)) => Some(error),
        _ => None,
    }
}
