//! Health and metrics over plain HTTP, on a separate thread: a probe waits neither for a review nor for TLS.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::{io, thread};

use tracing::error;

use crate::serve::{Health, Page, Pages};

use super::server::Server;

impl Pages for Server {
    /// The pages `/livez`, `/readyz` and `/metrics` of the webhook.
    fn page(&self, path: &str) -> Option<Page> {
        match path {
            "/livez" => Some(Page::ok()),
            "/readyz" if self.is_ending.load(Ordering::Relaxed) => Some(Page::unavailable("ending\n")),
            "/readyz" => Some(Page::ok()),
            "/metrics" => {
                let evicted = self.connections.evicted.load(Ordering::Relaxed);
                Some(Page::metrics(self.metrics.page(self.connections.len() as u64, evicted)))
            }
            _ => None,
        }
    }
}

/// Starts the thread, which runs until the process ends.
pub(super) fn start(health: Health, server: Arc<Server>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name("health".to_owned()).spawn(move || {
        let Err(why) = runtime.block_on(health.serve(&*server));
        error!("health and metrics are not served any more: {why}");
    })?;
    Ok(())
}
