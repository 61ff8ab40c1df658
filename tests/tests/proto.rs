//! The published gRPC contract compiles, without a protoc binary, and has the calls that it promises.

use std::path::Path;

#[test]
fn published_protos_compile_and_name_their_calls() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto");
    let files = protox::compile(["tsdb/v1/tsdb.proto"], [directory]).unwrap();
    let file = files.file.iter().find(|file| file.package() == "tsdb.v1").unwrap();
    let mut calls: Vec<String> = Vec::new();
    for service in &file.service {
        for method in &service.method {
            let stream = |on: bool| if on { "stream " } else { "" };
            calls.push(format!(
                "{}.{}({}) -> {}",
                service.name(),
                method.name(),
                stream(method.client_streaming()).trim(),
                stream(method.server_streaming()).trim()
            ));
        }
    }
    assert_eq!(
        calls,
        [
            "WriteService.Write() -> ",
            "WriteService.WriteStream(stream) -> stream",
            "QueryService.Query() -> stream",
            "HealthService.Health() -> ",
        ]
    );
}
