//! The thread that decides about reviews, so that connections and health pages never wait for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::thread;
use std::{io, time::Duration};

use tokio::sync::oneshot;

use crate::config::Injector;
use crate::sys::{clock, heap};

use super::super::admission::{Answer, BadReview, admission};

/// Larger reviews leave enough freed memory behind to return it.
const LARGE: usize = 128 << 10;

/// What a review came to.
pub(super) enum Outcome {
    /// An answer, and how long it took.
    Answered(Answer, Duration),
    /// The body is no review.
    Bad(BadReview),
    /// A panic, which the panic hook has reported.
    Bug,
}

struct Job {
    body: Vec<u8>,
    reply: oneshot::Sender<Outcome>,
}

/// The way to the thread. It ends when this is dropped.
#[derive(Debug, Clone)]
pub(super) struct Admissions(mpsc::Sender<Job>);

impl Admissions {
    /// Starts the thread.
    pub(super) fn start(injector: Injector) -> io::Result<Self> {
        let (sender, jobs) = mpsc::channel::<Job>();
        let injector = Arc::new(injector);
        thread::Builder::new().name("admission".to_owned()).spawn(move || {
            for Job { body, reply } in jobs {
                // Whoever went away needs no answer.
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

    /// Decides about a review.
    pub(super) async fn decide(&self, body: Vec<u8>) -> Outcome {
        let (reply, outcome) = oneshot::channel();
        if self.0.send(Job { body, reply }).is_err() {
            return Outcome::Bug;
        }
        outcome.await.unwrap_or(Outcome::Bug)
    }
}

fn decide(body: Vec<u8>, injector: &Injector) -> Outcome {
    let start = clock::boottime();
    match admission(&body, injector) {
        Ok(answer) => Outcome::Answered(answer, clock::boottime().saturating_sub(start)),
        Err(error) => Outcome::Bad(error),
    }
}
