//! podman with a store of its own, so that nothing of it is left and nobody else's containers are touched.

#![expect(unsafe_code, reason = "what is done when the suite ends is registered with the C library")]

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use nix::mount::{MntFlags, umount2};

use support::{copy_program, is_root, program};

/// Ours, as `deploy/image/build` makes it.
pub const OUR_IMAGE: &str = "localhost/secret-exec:pods";
/// The app's: a shell and a few tools.
pub const APP_IMAGE: &str = "localhost/app:pods";
const PAUSE_IMAGE: &str = "localhost/pause:pods";
const BUSYBOX: &str = "/bin/busybox";
/// Where stores are; what they hold cannot be on some memory file systems, and must outlive a killed suite to be found.
const PARENT: &str = "/var/tmp";
const PREFIX: &str = "secret-exec-pods.";

/// What the app's image has.
const TOOLS: [&str; 8] = ["cat", "grep", "id", "ls", "sh", "sleep", "touch", "tr"];

/// podman, buildah, and where they keep everything.
pub struct Engine {
    folder: PathBuf,
}

/// The engine, or the reason why this machine cannot have one.
pub fn engine() -> Result<&'static Engine, String> {
    static ENGINE: OnceLock<Result<Engine, String>> = OnceLock::new();
    ENGINE.get_or_init(|| lacks().map_or_else(|| Ok(Engine::start()), Err)).as_ref().map_err(Clone::clone)
}

/// Returns from the test, by name, unless pods can run here.
macro_rules! needs_pods {
    () => {
        match crate::engine::engine() {
            Ok(engine) => engine,
            Err(reason) => return support::skip(&reason),
        }
    };
}
pub(crate) use needs_pods;

fn lacks() -> Option<String> {
    if !is_root() {
        return Some("needs root (containers with other users, mounts)".into());
    }
    for name in ["podman", "buildah", "runc"] {
        let places = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"];
        if !places.iter().any(|place| Path::new(place).join(name).exists()) {
            return Some(format!("needs {name} (Debian: apt-get install podman buildah runc busybox-static)"));
        }
    }
    // The name of a dynamic program's loader stands near its beginning.
    let busybox = fs::read(BUSYBOX).unwrap_or_default();
    if busybox.first_chunk::<4096>().is_none_or(|head| head.windows(4).any(|window| window == b"/ld-")) {
        return Some(format!("needs a static {BUSYBOX} (Debian: apt-get install busybox-static)"));
    }
    let links = fs::read_to_string("/proc/sys/fs/protected_symlinks").unwrap_or_default();
    (links.trim() != "1").then(|| "needs fs.protected_symlinks=1, as nearly every node has it".into())
}

impl Engine {
    fn start() -> Self {
        sweep();
        let folder = Path::new(PARENT).join(format!("{PREFIX}{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        // SAFETY: the function is extern "C", takes nothing, and does not unwind into its caller.
        unsafe { libc::atexit(at_exit) };
        let path = folder.display();
        let storage =
            format!("[storage]\ndriver = \"overlay\"\ngraphroot = \"{path}/store\"\nrunroot = \"{path}/run\"\n");
        fs::write(folder.join("storage.conf"), storage).unwrap();
        // Ulimits, because not every host lets them be raised; cgroupfs and runc, because not every host has systemd or
        // unified control groups.
        let containers = format!(
            "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=4096:4096\"]\nlog_driver = \"k8s-file\"\n\
             [engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\nlock_type = \"file\"\n\
             tmp_dir = \"{path}/run/libpod\"\ninfra_image = \"{PAUSE_IMAGE}\"\n"
        );
        fs::write(folder.join("containers.conf"), containers).unwrap();
        let engine = Self { folder };
        engine.build_images();
        engine
    }

    /// A folder that goes with the store.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.folder.join(name);
        fs::create_dir(&path).unwrap();
        path
    }

    /// Runs podman.
    pub fn podman(&self, words: &[&str]) -> Output {
        self.command("podman", words).output().unwrap()
    }

    /// Runs podman; it must work. What it printed.
    #[track_caller]
    pub fn must(&self, words: &[&str]) -> String {
        worked(&self.podman(words), words)
    }

    fn command(&self, name: &str, words: &[&str]) -> Command {
        let mut command = Command::new(name);
        command.args(words).stdin(Stdio::null()).env("TMPDIR", &self.folder);
        command.env("CONTAINERS_STORAGE_CONF", self.folder.join("storage.conf"));
        command.env("CONTAINERS_CONF", self.folder.join("containers.conf"));
        command
    }

    fn build_images(&self) {
        let build = self.folder("build");
        let tools = build.join("tools");
        fs::create_dir(&tools).unwrap();
        fs::copy(BUSYBOX, tools.join("busybox")).unwrap();
        for tool in TOOLS {
            symlink("busybox", tools.join(tool)).unwrap();
        }
        let app = "FROM scratch\nCOPY tools /bin\nENV PATH=/bin\n";
        // What holds a pod's namespaces; busybox's sleep would let SIGTERM pass.
        let pause = "FROM scratch\nCOPY tools /bin\nENTRYPOINT [\"/bin/sleep\", \"100000\"]\nSTOPSIGNAL SIGKILL\n";
        for (image, file) in [(APP_IMAGE, app), (PAUSE_IMAGE, pause)] {
            fs::write(build.join("Containerfile"), file).unwrap();
            let context = build.display().to_string();
            let words = ["bud", "--isolation=chroot", "--quiet", "--tag", image, &context];
            worked(&self.command("buildah", &words).output().unwrap(), &words);
        }
        fs::remove_dir_all(&build).unwrap();
        self.build_ours(&build);
    }

    /// The script that users build with packs the programs of this suite, without their symbols, which are most of them.
    fn build_ours(&self, build: &Path) {
        fs::create_dir(build).unwrap();
        let programs = [(program(), "secret-exec"), (Path::new(env!("CARGO_BIN_EXE_secret-inject")), "secret-inject")];
        for (from, name) in programs {
            let to = build.join(name);
            let stripped = Command::new("strip").arg("-o").arg(&to).arg(from).status();
            if !stripped.is_ok_and(|status| status.success()) {
                copy_program(from, &to);
            }
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/image/build");
        let from = build.display().to_string();
        let words = [OUR_IMAGE, "--from", &from];
        let mut command = self.command(script.to_str().unwrap(), &words);
        worked(&command.env("SOURCE_DATE_EPOCH", "1795873892").output().unwrap(), &words);
        fs::remove_dir_all(build).unwrap();
    }
}

#[track_caller]
fn worked(output: &Output, words: &[&str]) -> String {
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let _ = write!(said, "{}", String::from_utf8_lossy(&output.stderr));
        panic!("{}: {}\n{said}", words.join(" "), output.status);
    }
    said
}

/// Nothing of ours outlives the suite, however its tests ended.
extern "C" fn at_exit() {
    let _ = std::panic::catch_unwind(|| remove(&Path::new(PARENT).join(format!("{PREFIX}{}", std::process::id()))));
}

/// What suites left that were killed.
fn sweep() {
    for entry in fs::read_dir(PARENT).unwrap().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            remove(&entry.path());
        }
    }
}

/// Containers, then mounts, then files.
fn remove(folder: &Path) {
    let engine = Engine { folder: folder.to_owned() };
    if folder.join("containers.conf").exists() {
        for words in [&["pod", "rm", "--all", "--force", "--time=0"][..], &["rm", "--all", "--force", "--time=0"]] {
            let _ = engine.command("podman", words).output();
        }
    }
    unmount(folder);
    let _ = fs::remove_dir_all(folder);
}

/// Whatever is mounted below a folder, the last first.
pub fn unmount(folder: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(Path::new);
    let mut ours: Vec<&Path> = points.filter(|point| point.starts_with(folder)).collect();
    ours.reverse();
    for point in ours {
        let _ = umount2(point, MntFlags::MNT_DETACH);
    }
}
