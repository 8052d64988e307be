//! The session of a start: the runtime, the backends, and what was issued.
//!
//! Capabilities and no-new-privs are per thread, and a runtime may have several threads; so a session can be
//! [suspended](Session::suspend): that ends all its threads, and what was issued can still be revoked later.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;
use tracing::{info, warn};

use crate::backend::revoke::{Bound, ExpiringValue, expiring_values};
use crate::backend::{Answers, Backends};
use crate::checkpoint::{Checkpoint, Found};
use crate::config::Config;
use crate::domain::{Diagnostic, Exit, Fetches, Mode, http_date, later};
use crate::identity::PreloadedFiles;
use crate::plan::computed::Rendered;
use crate::plan::{Plan, RenderLimit};
use crate::sys::clock;
use crate::sys::harden::SavedSignalState;
use crate::sys::signals::{Signal, Signals};
use crate::sys::watch::Watched;

use super::deadline::{Needs, Patience, Start};
use super::fetch_all::{fetch_all, keeps_for_next_start};

/// Everything fetched, with the means to revoke it.
#[derive(Debug)]
pub(crate) struct Session {
    runtime: Option<Reactor>,
    pub(crate) backends: Backends,
    pub(crate) answers: Answers,
    /// The checkpoint, to which fetched values are written for the next start.
    pub(crate) checkpoint: Option<Checkpoint>,
    /// The deadline of the start, as time since boot.
    deadline: Duration,
}

/// Which process uses the login and the leases after this one has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Successor {
    /// None: what `--leave-leases` accepts ends with its TTL.
    Nobody,
    /// A sidecar with the same configuration and state directory.
    Sidecar,
}

/// What [`Session::open`] starts from.
#[derive(Debug)]
pub(crate) struct StartOptions {
    /// The checkpoint of an earlier run: what it contains is not fetched again.
    pub(crate) found: Found,
    /// The checkpoint to write for the next start.
    pub(crate) checkpoint: Option<Checkpoint>,
    pub(crate) patience: Patience,
    pub(crate) needs: Needs,
    /// How the program runs; `None` for `check`.
    pub(crate) mode: Option<Mode>,
}

impl StartOptions {
    /// A start without a checkpoint, that a person or an app waits for.
    pub(crate) fn fresh(mode: Option<Mode>) -> Self {
        Self { found: Found::NOTHING, checkpoint: None, patience: Patience::Short, needs: Needs::Start, mode }
    }
}

impl Session {
    /// Logs in and reads everything, including what templates compute from fetched values, until the deadline or a
    /// terminating signal. A failure leaves nothing issued.
    pub(crate) fn open(
        config: &Config,
        plan: &mut Plan,
        preloaded: &PreloadedFiles,
        backends: Backends,
        original: &SavedSignalState,
        options: StartOptions,
    ) -> Result<Self, Vec<Diagnostic>> {
        let runtime = runtime()?;
        let StartOptions { found, mut checkpoint, patience, needs, mode } = options;
        let deadline = clock::boottime().saturating_add(config.rotation.timeout);
        let answers = runtime.block_on(async {
            let start = Start::within(config.rotation.timeout, patience, needs);
            let signals = Signals::only(original.ending())
                .map_err(|error| vec![Diagnostic::bug(&format!("cannot open a signalfd: {error}"))])?;
            let fetched = {
                let fetching = fetch_all(&backends, plan, preloaded, &start, found, &mut checkpoint);
                let mut fetching = pin!(fetching);
                let first = tokio::select! {
                    biased;
                    ended = ending(&signals) => Err(ended?),
                    fetched = &mut fetching => Ok(fetched?),
                };
                match first {
                    Ok(answers) => Ok(answers),
                    Err(signal) => {
                        start.end_soon();
                        Err((signal, fetching.await.ok()))
                    }
                }
            };
            match fetched {
                Ok(answers) => Ok(answers),
                Err((signal, late)) => {
                    if let Some(answers) = late {
                        revoke_all(&backends, &answers, &mut checkpoint).await;
                    }
                    Err(vec![ended_early(signal, mode)])
                }
            }
        })?;
        let mut session = Self { runtime: Some(runtime), backends, answers, checkpoint, deadline };
        let computed = plan.computed(session.render_limit(original), &session.answers.fetches, Rendered::All);
        let computed = session.guard(computed.map_err(|problem| vec![problem]))?;
        plan.adopt(computed);
        Ok(session)
    }

    /// The limit of rendering that begins now: the deadline of the start, or a signal.
    pub(crate) fn render_limit<'a>(&self, signals: &'a SavedSignalState) -> RenderLimit<'a> {
        RenderLimit::after(self.deadline.saturating_sub(clock::boottime())).or_signal(signals)
    }

    /// Returns `result`; if it is a failure, revokes everything issued first (unless the next start resumes it).
    pub(crate) fn guard<T>(&mut self, result: Result<T, Vec<Diagnostic>>) -> Result<T, Vec<Diagnostic>> {
        if result.is_err() && !keeps_for_next_start(&self.answers) {
            self.revoke_all();
        }
        result
    }

    /// For a mode that does not keep running: refuses values that expire by themselves, unless `--leave-leases` is set.
    pub(crate) fn refuse_expiring_values(&self, config: &Config) -> Result<(), Vec<Diagnostic>> {
        if config.app.leave_leases {
            return Ok(());
        }
        let refused: Vec<_> = expiring_values(&self.answers.fetches)
            .map(|expiring| {
                let ExpiringValue { source, what, .. } = expiring;
                let text = format!(
                    "cannot leave {source} behind: it has {what}; use --supervise or a sidecar, \
                     or accept with --leave-leases that it expires at {}",
                    self.end_of(&expiring)
                );
                Diagnostic::new(Exit::Usage, text)
            })
            .collect();
        if refused.is_empty() { Ok(()) } else { Err(refused) }
    }

    /// Delivers, in a mode that does not keep running. If no value depends on our token, the token is revoked while
    /// `deliver` runs. Otherwise token and leases stay, and the log says until when; after a failed delivery they are
    /// revoked. If a sidecar follows, it takes over login and leases.
    pub(crate) fn leave(
        &mut self,
        successor: Successor,
        deliver: impl FnOnce(&Fetches) -> Result<(), Vec<Diagnostic>>,
    ) -> Result<(), Vec<Diagnostic>> {
        if successor == Successor::Sidecar {
            let delivered = deliver(&self.answers.fetches);
            self.guard(delivered)?;
            info!(
                event = "leave",
                "login and leases are left to the sidecar with this configuration and state directory"
            );
            return Ok(());
        }
        for expiring in expiring_values(&self.answers.fetches).filter(|expiring| expiring.bound == Bound::ToNothing) {
            let (source, end) = (expiring.source, self.end_of(&expiring));
            info!(event = "leave", reference = %source, "leaving {source} behind: nothing replaces it, it expires at {end}");
        }
        if !self.needs_token() {
            let runtime = self.runtime.as_ref().expect("not suspended");
            return runtime.block_on(async {
                let mut revocation = pin!(revoke_all(&self.backends, &self.answers, &mut self.checkpoint));
                let is_over = under_way(&mut revocation).await;
                let delivered = deliver(&self.answers.fetches);
                if !is_over {
                    revocation.await;
                }
                delivered
            });
        }
        let delivered = deliver(&self.answers.fetches);
        self.guard(delivered)?;
        for expiring in expiring_values(&self.answers.fetches).filter(|expiring| expiring.bound == Bound::ToOurToken) {
            let (source, end) = (expiring.source, self.end_of(&expiring));
            info!(
                event = "leave",
                reference = %source,
                "leaving the lease of {source} behind: nothing renews it, it expires at {end}"
            );
        }
        Ok(())
    }

    /// When a value ends, as an HTTP date. A lease ends with its token at the latest.
    fn end_of(&self, expiring: &ExpiringValue<'_>) -> String {
        let token = self.backends.token_ttl().filter(|_| expiring.bound == Bound::ToOurToken);
        let ttl = token.map_or(expiring.ttl, |token| token.min(expiring.ttl));
        http_date(later(clock::wall(), ttl))
    }

    /// Whether some value ends with our token.
    pub(crate) fn needs_token(&self) -> bool {
        expiring_values(&self.answers.fetches).any(|expiring| expiring.bound == Bound::ToOurToken)
    }

    /// Ends every thread but this one, and the runtime with them. [`Self::resume`] or [`Self::revoke_all`] starts a new
    /// one.
    pub(crate) fn suspend(&mut self) {
        self.backends.close_idle();
        if let Some(runtime) = self.runtime.take() {
            runtime.end();
        }
    }

    /// Starts a new runtime after [`Self::suspend`].
    pub(crate) fn resume(&mut self) -> Result<(), Vec<Diagnostic>> {
        if self.runtime.is_none() {
            self.runtime = Some(runtime()?);
        }
        Ok(())
    }

    /// Runs `work` to its end. Panics while suspended.
    pub(crate) fn block_on<T>(&mut self, work: impl Future<Output = T>) -> T {
        self.runtime.as_ref().expect("not suspended").block_on(work)
    }

    /// Revokes everything issued, within [`REVOKE_WITHIN`](crate::backend::revoke::REVOKE_WITHIN), starting a runtime
    /// if needed. Failures are logged as warnings.
    pub(crate) fn revoke_all(&mut self) {
        if self.runtime.is_none() {
            match runtime() {
                Ok(runtime) => self.runtime = Some(runtime),
                Err(problems) => {
                    return warn!("cannot revoke what was issued, which ends by itself: {}", problems[0].text);
                }
            }
        }
        let runtime = self.runtime.as_ref().expect("made above");
        runtime.block_on(revoke_all(&self.backends, &self.answers, &mut self.checkpoint));
    }
}

/// Revokes everything issued and removes the checkpoint, as there is nothing to resume.
async fn revoke_all(backends: &Backends, answers: &Answers, checkpoint: &mut Option<Checkpoint>) {
    backends.revoke_all(&answers.fetches).await;
    if let Some(checkpoint) = checkpoint.take() {
        checkpoint.remove();
    }
}

/// Revokes what was issued if a panic follows the fetch.
impl Drop for Session {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.revoke_all();
        }
    }
}

/// A runtime whose drop does not wait for its threads: a pending name look-up would delay our exit.
#[derive(Debug)]
pub(crate) struct Reactor(Option<Runtime>);

impl Reactor {
    /// Runs `work` to its end.
    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.0.as_ref().expect("taken only at its end").block_on(work)
    }

    /// Ends the runtime's threads, waiting up to 5 s for a name look-up. (That no thread is left is verified
    /// elsewhere.)
    fn end(mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_timeout(std::time::Duration::from_secs(5));
        }
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A current-thread runtime with I/O and timers.
pub(crate) fn runtime() -> Result<Reactor, Vec<Diagnostic>> {
    Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map(|runtime| Reactor(Some(runtime)))
        .map_err(|error| vec![Diagnostic::bug(&format!("cannot build the runtime: {error}"))])
}

/// Yields to the runtime a few times so that a request already written is flushed. Returns `true` when the work is over
/// by then.
async fn under_way(work: &mut (impl Future<Output = ()> + Unpin)) -> bool {
    let turns = async {
        for _ in 0..8 {
            yield_now().await;
        }
    };
    tokio::select! {
        biased;
        () = work => true,
        () = turns => false,
    }
}

/// Waits for a signal whose default action would end the program. Others stay pending for the app.
async fn ending(signals: &Signals) -> Result<Signal, Vec<Diagnostic>> {
    let broken = |error: std::io::Error| vec![Diagnostic::bug(&format!("cannot read the signalfd: {error}"))];
    let watched = Watched::new(signals).map_err(broken)?;
    loop {
        if let Some(received) = signals.next_received().map_err(broken)? {
            return Ok(received.signal);
        }
        watched.readable().await.map_err(broken)?;
    }
}

/// The problem of a start that a signal ended before the app ran.
pub(crate) fn interrupted(signal: Signal) -> Diagnostic {
    ended_early(signal, Some(Mode::Exec))
}

/// A signal that came before the start had done what it is for: in a sidecar and in init there is no app.
fn ended_early(signal: Signal, mode: Option<Mode>) -> Diagnostic {
    let before = match mode {
        Some(Mode::Exec | Mode::Supervise) => "the app started",
        Some(Mode::Init | Mode::Sidecar) => "the secrets were delivered",
        None => "every reference was tried",
    };
    Diagnostic::new(Exit::Signal(signal.number()), format!("ended by {signal} before {before}"))
}
