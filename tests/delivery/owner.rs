//! Who may read: the owner, the group, nobody else; and who may write for whom.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use secret_exec::deliver::{GroupAccess, Ownership, VolumeError, prepare};

use super::support::*;

/// As on a node: links in sticky world-writable directories are followed by their owners only. Left on, as nodes have it.
fn protect_symlinks(test: &str) -> Option<()> {
    let path = "/proc/sys/fs/protected_symlinks";
    let _ = fs::write(path, "1");
    let is_on = fs::read_to_string(path).is_ok_and(|text| text.trim() == "1");
    if is_on { Some(()) } else { skip(test, "fs.protected_symlinks cannot be set") }
}

#[test]
fn in_a_sticky_mount_another_user_reads_through_the_group() {
    let name = "in_a_sticky_mount_another_user_reads_through_the_group";
    let Some(dir) = stage(name) else { return };
    let Some(()) = protect_symlinks(name) else { return };
    let memory = dir.path().join("run");
    tmpfs(&memory, "mode=1777");
    // What makes the root useless: a link there is followed by nobody but its owner.
    fs::write(memory.join("plain"), "x").unwrap();
    open_to_all(&memory.join("plain"));
    symlink("plain", memory.join("link")).unwrap();
    std::os::unix::fs::lchown(memory.join("link"), Some(SIDECAR), None).unwrap();
    assert_eq!(reads(&memory.join("plain"), APP, READERS).as_deref(), Some("x"));
    assert_eq!(reads(&memory.join("link"), APP, READERS), None, "protected_symlinks is on");
    let error = prepare(&plan(&memory, None, Some(READERS))).unwrap_err();
    assert_eq!(error, VolumeError::Shared { path: memory.clone(), mode: 0o1777 });

    // Root writes for a user, and an unprivileged sidecar for a group of its own (supplementalGroups).
    let for_user = memory.join("for-user");
    prepare(&plan(&for_user, Some(SIDECAR), Some(READERS))).unwrap().write(&numbered(1), at(0)).unwrap();
    let for_group = memory.join("for-group/files");
    let owner = Ownership { uid: None, gid: Some(READERS), group: GroupAccess::Reads };
    let Some(said) = writer_as(dir.path(), SIDECAR, &READERS.to_string(), &for_group, owner) else {
        skip::<()>(name, "no setpriv");
        return;
    };
    assert_eq!(said, "WRITTEN");
    for volume in [for_user, for_group] {
        for file in ["user", "sub/deep/key", "..data/password"] {
            let path = volume.join(file);
            assert_eq!(reads(&path, APP, READERS).as_deref(), Some("1"), "through the group: {path:?}");
            assert_eq!(reads(&path, SIDECAR, SIDECAR).as_deref(), Some("1"), "its owner: {path:?}");
            assert_eq!(reads(&path, STRANGER, STRANGER), None, "nobody else: {path:?}");
            let found = fs::metadata(&path).unwrap();
            assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (SIDECAR, READERS, 0o440));
        }
        let write = Command::new("touch").arg(volume.join("x")).uid(APP).gid(READERS).stderr(Stdio::null()).status();
        assert!(!write.unwrap().success(), "the group only reads");
    }
}

#[test]
fn an_owner_we_may_not_set_is_refused_and_one_that_is_so_already_is_not() {
    let name = "an_owner_we_may_not_set_is_refused_and_one_that_is_so_already_is_not";
    let Some(dir) = stage(name) else { return };
    let memory = dir.path().join("run");
    tmpfs(&memory, "mode=1777");
    let owners = [
        (Some(APP), None, true),
        (Some(APP), Some(APP), true),
        (None, Some(READERS), true),
        (Some(STRANGER), None, false),
        (None, Some(STRANGER), false),
        (Some(0), Some(0), false),
    ];
    for (place, (uid, gid, may)) in owners.into_iter().enumerate() {
        let path = memory.join(place.to_string());
        let Some(said) =
            writer_as(dir.path(), APP, &READERS.to_string(), &path, Ownership { uid, gid, group: GroupAccess::Reads })
        else {
            skip::<()>(name, "no setpriv");
            return;
        };
        let is_refused = said.starts_with("REFUSED 73 cannot make");
        assert_eq!((said == "WRITTEN", is_refused), (may, !may), "{said}");
        assert!(may || names(&path).is_empty(), "nothing was written");
    }
}

#[test]
fn a_volume_prepared_by_root_is_written_by_its_owner() {
    let name = "a_volume_prepared_by_root_is_written_by_its_owner";
    let Some(dir) = stage(name) else { return };
    let path = dir.path().join("files");
    prepare(&plan(&path, Some(APP), None)).unwrap().write(&numbered(7), at(0)).unwrap();
    let owner = Ownership { uid: Some(APP), gid: None, group: GroupAccess::None };
    let Some(said) = writer_as(dir.path(), APP, "", &path, owner) else {
        skip::<()>(name, "no setpriv");
        return;
    };
    assert_eq!(said, "WRITTEN");
    assert_eq!(whole(&path), 1);
    // And its 0500 generations are removed without any right but being the owner.
    assert_eq!(writer_as(dir.path(), APP, "", &path, owner).unwrap(), "WRITTEN");
    assert_eq!(names(&path).iter().filter(|name| is_generation(name)).count(), 1);
}

#[test]
fn root_that_may_not_write_in_its_owners_directory_says_so() {
    let name = "root_that_may_not_write_in_its_owners_directory_says_so";
    let Some(dir) = stage(name) else { return };
    let memory = dir.path().join("run");
    tmpfs(&memory, "mode=0755");
    let owner = Ownership { uid: Some(APP), gid: None, group: GroupAccess::None };
    let only_chown = ["--bounding-set=-all,+chown", "--inh-caps=-all"];
    let Some(said) = writer_under(dir.path(), &only_chown, &memory.join("files"), owner) else {
        skip::<()>(name, "no setpriv");
        return;
    };
    assert!(said.starts_with("REFUSED 73 cannot write in") && said.contains("CAP_DAC_OVERRIDE"), "{said}");
}
