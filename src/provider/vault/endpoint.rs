//! Requests that `vaultrs` does not have, and the headers of every request.
//!
//! `vaultrs`'s own middleware is not used: it panics on a header value with a line break, and parses the URL again.

use http::HeaderValue;
use http::uri::{PathAndQuery, Uri};
use rustify::endpoint::{Endpoint, MiddleWare};
use rustify::enums::{RequestMethod, RequestType, ResponseType};
use rustify::errors::ClientError;
use serde::Serialize;

use crate::domain::SecretBytes;
use crate::provider::{Class, Failure};

/// A token as a header value that `Debug` hides.
pub(super) fn header(secret: &SecretBytes) -> Result<HeaderValue, Failure> {
    let mut header = HeaderValue::from_bytes(secret.expose())
        .map_err(|_| Failure::new(Class::Malformed, "the token has a character no header can carry"))?;
    header.set_sensitive(true);
    Ok(header)
}

/// One request to a logical path. `rustify` percent-encodes the path segment by segment.
pub(super) struct Call {
    method: RequestMethod,
    path: String,
    query: Option<String>,
    body: Option<Vec<u8>>,
}

impl Call {
    /// A GET; `version` is that of KV v2.
    pub(super) fn read(path: &str, version: Option<u32>) -> Self {
        let query = version.map(|version| format!("version={version}"));
        Self { method: RequestMethod::GET, path: path.to_owned(), query, body: None }
    }

    /// Sets the query of the request.
    pub(super) fn with_query(self, query: &str) -> Self {
        Self { query: Some(query.to_owned()), ..self }
    }

    /// A PUT with a JSON body.
    pub(super) fn write(path: &str, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).expect("names and texts are JSON");
        Self { method: RequestMethod::PUT, path: path.to_owned(), query: None, body: Some(body) }
    }
}

impl Endpoint for Call {
    type Response = ();
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        self.path.clone()
    }

    fn method(&self) -> RequestMethod {
        self.method.clone()
    }

    fn query(&self) -> Result<Option<String>, ClientError> {
        Ok(self.query.clone())
    }

    fn body(&self) -> Result<Option<Vec<u8>>, ClientError> {
        Ok(self.body.clone())
    }
}

/// Middleware that adds `/v1` in front of the path (`vaultrs`'s paths begin with a slash, which would be doubled after
/// a base URL with one), and the headers `X-Vault-Request`, `X-Vault-Namespace` and `X-Vault-Token`. The values are
/// valid headers, so it cannot fail.
pub(super) struct Envelope {
    pub(super) namespace: Option<HeaderValue>,
    pub(super) token: Option<HeaderValue>,
}

impl MiddleWare for Envelope {
    /// Completes a request: the path's prefix, and the headers for namespace and token.
    fn request<E: Endpoint>(&self, _: &E, request: &mut http::Request<Vec<u8>>) -> Result<(), ClientError> {
        *request.uri_mut() = versioned(request.uri());
        let headers = request.headers_mut();
        headers.insert("X-Vault-Request", HeaderValue::from_static("true"));
        if let Some(namespace) = &self.namespace {
            headers.insert("X-Vault-Namespace", namespace.clone());
        }
        if let Some(token) = &self.token {
            headers.insert("X-Vault-Token", token.clone());
        }
        Ok(())
    }

    fn response<E: Endpoint>(&self, _: &E, _: &mut http::Response<Vec<u8>>) -> Result<(), ClientError> {
        Ok(())
    }
}

/// The URI with `/v1` in front of its path.
fn versioned(uri: &Uri) -> Uri {
    let mut parts = uri.clone().into_parts();
    let rest = parts.path_and_query.as_ref().map_or("/", PathAndQuery::as_str);
    parts.path_and_query = Some(PathAndQuery::try_from(format!("/v1{rest}")).expect("a path behind /v1 is a path"));
    Uri::from_parts(parts).expect("scheme, host and path stay what they were")
}

#[cfg(test)]
mod tests {
    use super::*;
    use vaultrs::api::token::requests::RevokeTokenSelfRequest;

    const BARE: Envelope = Envelope { namespace: None, token: None };

    fn url(endpoint: impl Endpoint) -> String {
        endpoint.with_middleware(&BARE).request("https://vault.test:8200").unwrap().uri().to_string()
    }

    #[test]
    fn a_path_reaches_the_server_exactly() {
        for (path, encoded) in [
            ("secret/data/api", "secret/data/api"),
            ("kv/a?b#c%d", "kv/a%3Fb%23c%25d"),
            ("kv/a b/ü", "kv/a%20b/%C3%BC"),
            ("kv/%2e%2e/%2Fx", "kv/%252e%252e/%252Fx"),
            ("kv/a+b&c=d;e:f@g", "kv/a+b&c=d;e:f@g"),
            ("kv/\\x", "kv/%5Cx"),
        ] {
            assert_eq!(url(Call::read(path, None)), format!("https://vault.test:8200/v1/{encoded}"));
        }
        assert_eq!(url(Call::read("a", Some(3))), "https://vault.test:8200/v1/a?version=3");
    }

    #[test]
    fn a_path_of_vaultrs_that_begins_with_a_tab_and_a_slash_is_clean_on_the_wire() {
        assert_eq!(url(RevokeTokenSelfRequest {}), "https://vault.test:8200/v1/auth/token/revoke-self");
    }
}
