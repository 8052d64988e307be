//! Vault and OpenBao: login, reads and writes by logical path, and leases.
//!
//! A [`Vault`] has one token. To hand over to a new token, connect a second one, log in there, fetch, and revoke the
//! first one's token. Requests are `vaultrs`'s where it has them, and our own where it drops something we need.

mod answer;
mod endpoint;
mod ends;
mod explain;
mod kv2;
mod login;
mod reason;
mod token;
mod validity;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use http::HeaderValue;
use http::header::RETRY_AFTER;
use rustify::Endpoint;
use rustify::errors::ClientError;
use tokio::sync::OnceCell;

use crate::config;
use crate::domain::{self, Fetched, Lease, LeaseId, SecretBytes, Source, VaultOperation, VaultSource, with_clause};

use super::error::{Class, Extent, Failure, Speaker};
use super::transport::{Limits, Transport, TransportError};
use super::{Fetch, in_parallel};

use answer::{Answer, Mount};
use endpoint::{Call, Envelope, header};
use explain::RequestKind;
use kv2::Kv2;

pub use login::ENDLESS;
pub(crate) use token::{Namespace, usable_accessor};
pub use token::{Origin, Revocation, Token, TokenKind};

/// A connection to a server, with one token.
pub struct Vault {
    transport: Transport,
    namespace: Option<HeaderValue>,
    now: fn() -> SystemTime,
    session: Mutex<Option<Session>>,
    unwrapped: Mutex<Option<Unwrapped>>,
    kv2: Mutex<Kv2>,
}

/// The current token.
struct Session {
    secret: SecretBytes,
    token: Token,
    /// When it was granted; the Unix epoch for a token of an earlier run.
    since: SystemTime,
}

/// A secret ID that was unwrapped, kept for later logins, because a wrapping token can be used once.
struct Unwrapped {
    wrapping_token: SecretBytes,
    secret_id: SecretBytes,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("address", &self.address()).field("token", &self.token()).finish_non_exhaustive()
    }
}

impl Vault {
    /// Sets up a connection without sending anything. Every failure is one of the configuration.
    ///
    /// `now` returns the wall-clock time, for the expiry of certificates and for a `Retry-After` that is a date.
    pub fn connect(config: &config::Vault, limits: Limits, now: fn() -> SystemTime) -> Result<Self, Failure> {
        let namespace = config.namespace.as_deref().map(HeaderValue::try_from).transpose();
        let namespace = namespace
            .map_err(|_| Failure::new(Class::Malformed, "vault.namespace has a character no header can carry"))?;
        Ok(Self::over(Transport::new(config, limits)?, namespace, now))
    }

    /// A client over this transport, not logged in.
    fn over(transport: Transport, namespace: Option<HeaderValue>, now: fn() -> SystemTime) -> Self {
        let (session, unwrapped, kv2) = (Mutex::new(None), Mutex::new(None), Mutex::default());
        Self { transport, namespace, now, session, unwrapped, kv2 }
    }

    /// From now on inserts `data/` into paths of KV v2 that lack it, except these. Finding a mount takes two requests.
    pub fn complete_kv2_paths(&self, as_written: BTreeSet<String>) {
        self.kv2().complete_all_but(as_written);
    }

    /// Uses a token of an earlier login, with its properties as known then. Sends nothing.
    pub fn adopt(&self, secret: SecretBytes, token: Token) -> Result<(), Failure> {
        header(&secret)?;
        *self.session() = Some(Session { secret, token, since: SystemTime::UNIX_EPOCH });
        Ok(())
    }

    /// Drops the token without revoking it.
    pub fn forget_token(&self) {
        *self.session() = None;
    }

    /// A copy of the secret token, to be [adopted](Self::adopt) later.
    pub fn copy_token(&self) -> Option<SecretBytes> {
        self.session().as_ref().map(|session| SecretBytes::copy_of(session.secret.expose()))
    }

    /// Whether this is the current token.
    pub fn holds(&self, secret: &SecretBytes) -> bool {
        self.session().as_ref().is_some_and(|session| session.secret.is_same(secret))
    }

    /// A connection without a token to the same server, for the next login. Inherits the unwrapped secret ID.
    pub fn successor(&self, config: &config::Vault, limits: Limits) -> Result<Self, Failure> {
        let next = Self::over(self.transport.successor(config, limits)?, self.namespace.clone(), self.now);
        let copy = |secret: &SecretBytes| SecretBytes::copy_of(secret.expose());
        let known = self.unwrapped.lock().unwrap_or_else(PoisonError::into_inner);
        let handed_on = known
            .as_ref()
            .map(|known| Unwrapped { wrapping_token: copy(&known.wrapping_token), secret_id: copy(&known.secret_id) });
        *next.unwrapped.lock().unwrap_or_else(PoisonError::into_inner) = handed_on;
        drop(known);
        *next.kv2() = self.kv2().clone();
        Ok(next)
    }

    /// The configured address.
    pub fn address(&self) -> &str {
        self.transport.address()
    }

    /// Whether secrets would travel unencrypted over a network, which deserves a warning.
    pub fn is_plain_remote(&self) -> bool {
        self.transport.is_plain_remote()
    }

    /// The properties of the token; `None` before a login, after a revocation, and once the token is known to be dead.
    pub fn token(&self) -> Option<Token> {
        self.session().as_ref().map(|session| session.token.clone())
    }

    /// Checks the server's health, without a token. Fails only if no server answers that could serve us.
    pub async fn check_health(&self) -> Result<(), Failure> {
        let call = Call::read("sys/health", None).with_query("standbyok=true&perfstandbyok=true");
        let endpoint = call.with_middleware(&Envelope { namespace: None, token: None });
        let response = endpoint.exec(&self.transport).await.map_err(failure)?.response;
        let status = response.status().as_u16();
        let answer = Answer { status, retry_after: None, body: SecretBytes::new(response.into_body()) };
        if answer.is_success() && answer.is_from_vault() && !answer.has_no_reason() {
            return Ok(());
        }
        let refusal = explain::health(&answer).after_contact();
        if refusal.extent == Extent::Request { Ok(()) } else { Err(refusal.of_backend()) }
    }

    /// Closes idle connections (each keeps its last response in its buffers), and reloads a changed CA file.
    pub fn close_idle(&self) {
        self.transport.reload_ca_and_reconnect();
    }

    fn session(&self) -> MutexGuard<'_, Option<Session>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kv2(&self) -> MutexGuard<'_, Kv2> {
        self.kv2.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The namespace of the requests.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_ref().and_then(|namespace| namespace.to_str().ok())
    }

    /// The token as a header value that `Debug` hides.
    fn token_header(&self) -> Result<HeaderValue, Failure> {
        match &*self.session() {
            Some(session) => header(&session.secret),
            None => Err(Failure::new(Class::Denied, "not logged in")),
        }
    }

    /// Sends a request with our token.
    async fn ask(&self, endpoint: impl Endpoint) -> Result<Answer, Failure> {
        let token = self.token_header()?;
        self.send(endpoint, Some(token)).await
    }

    /// Sends a request; returns the response whatever its status.
    async fn send(&self, endpoint: impl Endpoint, token: Option<HeaderValue>) -> Result<Answer, Failure> {
        let envelope = Envelope { namespace: self.namespace.clone(), token };
        let endpoint = endpoint.with_middleware(&envelope);
        let response = endpoint.exec(&self.transport).await.map_err(failure)?.response;
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        Ok(Answer {
            status: response.status().as_u16(),
            retry_after: retry_after.and_then(|value| domain::retry_after(value, (self.now)())),
            body: SecretBytes::new(response.into_body()),
        })
    }

    /// The response if its status is a success, else the explained refusal.
    fn accepted(&self, request: &RequestKind<'_>, answer: Answer) -> Result<Answer, Failure> {
        if answer.is_success() { Ok(answer) } else { Err(explain::refusal(request, &answer, self.namespace())) }
    }

    /// Fetches one source, inserting `data/` into a path that lacks it where the mount is known to be KV version 2.
    async fn fetch_one(&self, source: &Source, round: &Round) -> Result<Fetched, Failure> {
        let Source::Vault(source) = source else {
            return Err(Failure::new(Class::Malformed, "this is no vault: reference"));
        };
        let known = self.kv2().completed(source);
        let answer = self.fetch_path(known.as_ref().unwrap_or(source), round).await;
        let Err(failure) = answer else { return answer };
        if known.is_some() {
            if failure.class == Class::NotFound {
                self.kv2().forget(source);
            }
            return Err(failure);
        }
        // The failed request, or a parallel one, may have detected the mount.
        let completed = self.kv2().completed(source);
        if let Some(source) = completed {
            return self.fetch_path(&source, round).await;
        }
        Err(failure)
    }

    /// Fetches one path. A denial is examined: a dead token, another operation, or a path that was probably meant.
    async fn fetch_path(&self, source: &VaultSource, round: &Round) -> Result<Fetched, Failure> {
        if round.is_dead.get() == Some(&true) {
            return Err(explain::dead_token(None));
        }
        let (call, request) = match &source.operation {
            VaultOperation::Read { version } => (Call::read(&source.path, *version), RequestKind::Read(&source.path)),
            VaultOperation::Write(parameters) => {
                (Call::write(&source.path, parameters), RequestKind::Write(&source.path))
            }
        };
        let answer = self.ask(call).await?;
        if answer.is_success() {
            let fetched = answer::fetched(&answer, source, (self.now)());
            let fetched = fetched.map_err(|failure| explain::unusable(failure, &request, &answer))?;
            drop(answer);
            return match Failure::of_too_many_secrets() {
                Some(failure) => Err(failure.perhaps_done()),
                None => Ok(fetched),
            };
        }
        if answer.status == 404
            && let Some(failure) = answer::deleted(&answer)
        {
            return Err(failure);
        }
        let failure = explain::refusal(&request, &answer, self.namespace());
        if failure.speaker == Speaker::Intermediary {
            return Err(failure);
        }
        let token = self.age_of_live_token();
        if failure.class == Class::Denied && self.is_dead(round).await {
            return Err(explain::dead_token(token));
        }
        if failure.class == Class::Denied
            && let Some(hint) = self.other_operation(&request).await
        {
            return Err(Failure::new(failure.class, with_clause(&failure.why, hint)));
        }
        if !matches!(failure.class, Class::Denied | Class::NotFound) {
            return Err(failure);
        }
        if failure.class == Class::NotFound
            && let VaultOperation::Read { version: Some(version) } = &source.operation
            && let Some(newest) = self.newest_version(&source.path).await
        {
            let why = format!("version {version} does not exist (404); the newest is version {newest}");
            return Err(Failure::new(Class::NotFound, why));
        }
        match self.mount_hint(source).await {
            Some(hint) => Err(Failure::new(failure.class, with_clause(&failure.why, &hint))),
            None => Err(failure),
        }
    }

    /// Whether the token is dead, checked once in a round. A dead token is dropped, so that the caller logs in again.
    async fn is_dead(&self, round: &Round) -> bool {
        let ask = || async {
            let look_up = self.ask(login::look_up()).await;
            let is_dead = look_up.is_ok_and(|answer| explain::is_dead_token(&answer));
            if is_dead {
                *self.session() = None;
            }
            is_dead
        };
        *round.is_dead.get_or_init(ask).await
    }

    /// The age of our token, if its TTL has not passed: then its TTL is not the reason if the token is dead.
    fn age_of_live_token(&self) -> Option<Duration> {
        let session = self.session();
        let session = session.as_ref().filter(|session| session.token.origin == Origin::Login)?;
        let age = (self.now)().duration_since(session.since).ok()?;
        session.token.ttl.is_none_or(|ttl| age < ttl).then_some(age)
    }

    /// A hint if the policy allows writing but not reading the path, or the reverse. `None` if that is unknown.
    async fn other_operation(&self, request: &RequestKind<'_>) -> Option<&'static str> {
        let (RequestKind::Read(path) | RequestKind::Write(path)) = request else { return None };
        let question = Call::write("sys/capabilities-self", &serde_json::json!({ "paths": [path] }));
        let answer = self.ask(question).await.ok().filter(Answer::is_success)?;
        let allows = |wanted: &[&str]| {
            answer::capabilities(&answer).is_some_and(|all| all.iter().any(|one| wanted.contains(&one.as_str())))
        };
        match request {
            RequestKind::Read(_) if allows(&["update", "create"]) => Some(
                "it allows writing there: if that is meant, put ? and the parameters, or a bare ?, behind the path",
            ),
            RequestKind::Write(_) if allows(&["read"]) => {
                Some("it allows reading there: if that is meant, leave out the ? and what is behind it")
            }
            _ => None,
        }
    }

    /// The newest version of a KV v2 secret, deleted or not, found by reading its path.
    async fn newest_version(&self, path: &str) -> Option<u64> {
        answer::version(&self.ask(Call::read(path, None)).await.ok()?)
    }

    /// A hint at the path that was probably meant, when the path is a mount alone, or the mount is KV version 2 and the path
    /// lacks `data/`.
    async fn mount_hint(&self, source: &VaultSource) -> Option<String> {
        let VaultOperation::Read { .. } = &source.operation else {
            return None;
        };
        let question = Call::read(&format!("sys/internal/ui/mounts/{}", source.path), None);
        let answer = self.ask(question).await.ok().filter(Answer::is_success);
        let mount = answer.as_ref().and_then(Mount::of);
        if let Some(mount) = mount.as_ref().filter(|mount| mount.is_versioned())
            && kv2::with_data(source, &mount.path).is_some()
        {
            self.kv2().add_mount(&mount.path);
        }
        kv2::hint(source, mount.as_ref())
    }
}

/// What is checked at most once in a round of requests.
#[derive(Default)]
struct Round {
    is_dead: OnceCell<bool>,
}

impl Fetch for Vault {
    async fn fetch(&self, sources: &[&Source]) -> Vec<Result<Fetched, Failure>> {
        let round = Round::default();
        in_parallel(sources.iter().map(|source| self.fetch_one(source, &round))).await
    }

    async fn renew(&self, lease: &Lease) -> Result<Lease, Failure> {
        let body = serde_json::json!({ "lease_id": lease.id.as_str() });
        let answer = self.ask(Call::write("sys/leases/renew", &body)).await?;
        answer::renewed(&self.accepted_or_dead(&RequestKind::RenewLease, answer).await?, &lease.id)
    }

    async fn revoke(&self, lease: &LeaseId) -> Result<(), Failure> {
        let body = serde_json::json!({ "lease_id": lease.as_str() });
        let answer = self.ask(Call::write("sys/leases/revoke", &body)).await?;
        self.accepted_or_dead(&RequestKind::RevokeLease, answer).await.map(drop)
    }
}

impl Vault {
    /// Returns a successful response, like `accepted`; after a denial it also checks whether the token is dead.
    async fn accepted_or_dead(&self, request: &RequestKind<'_>, answer: Answer) -> Result<Answer, Failure> {
        // Vault answers a revocation with an empty body, and a renewal with JSON. A page with 200 is neither.
        let accepted = if answer.is_success() && answer.is_from_vault() {
            Ok(answer)
        } else {
            Err(explain::refusal(request, &answer, self.namespace()))
        };
        let is_denied = |failure: &Failure| failure.class == Class::Denied && failure.speaker == Speaker::Backend;
        let is_denied = accepted.as_ref().is_err_and(is_denied);
        let token = self.age_of_live_token();
        if is_denied && self.is_dead(&Round::default()).await { Err(explain::dead_token(token)) } else { accepted }
    }
}

/// Converts a `rustify` error. It contains bodies and URLs, so only our own errors inside it are used.
fn failure(error: ClientError) -> Failure {
    match error {
        ClientError::RequestError { source, .. } => match source.downcast::<TransportError>() {
            Ok(error) => error.into(),
            Err(_) => Failure::new(Class::Transient, "the request failed"),
        },
        _ => Failure::new(Class::Malformed, "the path cannot be made into a request"),
    }
}
