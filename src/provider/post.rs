//! One POST without a body to a URL of the configuration: no redirect is followed, and the answer's body is not read.

use std::time::Duration;

use super::tls::{self, Trust};

/// How long all of it may take.
const WITHIN: Duration = Duration::from_secs(5);

/// Why nobody was told.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// No client for that URL.
    #[error("it cannot be asked: {0}")]
    Unusable(String),
    /// Nobody answered.
    #[error("{0}")]
    Unanswered(&'static str),
    /// The answer is no success.
    #[error("it answered {0}")]
    Refused(u16),
}

/// Posts to `url`, and waits for the answer's status.
pub async fn post(url: &str) -> Result<(), PostError> {
    let unusable = |error: &dyn std::fmt::Display| PostError::Unusable(error.to_string());
    // Nobody is trusted where nothing is encrypted: the system's certificates are read only when they are needed.
    let trust = if url.starts_with("https://") { Trust::System } else { Trust::Nobody };
    let tls = tls::client_config(&trust, None).map_err(|error| unusable(&error))?;
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(WITHIN)
        .build()
        .map_err(|_| PostError::Unusable("the client cannot be set up".to_owned()))?;
    let answer = client.post(url).send().await.map_err(|error| {
        let why = match () {
            () if error.is_timeout() => "no answer within 5 s",
            () if error.is_connect() => "nobody listens there",
            () => "the connection was cut",
        };
        PostError::Unanswered(why)
    })?;
    if answer.status().is_success() { Ok(()) } else { Err(PostError::Refused(answer.status().as_u16())) }
}
