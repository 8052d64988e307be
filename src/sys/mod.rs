//! System calls: the only module with `unsafe`. Imports no other module of this crate, knows no secrets or
//! configuration.
//!
//! The order of a start: [`harden::harden`] → … → [`privilege::alone`] → [`privilege::apply`] →
//! [`privilege::verify`] → [`exec::replace`] (or [`spawn::Spawn`] for a parent that stays).

#![expect(unsafe_code, reason = "system calls that have no safe wrapper; every block says why it is sound")]

pub mod accounts;
mod capabilities;
pub mod clock;
mod descriptors;
pub mod environment;
pub mod exec;
pub mod fs;
pub mod harden;
pub mod heap;
mod idmap;
pub mod image;
pub mod look;
pub mod mount;
pub mod pidfd;
pub mod path;
pub mod privilege;
pub mod proc;
pub mod random;
pub mod sandbox;
pub mod signals;
pub mod spawn;
pub mod terminal;
pub mod wait;
pub mod watch;

pub use nix::unistd::Pid;
