//! The open TLS connections: their phases, which one is evicted when there are too many, and when each times out.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use crate::sys::clock;

/// Timeout of an idle connection. The API server closes idle connections after 90 seconds; it must close them
/// first, or a review sent at the same moment would be lost.
const IDLE: Duration = Duration::from_secs(120);
/// Timeout of a handshake, a head, and the reading of a response; twice that for a body.
const PATIENCE: Duration = Duration::from_secs(10);
/// A new connection without any byte after this time is the first to be evicted.
const GRACE: Duration = Duration::from_secs(1);
/// The least rate, in bytes per second, of a body that occupies room while others wait for it, counted after
/// [`HASTE`]. An API server sends a hundred times as fast.
const SLOWEST: u64 = 2 << 20;
/// A connection that others wait for has this long to begin its body, or to read its response.
const HASTE: Duration = Duration::from_millis(500);

/// What a connection is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The TLS handshake.
    Handshake,
    /// The next request, of which nothing has been received.
    Idle,
    /// The rest of a request's head.
    Head,
    /// The rest of a request's body.
    Body,
    /// The admission decision.
    Admission,
    /// The client reading the response.
    Response,
}

impl Phase {
    /// The timeout of the phase; `None` for the decision.
    fn patience(self) -> Option<Duration> {
        match self {
            Self::Admission => None,
            Self::Idle => Some(IDLE),
            // A body that is late is answered with 408 by its reader; this is the backstop.
            Self::Body => Some(PATIENCE * 2),
            Self::Handshake | Self::Head | Self::Response => Some(PATIENCE),
        }
    }
}

/// The state of a connection.
#[derive(Debug)]
struct State {
    phase: Phase,
    /// When the phase began, as time since boot.
    since: Duration,
    answered: u64,
    /// Reserved room for a body and its response.
    room: Option<Reservation>,
}

/// Room reserved for a connection.
#[derive(Debug)]
struct Reservation {
    permit: OwnedSemaphorePermit,
    /// When it was reserved, as time since boot. The wait before does not count.
    since: Duration,
}

impl State {
    /// The time since the phase began.
    fn elapsed(&self) -> Duration {
        clock::boottime().saturating_sub(self.since)
    }
}

/// One open connection.
#[derive(Debug)]
struct Connection {
    state: Mutex<State>,
    /// Bytes of the current body received since the room was reserved.
    received: AtomicU64,
    cut: Notify,
}

/// Locks a mutex; a poisoned one is used anyway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code panics while it holds one of these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Limits of the open connections.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// All connections.
    pub(super) connections: usize,
    /// Connections whose handshake is not complete.
    pub(super) handshakes: usize,
}

/// All open connections.
#[derive(Debug)]
pub(super) struct Connections {
    open: Mutex<Vec<Arc<Connection>>>,
    limits: Limits,
    /// How many connections were evicted.
    pub(super) evicted: AtomicU64,
}

impl Connections {
    /// No connections yet.
    pub(super) fn new(limits: Limits) -> Self {
        Self { open: Mutex::default(), limits, evicted: AtomicU64::new(0) }
    }

    /// Registers a new connection. If there are too many, another one that waits for its client is evicted.
    pub(super) fn enter(self: &Arc<Self>) -> Ticket {
        let state = State { phase: Phase::Handshake, since: clock::boottime(), answered: 0, room: None };
        let connection =
            Arc::new(Connection { state: Mutex::new(state), received: AtomicU64::new(0), cut: Notify::new() });
        let mut open = lock(&self.open);
        let handshakes = open.iter().filter(|c| lock(&c.state).phase == Phase::Handshake).count();
        if handshakes >= self.limits.handshakes {
            self.evict(&mut open, |phase| phase == Phase::Handshake);
        } else if open.len() >= self.limits.connections {
            self.evict(&mut open, |phase| phase != Phase::Admission);
        }
        open.push(Arc::clone(&connection));
        drop(open);
        Ticket { connection, all: Arc::clone(self) }
    }

    /// Evicts the connection that has waited longest: among those without a complete request that are older than
    /// [`GRACE`]; if there is none, among idle ones that had a response; else among all. A new connection may be about
    /// to send a review.
    fn evict(&self, open: &mut Vec<Arc<Connection>>, is_meant: impl Fn(Phase) -> bool) {
        let rank = |connection: &Connection| {
            let state = lock(&connection.state);
            let order = match (state.phase, state.answered) {
                (_, 0) if state.elapsed() > GRACE => 0,
                (Phase::Idle, 1..) => 1,
                (_, 1..) => 2,
                (_, 0) => 3,
            };
            is_meant(state.phase).then_some((order, state.since))
        };
        let ranked = open.iter().enumerate().filter_map(|(at, connection)| Some((rank(connection)?, at)));
        if let Some((_, at)) = ranked.min() {
            open.swap_remove(at).cut.notify_one();
            self.evicted.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Evicts connections that occupy room of this semaphore and send their body, or read their response, too
    /// slowly.
    fn cut_slow_bodies(&self, room: &Arc<Semaphore>) {
        for connection in lock(&self.open).iter() {
            let state = lock(&connection.state);
            let Some(reservation) = state.room.as_ref().filter(|one| Arc::ptr_eq(one.permit.semaphore(), room)) else {
                continue;
            };
            let is_slow = match state.phase {
                Phase::Body => {
                    let took = clock::boottime().saturating_sub(reservation.since).saturating_sub(HASTE);
                    let expected = took.as_millis() * u128::from(SLOWEST) / 1000;
                    u128::from(connection.received.load(Ordering::Relaxed)) < expected
                }
                // A response that is not read occupies room too.
                Phase::Response => state.elapsed() > HASTE,
                Phase::Handshake | Phase::Idle | Phase::Head | Phase::Admission => false,
            };
            if is_slow {
                connection.cut.notify_one();
                self.evicted.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Closes connections without a request in progress, except new ones younger than `grace`.
    pub(super) fn cut_idle(&self, grace: Duration) {
        for connection in lock(&self.open).iter() {
            let state = lock(&connection.state);
            let is_new = state.answered == 0 && state.elapsed() < grace;
            if matches!(state.phase, Phase::Idle | Phase::Handshake) && !is_new {
                connection.cut.notify_one();
            }
        }
    }

    /// How many connections are open.
    pub(super) fn len(&self) -> usize {
        lock(&self.open).len()
    }
}

/// The registration of one connection; ends when dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    connection: Arc<Connection>,
    all: Arc<Connections>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut open = lock(&self.all.open);
        if let Some(at) = open.iter().position(|known| Arc::ptr_eq(known, &self.connection)) {
            open.swap_remove(at);
        }
    }
}

impl Ticket {
    /// Begins a phase.
    pub(super) fn enter(&self, phase: Phase) {
        let mut state = lock(&self.connection.state);
        if phase == Phase::Idle {
            state.room = None;
            state.answered += 1;
        }
        (state.phase, state.since) = (phase, clock::boottime());
    }

    /// The handshake is complete: begins the idle phase.
    pub(super) fn secured(&self) {
        let mut state = lock(&self.connection.state);
        (state.phase, state.since) = (Phase::Idle, clock::boottime());
    }

    /// Counts received bytes of the body.
    pub(super) fn received(&self, bytes: usize) {
        self.connection.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Waits for room for a body; meanwhile, connections that are too slow are evicted. The room is released when
    /// the response has been read.
    pub(super) async fn take_room(&self, room: &Arc<Semaphore>, amount: u32) {
        let mut permit = std::pin::pin!(Arc::clone(room).acquire_many_owned(amount));
        let permit = loop {
            tokio::select! {
                biased;
                permit = &mut permit => break permit.expect("nobody closes it"),
                () = sleep(Duration::from_millis(100)) => self.all.cut_slow_bodies(room),
            }
        };
        self.connection.received.store(0, Ordering::Relaxed);
        lock(&self.connection.state).room = Some(Reservation { permit, since: clock::boottime() });
    }

    /// Waits until the connection must end: it is evicted or closed, or its phase times out.
    pub(super) async fn over(&self) {
        loop {
            let wait = {
                let state = lock(&self.connection.state);
                let left = |patience: Duration| patience.saturating_sub(state.elapsed());
                state.phase.patience().map(left)
            };
            if wait.is_some_and(|left| left.is_zero()) {
                return;
            }
            // The phase, and with it the timeout, may change meanwhile.
            let pause = wait.unwrap_or(PATIENCE).min(Duration::from_secs(2));
            tokio::select! {
                () = self.connection.cut.notified() => return,
                () = sleep(pause) => {}
            }
        }
    }

    /// Whether the connection is in that phase.
    pub(super) fn is_in(&self, phase: Phase) -> bool {
        self.phase() == phase
    }

    /// The connection's phase.
    fn phase(&self) -> Phase {
        lock(&self.connection.state).phase
    }
}

/// The stream of a connection. Updates the phase when a request begins and when a response has been flushed.
pub(super) struct Watched<'a, S> {
    stream: S,
    ticket: &'a Ticket,
}

impl<'a, S> Watched<'a, S> {
    /// Wraps a stream.
    pub(super) fn new(stream: S, ticket: &'a Ticket) -> Self {
        Self { stream, ticket }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<'_, S> {
    /// Reads from the stream; the first bytes of a request end the idle phase.
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before && self.ticket.phase() == Phase::Idle {
            self.ticket.enter(Phase::Head);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<'_, S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        if self.ticket.phase() == Phase::Response {
            self.ticket.enter(Phase::Idle);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_open(ticket: &Ticket) -> bool {
        lock(&ticket.all.open).iter().any(|known| Arc::ptr_eq(known, &ticket.connection))
    }

    fn answered(all: &Arc<Connections>) -> Ticket {
        let ticket = all.enter();
        for phase in [Phase::Idle, Phase::Head, Phase::Response, Phase::Idle] {
            ticket.enter(phase);
        }
        ticket
    }

    #[test]
    fn whoever_was_answered_once_and_idles_makes_room_for_who_has_just_come() {
        let all = Arc::new(Connections::new(Limits { connections: 3, handshakes: 3 }));
        let idle: Vec<Ticket> = (0..3).map(|_| answered(&all)).collect();
        let new: Vec<Ticket> = (0..3).map(|_| all.enter()).collect();
        assert!(idle.iter().all(|ticket| !is_open(ticket)) && new.iter().all(is_open));
        assert_eq!((all.len(), all.evicted.load(Ordering::Relaxed)), (3, 3));
    }

    #[test]
    fn who_sends_nothing_for_a_second_goes_before_who_was_answered() {
        let all = Arc::new(Connections::new(Limits { connections: 2, handshakes: 2 }));
        let (silent, idle) = (all.enter(), answered(&all));
        lock(&silent.connection.state).since = clock::boottime().saturating_sub(GRACE * 2);
        let new = all.enter();
        assert!(!is_open(&silent) && is_open(&idle) && is_open(&new));
    }
}
