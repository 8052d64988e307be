//! The end of rotation: waits a moment for requests under way, then revokes what was issued.

use std::future::poll_fn;
use std::rc::Rc;

use tracing::warn;

use crate::backend::Backend;
use crate::backend::revoke::{LAST_MOMENT, REVOKE_WITHIN};
use crate::schedule::Work;

use super::{Rotation, log};

impl Rotation<'_> {
    /// Revokes what was issued, within a bounded time. Failures are warnings: every lease ends by itself.
    pub(crate) async fn revoke_all(mut self) {
        let work = async {
            self.hear_out().await;
            let all: Vec<Rc<Backend>> = self.driver.backends().map(|(_, _, backend)| Rc::clone(backend)).collect();
            for backend in all {
                let mut logged = Vec::new();
                for revoked in backend.revoke_all().await {
                    // Twenty leases that may not be revoked are one line.
                    if !logged.contains(&revoked) {
                        log::given_back(&revoked, &backend);
                        logged.push(revoked);
                    }
                }
            }
            if let Some(mut checkpoint) = self.checkpoint.take() {
                checkpoint.has_replaced();
                checkpoint.remove();
            }
        };
        if tokio::time::timeout(REVOKE_WITHIN, work).await.is_err() {
            warn!("gave up revoking after {} s; what was issued ends by itself", REVOKE_WITHIN.as_secs());
        }
    }

    /// What is under way could bring a token or a lease that nobody would know of: it is heard out for a moment. After that
    /// its connection is closed, upon which the server gives up what it was making.
    async fn hear_out(&mut self) {
        let output = async {
            while self.is_issuing() {
                poll_fn(|context| self.poll_completed(context)).await;
            }
        };
        let _landed = tokio::time::timeout(LAST_MOMENT, output).await;
        if self.is_issuing() {
            warn!("gave up what was under way; what it may still bring ends by itself");
        }
        self.driver.abandon();
    }

    fn is_issuing(&self) -> bool {
        self.requested_at.keys().any(|(_, work)| matches!(work, Work::Login(_) | Work::Issue(_)))
    }
}
