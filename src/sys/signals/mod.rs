//! Signals by number, including real-time signals: names, sets, the mask, the signalfd to read them from, and
//! sending them.
//!
//! Table of contents:

mod signal; // one signal: number, names, default
mod set; // sets of signals; the mask, what is pending, what is ignored
mod receive; // the signalfd
mod send; // kill, sigqueue, stopping ourselves

pub use receive::{Origin, Received, Signals};
pub use send::{To, send, send_with_value, stop_ourselves};
pub(super) use set::{Disposition, ignored, set_disposition, swap_mask, would_end};
pub use set::{SignalSet, pending};
pub use signal::Signal;
