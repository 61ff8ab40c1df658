//! `/`: the page for people, one file without outside requests, and the policy that holds it to that.
//!
//! Not here: what the page does (`console.html`), and who may ask for it (`guard.rs`).

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY,
    X_FRAME_OPTIONS,
};
use axum::response::Response;

use super::reply::header_text;
use crate::app::App;

/// The page. `{{nonce}}` stands where its style and its script begin, `{{version}}` in its head line.
const PAGE: &str = include_str!("console.html");

/// Longest policy; it is shorter by far, and cut it would not be one.
const POLICY_BYTES_MAX: usize = 1024;

/// `GET|HEAD /`: the page.
pub async fn page(State(app): State<Arc<App>>) -> Response {
    let rng = &app.env().rng;
    let nonce = format!("{:016x}{:016x}", rng.next_u64(), rng.next_u64());
    let text = PAGE.replace("{{nonce}}", &nonce).replace("{{version}}", env!("CARGO_PKG_VERSION"));
    let mut response = Response::new(text.into());
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        // A copy would come with an old nonce, and be the page of another version after an upgrade.
        (CACHE_CONTROL, "no-store"),
        // What CSP says by frame-ancestors, for browsers that know only this.
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(CONTENT_SECURITY_POLICY, header_text(&policy(&nonce), POLICY_BYTES_MAX));
    response
}

/// What the page may do: its own style and script, the icon inside it, and requests to this server. Names
/// that others stored are shown on it, so it must not be able to turn text into markup (trusted types),
/// nor to send anything elsewhere.
fn policy(nonce: &str) -> String {
    format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parts of the page between `begin` and `end`.
    fn between(begin: &str, end: &str) -> Vec<&'static str> {
        PAGE.split(begin).skip(1).filter_map(|rest| Some(rest.split_once(end)?.0)).collect()
    }

    #[test]
    fn the_page_is_one_small_file() {
        assert!(PAGE.len() < 100 << 10, "{} bytes", PAGE.len());
        for scheme in ["http:", "https:", "ws:", "wss:", "//cdn", "@import", "url("] {
            assert!(!PAGE.contains(scheme), "{scheme} could lead outside");
        }
        for link in between("href=\"", "\"").into_iter().chain(between("src=\"", "\"")) {
            let is_inside = ["#write", "health", "metrics"].contains(&link);
            assert!(is_inside || link.starts_with("data:image/png;base64,"), "{link}");
        }
    }

    #[test]
    fn only_what_carries_the_nonce_is_style_or_script() {
        for tag in ["style", "script"] {
            let heads = between(&format!("<{tag}"), ">");
            assert_eq!(heads.len(), 1, "{tag}");
            assert!(heads[0].ends_with(" nonce=\"{{nonce}}\""), "{tag}{}", heads[0]);
        }
        assert_eq!(PAGE.matches("{{nonce}}").count(), 2);
        assert_eq!(PAGE.matches("{{version}}").count(), 1);
        assert!(!PAGE.contains(" style=\""), "the policy refuses styles in attributes");
    }

    #[test]
    fn nothing_on_the_page_makes_markup_or_code_of_text() {
        for sink in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "DOMParser",
            "createContextualFragment",
            "srcdoc",
            "eval(",
            "Function(",
            "setTimeout('",
            "javascript:",
        ] {
            assert!(!PAGE.contains(sink), "{sink}");
        }
    }

    #[test]
    fn the_policy_is_whole() {
        let policy = policy(&"f".repeat(32));
        assert!(policy.len() < POLICY_BYTES_MAX, "{}", policy.len());
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    }
}
