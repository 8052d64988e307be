//! What stays allowed: values, made before anything is applied.

use std::path::PathBuf;

/// What a process may still do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Which system calls.
    pub profile: Profile,
    /// Which files.
    pub files: Files,
    /// What happens to everything else.
    pub enforcement: Enforcement,
    /// How a refused system call is reported on stderr.
    pub lines: LineFormat,
}

/// Which kind of process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Calls backends, writes files, signals nobody.
    Sidecar,
    /// The same, and signals a process of another container.
    SignallingSidecar,
    /// Calls backends, writes files, and has a child that was started before.
    Supervisor,
    /// Answers; calls nobody and writes nothing.
    Webhook,
}

/// Files and directories, with everything below them. Those that do not exist are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// May be read and listed.
    pub read: Vec<PathBuf>,
    /// May be changed in every way but executed.
    pub write: Vec<PathBuf>,
}

/// What happens to a system call that is not on the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enforcement {
    /// It is carried out, and the kernel's audit log names it.
    Log,
    /// It fails with EPERM, and a line on stderr names it.
    On,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
