//! Writes the checkpoint that a restart resumes from, with the TTLs that the schedule believes.

use crate::backend::{Kind, Logins};
use crate::checkpoint::SavedToken;
use crate::schedule::{BackendId, Lifetime, SecretId, Work};

use super::Rotation;

impl Rotation<'_> {
    /// Writes the checkpoint that a restart resumes from.
    pub(super) fn save(&mut self) {
        let Some(mut checkpoint) = self.checkpoint.take() else { return };
        let lossy = |work: &Work| matches!(work, Work::Login(_) | Work::Issue(_));
        let under_way = self.requests.under_way.keys().filter(|(_, work)| lossy(work));
        let under_way = under_way.map(|(backend, work)| self.named(*backend, *work)).collect();
        let logins = self.schedules.driver.backends().find_map(|(_, _, backend)| match &backend.kind {
            Kind::Vault(logins) => Some(logins),
            Kind::Aws(_) | Kind::Files(_) | Kind::Local(_) => None,
        });
        let token = logins.and_then(|logins| self.saved_token(logins));
        checkpoint.write(token.as_ref(), under_way);
        self.checkpoint = Some(checkpoint);
    }

    /// The current token for the checkpoint, with the TTL that the schedule believes: a renewal may have stated more.
    fn saved_token(&self, logins: &Logins) -> Option<SavedToken> {
        let mut saved = SavedToken::of(&*logins.current()?, self.requests.of_token)?;
        let granted = self.schedules.driver.backends().find_map(|(_, schedule, _)| schedule.token_granted());
        // A login whose outcome the schedule does not know yet is saved as it was stated.
        if let Some((_, (requested_at, ttl))) = granted.filter(|(id, _)| logins.current_id() == Some(*id)) {
            (saved.requested_at, saved.token.ttl) = (requested_at, Some(ttl));
        }
        Some(saved)
    }

    /// Records the renewal of a lease in the checkpoint, with the TTL that the schedule believes.
    pub(super) fn checkpoint_renewal(&mut self, backend: BackendId, id: SecretId, life: Lifetime) {
        let granted = self.schedules.driver.schedule(backend).lease_granted(id);
        let index = self.source_of(backend, id);
        if let (Some(checkpoint), Some((requested_at, ttl))) = (&mut self.checkpoint, granted) {
            checkpoint.renewed(&self.plan.sources[index].source, ttl, life.renewable, requested_at);
        }
    }

    /// The name of a request in the checkpoint: the reference, or the login.
    fn named(&self, backend: BackendId, work: Work) -> String {
        let reference = work.secret().map(|id| self.plan.sources[self.source_of(backend, id)].source.to_string());
        reference.unwrap_or_else(|| format!("a login to {}", self.schedules.driver.executor(backend).name()))
    }
}
