//! Sends one POST without a body to a configured URL. Redirects are not followed, and the response body is not read.

use std::time::Duration;

use super::tls::{self, Trust};

/// The timeout of the whole request.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why the request did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// No client can be made for that URL.
    #[error("it cannot be asked: {0}")]
    Unusable(String),
    /// There was no response.
    #[error("{0}")]
    Unanswered(&'static str),
    /// The response has no success status.
    #[error("it answered {0}")]
    Refused(u16),
}

/// Posts to `url` and waits for the response's status.
pub async fn post(url: &str) -> Result<(), PostError> {
    let unusable = |error: &dyn std::fmt::Display| PostError::Unusable(error.to_string());
    // Without TLS no certificates are needed, and loading the system's would cost time.
    let trust = if url.starts_with("https://") { Trust::System } else { Trust::Nobody };
    let tls = tls::client_config(&trust, None).map_err(|error| unusable(&error))?;
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(TIMEOUT)
        .build()
        .map_err(|_| PostError::Unusable("the client cannot be set up".to_owned()))?;
    let answer = client.post(url).send().await.map_err(|error| {
        let why = match () {
            () if error.is_timeout() => "no answer within 5 s",
            () if error.is_connect() => "nothing listens there",
            () => "the connection was cut",
        };
        PostError::Unanswered(why)
    })?;
    if answer.status().is_success() { Ok(()) } else { Err(PostError::Refused(answer.status().as_u16())) }
}
