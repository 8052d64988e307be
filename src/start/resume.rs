//! Resumes the checkpoint of an earlier run: its token, if it is alive, and its values.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::timeout;
use tracing::{info, warn};

use crate::backend::revoke::{REVOKE_WITHIN, log_revocation};
use crate::backend::{Answers, Backends, Request, Run};
use crate::checkpoint::{Checkpoint, Found, LoadedCheckpoint, SavedToken, SavedValue};
use crate::domain::Source;
use crate::provider::Class;
use crate::provider::vault::Namespace;

use super::deadline::Start;

/// How long to check whether an earlier run's token is alive. It is short, because its values can be used meanwhile.
const CHECK_WITHIN: Duration = Duration::from_secs(2);

/// Resumes the token of an earlier run, if it is alive, with the values that depend on it, and the values that depend
/// on none. Revokes a token that cannot be used. Returns the resumed values, and separately those that have expired.
pub(super) async fn resume(
    backends: &Backends,
    found: Found,
    start: &Start,
    checkpoint: &mut Option<Checkpoint>,
) -> (Answers, BTreeMap<Source, SavedValue>) {
    if let Some(checkpoint) = checkpoint {
        checkpoint.add_replaced(found.replaced);
    }
    let (token, mut values) = match found.loaded {
        LoadedCheckpoint::Nothing => return (Answers::default(), BTreeMap::new()),
        LoadedCheckpoint::Usable(token, values) => (token, values),
        LoadedCheckpoint::TokenEnded(token, values) => {
            revoke_stale(backends, token).await;
            (None, values)
        }
        LoadedCheckpoint::Stale(token) => {
            revoke_stale(backends, token).await;
            return (Answers::default(), BTreeMap::new());
        }
    };
    let ended = values.extract_if(.., |value| value.is_over).map(|value| (value.source.clone(), value)).collect();
    let mut answers = Answers { is_resumed: true, ..Answers::default() };
    let mut silence = None;
    if let (Some(token), Some((vault, _))) = (token, &backends.vault) {
        answers.login_at = token.requested_at;
        let checked = match vault.adopt(token.secret, token.token) {
            Ok(()) => timeout(CHECK_WITHIN, start.attempt(vault.address(), vault.check_token())).await,
            Err(failure) => Ok(Ok(Err(failure))),
        };
        match checked {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(failure))) if failure.class == Class::Denied || vault.token().is_none() => {
                info!("the earlier run's token has ended, so everything of {} is fetched anew", vault.address());
                vault.forget_token();
                values.retain(|value| !matches!(value.source, Source::Vault(_)));
            }
            // An outage does not invalidate the token: the schedule checks it later.
            Ok(Ok(Err(failure)) | Err(failure)) => silence = Some(failure.at(vault.address()).to_string()),
            Err(_) => silence = Some(format!("no answer within {} s", CHECK_WITHIN.as_secs())),
        }
    }
    let leases = values.iter().filter(|value| value.fetched.lease.is_some()).count();
    let accessor = backends.vault.as_ref().and_then(|(vault, _)| vault.token()?.accessor);
    let what = format!("{} values, {leases} of them with a lease", values.len());
    match (silence, &backends.vault) {
        (Some(why), Some((vault, _))) => warn!(
            accessor,
            "{} does not answer; taking up what the earlier run had, which may be out of date: {what}: {why}",
            vault.address()
        ),
        _ => info!(event = "resume", accessor, "took up what the earlier run had: {what}"),
    }
    values.into_iter().for_each(|value| reuse(value, &mut answers, checkpoint));
    (answers, ended)
}

/// Continues with a value of the earlier run.
pub(super) fn reuse(value: SavedValue, answers: &mut Answers, checkpoint: &mut Option<Checkpoint>) {
    if let Some(checkpoint) = checkpoint {
        checkpoint.resumed(&value);
    }
    answers.requests.insert(value.source.clone(), Request { at: value.requested_at, run: Run::Earlier });
    answers.fetches.insert(value.source, value.fetched);
}

/// Revokes the token of an earlier run that will not be used. Failures are logged.
async fn revoke_stale(backends: &Backends, token: SavedToken) {
    let Some((vault, _)) = &backends.vault else { return };
    if token.namespace.as_ref().is_some_and(|namespace| *namespace != Namespace::named(vault.namespace())) {
        return warn!("the earlier run's token is of another namespace, so it is not revoked, and ends by itself");
    }
    if vault.adopt(token.secret, token.token).is_err() {
        return;
    }
    match timeout(REVOKE_WITHIN, vault.revoke_token()).await {
        Ok(revoked) => log_revocation(&revoked),
        Err(_) => warn!("cannot revoke the earlier run's token, which ends by itself"),
    }
    vault.forget_token();
}
