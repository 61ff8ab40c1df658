//! Letting requests in: what their route needs, and who sends them. What depends on a database or a statement is
//! asked later, of [`Who`].

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};

use super::failures::Failure;
use super::{Auth, NO_CREDENTIAL, Who, credential, unauthorized};
use crate::http::observe::Door;
use crate::http::params::Params;
use crate::http::reply::{ApiError, header};

/// What somebody needs to have a request answered, where authentication is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing.
    Open,
    /// Any credential that is good.
    Known,
    /// One that is good, and READ on the database that the request names.
    Read,
    /// One that is good, and WRITE on the database that the request names.
    Write,
    /// One that is good, and what its statements need.
    Statements,
    /// The same, where the credential may also stand in a form body, and where the first administrator is created.
    Form,
    /// One of an administrator.
    Admin,
}

/// The address at the other end of the connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// Finds out who sends a request, and leaves [`Who`] in its extensions.
///
/// # Errors
/// 401 without a good credential; 403 for what is an administrator's matter alone; 503 where passwords are tried too
/// often.
pub async fn admit(door: &Door, access: Access, request: &mut Parts) -> Result<(), ApiError> {
    let who = who(door, access, request).await?;
    if access == Access::Admin && !who.is_admin() {
        let (name, path) = (who.name(), request.uri.path());
        let message = format!("{name:?} is not authorized for {path}, requires admin privilege");
        return Err(ApiError::new(StatusCode::FORBIDDEN, message));
    }
    request.extensions.insert(who);
    Ok(())
}

async fn who(door: &Door, access: Access, request: &Parts) -> Result<Who, ApiError> {
    let auth: &Arc<Auth> = door.app.auth();
    if !auth.is_on() {
        return Ok(Who::Everyone);
    }
    // Tests have no connection.
    let peer = request.extensions.get::<Peer>();
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.0);
    let nobody = Who::Nobody { peer, is_local: door.is_on_loopback };
    if access == Access::Open {
        return Ok(nobody);
    }
    let params = Params::of_query(request.uri.query().unwrap_or_default());
    let Some(credential) = credential::of_request(&params, &request.headers) else {
        let may_come_later = access == Access::Form && (is_form(request) || !auth.has_admin());
        if may_come_later {
            return Ok(nobody);
        }
        return Err(auth.refused(Failure::Missing, unauthorized(NO_CREDENTIAL)));
    };
    let failure = credential.failure();
    let identified = auth.identify(credential, peer).await;
    // As in InfluxDB, no credential is wrong before there is an administrator, since clients always send theirs.
    if access == Access::Form && identified.is_err() && !auth.has_admin() {
        return Ok(nobody);
    }
    identified.map_err(|refusal| auth.refused(failure, refusal))
}

/// Whether the body may hold the credential.
fn is_form(request: &Parts) -> bool {
    let media = header(&request.headers, CONTENT_TYPE).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    let is_form = media.eq_ignore_ascii_case("application/x-www-form-urlencoded");
    request.method == Method::POST && is_form
}
