//! Accepts many connections in one task: at most so many at a time, each for so long. When one more comes, the oldest is cut.
//!
//! Every connection here carries one short request that is answered as soon as it is complete, so the oldest one is a slow
//! client. A probe that comes behind a thousand slow clients is accepted and answered at once.

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

/// How long to wait when the system has no descriptor for another connection.
const PAUSE: Duration = Duration::from_millis(10);
/// Connections that the kernel keeps until they are accepted. The standard library asks for 128; a burst of slow clients
/// would fill that, and the next client would wait for its second SYN.
const BACKLOG: i32 = 1024;

/// A listener.
pub(super) trait Accept: std::os::fd::AsFd {
    /// One connection.
    type Stream;
    /// Waits for the next one.
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

/// How many connections, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Connections at a time; one more cuts the oldest.
    pub(super) most: usize,
    /// After that a connection is cut, whatever it does.
    pub(super) patience: Duration,
}

/// Answers connections for ever. Dropping the future cuts them all.
pub(super) async fn serve<A: Accept>(listener: &A, limits: Limits, answer: impl AsyncFn(A::Stream)) -> Infallible {
    // A shorter queue only makes a burst slower.
    let _ = Backlog::new(BACKLOG).and_then(|backlog| listen(&listener.as_fd(), backlog));
    let mut open = FuturesUnordered::new();
    // In the order they came.
    let mut handles: BTreeMap<u64, AbortHandle> = BTreeMap::new();
    let mut next = 0;
    loop {
        tokio::select! {
            // What is complete is answered before more is accepted.
            biased;
            Some(id) = open.next() => drop(handles.remove(&id)),
            accepted = listener.next() => match accepted {
                Ok(stream) => {
                    let (connection, handle) = abortable(timeout(limits.patience, answer(stream)));
                    let id = next;
                    next += 1;
                    open.push(async move {
                        // Answered, out of time or cut: it has ended.
                        let _ = connection.await;
                        id
                    });
                    handles.insert(id, handle);
                    if handles.len() > limits.most {
                        cut_oldest(&mut handles);
                    }
                }
                // Out of descriptors: the oldest gives its own. Without the pause this would be a busy loop.
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

fn cut_oldest(handles: &mut BTreeMap<u64, AbortHandle>) {
    if let Some((_, handle)) = handles.pop_first() {
        handle.abort();
    }
}
