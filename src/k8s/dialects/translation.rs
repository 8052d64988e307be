//! What annotations of another injector come to: keys of the config, and what the injector does beside it.

use std::collections::BTreeSet;

use crate::config::{Resources, Setting};
use crate::domain::Mode;

/// What annotations of another injector come to.
#[derive(Debug, Default)]
pub(in crate::k8s) struct Translation {
    /// Keys of the config.
    pub(in crate::k8s) settings: Vec<Setting>,
    /// How secrets reach the app; `None`: as by default.
    pub(in crate::k8s) mode: Option<Mode>,
    /// The containers that get the secrets; `None`: as by default.
    pub(in crate::k8s) containers: Option<BTreeSet<String>>,
    /// Of the injected container.
    pub(in crate::k8s) resources: Option<Resources>,
    /// Whom the injected container runs as; the files stay readable for the group.
    pub(in crate::k8s) user: Option<(u32, u32)>,
    /// Whether the pod's containers share their processes.
    pub(in crate::k8s) shares_processes: bool,
    /// Keys of the config that only the injector sets: paths in the injected container.
    pub(in crate::k8s) operator: Vec<(String, String)>,
    /// Where the files are expected: the directory of number `n` has those below `n/`; a single one has all of them.
    pub(in crate::k8s) directories: Vec<String>,
    /// Files of a Kubernetes Secret that the injected container needs for TLS.
    pub(in crate::k8s) tls: Option<TlsSecret>,
    /// What should be known, though nothing is wrong.
    pub(in crate::k8s) warnings: Vec<String>,
}

/// Files of a Kubernetes Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::k8s) struct TlsSecret {
    /// The Secret's name.
    pub(in crate::k8s) name: String,
    /// Its keys that are mounted.
    pub(in crate::k8s) keys: BTreeSet<String>,
}
