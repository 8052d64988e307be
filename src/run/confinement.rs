//! Plans the sandbox of a process that keeps running, from the configuration: every file that rotation reads or writes.
//!
//! Landlock rules name directories, because Kubernetes and certificate managers replace files in them.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tracing::{debug, info, warn};

use crate::config::{Action, Ca, Config, LogFormat, RoleId, Sandbox, VaultAuth};
use crate::domain::{SecretBytes, Source};
use crate::identity::aws::profile_files;
use crate::identity::file;
use crate::sys::fs;
use crate::sys::sandbox::{self, Enforcement, Files, LineFormat, Profile};

use super::caller::ProcessContext;
use crate::plan::{Plan, access};

/// Which process keeps running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stays {
    Sidecar,
    Supervisor,
}

/// The sandbox of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Confinement {
    /// `sandbox: off`.
    Off,
    /// A setting requires what the sandbox forbids.
    Impossible {
        /// The setting.
        setting: &'static str,
    },
    /// The sandbox that is applied.
    Planned(sandbox::Plan),
}

/// The files that name look-ups read (resolver(5), nsswitch.conf(5)).
const NAME_FILES: [&str; 7] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
];

/// Where distributions keep the system's certificates, and where links there point to.
const SYSTEM_ROOTS: [&str; 12] = [
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/etc/security/certificates",
    "/etc/certs",
    "/usr/lib/ssl",
    "/usr/local/ssl",
    "/usr/local/etc/ssl",
    "/usr/local/share/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/share/pki",
    "/var/lib/ca-certificates",
];

/// Files that libc reads by itself (memory overcommit, number of processors), and the boot ID.
const LIBC: [&str; 3] =
    ["/proc/sys/vm/overcommit_memory", "/sys/devices/system/cpu", "/proc/sys/kernel/random/boot_id"];

impl Confinement {
    /// Plans the sandbox. Reads the file system, and changes nothing.
    pub(super) fn plan(config: &Config, plan: &Plan, volume: &Path, caller: &ProcessContext, stays: Stays) -> Self {
        let enforcement = match config.process.sandbox {
            Sandbox::Off => return Self::Off,
            Sandbox::Log => Enforcement::Log,
            Sandbox::On => Enforcement::On,
        };
        // A command that is started later would inherit the sandbox for good.
        let needs_execve = config.rotation.on_change.iter().find_map(|action| match action {
            Action::Restart => Some("onChange: restart"),
            Action::Run(_) => Some("onChange: run"),
            Action::Signal { .. } | Action::Http { .. } => None,
        });
        if let Some(setting) = needs_execve {
            return Self::Impossible { setting };
        }
        let signals_others =
            config.rotation.on_change.iter().any(|action| matches!(action, Action::Signal { process: Some(_), .. }));
        let profile = match stays {
            Stays::Supervisor => Profile::Supervisor,
            Stays::Sidecar if signals_others => Profile::SignallingSidecar,
            Stays::Sidecar => Profile::Sidecar,
        };
        let files = Files {
            read: readable(config, plan, caller, profile),
            write: vec![volume.to_owned(), config.process.state.clone()],
        };
        let lines = match config.process.log_format {
            LogFormat::Text => LineFormat::Text,
            LogFormat::Json => LineFormat::Json,
        };
        Self::Planned(sandbox::Plan { profile, files, enforcement, lines })
    }

    /// Whether a sandbox will be applied, for which this must be the only thread.
    pub(super) fn is_planned(&self) -> bool {
        matches!(self, Self::Planned(_))
    }

    /// Applies the sandbox, irrevocably. What cannot be applied is logged, and is no error.
    pub(super) fn apply(&self) {
        let plan = match self {
            Self::Off => return,
            Self::Impossible { setting } => {
                return info!("running without a sandbox: {setting} starts commands, which would inherit it");
            }
            Self::Planned(plan) => plan,
        };
        let applied = sandbox::apply(plan);
        match (&applied.system_calls, plan.enforcement) {
            (Ok(()), Enforcement::On) => debug!("system calls are confined (seccomp)"),
            (Ok(()), Enforcement::Log) => info!(
                "sandbox: log: nothing is refused; the kernel's audit log (type=1326, comm=\"secret-exec\") names what would be"
            ),
            (Err(why), _) => warn!("system calls are not confined: {why}"),
        }
        match &applied.files {
            Some(Ok(())) => debug!("files are confined (Landlock)"),
            Some(Err(why)) => info!("files are not confined: {why}"),
            None => {}
        }
    }

    /// The rows that `check` shows.
    pub(super) fn rows(&self) -> Vec<Vec<String>> {
        let row = |what: &str, how: String| vec![what.to_owned(), how];
        let plan = match self {
            Self::Off => return vec![row("not at all", "sandbox is off".to_owned())],
            Self::Impossible { setting } => {
                return vec![row("not at all", format!("{setting} starts commands, which would inherit it"))];
            }
            Self::Planned(plan) => plan,
        };
        let list =
            |paths: &[PathBuf]| paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ");
        let existing: Vec<PathBuf> = plan.files.read.iter().filter(|path| path.exists()).cloned().collect();
        match plan.enforcement {
            Enforcement::Log => {
                vec![row("not yet", "sandbox is log: the kernel's audit log names what would be refused".to_owned())]
            }
            Enforcement::On => vec![
                row("writes", list(&plan.files.write)),
                row("reads", list(&existing)),
                row("system calls", "those of its list; never execve, ptrace, mount, raw sockets".to_owned()),
            ],
        }
    }
}

/// Everything that is read after the start.
fn readable(config: &Config, plan: &Plan, caller: &ProcessContext, profile: Profile) -> Vec<PathBuf> {
    let mut found = Readable::default();
    NAME_FILES.iter().for_each(|path| found.file(Path::new(path)));
    SYSTEM_ROOTS.iter().chain(&LIBC).for_each(|path| found.directory(Path::new(path)));
    for variable in ["SSL_CERT_FILE", "AWS_CA_BUNDLE"] {
        caller.path(variable).iter().for_each(|path| found.file(path));
    }
    for directories in [caller.path("SSL_CERT_DIR")].iter().flatten() {
        std::env::split_paths(directories).for_each(|path| found.directory(&path));
    }
    if let Some(local) = &config.backends.local {
        found.file(local);
    }
    if let Some(vault) = &config.backends.vault {
        match &vault.ca {
            Some(Ca::File(path)) => found.file(path),
            Some(Ca::Directory(path)) => found.directory(path),
            Some(Ca::Pem(_)) | None => {}
        }
        if let Some(files) = &vault.client_certificate {
            found.file(&files.certificate);
            found.file(&files.key);
        }
        vault.auth.iter().flat_map(identity_files).for_each(|path| found.file(path));
    }
    for planned in &plan.sources {
        if let Source::File(path) = &planned.source {
            found.file(path);
        }
    }
    if access::needs_aws(config, plan) {
        aws_files(|name| caller.path(name)).iter().for_each(|path| found.file(path));
    }
    // `/proc` is searched for processes to signal, and for orphans of a child that ended.
    found.directory(Path::new(match profile {
        Profile::SignallingSidecar | Profile::Supervisor => "/proc",
        Profile::Sidecar | Profile::Webhook => "/proc/self",
    }));
    found.0.into_iter().collect()
}

/// The files that a login reads.
fn identity_files(auth: &VaultAuth) -> Vec<&PathBuf> {
    match auth {
        VaultAuth::Kubernetes { token_file, .. } | VaultAuth::Jwt { token_file, .. } => vec![token_file],
        VaultAuth::AppRole { role_id, secret_id_file, .. } => {
            let role_id = match role_id {
                RoleId::File(path) => Some(path),
                RoleId::Text(_) => None,
            };
            role_id.into_iter().chain(secret_id_file).collect()
        }
        VaultAuth::Aws { .. } => Vec::new(),
        VaultAuth::Cert { cert_file, key_file, .. } => vec![cert_file, key_file],
        VaultAuth::TokenFile { path } => vec![path],
    }
}

/// The files that the SDK's default credentials chain reads: tokens, profiles, and the tokens (and CA bundles) that
/// profiles name. `variable` returns an inherited variable as a path.
pub(super) fn aws_files(variable: impl Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"]
        .iter()
        .filter_map(|name| variable(name))
        .collect();
    for file in profile_files(variable) {
        // Bounded, and without waiting for a writer: the variable may name a pipe or a device.
        let bytes = file::read(&file.path).ok();
        found.push(file.path);
        for line in bytes.as_ref().and_then(SecretBytes::expose_text).unwrap_or_default().lines() {
            if let Some((key, value)) = line.split_once('=')
                && matches!(key.trim(), "web_identity_token_file" | "ca_bundle")
            {
                found.push(value.trim().into());
            }
        }
    }
    found
}

/// Directories and files, without duplicates.
#[derive(Debug, Default)]
struct Readable(BTreeSet<PathBuf>);

impl Readable {
    /// Adds a directory with everything in it.
    fn directory(&mut self, path: &Path) {
        self.0.insert(path.to_owned());
    }

    /// Adds a file that may be replaced: its directory and, if it is a link, its target's directory.
    fn file(&mut self, path: &Path) {
        let named = std::path::absolute(path).ok();
        let target = std::fs::canonicalize(path).ok();
        for path in [named, target].into_iter().flatten() {
            if let Some(parent) = path.parent().filter(|parent| may_be_listed(parent, &path)) {
                self.directory(parent);
            } else {
                self.0.insert(path);
            }
        }
    }
}

/// Whether the whole directory of a file may be made readable. Not `/`, and not `/etc` if the file is mounted there (in
/// containers; it is never replaced) or we are root (which could read the password hashes).
fn may_be_listed(parent: &Path, file: &Path) -> bool {
    if parent == Path::new("/") {
        return false;
    }
    if parent != Path::new("/etc") {
        return true;
    }
    let device = |path: &Path| std::fs::symlink_metadata(path).map(|about| about.dev()).ok();
    let is_mounted = device(file).is_some() && device(file) != device(parent);
    !is_mounted && fs::effective_ids().0 != 0
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn profile_files_are_read_without_waiting_for_a_writer_or_for_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in [pipe, "/dev/zero".into()] {
            let (done, result) = mpsc::channel();
            let named = path.clone();
            thread::spawn(move || done.send(aws_files(|name| (name == "AWS_CONFIG_FILE").then(|| named.clone()))));
            assert_eq!(result.recv_timeout(Duration::from_secs(10)), Ok(vec![path, "~/.aws/credentials".into()]));
        }
    }
}
