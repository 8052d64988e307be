//! HTTP for Vault: a `rustify` client based on `reqwest`, with what Vault clients need and `rustify`'s own client
//! lacks.
//!
//! A response is returned whatever its status (so that `Retry-After` of failures can be read), body sizes are limited,
//! bodies are not logged, and failures have types. Proxies, the TLS server name and redirects are handled here.

mod client;
mod endpoint;
mod failure;
mod names;
mod redirect;
mod request_log;
mod trust;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::HeaderValue;
use http::header::HOST;
use reqwest::Url;
use rustify::errors::ClientError;
use tokio::sync::Semaphore;

use crate::config::{Ca, CertificateFiles, Vault};
use crate::domain::{LARGE_ANSWER_BYTES, MOST_ANSWER_BYTES};
use crate::identity::ClientCertificate;

use super::error::{Class, Failure};
use super::tls::{self, TlsError, Trust};

use endpoint::Endpoint;
use redirect::{origin, redirect};
use request_log::SentRequest;
use trust::{TrustSource, load_certificate};

pub(crate) use failure::TransportError;

/// The timeouts of one request.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For connecting, including TLS.
    pub connect: Duration,
    /// For the whole request, including connecting.
    pub request: Duration,
}

impl Default for Limits {
    /// 5 s for connecting; 30 s for the whole request, because a database may take long to create a user.
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), request: Duration::from_secs(30) }
    }
}

/// The HTTP client of one backend.
pub(crate) struct Transport {
    endpoint: Endpoint,
    redirect_hosts: Vec<String>,
    trust: TrustSource,
    certificate: Option<CertificateFiles>,
    limits: Limits,
    /// Acquired while a large response is received, so that parallel ones do not multiply the memory it needs.
    large: Arc<Semaphore>,
    state: RwLock<State>,
}

/// What may change while the process runs: certificates, and the client with its connections.
struct State {
    trust: Trust,
    tls: rustls::ClientConfig,
    certificate: Option<ClientCertificate>,
    /// Whether the certificate belongs to the auth method; then it is not replaced by that of the settings
    /// `vault.clientCertFile`.
    is_of_method: bool,
    http: reqwest::Client,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("address", &self.endpoint.address).finish_non_exhaustive()
    }
}

impl Transport {
    /// A client for the configured address. Reads the CA, but does not connect. Every failure is one of the
    /// configuration.
    pub(crate) fn new(config: &Vault, limits: Limits) -> Result<Self, Failure> {
        Self::with_known(config, limits, None)
    }

    /// A client for the next login. If a CA or certificate file cannot be read any more, the known content is used.
    pub(crate) fn successor(&self, config: &Vault, limits: Limits) -> Result<Self, Failure> {
        let (known, certificate) = {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            let certificate = self
                .certificate
                .as_ref()
                .and(state.certificate.as_ref())
                .filter(|_| !state.is_of_method)
                .map(ClientCertificate::copy);
            (state.trust.clone(), certificate)
        };
        Self::with_known(config, limits, Some((known, certificate)))
    }

    /// Builds a client; `known` is used for files that cannot be read.
    fn with_known(
        config: &Vault,
        limits: Limits,
        known: Option<(Trust, Option<ClientCertificate>)>,
    ) -> Result<Self, Failure> {
        let malformed = |why: String| Failure::new(Class::Malformed, why);
        let (known, known_certificate) = known.unzip();
        let endpoint = Endpoint::parse(config)?;
        let is_plain = endpoint.is_plain();
        let (trust, trusted) = trusted(config, is_plain, known)?;
        let certificate = match config.client_certificate.as_ref().filter(|_| !is_plain) {
            None => None,
            Some(files) => match (load_certificate(files, &trusted), known_certificate.flatten()) {
                (Ok(certificate), _) | (Err(_), Some(certificate)) => Some(certificate),
                (Err(why), None) => return Err(malformed(why)),
            },
        };
        let tls = tls::client_config(&trusted, certificate.as_ref()).map_err(|error| malformed(error.to_string()))?;
        let http = endpoint.client(&endpoint.host, &tls, limits);
        let http = http.ok_or_else(|| malformed("vault.proxy cannot be used".into()))?;
        Ok(Self {
            endpoint,
            redirect_hosts: config.redirect_hosts.clone(),
            trust,
            certificate: config.client_certificate.clone(),
            limits,
            large: Arc::new(Semaphore::new(1)),
            state: RwLock::new(State { trust: trusted, tls, certificate, is_of_method: false, http }),
        })
    }

    /// The server's address, as configured.
    pub(crate) fn address(&self) -> &str {
        &self.endpoint.address
    }

    /// Whether secrets would travel unencrypted over a network.
    pub(crate) fn is_plain_remote(&self) -> bool {
        self.endpoint.is_plain() && !self.endpoint.is_loopback()
    }

    /// Presents this certificate in every handshake from now on; Vault requires it for renewals of the token too.
    pub(crate) fn present_certificate(&self, certificate: &ClientCertificate) -> Result<(), TlsError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.certificate.as_ref().is_some_and(|shown| shown.is_same(certificate)) {
            return Ok(());
        }
        state.tls = tls::client_config(&state.trust, Some(certificate))?;
        state.certificate = Some(certificate.copy());
        state.is_of_method = true;
        self.reconnect(&mut state);
        Ok(())
    }

    /// Reloads changed CA and certificate files and replaces the HTTP client, which closes all idle connections (each
    /// keeps its last plaintext response in its buffers). TLS sessions stay resumable. To be called after a round of
    /// requests.
    pub(crate) fn reload_ca_and_reconnect(&self) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        self.reload_certificates(&mut state);
        self.reconnect(&mut state);
    }

    /// Loads CA and client certificate again, and uses them if they have changed.
    fn reload_certificates(&self, state: &mut State) {
        // A file that is being replaced may be unreadable or incomplete: keep the known content.
        if let Ok(trust) = self.trust.load()
            && trust != state.trust
            && let Ok(tls) = tls::client_config(&trust, state.certificate.as_ref())
        {
            (state.trust, state.tls) = (trust, tls);
        }
        // Likewise for our certificate, unless it belongs to the auth method.
        if let Some(files) = &self.certificate
            && !state.is_of_method
            && let Ok(certificate) = load_certificate(files, &state.trust)
            && state.certificate.as_ref().is_none_or(|shown| !shown.is_same(&certificate))
            && let Ok(tls) = tls::client_config(&state.trust, Some(&certificate))
        {
            (state.certificate, state.tls) = (Some(certificate), tls);
        }
    }

    /// Replaces the HTTP client, and with it all connections.
    fn reconnect(&self, state: &mut State) {
        if let Some(http) = self.endpoint.client(&self.endpoint.host, &state.tls, self.limits) {
            state.http = http;
        }
    }

    /// Sends one request and returns the response, whatever its status; follows one redirect.
    ///
    /// A Vault standby redirects to the active node with 307: the request is sent there once with the same method, body
    /// and token. Unlike Vault's own client, only hosts that the operator has listed are accepted, because the target
    /// gets the token. A write is not repeated for 301 and 302, which do not guarantee the same method. The scheme
    /// never changes, and no token leaves loopback unencrypted.
    async fn exchange(&self, request: http::Request<Vec<u8>>) -> Result<http::Response<Vec<u8>>, TransportError> {
        let (parts, body) = request.into_parts();
        let mut url = Url::parse(&parts.uri.to_string()).expect("an http::Uri with scheme and host is a URL");
        if !self.endpoint.prefix.is_empty() {
            url.set_path(&format!("{}{}", self.endpoint.prefix, url.path()));
        }
        let http = self.state.read().unwrap_or_else(PoisonError::into_inner).http.clone();
        let response = self.send_once(&http, &url, &parts, body.clone()).await?;
        let Some(target) = redirect(&url, &parts.method, &response, &self.redirect_hosts)? else {
            return Ok(response);
        };
        let http = match target.host_str() {
            Some(host) if self.endpoint.server_name.is_some() && host != self.endpoint.host => {
                let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
                self.endpoint.client(host, &state.tls, self.limits).unwrap_or(http)
            }
            _ => http,
        };
        let response = self.send_once(&http, &target, &parts, body).await?;
        match redirect(&target, &parts.method, &response, &self.redirect_hosts)? {
            None => Ok(response),
            Some(again) if again == url => Err(TransportError::Redirect {
                from: origin(&url),
                to: "itself".to_owned(),
                why: ", time after time; a proxy, an ingress or a standby that knows no other address does that",
            }),
            Some(again) => Err(TransportError::Redirect {
                from: origin(&target),
                to: origin(&again),
                why: ", the second redirect in a row; set vault.address to the active node or a load balancer",
            }),
        }
    }

    /// Sends one request and reads the response, without following redirects.
    async fn send_once(
        &self,
        http: &reqwest::Client,
        url: &Url,
        parts: &http::request::Parts,
        body: Vec<u8>,
    ) -> Result<http::Response<Vec<u8>>, TransportError> {
        if self.endpoint.uses_environment() {
            // The address itself was checked with the configuration; a redirect's target was not.
            self.endpoint.proxies.choose(url.scheme(), url.host_str().unwrap_or_default(), url.port())?;
        }
        let mut wire = url.clone();
        let mut headers = parts.headers.clone();
        if let Some(name) = &self.endpoint.server_name {
            // The URL contains the name for TLS; `NameOverrideResolver` connects it to the real host, which the Host
            // header names.
            let authority = origin(url).split_once("://").map(|(_, authority)| authority.to_owned());
            let authority = authority.and_then(|authority| HeaderValue::try_from(authority).ok());
            headers.insert(HOST, authority.expect("a URL's host and port are a header value"));
            wire.set_host(Some(name)).expect("a name that was parsed once");
        }
        let mut request = reqwest::Request::new(parts.method.clone(), wire);
        *request.headers_mut() = headers;
        if !body.is_empty() {
            *request.body_mut() = Some(body.into());
        }
        let sent = SentRequest::new(self, &parts.method, url);
        let why = |error: reqwest::Error| {
            sent.log_failure(&error);
            let address = if self.endpoint.socket.is_some() { self.endpoint.address.clone() } else { origin(url) };
            let why = failure::why(&error, &address, self.route(url).proxy(), &self.trust, self.limits);
            if matches!(why, TransportError::Tls(_)) {
                // The operator may have replaced the CA bundle: reload it before the next attempt.
                self.reload_ca_and_reconnect();
            }
            why
        };
        let mut response = http.execute(request).await.map_err(why)?;
        sent.log_answer(&response);
        if let Some(error) = failure::encoded(response.status(), response.headers()) {
            return Err(error);
        }
        let mut bytes = Vec::new();
        let mut large = None;
        while let Some(chunk) = response.chunk().await.map_err(why)? {
            let length = bytes.len().saturating_add(chunk.len());
            if length > MOST_ANSWER_BYTES {
                return Err(TransportError::TooLarge);
            }
            if length > LARGE_ANSWER_BYTES && large.is_none() {
                large = Some(self.large.acquire().await.expect("it is never closed"));
            }
            bytes.extend_from_slice(&chunk);
        }
        let mut answer = http::Response::new(bytes);
        *answer.status_mut() = response.status();
        *answer.headers_mut() = response.headers().clone();
        Ok(answer)
    }
}

/// Where the trusted certificates come from, and the current ones (the known ones while a CA file is being replaced).
fn trusted(config: &Vault, is_plain: bool, known: Option<Trust>) -> Result<(TrustSource, Trust), Failure> {
    let malformed = |why: String| Failure::new(Class::Malformed, why);
    let trust = match &config.ca {
        _ if is_plain => TrustSource::Fixed(Trust::Nobody),
        _ if config.skip_verify => TrustSource::Fixed(Trust::Anybody),
        None => TrustSource::Fixed(Trust::System),
        Some(Ca::Pem(pem)) => TrustSource::Fixed(Trust::Only(pem.clone().into_bytes())),
        Some(Ca::File(path)) => TrustSource::File(path.clone()),
        Some(Ca::Directory(path)) => TrustSource::Directory(path.clone()),
    };
    let is_usable = |trust: &Trust| tls::client_config(trust, None).is_ok();
    let trusted = match (trust.load(), known) {
        (Ok(trust), Some(known)) if !is_usable(&trust) => known,
        (Ok(trust), _) | (Err(_), Some(trust)) => trust,
        (Err((path, error)), None) => {
            let path = path.display();
            return Err(malformed(format!("the CA {} {path} cannot be read: {error}", trust.what())));
        }
    };
    if let Err(error) = tls::client_config(&trusted, None) {
        return Err(malformed(match &trust {
            TrustSource::File(path) | TrustSource::Directory(path) => {
                format!("the CA {} {} is no use: {error}", trust.what(), path.display())
            }
            TrustSource::Fixed(_) => format!("vault.ca is no use: {error}"),
        }));
    }
    Ok((trust, trusted))
}

#[async_trait::async_trait]
impl rustify::client::Client for Transport {
    fn base(&self) -> &str {
        &self.endpoint.base
    }

    async fn send(&self, request: http::Request<Vec<u8>>) -> Result<http::Response<Vec<u8>>, ClientError> {
        let (url, method) = (request.uri().path().to_owned(), request.method().to_string());
        self.exchange(request).await.map_err(|error| ClientError::RequestError { source: error.into(), url, method })
    }

    /// Like `send`: the default would turn other statuses than 2xx into errors without headers, and log them.
    async fn execute(&self, request: http::Request<Vec<u8>>) -> Result<http::Response<Vec<u8>>, ClientError> {
        self.send(request).await
    }
}

#[cfg(test)]
mod tests;
