//! Puts questions to servers: for the time, and for the answer.

use serde_json::json;

use crate::answer::Table;
use crate::http::{Connection, escape};
use crate::peer::{DATABASE, Dialect, Kind};
use crate::question::Question;
use crate::server::Server;

/// Asks one server; keeps its connection.
pub struct Asker {
    kind: Kind,
    connection: Option<Connection>,
}

/// How much the answer was.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// Bytes of the answer; 0 for in-process databases, which hand over memory.
    pub bytes: usize,
}

impl Asker {
    /// Opens a connection where there is one.
    ///
    /// # Errors
    /// Nobody listens.
    pub fn new(server: &Server) -> Result<Asker, String> {
        let kind = server.kind();
        let connection = if kind.is_embedded() { None } else { Some(server.connect()?) };
        Ok(Asker { kind, connection })
    }

    /// Asks and reads the whole answer without looking at its values.
    ///
    /// # Errors
    /// Whatever the server says is wrong.
    pub fn ask(&mut self, server: &mut Server, question: &Question) -> Result<Asked, String> {
        let dialect = self.kind.dialect();
        let Some(connection) = &mut self.connection else {
            let sql = question.text(dialect);
            server.tell(&json!({"do": "query", "sql": sql}))?;
            return Ok(Asked { bytes: 0 });
        };
        let body = connection.get(&path(question, self.kind))?.expect_success()?;
        // InfluxDB tells errors of execution with status 200, in front of all series.
        let head = body.get(..200).unwrap_or(&body);
        if dialect == Dialect::InfluxQl && head.windows(8).any(|bytes| bytes == b"\"error\":") {
            return Err(format!("{}: {}", self.kind.name(), String::from_utf8_lossy(head)));
        }
        Ok(Asked { bytes: body.len() })
    }

    /// Asks, and reads the answer as a table; None from servers whose answers mean something else.
    ///
    /// # Errors
    /// Whatever the server says is wrong, or an answer that cannot be read.
    pub fn table(
        &mut self,
        server: &mut Server,
        question: &Question,
    ) -> Result<Option<Table>, String> {
        match (self.kind.dialect(), &mut self.connection) {
            (Dialect::InfluxQl, Some(connection)) => {
                let body = connection.get(&path(question, self.kind))?.expect_success()?;
                Table::from_influx(question, &body).map(Some)
            }
            (dialect @ (Dialect::ClickHouse | Dialect::DuckDb), _) => {
                let answer = server.tell(&json!({"do": "rows", "sql": question.text(dialect)}))?;
                Table::from_sql(question, &answer).map(Some)
            }
            _ => Ok(None),
        }
    }
}

fn path(question: &Question, kind: Kind) -> String {
    match kind.dialect() {
        Dialect::InfluxQl => {
            let text = escape(&question.text(Dialect::InfluxQl));
            format!("/query?db={DATABASE}&epoch=ns&q={text}")
        }
        // Answers that were computed before do not count; Prometheus keeps none.
        Dialect::MetricsQl => format!("{}&nocache=1", question.range(Dialect::MetricsQl).path()),
        Dialect::PromQl | Dialect::ClickHouse | Dialect::DuckDb => {
            question.range(Dialect::PromQl).path()
        }
    }
}
