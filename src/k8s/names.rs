//! Names and paths of injected containers and volumes: those of the contract, and paths inside the containers.

/// The injected container, and the volume of the files.
pub(super) const SIDECAR_NAME: &str = "secret-exec";
/// The init container before a sidecar that is an ordinary container, or in a pod with `restartPolicy: Never`.
pub(super) const INIT_NAME: &str = "secret-exec-init";
/// The volume with the state for a restarted sidecar; mounted in injected containers only.
pub(super) const STATE: &str = "secret-exec-state";
/// The volume with the pod's identity token; mounted only where the login happens.
pub(super) const IDENTITY: &str = "secret-exec-identity";
/// The volume with the program, for containers whose command is wrapped.
pub(super) const PROGRAM: &str = "secret-exec-bin";

/// Where the files' volume is mounted.
pub(super) const VOLUME_PATH: &str = "/run/secret-exec";
/// The directory of files in it: the root of a memory volume is sticky, and links in it cannot be followed.
pub(super) const FILES_PATH: &str = "/run/secret-exec/files";
/// Its name in the volume.
pub(super) const FILES: &str = "files";
/// Links to the files for directories other than the default one, numbered.
pub(super) const LINKS_PATH: &str = "/run/secret-exec/links";
/// Its name in the volume.
pub(super) const LINKS: &str = "links";
/// The volume with TLS files of a Kubernetes Secret; mounted in injected containers only.
pub(super) const TLS: &str = "secret-exec-tls";
/// Where it is mounted.
pub(super) const TLS_PATH: &str = "/run/secret-exec-tls";
/// Where the state's volume is mounted.
pub(super) const STATE_PATH: &str = "/run/secret-exec-state";
/// The state directory in it, for the same reason as [`FILES_PATH`].
pub(super) const STATE_OWN: &str = "/run/secret-exec-state/own";
/// Where the token is mounted. Not below `/var/run`, which is a link to `/run` in most images.
pub(super) const IDENTITY_PATH: &str = "/run/secret-exec-identity";
/// The token's file.
pub(super) const TOKEN_FILE: &str = "/run/secret-exec-identity/token";
/// Where the program's volume is mounted.
pub(super) const PROGRAM_PATH: &str = "/run/secret-exec-bin";
/// The program's file in that volume.
pub(super) const PROGRAM_FILE: &str = "/run/secret-exec-bin/secret-exec";
/// Where the API server mounts the service account's API token in every container that mounts nothing there.
pub(super) const API_TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// The program's file in its own image.
pub(super) const ENTRY_POINT: &str = "/secret-exec";

/// Whether a container's name is one of an injected container.
pub(super) fn is_injected_name(name: &str) -> bool {
    name == SIDECAR_NAME || name == INIT_NAME
}
