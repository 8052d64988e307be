//! Kubernetes: annotations of a pod become a container beside its app, by webhook or offline, through one pure function.
//!
//! In the order data flows: `pod` reads, `dialects` reads the annotations of other injectors, `request` (with `login` and `references`) parses and validates, `inject` plans with the
//! `containers` it adds, and the `arguments` and `mount_path`s it refuses (`injected` finds those of an earlier injection), `patch` writes; `denial` is how they refuse.
//! `admission` (which reads with `review`) and `manifest` are the two ways in; `webhook` serves the first.

pub mod admission;
pub mod certs;
pub mod denial;
pub mod dialects;
pub mod inject;
mod injected;
mod login;
pub mod manifest;
mod metrics;
mod mount_path;
mod names;
mod arguments;
mod containers;
pub mod patch;
pub mod pod;
mod quantity;
pub mod annotation_docs;
mod references;
mod review;
pub mod tls;
pub mod webhook;
pub mod request;

#[cfg(test)]
mod tests;
