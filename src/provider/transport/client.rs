//! The `reqwest` client of one connection state.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use crate::config::Proxies;

use super::Limits;
use super::names::NameOverrideResolver;
use super::redirect::is_loopback;

/// What a `reqwest` client is built from.
pub(super) struct Plan<'a> {
    pub(super) host: &'a str,
    pub(super) server_name: Option<&'a str>,
    pub(super) proxy: Option<&'a Url>,
    pub(super) proxies: &'a Proxies,
    pub(super) socket: Option<&'a PathBuf>,
    pub(super) url: &'a Url,
    pub(super) limits: Limits,
}

impl Plan<'_> {
    pub(super) fn client(&self, tls: &rustls::ClientConfig) -> Option<reqwest::Client> {
        let names =
            NameOverrideResolver { instead: self.server_name.map(|name| (name.to_owned(), self.host.to_owned())) };
        let builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.clone())
            .dns_resolver(names)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .user_agent(concat!("secret-exec/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.limits.connect)
            .timeout(self.limits.request)
            .pool_idle_timeout(Duration::from_secs(10))
            // The environment was read once, into `proxies`.
            .no_proxy();
        if let Some(socket) = self.socket {
            return builder.unix_socket(socket.as_path()).build().ok();
        }
        let builder = match self.proxy {
            Some(proxy) => builder.proxy(reqwest::Proxy::all(proxy.clone()).ok()?),
            // A proxy would be asked for the name TLS wants, not for the host; and loopback is never behind one.
            None if self.server_name.is_some() || is_loopback(self.url) => builder,
            None => {
                let proxies = self.proxies.clone();
                builder.proxy(reqwest::Proxy::custom(move |url| {
                    let host = url.host_str().unwrap_or_default();
                    // `send_once` has refused what is wrong with it.
                    proxies.choose(url.scheme(), host, url.port()).ok().flatten().map(str::to_owned)
                }))
            }
        };
        builder.build().ok()
    }
}
