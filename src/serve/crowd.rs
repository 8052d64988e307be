//! Many connections in one task: so many at a time, each for so long, and the loop around goes on meanwhile.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::time::{sleep, timeout};

/// How long to wait when the system has no descriptor for another connection.
const PAUSE: Duration = Duration::from_millis(100);

/// What connections come from.
pub(super) trait Door {
    /// One connection.
    type Stream;
    /// The next one.
    async fn next(&self) -> io::Result<Self::Stream>;
}

impl Door for UnixListener {
    type Stream = UnixStream;
    async fn next(&self) -> io::Result<UnixStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

impl Door for TcpListener {
    type Stream = TcpStream;
    async fn next(&self) -> io::Result<TcpStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

/// How many, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Connections at a time; others wait before the door.
    pub(super) most: usize,
    /// After that a connection is cut, whatever it does.
    pub(super) patience: Duration,
}

/// Answers connections for ever. Whoever drops this cuts them all.
pub(super) async fn serve<D: Door>(door: &D, limits: Limits, answer: impl AsyncFn(D::Stream)) -> Infallible {
    let mut open = FuturesUnordered::new();
    loop {
        tokio::select! {
            stream = enter(door), if open.len() < limits.most => open.push(timeout(limits.patience, answer(stream))),
            Some(_) = open.next() => {}
        }
    }
}

async fn enter<D: Door>(door: &D) -> D::Stream {
    loop {
        match door.next().await {
            Ok(stream) => return stream,
            // Not a busy loop: the one waiting outside would be offered again at once.
            Err(_) => sleep(PAUSE).await,
        }
    }
}
