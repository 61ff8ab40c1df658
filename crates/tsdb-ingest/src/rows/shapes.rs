//! Shapes: the orders of fields that lines bring, and where their values go in a row.
//!
//! A store wants the values of a row in the order of a [`FieldSet`], clients send them in any. A shape is
//! found by its signature, the raw bytes of the names with a mark of the kind of each value, so a line of
//! a known shape costs no look at single names.

use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use tsdb_core::{FieldSet, FieldSetRef, TagCharset};

use crate::{Reason, Validation, limits};

/// Column of a value that is not stored.
const NOT_STORED: u32 = u32::MAX;

/// What a value is, as far as storing it is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldKind {
    /// A number, or a boolean as 0 or 1.
    Number,
    /// Text, which is not stored.
    Text,
}

/// Number of a shape. Valid until the end of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ShapeId(pub(crate) u32);

/// A field as a line brings it.
#[derive(Debug)]
pub(crate) struct Field {
    /// Place of the raw name in the signature, with what ends it.
    pub(crate) raw: Range<usize>,
    /// Its unescaped name.
    pub(crate) name: String,
    pub(crate) kind: FieldKind,
}

/// One field of a known shape: what the parser compares.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) kind: FieldKind,
    raw: Range<u32>,
}

/// What the store says of a shape's fields.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Target {
    /// To be resolved.
    Unknown,
    /// The field set of the row.
    Set(FieldSetRef),
    /// One field set per field: the store takes no further set, so the row is split.
    Split(Box<[FieldSetRef]>),
    /// Not even that: rows of this shape are refused.
    Refused(tsdb_core::Error),
}

#[derive(Debug)]
pub(crate) struct Shape {
    hash: u64,
    signature: Box<[u8]>,
    /// Characters that its names may hold.
    charset: TagCharset,
    tokens: Box<[Token]>,
    /// Column of each number, in the order of the line; empty when they stand in that order already.
    columns: Box<[u32]>,
    /// Fields that are stored, if any.
    pub(crate) set: Option<FieldSet>,
    pub(crate) target: Target,
    /// Names of fields that are not stored.
    pub(crate) ignored: Box<[Arc<str>]>,
    /// Rows of the current request.
    pub(crate) rows: u64,
    /// Whether it is among those that the current portion resolves.
    pub(crate) is_queued: bool,
}

impl Shape {
    fn new(
        hash: u64,
        signature: &[u8],
        fields: Vec<Field>,
        validation: &Validation,
        measurement: impl FnOnce() -> String,
    ) -> Result<Shape, Reason> {
        let is_stored =
            |f: &Field| f.kind == FieldKind::Number && validation.is_field_stored(&f.name);
        let mut names: Vec<String> =
            fields.iter().filter(|f| is_stored(f)).map(|f| f.name.clone()).collect();
        names.sort_unstable();
        // Of a field that stands twice in a line the last value wins: both write the same column.
        names.dedup();
        let has_text = fields.iter().any(|f| f.kind == FieldKind::Text);
        if names.is_empty() && !has_text {
            // Text that is not stored is announced; a lone `time` is a mistake.
            return Err(Reason::TimeField { measurement: measurement() });
        }
        let set = if names.is_empty() { None } else { Some(validation.field_set(names)?) };
        let column = |f: &Field| {
            let place = set.as_ref().filter(|_| is_stored(f)).and_then(|s| s.position(&f.name));
            place.and_then(|place| u32::try_from(place).ok()).unwrap_or(NOT_STORED)
        };
        let mut columns: Vec<u32> =
            fields.iter().filter(|f| f.kind == FieldKind::Number).map(column).collect();
        if columns.len() == set.as_ref().map_or(0, FieldSet::len)
            && (0u32..).zip(&columns).all(|(place, column)| place == *column)
        {
            columns.clear();
        }
        let mut tokens = Vec::with_capacity(fields.len());
        for field in &fields {
            let narrow = |at: usize| u32::try_from(at).map_err(|_| Reason::LineTooLong);
            let raw = narrow(field.raw.start)?..narrow(field.raw.end)?;
            tokens.push(Token { kind: field.kind, raw });
        }
        let ignored: Vec<Arc<str>> =
            fields.iter().filter(|f| !is_stored(f)).map(|f| f.name.as_str().into()).collect();
        Ok(Shape {
            hash,
            signature: signature.into(),
            charset: validation.charset,
            tokens: tokens.into(),
            columns: columns.into(),
            set,
            target: Target::Unknown,
            ignored: ignored.into(),
            rows: 0,
            is_queued: false,
        })
    }

    /// Fields in the order of the line.
    #[inline]
    pub(crate) fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// Raw bytes of one field's name, with what ends it.
    #[inline]
    pub(crate) fn raw_name(&self, token: &Token) -> &[u8] {
        self.signature.get(token.raw.start as usize..token.raw.end as usize).unwrap_or_default()
    }

    /// The values of a line in the order of the field set; `row` is scratch space.
    #[inline]
    pub(crate) fn arrange<'a>(&self, values: &'a [f64], row: &'a mut Vec<f64>) -> &'a [f64] {
        if self.columns.is_empty() {
            return values;
        }
        row.clear();
        row.resize(self.set.as_ref().map_or(0, FieldSet::len), 0.0);
        for (value, column) in values.iter().zip(&self.columns) {
            if let Some(slot) = row.get_mut(*column as usize) {
                *slot = *value;
            }
        }
        row
    }

    fn bytes(&self) -> usize {
        let names: usize = self.set.iter().flat_map(FieldSet::names).map(|n| n.len() + 32).sum();
        size_of::<Shape>() + self.signature.len() + self.tokens.len() * size_of::<Token>() + names
    }
}

/// All shapes that a parser knows.
#[derive(Debug)]
pub(crate) struct ShapeTable {
    index: HashTable<u32>,
    shapes: Vec<Shape>,
    hasher: FixedState,
    charset: TagCharset,
}

impl ShapeTable {
    pub(crate) fn new(seed: u64) -> ShapeTable {
        ShapeTable {
            index: HashTable::new(),
            shapes: Vec::new(),
            hasher: FixedState::with_seed(seed),
            charset: TagCharset::Utf8,
        }
    }

    /// Begins a request whose names may hold the characters of `charset`.
    pub(crate) fn begin(&mut self, charset: TagCharset) {
        self.charset = charset;
        if self.shapes.len() > limits::SHAPES_KEPT_MAX {
            self.clear();
        }
    }

    /// Forgets all shapes and gives their memory back.
    pub(crate) fn clear(&mut self) {
        self.index = HashTable::new();
        self.shapes = Vec::new();
    }

    #[inline]
    pub(crate) fn get(&self, id: ShapeId) -> Option<&Shape> {
        self.shapes.get(id.0 as usize)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: ShapeId) -> Option<&mut Shape> {
        self.shapes.get_mut(id.0 as usize)
    }

    /// Whether `id` is a shape with this signature.
    pub(crate) fn has_signature(&self, id: ShapeId, signature: &[u8]) -> bool {
        self.get(id).is_some_and(|s| s.charset == self.charset && *s.signature == *signature)
    }

    pub(crate) fn find(&self, signature: &[u8]) -> Option<ShapeId> {
        let hash = self.hasher.hash_one(signature);
        let same = |id: &u32| {
            self.shapes.get(*id as usize).is_some_and(|s| s.hash == hash)
                && self.has_signature(ShapeId(*id), signature)
        };
        self.index.find(hash, same).map(|id| ShapeId(*id))
    }

    /// Takes up a shape that [`ShapeTable::find`] did not find. Returns it with the memory that it takes,
    /// in bytes. `measurement` is asked for a name where an error needs it.
    pub(crate) fn define(
        &mut self,
        signature: &[u8],
        fields: Vec<Field>,
        validation: &Validation,
        measurement: impl FnOnce() -> String,
    ) -> Result<(ShapeId, usize), Reason> {
        if self.shapes.len() >= limits::SHAPES_MAX {
            return Err(Reason::Limit(tsdb_core::Error::TooMany {
                what: "different sets of fields in one request",
                count: self.shapes.len() as u64 + 1,
                count_max: limits::SHAPES_MAX as u64,
                remedy: "put what varies into tags",
            }));
        }
        let hash = self.hasher.hash_one(signature);
        let shape = Shape::new(hash, signature, fields, validation, measurement)?;
        let bytes = shape.bytes();
        let id = u32::try_from(self.shapes.len()).unwrap_or(NOT_STORED);
        self.shapes.push(shape);
        let shapes = &self.shapes;
        self.index.insert_unique(hash, id, |id| shapes.get(*id as usize).map_or(0, |s| s.hash));
        Ok((ShapeId(id), bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(fields: &[(&str, FieldKind)]) -> Result<Shape, Reason> {
        let fields = fields
            .iter()
            .map(|(name, kind)| Field { raw: 0..0, name: (*name).to_owned(), kind: *kind })
            .collect();
        Shape::new(0, b"", fields, &Validation::default(), || "m".to_owned())
    }

    fn arranged(fields: &[(&str, FieldKind)], values: &[f64]) -> Vec<f64> {
        shape(fields).unwrap().arrange(values, &mut Vec::new()).to_vec()
    }

    #[test]
    fn values_go_where_the_field_set_wants_them() {
        use FieldKind::{Number, Text};
        assert_eq!(arranged(&[("a", Number), ("b", Number)], &[1.0, 2.0]), [1.0, 2.0]);
        assert_eq!(arranged(&[("b", Number), ("a", Number)], &[1.0, 2.0]), [2.0, 1.0]);
        assert_eq!(
            arranged(
                &[("b", Number), ("x", Text), ("time", Number), ("a", Number)],
                &[1.0, 2.0, 3.0]
            ),
            [3.0, 1.0]
        );
        assert_eq!(
            arranged(&[("a", Number), ("b", Number), ("a", Number)], &[1.0, 2.0, 3.0]),
            [3.0, 2.0],
            "of two values of one field the last wins"
        );
        assert_eq!(arranged(&[("a", Number), ("a", Number)], &[1.0, 2.0]), [2.0]);
    }

    #[test]
    fn what_is_not_stored_is_named() {
        use FieldKind::{Number, Text};
        let mixed = shape(&[("b", Text), ("time", Number), ("a", Number)]).unwrap();
        assert_eq!(mixed.ignored.iter().map(|n| &**n).collect::<Vec<_>>(), ["b", "time"]);
        assert_eq!(mixed.set.as_ref().unwrap().len(), 1);
        let text = shape(&[("b", Text)]).unwrap();
        assert!(text.set.is_none());
        assert!(shape(&[("time", Number), ("b", Text)]).unwrap().set.is_none());
        let lone = shape(&[("time", Number)]).unwrap_err();
        assert_eq!(lone, Reason::TimeField { measurement: "m".to_owned() });
    }
}
