//! Refuses requests that a web page made a browser send (security checklist 8): a server on loopback
//! without authentication is open to every page its user visits, unless it looks at where requests
//! come from.
//!
//! - DNS rebinding: a page from `evil.example`, whose name was made to point to 127.0.0.1, sends
//!   `Host: evil.example`. On loopback only IP literals and `localhost` are answered.
//! - Cross-site requests: browsers name the page in `Origin` and `Sec-Fetch-Site`. Such a request may
//!   read nothing (there are no CORS headers) and must change nothing.

use std::net::IpAddr;

use axum::http::header::{HOST, HeaderName, ORIGIN};
use axum::http::{HeaderMap, Method, StatusCode, Uri};

use super::reply::{ApiError, header, header_text};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Checks where a request comes from; `loopback` says whether the server listens there.
///
/// # Errors
/// 403 with the reason; 400 for a request that names two hosts (RFC 9112, section 3.2).
pub fn check(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    loopback: bool,
) -> Result<(), ApiError> {
    // What stands before the server may have looked at the other one.
    if headers.get_all(HOST).iter().nth(1).is_some() {
        return Err(ApiError::bad_request("the request has several Host headers: send one"));
    }
    let host = uri.authority().map(|a| a.as_str()).or_else(|| header(headers, HOST));
    if let Some(host) = host.filter(|host| loopback && !is_local_name(host)) {
        let host = header_text(host, 256);
        return Err(forbidden(format!(
            "host {host:?} is not served here: use 127.0.0.1 or localhost in the URL"
        )));
    }
    let reads_only = matches!(*method, Method::GET | Method::HEAD);
    if !reads_only && is_from_other_site(headers, host) {
        return Err(forbidden(
            "cross-site requests are refused: send the request without a browser",
        ));
    }
    Ok(())
}

/// Whether a browser sent the request. Statements that change something are refused then, if they come
/// by GET, since a mere image on a page sends such requests.
pub fn is_from_browser(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN)
        || matches!(header(headers, SEC_FETCH_SITE), Some("cross-site" | "same-site"))
}

fn is_from_other_site(headers: &HeaderMap, host: Option<&str>) -> bool {
    if matches!(header(headers, SEC_FETCH_SITE), Some("cross-site" | "same-site")) {
        return true;
    }
    let Some(origin) = header(headers, ORIGIN) else { return headers.contains_key(ORIGIN) };
    let origin_host = origin.split_once("://").map(|(_, rest)| rest);
    origin_host.is_none() || origin_host != host
}

/// Whether `host` (with or without a port) is an IP literal or a name that is always this machine.
fn is_local_name(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(address, _)| address.parse::<IpAddr>().is_ok());
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let name = name.to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || name.parse::<IpAddr>().is_ok()
}

fn forbidden(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn hosts_on_loopback() {
        let uri = Uri::from_static("/query");
        for (host, allowed) in [
            ("127.0.0.1:8086", true),
            ("localhost", true),
            ("LOCALHOST:1", true),
            ("db.localhost:8086", true),
            ("[::1]:8086", true),
            ("192.168.1.7", true),
            ("evil.example:8086", false),
            ("127.0.0.1.evil.example", false),
            ("localhost.evil.example", false),
            ("[evil", false),
            ("", false),
        ] {
            let headers = headers(&[(HOST, host)]);
            assert_eq!(check(&Method::GET, &uri, &headers, true).is_ok(), allowed, "{host:?}");
            assert!(check(&Method::GET, &uri, &headers, false).is_ok(), "{host:?}");
        }
        assert!(check(&Method::GET, &uri, &HeaderMap::new(), true).is_ok());
        let mut two = headers(&[(HOST, "localhost")]);
        two.append(HOST, HeaderValue::from_static("evil.example"));
        for loopback in [true, false] {
            let refused = check(&Method::GET, &uri, &two, loopback).unwrap_err();
            assert_eq!(refused.status(), 400);
        }
        let absolute = Uri::from_static("http://evil.example/query");
        assert!(check(&Method::GET, &absolute, &HeaderMap::new(), true).is_err());
    }

    #[test]
    fn pages_cannot_write() {
        let uri = Uri::from_static("/write");
        let host = (HOST, "127.0.0.1:8086");
        for (pair, allowed) in [
            ((ORIGIN, "http://127.0.0.1:8086"), true),
            ((ORIGIN, "http://127.0.0.1:3000"), false),
            ((ORIGIN, "https://evil.example"), false),
            ((ORIGIN, "null"), false),
            ((SEC_FETCH_SITE, "cross-site"), false),
            ((SEC_FETCH_SITE, "same-site"), false),
            ((SEC_FETCH_SITE, "same-origin"), true),
            ((SEC_FETCH_SITE, "none"), true),
        ] {
            let headers = headers(&[host.clone(), pair.clone()]);
            assert_eq!(check(&Method::POST, &uri, &headers, true).is_ok(), allowed, "{pair:?}");
            assert!(check(&Method::GET, &uri, &headers, true).is_ok(), "{pair:?}");
        }
        assert!(check(&Method::POST, &uri, &headers(&[host]), true).is_ok());
    }

    #[test]
    fn browsers_are_told_apart() {
        assert!(!is_from_browser(&HeaderMap::new()));
        assert!(is_from_browser(&headers(&[(ORIGIN, "http://localhost:8086")])));
        assert!(is_from_browser(&headers(&[(SEC_FETCH_SITE, "cross-site")])));
        assert!(!is_from_browser(&headers(&[(SEC_FETCH_SITE, "none")])));
    }
}
