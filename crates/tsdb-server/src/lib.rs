//! The server binary: HTTP API, configuration, resource management, telemetry.
