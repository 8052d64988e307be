//! Deliveries on the memory every machine has; what needs mounts and other users is in `tests/delivery.rs`.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;

struct Shm {
    dir: tempfile::TempDir,
    path: PathBuf,
}

impl Drop for Shm {
    /// An owner who is not root empties no 0500 folder.
    fn drop(&mut self) {
        open(self.dir.path());
    }
}

fn open(folder: &Path) {
    let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o700));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open(&entry.path());
        }
    }
}

impl Shm {
    fn new() -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = dir.path().join("way/files");
        Self { dir, path }
    }

    fn plan(&self) -> VolumePlan {
        VolumePlan { path: self.path.clone(), owner: Ownership::default(), size: 1 << 20, writer: Writer::Once }
    }

    /// In the state in which this program leaves it, so that nothing about it has to change.
    fn make_volume(&self) {
        fs::create_dir_all(&self.path).unwrap();
        fs::set_permissions(&self.path, fs::Permissions::from_mode(0o700)).unwrap();
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(&self.path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn generations(&self) -> usize {
        self.names().iter().filter(|name| layout::is_generation(name.as_ref())).count()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path.join(name)).unwrap()
    }
}

fn files(pairs: &[(&str, &str)]) -> Vec<Artifact> {
    pairs
        .iter()
        .map(|(name, text)| Artifact {
            name: FileName::parse(name).unwrap(),
            bytes: SecretBytes::copy_of(text.as_bytes()),
            mode: None,
        })
        .collect()
}

fn at(seconds: u64) -> Moment {
    Moment { wall: Duration::from_secs(1_795_302_826 + seconds), boot: Duration::from_secs(100 + seconds) }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_delivery_has_kubelets_layout_and_nobody_else_gets_in() {
    let shm = Shm::new();
    let mut volume = prepare(&shm.plan()).unwrap();
    let mut artifacts = files(&[("a", "1"), ("sub/deep/b", "2"), ("sub/c", "3")]);
    artifacts[2].mode = Some(FileMode::parse("0600").unwrap());
    let written = volume.write(&artifacts, at(0)).unwrap();
    let name = "..2026_11_21_23_13_46.000000000";
    assert_eq!(written, Written::Generation(name.into()));
    assert_eq!(shm.names(), [name, "..data", "a", "sub"]);
    assert_eq!(fs::read_link(shm.path.join("..data")).unwrap(), Path::new(name));
    assert_eq!(fs::read_link(shm.path.join("sub")).unwrap(), Path::new("..data/sub"));
    assert_eq!((shm.read("a"), shm.read("sub/deep/b"), shm.read("sub/c")), ("1".into(), "2".into(), "3".into()));
    let root = shm.path.join(name);
    assert_eq!(mode(shm.path.parent().unwrap()), 0o755, "the reader has to get through");
    assert_eq!(mode(&shm.path), 0o700);
    for (below, expected) in
        [("", 0o500), ("a", 0o400), ("sub", 0o500), ("sub/deep", 0o500), ("sub/deep/b", 0o400), ("sub/c", 0o600)]
    {
        assert_eq!(mode(&root.join(below)), expected, "{below:?}");
    }
}

#[test]
fn with_a_group_the_group_reads() {
    let shm = Shm::new();
    let gid = fs::metadata("/proc/self").unwrap().gid();
    let owner = Ownership { uid: None, gid: Some(gid), group: GroupAccess::Reads };
    let mut volume = prepare(&VolumePlan { owner, ..shm.plan() }).unwrap();
    volume.write(&files(&[("sub/a", "1")]), at(0)).unwrap();
    let data = shm.path.join("..data");
    assert_eq!(mode(&shm.path), 0o750);
    assert_eq!(mode(&fs::canonicalize(&data).unwrap()), 0o550);
    assert_eq!((mode(&data.join("sub")), mode(&data.join("sub/a"))), (0o550, 0o440));
}

#[test]
fn a_change_swaps_the_whole_set_and_keeps_the_old_one_for_a_second_or_for_its_readers() {
    let shm = Shm::new();
    let mut volume = prepare(&shm.plan()).unwrap();
    volume.write(&files(&[("a", "1"), ("old", "1"), ("both/x", "1")]), at(0)).unwrap();
    let first = fs::canonicalize(shm.path.join("..data")).unwrap();
    let written = volume.write(&files(&[("a", "2"), ("new", "2"), ("both/y", "2")]), at(0)).unwrap();
    assert_eq!(written, Written::Generation("..2026_11_21_23_13_46.000000001".into()), "the first name not yet taken");
    assert_eq!(shm.names()[2..], ["..data", "a", "both", "new"]);
    assert_eq!((shm.read("a"), shm.read("both/y")), ("2".into(), "2".into()));

    assert_eq!(volume.sweep_due(), Some(at(1).boot));
    volume.sweep(at(0)).unwrap();
    assert_eq!(fs::read_to_string(first.join("old")).unwrap(), "1");
    let reader = fs::File::open(first.join("both/x")).unwrap();
    volume.sweep(at(29)).unwrap();
    assert_eq!(fs::read_to_string(first.join("old")).unwrap(), "1", "somebody reads it");
    drop(reader);
    volume.sweep(at(29)).unwrap();
    assert!(first.exists(), "it is looked at once a second");
    volume.sweep(at(30)).unwrap();
    assert!(!first.exists());
    assert_eq!(volume.sweep_due(), None);
    assert_eq!((shm.generations(), shm.read("new")), (1, "2".into()));
}

#[test]
fn a_generation_that_the_app_filled_is_not_searched_without_end() {
    let shm = Shm::new();
    let mut volume = prepare(&shm.plan()).unwrap();
    for (value, levels, is_kept) in [("1", 3, true), ("2", 511, true), ("3", 900, false)] {
        volume.write(&files(&[("a", value)]), at(0)).unwrap();
        let generation = fs::canonicalize(shm.path.join("..data")).unwrap();
        fs::set_permissions(&generation, fs::Permissions::from_mode(0o700)).unwrap();
        let folder = generation.join("x/".repeat(levels));
        fs::create_dir_all(&folder).unwrap();
        let _open = fs::File::create(folder.join("open")).unwrap();
        volume.write(&files(&[("a", "other")]), at(0)).unwrap();
        volume.sweep(at(1)).unwrap();
        assert_eq!(generation.exists(), is_kept, "{levels} levels");
    }
}

#[test]
fn a_generation_that_takes_long_to_remove_keeps_no_other_and_is_removed_in_turns() {
    let shm = Shm::new();
    let mut volume = prepare(&shm.plan()).unwrap();
    let mut generations = Vec::new();
    for value in ["1", "2", "3"] {
        volume.write(&files(&[("a", value)]), at(0)).unwrap();
        generations.push(fs::canonicalize(shm.path.join("..data")).unwrap());
    }
    fs::set_permissions(&generations[0], fs::Permissions::from_mode(0o700)).unwrap();
    (0..6000).for_each(|n| symlink("x", generations[0].join(n.to_string())).unwrap());
    let mut left = |second| {
        volume.sweep(at(second)).unwrap();
        generations.iter().map(|found| found.exists()).collect::<Vec<_>>()
    };
    assert_eq!(left(1), [true, true, true]);
    assert_eq!(left(2), [false, false, true]);
}

/// Everything that a running process does to a volume that the app filled.
#[test]
fn a_writer_that_is_refused_changes_nothing_of_the_directory() {
    let shm = Shm::new();
    let _running = prepare(&VolumePlan { writer: Writer::Stays, ..shm.plan() }).unwrap();
    let mode = || fs::metadata(&shm.path).unwrap().permissions().mode() & 0o7777;
    let before = (mode(), shm.names());
    let owner = Ownership { group: GroupAccess::Reads, ..Ownership::default() };
    for writer in [Writer::Stays, Writer::Once] {
        let refused = prepare(&VolumePlan { writer, owner, ..shm.plan() });
        assert_eq!(refused.err(), Some(VolumeError::Busy(shm.path.clone())));
        assert_eq!((mode(), shm.names()), before);
    }
}

#[test]
fn no_turn_removes_or_looks_at_more_names_than_it_has_time_for() {
    const MANY: usize = 10_000;
    let shm = Shm::new();
    let mut volume = prepare(&shm.plan()).unwrap();
    volume.write(&files(&[("a", "1"), ("b", "1")]), at(0)).unwrap();
    let filled = |folder: &Path| {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
        (0..MANY).for_each(|n| symlink("x", folder.join(n.to_string())).unwrap());
    };
    let nested = |folder: &Path| {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
        (0..MANY / 500).for_each(|n| fs::create_dir_all(folder.join(n.to_string()).join("x/".repeat(500))).unwrap());
    };
    // Under a stable name, in the generation, beside it, and under a temporary name.
    fs::remove_file(shm.path.join("a")).unwrap();
    fs::create_dir(shm.path.join("a")).unwrap();
    filled(&shm.path.join("a"));
    fs::create_dir(shm.path.join("..new_0")).unwrap();
    filled(&shm.path.join("..new_0"));
    nested(&fs::canonicalize(shm.path.join("..data")).unwrap());
    filled(&shm.path);
    let count = || {
        let (mut folders, mut count) = (vec![shm.path.clone()], 0);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                count += 1;
                folders.extend(entry.file_type().unwrap().is_dir().then(|| entry.path()));
            }
        }
        count
    };
    let before = count();
    assert!(before > 4 * MANY, "{before}");
    volume.write(&files(&[("a", "2"), ("b", "2")]), at(1)).unwrap();
    let mut left = count();
    assert!(before - left <= 4100, "{before} {left}");
    assert_eq!((shm.read("a"), shm.read("b")), ("2".into(), "2".into()));
    let mut second = 1;
    while shm.generations() > 1 {
        second += 1;
        volume.sweep(at(second)).unwrap();
        let now = count();
        assert!(left - now <= 4100 && second < 30, "{left} {now} after {second} turns");
        left = now;
    }
    assert_eq!(shm.names().len(), MANY + 4, "what has no name of ours stays");
}

#[test]
fn the_same_content_writes_nothing() {
    let shm = Shm::new();
    let artifacts = files(&[("a", "1"), ("sub/b", &"x".repeat(10_000)), ("empty", "")]);
    let mut volume = prepare(&shm.plan()).unwrap();
    volume.write(&artifacts, at(0)).unwrap();
    let before = shm.names();
    assert_eq!(volume.write(&artifacts, at(1)), Ok(Written::Unchanged));
    assert_eq!(prepare(&shm.plan()).unwrap().write(&artifacts, at(2)), Ok(Written::Unchanged), "a restart too");
    assert_eq!(shm.names(), before);
}

#[test]
fn any_difference_is_a_change() {
    let mode = |text| Some(FileMode::parse(text).unwrap());
    let changes: &[(&str, Vec<Artifact>)] = &[
        ("shorter", files(&[("a", "1"), ("sub/b", "2")])),
        ("longer", files(&[("a", "111"), ("sub/b", "2")])),
        ("other bytes", files(&[("a", "11"), ("sub/b", "3")])),
        ("fewer files", files(&[("a", "11")])),
        ("more files", files(&[("a", "11"), ("sub/b", "2"), ("sub/c", "")])),
        ("another name", files(&[("a", "11"), ("sub/c", "2")])),
        ("a file for a folder", files(&[("a", "11"), ("sub", "2")])),
        ("a folder for a file", files(&[("a/x", "11"), ("sub/b", "2")])),
        ("nothing", files(&[])),
    ];
    let shm = Shm::new();
    let mut volume = prepare(&shm.plan()).unwrap();
    let base = || files(&[("a", "11"), ("sub/b", "2")]);
    for (what, change) in changes {
        assert!(matches!(volume.write(&base(), at(0)), Ok(Written::Generation(_))), "{what}");
        assert!(matches!(volume.write(change, at(0)), Ok(Written::Generation(_))), "{what}");
    }
    let mut other_mode = base();
    volume.write(&base(), at(0)).unwrap();
    other_mode[0].mode = mode("0600");
    assert!(matches!(volume.write(&other_mode, at(0)), Ok(Written::Generation(_))), "mode");
}

#[test]
fn what_somebody_changed_behind_our_back_is_written_anew() {
    let shm = Shm::new();
    let artifacts = files(&[("a", "1")]);
    let mut volume = prepare(&shm.plan()).unwrap();
    type Tampering = fn(&Path);
    let cases: [Tampering; 3] = [
        |root| {
            fs::set_permissions(root.join("a"), fs::Permissions::from_mode(0o600)).unwrap();
            fs::write(root.join("a"), "2").unwrap();
            fs::set_permissions(root.join("a"), fs::Permissions::from_mode(0o400)).unwrap();
        },
        |root| fs::set_permissions(root.join("a"), fs::Permissions::from_mode(0o444)).unwrap(),
        |root| {
            fs::set_permissions(root, fs::Permissions::from_mode(0o700)).unwrap();
            symlink("/etc/passwd", root.join("b")).unwrap();
            fs::set_permissions(root, fs::Permissions::from_mode(0o500)).unwrap();
        },
    ];
    for (place, tamper) in cases.into_iter().enumerate() {
        volume.write(&artifacts, at(0)).unwrap();
        tamper(&fs::canonicalize(shm.path.join("..data")).unwrap());
        assert!(matches!(volume.write(&artifacts, at(0)), Ok(Written::Generation(_))), "case {place}");
        assert_eq!(shm.read("a"), "1");
    }
    // A stable name that is gone comes back, without a generation.
    fs::remove_file(shm.path.join("a")).unwrap();
    assert_eq!(volume.write(&artifacts, at(0)), Ok(Written::Unchanged));
    assert_eq!(shm.read("a"), "1");
}

#[test]
fn what_is_read_back_is_a_file_of_a_size_that_we_write() {
    let shm = Shm::new();
    let mut volume = prepare(&shm.plan()).unwrap();
    volume.write(&files(&[("a", "1"), ("sub/b", "2")]), at(0)).unwrap();
    let read = |name: &str| {
        volume.read(&FileName::parse(name).unwrap()).map(|found| found.map(|bytes| bytes.expose().to_vec()))
    };
    assert_eq!((read("a"), read("sub/b"), read("c")), (Ok(Some(b"1".to_vec())), Ok(Some(b"2".to_vec())), Ok(None)));
    let generation = fs::canonicalize(shm.path.join("..data")).unwrap();
    open(&generation);
    fs::remove_file(generation.join("a")).unwrap();
    fs::File::create(generation.join("a")).unwrap().set_len(1 << 40).unwrap();
    assert!(matches!(read("a"), Err(VolumeError::System { doing: "read", .. })));
    fs::remove_file(generation.join("a")).unwrap();
    symlink("sub/b", generation.join("a")).unwrap();
    fs::remove_dir_all(generation.join("sub")).unwrap();
    fs::write(generation.join("sub"), "").unwrap();
    assert_eq!((read("a"), read("sub/b")), (Ok(None), Ok(None)));
    fs::remove_file(shm.path.join("..data")).unwrap();
    fs::create_dir(shm.path.join("..data")).unwrap();
    assert_eq!(read("a"), Ok(None));
    assert!(matches!(volume.write(&files(&[("a", "1")]), at(0)), Ok(Written::Generation(_))), "and it is put right");
    assert_eq!(shm.read("a"), "1");
}

#[test]
fn names_that_are_not_ours_are_never_touched() {
    let shm = Shm::new();
    let mut volume = prepare(&shm.plan()).unwrap();
    fs::write(shm.path.join("a"), "theirs").unwrap();
    symlink("/etc/passwd", shm.path.join("link")).unwrap();
    fs::create_dir(shm.path.join("folder")).unwrap();
    for name in ["a", "link", "folder", "folder/x"] {
        let taken = volume.write(&files(&[("ok", "1"), (name, "1")]), at(0)).unwrap_err();
        let first = name.split('/').next().unwrap();
        assert_eq!(taken, VolumeError::Taken(shm.path.join(first)));
        assert_eq!(taken.exit(), crate::domain::Exit::Volume);
    }
    assert_eq!(shm.names(), ["a", "folder", "link"], "refused before anything was written");
    volume.write(&files(&[("ok", "1")]), at(0)).unwrap();
    volume.write(&files(&[("other", "1")]), at(0)).unwrap();
    assert_eq!(shm.names()[3..], ["a", "folder", "link", "other"], "a name that is not ours is not stale");
    assert_eq!(shm.read("a"), "theirs");
}

#[test]
fn a_data_link_that_is_not_ours_is_refused_at_the_start() {
    for target in ["/etc", "../..", "other"] {
        let shm = Shm::new();
        shm.make_volume();
        symlink(target, shm.path.join("..data")).unwrap();
        assert_eq!(prepare(&shm.plan()).unwrap_err(), VolumeError::Taken(shm.path.join("..data")));
    }
    let shm = Shm::new();
    shm.make_volume();
    fs::create_dir(shm.path.join("..data")).unwrap();
    assert_eq!(prepare(&shm.plan()).unwrap_err(), VolumeError::Taken(shm.path.join("..data")));
}

#[test]
fn a_start_removes_what_a_killed_writer_left() {
    let shm = Shm::new();
    let mut volume = prepare(&shm.plan()).unwrap();
    volume.write(&files(&[("a", "1")]), at(0)).unwrap();
    volume.write(&files(&[("a", "2")]), at(1)).unwrap();
    let partial = shm.path.join("..2026_11_21_23_59_59.000000000");
    fs::create_dir_all(partial.join("sub")).unwrap();
    fs::write(partial.join("sub/x"), "half").unwrap();
    symlink("/dev/shm", partial.join("sub/link")).unwrap();
    symlink("..2026_11_21_23_59_59.000000000", shm.path.join("..data_tmp")).unwrap();
    symlink("..data/b", shm.path.join("..new_0")).unwrap();
    prepare(&shm.plan()).unwrap();
    assert_eq!(shm.names(), ["..2026_11_21_23_13_47.000000000", "..data", "a"]);
    assert_eq!(shm.read("a"), "2", "the last whole delivery is still there");
}

#[test]
fn a_generation_that_is_a_link_is_not_removed_through_it() {
    let shm = Shm::new();
    shm.make_volume();
    let other = tempfile::tempdir_in("/dev/shm").unwrap();
    fs::write(other.path().join("kept"), "").unwrap();
    symlink(other.path(), shm.path.join("..2026_11_21_23_13_46.1")).unwrap();
    let mut volume = prepare(&shm.plan()).unwrap();
    volume.write(&files(&[("a", "1")]), at(0)).unwrap();
    assert!(other.path().join("kept").exists());
}

#[test]
fn two_files_of_one_name_are_refused() {
    let shm = Shm::new();
    let mut volume = prepare(&shm.plan()).unwrap();
    for names in [["a", "a"], ["a/b", "a"]] {
        let error = volume.write(&files(&names.map(|name| (name, ""))), at(0)).unwrap_err();
        assert!(matches!(error, VolumeError::Clash(..)), "{error}");
    }
    assert!(shm.names().is_empty());
}

#[test]
fn paths_that_cannot_be_a_volume_are_refused() {
    for path in ["relative", "/", "/dev/shm/../shm/x", ""] {
        let plan = VolumePlan { path: path.into(), owner: Ownership::default(), size: 1, writer: Writer::Once };
        assert_eq!(prepare(&plan).unwrap_err(), VolumeError::Path(path.into()), "{path}");
    }
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    for below in ["file", "file/below"] {
        let plan =
            VolumePlan { path: dir.path().join(below), owner: Ownership::default(), size: 1, writer: Writer::Once };
        assert_eq!(prepare(&plan).unwrap_err(), VolumeError::NotAFolder(dir.path().join("file")));
    }
}

#[test]
fn the_root_of_shared_memory_is_refused_with_a_path_below_it() {
    let plan = VolumePlan { path: "/dev/shm".into(), owner: Ownership::default(), size: 1, writer: Writer::Once };
    let error = prepare(&plan).unwrap_err();
    assert_eq!(error.exit().code(), 73);
    assert!(error.to_string().ends_with("such as /dev/shm/files"), "{error}");
}

#[test]
fn no_link_is_followed_on_memory_and_no_folder_trusted_that_everybody_may_rearrange() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    fs::create_dir(dir.path().join("real")).unwrap();
    symlink("real", dir.path().join("link")).unwrap();
    for below in ["link", "link/files"] {
        let plan =
            VolumePlan { path: dir.path().join(below), owner: Ownership::default(), size: 1, writer: Writer::Once };
        let error = prepare(&plan).unwrap_err();
        assert!(matches!(&error, VolumeError::Link { link, .. } if *link == dir.path().join("link")), "{error}");
    }
    fs::set_permissions(dir.path().join("real"), fs::Permissions::from_mode(0o777)).unwrap();
    let plan =
        VolumePlan { path: dir.path().join("real/files"), owner: Ownership::default(), size: 1, writer: Writer::Once };
    assert!(matches!(prepare(&plan).unwrap_err(), VolumeError::Replaceable { .. }));
    fs::set_permissions(dir.path().join("real"), fs::Permissions::from_mode(0o1777)).unwrap();
    prepare(&plan).unwrap();
}

#[test]
fn no_error_and_no_debug_text_holds_a_value() {
    let shm = Shm::new();
    let artifacts = files(&[("a", "canary")]);
    let volume = prepare(&shm.plan()).unwrap();
    assert!(!format!("{artifacts:?} {volume:?}").contains("canary"));
}
