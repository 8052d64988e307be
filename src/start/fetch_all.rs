//! Logs in once and reads each distinct source once, all in parallel, with retries until the deadline.
//! What was issued in a start that fails is revoked before the failure is reported.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::backend::login::{Credentials, LoginError, log_in};
use crate::backend::{Answers, Backends, Request, Run, grant};
use crate::checkpoint::{Checkpoint, Found, Kept, SavedToken, SavedValue};
use crate::config::VaultAuth;
use crate::domain::{Diagnostic, Exit, Fetched, Source, part};
use crate::identity::PreloadedFiles;
use crate::plan::computed::Rendered;
use crate::plan::{Plan, Planned, RenderLimit};
use crate::provider::Effect;
use crate::provider::vault::{ENDLESS, Vault};
use crate::sys::clock;

use super::deadline::{Needs, Start};
use super::read::{self, Batching, read};
use super::resume::{resume, reuse};

/// The deadline for values that are not essential, because expired ones of an earlier run can be used instead. It is
/// short: meanwhile nothing renews the valid leases, and rotation retries the rest later.
const WITHOUT_AFTER: Duration = Duration::from_secs(2);
/// The shortest pause between two renewals of the token, and before another try of one.
const SHORTEST_RENEWAL: Duration = Duration::from_secs(1);
/// How many levels of paths may be computed from values whose own path is computed.
const MOST_ROUNDS: u32 = 4;

/// Resumes the values of an earlier run, logs in where the plan needs it, and reads every other source. Returns all
/// problems at once; then everything issued is revoked (except what belongs to the earlier run).
pub(super) async fn fetch_all(
    backends: &Backends,
    plan: &Plan,
    preloaded: &PreloadedFiles,
    start: &Start,
    found: Found,
    checkpoint: &mut Option<Checkpoint>,
) -> Result<Answers, Vec<Diagnostic>> {
    let (mut answers, mut ended) = resume(backends, found, start, checkpoint).await;
    let missing: Vec<&Planned> =
        plan.sources.iter().filter(|planned| !answers.fetches.contains_key(&planned.source)).collect();
    let can_do_without =
        |planned: &&Planned| ended.contains_key(&planned.source) || matches!(planned.source, Source::File(_));
    if !ended.is_empty() && missing.iter().all(can_do_without) {
        start.shorten(WITHOUT_AFTER);
    }
    let fetching = Fetching {
        backends,
        preloaded,
        start,
        login_at: Cell::new(answers.login_at),
        checkpoint: RefCell::new(checkpoint),
        under_way: RefCell::default(),
    };
    let (mut problems, mut without) = (Vec::new(), Vec::new());
    let read = Box::pin(fetching.read_all(missing)).await;
    take_in(read, &mut answers, &mut ended, &mut problems, &mut without);
    // Templates may compute paths from these values, and further paths from the values found there. What expired while
    // others were retried is issued once more.
    for round in 0.. {
        let computed = missing_computed(plan, &answers, start, round).unwrap_or_else(|problem| {
            problems.push(problem);
            Vec::new()
        });
        let goes_on = problems.is_empty() && without.is_empty() && !start.has_failed();
        let Some(first) = computed.first().filter(|_| goes_on) else { break };
        if round == MOST_ROUNDS {
            problems.push(too_many_rounds(first));
            break;
        }
        let read = Box::pin(fetching.read_all(computed.iter().collect())).await;
        take_in(read, &mut answers, &mut ended, &mut problems, &mut without);
    }
    answers.login_at = fetching.login_at.get();
    if problems.is_empty() {
        // A restart during an outage must not leave the app worse off than before.
        let limit = RenderLimit::after(start.left());
        use_expired(plan, without, ended, &mut answers, checkpoint, limit);
        return Ok(answers);
    }
    // Values that were fetched may lack a key: report every problem in one start.
    problems.extend(plan.unusable(&answers.fetches, RenderLimit::after(start.left())));
    if !keeps_for_next_start(&answers) {
        backends.revoke_all(&answers.fetches).await;
        if let Some(checkpoint) = checkpoint.take() {
            checkpoint.remove();
        }
    }
    Err(problems)
}

/// What templates compute from these values and nobody fetched yet; in the first round also what has expired meanwhile. An
/// error at the deadline.
fn missing_computed(plan: &Plan, answers: &Answers, start: &Start, round: u32) -> Result<Vec<Planned>, Diagnostic> {
    let over = if round == 0 { expired(plan, answers) } else { Vec::new() };
    let computed = plan.computed(RenderLimit::after(start.left()), &answers.fetches, Rendered::All)?.planned;
    let missing = computed.into_iter().filter(|planned| !answers.fetches.contains_key(&planned.source));
    Ok(over.into_iter().chain(missing).collect())
}

/// The sources whose lease of this run has expired already. A lease without a TTL does not say when.
fn expired(plan: &Plan, answers: &Answers) -> Vec<Planned> {
    let is_over = |planned: &&Planned| {
        let lease = answers.fetches.get(&planned.source).and_then(|fetched| fetched.lease.as_ref());
        let request = answers.requests.get(&planned.source).filter(|request| request.run == Run::This);
        lease.zip(request).is_some_and(|(lease, request)| {
            !lease.ttl.is_zero() && request.at.saturating_add(lease.ttl) <= clock::boottime()
        })
    };
    plan.sources.iter().filter(is_over).cloned().collect()
}

/// Continues with expired values of an earlier run that cannot be replaced now, and with those whose path templates
/// compute from them.
fn use_expired(
    plan: &Plan,
    without: Vec<(SavedValue, Diagnostic)>,
    mut ended: BTreeMap<Source, SavedValue>,
    answers: &mut Answers,
    checkpoint: &mut Option<Checkpoint>,
    limit: RenderLimit<'_>,
) {
    let is_any = !without.is_empty();
    for (value, problem) in without {
        warn!("{} has ended and stays as it was (onExpired: keep): {}", value.source, problem.text);
        reuse(value, answers, checkpoint);
    }
    let next = |answers: &Answers, ended: &mut BTreeMap<Source, SavedValue>| {
        // Beyond the limit the start fails when the paths are adopted.
        let computed = plan.computed(limit, &answers.fetches, Rendered::All).unwrap_or_default();
        computed.planned.iter().find_map(|planned| ended.remove(&planned.source))
    };
    while let Some(value) = is_any.then(|| next(answers, &mut ended)).flatten() {
        warn!("{} has ended and stays as it was (onExpired: keep), with what names it", value.source);
        reuse(value, answers, checkpoint);
    }
}

/// The problem of a path that is computed over too many levels.
fn too_many_rounds(planned: &Planned) -> Diagnostic {
    let (shown, uses) = (&planned.shown, planned.uses.join(", "));
    let text = format!(
        "cannot read {shown} ({uses}): its path is computed from a value whose path is computed, more than {MOST_ROUNDS} times \
         over"
    );
    Diagnostic::new(Exit::Data, text)
}

/// Sorts read results into answers, problems, and expired values of an earlier run that are used instead.
fn take_in(
    read: read::Answers,
    answers: &mut Answers,
    ended: &mut BTreeMap<Source, SavedValue>,
    problems: &mut Vec<Diagnostic>,
    without: &mut Vec<(SavedValue, Diagnostic)>,
) {
    for (source, answer) in read {
        match answer {
            Ok((fetched, at)) => {
                answers.requests.insert(source.clone(), Request { at, run: Run::This });
                answers.fetches.insert(source, fetched);
            }
            Err(problem) if problem.exit == Exit::Unavailable && ended.contains_key(&source) => {
                without.extend(ended.remove(&source).map(|value| (value, problem)));
            }
            // A failed login is one problem, however many sources need it.
            Err(problem) if problems.contains(&problem) => {}
            Err(problem) => problems.push(problem),
        }
    }
}

/// Whether a failed start revokes nothing: a running app may use the earlier run's values, and the next start resumes
/// them together with what was issued now.
pub(super) fn keeps_for_next_start(answers: &Answers) -> bool {
    if answers.is_resumed {
        info!("what the earlier run had is not revoked: the next start takes it up");
    }
    answers.is_resumed
}

/// The requests of one start, which run in parallel.
struct Fetching<'a> {
    backends: &'a Backends,
    preloaded: &'a PreloadedFiles,
    start: &'a Start,
    /// When the login request, or the last renewal, was sent.
    login_at: Cell<Duration>,
    checkpoint: RefCell<&'a mut Option<Checkpoint>>,
    /// Requests under way that may issue a credential.
    under_way: RefCell<BTreeSet<Source>>,
}

impl Fetching<'_> {
    /// Reads these sources, each from its store; logs in to Vault first if needed.
    async fn read_all(&self, missing: Vec<&Planned>) -> read::Answers {
        let Backends { local, aws, files, .. } = self.backends;
        let (from_local, others): (Vec<&Planned>, Vec<&Planned>) = missing.into_iter().partition(|_| local.is_some());
        let of = |wanted: fn(&Source) -> bool| {
            others.iter().copied().filter(move |planned| wanted(&planned.source)).collect::<Vec<_>>()
        };
        let vault_sources = of(|source| matches!(source, Source::Vault(_)));
        let aws_sources = of(|source| matches!(source, Source::Aws(_)));
        let file_sources = of(|source| matches!(source, Source::File(_)));
        let on_answer = |source: &Source, fetched: &Fetched, at: Duration| self.record(source, fetched, at);
        let from_aws = async {
            match aws {
                Some(aws) => read(&**aws, Batching::Together, aws_sources, self.start, on_answer).await,
                None => Vec::new(),
            }
        };
        let from_local = async {
            match local {
                Some(local) => read(&**local, Batching::Together, from_local, self.start, |_, _, _| {}).await,
                None => Vec::new(),
            }
        };
        let from_files = read(&**files, Batching::Together, file_sources, self.start, |_, _, _| {});
        let (vault, aws, files, local) = tokio::join!(self.read_vault(vault_sources), from_aws, from_files, from_local);
        vault.into_iter().chain(aws).chain(files).chain(local).collect()
    }

    /// Reads sources of Vault, after a login if there is no token. A failed login is the result of each of them.
    async fn read_vault(&self, sources: Vec<&Planned>) -> read::Answers {
        let Some((vault, auth)) = &self.backends.vault else { return Vec::new() };
        // If every value is resumed, the schedule makes the first login: a server that is down does not delay the
        // start.
        if vault.token().is_none()
            && !sources.is_empty()
            && let Err(problem) = self.log_in(vault, auth, sources.len()).await
        {
            return sources.iter().map(|planned| (planned.source.clone(), Err(problem.clone()))).collect();
        }
        self.under_way.borrow_mut().extend(sources.iter().map(|planned| planned.source.clone()));
        self.save();
        let on_answer = |source: &Source, fetched: &Fetched, at: Duration| self.record(source, fetched, at);
        let answers = tokio::select! {
            biased;
            answers = read(&**vault, Batching::Each, sources, self.start, on_answer) => answers,
            never = self.keep_token_alive(vault) => match never {},
        };
        self.under_way.borrow_mut().clear();
        self.save();
        answers
    }

    /// Renews the token at two thirds of its TTL, while reads are retried for longer than that: the next read under a dead
    /// token would be denied, which ends the start. A token with a limited number of uses has none for this.
    async fn keep_token_alive(&self, vault: &Vault) -> Infallible {
        let two_thirds = |ttl: Duration| part(ttl.saturating_mul(2), 3).max(SHORTEST_RENEWAL);
        loop {
            let token = vault.token().filter(|token| token.uses.is_none());
            let life = token.and_then(|token| grant(&token).life).filter(|life| life.renewable);
            let Some(life) = life else { return pending().await };
            let mut at = self.login_at.get().saturating_add(two_thirds(life.ttl));
            loop {
                sleep(at.saturating_sub(clock::boottime())).await;
                let requested_at = clock::boottime();
                let renewal = timeout(self.start.share(), vault.renew_token()).await;
                match renewal {
                    Ok(Ok(_)) => {
                        self.login_at.set(requested_at);
                        self.save();
                        break;
                    }
                    Ok(Err(failure)) if !failure.class.is_retried() => return pending().await,
                    _ => at = clock::boottime().saturating_add(part(life.ttl, 10).max(SHORTEST_RENEWAL)),
                }
            }
        }
    }

    /// Writes a value to the checkpoint as soon as it arrives, so that a kill loses none.
    fn record(&self, source: &Source, fetched: &Fetched, requested_at: Duration) {
        self.under_way.borrow_mut().remove(source);
        let kept =
            self.checkpoint.borrow_mut().as_mut().map(|checkpoint| checkpoint.value(source, fetched, requested_at));
        if kept == Some(Kept::Yes) {
            self.save();
        }
    }

    /// Writes the checkpoint that a restart resumes from.
    fn save(&self) {
        if let Some(checkpoint) = self.checkpoint.borrow_mut().as_mut() {
            let vault = self.backends.vault.as_ref();
            let token = vault.and_then(|(vault, _)| SavedToken::of(vault, self.login_at.get()));
            checkpoint.write(token.as_ref(), self.under_way.borrow().iter().map(ToString::to_string).collect());
        }
    }

    /// Logs in, with retries. `reads` is the number of requests that follow.
    async fn log_in(&self, vault: &Vault, auth: &VaultAuth, reads: usize) -> Result<(), Diagnostic> {
        let start = self.start;
        // Every read, and finally the revocation of a token that we logged in for.
        let revocation = u64::from(!matches!(auth, VaultAuth::TokenFile { .. }));
        let requests = match start.needs {
            Needs::Start => u64::try_from(reads).unwrap_or(u64::MAX).saturating_add(revocation),
            Needs::Endless => ENDLESS,
        };
        let what = format!("cannot log in to {} with {auth}", vault.address());
        let waited_for = format!("the login to {} with {auth}", vault.address());
        let credentials = Credentials { auth, preloaded: self.preloaded, aws: &self.backends.aws_identity };
        let (mut tries, mut lost) = (0, 0);
        loop {
            let attempt = async {
                let proof = credentials.proof().await?;
                let answer = start.within_share(vault.address(), log_in(vault, &proof, requests)).await;
                answer.and_then(|answer| answer).map_err(LoginError::Rejected)
            };
            let answer = start.login(&waited_for, attempt).await.map_err(LoginError::Rejected);
            let failure = match answer.and_then(|answer| answer) {
                Ok((token, requested_at)) => {
                    self.login_at.set(requested_at);
                    let (accessor, address) = (token.accessor.as_deref(), vault.address());
                    if token.is_unseen() {
                        info!(
                            event = "login",
                            "taking {auth} for {address} as it is: its look-up was refused (403), the first read shows \
                             whether it is valid"
                        );
                    } else {
                        info!(event = "login", accessor, "logged in to {address} with {auth}");
                    }
                    return Ok(());
                }
                Err(LoginError::NoCredentials(error)) => {
                    start.fail();
                    let why = auth.without_own_path(&error.to_string());
                    return Err(Diagnostic::new(error.exit(), format!("{what}: {why}")));
                }
                Err(LoginError::Rejected(failure)) => failure.of_named_login().at(vault.address()),
            };
            lost += u32::from(failure.effect == Effect::Lost);
            if !failure.class.is_retried() || !start.wait_for_login(&what, &failure, tries, lost).await {
                start.fail();
                return Err(Diagnostic::new(failure.class.exit(), format!("{what}: {failure}")));
            }
            tries += 1;
        }
    }
}
