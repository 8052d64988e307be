//! Name resolution by the system, with its result logged at debug.

use std::net::IpAddr;

use tracing::debug;

/// The addresses of a name, in the system's order; `None` when there are none. Needs a thread.
pub(crate) async fn addresses(host: &str) -> Option<Vec<IpAddr>> {
    match tokio::net::lookup_host((host, 0)).await {
        Ok(found) => {
            let addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
            let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            debug!("DNS: {host} is {}", if shown.is_empty() { "no address".to_owned() } else { shown.join(", ") });
            Some(addresses).filter(|addresses| !addresses.is_empty())
        }
        // The resolver's text distinguishes a name that does not exist from a DNS server that does not answer.
        Err(error) => {
            debug!("DNS: {host} does not resolve: {error}");
            None
        }
    }
}
