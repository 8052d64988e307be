//! Ends rotation: waits a moment for requests under way, then revokes what was issued.

use std::future::poll_fn;
use std::rc::Rc;

use tracing::warn;

use crate::backend::Backend;
use crate::backend::revoke::{LAST_MOMENT, REVOKE_WITHIN};
use crate::schedule::Work;

use super::{Rotation, log};

impl Rotation<'_> {
    /// Revokes everything that was issued, within [`REVOKE_WITHIN`]. Failures are logged as warnings; every lease then
    /// ends with its TTL.
    pub(crate) async fn revoke_all(mut self) {
        let work = async {
            self.await_issuing().await;
            let all: Vec<Rc<Backend>> =
                self.schedules.driver.backends().map(|(_, _, backend)| Rc::clone(backend)).collect();
            for backend in all {
                let mut logged = Vec::new();
                for revoked in backend.revoke_all().await {
                    // The same failure of several leases is one line.
                    if !logged.contains(&revoked) {
                        log::revocation(&revoked, &backend);
                        logged.push(revoked);
                    }
                }
            }
            if let Some(mut checkpoint) = self.checkpoint.take() {
                checkpoint.forget_replaced();
                checkpoint.remove();
            }
        };
        if tokio::time::timeout(REVOKE_WITHIN, work).await.is_err() {
            warn!("gave up revoking after {} s; what was issued ends by itself", REVOKE_WITHIN.as_secs());
        }
    }

    /// Waits up to [`LAST_MOMENT`] for requests that may issue a token or a lease, so that it can be revoked. Then
    /// drops them, which closes their connections, upon which the server cancels the request.
    async fn await_issuing(&mut self) {
        let output = async {
            while self.is_issuing() {
                poll_fn(|context| self.poll_completed(context)).await;
            }
        };
        let _landed = tokio::time::timeout(LAST_MOMENT, output).await;
        if self.is_issuing() {
            warn!("gave up what was under way; what it may still bring ends by itself");
        }
        self.schedules.driver.abandon();
    }

    /// Whether a request under way may issue a token or a lease.
    fn is_issuing(&self) -> bool {
        self.requests.under_way.keys().any(|(_, work)| matches!(work, Work::Login(_) | Work::Issue(_)))
    }
}
