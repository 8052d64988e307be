//! Builds the `reqwest` client.

use std::time::Duration;

use super::Limits;
use super::endpoint::Endpoint;
use super::names::NameOverrideResolver;

impl Endpoint {
    /// A client that connects to `host`; `None` when the proxy cannot be used.
    pub(super) fn client(&self, host: &str, tls: &rustls::ClientConfig, limits: Limits) -> Option<reqwest::Client> {
        let names =
            NameOverrideResolver { instead: self.server_name.as_ref().map(|name| (name.clone(), host.to_owned())) };
        let builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.clone())
            .dns_resolver(names)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .user_agent(concat!("secret-exec/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(limits.connect)
            .timeout(limits.request)
            .pool_idle_timeout(Duration::from_secs(10))
            // The proxy variables of the environment were read at the start, into `proxies`.
            .no_proxy();
        if let Some(socket) = &self.socket {
            return builder.unix_socket(socket.as_path()).build().ok();
        }
        let builder = match &self.proxy {
            Some(proxy) => builder.proxy(reqwest::Proxy::all(proxy.clone()).ok()?),
            // A proxy would get the TLS server name instead of the host. Loopback addresses never go through one.
            None if self.server_name.is_some() || self.is_loopback() => builder,
            None => {
                let proxies = self.proxies.clone();
                builder.proxy(reqwest::Proxy::custom(move |url| {
                    let host = url.host_str().unwrap_or_default();
                    // An invalid proxy was already reported by `send_once`.
                    proxies.choose(url.scheme(), host, url.port()).ok().flatten().map(str::to_owned)
                }))
            }
        };
        builder.build().ok()
    }
}
