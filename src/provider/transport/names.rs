//! Name resolution by the system, except that the TLS server name is resolved to another host.

use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::identity::lookup;
use crate::identity::thread::{self, NoThread};

/// The resolver of one client.
#[derive(Debug)]
pub(super) struct NameOverrideResolver {
    /// A name, and the host that is resolved instead of it.
    pub(super) instead: Option<(String, String)>,
}

/// The name does not exist.
#[derive(Debug, thiserror::Error)]
#[error("the name {0} does not resolve")]
pub(super) struct NoSuchName(pub(super) String);

/// The name was not looked up, because no thread can be started for it.
#[derive(Debug, thiserror::Error)]
#[error("the name {0} cannot be looked up: {NoThread}")]
pub(super) struct NotLookedUp(pub(super) String);

impl Resolve for NameOverrideResolver {
    /// Resolves a host name, or the one that replaces it. Fails if no thread can be started for the lookup.
    fn resolve(&self, name: Name) -> Resolving {
        let host = match &self.instead {
            Some((from, host)) if from.eq_ignore_ascii_case(name.as_str()) => host.clone(),
            _ => name.as_str().to_owned(),
        };
        Box::pin(async move {
            let literal = host.trim_start_matches('[').trim_end_matches(']');
            if let Ok(address) = literal.parse::<IpAddr>() {
                return Ok(Box::new(std::iter::once(SocketAddr::new(address, 0))) as Addrs);
            }
            if thread::prove_startable().is_err() {
                return Err(NotLookedUp(host).into());
            }
            match lookup::addresses(&host).await {
                Some(addresses) => {
                    Ok(Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
                }
                None => Err(NoSuchName(host).into()),
            }
        })
    }
}
