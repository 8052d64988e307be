//! HTTP for the SDK: TLS with ring and the system's or bundled roots, the configured proxies; plain HTTP without a
//! proxy for metadata endpoints on this machine.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::Semaphore;
use tracing::{debug, trace};

use crate::config::{Proxies, ProxyError, without_userinfo};
use crate::domain::{
    LARGE_ANSWER_BYTES, MOST_ANSWER_BYTES, MOST_IDENTITY_BYTES, der_certificate_hint, has_too_many_elements,
};
use crate::identity::file;
use crate::identity::lookup;
use crate::identity::thread;
use crate::sys::clock;

use super::AwsCredentialsError;
use super::body::{BodyError, bound_token_life, check_role};
use super::credentials_error::{innermost, sanitize_code};
use super::environment::is_near;
use super::peer::{NO_NAME, NoneGiven, PeerRoute, unanswered, with_route};

/// The timeout for receiving a response's body. The SDK's own timeout ends when the response begins.
const BODY: Duration = Duration::from_secs(20);

/// Creates connectors for all routes; cheap to clone. TLS roots are read at the first `https` request.
#[derive(Debug, Clone)]
pub(super) struct Transport(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    ca_bundle: Option<PathBuf>,
    proxies: Proxies,
    tls: OnceLock<TlsContext>,
    connectors: Mutex<Vec<(Route, Timeouts, SharedHttpConnector)>>,
    /// Acquired while a large response is received, so that parallel ones do not multiply the memory needed.
    large: Semaphore,
    /// Why the last request for credentials was not answered; `None` once one was.
    failed: Mutex<Option<String>>,
    /// What the last request for credentials gave instead of an answer that may have some.
    none_given: Mutex<Option<NoneGiven>>,
}

type Timeouts = (Option<Duration>, Option<Duration>);

/// How a request leaves this machine.
#[derive(Clone, PartialEq, Eq)]
enum Route {
    /// Plain HTTP to this machine or its link: never through a proxy.
    Direct,
    /// Everything else: HTTPS, or HTTP to a configured endpoint, possibly through this proxy.
    Outside(Option<String>),
}

impl std::fmt::Debug for Route {
    /// Without the proxy's URL, which may contain a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Direct => "Direct",
            Self::Outside(None) => "Outside",
            Self::Outside(Some(_)) => "Outside through a proxy",
        })
    }
}

impl Route {
    /// The proxy for messages, without user name and password; empty if there is none.
    fn description(&self) -> String {
        match self {
            Self::Direct | Self::Outside(None) => String::new(),
            Self::Outside(Some(proxy)) => format!(" through the proxy {}", without_userinfo(proxy)),
        }
    }

    /// The route to an address.
    fn of(uri: &str, proxies: &Proxies) -> Result<Self, ProxyError> {
        let Ok(uri) = uri.parse::<http::Uri>() else { return Ok(Self::Outside(None)) };
        let (scheme, host) = (uri.scheme_str().unwrap_or_default(), uri.host().unwrap_or_default());
        if is_near(host) {
            return Ok(if scheme == "http" { Self::Direct } else { Self::Outside(None) });
        }
        Ok(Self::Outside(proxies.choose(scheme, host, uri.port_u16())?.map(str::to_owned)))
    }
}

impl Transport {
    pub(super) fn new(ca_bundle: Option<PathBuf>, proxies: Proxies) -> Self {
        let (tls, connectors, large) = (OnceLock::new(), Mutex::new(Vec::new()), Semaphore::new(1));
        Self(Arc::new(Shared {
            ca_bundle,
            proxies,
            tls,
            connectors,
            large,
            failed: Mutex::new(None),
            none_given: Mutex::new(None),
        }))
    }

    /// Reads the private CA bundle, if one is configured, so that an error can be reported.
    pub(super) fn load_roots(&self) -> Result<(), AwsCredentialsError> {
        if let (Some(path), None) = (&self.0.ca_bundle, self.0.tls.get()) {
            let wrong = |why: String| AwsCredentialsError::CaBundle { path: path.clone(), why };
            let pem = file::read(path).map_err(|error| wrong(error.to_string()))?;
            let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.expose()).collect();
            let certificates = certificates.map_err(|_| wrong("not PEM".to_owned()))?;
            let none = || wrong(format!("no usable certificate in it{}", der_certificate_hint(pem.expose())));
            let store = trust(&certificates).ok_or_else(none)?;
            // Another thread may have set it first, from the same file.
            let _ = self.0.tls.set(context(store));
        }
        Ok(())
    }

    /// Receives a whole body with a size limit, because the SDK has none.
    async fn receive(&self, mut body: SdkBody, most: usize) -> Result<Vec<u8>, BodyError> {
        let mut bytes = Vec::new();
        let mut large = None;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| BodyError::CutShort)?.into_data() else { continue };
            let length = bytes.len().saturating_add(data.len());
            if length > most {
                return Err(BodyError::TooLarge(most));
            }
            if length > LARGE_ANSWER_BYTES && large.is_none() {
                large = Some(self.0.large.acquire().await.expect("it is never closed"));
            }
            bytes.extend_from_slice(&data);
        }
        if has_too_many_elements(&bytes) { Err(BodyError::TooManyElements) } else { Ok(bytes) }
    }

    /// The route, for messages.
    fn way(&self, uri: &str, route: &Route) -> PeerRoute {
        let proxy = match route {
            Route::Outside(Some(proxy)) => Some(proxy.as_str()),
            Route::Direct | Route::Outside(None) => None,
        };
        PeerRoute::of(&uri.parse().unwrap_or_default(), proxy, &self.0.proxies)
    }

    /// Why the last request for credentials was not answered.
    pub(super) fn failed_so_far(&self) -> Option<String> {
        self.failed().clone()
    }

    /// What the last request for credentials gave, if it is under way or was answered with an error that no service
    /// explains.
    pub(super) fn none_given(&self) -> Option<NoneGiven> {
        self.0.none_given.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Records what a request for credentials gives.
    fn record(&self, none: Option<NoneGiven>) {
        *self.0.none_given.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = none;
    }

    /// Locks the reason of the last request for credentials.
    fn failed(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.0.failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Closes all connections.
    pub(super) fn close_idle(&self) {
        self.connectors().clear();
    }

    /// Locks the connectors.
    fn connectors(&self) -> std::sync::MutexGuard<'_, Vec<(Route, Timeouts, SharedHttpConnector)>> {
        self.0.connectors.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A connector for the route and timeouts, created when it is first used.
    fn connector(&self, route: Route, settings: &HttpConnectorSettings) -> SharedHttpConnector {
        let timeouts = (settings.connect_timeout(), settings.read_timeout());
        let mut connectors = self.connectors();
        if let Some((.., connector)) = connectors.iter().find(|(r, t, _)| (r, *t) == (&route, timeouts)) {
            return connector.clone();
        }
        let builder = Connector::builder().connector_settings(settings.clone());
        let connector = SharedHttpConnector::new(match &route {
            Route::Direct => builder.build_http(),
            Route::Outside(proxy) => builder
                .proxy_config(proxy_config(proxy.as_deref()))
                .tls_provider(Provider::rustls(CryptoMode::Ring))
                .tls_context(self.0.tls.get_or_init(|| context(system_or_bundled())).clone())
                .build_with_resolver(Resolver),
        });
        connectors.push((route, timeouts, connector.clone()));
        connector
    }
}

impl HttpClient for Transport {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(Dispatch { transport: self.clone(), settings: settings.clone() })
    }
}

/// Selects the route for each request.
#[derive(Debug)]
struct Dispatch {
    transport: Transport,
    settings: HttpConnectorSettings,
}

impl HttpConnector for Dispatch {
    /// Sends a request of the SDK directly or through its proxy, logs the result, and receives the whole body within
    /// limits of size and time.
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        // The SDK's resolver panics when it cannot start a thread.
        if is_name(request.uri())
            && let Err(error) = thread::prove_startable()
        {
            return HttpConnectorFuture::ready(Err(ConnectorError::io(error.into())));
        }
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let is_of_secret = target.starts_with("secretsmanager.");
        let most = if is_of_secret { MOST_ANSWER_BYTES } else { MOST_IDENTITY_BYTES };
        let route = match Route::of(request.uri(), &self.transport.0.proxies) {
            Ok(route) => route,
            Err(error) => return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into()))),
        };
        let sent = SentRequest::new(&request, &route);
        let (way, uri) = (self.transport.way(request.uri(), &route), request.uri().to_owned());
        let is_read = request.method() == "GET";
        let answer = self.transport.connector(route, &self.settings).call(request);
        let transport = self.transport.clone();
        if !is_of_secret {
            transport.record(Some(NoneGiven::Waiting(way.clone())));
        }
        HttpConnectorFuture::new(async move {
            let answer = answer.await.inspect_err(|error| sent.log_failure(error));
            let answer = answer.map_err(|error| with_route(way.clone(), error));
            if !is_of_secret {
                // STS, which is asked by POST, explains its errors.
                let status = answer.as_ref().ok().map(|answer| answer.status().as_u16());
                let refusal = status.filter(|status| is_read && *status >= 400);
                transport.record(refusal.map(|status| NoneGiven::Status(way.clone(), status)));
                *transport.failed() = answer.as_ref().err().map(|error| unanswered(error, &innermost(error)));
            }
            let mut response = answer?;
            sent.log_answer(response.status().as_u16());
            let body = transport.receive(response.take_body(), most);
            if !is_of_secret && transport.none_given().is_none() {
                transport.record(Some(NoneGiven::Waiting(way)));
            }
            let Ok(body) = tokio::time::timeout(BODY, body).await else {
                return Err(ConnectorError::timeout("the answer did not end".into()));
            };
            if matches!(transport.none_given(), Some(NoneGiven::Waiting(_))) && !is_of_secret {
                transport.record(None);
            }
            let body = body?;
            check_role(&uri, &body)?;
            bound_token_life(&mut response);
            *response.body_mut() = SdkBody::from(body);
            Ok(response)
        })
    }
}

/// The system's resolver.
#[derive(Debug, Clone)]
struct Resolver;

impl ResolveDns for Resolver {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(async move {
            let found = lookup::addresses(name).await;
            found.ok_or_else(|| ResolveDnsError::new(NO_NAME))
        })
    }
}

/// The log lines of a request: operation and host. The path is omitted, because it may contain the name of credentials.
struct SentRequest {
    what: String,
    since: Duration,
}

impl SentRequest {
    /// Logs that the request is sent.
    fn new(request: &HttpRequest, route: &Route) -> Self {
        let target = request.headers().get("x-amz-target").and_then(|target| target.rsplit('.').next());
        let operation = target.map(sanitize_code).unwrap_or_else(|| request.method().to_owned());
        let uri = request.uri().parse::<http::Uri>().unwrap_or_default();
        let authority = uri.authority().map_or("no host", |authority| authority.as_str());
        let scheme = uri.scheme_str().unwrap_or("http");
        let what = format!("{operation} to {scheme}://{authority}{}", route.description());
        trace!("request: {what}");
        Self { what, since: clock::boottime() }
    }

    /// Logs the status and the time.
    fn log_answer(&self, status: u16) {
        debug!(
            "request: {}: status {status} after {} ms",
            self.what,
            clock::boottime().saturating_sub(self.since).as_millis()
        );
    }

    /// Logs the reason and the time.
    fn log_failure(&self, error: &ConnectorError) {
        let why = innermost(error);
        debug!(
            "request: {}: failed after {} ms: {why}",
            self.what,
            clock::boottime().saturating_sub(self.since).as_millis()
        );
    }
}

/// Whether the host is a name that has to be resolved.
fn is_name(uri: &str) -> bool {
    let uri = uri.parse::<http::Uri>().ok();
    let host = uri.as_ref().and_then(http::Uri::host).unwrap_or_default();
    host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_err()
}

/// The proxy settings for the SDK, which would otherwise read the environment.
fn proxy_config(proxy: Option<&str>) -> ProxyConfig {
    proxy.map_or_else(ProxyConfig::disabled, |proxy| {
        ProxyConfig::all(proxy).expect("a URL that was checked when it was read")
    })
}

/// The TLS settings with these roots.
fn context(store: TrustStore) -> TlsContext {
    TlsContext::builder().with_trust_store(store).build().expect("a trust store alone is a valid context")
}

/// The system's roots, or the bundled ones.
fn system_or_bundled() -> TrustStore {
    let system = rustls_native_certs::load_native_certs().certs;
    trust(&system)
        .or_else(|| trust(webpki_root_certs::TLS_SERVER_ROOT_CERTS))
        .expect("the bundled roots are certificates")
}

/// The certificates that can be trust anchors as one PEM, which the SDK expects; `None` when there is none. Others are
/// skipped, because the SDK would panic on them.
fn trust(certificates: &[CertificateDer<'_>]) -> Option<TrustStore> {
    let mut pem = String::new();
    for certificate in certificates {
        if RootCertStore::empty().add(certificate.clone().into_owned()).is_ok() {
            pem.push_str("-----BEGIN CERTIFICATE-----\n");
            for line in STANDARD.encode(certificate).as_bytes().chunks(64) {
                pem.extend(line.iter().map(|byte| char::from(*byte)));
                pem.push('\n');
            }
            pem.push_str("-----END CERTIFICATE-----\n");
        }
    }
    (!pem.is_empty()).then(|| TrustStore::empty().with_pem_certificate(pem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_endpoints_are_reached_directly_and_everything_else_through_the_proxy() {
        let proxies = Proxies::read(|name| (name == "ALL_PROXY").then_some("http://proxy:1"));
        for uri in [
            "http://169.254.169.254/latest/api/token",
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::23]/v1/credentials",
            "http://127.0.0.1:5000/",
            "http://[::1]:5000/",
            "http://localhost/x",
        ] {
            assert_eq!(Route::of(uri, &proxies), Ok(Route::Direct), "{uri}");
        }
        // A server of one's own on this machine.
        assert_eq!(Route::of("https://127.0.0.1/", &proxies), Ok(Route::Outside(None)));
        for uri in ["https://secretsmanager.eu-west-1.amazonaws.com/", "http://vpce.example.com/", "/"] {
            let proxy = proxies.choose("https", "x", None).unwrap().map(str::to_owned);
            assert!(Route::of(uri, &proxies) == Ok(Route::Outside(proxy.filter(|_| uri != "/"))), "{uri}");
        }
    }

    #[test]
    fn the_bundled_roots_are_a_trust_store_and_rubbish_is_none() {
        assert!(trust(webpki_root_certs::TLS_SERVER_ROOT_CERTS).is_some());
        assert!(trust(&[CertificateDer::from(vec![1, 2, 3])]).is_none());
    }

    #[test]
    fn a_broken_ca_bundle_is_said_before_any_request() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let load =
            || Transport::new(Some(path.clone()), Proxies::default()).load_roots().map_err(|fault| fault.to_string());
        assert!(load().unwrap_err().ends_with("no such file"));
        std::fs::write(&path, "not a certificate").unwrap();
        assert!(load().unwrap_err().ends_with("no usable certificate in it"));
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n").unwrap();
        assert!(load().unwrap_err().ends_with("no usable certificate in it"));
    }
}
