//! Values for the `$name` parameters of a query, which a request carries beside its text. They
//! replace the parameter's token, so that no value can change what the text around it says.

use std::collections::BTreeMap;

/// The value of a `$name`.
#[derive(Debug, Clone, PartialEq)]
pub enum Parameter {
    /// An integer.
    Integer(i64),
    /// A number; must be finite.
    Number(f64),
    /// A text.
    String(String),
    /// A truth value.
    Boolean(bool),
    /// A length of time in ns.
    Duration(i64),
    /// The name of a field, tag or measurement.
    Identifier(String),
    /// A regular expression.
    Regex(String),
}

/// The values by their names (without the `$`).
pub type Parameters = BTreeMap<String, Parameter>;
