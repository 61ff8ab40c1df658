//! Compiles the gRPC contract in `proto` to Rust, without a protoc binary, and keeps its descriptors for
//! reflection.

use std::error::Error;
use std::path::PathBuf;

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=../../proto");
    let own = "tsdb/v1/tsdb.proto";
    // Its messages are read by hand; reflection describes the call.
    let otlp = "opentelemetry/proto/collector/metrics/v1/metrics_service.proto";
    let descriptors = protox::compile([own, otlp], ["../../proto"])?;
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    let descriptors = protox::compile([own], ["../../proto"])?;
    // Connections are made and served by hyper, so that tonic needs no transport of its own.
    // Maps in order: series whose tags come in the same order as the last time are found faster.
    tonic_prost_build::configure()
        .build_transport(false)
        .btree_map(".")
        .codec_path("crate::grpc::codec::Messages")
        .compile_fds(descriptors)?;
    Ok(())
}
