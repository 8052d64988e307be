//! What every test stands on: a place of its own, our program started in it, and the real servers around it.
//!
//! Nothing here knows the product's code: only its program, as a user starts it.

#![allow(
    clippy::disallowed_methods,
    reason = "the suites are the outside world: they have an environment, a clock, processes"
)]
#![allow(clippy::unwrap_used, clippy::new_without_default, reason = "this is for tests")]
#![allow(clippy::print_stderr, reason = "skips are said on stderr, by name")]

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

mod files;
mod http;
mod kept;
mod moto;
mod openbao;
mod postgres;
mod proxy;
mod run;
mod running;
mod script;
mod space;

pub use files::{certificates, generations, mode_of, owner_of, parts};
pub use http::{Answer, request};
pub use kept::{Server, free_port, keep};
pub use moto::Moto;
pub use openbao::{Audit, OpenBao};
pub use postgres::Postgres;
pub use proxy::{Plan, Proxy};
pub use run::Run;
pub use running::Running;
pub use running::{Outcome, status_field};
pub use script::{Script, say, say_headers_without_end, say_slowly, say_without_end};
pub use space::{Login, Space};

/// The uid and gid the app has unless a test says otherwise: no entry in any passwd or group file.
pub const APP: u32 = 23_456;
/// Another stranger, who may read nothing.
pub const STRANGER: u32 = 34_567;
/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Whether the suite may change users and mount.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

/// A program that cargo built for the suite that runs: it lies beside the folder of the suite's own.
pub fn built(name: &str) -> PathBuf {
    let suite = std::env::current_exe().unwrap();
    suite.ancestors().nth(2).unwrap().join(name)
}

/// The Python of the virtual environment that `tests/run` makes.
pub fn python() -> PathBuf {
    venv().join("bin/python")
}

/// The virtual environment that `tests/run` makes.
pub fn venv() -> PathBuf {
    let venv = repository().join(".venv");
    assert!(venv.join("bin/python").exists(), "no .venv beside Cargo.toml: ./tests/run makes it");
    venv
}

/// Where a package of the virtual environment has its files.
pub fn site_package(name: &str) -> PathBuf {
    let lib = venv().join("lib");
    fs::read_dir(&lib)
        .unwrap()
        .map(|entry| entry.unwrap().path().join("site-packages").join(name))
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("the package {name} is not in {}: ./tests/run installs it", lib.display()))
}

/// Waits until `probe` answers; panics with `what` when patience ends.
#[track_caller]
pub fn wait_for<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Says by name that this test did not run, and why. With `CI=1` that is a failure.
#[track_caller]
pub fn skip(reason: &str) {
    let name = std::thread::current().name().unwrap_or("?").to_owned();
    eprintln!("SKIPPED {name}: {reason}");
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "1"), "CI=1 and {name} was skipped: {reason}");
}

/// Returns from the test, by name, unless it runs as root.
#[macro_export]
macro_rules! needs_root {
    () => {
        if !$crate::is_root() {
            return $crate::skip("needs root (other users, mounts)");
        }
    };
}

/// This process's directories: one on disk, one on memory. What dead runs left is swept first.
pub fn base() -> &'static (PathBuf, PathBuf) {
    static BASE: OnceLock<(PathBuf, PathBuf)> = OnceLock::new();
    BASE.get_or_init(|| {
        let make = |parent: &Path| {
            const PREFIX: &str = "secret-exec-it.";
            for entry in fs::read_dir(parent).unwrap().flatten() {
                let name = entry.file_name();
                let pid = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
                if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                    let _ = fs::remove_dir_all(entry.path());
                }
            }
            let path = parent.join(format!("{PREFIX}{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            path
        };
        (make(&std::env::temp_dir()), make(Path::new("/dev/shm")))
    })
}

/// Our program, where every user can start it. `IT_PROGRAM` names another build, such as the image's.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let other = std::env::var_os("IT_PROGRAM").map(PathBuf::from);
        let built = &*other.unwrap_or_else(|| built("secret-exec"));
        let path = base().0.join("secret-exec");
        if fs::hard_link(built, &path).is_err() {
            copy_program(built, &path);
        }
        path
    })
}

/// Copies a file that will be executed. Not by ourselves: a child that another test forks meanwhile would keep the copy
/// open for writing, and it could not be executed (ETXTBSY).
pub fn copy_program(from: &Path, to: &Path) {
    assert!(std::process::Command::new("cp").arg(from).arg(to).status().unwrap().success());
}

/// A number no other test of this process has.
pub fn unique() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// One test's own directories and how it starts our program.
pub struct Case {
    /// On disk, readable by all, owned by the app's user.
    pub dir: PathBuf,
    /// On memory, owned by the app's user.
    pub memory: PathBuf,
}

impl Case {
    /// Fresh and empty.
    pub fn new() -> Self {
        let name = format!("{}", unique());
        let case = Self { dir: base().0.join(&name), memory: base().1.join(&name) };
        for path in [&case.dir, &case.memory] {
            fs::create_dir(path).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
            own(path, APP);
        }
        case
    }

    /// A path on disk.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Writes a file that the app's user owns and only that user may read. A program that reads it meanwhile finds the old bytes
    /// or the new ones.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        replace(&path, |beside| {
            fs::write(beside, bytes).unwrap();
            fs::set_permissions(beside, fs::Permissions::from_mode(0o600)).unwrap();
            own(beside, APP);
        });
        path
    }

    /// Writes a secret into a file; answers the reference to it.
    pub fn secret(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        format!("file:{}", self.write(&format!("mounted/{name}"), bytes).display())
    }

    /// Where files of this test go: below a directory of the app's user on memory.
    pub fn volume(&self) -> PathBuf {
        self.memory.join("files")
    }

    /// Our program with this test's directories, unprivileged.
    pub fn run(&self) -> Run {
        self.run_bare().arg("--state").arg(self.memory.join("state"))
    }

    /// Our program without any argument.
    pub fn run_bare(&self) -> Run {
        Run::new(program()).cwd(&self.dir).user(APP, APP)
    }

    /// Unprivileged, with this test's directories and a config file.
    pub fn with_config(&self, yaml: &str) -> Run {
        let path = self.write("config.yaml", yaml);
        self.run().arg("--config").arg(path)
    }

    /// The same with files delivered to [`Case::volume`].
    pub fn with_files(&self, yaml: &str) -> Run {
        self.with_config(&format!("volume: {{ path: {} }}\n{yaml}", self.volume().display()))
    }

    /// A command that leaves a mark when it runs.
    pub fn marking_app(&self) -> Vec<String> {
        vec!["/bin/sh".into(), "-c".into(), format!("echo ran >> {}", self.path("marker").display())]
    }

    /// Whether [`Case::marking_app`] ran.
    pub fn ran(&self) -> bool {
        self.path("marker").exists()
    }

    /// A start that must not reach the app: runs with the marking app, checks the code, the last line and that nothing ran.
    #[track_caller]
    pub fn refused(&self, run: Run, code: i32, says: &[&str]) -> Outcome {
        let outcome = run.app(&self.marking_app()).output();
        assert!(!self.ran(), "the app ran\n{outcome}");
        outcome.refused(code, says);
        outcome
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let _ = fs::remove_dir_all(&self.dir);
        let _ = fs::remove_dir_all(&self.memory);
    }
}

/// Writes a file beside `path` and renames it, so that whoever reads `path` finds a whole one.
pub fn replace(path: &Path, write: impl FnOnce(&Path)) {
    let name = path.file_name().unwrap().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}", unique()));
    write(&beside);
    fs::rename(&beside, path).unwrap();
}

/// Gives a path to a user and the group of the same number, where we may.
pub fn own(path: &Path, id: u32) {
    if is_root() {
        chown(path, Some(id), Some(id)).unwrap();
    }
}

/// Standard base64, for requests.
pub fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Runs a Python program of the virtual environment; its standard output.
#[track_caller]
pub fn python_output(code: &str, args: &[&str], stdin: &[u8]) -> String {
    let mut child = std::process::Command::new(python())
        .arg("-c")
        .arg(code)
        .args(args)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "python: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Text as a YAML (JSON) string.
pub fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// Lines indented for a YAML block.
pub fn indented(text: &str, by: usize) -> String {
    text.lines().fold(String::new(), |mut out, line| {
        let _ = writeln!(out, "{:by$}{line}", "");
        out
    })
}
