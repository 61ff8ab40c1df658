//! Continuous queries as text.

use std::fmt::{self, Display, Formatter};

use tsdb_core::time::format_duration;

use super::Name;
use crate::ast::ContinuousQuery;

impl Display for ContinuousQuery {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (name, database) = (Name(&self.name), Name(&self.database));
        write!(f, "CREATE CONTINUOUS QUERY {name} ON {database}")?;
        if self.every_ns.is_some() || self.for_ns.is_some() {
            f.write_str(" RESAMPLE")?;
        }
        for (option, ns) in [("EVERY", self.every_ns), ("FOR", self.for_ns)] {
            if let Some(ns) = ns {
                write!(f, " {option} {}", format_duration(ns))?;
            }
        }
        write!(f, " BEGIN {} END", self.select)
    }
}
