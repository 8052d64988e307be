use std::fs;
use std::os::unix::fs::symlink;

use super::*;

/// A folder with a token, a state directory, a volume, and a file that anybody may name.
struct World {
    folder: tempfile::TempDir,
    protected: ProtectedFiles,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for directory in ["identity/..1", "state", "volume/..1", "app"] {
            fs::create_dir_all(path(directory)).unwrap();
        }
        for file in ["identity/..1/token", "state/state.json", "volume/..1/a", "app/a", "app/token", "secret-id"] {
            fs::write(path(file), file).unwrap();
        }
        symlink("..1", path("identity/..data")).unwrap();
        symlink("..data/token", path("identity/token")).unwrap();
        let list = |names: &[&str]| names.iter().map(|name| Protected::new(path(name))).collect();
        let protected = ProtectedFiles {
            logins: list(&["identity/token"]),
            identities: list(&["secret-id"]),
            credentials: list(&["pod"]),
            state: list(&["state"]),
            volume: list(&["volume"]),
            pass: None,
        };
        Self { protected, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn refused(&self, path: impl AsRef<Path>) -> Option<ProtectedFileError> {
        let path = path.as_ref();
        let checked = self.protected.check(path, Purpose::Content).err();
        let opened = self.protected.open(path, Purpose::Content);
        let in_a_pass = self.protected.for_one_pass().open(path, Purpose::Content);
        assert_eq!(format!("{:?}", opened.as_ref().err()), format!("{:?}", in_a_pass.err()), "{path:?}");
        let pass = self.protected.for_one_pass();
        drop(pass.open(&self.path("app/a"), Purpose::Content));
        let after_another = pass.open(path, Purpose::Content);
        assert_eq!(format!("{:?}", opened.as_ref().err()), format!("{:?}", after_another.err()), "{path:?}");
        match (checked, opened) {
            (None, Ok(_) | Err(OpenError::System(_))) => None,
            (Some(checked), Err(OpenError::Refused(opened))) => {
                assert_eq!(checked, opened, "{path:?}");
                Some(checked)
            }
            (Some(checked), Err(OpenError::System(_))) => Some(checked),
            (checked, opened) => panic!("{path:?}: {checked:?} at the start, {opened:?} at a read"),
        }
    }
}

#[test]
fn a_directory_that_is_replaced_in_a_pass_is_walked_again() {
    let world = World::new();
    fs::write(world.path("state/a"), "state").unwrap();
    let pass = world.protected.for_one_pass();
    pass.open(&world.path("app/a"), Purpose::Content).unwrap();
    fs::rename(world.path("app"), world.path("moved")).unwrap();
    symlink("state", world.path("app")).unwrap();
    for name in ["app/a", "app/state.json"] {
        let opened = pass.open(&world.path(name), Purpose::Content);
        assert!(matches!(opened, Err(OpenError::Refused(ProtectedFileError::State(_)))), "{name}: {opened:?}");
    }
}

#[test]
fn a_protected_file_is_refused_whatever_its_path() {
    let world = World::new();
    symlink(world.path("secret-id"), world.path("app/link")).unwrap();
    symlink("link", world.path("app/link-to-link")).unwrap();
    symlink("/sys", world.path("app/sys")).unwrap();
    symlink("../state", world.path("app/folder")).unwrap();
    fs::hard_link(world.path("secret-id"), world.path("app/hard")).unwrap();
    fs::hard_link(world.path("state/state.json"), world.path("app/hard-state")).unwrap();
    fs::hard_link(world.path("volume/..1/a"), world.path("app/hard-volume")).unwrap();
    let root = |name: &str| format!("/proc/self/root{}", world.path(name).display());
    let identity = |name| Some(ProtectedFileError::Identity(world.path(name)));
    let state = Some(ProtectedFileError::State(world.path("state")));
    let volume = Some(ProtectedFileError::Volume(world.path("volume")));
    for (path, expected) in [
        (world.path("secret-id"), identity("secret-id")),
        (world.path("app/../secret-id"), identity("secret-id")),
        (world.path(".//app/.././secret-id"), identity("secret-id")),
        (world.path("app/link"), identity("secret-id")),
        (world.path("app/link-to-link"), identity("secret-id")),
        (world.path("app/hard"), identity("secret-id")),
        (world.path("identity/token"), identity("identity/token")),
        (world.path("identity/..data/token"), identity("identity/token")),
        (world.path("identity/..1/token"), identity("identity/token")),
        (world.path("state/state.json"), state.clone()),
        (world.path("state/later"), state.clone()),
        (world.path("app/folder/state.json"), state.clone()),
        (world.path("app/hard-state"), state),
        (world.path("volume/..1/a"), volume.clone()),
        (world.path("volume/not/yet"), volume.clone()),
        (world.path("app/hard-volume"), volume),
        (root("app/a").into(), Some(ProtectedFileError::Kernel)),
        (root("secret-id").into(), Some(ProtectedFileError::Kernel)),
        ("/proc/self/environ".into(), Some(ProtectedFileError::Kernel)),
        ("//proc/./self/environ".into(), Some(ProtectedFileError::Kernel)),
        ("/sys/kernel/uevent_seqnum".into(), Some(ProtectedFileError::Kernel)),
        ("/sys/fs/cgroup/cgroup.procs".into(), Some(ProtectedFileError::Kernel)),
        (world.path("app/sys").join("kernel/uevent_seqnum"), Some(ProtectedFileError::Kernel)),
        ("/dev/pts/ptmx".into(), Some(ProtectedFileError::Kernel)),
        ("/dev/stdin".into(), Some(ProtectedFileError::Kernel)),
        ("/dev/fd/0".into(), Some(ProtectedFileError::Kernel)),
        (world.path("pod/token"), Some(ProtectedFileError::Credentials(world.path("pod")))),
        (world.path("app/a"), None),
        (world.path("app/token"), None),
        (world.path("app/missing"), None),
    ] {
        assert_eq!(world.refused(&path), expected, "{path:?}");
    }
}

#[test]
fn a_path_that_is_led_elsewhere_after_the_start_is_refused_at_the_next_read() {
    let world = World::new();
    let path = world.path("app/a");
    assert_eq!(world.refused(&path), None);
    fs::remove_file(&path).unwrap();
    symlink(world.path("identity/token"), &path).unwrap();
    assert_eq!(world.refused(&path), Some(ProtectedFileError::Identity(world.path("identity/token"))));
}

#[test]
fn every_version_of_a_token_that_the_kubelet_replaces_is_protected() {
    let world = World::new();
    fs::create_dir(world.path("identity/..2")).unwrap();
    fs::write(world.path("identity/..2/token"), "new").unwrap();
    symlink("..2", world.path("identity/..new")).unwrap();
    fs::rename(world.path("identity/..new"), world.path("identity/..data")).unwrap();
    for version in ["..1", "..2", "..data"] {
        let path = world.path("identity").join(version).join("token");
        assert_eq!(world.refused(path), Some(ProtectedFileError::Identity(world.path("identity/token"))), "{version}");
    }
}

#[test]
fn the_clusters_ca_beside_a_token_may_be_trusted_and_the_token_may_not() {
    let world = World::new();
    fs::create_dir(world.path("pod")).unwrap();
    for name in ["ca.crt", "token"] {
        fs::write(world.path("pod").join(name), name).unwrap();
    }
    let check = |name: &str, purpose| world.protected.check(&world.path(name), purpose).is_ok();
    assert!(check("pod/ca.crt", Purpose::Certificates) && !check("pod/ca.crt", Purpose::Content));
    assert!(!check("pod/token", Purpose::Certificates) && check("pod/token", Purpose::Identity));
    assert!(!check("identity/token", Purpose::Certificates) && !check("state/state.json", Purpose::Identity));
    assert!(check("pod/token", Purpose::AwsToken) && check("secret-id", Purpose::AwsToken));
    assert!(!check("identity/token", Purpose::AwsToken) && !check("identity/..1/token", Purpose::AwsToken));
    assert!(!check("state/state.json", Purpose::AwsToken) && !check("volume/..1/a", Purpose::AwsToken));
}

/// The app owns the volume: what it leaves there keeps no later start from its login.
#[test]
fn a_volume_full_of_files_is_in_the_way_of_no_login() {
    let world = World::new();
    for number in 0..=20_000 {
        fs::write(world.path(&format!("volume/{number}")), "").unwrap();
    }
    for purpose in [Purpose::Identity, Purpose::AwsToken, Purpose::Certificates] {
        assert_eq!(world.protected.check(&world.path("app/token"), purpose).err(), None, "{purpose:?}");
    }
    // On the volume's own file system the two cannot be distinguished.
    assert_eq!(world.refused(world.path("app/a")), Some(ProtectedFileError::Crowded(world.path("volume"))));
    let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
    fs::write(elsewhere.path().join("a"), "a").unwrap();
    let is_elsewhere =
        FileId::at(elsewhere.path()).unwrap().device != FileId::at(&world.path("volume")).unwrap().device;
    assert_eq!(world.refused(elsewhere.path().join("a")).is_none(), is_elsewhere);
}
