//! The start: everything a plan needs is fetched once, within a deadline, or nothing is left issued.
//!
//! `session` is the time between the first request and the last, `fetch_all` what happens in it, with `resume` for what an
//! earlier run left, `read` for the requests and `deadline` for how long they are repeated.

mod deadline;
mod fetch_all;
mod read;
mod resume;
mod session;

pub(crate) use deadline::{Needs, Patience};
pub(crate) use session::{Session, StartOptions, Successor, interrupted, runtime};
