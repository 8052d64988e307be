//! The thread that decides about reviews, so that connections and health pages never wait for a decision.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::thread;
use std::{io, time::Duration};

use tokio::sync::oneshot;

use crate::config::Injector;
use crate::sys::{clock, heap};

use super::super::admission::{Answer, BadReview, admission};

/// After a review larger than this, freed memory is returned to the kernel. Bytes.
const LARGE: usize = 128 << 10;

/// The result of a review.
pub(super) enum Outcome {
    /// The response, and how long the decision took.
    Answered(Answer, Duration),
    /// The body is not a valid review.
    Bad(BadReview),
    /// The decision panicked; the panic hook has logged it.
    Bug,
}

/// A review to decide about, and where to send the result.
struct Job {
    body: Vec<u8>,
    reply: oneshot::Sender<Outcome>,
}

/// A handle to the thread, which ends when the last handle is dropped.
#[derive(Debug, Clone)]
pub(super) struct Admissions(mpsc::Sender<Job>);

impl Admissions {
    /// Starts the thread.
    pub(super) fn start(injector: Injector) -> io::Result<Self> {
        let (sender, jobs) = mpsc::channel::<Job>();
        let injector = Arc::new(injector);
        thread::Builder::new().name("admission".to_owned()).spawn(move || {
            for Job { body, reply } in jobs {
                // A caller that has gone needs no result.
                if reply.is_closed() {
                    continue;
                }
                let size = body.len();
                let outcome = catch_unwind(AssertUnwindSafe(|| decide(body, &injector))).unwrap_or(Outcome::Bug);
                let _ = reply.send(outcome);
                if size > LARGE {
                    heap::trim();
                }
            }
        })?;
        Ok(Self(sender))
    }

    /// Sends a review to the thread and waits for its result.
    pub(super) async fn decide(&self, body: Vec<u8>) -> Outcome {
        let (reply, outcome) = oneshot::channel();
        if self.0.send(Job { body, reply }).is_err() {
            return Outcome::Bug;
        }
        outcome.await.unwrap_or(Outcome::Bug)
    }
}

/// Decides about a review and measures the time.
fn decide(body: Vec<u8>, injector: &Injector) -> Outcome {
    let start = clock::boottime();
    match admission(&body, injector) {
        Ok(answer) => Outcome::Answered(answer, clock::boottime().saturating_sub(start)),
        Err(error) => Outcome::Bad(error),
    }
}
