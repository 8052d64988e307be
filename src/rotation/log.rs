//! The log lines of rotation: event, reference, version and lease; never a value.

use std::time::Duration;

use tracing::{debug, info, warn};

use crate::backend::{Backend, Kind};
use crate::domain::{LeaseId, excerpt, printable};
use crate::provider::Failure;
use crate::provider::vault::{Revocation, Token};
use crate::schedule::{Outcome, Work};

/// Longer than the path of any lease.
const MOST_PATH_CHARS: usize = 512;

/// A shortened lease ID: enough to find the lease, not enough to use it.
pub(super) fn short(id: &LeaseId) -> String {
    let (path, name) = id.as_str().rsplit_once('/').unwrap_or(("", id.as_str()));
    // The server chooses the name, and may be hostile.
    let start: String = name.chars().take(8).collect();
    format!("{}/{}…", excerpt(path, MOST_PATH_CHARS), printable(&start))
}

/// The operation, worded to follow "cannot ".
pub(super) fn doing(work: Work, reference: Option<&str>, backend: &Backend) -> String {
    let (reference, name) = (reference.unwrap_or_default(), backend.name());
    match work {
        Work::Login(_) => format!("log in to {name}"),
        Work::RenewToken => format!("renew our token at {name}"),
        Work::CheckToken => format!("look our token up at {name}"),
        Work::CheckHealth => format!("ask {name} whether it lives"),
        Work::RevokeOldToken(_) => format!("revoke our old token at {name}"),
        Work::Renew(_) => format!("renew the lease of {reference}"),
        Work::Issue(_) | Work::Read(_) => format!("read {reference}"),
    }
}

/// Logs a success. New values are logged where they are accepted, not here.
pub(super) fn succeeded(work: Work, outcome: &Outcome, reference: Option<&str>, backend: &Backend) {
    let name = backend.name();
    let token = match &backend.kind {
        Kind::Vault(logins) => logins.current().and_then(|vault| vault.token()),
        Kind::Aws(_) | Kind::Files(_) | Kind::Local(_) => None,
    };
    let is_unseen = token.as_ref().is_some_and(Token::is_unseen);
    let accessor = token.and_then(|token| token.accessor);
    match (work, outcome) {
        (Work::Login(_), Outcome::Granted(_)) if is_unseen => {
            info!(event = "login", "taking the token for {name} as it is: its look-up was refused (403)");
        }
        (Work::Login(_), Outcome::Granted(_)) => info!(event = "login", accessor, "logged in to {name}"),
        (Work::RenewToken, Outcome::Granted(grant)) => {
            let ttl = grant.life.map(|life| life.ttl.as_secs());
            info!(event = "renew", accessor, ttl, "renewed our token at {name}");
        }
        (Work::Renew(id), Outcome::Renewed(life)) => {
            let reference = reference.unwrap_or_default();
            let lease = backend.lease(id).map(|lease| short(&lease.id));
            info!(event = "renew", reference, lease, ttl = life.ttl.as_secs(), "renewed the lease of {reference}");
        }
        (Work::RevokeOldToken(_), _) => {
            info!(event = "revoke", "revoked our old token at {name}: everything has moved to the new one")
        }
        _ => debug!("{} works", doing(work, reference, backend)),
    }
}

/// Logs, at debug, that the schedule starts `work`.
pub(super) fn started(work: Work, reference: Option<&str>, backend: &Backend) {
    debug!("schedule: starts to {}", doing(work, reference, backend));
}

/// Logs, at debug, the next request for a secret or a login and when it is due.
pub(super) fn decided(what: &str, next: Option<(Work, Duration)>, end: Option<Duration>, now: Duration) {
    let until = |at: Duration| format!("in {:.1} s", at.saturating_sub(now).as_secs_f64());
    let next = match next {
        Some((work, at)) => format!("next is {} {}", word(work), until(at)),
        None => "nothing is to be done".to_owned(),
    };
    let end = end.map_or("no end is known".to_owned(), |at| format!("it ends {}", until(at)));
    debug!("schedule: {what}: {next}; {end}");
}

/// The next operation, in words.
fn word(work: Work) -> &'static str {
    match work {
        Work::Login(_) => "a login",
        Work::RenewToken => "a renewal of the token",
        Work::CheckToken => "a look at the token",
        Work::CheckHealth => "a look at the server's health",
        Work::RevokeOldToken(_) => "a revocation of the old token",
        Work::Renew(_) => "a renewal of the lease",
        Work::Issue(_) => "a new issue",
        Work::Read(_) => "a read",
    }
}

/// Logs the result of a revocation at shutdown.
pub(super) fn revocation(revoked: &Result<Revocation, Failure>, backend: &Backend) {
    let name = backend.name();
    match revoked {
        Ok(Revocation::Revoked) => info!(event = "revoke", "revoked what {name} issued"),
        Ok(Revocation::Batch { .. }) => info!("our token at {name} is a batch token, which ends by itself"),
        Ok(Revocation::NoToken | Revocation::Foreign) => {}
        Err(failure) => {
            warn!("cannot revoke what {name} issued, which ends by itself: {}", failure.clone().at(&name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_of_a_hostile_server_stays_in_its_line() {
        let id = |text: &str| LeaseId::parse(text).unwrap();
        assert_eq!(short(&id("database/creds/web/0123456789")), "database/creds/web/01234567…");
        assert_eq!(short(&id("a\nforged\u{1b}[31m/b\nc")), "a\\nforged\\u{1b}[31m/b\\nc…");
        assert!(short(&id(&"x/".repeat(1 << 20))).chars().count() < 600);
        assert!(short(&id(&"x".repeat(1 << 20))).chars().count() < 600);
    }
}
