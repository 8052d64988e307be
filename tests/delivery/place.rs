//! Where the volume may be: on disk, below links, in what others made, on mounts that are there already.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

use nix::mount::{MsFlags, mount};
use secret_exec::deliver::{Ownership, VolumeError, Written, prepare};

use super::support::*;

#[test]
fn a_path_on_disk_gets_a_tmpfs_and_the_next_start_uses_it() {
    let Some(dir) = stage("a_path_on_disk_gets_a_tmpfs_and_the_next_start_uses_it") else { return };
    let path = dir.path().join("a/b/files");
    for round in 0..2 {
        let mut volume = prepare(&plan(&path, Some(APP), Some(READERS))).unwrap();
        let written = volume.write(&[file("key", "1")], at(0)).unwrap();
        assert_eq!(written == Written::Unchanged, round == 1);
        let mounts = mounts_at(&path);
        assert_eq!(mounts.len(), 1, "{mounts:?}");
        for option in ["nosuid", "nodev", "noexec", "tmpfs", "size=1024k"] {
            assert!(mounts[0].contains(option), "{option}: {}", mounts[0]);
        }
    }
    let found = fs::metadata(&path).unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (APP, READERS, 0o750));
    assert_eq!(reads(&path.join("key"), APP, APP).as_deref(), Some("1"));
    assert_eq!(reads(&path.join("key"), STRANGER, STRANGER), None);
}

#[test]
fn a_directory_on_disk_with_something_in_it_is_not_hidden() {
    let Some(dir) = stage("a_directory_on_disk_with_something_in_it_is_not_hidden") else { return };
    fs::write(dir.path().join("file"), "").unwrap();
    assert_eq!(prepare(&plan(dir.path(), None, None)).unwrap_err(), VolumeError::Covering(dir.path().to_owned()));
    let shared = dir.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o1777)).unwrap();
    assert_eq!(prepare(&plan(&shared, None, None)).unwrap_err(), VolumeError::Covering(shared));
}

#[test]
fn a_path_on_disk_is_refused_where_we_may_not_mount_and_nothing_stays() {
    let name = "a_path_on_disk_is_refused_where_we_may_not_mount_and_nothing_stays";
    let Some(dir) = stage(name) else { return };
    let home = dir.path().join("home");
    fs::create_dir(&home).unwrap();
    chown(&home, Some(APP), Some(APP)).unwrap();
    for below in ["", "files", "a/b/files"] {
        let Some(said) = writer_as(dir.path(), APP, "", &home.join(below), Ownership::default()) else {
            skip::<()>(name, "no setpriv");
            return;
        };
        assert!(said.starts_with("REFUSED 73") && said.contains("mount a tmpfs, or an emptyDir"), "{said}");
        assert!(names(&home).is_empty(), "{below:?}");
    }
    let said = writer_as(dir.path(), APP, "", &dir.path().join("files"), Ownership::default()).unwrap();
    assert!(said.starts_with("REFUSED 73") && said.contains("(permission denied)"), "{said}");
}

#[test]
fn links_of_root_lead_to_the_volume_and_links_of_others_do_not() {
    let Some(dir) = stage("links_of_root_lead_to_the_volume_and_links_of_others_do_not") else { return };
    let memory = dir.path().join("run");
    tmpfs(&memory, "mode=0755");
    for (name, target) in [("absolute", memory.to_str().unwrap()), ("relative", "../x/../run"), ("twice", "absolute")] {
        fs::create_dir_all(dir.path().join("x")).unwrap();
        let link = dir.path().join("x").join(name);
        symlink(target, &link).unwrap();
        prepare(&plan(&link.join(name).join("files"), None, None)).unwrap();
        assert!(memory.join(name).join("files").is_dir(), "{name}");
    }
    let theirs = dir.path().join("theirs");
    symlink(&memory, &theirs).unwrap();
    std::os::unix::fs::lchown(&theirs, Some(APP), None).unwrap();
    let error = prepare(&plan(&theirs.join("files"), None, None)).unwrap_err();
    assert!(matches!(&error, VolumeError::Link { link, .. } if *link == theirs), "{error}");
    symlink("circle", dir.path().join("circle")).unwrap();
    assert_eq!(prepare(&plan(&dir.path().join("circle/files"), None, None)).unwrap_err().exit().code(), 73);
}

#[test]
fn a_directory_of_somebody_else_is_refused() {
    let Some(dir) = stage("a_directory_of_somebody_else_is_refused") else { return };
    let memory = dir.path().join("run");
    tmpfs(&memory, "mode=1777");
    // uid, gid, mode of what is there; whether it becomes a volume of APP:READERS.
    let cases = [
        (APP, APP, 0o700, true),
        (0, 0, 0o755, true),
        (0, READERS, 0o770, true), // the volume's own group; tightened
        (STRANGER, READERS, 0o700, false),
        (APP, STRANGER, 0o770, false),
        (APP, APP, 0o777, false),
        (APP, APP, 0o1777, false),
    ];
    for (place, (uid, gid, mode, is_used)) in cases.into_iter().enumerate() {
        let path = memory.join(place.to_string());
        fs::create_dir(&path).unwrap();
        chown(&path, Some(uid), Some(gid)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let prepared = prepare(&plan(&path, Some(APP), Some(READERS)));
        assert_eq!(prepared.is_ok(), is_used, "{uid}:{gid} {mode:o}: {prepared:?}");
        let found = fs::metadata(&path).unwrap();
        let expected = if is_used { (APP, READERS, 0o750) } else { (uid, gid, mode) };
        assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), expected);
        if let Err(error) = prepared {
            assert_eq!(error.exit().code(), 73);
        }
    }
}

#[test]
fn a_way_that_somebody_else_can_rearrange_is_refused() {
    let Some(dir) = stage("a_way_that_somebody_else_can_rearrange_is_refused") else { return };
    let memory = dir.path().join("run");
    tmpfs(&memory, "mode=1777");
    let disk = dir.path().join("disk");
    fs::create_dir(&disk).unwrap();
    // uid, gid, mode of a directory above; whether the way to a volume of APP:READERS may lead through it.
    let cases = [
        (0, 0, 0o755, true),
        (APP, STRANGER, 0o755, true), // the files' owner
        (STRANGER, 0, 0o755, false),
        (STRANGER, 0, 0o1777, false), // the sticky bit does not bind the directory's own user
        (0, STRANGER, 0o755, true),
        (0, STRANGER, 0o775, false),
        (0, STRANGER, 0o1775, true),
        (0, STRANGER, 0o3777, true), // a memory emptyDir with fsGroup
        (0, READERS, 0o2775, true),  // the files' group
        (0, 0, 0o775, true),
    ];
    for (top, (place, (uid, gid, mode, is_used))) in
        [&memory, &disk].into_iter().flat_map(|top| cases.into_iter().enumerate().map(move |case| (top, case)))
    {
        let way = top.join(place.to_string());
        fs::create_dir_all(way.join("there")).unwrap();
        chown(&way, Some(uid), Some(gid)).unwrap();
        fs::set_permissions(&way, fs::Permissions::from_mode(mode)).unwrap();
        for below in ["files", "new/files", "there", "there/files"] {
            let what = format!("{uid}:{gid} {mode:o} {}/{below}", way.display());
            let prepared = prepare(&plan(&way.join(below), Some(APP), Some(READERS)));
            assert_eq!(prepared.is_ok(), is_used, "{what}: {prepared:?}");
            let Err(error) = prepared else { continue };
            assert_eq!(error.exit().code(), 73);
            let expected = format!("{} is on the way to the volume and belongs to {uid}:{gid}", way.display());
            assert!(error.to_string().starts_with(&expected), "{what}: {error}");
            assert_eq!(names(&way), ["there"], "nothing is made in it");
            assert!(names(&way.join("there")).is_empty());
        }
    }
}

#[test]
fn a_way_of_our_own_and_of_our_pods_group_is_used() {
    let name = "a_way_of_our_own_and_of_our_pods_group_is_used";
    let Some(dir) = stage(name) else { return };
    let memory = dir.path().join("run");
    tmpfs(&memory, "mode=0755");
    // As $XDG_RUNTIME_DIR; and as a directory in a volume with fsGroup, which is a group of every process of the pod.
    for (below, uid, gid, mode) in [("user", APP, APP, 0o700), ("pod", 0, READERS, 0o2775)] {
        let way = memory.join(below);
        fs::create_dir(&way).unwrap();
        chown(&way, Some(uid), Some(gid)).unwrap();
        fs::set_permissions(&way, fs::Permissions::from_mode(mode)).unwrap();
        let Some(said) = writer_as(dir.path(), APP, &READERS.to_string(), &way.join("a/files"), Ownership::default())
        else {
            skip::<()>(name, "no setpriv");
            return;
        };
        assert_eq!(said, "WRITTEN", "{below}");
    }
}

#[test]
fn a_tmpfs_that_is_ours_already_is_used_at_its_root() {
    let Some(dir) = stage("a_tmpfs_that_is_ours_already_is_used_at_its_root") else { return };
    let path = dir.path().join("files");
    tmpfs(&path, &format!("mode=0700,uid={APP}"));
    prepare(&plan(&path, Some(APP), None)).unwrap().write(&[file("key", "1")], at(0)).unwrap();
    assert_eq!(mounts_at(&path).len(), 1, "not mounted over");
    assert_eq!(reads(&path.join("key"), APP, APP).as_deref(), Some("1"));
}

#[test]
fn ramfs_is_memory_too() {
    let Some(dir) = stage("ramfs_is_memory_too") else { return };
    let memory = dir.path().join("run");
    fs::create_dir(&memory).unwrap();
    mount(Some("test"), &memory, Some("ramfs"), MsFlags::empty(), Some("mode=0755")).unwrap();
    let mut volume = prepare(&plan(&memory.join("files"), None, None)).unwrap();
    volume.write(&numbered(1), at(0)).unwrap();
    volume.write(&numbered(2), at(1)).unwrap();
    assert_eq!(whole(&memory.join("files")), 2);
}
