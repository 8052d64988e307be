//! Serves many connections in one task, with a limit on their number and on the time of each. At the limit, the oldest
//! connection is closed.
//!
//! Every connection carries one short request that is answered as soon as it is complete, so the oldest one belongs to
//! a slow client. A probe that arrives after a thousand slow clients is still answered at once.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{AbortHandle, Either, abortable, select};
use futures_util::stream::FuturesUnordered;
use nix::sys::socket::{Backlog, listen};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::time::{sleep, timeout};

/// How long to wait when there is no file descriptor for another connection.
const PAUSE: Duration = Duration::from_millis(10);
/// The listen backlog. The standard library's is 128, which a burst of slow clients would fill, so that the next client
/// would have to wait for its second SYN.
const BACKLOG: i32 = 1024;

/// A listening socket.
pub(super) trait Accept: std::os::fd::AsFd {
    /// An accepted connection.
    type Stream;
    /// Accepts the next connection.
    async fn next(&self) -> io::Result<Self::Stream>;
}

impl Accept for UnixListener {
    type Stream = UnixStream;
    async fn next(&self) -> io::Result<UnixStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

impl Accept for TcpListener {
    type Stream = TcpStream;
    async fn next(&self) -> io::Result<TcpStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

/// The limits of a server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The largest number of connections; one more closes the oldest.
    pub(super) most: usize,
    /// How long a connection may last.
    pub(super) patience: Duration,
}

/// Accepts connections for ever and passes each to `answer`. Dropping the future closes them all.
pub(super) async fn serve<A: Accept>(listener: &A, limits: Limits, answer: impl AsyncFn(A::Stream)) -> Infallible {
    // If this fails, a burst is only served more slowly.
    let _ = Backlog::new(BACKLOG).and_then(|backlog| listen(&listener.as_fd(), backlog));
    let mut open = FuturesUnordered::new();
    // The connections in the order they were accepted.
    let mut handles: BTreeMap<u64, AbortHandle> = BTreeMap::new();
    let mut next = 0;
    loop {
        tokio::select! {
            // Complete requests are answered before further connections are accepted.
            biased;
            Some(id) = open.next() => drop(handles.remove(&id)),
            accepted = listener.next() => match accepted {
                Ok(stream) => {
                    let (connection, handle) = abortable(timeout(limits.patience, answer(stream)));
                    let id = next;
                    next += 1;
                    open.push(async move {
                        // It was answered, timed out or was closed.
                        let _ = connection.await;
                        id
                    });
                    handles.insert(id, handle);
                    if handles.len() > limits.most {
                        cut_oldest(&mut handles);
                    }
                }
                // No file descriptors: close the oldest connection, and pause to avoid a busy loop.
                Err(_) => {
                    cut_oldest(&mut handles);
                    let pause = sleep(PAUSE);
                    tokio::pin!(pause);
                    while let Either::Left((Some(id), _)) = select(open.next(), &mut pause).await {
                        handles.remove(&id);
                    }
                    pause.await;
                }
            },
        }
    }
}

/// Closes the oldest connection.
fn cut_oldest(handles: &mut BTreeMap<u64, AbortHandle>) {
    if let Some((_, handle)) = handles.pop_first() {
        handle.abort();
    }
}
