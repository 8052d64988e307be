//! The volume on real mounts, for real users, under real kills: what is promised about where files lie and who sees them.
//!
//! - `place`: where the volume may be
//! - `owner`: who reads it, who writes it
//! - `whole`: all files change at once, whatever happens
//!
//! Mounts are made in a mount namespace of the test's own thread, so nothing is left behind however a test ends. What needs
//! root or a tool that is not there is skipped by name.
#![allow(clippy::disallowed_methods, reason = "tests start helpers of their own and wait by the clock")]
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a failed helper fails its test")]
#![allow(unreachable_pub, reason = "one crate, several files")]

mod owner;
mod place;
mod support;
mod whole;
