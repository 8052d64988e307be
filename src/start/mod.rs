//! One login, each distinct source read once, all in parallel; retries by class until the deadline.
//! What was issued in a start that fails is revoked before the failure is told.

mod deadline;
mod read;
mod session;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tracing::{info, warn};

use crate::backend::login::{LoginError, proof};
use crate::backend::revoke::{GIVE_BACK_WITHIN, leases, log_revocation, retry_revocation, revoke_each};
use crate::checkpoint::{Checkpoint, Kept, LoadedCheckpoint, SavedToken};
use crate::config::{Config, Mistake, VaultAuth};
use crate::domain::{Exit, Fetched, Fetches, Problem, Source};
use crate::identity::PreloadedFiles;
use crate::identity::aws::AwsIdentity;
use crate::identity::protected::ProtectedFiles;
use crate::plan::{Plan, Planned};
use crate::provider::aws::Aws;
use crate::provider::file::Files;
use crate::provider::local::Local;
use crate::provider::vault::{ENDLESS, Origin, TokenKind, Vault};
use crate::provider::{Class, Limits};
use crate::sys::clock;

pub(crate) use deadline::{Needs, Patience, Start};
use read::{Batching, read};
pub(crate) use session::{Session, StartOptions, Successor, interrupted, runtime};

/// No longer for finding out whether the token of an earlier run lives: what it had can be used meanwhile.
const CHECK_WITHIN: Duration = Duration::from_secs(2);

/// The providers of this plan. With `--local` that file is the only one.
#[derive(Debug)]
pub(crate) struct Backends {
    pub(crate) vault: Option<(Rc<Vault>, VaultAuth)>,
    pub(crate) aws: Option<Rc<Aws>>,
    pub(crate) files: Rc<Files>,
    pub(crate) local: Option<Rc<Local>>,
    /// Shared by Secrets Manager and Vault's aws login; asks nobody until one of them needs it.
    pub(crate) aws_identity: Arc<AwsIdentity>,
    /// When the login and each answer were asked for: a life counts from there.
    pub(crate) requested_at: RefCell<RequestTimes>,
    /// Where a sidecar writes down what it was given, from the first answer on.
    pub(crate) checkpoint: RefCell<Option<Checkpoint>>,
}

/// Times since boot.
#[derive(Debug, Default)]
pub(crate) struct RequestTimes {
    /// The login that brought the token.
    pub(crate) login: Duration,
    /// The round in which each source answered.
    pub(crate) sources: BTreeMap<Source, Duration>,
    /// What an earlier run had asked for; `None`: this one logged in itself.
    pub(crate) resumed: Option<BTreeSet<Source>>,
}

impl Backends {
    /// Builds what the plan needs; asks nobody yet.
    pub(crate) fn connect(
        config: &Config,
        plan: &Plan,
        protected: &ProtectedFiles,
        aws_ca: Option<PathBuf>,
    ) -> Result<Self, Vec<Problem>> {
        let needs = |wanted: fn(&Source) -> bool| plan.sources.iter().any(|planned| wanted(&planned.source));
        let aws_identity = Arc::new(AwsIdentity::new(config.aws.clone(), aws_ca));
        let requested_at = RefCell::default();
        let checkpoint = RefCell::new(None);
        let files = Rc::new(Files::new(protected.clone()));
        let mut backends = Self { vault: None, aws: None, files, local: None, aws_identity, requested_at, checkpoint };
        if let Some(path) = &config.local {
            let mistaken = |mistakes: Vec<Mistake>| mistakes.into_iter().map(Problem::from).collect::<Vec<_>>();
            backends.local = Some(Rc::new(Local::open(path).map_err(mistaken)?));
            return Ok(backends);
        }
        if needs(|source| matches!(source, Source::Vault(_))) {
            // A template's references are known only here: the config alone could not miss its vault section.
            let Some(vault) = &config.vault else { return Err(missing("vault.address (or VAULT_ADDR)")) };
            let Some(auth) = vault.auth.clone() else { return Err(missing("vault.auth")) };
            let connected = Vault::connect(vault, Limits::default(), clock::wall).map_err(|failure| {
                vec![Problem::new(Exit::Usage, format!("cannot set up the connection to {}: {failure}", vault.address))]
            })?;
            if connected.is_plain_remote() {
                warn!("{} is plain http: secrets travel readable; use https", vault.address);
            }
            backends.vault = Some((Rc::new(connected), auth));
        }
        if needs(|source| matches!(source, Source::Aws(_))) {
            backends.aws = Some(Rc::new(Aws::new(Arc::clone(&backends.aws_identity))));
        }
        Ok(backends)
    }

    /// Reads what may be beyond our rights after this: files, and AWS's CA bundle, once; the others have read theirs. What
    /// cannot be read is told when it is needed.
    pub(crate) fn hold(&self, plan: &Plan) {
        if self.local.is_none() {
            self.files.hold(plan.sources.iter().map(|planned| &planned.source));
        }
        if self.aws.is_some() {
            self.aws_identity.hold();
        }
    }

    /// Logs in where the plan needs it and reads every source. All problems at once; then nothing is left issued.
    /// What an earlier run left is taken up first.
    pub(crate) async fn fetch_all(
        &self,
        plan: &Plan,
        preloaded: &PreloadedFiles,
        start: &Start,
        found: LoadedCheckpoint,
    ) -> Result<Fetches, Vec<Problem>> {
        let resumed = self.resume(found, start).await;
        let missing = plan.sources.iter().filter(|planned| !resumed.contains_key(&planned.source));
        let (local, others): (Vec<&Planned>, Vec<&Planned>) = missing.partition(|_| self.local.is_some());
        let of = |wanted: fn(&Source) -> bool| {
            others.iter().copied().filter(move |planned| wanted(&planned.source)).collect::<Vec<_>>()
        };
        let vault_sources = of(|source| matches!(source, Source::Vault(_)));
        let aws_sources = of(|source| matches!(source, Source::Aws(_)));
        let file_sources = of(|source| matches!(source, Source::File(_)));
        let under_way: RefCell<BTreeSet<Source>> = RefCell::default();
        // Before the next answer: whoever kills us now loses none that came.
        let on_answer = |source: &Source, fetched: &Fetched, requested_at: Duration| {
            under_way.borrow_mut().remove(source);
            let checkpoint = &mut *self.checkpoint.borrow_mut();
            if let Some(Kept::Yes) =
                checkpoint.as_mut().map(|checkpoint| checkpoint.value(source, fetched, requested_at))
            {
                self.write(checkpoint, &under_way.borrow());
            }
        };
        let vault = async {
            let Some((vault, auth)) = &self.vault else { return Ok(Vec::new()) };
            // With every value at hand, the first login is the schedule's: a server that is away delays nobody.
            if vault.token().is_none() && !vault_sources.is_empty() {
                self.log_in(vault, auth, preloaded, vault_sources.len(), start).await?;
            }
            under_way.borrow_mut().extend(vault_sources.iter().map(|planned| planned.source.clone()));
            self.save(&under_way.borrow());
            let answers = read(&**vault, Batching::Each, vault_sources, start, &self.requested_at, on_answer).await;
            under_way.borrow_mut().clear();
            self.save(&BTreeSet::new());
            Ok(answers)
        };
        let aws = async {
            match &self.aws {
                Some(aws) => read(&**aws, Batching::Together, aws_sources, start, &self.requested_at, on_answer).await,
                None => Vec::new(),
            }
        };
        let local = async {
            match &self.local {
                Some(provider) => {
                    read(&**provider, Batching::Together, local, start, &self.requested_at, |_, _, _| {}).await
                }
                None => Vec::new(),
            }
        };
        let files = read(&*self.files, Batching::Together, file_sources, start, &self.requested_at, |_, _, _| {});
        let (vault, aws, files, local) = tokio::join!(vault, aws, files, local);

        let mut problems = Vec::new();
        let mut fetches = resumed;
        let vault = vault.unwrap_or_else(|problem| {
            problems.push(problem);
            Vec::new()
        });
        for (source, answer) in vault.into_iter().chain(aws).chain(files).chain(local) {
            match answer {
                Ok(fetched) => {
                    fetches.insert(source, fetched);
                }
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() {
            return Ok(fetches);
        }
        // What did come may lack a key: every failure is told in one start.
        problems.extend(plan.unusable(&fetches));
        if !self.leaves_to_next_start() {
            self.give_back(&fetches).await;
        }
        Err(problems)
    }

    /// Whether a start that fails revokes nothing: an app that runs may use what an earlier run had, and the next start takes
    /// that up, with what was issued beside it.
    pub(super) fn leaves_to_next_start(&self) -> bool {
        let leaves = self.requested_at.borrow().resumed.is_some();
        if leaves {
            info!("what the earlier run had is not revoked: the next start takes it up");
        }
        leaves
    }

    /// Takes up what an earlier run had: its token, if it lives, with what hangs on it, and the values that hang on none.
    /// Revokes a token that cannot be used.
    async fn resume(&self, found: LoadedCheckpoint, start: &Start) -> Fetches {
        let mut fetches = Fetches::new();
        let (token, mut values) = match found {
            LoadedCheckpoint::Nothing => return fetches,
            LoadedCheckpoint::Ours(token, values) => (token, values),
            LoadedCheckpoint::Stale(token) => {
                self.revoke_stale(token).await;
                return fetches;
            }
        };
        let mut requested_at = Duration::ZERO;
        let mut silence = None;
        if let (Some(token), Some((vault, _))) = (token, &self.vault) {
            requested_at = token.requested_at;
            let checked = match vault.adopt(token.secret, token.token) {
                Ok(()) => timeout(CHECK_WITHIN, start.attempt(vault.check_token())).await,
                Err(failure) => Ok(Ok(Err(failure))),
            };
            match checked {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(failure))) if failure.class == Class::Denied || vault.token().is_none() => {
                    info!("the earlier run's token has ended, so everything of {} is fetched anew", vault.address());
                    vault.forget_token();
                    values.retain(|value| !matches!(value.source, Source::Vault(_)));
                }
                // An outage is no reason to give it up: the schedule finds out later.
                Ok(Ok(Err(failure)) | Err(failure)) => silence = Some(failure.to_string()),
                Err(_) => silence = Some(format!("no answer within {} s", CHECK_WITHIN.as_secs())),
            }
        }
        let leases = values.iter().filter(|value| value.fetched.lease.is_some()).count();
        let accessor = self.vault.as_ref().and_then(|(vault, _)| vault.token()?.accessor);
        let what = format!("{} values, {leases} of them with a lease", values.len());
        match (silence, &self.vault) {
            (Some(why), Some((vault, _))) => warn!(
                accessor,
                "{} does not answer; taking up what the earlier run had, which may be out of date: {what}: {why}",
                vault.address()
            ),
            _ => info!(accessor, "took up what the earlier run had: {what}"),
        }
        let mut times = self.requested_at.borrow_mut();
        times.login = requested_at;
        times.resumed = Some(values.iter().map(|value| value.source.clone()).collect());
        for value in values {
            if let Some(checkpoint) = &mut *self.checkpoint.borrow_mut() {
                checkpoint.resumed(&value);
            }
            times.sources.insert(value.source.clone(), value.requested_at);
            fetches.insert(value.source, value.fetched);
        }
        fetches
    }

    /// Revokes the token of an earlier run whose configuration was another.
    async fn revoke_stale(&self, token: SavedToken) {
        let Some((vault, _)) = &self.vault else { return };
        if vault.adopt(token.secret, token.token).is_err() {
            return;
        }
        match timeout(GIVE_BACK_WITHIN, vault.revoke_token()).await {
            Ok(revoked) => log_revocation(revoked),
            Err(_) => warn!("cannot revoke the earlier run's token, which ends by itself"),
        }
        vault.forget_token();
    }

    /// Writes down what a restart would take up.
    fn save(&self, under_way: &BTreeSet<Source>) {
        self.write(&mut self.checkpoint.borrow_mut(), under_way);
    }

    fn write(&self, checkpoint: &mut Option<Checkpoint>, under_way: &BTreeSet<Source>) {
        let Some(checkpoint) = checkpoint else { return };
        let token = self.vault.as_ref().and_then(|(vault, _)| SavedToken::of(vault, self.requested_at.borrow().login));
        checkpoint.write(token.as_ref(), under_way.iter().map(ToString::to_string).collect());
    }

    /// Nobody is asked for a while: no pooled connection keeps the last answer in its buffers.
    pub(crate) fn rest(&self) {
        if let Some((vault, _)) = &self.vault {
            vault.close_idle();
        }
        self.aws_identity.close_idle();
    }

    /// Revokes what we were given, within a bounded time: our own token (its leases end with it), or, under a token that
    /// is not ours, each lease by itself. Failures are warnings: the leases' own end is the backstop.
    pub(crate) async fn give_back(&self, fetches: &Fetches) {
        let leases = leases(fetches);
        let work = async {
            if let Some(local) = &self.local {
                revoke_each(&**local, &leases).await;
            } else if let Some((vault, _)) = &self.vault {
                match vault.token().map(|token| token.origin) {
                    Some(Origin::Ours) => {
                        // A batch token cannot be revoked, so its leases do not end with it.
                        if vault.token().is_some_and(|token| token.kind == TokenKind::Batch) {
                            revoke_each(&**vault, &leases).await;
                        }
                        log_revocation(retry_revocation(|| vault.revoke_token()).await);
                    }
                    Some(Origin::Foreign) => revoke_each(&**vault, &leases).await,
                    None => {}
                }
            }
        };
        let outcome = timeout(GIVE_BACK_WITHIN, work).await;
        if let Some(checkpoint) = self.checkpoint.take() {
            checkpoint.remove();
        }
        if outcome.is_err() {
            warn!("gave up revoking after {} s; what was issued ends by itself", GIVE_BACK_WITHIN.as_secs());
        }
    }

    /// How long the token lives on, where there is one that ends.
    pub(crate) fn token_ttl(&self) -> Option<Duration> {
        self.vault.as_ref().and_then(|(vault, _)| vault.token()?.ttl)
    }

    /// One login, retried while that can help.
    async fn log_in(
        &self,
        vault: &Vault,
        auth: &VaultAuth,
        preloaded: &PreloadedFiles,
        reads: usize,
        start: &Start,
    ) -> Result<(), Problem> {
        // Every read, and the revocation at the end of a token of ours.
        let revocation = u64::from(!matches!(auth, VaultAuth::TokenFile { .. }));
        let requests = match start.needs {
            Needs::Start => u64::try_from(reads).unwrap_or(u64::MAX).saturating_add(revocation),
            Needs::Endless => ENDLESS,
        };
        let what = format!("cannot log in to {} with {auth}", vault.address());
        let mut tries = 0;
        loop {
            let attempt = async {
                let proof = proof(auth, preloaded, &self.aws_identity).await?;
                self.requested_at.borrow_mut().login = clock::boottime();
                vault.login(&proof, requests).await.map_err(LoginError::Rejected)
            };
            let failure = match start.login(attempt).await.map_err(LoginError::Rejected).and_then(|answer| answer) {
                Ok(token) => {
                    info!(accessor = token.accessor.as_deref(), "logged in to {} with {auth}", vault.address());
                    return Ok(());
                }
                Err(LoginError::NoCredentials(error)) => {
                    start.fail();
                    return Err(Problem::new(error.exit(), format!("{what}: {error}")));
                }
                Err(LoginError::Rejected(failure)) => failure,
            };
            if !failure.class.is_retried() || !start.wait(&what, &failure, tries).await {
                start.fail();
                return Err(Problem::new(failure.class.exit(), format!("{what}: {failure}")));
            }
            tries += 1;
        }
    }
}

fn missing(setting: &str) -> Vec<Problem> {
    vec![Problem::new(Exit::Usage, format!("{setting} is missing, and a template has a vault: reference"))]
}
