//! `WriteService`: tables in, an acknowledgement out once their rows are visible (and, in durability
//! `sync`, on disk).
//!
//! Rows go the way of every other format: through the pipeline, its checks and its budget. In a stream the
//! next batch is taken in while earlier ones wait for the disk, so that many of them share one sync;
//! acknowledgements come in the order of the batches.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use prost::Message;
use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};
use tsdb_core::{DataPoint, Error, FIELD_TAG, NAME_TAG, Pool, Reservation, TagCharset, Tags};
use tsdb_ingest::{
    Format, Ingestion, Origin, ParseOptions, Precision, Rows, WriteReport, WriteRequest,
};

use super::charge::Receipts;
use super::{as_promised, caller, proto, refused};
use crate::app::{App, blocking};
use crate::auth::{Right, Who};
use crate::http::write::visible;
use crate::status;

/// Batches of a stream that wait for the disk, and acknowledgements that wait for the client.
const BATCHES_AHEAD: usize = 8;

/// The service.
pub struct Writes(Arc<App>);

impl Writes {
    pub(super) fn new(app: &Arc<App>) -> Writes {
        Writes(Arc::clone(app))
    }
}

#[tonic::async_trait]
impl proto::write_service_server::WriteService for Writes {
    type WriteStreamStream = Acknowledgements;

    async fn write(
        &self,
        request: Request<proto::WriteRequest>,
    ) -> Result<Response<proto::WriteResponse>, Status> {
        let (who, paid) = (caller(&request), receipts(&request).take());
        let appended = append(&self.0, &who, request.into_inner(), paid).await?;
        acknowledged(&self.0, appended).await.map(Response::new)
    }

    async fn write_stream(
        &self,
        request: Request<Streaming<proto::WriteRequest>>,
    ) -> Result<Response<Acknowledgements>, Status> {
        let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
        let (who, paid) = (caller(&request), receipts(&request));
        tokio::spawn(serve_stream(Arc::clone(&self.0), who, request.into_inner(), paid, sender));
        Ok(Response::new(Acknowledgements(receiver)))
    }
}

/// What pays for the messages of a call.
fn receipts<T>(request: &Request<T>) -> Receipts {
    request.extensions().get::<Receipts>().cloned().unwrap_or_default()
}

type Acknowledgement = Result<proto::WriteResponse, Status>;

/// The acknowledgements of a stream.
pub struct Acknowledgements(mpsc::Receiver<Acknowledgement>);

impl Stream for Acknowledgements {
    type Item = Acknowledgement;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Acknowledgement>> {
        self.0.poll_recv(context)
    }
}

/// Takes batches in and acknowledges them, until the client ends, goes away, or a batch fails.
async fn serve_stream(
    app: Arc<App>,
    who: Who,
    mut batches: Streaming<proto::WriteRequest>,
    paid: Receipts,
    client: mpsc::Sender<Acknowledgement>,
) {
    let (appended, mut waiting) = mpsc::channel(BATCHES_AHEAD);
    let take_in = async {
        loop {
            let outcome = match batches.message().await {
                Ok(Some(batch)) => append(&app, &who, batch, paid.take()).await,
                Ok(None) => break,
                Err(status) => Err(as_promised(status)),
            };
            let is_last = outcome.is_err();
            if appended.send(outcome).await.is_err() || is_last {
                break;
            }
        }
        drop(appended);
    };
    let acknowledge = async {
        while let Some(outcome) = waiting.recv().await {
            let answer = match outcome {
                Ok(appended) => acknowledged(&app, appended).await,
                Err(status) => Err(status),
            };
            let is_last = answer.is_err();
            if client.send(answer).await.is_err() || is_last {
                break;
            }
        }
        // Whoever takes batches in sees from this that nobody waits any more.
        waiting.close();
    };
    tokio::join!(take_in, acknowledge);
}

/// A batch that has its place in the log.
struct Appended {
    batch_id: u64,
    database: String,
    body_bytes: u64,
    report: WriteReport,
}

/// Checks and appends a batch, whose bytes `paid` has paid for.
async fn append(
    app: &Arc<App>,
    who: &Who,
    batch: proto::WriteRequest,
    paid: Option<Reservation>,
) -> Result<Appended, Status> {
    if batch.database.is_empty() {
        return Err(Status::invalid_argument("database is required"));
    }
    who.demand(Right::Write, &batch.database).map_err(|refusal| refused(&refusal))?;
    let body_bytes = batch.encoded_len();
    let mut held = paid.unwrap_or_else(|| app.budget().reserve_anyway(Pool::Bodies, 0));
    let missing = body_bytes.saturating_sub(held.bytes());
    held.grow(missing).map_err(|error| told(app, &error))?;
    let turn = app.write_turn(&batch.database).await.map_err(|error| refused(&error))?;
    let app = Arc::clone(app);
    let appended = blocking(move || {
        let _held = (turn, held);
        let policy = Some(batch.retention_policy.as_str()).filter(|policy| !policy.is_empty());
        let request = WriteRequest {
            database: &batch.database,
            policy,
            body: &[],
            options: ParseOptions::new(Precision::Nanoseconds, app.env().clock.wall_ns()),
        };
        let report = app.pipeline().write(&Tables(&batch.tables), &request);
        let report = report.map_err(|error| match error {
            tsdb_ingest::Error::Store(error) => told(&app, &error),
            other => Status::invalid_argument(other.to_string()),
        })?;
        Ok(Appended {
            batch_id: batch.batch_id,
            database: batch.database,
            body_bytes: body_bytes as u64,
            report,
        })
    });
    appended.await.map_err(|error| refused(&error))?
}

/// Waits until the rows of a batch are visible.
async fn acknowledged(app: &Arc<App>, appended: Appended) -> Acknowledgement {
    let Appended { batch_id, database, body_bytes, mut report } = appended;
    if let Some(ticket) = report.ticket.take() {
        visible(ticket).await.map_err(|error| told(app, &error))?;
    }
    app.written(&database, body_bytes, &report);
    let described = report.errors.iter().map(|error| proto::RefusedRow {
        row: error.line.saturating_sub(1),
        reason: error.reason.explained(),
    });
    Ok(proto::WriteResponse {
        batch_id,
        rows_stored: report.rows,
        rows_refused: report.errors_total,
        refused: described.collect(),
    })
}

/// The status for an error of the storage; failures of the disk are kept for `/health`.
fn told(app: &App, error: &Error) -> Status {
    app.note(error);
    Status::new(status::of(error.kind()).grpc, error.to_string())
}

/// The tables of a message as a format. What a request brings beside them is not looked at.
struct Tables<'m>(&'m [proto::Table]);

impl Tables<'_> {
    /// Hands each row to `row` with its number from 1; or what is wrong with the shape of its series.
    fn each(
        &self,
        mut row: impl FnMut(u64, Result<TableRow<'_>, &'static str>) -> tsdb_ingest::Result<()>,
    ) -> tsdb_ingest::Result<()> {
        let mut number = 0;
        for table in self.0 {
            for series in &table.series {
                let fault = fault(table, series);
                for (at, time_ns) in series.times.iter().enumerate() {
                    number += 1;
                    let found = match fault {
                        Some(fault) => Err(fault),
                        None => Ok(TableRow { table, series, at, time_ns: *time_ns }),
                    };
                    row(number, found)?;
                }
            }
        }
        Ok(())
    }
}

/// What is wrong with the shape of a series, if something is.
fn fault(table: &proto::Table, series: &proto::SeriesRows) -> Option<&'static str> {
    let rows = series.times.len();
    if series.columns.len() != table.field_names.len() {
        return Some("a series has one column for each field name of its table");
    }
    let wrong = |column: &proto::Column| {
        let presence = column.presence.len();
        column.values.len() != rows || (presence > 0 && presence != rows.div_ceil(8))
    };
    let fault = "a column has one value for each time, and a presence of one bit for each or none";
    series.columns.iter().any(wrong).then_some(fault)
}

/// One row of a table.
struct TableRow<'m> {
    table: &'m proto::Table,
    series: &'m proto::SeriesRows,
    at: usize,
    time_ns: i64,
}

impl TableRow<'_> {
    /// Names and values of the fields that the row has.
    fn fields(&self) -> impl Iterator<Item = (&str, f64)> {
        let named = self.table.field_names.iter().zip(&self.series.columns);
        named.filter_map(|(name, column)| {
            let bits = column.presence.get(self.at / 8);
            let is_present = column.presence.is_empty()
                || bits.is_some_and(|bits| bits >> (self.at % 8) & 1 == 1);
            let value = column.values.get(self.at).filter(|_| is_present)?;
            Some((name.as_str(), *value))
        })
    }
}

impl Ingestion for Tables<'_> {
    fn parse(&self, _: &[u8]) -> tsdb_ingest::Result<Vec<DataPoint>> {
        let mut points = Vec::new();
        self.each(|_, row| {
            let row = row.map_err(|fault| Error::Invalid { what: fault.to_owned() })?;
            for (field, value) in row.fields() {
                let names = [(NAME_TAG, row.table.measurement.as_str()), (FIELD_TAG, field)];
                let tags =
                    row.series.tags.iter().map(|(key, value)| (key.as_str(), value.as_str()));
                let tags = Tags::new(names.into_iter().chain(tags))?;
                points.push(DataPoint::new(row.time_ns, value, tags)?);
            }
            Ok(())
        })?;
        Ok(points)
    }

    fn supported_formats(&self) -> Vec<&'static str> {
        vec!["application/grpc", "grpc"]
    }
}

impl Format for Tables<'_> {
    fn charset(&self) -> TagCharset {
        TagCharset::Ascii
    }

    fn parse_rows(
        &self,
        input: &[u8],
        _: &ParseOptions<'_>,
        rows: &mut Rows,
    ) -> tsdb_ingest::Result<()> {
        self.each(|line, row| {
            let origin = Origin { line, ..Origin::default() };
            let row = match row {
                Ok(row) => row,
                Err(fault) => {
                    let fault = Error::Invalid { what: fault.to_owned() };
                    rows.refuse(input, origin, 0, tsdb_ingest::Reason::Limit(fault));
                    return Ok(());
                }
            };
            let mut built = rows.row(&row.table.measurement);
            for (key, value) in &row.series.tags {
                built.tag(key, value);
            }
            for (name, value) in row.fields() {
                built.field(name, value);
            }
            built.push(input, origin, row.time_ns)
        })
    }
}
