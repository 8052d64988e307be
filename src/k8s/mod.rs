//! Kubernetes: injects a container beside the app according to the pod's annotations, by webhook or offline,
//! through one pure function.
//!
//! In the order data flows: `pod` reads the pod, `dialects` translates annotations of other injectors, `request`
//! (with `login` and `references`) parses and validates, `inject` plans with the `containers` it adds and the
//! `arguments` and `mount_path`s it refuses (`injected` finds those of an earlier injection), `patch` holds the
//! operations; `denial` has the messages of a refusal. `admission` (which reads with `review`) and `manifest` are the
//! two entry points; `webhook` serves the first.

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
mod aws_identity_env;
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
