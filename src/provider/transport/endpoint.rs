//! The address, the proxy and the TLS server name of a backend.

use std::net::IpAddr;
use std::path::PathBuf;

use reqwest::Url;

use crate::config::{Proxies, Vault};
use crate::provider::{Class, Failure};

use super::redirect::{is_loopback, origin};

/// The address of the server, and how to connect to it.
pub(super) struct Endpoint {
    /// The address as configured.
    pub(super) address: String,
    /// Scheme, host and port of the request URLs.
    pub(super) base: String,
    /// The path before the API's: empty, or beginning with a slash and not ending with one.
    pub(super) prefix: String,
    /// The Unix socket to connect to instead of a host.
    pub(super) socket: Option<PathBuf>,
    pub(super) url: Url,
    pub(super) host: String,
    /// The name that TLS verifies instead of the host.
    pub(super) server_name: Option<String>,
    pub(super) proxy: Option<Url>,
    pub(super) proxies: Proxies,
}

impl Endpoint {
    /// Parses the configured address. Every failure is one of the configuration.
    pub(super) fn parse(config: &Vault) -> Result<Self, Failure> {
        let malformed = |why: &str| Failure::new(Class::Malformed, why);
        let socket = config.address.strip_prefix("unix://").map(PathBuf::from);
        let text = if socket.is_some() { "http://localhost" } else { config.address.as_str() };
        let url = Url::parse(text).map_err(|_| malformed("vault.address is not a URL"))?;
        let is_plain = url.scheme() == "http";
        let Some(host) = url.host_str().filter(|_| is_plain || url.scheme() == "https").map(str::to_owned) else {
            return Err(malformed("vault.address needs http:// or https:// and a host"));
        };
        let has_more = !url.username().is_empty() || url.password().is_some() || url.query().is_some();
        if has_more || url.fragment().is_some() {
            return Err(malformed("vault.address has more than a scheme, a host, a port and a path"));
        }
        let server_name = config.tls_server_name.clone().filter(|_| !is_plain);
        if let Some(name) = &server_name {
            if name.parse::<IpAddr>().is_ok() || Url::parse(&format!("https://{name}/")).is_err() {
                return Err(malformed("vault.tlsServerName is not a DNS name"));
            }
            if config.proxy.is_some() {
                return Err(malformed("vault.tlsServerName and vault.proxy do not go together"));
            }
        }
        let proxy = config.proxy.as_deref().map(Url::parse).transpose();
        Ok(Self {
            address: config.address.clone(),
            base: origin(&url),
            prefix: url.path().trim_end_matches('/').to_owned(),
            socket,
            url,
            host,
            server_name,
            proxy: proxy.map_err(|_| malformed("vault.proxy is not a URL"))?,
            proxies: config.proxies.clone(),
        })
    }

    /// Whether requests are not encrypted.
    pub(super) fn is_plain(&self) -> bool {
        self.url.scheme() == "http"
    }

    /// Whether the server is on this machine.
    pub(super) fn is_loopback(&self) -> bool {
        is_loopback(&self.url)
    }

    /// Whether the environment's proxy variables apply.
    pub(super) fn uses_environment(&self) -> bool {
        self.proxy.is_none() && self.server_name.is_none() && self.socket.is_none() && !self.is_loopback()
    }
}
