//! `HealthService`: what `/health` says.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::proto;
use crate::app::App;

/// The service.
pub struct Health(Arc<App>);

impl Health {
    pub(super) fn new(app: &Arc<App>) -> Health {
        Health(Arc::clone(app))
    }
}

#[tonic::async_trait]
impl proto::health_service_server::HealthService for Health {
    async fn health(
        &self,
        _: Request<proto::HealthRequest>,
    ) -> Result<Response<proto::HealthResponse>, Status> {
        let failure = self.0.failure();
        let serving = failure.is_none();
        let reason = failure.unwrap_or_default();
        Ok(Response::new(proto::HealthResponse { serving, reason }))
    }
}
