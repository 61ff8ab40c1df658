//! The header of CSV: which column means what. A role is given by a parameter, by what stands behind a
//! colon in the header, or by the name; in this order.

use tsdb_core::limits as core_limits;

use crate::format::ParseOptions;
use crate::report::{HeaderFault, shown};
use crate::{Precision, limits};

/// What the cells of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Tag,
    Field,
    Time(TimeForm),
    Measurement,
    Ignore,
}

/// How a column writes its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeForm {
    /// Integers in the unit of the request, or dates.
    Any,
    /// Integers in a unit of their own.
    Unit(Precision),
    /// Dates as RFC 3339 writes them.
    Date,
}

/// One column.
#[derive(Debug, PartialEq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) role: Role,
}

/// All columns, and what the parameters say beside them.
#[derive(Debug, PartialEq)]
pub(super) struct Header<'a> {
    pub(super) columns: Vec<Column>,
    /// Place of the column of measurements.
    pub(super) measurement_place: Option<usize>,
    /// Measurement of rows that name none.
    pub(super) measurement: &'a str,
}

/// A column while its role is looked for.
struct Draft<'c> {
    name: &'c str,
    role: Option<Role>,
}

impl Draft<'_> {
    fn is_time(&self) -> bool {
        matches!(self.role, Some(Role::Time(_)))
    }

    fn is_measurement(&self) -> bool {
        self.role == Some(Role::Measurement)
    }
}

impl<'a> Header<'a> {
    /// Reads the cells of a header, which have been trimmed.
    ///
    /// # Errors
    /// A header with which no row could be stored.
    pub(super) fn new(
        cells: &[&str],
        options: &ParseOptions<'a>,
    ) -> Result<Header<'a>, HeaderFault> {
        if cells.len() > limits::COLUMNS_MAX {
            return Err(HeaderFault::TooManyColumns);
        }
        let named = Named::new(options);
        let mut drafts = Vec::with_capacity(cells.len());
        for (column, cell) in (1..).zip(cells) {
            let draft = named.draft(cell)?;
            if draft.name.is_empty() {
                return Err(HeaderFault::Unnamed { column });
            }
            check_length(draft.name)?;
            drafts.push(draft);
        }
        named.check_existence(&drafts)?;
        fill_defaults(&mut drafts, !named.fields.is_empty());
        check_names(&drafts)?;
        let columns: Vec<Column> = drafts
            .iter()
            .map(|draft| Column {
                name: draft.name.to_owned(),
                role: draft.role.unwrap_or(Role::Ignore),
            })
            .collect();
        let place_of = |wanted: Role| columns.iter().position(|column| column.role == wanted);
        let measurement_place = place_of(Role::Measurement);
        if place_of(Role::Field).is_none() {
            return Err(HeaderFault::NoField);
        }
        let measurement = options.parameter("measurement").unwrap_or_default();
        check_length(measurement)?;
        if measurement_place.is_none() && measurement.is_empty() {
            return Err(HeaderFault::NoMeasurement);
        }
        Ok(Header { columns, measurement_place, measurement })
    }
}

impl Header<'_> {
    /// The column of measurements, with its place.
    pub(super) fn measurement_column(&self) -> Option<(usize, &Column)> {
        let place = self.measurement_place?;
        Some((place, self.columns.get(place)?))
    }
}

/// Columns that the parameters name.
struct Named<'a> {
    tags: Vec<&'a str>,
    fields: Vec<&'a str>,
    time: Option<&'a str>,
}

impl<'a> Named<'a> {
    fn new(options: &ParseOptions<'a>) -> Named<'a> {
        let list = |name: &str| {
            let text = options.parameter(name).unwrap_or_default();
            text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect()
        };
        Named { tags: list("tags"), fields: list("fields"), time: options.parameter("time") }
    }

    fn role(&self, name: &str) -> Option<Role> {
        if self.time == Some(name) {
            Some(Role::Time(TimeForm::Any))
        } else if self.tags.contains(&name) {
            Some(Role::Tag)
        } else if self.fields.contains(&name) {
            Some(Role::Field)
        } else {
            None
        }
    }

    /// The name in a cell, and the role that was given to it.
    fn draft<'c>(&self, cell: &'c str) -> Result<Draft<'c>, HeaderFault> {
        // A name that holds a colon can be named by a parameter as it is.
        if let Some(role) = self.role(cell) {
            return Ok(Draft { name: cell, role: Some(role) });
        }
        let Some((name, text)) = cell.rsplit_once(':') else {
            return Ok(Draft { name: cell, role: None });
        };
        let (name, text) = (name.trim_end(), text.trim_start());
        let Some(role) = role_of(text) else {
            let (name, role) = (shown(name), shown(text));
            return Err(HeaderFault::UnknownRole { name, role });
        };
        let role = match (self.role(name), role) {
            // The unit that the header gives is the closer word.
            (Some(Role::Time(_)), Role::Time(form)) => Role::Time(form),
            (Some(named), _) => named,
            (None, role) => role,
        };
        Ok(Draft { name, role: Some(role) })
    }

    fn check_existence(&self, drafts: &[Draft<'_>]) -> Result<(), HeaderFault> {
        let lists = [("tags", &self.tags), ("fields", &self.fields)];
        let all = lists
            .into_iter()
            .flat_map(|(parameter, names)| names.iter().map(move |name| (parameter, *name)));
        for (parameter, name) in all.chain(self.time.map(|name| ("time", name))) {
            if !drafts.iter().any(|draft| draft.name == name) {
                return Err(HeaderFault::NoSuchColumn { parameter, name: shown(name) });
            }
        }
        Ok(())
    }
}

/// The role that an annotation gives.
fn role_of(text: &str) -> Option<Role> {
    Some(match text {
        "tag" => Role::Tag,
        "field" => Role::Field,
        "time" => Role::Time(TimeForm::Any),
        "measurement" => Role::Measurement,
        "ignore" => Role::Ignore,
        "rfc3339" => Role::Time(TimeForm::Date),
        "ns" | "us" | "ms" | "s" | "m" | "h" => Role::Time(TimeForm::Unit(text.parse().ok()?)),
        _ => return None,
    })
}

/// Gives the columns without a role the one of their name, and all others that of a field, unless the
/// fields are named.
fn fill_defaults(drafts: &mut [Draft<'_>], are_fields_named: bool) {
    let rest = if are_fields_named { Role::Ignore } else { Role::Field };
    let has_time = drafts.iter().any(Draft::is_time);
    let has_measurement = drafts.iter().any(Draft::is_measurement);
    for draft in drafts.iter_mut().filter(|draft| draft.role.is_none()) {
        draft.role = Some(match draft.name {
            "time" | "timestamp" if !has_time => Role::Time(TimeForm::Any),
            "measurement" if !has_measurement => Role::Measurement,
            _ => rest,
        });
    }
}

/// Refuses names that are too long. Rows repeat them, and their work must stay in proportion to the table.
fn check_length(name: &str) -> Result<(), HeaderFault> {
    if name.len() <= core_limits::NAME_BYTES_MAX {
        return Ok(());
    }
    Err(HeaderFault::LongName { name: shown(name), bytes: name.len() })
}

/// Refuses names and single roles that stand there twice.
fn check_names(drafts: &[Draft<'_>]) -> Result<(), HeaderFault> {
    let second = |name: &str, role| HeaderFault::Second { name: shown(name), role };
    if let Some(draft) = drafts.iter().filter(|draft| draft.is_time()).nth(1) {
        return Err(second(draft.name, "time"));
    }
    if let Some(draft) = drafts.iter().filter(|draft| draft.is_measurement()).nth(1) {
        return Err(second(draft.name, "measurement"));
    }
    let mut names: Vec<&str> = drafts.iter().map(|draft| draft.name).collect();
    names.sort_unstable();
    for (name, next) in names.iter().zip(names.iter().skip(1)) {
        if name == next {
            return Err(HeaderFault::Duplicate { name: shown(name) });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header, the parameters, and what [`read`] shows.
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

    const M: (&str, &str) = ("measurement", "m");

    /// The columns as `name role` with the measurement behind, or the text of the fault.
    fn read(header: &str, parameters: &[(&str, &str)]) -> String {
        let cells: Vec<&str> = header.split(',').map(str::trim).collect();
        let options = ParseOptions { parameters, ..ParseOptions::new(Precision::Nanoseconds, 0) };
        match Header::new(&cells, &options) {
            Err(fault) => format!("!{fault}"),
            Ok(header) => {
                let shown = |column: &Column| {
                    let role = match column.role {
                        Role::Tag => "tag".to_owned(),
                        Role::Field => "field".to_owned(),
                        Role::Time(TimeForm::Any) => "time".to_owned(),
                        Role::Time(TimeForm::Date) => "date".to_owned(),
                        Role::Time(TimeForm::Unit(unit)) => format!("time/{}", unit.ns()),
                        Role::Measurement => "measurement".to_owned(),
                        Role::Ignore => "ignore".to_owned(),
                    };
                    format!("{} {role}", column.name)
                };
                let columns: Vec<String> = header.columns.iter().map(shown).collect();
                format!("{} {:?}", columns.join(", "), header.measurement)
            }
        }
    }

    #[test]
    fn roles_come_from_names_annotations_and_parameters() {
        let cases: &[Case<'_>] = &[
            // By name.
            ("measurement,time,a", &[], "measurement measurement, time time, a field \"\""),
            ("timestamp,a", &[M], "timestamp time, a field \"m\""),
            ("a", &[M], "a field \"m\""),
            ("measurement,a", &[M], "measurement measurement, a field \"m\""),
            // By annotation.
            ("host:tag,a:field,t:ms", &[M], "host tag, a field, t time/1000000 \"m\""),
            ("n:measurement,a,t:rfc3339", &[], "n measurement, a field, t date \"\""),
            ("time:m,a:field,x:ignore", &[M], "time time/60000000000, a field, x ignore \"m\""),
            ("job:rate:field,a : tag", &[M], "job:rate field, a tag \"m\""),
            // What has a role of its own leaves the name free.
            ("time,t:ns,a", &[M], "time field, t time/1, a field \"m\""),
            ("measurement,n:measurement", &[], "measurement field, n measurement \"\""),
            // By parameter.
            ("host,dc,a", &[M, ("tags", "host, dc")], "host tag, dc tag, a field \"m\""),
            ("h,a,b", &[M, ("tags", "h"), ("fields", "a")], "h tag, a field, b ignore \"m\""),
            ("ts,a", &[M, ("time", "ts")], "ts time, a field \"m\""),
            ("ts:ms,a", &[M, ("time", "ts")], "ts time/1000000, a field \"m\""),
            ("time,ts,a", &[M, ("time", "ts")], "time field, ts time, a field \"m\""),
            ("job:rate,a:field", &[M, ("tags", "job:rate")], "job:rate tag, a field \"m\""),
            ("host:field,a", &[M, ("tags", "host")], "host tag, a field \"m\""),
            ("a", &[M, ("tags", ""), ("fields", " , ")], "a field \"m\""),
        ];
        for (header, parameters, expected) in cases {
            assert_eq!(read(header, parameters), *expected, "{header} {parameters:?}");
        }
    }

    #[test]
    fn headers_that_are_refused() {
        let long_name = "n".repeat(257);
        let cases: &[Case<'_>] = &[
            ("a,,b", &[M], "column 2 has no name"),
            (":tag,b", &[M], "column 1 has no name"),
            ("a,b,a", &[M], "column \"a\" stands there twice"),
            ("a:field,a:tag", &[M], "column \"a\" stands there twice"),
            ("a:tga,b", &[M], "column \"a\" has the unknown role \"tga\": use tag, field"),
            ("job:rate,b", &[M], "unknown role \"rate\""),
            ("a", &[M, ("tags", "host")], "parameter tags=host: there is no such column"),
            ("a", &[M, ("fields", "a,b")], "parameter fields=b: there is no such column"),
            ("a", &[M, ("time", "t")], "parameter time=t: there is no such column"),
            ("t:ms,time:s,a", &[M], "column \"time\" is a second one of role time"),
            ("a:measurement,b:measurement,c", &[], "column \"b\" is a second one of role mea"),
            ("host:tag,time", &[M], "no column holds a field"),
            ("a,b", &[], "no measurement"),
            (&long_name, &[M], "has 257 bytes, the limit for names is 256: shorten it"),
            ("a", &[("measurement", &long_name)], "has 257 bytes"),
        ];
        for (header, parameters, part) in cases {
            let shown = read(header, parameters);
            assert!(shown.starts_with('!') && shown.contains(part), "{header}: {shown}");
        }
        let wide: Vec<String> = (0..=limits::COLUMNS_MAX).map(|i| format!("c{i}")).collect();
        assert!(read(&wide.join(","), &[M]).contains("more than 4096 columns"));
        assert!(!read(&wide[1..].join(","), &[M]).starts_with('!'));
    }
}
