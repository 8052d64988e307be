//! The start: fetches everything a plan needs once, within a deadline; a failure leaves nothing issued.
//!
//! `session` owns the runtime and what was issued, `fetch_all` logs in and reads everything, `resume` uses the
//! checkpoint of an earlier run, `read` sends the requests, and `deadline` bounds and retries them.

mod deadline;
mod fetch_all;
mod read;
mod resume;
mod session;

pub(crate) use deadline::{Needs, Patience};
pub(crate) use session::{Session, StartOptions, Successor, interrupted, runtime};
