//! gRPC over a socket: the published contract, the release server, HTTP/2 without TLS on the port of HTTP.

use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tonic::body::Body;
use tsdb_server::grpc::proto;
use tsdb_tests::server::Server;

use proto::query_response::Outcome;
use proto::query_service_client::QueryServiceClient;
use proto::result_column::Values;
use proto::write_service_client::WriteServiceClient;

fn http2() -> Client<HttpConnector, Body> {
    Client::builder(TokioExecutor::new()).http2_only(true).build_http()
}

fn batch(id: u64, rows: i64) -> proto::WriteRequest {
    let first = i64::try_from(id).unwrap_or(0) * rows;
    let times: Vec<i64> = (first..first + rows).map(|row| row * 1_000_000_000).collect();
    let values = times.iter().map(|time| *time as f64).collect();
    let series = proto::SeriesRows {
        tags: [("host".to_owned(), format!("h{}", id % 3))].into(),
        times,
        columns: vec![proto::Column { values, presence: Vec::new() }],
    };
    let table = proto::Table {
        measurement: "cpu".to_owned(),
        field_names: vec!["usage".to_owned()],
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
async fn end_to_end_queries_read_back_what_a_stream_acknowledged_before_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let origin = format!("http://{}", server.address()).parse().unwrap();
    let mut writer = WriteServiceClient::with_origin(http2(), origin);
    let batches = tonic::codegen::tokio_stream::iter((0..50).map(|id| batch(id, 1000)));
    let mut answers = writer.write_stream(batches).await.unwrap().into_inner();
    let mut stored = 0;
    while let Some(answer) = answers.message().await.unwrap() {
        assert_eq!(answer.batch_id * 1000, stored);
        stored += answer.rows_stored;
    }
    assert_eq!(stored, 50_000);
    server.kill();

    let server = Server::start(dir.path(), &[]);
    let origin = format!("http://{}", server.address()).parse().unwrap();
    let mut reader = QueryServiceClient::with_origin(http2(), origin);
    let request = proto::QueryRequest {
        database: "d".to_owned(),
        query: "SELECT usage FROM cpu WHERE host = $host".to_owned(),
        parameters: [(
            "host".to_owned(),
            proto::Parameter { value: Some(proto::parameter::Value::Text("h0".to_owned())) },
        )]
        .into(),
        ..Default::default()
    };
    let mut parts = reader.query(request).await.unwrap().into_inner();
    let (mut rows, mut part_count) = (0, 0);
    while let Some(part) = parts.message().await.unwrap() {
        let Some(Outcome::Series(series)) = part.outcome else { continue };
        let Some(Values::Numbers(usage)) = &series.columns[1].values else { panic!("{series:?}") };
        rows += usage.values.len();
        part_count += 1;
        assert_eq!(series.more_rows, rows < 17_000);
    }
    assert_eq!((rows, part_count), (17_000, 2));

    // The same port speaks HTTP/1.1, and counts the calls.
    let metrics = server.client().get("/metrics").unwrap().text();
    assert!(metrics.contains("path=\"/tsdb.v1.QueryService/Query\""), "{metrics}");
}
