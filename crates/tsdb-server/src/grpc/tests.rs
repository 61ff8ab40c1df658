//! The services in this process, through the router and the generated clients: what is stored, what is
//! answered, and what callers are told when something is wrong.

use std::sync::Arc;

use tonic::{Code, Request};
use tsdb_core::env::Env;
use tsdb_core::{MemoryBudget, MemoryStore, Pool};

use super::proto;
use crate::app::App;
use crate::config::{Config, Settings};
use crate::exposition::Exposition;
use crate::http;
use crate::wiring::Store;
use proto::health_service_client::HealthServiceClient;
use proto::query_response::Outcome;
use proto::query_service_client::QueryServiceClient;
use proto::result_column::Values;
use proto::write_service_client::WriteServiceClient;

struct Fixture {
    app: Arc<App>,
}

impl Fixture {
    fn new() -> Fixture {
        Fixture::within(MemoryBudget::default())
    }

    fn within(budget: MemoryBudget) -> Fixture {
        let config = Config::from_settings(Settings::default()).unwrap();
        let store = Store::new(Arc::new(MemoryStore::new()));
        let app = App::new(config, Env::real(), store, budget, Exposition::new().unwrap());
        Fixture { app }
    }

    fn router(&self) -> axum::Router {
        http::router(Arc::clone(&self.app))
    }

    async fn write(
        &self,
        batch: proto::WriteRequest,
    ) -> Result<proto::WriteResponse, tonic::Status> {
        let mut client = WriteServiceClient::new(self.router());
        client.write(batch).await.map(tonic::Response::into_inner)
    }

    /// All messages of an answer, and how the call ended.
    async fn query(&self, text: &str) -> (Vec<Outcome>, Result<(), tonic::Status>) {
        let request = proto::QueryRequest {
            database: "d".to_owned(),
            query: text.to_owned(),
            ..Default::default()
        };
        let mut client = QueryServiceClient::new(self.router());
        let mut parts = match client.query(request).await {
            Ok(response) => response.into_inner(),
            Err(status) => return (Vec::new(), Err(status)),
        };
        let mut outcomes = Vec::new();
        loop {
            match parts.message().await {
                Ok(Some(part)) => outcomes.extend(part.outcome),
                Ok(None) => return (outcomes, Ok(())),
                Err(status) => return (outcomes, Err(status)),
            }
        }
    }

    async fn count(&self) -> f64 {
        let (outcomes, ended) = self.query("SELECT count(usage) FROM cpu").await;
        ended.unwrap();
        let Some(Outcome::Series(series)) = outcomes.first() else { return 0.0 };
        match &series.columns[1].values {
            Some(Values::Integers(counts)) => counts.values[0] as f64,
            Some(Values::Numbers(counts)) => counts.values[0],
            other => panic!("{other:?}"),
        }
    }
}

fn column(values: &[f64]) -> proto::Column {
    proto::Column { values: values.to_vec(), presence: Vec::new() }
}

/// A batch of one table with two fields; of `idle` only the first row has a value.
fn batch(id: u64, times: &[i64]) -> proto::WriteRequest {
    let values: Vec<f64> = times.iter().map(|time| *time as f64 / 2.0).collect();
    let mut presence = vec![0; times.len().div_ceil(8)];
    presence[0] = 1;
    let series = proto::SeriesRows {
        tags: [("host".to_owned(), "a".to_owned()), ("dc".to_owned(), "x".to_owned())].into(),
        times: times.to_vec(),
        columns: vec![column(&values), proto::Column { presence, ..column(&values) }],
    };
    let table = proto::Table {
        measurement: "cpu".to_owned(),
        field_names: vec!["usage".to_owned(), "idle".to_owned()],
        series: vec![series],
    };
    proto::WriteRequest {
        batch_id: id,
        database: "d".to_owned(),
        retention_policy: String::new(),
        tables: vec![table],
    }
}

#[tokio::test]
async fn end_to_end_queries_read_back_a_batch() {
    let fixture = Fixture::new();
    let answer = fixture.write(batch(7, &[10, 20, 30])).await.unwrap();
    assert_eq!((answer.batch_id, answer.rows_stored, answer.rows_refused), (7, 3, 0));
    let (outcomes, ended) = fixture.query("SELECT * FROM cpu; SHOW TAG KEYS").await;
    ended.unwrap();
    let Outcome::Series(rows) = &outcomes[0] else { panic!("{outcomes:?}") };
    let names: Vec<&str> = rows.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["time", "dc", "host", "idle", "usage"]);
    let Some(Values::Times(times)) = &rows.columns[0].values else { panic!("{rows:?}") };
    assert_eq!(times.values, [10, 20, 30]);
    let Some(Values::Numbers(idle)) = &rows.columns[3].values else { panic!("{rows:?}") };
    assert_eq!((idle.values[0], idle.presence.as_slice()), (5.0, &[1_u8][..]));
    assert!(matches!(outcomes[1], Outcome::End(_)), "{outcomes:?}");
    assert!(matches!(outcomes[2], Outcome::Series(_)), "{outcomes:?}");
}

#[tokio::test]
async fn protocol_validation_names_refused_rows_and_stores_the_others() {
    let fixture = Fixture::new();
    let mut mixed = batch(1, &[1, i64::MAX, 3]);
    let mut misshapen = mixed.tables[0].series[0].clone();
    misshapen.times.push(4);
    mixed.tables[0].series.push(misshapen);
    let mut reserved = batch(1, &[9]).tables.remove(0);
    reserved.series[0].tags = [("__name__".to_owned(), "x".to_owned())].into();
    mixed.tables.push(reserved);
    let answer = fixture.write(mixed).await.unwrap();
    assert_eq!((answer.rows_stored, answer.rows_refused), (2, 6));
    let rows: Vec<u64> = answer.refused.iter().map(|refused| refused.row).collect();
    assert_eq!(rows, [1, 3, 4, 5, 6, 7]);
    assert!(answer.refused[0].reason.contains("time outside range"), "{answer:?}");
    assert!(answer.refused[1].reason.contains("one value for each time"), "{answer:?}");
    assert!(answer.refused[5].reason.contains("__name__"), "{answer:?}");
    assert_eq!(fixture.count().await, 2.0);
}

#[tokio::test]
async fn batches_of_a_stream_are_acknowledged_in_order() {
    let fixture = Fixture::new();
    let batches: Vec<_> = (0..40).map(|id| batch(id, &[id as i64 + 1])).collect();
    let mut client = WriteServiceClient::new(fixture.router());
    let stream = tonic::codegen::tokio_stream::iter(batches);
    let mut answers = client.write_stream(stream).await.unwrap().into_inner();
    let mut ids = Vec::new();
    while let Some(answer) = answers.message().await.unwrap() {
        assert_eq!(answer.rows_stored, 1);
        ids.push(answer.batch_id);
    }
    assert_eq!(ids, (0..40).collect::<Vec<_>>());
    assert_eq!(fixture.count().await, 40.0);
}

#[tokio::test]
async fn a_stream_ends_with_the_first_batch_that_fails() {
    let fixture = Fixture::new();
    let mut batches: Vec<_> = (0..5).map(|id| batch(id, &[id as i64 + 1])).collect();
    batches[3].database.clear();
    let mut client = WriteServiceClient::new(fixture.router());
    let stream = tonic::codegen::tokio_stream::iter(batches);
    let mut answers = client.write_stream(stream).await.unwrap().into_inner();
    let mut acknowledged = 0;
    let ended = loop {
        match answers.message().await {
            Ok(Some(_)) => acknowledged += 1,
            Ok(None) => panic!("the call ended well"),
            Err(status) => break status,
        }
    };
    assert_eq!((acknowledged, ended.code()), (3, Code::InvalidArgument));
    assert_eq!(fixture.count().await, 3.0, "what comes behind a failure is not stored");
}

#[tokio::test]
async fn error_responses_have_codes_and_say_what_is_wrong() {
    let fixture = Fixture::new();
    let no_database = proto::WriteRequest { database: String::new(), ..batch(1, &[1]) };
    let status = fixture.write(no_database).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::InvalidArgument, "database is required"));
    let policy = proto::WriteRequest { retention_policy: "none".to_owned(), ..batch(1, &[1]) };
    assert_eq!(fixture.write(policy).await.unwrap_err().code(), Code::NotFound);

    let (_, ended) = fixture.query("SELECT FROM cpu").await;
    let status = ended.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("line 1, char 8"), "{status:?}");
    let (outcomes, ended) =
        fixture.query("SHOW DATABASES; SELECT * FROM nowhere.autogen.cpu").await;
    assert!(matches!(outcomes.last(), Some(Outcome::Error(_))), "{outcomes:?}");
    assert_eq!(ended.unwrap_err().code(), Code::NotFound);

    let mut request = Request::new(proto::QueryRequest::default());
    request.metadata_mut().insert("grpc-timeout", "soon".parse().unwrap());
    let status = QueryServiceClient::new(fixture.router()).query(request).await.unwrap_err();
    assert!(status.message().contains("grpc-timeout"), "{status:?}");
}

#[tokio::test]
async fn health_tells_why_it_is_not_well() {
    let fixture = Fixture::new();
    let mut client = HealthServiceClient::new(fixture.router());
    assert!(client.health(proto::HealthRequest {}).await.unwrap().into_inner().serving);
    fixture.app.begin_stop();
    let answer = client.health(proto::HealthRequest {}).await.unwrap().into_inner();
    assert!(!answer.serving && answer.reason.contains("stopping"), "{answer:?}");
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_its_query() {
    let fixture = Fixture::new();
    fixture.write(batch(1, &(1..=40).collect::<Vec<i64>>())).await.unwrap();
    let request = proto::QueryRequest {
        database: "d".to_owned(),
        // Enough statements that the answer does not fit between the two.
        query: "SELECT * FROM cpu;".repeat(500),
        ..Default::default()
    };
    let mut client = QueryServiceClient::new(fixture.router());
    let mut parts = client.query(request).await.unwrap().into_inner();
    parts.message().await.unwrap();
    drop(parts);
    let begin = std::time::Instant::now();
    while fixture.app.running().show(0, &crate::auth::Who::Everyone).series[0].rows() > 0 {
        assert!(begin.elapsed() < std::time::Duration::from_secs(10), "it still runs");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_query_ends_with_the_reason_whether_its_reader_reads_or_not() {
    let fixture = Fixture::new();
    fixture.write(batch(1, &(1..=40).collect::<Vec<i64>>())).await.unwrap();
    let request = proto::QueryRequest {
        database: "d".to_owned(),
        query: "SELECT * FROM cpu;".repeat(500),
        ..Default::default()
    };
    let mut client = QueryServiceClient::new(fixture.router());
    let mut parts = client.query(request).await.unwrap().into_inner();
    parts.message().await.unwrap();
    // Until the statements wait for the reader: none has ended for a while.
    // There is no such line before the first one has, and its rows are sent
    // before that.
    let ended = || {
        let metrics = fixture.app.render_metrics();
        let mut lines = metrics.lines();
        lines.find(|line| line.starts_with("tsdb_query_statements_total")).map(str::to_owned)
    };
    let (mut before, mut calm) = (ended(), 0);
    while calm < 50 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        let now = ended();
        calm = if now.is_some() && now == before { calm + 1 } else { 0 };
        before = now;
    }
    // 1 was the first query of this server.
    fixture.app.running().kill(1).unwrap();
    let begin = std::time::Instant::now();
    while fixture.app.running().show(0, &crate::auth::Who::Everyone).series[0].rows() > 0 {
        assert!(begin.elapsed() < std::time::Duration::from_secs(1), "it still runs");
        tokio::task::yield_now().await;
    }
    let mut read = 0;
    let status = loop {
        match parts.message().await {
            Ok(Some(_)) => read += 1,
            Ok(None) => panic!("the call ended well"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Cancelled);
    assert!(status.message().starts_with("query was killed"), "{status:?}");
    assert!(read < 500, "{read}");
    drop(parts);
    assert_eq!(fixture.app.budget().used(Pool::Queries), 0);
}

#[tokio::test]
async fn messages_are_paid_for_once_and_refused_without_memory() {
    // Room for one message of some 20 KB and for the rows that are made of it.
    let pool = 4 << 20;
    let fixture = Fixture::within(MemoryBudget::with_limits([pool; 5]));
    let bodies = || fixture.app.budget().used(Pool::Bodies);
    let times = |count: i64| (1..=count).collect::<Vec<i64>>();
    assert_eq!(fixture.write(batch(1, &times(1000))).await.unwrap().rows_stored, 1000);
    assert_eq!(bodies(), 0);
    let refused = fixture.write(batch(2, &times(250_000))).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.message().contains("--memory-limit"), "{refused:?}");
    assert_eq!(bodies(), 0);
    // Of a stream too, and the next one finds the memory free.
    for count in [250_000, 1000] {
        let mut client = WriteServiceClient::new(fixture.router());
        let batches =
            tonic::codegen::tokio_stream::iter([batch(3, &times(10)), batch(4, &times(count))]);
        let mut answers = client.write_stream(batches).await.unwrap().into_inner();
        assert_eq!(answers.message().await.unwrap().unwrap().rows_stored, 10);
        let second = answers.message().await.map(|answer| answer.unwrap().rows_stored);
        if count == 1000 {
            assert_eq!(second.unwrap(), 1000);
            assert!(answers.message().await.unwrap().is_none());
        } else {
            assert_eq!(second.unwrap_err().code(), Code::Unavailable);
        }
        drop(answers);
        while bodies() > 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn the_server_describes_itself() {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

    let fixture = Fixture::new();
    let mut client = ServerReflectionClient::new(fixture.router());
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let stream = tonic::codegen::tokio_stream::iter([request]);
    let mut answers = client.server_reflection_info(stream).await.unwrap().into_inner();
    let answer: ServerReflectionResponse = answers.message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("{answer:?}")
    };
    let names: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
    for name in [
        "tsdb.v1.WriteService",
        "tsdb.v1.QueryService",
        "tsdb.v1.HealthService",
        "opentelemetry.proto.collector.metrics.v1.MetricsService",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
}
