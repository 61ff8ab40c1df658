//! Which columns a SELECT has once wildcards are expanded, and which tags it groups by.

use std::sync::Arc;

use tsdb_core::matcher::Pattern;
use tsdb_ql::{Call, Cast, Dimension, Expr, Field, Identifier, Select, distinct_column_names};

use crate::Result;
use crate::scope::keys_of_dimensions;

/// What is known of the data of all sources of a SELECT together, sorted.
#[derive(Debug, Clone, Default)]
pub(super) struct Schema {
    pub(super) fields: Vec<Arc<str>>,
    pub(super) tags: Vec<Arc<str>>,
    /// Tags that are columns of a subquery.
    pub(super) texts: Vec<Arc<str>>,
}

impl Schema {
    /// Adds the names of another source.
    pub(super) fn extend(&mut self, fields: &[Arc<str>], tags: &[Arc<str>], texts: &[Arc<str>]) {
        let Schema { fields: all_fields, tags: all_tags, texts: all_texts } = self;
        for (all, more) in [(all_fields, fields), (all_tags, tags), (all_texts, texts)] {
            all.extend_from_slice(more);
            all.sort_unstable();
            all.dedup();
        }
    }
}

/// Whether `select` asks for all tags there are, which must be looked up then.
pub(crate) fn needs_tags(select: &Select) -> bool {
    let wild = |field: &Field| matches!(field.expr, Expr::Wildcard { .. } | Expr::Regex { .. });
    select.fields.iter().any(wild) || select.dimensions.iter().any(is_wild)
}

/// Whether tags are grouped by that are not named.
fn is_wild(by: &Dimension) -> bool {
    matches!(by, Dimension::Wildcard { .. } | Dimension::Regex { .. })
}

/// The tags that `dimensions` name, sorted, each once.
pub(super) fn group_keys(dimensions: &[Dimension], schema: &Schema) -> Result<Vec<Arc<str>>> {
    keys_of_dimensions(dimensions, &schema.tags)
}

/// The columns of `select` with wildcards expanded, without `time`, and their names. A wildcard stands for
/// all fields and for the tags that the query does not group by itself (`own`), sorted by name, and inside a call for all
/// fields. As in InfluxQL a wildcard in `GROUP BY` speaks for all tags, whether it matches them or not: then they
/// are no columns. Columns of a subquery are columns in any case.
pub(super) fn expand(
    select: &Select,
    own: &[Dimension],
    schema: &Schema,
) -> Result<(Vec<Expr>, Vec<Arc<str>>)> {
    let named = |tag: &Arc<str>| {
        own.iter().any(|by| matches!(by, Dimension::Tag(name) if *name.name == **tag))
    };
    let is_free = |tag: &&Arc<str>| !own.iter().any(is_wild) && !named(tag);
    let mut free_tags: Vec<&Arc<str>> =
        schema.tags.iter().filter(is_free).chain(&schema.texts).collect();
    free_tags.sort_unstable();
    free_tags.dedup();
    let mut exprs = Vec::new();
    let mut names: Vec<(String, bool)> = Vec::new();
    for field in &select.fields {
        match &field.expr {
            Expr::Identifier(name) if name.is_time() => {}
            Expr::Wildcard { cast, .. } => {
                let found = wild_names(schema, &free_tags, *cast, |_| true);
                names.extend(found.iter().map(|name| (name.name.clone(), false)));
                exprs.extend(found.into_iter().map(Expr::Identifier));
            }
            Expr::Regex { pattern, .. } => {
                let pattern = Pattern::new(pattern)?;
                let found = wild_names(schema, &free_tags, None, |name| pattern.is_match(name));
                names.extend(found.iter().map(|name| (name.name.clone(), false)));
                exprs.extend(found.into_iter().map(Expr::Identifier));
            }
            Expr::Call(call) if has_wild_argument(call) => {
                for name in wild_fields(call, schema)? {
                    // InfluxQL treats `mean_usage` as given by the user: it is never numbered.
                    names.push((format!("{}_{name}", field.output_name()), true));
                    exprs.push(Expr::Call(with_field(call, &name)));
                }
            }
            other => {
                names.push((field.output_name(), field.alias.is_some()));
                exprs.push(other.clone());
                for tag in tags_of_top(other) {
                    names.push((tag.name.clone(), false));
                    exprs.push(Expr::Identifier(tag.clone()));
                }
            }
        }
    }
    let names = distinct_column_names(&names).into_iter().map(Arc::from).collect();
    Ok((exprs, names))
}

/// The tags in `top(f, tag, …, n)`, which are columns behind it.
fn tags_of_top(expr: &Expr) -> impl Iterator<Item = &Identifier> {
    let args = match expr {
        Expr::Call(call) if matches!(&*call.name, "top" | "bottom") => call.args.as_slice(),
        _ => &[],
    };
    let last = args.len().saturating_sub(1);
    let tags = args.get(1..last).unwrap_or_default().iter();
    tags.filter_map(|tag| match tag {
        Expr::Identifier(name) => Some(name),
        _ => None,
    })
}

fn wild_names(
    schema: &Schema,
    tags: &[&Arc<str>],
    cast: Option<Cast>,
    matches: impl Fn(&str) -> bool,
) -> Vec<Identifier> {
    let identifier = |name: &Arc<str>, cast| Identifier {
        name: name.to_string(),
        cast: Some(cast),
        span: tsdb_ql::Span::default(),
    };
    let mut found = Vec::new();
    if cast != Some(Cast::Tag) {
        found.extend(schema.fields.iter().map(|name| identifier(name, Cast::Field)));
    }
    if cast.is_none_or(|cast| cast == Cast::Tag) {
        found.extend(tags.iter().map(|name| identifier(name, Cast::Tag)));
    }
    found.retain(|identifier| matches(&identifier.name));
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// The argument of `call`, or of the call inside it.
fn innermost(call: &Call) -> Option<&Expr> {
    match call.args.first()? {
        Expr::Call(inner) => innermost(inner),
        argument => Some(argument),
    }
}

fn has_wild_argument(call: &Call) -> bool {
    matches!(innermost(call), Some(Expr::Wildcard { .. } | Expr::Regex { .. }))
}

fn wild_fields(call: &Call, schema: &Schema) -> Result<Vec<Arc<str>>> {
    let mut fields = schema.fields.clone();
    if let Some(Expr::Regex { pattern, .. }) = innermost(call) {
        let pattern = Pattern::new(pattern)?;
        fields.retain(|name| pattern.is_match(name));
    }
    Ok(fields)
}

/// `call` with the field `name` in the place of its innermost argument.
fn with_field(call: &Call, name: &str) -> Call {
    let argument = match call.args.first() {
        Some(Expr::Call(inner)) => Expr::Call(with_field(inner, name)),
        _ => Expr::Identifier(Identifier {
            name: name.to_owned(),
            cast: Some(Cast::Field),
            span: call.span,
        }),
    };
    let others = call.args.iter().skip(1).cloned();
    Call { args: std::iter::once(argument).chain(others).collect(), ..call.clone() }
}
