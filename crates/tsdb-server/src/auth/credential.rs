//! Credentials of requests: where InfluxDB's clients and others put them.
//!
//! Not here: whether they are good (`auth.rs`).

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tsdb_ql::Secret;

use super::failures::Failure;
use crate::http::params::Params;
use crate::http::reply::header;

/// What a request shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Credential {
    /// The name of a user and its password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A token.
    Token(Secret),
}

impl Credential {
    /// What it counts as if it is wrong.
    pub(super) fn failure(&self) -> Failure {
        match self {
            Credential::Password { .. } => Failure::User,
            Credential::Token(_) => Failure::Token,
        }
    }

    fn password(user: &str, password: &str) -> Credential {
        Credential::Password { user: user.to_owned(), password: Secret::new(password.to_owned()) }
    }
}

/// The credential of a request, as InfluxDB looks for it: `u` and `p` of the URL first, then `Authorization`.
pub(super) fn of_request(params: &Params, headers: &HeaderMap) -> Option<Credential> {
    of_params(params).or_else(|| of_header(header(headers, AUTHORIZATION)?))
}

/// `u` and `p`, if both are given.
pub(super) fn of_params(params: &Params) -> Option<Credential> {
    Some(Credential::password(params.filled("u")?, params.filled("p")?))
}

/// `Basic`, `Bearer TOKEN`, `Token TOKEN`, and `Token USER:PASSWORD`.
fn of_header(text: &str) -> Option<Credential> {
    let (scheme, rest) = text.trim().split_once(' ')?;
    let rest = rest.trim();
    let token = || Credential::Token(Secret::new(rest.to_owned()));
    match scheme.to_ascii_lowercase().as_str() {
        "basic" => {
            let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
            let (user, password) = decoded.split_once(':')?;
            Some(Credential::password(user, password))
        }
        "bearer" => Some(token()),
        "token" => match rest.split_once(':') {
            Some((user, password)) => Some(Credential::password(user, password)),
            None => Some(token()),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn credentials_are_found_where_clients_put_them() {
        let password = |user: &str, text: &str| Some(Credential::password(user, text));
        let token = |text: &str| Some(Credential::Token(Secret::new(text.to_owned())));
        for (query, header, expected) in [
            ("u=a&p=b%26", "", password("a", "b&")),
            ("u=a&p=b", "Basic Yzpk", password("a", "b")),
            ("u=a", "Basic Yzpk", password("c", "d")),
            ("p=b", "", None),
            ("u=a&p=", "", None),
            ("", "Basic YzpkOmU=", password("c", "d:e")),
            ("", "basic Yzo=", password("c", "")),
            ("", "Basic Yw==", None),
            ("", "Basic ???", None),
            ("", "Basic /w==", None),
            ("", "Token a:b:c", password("a", "b:c")),
            ("", "Token abc", token("abc")),
            ("", "bearer  abc ", token("abc")),
            ("", "Digest abc", None),
            ("", "abc", None),
        ] {
            let mut headers = HeaderMap::new();
            if !header.is_empty() {
                headers.insert(AUTHORIZATION, HeaderValue::from_static(header));
            }
            let found = of_request(&Params::of_query(query), &headers);
            assert_eq!(found, expected, "{query} {header}");
            assert!(!format!("{found:?}").contains("abc"), "never shown");
        }
    }
}
