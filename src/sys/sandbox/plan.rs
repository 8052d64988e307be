//! What a confined process may do: plain values, built before anything is applied.

use std::path::PathBuf;

/// What a confined process may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Which system calls are allowed.
    pub profile: Profile,
    /// Which files may be used.
    pub files: Files,
    /// What happens to every other system call.
    pub enforcement: Enforcement,
    /// How a refused system call is reported on stderr.
    pub lines: LineFormat,
}

/// The kind of process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Connects to backends, writes files, sends no signals.
    Sidecar,
    /// The same, and sends signals to a process of another container.
    SignallingSidecar,
    /// Connects to backends, writes files, and has a child that was started before.
    Supervisor,
    /// Serves requests; makes no connections and writes no files.
    Webhook,
}

/// Files and directories, the latter with everything below them. Those that do not exist are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// Paths that may be read and listed.
    pub read: Vec<PathBuf>,
    /// Paths that may be read and changed, but not executed.
    pub write: Vec<PathBuf>,
}

/// What happens to a system call that is not on the allow-list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enforcement {
    /// It is executed, and logged in the kernel's audit log.
    Log,
    /// It fails with EPERM, and is reported on stderr.
    On,
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineFormat {
    /// Plain text.
    Text,
    /// One JSON object per line.
    Json,
}
