//! What follows from a delivery: the app has other values, and old tokens may be revoked.

use std::time::Duration;

use crate::schedule::secret::Secret;
use crate::schedule::secret_state::Shown;
use crate::schedule::work::{SecretId, TokenId};

use super::Schedule;

impl Schedule {
    /// Reports that the latest values of these secrets are visible to the app.
    pub fn delivered(&mut self, secrets: &[SecretId], now: Duration) {
        for id in secrets {
            let Some(secret) = self.secrets.get_mut(id.0) else { continue };
            secret.shown = Shown::Latest;
            if self.expiry(&self.secrets[id.0]).is_none_or(|end| end > now) {
                self.revived(*id);
            }
        }
        self.review_hand_over(now);
    }

    /// Reports that the latest values of these secrets could not be delivered: the app has what it had before.
    pub fn not_delivered(&mut self, secrets: &[SecretId]) {
        for id in secrets {
            self.secrets.get_mut(id.0).into_iter().for_each(Secret::not_delivered);
        }
    }

    /// Schedules the revocation of old tokens that no lease depends on any more, once all leased secrets are delivered.
    pub(super) fn review_hand_over(&mut self, now: Duration) {
        let Some(tokens) = &mut self.tokens else { return };
        let leased = || self.secrets.iter().filter(|secret| secret.is_leased());
        if leased().any(|secret| !secret.is_shown()) {
            return;
        }
        let settle = if leased().next().is_some() { self.settings.settle } else { Duration::ZERO };
        let old: Vec<TokenId> = tokens.old().collect();
        for id in old {
            if !self.secrets.iter().any(|secret| secret.ends_with(id)) {
                tokens.handed_over(id, now.saturating_add(settle));
            }
        }
    }
}
