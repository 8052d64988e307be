//! Pods that really run: a plain annotated manifest, injected by `secret-inject manifest`, on podman, against a real OpenBao.
//!
//! Needs root, podman, buildah, runc and a static busybox, and `fs.protected_symlinks=1` as nodes have it; else each test
//! says by name that it was skipped. Containers and images live in a store of their own, which ends with the suite.
//!
//! Table of contents:

#![allow(
    clippy::disallowed_methods,
    reason = "the suite is the outside world: it has an environment, a clock, processes"
)]
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, missing_debug_implementations, reason = "this is a test")]
#![allow(clippy::print_stderr, reason = "skips are said on stderr, by name")]

mod engine; // podman with a store of its own, and the two images
mod node; // what kubelet does and this podman does not: volumes, native sidecars, their probe, the end of a pod
mod stage; // a corner of the server, an injector's config for it, and pods

mod image; // what `deploy/image/build` makes: the bytes, the modes, the labels

// The forms of injection
mod init; // once, before the app: a Job completes, a denied one does not start
mod platform; // what a platform adds: uids of a namespace, one namespace of processes, an identity of AWS
mod sidecar; // as long as the app: rotation, leases, Jobs, and clusters without native sidecars
mod wrapper; // around the app's command: exec and supervise
