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

mod environment; // what the app's variables are: added, scrubbed, resolved, refused
mod exec; // wrapping a command: replaced, nothing lost, codes and signals as they are
mod privilege; // root becomes the app, provably and for good
mod supervise; // the same as a parent: forward, reap, terminal, status

mod config; // layers, all mistakes at once, schema, check
mod render; // formats and templates as they are delivered
mod volume; // files on memory: layout, owners, readers, refusals
