//! The product as its users meet it: its programs, real servers, real users, real mounts. `./tests/run` sets all of it up.

#![allow(
    clippy::disallowed_methods,
    reason = "the suite is the outside world: it has an environment, a clock and processes"
)]
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, reason = "this is a test")]
#![allow(missing_debug_implementations, clippy::print_stderr, reason = "this is a test")]

mod support; // what every test stands on; its own tests are in `parts`

mod architecture; // the arrows of the house, `unsafe` in one place
mod parts; // the servers of this suite start, answer and misbehave as told
