//! The HTTP surface: the table of routes, and the router that is made of it.
//!
//! Not here: what the handlers do (`http/write.rs`, `http/query.rs`, …), and connections (`listen.rs`).

pub mod admin;
mod answer;
pub mod body;
pub mod cardinality;
pub mod console;
pub mod formats;
pub mod guard;
pub mod metadata;
pub mod native;
pub mod observe;
pub mod ops;
pub mod otlp;
pub mod params;
pub mod query;
mod refusals;
pub mod remote_write;
pub mod reply;
pub mod snapshots;
pub mod stream;
pub mod write;
pub mod write_v2;
pub mod write_v3;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, Uri};
use axum::middleware;
use axum::routing::{MethodRouter, get, post};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;

use crate::app::App;
use crate::auth::Access;
use crate::grpc;
use reply::ApiError;

/// Shorter answers go into one packet as they are.
const PACKED_BYTES_MIN: u64 = 1400;

/// One path of the server.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// The path, without parameters.
    pub path: &'static str,
    /// Its methods, as the `Allow` header lists them.
    pub methods: &'static str,
    /// What somebody needs to have it answered.
    pub access: Access,
    handlers: fn() -> MethodRouter<Arc<App>>,
}

/// All paths. Tests go through this table, so that none is forgotten.
pub const ROUTES: [Route; 18] = [
    Route {
        path: "/",
        methods: "GET, HEAD",
        access: Access::Known,
        handlers: || get(console::page),
    },
    Route {
        path: "/ping",
        methods: "GET, HEAD",
        access: Access::Open,
        handlers: || get(ops::ping),
    },
    Route {
        path: "/health",
        methods: "GET, HEAD",
        access: Access::Open,
        handlers: || get(ops::health),
    },
    Route {
        path: "/metrics",
        methods: "GET, HEAD",
        access: Access::Known,
        handlers: || get(ops::metrics),
    },
    Route {
        path: "/write",
        methods: "POST",
        access: Access::Write,
        handlers: || post(write::write),
    },
    Route {
        path: "/api/v2/write",
        methods: "POST",
        access: Access::Write,
        handlers: || post(write_v2::write),
    },
    Route {
        path: "/api/v3/write_lp",
        methods: "POST",
        access: Access::Write,
        handlers: || post(write_v3::write),
    },
    Route {
        path: "/query",
        methods: "GET, HEAD, POST",
        access: Access::Form,
        handlers: || get(query::by_get).post(query::by_post),
    },
    Route {
        path: "/api/v1/query",
        methods: "POST",
        access: Access::Form,
        handlers: || post(native::query),
    },
    Route {
        path: formats::PATH,
        methods: "POST",
        access: Access::Write,
        handlers: || post(formats::write),
    },
    Route {
        path: "/v1/metrics",
        methods: "POST",
        access: Access::Write,
        handlers: || post(otlp::export),
    },
    Route {
        path: "/api/v1/otlp/v1/metrics",
        methods: "POST",
        access: Access::Write,
        handlers: || post(otlp::export),
    },
    Route {
        path: "/opentelemetry/v1/metrics",
        methods: "POST",
        access: Access::Write,
        handlers: || post(otlp::export),
    },
    Route {
        path: "/api/v1/metadata",
        methods: "GET, HEAD",
        access: Access::Read,
        handlers: || get(metadata::list),
    },
    Route {
        path: "/api/v1/status/tsdb",
        methods: "GET, HEAD",
        access: Access::Read,
        handlers: || get(cardinality::report),
    },
    Route {
        path: "/api/v1/admin/flush",
        methods: "POST",
        access: Access::Admin,
        handlers: || post(admin::flush),
    },
    Route {
        path: "/api/v1/admin/compact",
        methods: "POST",
        access: Access::Admin,
        handlers: || post(admin::compact),
    },
    Route {
        path: "/api/v1/admin/snapshot",
        methods: "GET, HEAD, POST, DELETE",
        access: Access::Admin,
        handlers: || get(snapshots::list).post(snapshots::make).delete(snapshots::remove),
    },
];

/// The route of `path`, if there is one.
pub fn find(path: &str) -> Option<&'static Route> {
    ROUTES.iter().find(|route| route.path == path)
}

/// What metrics call a path: the route, the call of gRPC, or one word for all others, so that a client
/// cannot invent new names.
pub fn label(path: &str) -> &'static str {
    let call = || grpc::find(path).map(|call| call.path);
    find(path).map(|route| route.path).or_else(call).unwrap_or("other")
}

/// What a path needs. One that is in no table needs a credential all the same.
fn access(path: &str) -> Access {
    let call = || grpc::find(path).map(|call| call.access);
    find(path).map(|route| route.access).or_else(call).unwrap_or(Access::Known)
}

/// The service that answers requests, those of gRPC included.
pub fn router(app: Arc<App>) -> Router {
    let calls = grpc::router(&app);
    let is_on_loopback = app.is_on_loopback();
    serving(app, |_| true, calls, is_on_loopback)
}

/// The service of a port of its own for OTLP, over HTTP and gRPC. `is_on_loopback` says whether that port can be
/// reached from this machine alone.
pub fn otlp_router(app: Arc<App>, is_on_loopback: bool) -> Router {
    let calls = grpc::otlp::router(&app);
    serving(app, is_of_otlp, calls, is_on_loopback)
}

fn is_of_otlp(route: &Route) -> bool {
    otlp::PATHS.contains(&route.path)
}

/// A service of some routes, and of `calls`.
fn serving(
    app: Arc<App>,
    is_served: fn(&Route) -> bool,
    calls: Router,
    is_on_loopback: bool,
) -> Router {
    let routes = ROUTES.iter().filter(|route| is_served(route));
    let routes =
        routes.fold(Router::new(), |router, route| router.route(route.path, (route.handlers)()));
    let door = observe::Door { app: Arc::clone(&app), is_on_loopback };
    // The calls need no state beside their own, and pack their messages by themselves.
    routes
        .layer(packing())
        .merge(calls.with_state(()))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(move |uri: Uri| async move { not_found(&uri, is_served) })
        // Handlers take bodies in their own way and under their own limits, see `body.rs`.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(door, observe::observe))
        .with_state(app)
}

/// Packs answers for clients that take them so, as fast as can be: it happens on the threads of the connections.
fn packing() -> CompressionLayer<SizeAbove> {
    CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(SizeAbove::new(PACKED_BYTES_MIN))
}

fn not_found(uri: &Uri, is_served: fn(&Route) -> bool) -> ApiError {
    let path: String = uri.path().chars().take(256).collect();
    let known = ROUTES.iter().filter(|route| is_served(route));
    let known: Vec<&str> = known.map(|route| route.path).collect();
    let message = format!("path {path:?} not found: there are {}", known.join(", "));
    ApiError::new(StatusCode::NOT_FOUND, message)
}

async fn method_not_allowed(uri: Uri) -> ApiError {
    let refusal =
        ApiError::method_not_allowed(find(uri.path()).map_or("GET", |route| route.methods));
    if uri.path().starts_with(write_v2::PREFIX) { refusal.with_code() } else { refusal }
}
