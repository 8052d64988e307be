//! The Vault provider against a real OpenBao, and against a server that misbehaves.
//!
//! - `login`: every method's way in, what is refused, and what becomes of the token
//! - `fetch`: every kind of answer, and every kind of no
//! - `wire`: TLS, proxies, redirects, timeouts, connections, and what is really sent

#![expect(clippy::disallowed_methods, reason = "tests start servers and have deadlines")]
#![expect(clippy::unwrap_used, reason = "the parts of a test may fail it")]
#![expect(clippy::print_stderr, reason = "a skip is said loudly")]

mod fake;
mod fetch;
mod login;
mod server;
mod wire;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use secret_exec::config;
use secret_exec::domain::{Fetched, SecretBytes, SecretRef, Source};
use secret_exec::identity::Proof;
use secret_exec::provider::vault::Vault;
use secret_exec::provider::{Failure, Fetch, Limits};

/// A configuration for this address and nothing else.
fn config(address: &str) -> config::Vault {
    config::Vault {
        address: address.to_owned(),
        namespace: None,
        ca: None,
        tls_server_name: None,
        client_certificate: None,
        proxy: None,
        proxies: config::Proxies::default(),
        redirect_hosts: Vec::new(),
        skip_verify: false,
        auth: None,
    }
}

fn limits() -> Limits {
    Limits { connect: Duration::from_secs(5), request: Duration::from_secs(20) }
}

fn connect(config: &config::Vault) -> Vault {
    Vault::connect(config, limits(), SystemTime::now).unwrap()
}

fn token(token: &str) -> Proof {
    Proof::Token(SecretBytes::copy_of(token.as_bytes()))
}

/// Logged in at this address with this token.
async fn with_token(address: &str, secret: &str) -> Vault {
    let vault = connect(&config(address));
    vault.login(&token(secret), 0).await.unwrap();
    vault
}

fn source(text: &str) -> Source {
    SecretRef::parse(text, &BTreeMap::new()).unwrap().source
}

async fn fetch(vault: &Vault, text: &str) -> Result<Fetched, Failure> {
    vault.fetch(&[&source(text)]).await.pop().unwrap()
}

fn value(fetched: &Fetched, key: &str) -> String {
    fetched.payload.value(key).unwrap().raw().expose_text().unwrap().to_owned()
}
