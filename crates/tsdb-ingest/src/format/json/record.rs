//! One record: from the tape of simd-json to rows.
//!
//! A tape is the list of all values in the order of the text; an object or array says how many members
//! follow it, and how many values they are with their own.

use simd_json::{Node, StaticNode};
use tsdb_core::limits as core_limits;

use super::super::stamp;
use super::import::{NAME_LABEL, Shape};
use crate::format::ParseOptions;
use crate::report::{Origin, shown};
use crate::rows::Refusal;
use crate::{Reason, RowBuilder, Rows, limits};

/// Key of a record with one field, and the name of that field.
const VALUE: &str = "value";

/// A mistake in a record, and where it is: an offset in the record.
#[derive(Debug, PartialEq)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) reason: Reason,
}

/// What ends a record early.
#[derive(Debug)]
pub(super) enum Stop {
    /// A mistake: the record is refused.
    Record(Fault),
    /// No memory for the request.
    Request(tsdb_core::Error),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Stop {
        Stop::Record(fault)
    }
}

/// What an array of a columnar record holds.
const SINGLE_VALUES: &str = "single values in an array";

/// A record that was parsed.
pub(super) struct Record<'t, 'i> {
    /// The request that it stands in.
    pub(super) input: &'t [u8],
    pub(super) origin: Origin,
    pub(super) nodes: &'t [Node<'i>],
    /// Address of the copy of the record that the texts of the tape lie in.
    pub(super) base: usize,
    pub(super) options: &'t ParseOptions<'t>,
}

/// Where the parts of a record stand on its tape.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) shape: Shape,
    pub(super) measurement: Option<usize>,
    pub(super) tags: Option<usize>,
    pub(super) fields: Option<usize>,
    pub(super) value: Option<usize>,
    pub(super) time: Option<usize>,
}

/// A column of a columnar record: its name, and the place of its first value.
type Column<'i> = (&'i str, usize);

impl<'i> Record<'_, 'i> {
    /// Appends the rows of the record. Rows that are refused by themselves are noted in `rows`.
    pub(super) fn read(&self, rows: &mut Rows) -> Result<(), Stop> {
        let parts = self.parts()?;
        let Some(Node::String(measurement)) = parts.measurement.and_then(|at| self.node(at)) else {
            return Err(self.no_measurement(&parts).into());
        };
        match parts.time.map(|at| (at, self.node(at))) {
            Some((at, Some(Node::Array { len, .. }))) => {
                self.read_columns(rows, measurement, &parts, at + 1, len)
            }
            _ => self.read_row(rows, measurement, &parts),
        }
    }

    pub(super) fn node(&self, at: usize) -> Option<Node<'i>> {
        self.nodes.get(at).copied()
    }

    /// Where `text` stands in the record, its opening quote.
    pub(super) fn place_of(&self, text: &str) -> usize {
        let offset = text.as_ptr().addr().checked_sub(self.base + 1);
        offset.filter(|offset| *offset < self.origin.end - self.origin.start).unwrap_or(0)
    }

    /// The keys of the record, each at most once.
    fn parts(&self) -> Result<Parts, Fault> {
        let mut parts = Parts::default();
        for (name, at) in self.members(0, "the record")? {
            let slot = match name {
                "measurement" => &mut parts.measurement,
                "tags" => &mut parts.tags,
                "fields" => &mut parts.fields,
                VALUE => &mut parts.value,
                "time" | "timestamp" => &mut parts.time,
                _ => return self.imported_parts(name),
            };
            if slot.replace(at).is_some() {
                let reason = Reason::DuplicateKey { key: name.to_owned() };
                return Err(Fault { at: self.place_of(name), reason });
            }
        }
        Ok(parts)
    }

    fn no_measurement(&self, parts: &Parts) -> Fault {
        match parts.measurement.and_then(|at| self.node(at)) {
            None | Some(Node::Static(StaticNode::Null)) => {
                Fault { at: 0, reason: Reason::MissingMeasurement }
            }
            Some(other) => self.wrong_type("measurement", "", other, "a text"),
        }
    }

    /// The members of the object at `at`: names with the places of their values. `null` has none.
    pub(super) fn members(&self, at: usize, key: &str) -> Result<Members<'_, 'i>, Fault> {
        let left = match self.node(at) {
            Some(Node::Object { len, .. }) => len,
            Some(Node::Static(StaticNode::Null)) if at > 0 => 0,
            Some(other) => return Err(self.wrong_type(key, "", other, "an object")),
            None => 0,
        };
        Ok(Members { nodes: self.nodes, at: at + 1, left })
    }

    fn read_row(&self, rows: &mut Rows, measurement: &str, parts: &Parts) -> Result<(), Stop> {
        let time = match parts.time.and_then(|at| self.node(at)) {
            Some(node) => {
                self.time(rows, node, parts.shape).map_err(|reason| Fault { at: 0, reason })?
            }
            None => self.options.now(),
        };
        let mut row = rows.row(measurement);
        self.put_tags(&mut row, parts)?;
        let value = parts.value.map(|at| (VALUE, at));
        for (name, at) in self.fields(parts)?.chain(value) {
            match self.node(at) {
                Some(Node::String(text)) => match parts.shape.number(text) {
                    Some(number) => row.field(name, number),
                    None => row.text(name),
                },
                Some(Node::Static(StaticNode::Null)) | None => {}
                Some(node) => match number(node) {
                    Some(number) => row.field(name, self.finite(name, number)?),
                    None => {
                        let expected = "a number, or an array of times beside it";
                        return Err(self.wrong_field(parts, (name, at), node, expected).into());
                    }
                },
            }
        }
        match row.try_push(self.origin, time) {
            Ok(()) => Ok(()),
            Err(Refusal::Row(reason)) => Err(Fault { at: 0, reason }.into()),
            Err(Refusal::Request(error)) => Err(Stop::Request(error)),
        }
    }

    fn put_tags(&self, row: &mut RowBuilder<'_>, parts: &Parts) -> Result<(), Fault> {
        let Some(at) = parts.tags else { return Ok(()) };
        for (name, at) in self.members(at, "tags")? {
            match self.node(at) {
                Some(_) if parts.shape == Shape::VictoriaMetrics && name == NAME_LABEL => {}
                Some(Node::String(value)) => row.tag(name, value),
                Some(Node::Static(StaticNode::Null)) | None => {}
                Some(other) => return Err(self.wrong_type("tags", name, other, "a text")),
            }
        }
        Ok(())
    }

    fn fields(&self, parts: &Parts) -> Result<Members<'_, 'i>, Fault> {
        match parts.fields {
            Some(at) => self.members(at, "fields"),
            None => Ok(Members { nodes: self.nodes, at: 0, left: 0 }),
        }
    }

    fn time(&self, rows: &Rows, node: Node<'_>, shape: Shape) -> Result<i64, Reason> {
        let stamp = match node {
            Node::Static(StaticNode::I64(stamp)) => stamp,
            Node::Static(StaticNode::U64(stamp)) => {
                i64::try_from(stamp).map_err(|_| Reason::TimeOutsideRange)?
            }
            Node::Static(StaticNode::Null) => return Ok(self.options.now()),
            Node::String(text) => return stamp::date(text),
            Node::Static(StaticNode::F64(number)) => {
                return Err(Reason::InvalidTime { text: number.to_string() });
            }
            other => return Err(Reason::InvalidTime { text: kind(other).to_owned() }),
        };
        rows.validation().time(stamp, shape.unit(self.options.precision))
    }

    fn finite(&self, name: &str, value: f64) -> Result<f64, Fault> {
        // An integer of hundreds of digits.
        let is_number = value.is_finite();
        let fault = || Fault { at: self.place_of(name), reason: Reason::InvalidFloat };
        is_number.then_some(value).ok_or_else(fault)
    }

    /// A record of `count` rows, whose times stand from `times` on.
    fn read_columns(
        &self,
        rows: &mut Rows,
        measurement: &str,
        parts: &Parts,
        times: usize,
        count: usize,
    ) -> Result<(), Stop> {
        if let Some(nested) = self.nested(times, count) {
            return Err(self.wrong_type("time", "", nested, SINGLE_VALUES).into());
        }
        let columns = self.columns(parts, count)?;
        let mut row = rows.row(measurement);
        self.put_tags(&mut row, parts)?;
        rows.check_draft_series().map_err(|reason| Fault { at: 0, reason })?;
        for place in 0..count {
            // Between two rows, as between two records.
            rows.settle_portion(self.input).map_err(Stop::Request)?;
            let node = self.node(times + place).unwrap_or(Node::Static(StaticNode::Null));
            let outcome = match self.time(rows, node, parts.shape) {
                Ok(time) => self.read_place(rows, &columns, place, (time, parts.shape)),
                Err(reason) => Err(Refusal::Row(reason)),
            };
            match outcome {
                Ok(()) => {}
                Err(Refusal::Request(error)) => return Err(Stop::Request(error)),
                Err(Refusal::Row(reason)) => {
                    rows.refuse(self.input, self.origin, self.origin.start, reason);
                }
            }
        }
        Ok(())
    }

    /// The columns of a record of `count` rows.
    fn columns(&self, parts: &Parts, count: usize) -> Result<Vec<Column<'i>>, Fault> {
        let mut columns = Vec::new();
        let value = parts.value.map(|at| (VALUE, at));
        for (name, at) in self.fields(parts)?.chain(value) {
            // Each row repeats the name; with a limit the work stays in proportion to the record.
            if name.len() > core_limits::NAME_BYTES_MAX {
                return Err(Fault { at: self.place_of(name), reason: long_name(name) });
            }
            match self.node(at) {
                Some(Node::Array { len, .. }) if len == count => {
                    if let Some(nested) = self.nested(at + 1, count) {
                        return Err(self.wrong_field(parts, (name, at), nested, SINGLE_VALUES));
                    }
                    if columns.len() >= limits::COLUMNS_MAX {
                        return Err(Fault { at: 0, reason: too_many_columns() });
                    }
                    columns.push((name, at + 1));
                }
                Some(Node::Array { len, .. }) => {
                    let is_value = parts.value == Some(at);
                    let value_key = parts.shape.value_key();
                    let key = if is_value { value_key.to_owned() } else { path("fields", name) };
                    let reason = Reason::ColumnLength { key, count: len, times: count };
                    return Err(Fault { at: self.place_of(name), reason });
                }
                Some(Node::Static(StaticNode::Null)) | None => {}
                Some(other) => {
                    let expected = "an array with a value for each time";
                    return Err(self.wrong_field(parts, (name, at), other, expected));
                }
            }
        }
        match columns.len() {
            0 => Err(Fault { at: 0, reason: Reason::MissingFields }),
            _ => Ok(columns),
        }
    }

    /// One row of a columnar record; nothing where no column has a value.
    fn read_place(
        &self,
        rows: &mut Rows,
        columns: &[Column<'_>],
        place: usize,
        (time, shape): (i64, Shape),
    ) -> Result<(), Refusal> {
        let mut row = rows.next_row();
        let mut is_empty = true;
        for (name, first) in columns {
            match self.node(first + place) {
                Some(Node::String(text)) => match shape.number(text) {
                    Some(number) => row.field(name, number),
                    None => row.text(name),
                },
                Some(node) => match number(node) {
                    Some(value) if value.is_finite() => row.field(name, value),
                    Some(_) => return Err(Reason::InvalidFloat.into()),
                    None => continue,
                },
                None => continue,
            }
            is_empty = false;
        }
        if is_empty { Ok(()) } else { row.try_push(self.origin, time) }
    }

    /// The first of the `count` values from `first` on that is no single value.
    fn nested(&self, first: usize, count: usize) -> Option<Node<'i>> {
        let is_nested = |node: &&Node<'_>| matches!(node, Node::Object { .. } | Node::Array { .. });
        self.nodes.get(first..first + count)?.iter().find(is_nested).copied()
    }

    /// The fault of a field: of a member of `fields`, or of `value`.
    #[cold]
    fn wrong_field(
        &self,
        parts: &Parts,
        (name, at): (&str, usize),
        node: Node<'_>,
        expected: &'static str,
    ) -> Fault {
        if parts.value == Some(at) {
            self.wrong_type(parts.shape.value_key(), "", node, expected)
        } else {
            self.wrong_type("fields", name, node, expected)
        }
    }

    /// The fault of a value that should be of another type. `name` is that of a member of `key`, if it is
    /// one.
    #[cold]
    pub(super) fn wrong_type(
        &self,
        key: &str,
        name: &str,
        node: Node<'_>,
        expected: &'static str,
    ) -> Fault {
        let at = match (name.is_empty(), node) {
            (false, _) => self.place_of(name),
            (true, Node::String(text)) => self.place_of(text),
            _ => 0,
        };
        let key = if name.is_empty() { key.to_owned() } else { path(key, name) };
        Fault { at, reason: Reason::WrongType { key, found: kind(node), expected } }
    }
}

#[cold]
fn long_name(name: &str) -> Reason {
    let bytes_max = core_limits::NAME_BYTES_MAX;
    let what = "field name";
    Reason::Limit(tsdb_core::Error::TooLong { what, bytes: name.len(), bytes_max })
}

#[cold]
fn too_many_columns() -> Reason {
    Reason::Limit(tsdb_core::Error::TooMany {
        what: "columns in one record",
        count: limits::COLUMNS_MAX as u64 + 1,
        count_max: limits::COLUMNS_MAX as u64,
        remedy: "split it into several records",
    })
}

fn path(key: &str, name: &str) -> String {
    format!("{key}.{}", shown(name))
}

/// Members of an object: names with the places of their values.
#[derive(Debug)]
pub(super) struct Members<'t, 'i> {
    nodes: &'t [Node<'i>],
    at: usize,
    left: usize,
}

impl<'i> Iterator for Members<'_, 'i> {
    type Item = (&'i str, usize);

    fn next(&mut self) -> Option<(&'i str, usize)> {
        self.left = self.left.checked_sub(1)?;
        let Some(Node::String(name)) = self.nodes.get(self.at) else { return None };
        let value = self.at + 1;
        self.at = behind(self.nodes, value);
        Some((name, value))
    }
}

/// The place behind the value at `at` and all its members.
fn behind(nodes: &[Node<'_>], at: usize) -> usize {
    match nodes.get(at) {
        Some(Node::Object { count, .. } | Node::Array { count, .. }) => at + 1 + count,
        _ => at + 1,
    }
}

/// A number, or a boolean as 0 or 1.
fn number(node: Node<'_>) -> Option<f64> {
    match node {
        Node::Static(StaticNode::F64(value)) => Some(value),
        Node::Static(StaticNode::I64(value)) => Some(value as f64),
        Node::Static(StaticNode::U64(value)) => Some(value as f64),
        Node::Static(StaticNode::Bool(value)) => Some(f64::from(value)),
        _ => None,
    }
}

/// What a value is, for messages.
fn kind(node: Node<'_>) -> &'static str {
    match node {
        Node::String(_) => "a text",
        Node::Object { .. } => "an object",
        Node::Array { .. } => "an array",
        Node::Static(StaticNode::Bool(_)) => "a boolean",
        Node::Static(StaticNode::Null) => "null",
        Node::Static(_) => "a number",
    }
}
