//! The result of translating another injector's annotations: settings of the config, and settings of the injection.

use std::collections::BTreeSet;

use crate::config::{Resources, Setting};
use crate::domain::Mode;

/// The result of translating another injector's annotations.
#[derive(Debug, Default)]
pub(in crate::k8s) struct Translation {
    /// Settings of the config.
    pub(in crate::k8s) settings: Vec<Setting>,
    /// How secrets reach the app; `None` means the default.
    pub(in crate::k8s) mode: Option<Mode>,
    /// The containers that get the secrets; `None` means the default.
    pub(in crate::k8s) containers: Option<BTreeSet<String>>,
    /// Resources of the injected container.
    pub(in crate::k8s) resources: Option<Resources>,
    /// User and group of the injected container; the files stay readable for the group.
    pub(in crate::k8s) user: Option<(u32, u32)>,
    /// Whether the pod's containers share a process namespace.
    pub(in crate::k8s) shares_processes: bool,
    /// Config keys that only the injector may set, with values: paths in the injected container.
    pub(in crate::k8s) operator: Vec<(String, String)>,
    /// The directories where the app expects files. With several, files below `n/` in the volume belong to the
    /// directory at index `n`; a single one has all files.
    pub(in crate::k8s) directories: Vec<String>,
    /// The Kubernetes Secret with TLS files that the injected container needs.
    pub(in crate::k8s) tls: Option<TlsSecret>,
    /// Warnings, which do not prevent the injection.
    pub(in crate::k8s) warnings: Vec<String>,
}

/// Files of a Kubernetes Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::k8s) struct TlsSecret {
    /// The Secret's name.
    pub(in crate::k8s) name: String,
    /// The keys to mount.
    pub(in crate::k8s) keys: BTreeSet<String>,
}
