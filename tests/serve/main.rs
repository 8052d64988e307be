//! The servers over real sockets, with a process behind them that is made up.
//!
//! - `control`: who may ask, what is answered, what slow, flooding and confused clients get
//! - `program`: `status` and `refresh` as they are started
//! - `health`: three pages over HTTP
//! - `metrics`: the text format, read back
#![allow(clippy::disallowed_methods, reason = "tests start helpers of their own and wait by the clock")]
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a failed helper fails its test")]
#![allow(unreachable_pub, missing_debug_implementations, reason = "one crate, several files")]

mod control;
mod fake;
mod health;
mod metrics;
mod program;
