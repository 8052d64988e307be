//! The names and paths that injection gives: those of the contract, and where everything is inside the containers.

/// The injected container, and the volume the files are in.
pub(super) const SIDECAR_NAME: &str = "secret-exec";
/// The init container where the sidecar is an ordinary container.
pub(super) const INIT_NAME: &str = "secret-exec-init";
/// What a restarted sidecar needs; in ours only.
pub(super) const STATE: &str = "secret-exec-state";
/// The pod's identity token; only where the login happens.
pub(super) const IDENTITY: &str = "secret-exec-identity";
/// The program, for containers whose command it wraps.
pub(super) const PROGRAM: &str = "secret-exec-bin";

/// Where the files' volume is mounted.
pub(super) const VOLUME_PATH: &str = "/run/secret-exec";
/// The directory of files in it: a memory volume's root is sticky, and links there cannot be followed.
pub(super) const FILES_PATH: &str = "/run/secret-exec/files";
/// Its name below the root.
pub(super) const FILES: &str = "files";
/// Links to the files for directories of their own, one below another.
pub(super) const LINKS_PATH: &str = "/run/secret-exec/links";
/// Its name below the root.
pub(super) const LINKS: &str = "links";
/// Files of a Kubernetes Secret for TLS; in ours only.
pub(super) const TLS: &str = "secret-exec-tls";
/// Where they are mounted.
pub(super) const TLS_PATH: &str = "/run/secret-exec-tls";
/// Where the state's volume is mounted.
pub(super) const STATE_PATH: &str = "/run/secret-exec-state";
/// Our directory in it, for the same reason.
pub(super) const STATE_OWN: &str = "/run/secret-exec-state/own";
/// Where the token is mounted. Not below `/var/run`, which is a link to `/run` in most images.
pub(super) const IDENTITY_PATH: &str = "/run/secret-exec-identity";
/// The token.
pub(super) const TOKEN_FILE: &str = "/run/secret-exec-identity/token";
/// Where the program's volume is mounted.
pub(super) const PROGRAM_PATH: &str = "/run/secret-exec-bin";
/// The program, once it is installed there.
pub(super) const PROGRAM_FILE: &str = "/run/secret-exec-bin/secret-exec";
/// The program in its own image.
pub(super) const ENTRY_POINT: &str = "/secret-exec";

/// Whether a container's name is one of those that injection gives.
pub(super) fn is_our_name(name: &str) -> bool {
    name == SIDECAR_NAME || name == INIT_NAME
}
