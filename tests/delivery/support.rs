//! The stage of these tests: mounts of their own, other users, and a writer in a process of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use secret_exec::deliver::{Artifact, GroupAccess, Moment, Ownership, VolumePlan, Writer, prepare};
use secret_exec::domain::{FileName, SecretBytes};

pub const APP: u32 = 65_001;
pub const STRANGER: u32 = 65_002;
pub const SIDECAR: u32 = 65_003;
pub const READERS: u32 = 64_123;

/// A directory everybody can reach, in a mount namespace of this thread's own.
pub struct Stage(tempfile::TempDir);

impl Stage {
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let table = fs::read_to_string("/proc/thread-self/mountinfo").unwrap_or_default();
        for mounted in table.lines().rev().filter_map(|line| line.split(' ').nth(4)) {
            if Path::new(mounted).starts_with(self.path()) {
                let _ = umount2(mounted, MntFlags::MNT_DETACH);
            }
        }
    }
}

/// A directory on the memory every machine has, for tests that need no mount.
pub struct Shm(tempfile::TempDir);

impl Shm {
    pub fn new() -> Self {
        Self(tempfile::tempdir_in("/dev/shm").unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Shm {
    /// An owner who is not root empties no 0500 folder.
    fn drop(&mut self) {
        open_to_us(self.path());
    }
}

fn open_to_us(folder: &Path) {
    let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o700));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_to_us(&entry.path());
        }
    }
}

/// `None` (said out loud) when not root.
pub fn stage(test: &str) -> Option<Stage> {
    if !nix::unistd::geteuid().is_root() {
        return skip(test, "mounting needs root");
    }
    if let Err(errno) = unshare(CloneFlags::CLONE_NEWNS) {
        return skip(test, &format!("no mount namespace: {errno}"));
    }
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    open_to_all(dir.path());
    Some(Stage(dir))
}

pub fn skip<T>(test: &str, reason: &str) -> Option<T> {
    eprintln!("SKIPPED {test}: {reason}");
    None
}

pub fn open_to_all(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

pub fn tmpfs(path: &Path, options: &str) {
    fs::create_dir_all(path).unwrap();
    mount(Some("test"), path, Some("tmpfs"), MsFlags::empty(), Some(options)).unwrap();
}

pub fn mounts_at(path: &Path) -> Vec<String> {
    let table = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let is_here = |line: &&str| line.split(' ').nth(4) == path.to_str();
    table.lines().filter(is_here).map(str::to_owned).collect()
}

pub fn plan(path: &Path, uid: Option<u32>, gid: Option<u32>) -> VolumePlan {
    VolumePlan {
        path: path.to_owned(),
        owner: Ownership { uid, gid, group: if gid.is_some() { GroupAccess::Reads } else { GroupAccess::None } },
        size: 1 << 20,
        writer: Writer::Once,
    }
}

pub fn file(name: &str, text: &str) -> Artifact {
    let bytes = SecretBytes::copy_of(text.as_bytes());
    Artifact { name: FileName::parse(name).unwrap(), bytes, mode: None }
}

pub fn at(milliseconds: u64) -> Moment {
    let boot = Duration::from_millis(milliseconds);
    Moment { wall: Duration::from_secs(1_795_302_826) + boot, boot }
}

/// `cat`, as another user of exactly one group.
pub fn cat(path: &Path, uid: u32, gid: u32) -> Output {
    Command::new("cat").arg(path).uid(uid).gid(gid).output().unwrap()
}

pub fn reads(path: &Path, uid: u32, gid: u32) -> Option<String> {
    let output = cat(path, uid, gid);
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

pub fn is_generation(name: &str) -> bool {
    name.starts_with("..2")
}

pub fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub const WRITER: &str = "DELIVERY_TEST_WRITER";

/// Not a test by itself: the tests below start this binary again with a plan in the environment.
#[test]
fn writer() {
    let Ok(text) = std::env::var(WRITER) else { return };
    let parts: Vec<_> = text.split('|').collect();
    let number = |text: &str| text.parse::<u32>().ok();
    let plan = plan(Path::new(parts[0]), number(parts[1]), number(parts[2]));
    let (first, last) = (number(parts[3]).unwrap(), number(parts[4]).unwrap());
    let outcome = prepare(&plan).and_then(|mut volume| {
        println!("\nPREPARED");
        for number in first..=last {
            volume.write(&numbered(number), at(u64::from(number)))?;
            volume.sweep(at(u64::from(number)))?;
        }
        Ok(())
    });
    match outcome {
        Ok(()) => println!("\nWRITTEN"),
        Err(error) => println!("\nREFUSED {} {error}", error.exit().code()),
    }
}

/// A set whose names, too, depend on the number.
pub fn numbered(number: u32) -> Vec<Artifact> {
    let text = format!("{number}");
    let mut files = vec![file("user", &text), file("password", &text), file("sub/deep/key", &text)];
    files.push(if number.is_multiple_of(2) { file("even", &text) } else { file("odd/x", &text) });
    files
}

/// The number of the set below `root`, which has to be whole.
pub fn whole(root: &Path) -> u32 {
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let number: u32 = read("user").parse().unwrap();
    for file in numbered(number) {
        assert_eq!(read(file.name.as_str()), number.to_string(), "{}", file.name);
    }
    number
}

pub fn writer_command(path: &Path, owner: Ownership, numbers: (u32, u32)) -> Command {
    let id = |id: Option<u32>| id.map_or(String::new(), |id| id.to_string());
    let mut command = Command::new(std::env::current_exe().unwrap());
    let text = format!("{}|{}|{}|{}|{}", path.display(), id(owner.uid), id(owner.gid), numbers.0, numbers.1);
    command.args(["--exact", "support::writer", "--nocapture", "--test-threads=1"]).env_clear().env(WRITER, text);
    command
}

/// A writer as `uid:uid` with further groups; `None` when setpriv(1) is not there.
pub fn writer_as(dir: &Path, uid: u32, groups: &str, path: &Path, owner: Ownership) -> Option<String> {
    let groups = if groups.is_empty() { "--clear-groups".to_owned() } else { format!("--groups={groups}") };
    writer_under(dir, &[&format!("--reuid={uid}"), &format!("--regid={uid}"), &groups], path, owner)
}

/// A writer under what setpriv(1) takes away; its last word.
pub fn writer_under(dir: &Path, privileges: &[&str], path: &Path, owner: Ownership) -> Option<String> {
    let copy = dir.join("writer");
    if !copy.exists() {
        // Not by ourselves: a child that another test forks meanwhile would keep it open for writing (ETXTBSY).
        let copied = Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&copy).status().unwrap();
        assert!(copied.success());
        open_to_all(&copy);
    }
    let inner = writer_command(path, owner, (1, 1));
    let mut command = Command::new("setpriv");
    command.args(privileges).arg(copy).args(inner.get_args()).current_dir("/");
    for (name, value) in inner.get_envs() {
        command.env(name, value.unwrap());
    }
    let output = command.output().ok()?;
    let text = String::from_utf8(output.stdout).unwrap();
    let said = text.lines().rfind(|line| ["PREPARED", "WRITTEN", "REFUSED"].iter().any(|word| line.starts_with(word)));
    Some(said.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr))).to_owned())
}
