//! Protected files, which no reference may read: the workload's credentials, the state directory, the volume, and
//! kernel file systems (`/proc`, `/sys` and similar).
//!
//! A path is judged by what it leads to: it is walked one component at a time, and device and inode of the file and of
//! all directories above it are compared. The paths of protected files are resolved again at each read, because the
//! kubelet and others replace them.

mod kernel;
mod walk;

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use nix::errno::Errno;
use nix::sys::stat::{self, FileStat};

use crate::config::{Config, VaultAuth};

use walk::{Walked, contains_file, files_below, parents, walk};

/// Where Kubernetes, AWS's webhooks and our injection mount tokens.
const TOKEN_DIRECTORIES: [&str; 7] = [
    "/var/run/secrets/kubernetes.io/serviceaccount",
    "/run/secrets/kubernetes.io/serviceaccount",
    "/var/run/secrets/eks.amazonaws.com",
    "/run/secrets/eks.amazonaws.com",
    "/var/run/secrets/pods.eks.amazonaws.com",
    "/run/secrets/pods.eks.amazonaws.com",
    "/run/secret-exec-identity",
];

/// How often opening a path is tried that is replaced again and again.
const MOST_TRIES: u32 = 10;
/// The purpose of reading a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To deliver its content: `file:`, `templateFile`.
    Content,
    /// To read trusted certificates: `caFile`. The cluster's CA is in the same directory as the pod's token.
    Certificates,
    /// To prove the workload's identity.
    Identity,
    /// To prove the workload's identity to AWS: it is sent to the address that other variables name.
    AwsToken,
}

/// Why a file must not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProtectedFileError {
    /// It is in `/proc`, `/sys` or another kernel file system, or its path leads there.
    Kernel,
    /// It proves the workload's identity.
    Identity(PathBuf),
    /// It is in a directory of credentials.
    Credentials(PathBuf),
    /// It is in the state directory.
    State(PathBuf),
    /// It is in the volume.
    Volume(PathBuf),
    /// It may be a hard link to a file in this directory, which has too many files to compare.
    Crowded(PathBuf),
}

impl fmt::Display for ProtectedFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel => f.write_str(
                "it is in /proc, /sys or another file system of the kernel's, or leads there (as /dev/stdin and /dev/fd do)",
            )?,
            Self::Identity(path) => write!(f, "it is {}, which proves who this workload is", path.display())?,
            Self::Credentials(path) => {
                write!(f, "it is below {}, where the workload's credentials are", path.display())?
            }
            Self::State(path) => {
                write!(f, "it is in the state directory ({}), which only secret-exec reads", path.display())?
            }
            Self::Volume(path) => {
                write!(f, "it is in the volume ({}), which secret-exec itself writes", path.display())?
            }
            Self::Crowded(path) => {
                return write!(
                    f,
                    "it may be a file of {}, which holds too many files to compare it with; remove those, or name a file of \
                     another file system",
                    path.display()
                );
            }
        }
        f.write_str(match self {
            Self::State(_) => "; name another file, or another directory with --state",
            Self::Volume(_) => "; name another file, or another directory with --volume",
            _ => "; name another file",
        })
    }
}

/// Device and inode, which identify a file whatever its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// The identity of a file by its metadata.
    fn of(found: &FileStat) -> Self {
        Self { device: found.st_dev, inode: found.st_ino }
    }

    /// The file that a path leads to now, following links.
    fn at(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|found| Self { device: found.dev(), inode: found.ino() })
    }
}

/// A protected path, and the file it led to at the start, for when it can no longer be resolved.
#[derive(Debug, Clone)]
struct Protected {
    path: PathBuf,
    at_start: Option<FileId>,
    /// The results of this pass; `None` if each comparison looks the path up again.
    pass: Option<Found>,
}

/// Cached results of the comparisons of one pass with a protected path.
#[derive(Debug, Clone, Default)]
struct Found {
    now: OnceCell<Option<FileId>>,
    /// All files below it; `None` if there are too many.
    below: OnceCell<Option<BTreeSet<FileId>>>,
}

impl Protected {
    fn new(path: PathBuf) -> Self {
        let at_start = FileId::at(&path);
        Self { path, at_start, pass: None }
    }

    /// The file that the path leads to now, if any.
    fn now(&self) -> Option<FileId> {
        let look = || FileId::at(&self.path);
        self.pass.as_ref().map_or_else(look, |found| *found.now.get_or_init(look))
    }

    /// Whether this directory contains the file at any depth, for example as a hard link or a bind mount. `None` if it has
    /// too many entries to compare.
    fn contains(&self, id: FileId) -> Option<bool> {
        match &self.pass {
            None => contains_file(&self.path, id),
            Some(found) => found.below.get_or_init(|| files_below(&self.path)).as_ref().map(|ids| ids.contains(&id)),
        }
    }

    /// Whether the path leads to one of these files now, or led to one at the start.
    fn is_one_of(&self, ids: impl IntoIterator<Item = FileId>) -> bool {
        let now = self.now();
        ids.into_iter().any(|id| now == Some(id) || self.at_start == Some(id))
    }

    /// Whether a file of this name below `directories` is an earlier or later version of this file: the kubelet keeps
    /// versions in sibling directories, with a link `..data` to the current one.
    fn is_version(&self, name: &OsStr, directories: &[FileId]) -> bool {
        let Some(parent) = self.path.parent() else { return false };
        self.path.file_name() == Some(name)
            && parent.join("..data").symlink_metadata().is_ok()
            && FileId::at(parent).is_some_and(|parent| directories.contains(&parent))
    }
}

/// All protected files of one run.
#[derive(Debug, Clone, Default)]
pub struct ProtectedFiles {
    /// The files of the Vault login.
    logins: Vec<Protected>,
    /// Other files that prove the workload's identity.
    identities: Vec<Protected>,
    credentials: Vec<Protected>,
    state: Vec<Protected>,
    volume: Vec<Protected>,
    /// In a pass: the directory of the last file.
    pass: Option<Rc<RefCell<Option<Walked>>>>,
}

impl ProtectedFiles {
    /// The files of the configuration, those with AWS credentials, and those in the home directory.
    pub fn of(config: &Config, home: Option<&Path>, aws_files: Vec<PathBuf>) -> Self {
        let mut identities = aws_files;
        let mut logins = config.backends.identity_files.clone();
        if let Some(vault) = &config.backends.vault {
            logins.extend(vault.auth.iter().flat_map(VaultAuth::secret_files).map(Path::to_owned));
            logins.extend(vault.client_certificate.iter().map(|files| files.key.clone()));
        }
        let mut credentials: Vec<PathBuf> = TOKEN_DIRECTORIES.iter().map(PathBuf::from).collect();
        if let Some(home) = home.filter(|home| home.is_absolute()) {
            identities.push(home.join(".vault-token"));
            credentials.push(home.join(".aws"));
        }
        let protected = |paths: Vec<PathBuf>| paths.into_iter().map(absolute).map(Protected::new).collect();
        Self {
            logins: protected(logins),
            identities: protected(identities),
            credentials: protected(credentials),
            state: protected(vec![config.process.state.clone()]),
            volume: protected(vec![config.volume.path.clone()]),
            pass: None,
        }
    }

    /// Returns a copy for reading many files right after one another, which looks up each protected path once.
    pub fn for_one_pass(&self) -> Self {
        let mut pass = Self { pass: Some(Rc::default()), ..self.clone() };
        let lists = [&mut pass.logins, &mut pass.identities, &mut pass.credentials, &mut pass.state, &mut pass.volume];
        lists.into_iter().flatten().for_each(|known| known.pass = Some(Found::default()));
        pass
    }

    /// Returns an error if the path must not be read. A path that does not exist is judged by its spelling.
    pub fn check(&self, path: &Path, purpose: Purpose) -> Result<(), ProtectedFileError> {
        if let Some(refusal) = self.by_spelling(&absolute(path.to_owned()), purpose) {
            return Err(refusal);
        }
        match self.compare(path, purpose) {
            Err(OpenError::Refused(refusal)) => Err(refusal),
            Ok(_) | Err(OpenError::System(_)) => Ok(()),
        }
    }

    /// Opens a file for reading, without waiting for a writer; an error if it is protected.
    ///
    /// The kernel opens the path, so that its own rules about links apply; the opened file must be the one that was
    /// checked.
    pub(super) fn open(&self, path: &Path, purpose: Purpose) -> Result<File, OpenError> {
        for _ in 0..MOST_TRIES {
            let compared = self.compare(path, purpose)?;
            let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
            if FileId::of(&stat::fstat(&file)?) == compared {
                return Ok(file);
            }
            // A directory on the way may be another one by now.
            self.pass.iter().for_each(|walked| drop(walked.take()));
        }
        Err(OpenError::System(io::ErrorKind::ResourceBusy.into()))
    }

    /// Returns which file a path leads to now; an error if it is protected.
    fn compare(&self, path: &Path, purpose: Purpose) -> Result<FileId, OpenError> {
        if let Some(walked) = self.pass.as_deref().map(RefCell::borrow)
            && let Some((found, name, parents)) = walked.as_ref().and_then(|walked| walked.find(path))
        {
            self.refuse(&found, name, parents, purpose)?;
            return Ok(FileId::of(&found));
        }
        let target = walk(path)?;
        let found = target.about;
        let Some(pass) = &self.pass else {
            self.refuse(&found, &target.name, &parents(&target.directory)?, purpose)?;
            return Ok(FileId::of(&found));
        };
        let walked = Walked::new(path, target, pass.take())?;
        self.refuse(&found, &walked.name, &walked.parents, purpose)?;
        *pass.borrow_mut() = Some(walked);
        Ok(FileId::of(&found))
    }

    /// Returns an error if the file is protected. `parents` are the directories above it.
    fn refuse(
        &self,
        found: &FileStat,
        name: &OsStr,
        parents: &[FileId],
        purpose: Purpose,
    ) -> Result<(), ProtectedFileError> {
        let id = FileId::of(found);
        let is_below = |known: &Protected| known.is_one_of(parents.iter().copied().chain([id]));
        // The app may put hard links into the volume. Only files of the same file system can be linked there, and a
        // file with a single name has no second one.
        let has_other_names = purpose == Purpose::Content || found.st_nlink > 1;
        let may_hold =
            |known: &Protected| has_other_names && known.now().is_none_or(|directory| directory.device == id.device);
        for (list, refusal) in [
            (&self.state, ProtectedFileError::State as fn(PathBuf) -> ProtectedFileError),
            (&self.volume, ProtectedFileError::Volume),
        ] {
            for known in list {
                if is_below(known) {
                    return Err(refusal(known.path.clone()));
                }
                match may_hold(known).then(|| known.contains(id)) {
                    None | Some(Some(false)) => {}
                    Some(Some(true)) => return Err(refusal(known.path.clone())),
                    Some(None) => return Err(ProtectedFileError::Crowded(known.path.clone())),
                }
            }
        }
        if purpose == Purpose::Identity {
            return Ok(());
        }
        let is_it = |identity: &&Protected| identity.is_one_of([id]) || identity.is_version(name, parents);
        if let Some(identity) = self.identities(purpose).find(is_it) {
            return Err(ProtectedFileError::Identity(identity.path.clone()));
        }
        if purpose == Purpose::AwsToken {
            return Ok(());
        }
        let is_ca = purpose == Purpose::Certificates && name != "token";
        // If that cannot be determined, it is refused.
        let holds_it = |known: &&Protected| is_below(known) || known.contains(id).unwrap_or(true);
        match self.credentials.iter().find(holds_it) {
            Some(known) if !is_ca => Err(ProtectedFileError::Credentials(known.path.clone())),
            _ => Ok(()),
        }
    }

    /// The files that must not be read for this purpose.
    fn identities(&self, purpose: Purpose) -> impl Iterator<Item = &Protected> {
        let others = if purpose == Purpose::AwsToken { &[][..] } else { &self.identities };
        self.logins.iter().chain(others)
    }

    /// Judges a path by its spelling only, because protected files may not exist yet.
    fn by_spelling(&self, path: &Path, purpose: Purpose) -> Option<ProtectedFileError> {
        let below = |list: &[Protected]| {
            list.iter().find(|known| path.starts_with(&known.path)).map(|known| known.path.clone())
        };
        if path.starts_with("/proc") || path.starts_with("/sys") {
            return Some(ProtectedFileError::Kernel);
        }
        let own = below(&self.state)
            .map(ProtectedFileError::State)
            .or_else(|| below(&self.volume).map(ProtectedFileError::Volume));
        if own.is_some() || purpose == Purpose::Identity {
            return own;
        }
        let may_lie_there = match purpose {
            Purpose::Content => false,
            Purpose::Certificates => path.file_name() != Some("token".as_ref()),
            Purpose::Identity | Purpose::AwsToken => true,
        };
        let identity = self.identities(purpose).find(|known| known.path == path).map(|known| known.path.clone());
        let credentials = below(&self.credentials).filter(|_| !may_lie_there);
        identity.map(ProtectedFileError::Identity).or_else(|| credentials.map(ProtectedFileError::Credentials))
    }
}

/// Makes a path absolute, without `.`, `//` and `..`, by its spelling only.
fn absolute(path: PathBuf) -> PathBuf {
    let path = std::path::absolute(&path).unwrap_or(path);
    let mut out = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => out.push(name),
            Component::ParentDir => _ = out.pop(),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    out
}

/// Why a file could not be opened.
#[derive(Debug)]
pub(super) enum OpenError {
    Refused(ProtectedFileError),
    System(io::Error),
}

impl From<ProtectedFileError> for OpenError {
    fn from(refusal: ProtectedFileError) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Errno> for OpenError {
    fn from(error: Errno) -> Self {
        Self::System(error.into())
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

#[cfg(test)]
mod tests;
