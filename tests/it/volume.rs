//! Files on memory: whose they are, who may read them, and what happens where they cannot be.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use support::*;

/// A private mount namespace in which `script` sees the program as `$0` and its arguments as `$@`.
fn script(run: Run, script: &str) -> Run {
    run.root().within(&["unshare", "-m", "sh", "-ec", script])
}

fn one_file(case: &Case, more: &str) -> Run {
    case.with_files(&format!("files: {{ s: \"{}\" }}\n{more}", case.secret("s", "value")))
}

#[test]
fn files_are_laid_out_as_kubelet_does() {
    let case = Case::new();
    let config = format!(
        "files: {{ token: \"{}\", app/db.conf: \"{}\", app/other: \"{0}\" }}\n",
        case.secret("a", "A"),
        case.secret("b", "B")
    );
    case.with_files(&config).app(&["true"]).output().ok();
    let volume = case.volume();
    let generation = fs::read_link(volume.join("..data")).unwrap();
    assert_eq!(generations(&volume).into_iter().collect::<Vec<_>>(), [generation.to_str().unwrap()]);
    assert_eq!(fs::read_link(volume.join("token")).unwrap(), Path::new("..data/token"));
    // A name with folders links its first component.
    assert_eq!(fs::read_link(volume.join("app")).unwrap(), Path::new("..data/app"));
    assert_eq!(fs::read_to_string(volume.join("app/db.conf")).unwrap(), "B");
    assert_eq!(mode_of(&volume.join(&generation)), 0o500);
    assert_eq!(mode_of(&volume.join(&generation).join("app")), 0o500);
    for name in ["token", "app/db.conf", "app/other"] {
        let path = volume.join(&generation).join(name);
        assert_eq!(mode_of(&path), 0o400, "{name}");
        if is_root() {
            assert_eq!(owner_of(&path), (APP, APP), "{name}");
        }
    }
    assert_eq!(mode_of(&volume) & 0o007, 0, "strangers stay outside");
}

#[test]
fn a_file_may_have_its_own_mode() {
    let case = Case::new();
    let config = format!("files: {{ s: {{ from: \"{}\", mode: \"0640\" }} }}\n", case.secret("s", "value"));
    case.with_files(&config).app(&["true"]).output().ok();
    assert_eq!(mode_of(&fs::canonicalize(case.volume().join("s")).unwrap()), 0o640);
}

/// A folder of files with a directory of its own: every name there leads through the volume's `..data`, and a later start takes
/// away what is no more.
#[test]
fn folders_of_files_have_folders_of_links() {
    let case = Case::new();
    let links = case.volume().with_file_name("links");
    let run = |files: &str| {
        let config = format!(
            "volume: {{ path: {}, links: {} }}\nfiles: {{ {files} }}\n",
            case.volume().display(),
            links.display()
        );
        case.with_config(&config).command("init").output().ok();
    };
    let (a, b) = (case.secret("a", "A"), case.secret("b", "B"));
    run(&format!("0/a: \"{a}\", 0/old: \"{a}\", 1/conf/b: \"{b}\""));
    assert_eq!(fs::read_to_string(links.join("0/a")).unwrap(), "A");
    assert_eq!(fs::read_to_string(links.join("1/conf/b")).unwrap(), "B");
    assert_eq!(fs::read_link(links.join("0/a")).unwrap(), case.volume().join("0/a"));
    run(&format!("0/a: \"{b}\", 1/conf/b: \"{b}\""));
    assert_eq!(fs::read_to_string(links.join("0/a")).unwrap(), "B");
    assert!(fs::symlink_metadata(links.join("0/old")).is_err());
}

#[test]
fn init_delivers_and_ends() {
    let case = Case::new();
    let outcome = one_file(&case, "").command("init").output();
    outcome.ok();
    assert_eq!(fs::read_to_string(case.volume().join("s")).unwrap(), "value");
}

#[test]
fn a_reader_of_another_uid_reads_through_the_group_and_a_stranger_does_not() {
    needs_root!();
    // What every memory emptyDir is: 1777, with fs.protected_symlinks=1 (tests/run sets it).
    let case = Case::new();
    let mount = case.path("mount");
    fs::create_dir(&mount).unwrap();
    let volume = mount.join("files");
    let config = format!(
        "volume: {{ path: {}, owner: \":64123\" }}\nfiles: {{ s: \"{}\" }}\n",
        volume.display(),
        case.secret("s", "value")
    );
    let config = case.write("config.yaml", config);
    let read = format!(
        "mount -t tmpfs -o mode=1777,size=1m tmpfs {mount}\n\
         setpriv --reuid {APP} --regid {APP} --groups 64123 \"$0\" init --config {config} --state {mount}/state\n\
         setpriv --reuid {STRANGER} --regid {STRANGER} --groups 64123 cat {volume}/s\n\
         stat -L -c ' %u:%g %a' {volume}/s; stat -c '%a' {volume}/..data/.\n\
         setpriv --reuid 45678 --regid 45678 --clear-groups cat {volume}/s 2>/dev/null && echo readable by all\n\
         cat /proc/sys/fs/protected_symlinks",
        mount = mount.display(),
        volume = volume.display(),
        config = config.display()
    );
    let outcome = script(Run::new(program()), &read).output();
    let said = outcome.ok();
    assert!(said.starts_with(&format!("value {APP}:64123 440\n550\n")), "{outcome}");
    assert!(!said.contains("readable by all"), "{outcome}");
    if said.ends_with("0\n") {
        skip("the part with fs.protected_symlinks=1: it is 0 here; ./tests/run sets it");
    }
}

#[test]
fn the_root_of_a_sticky_mount_is_refused_and_a_path_below_it_is_named() {
    needs_root!();
    let case = Case::new();
    let mount = case.path("mount");
    fs::create_dir(&mount).unwrap();
    let config = format!("volume: {{ path: {} }}\nfiles: {{ s: \"{}\" }}\n", mount.display(), case.secret("s", "v"));
    let run = case.with_config(&config).tmpfs(&mount, "mode=1777,size=1m");
    case.refused(run, 73, &[&format!("{}/", mount.display())]);
}

#[test]
fn a_volume_on_disk_is_refused_where_we_may_not_mount() {
    let case = Case::new();
    let on_disk = case.path("files");
    let config = format!("volume: {{ path: {} }}\nfiles: {{ s: \"{}\" }}\n", on_disk.display(), case.secret("s", "v"));
    case.refused(case.with_config(&config), 73, &[on_disk.to_str().unwrap(), "memory|tmpfs"]);
    assert!(!on_disk.join("s").exists());
}

#[test]
fn where_we_may_mount_a_tmpfs_is_mounted() {
    needs_root!();
    let case = Case::new();
    let volume = case.path("files");
    let config = format!(
        "volume: {{ path: {}, size: 64Ki }}\nrunAs: \"{APP}:{APP}\"\nfiles: {{ s: \"{}\" }}\n",
        volume.display(),
        case.secret("s", "value")
    );
    let app = format!("cat {0}/s; echo; grep ' {0} ' /proc/self/mounts", volume.display());
    let outcome = case.with_config(&config).root().within(&["unshare", "-m"]).sh(&app).output();
    let said = outcome.ok();
    let (value, mount) = said.split_once('\n').unwrap();
    assert_eq!(value, "value");
    for option in ["tmpfs", "nosuid", "nodev", "noexec", "size=64k"] {
        assert!(mount.contains(option), "no {option} in {mount}");
    }
    assert!(!volume.join("s").exists(), "it was on disk");
}

#[test]
fn an_existing_tmpfs_is_used_and_not_mounted_over() {
    needs_root!();
    let case = Case::new();
    let mount = case.path("mount");
    fs::create_dir(&mount).unwrap();
    let config = format!(
        "volume: {{ path: {}/files }}\nrunAs: \"{APP}:{APP}\"\nfiles: {{ s: \"{}\" }}\n",
        mount.display(),
        case.secret("s", "value")
    );
    let app = format!("cat {0}/files/s; grep -c ' {0}' /proc/self/mounts", mount.display());
    let run = case.with_config(&config).root().tmpfs(&mount, "mode=0755,size=1m").sh(&app);
    assert_eq!(run.output().ok(), "value1\n");
}

#[test]
fn the_next_start_replaces_the_generation() {
    let case = Case::new();
    one_file(&case, "").app(&["true"]).output().ok();
    let first = fs::read_link(case.volume().join("..data")).unwrap();
    let config = format!("files: {{ t: \"{}\" }}\n", case.secret("t", "other"));
    case.with_files(&config).app(&["true"]).output().ok();
    assert_ne!(fs::read_link(case.volume().join("..data")).unwrap(), first);
    assert_eq!(fs::read_to_string(case.volume().join("t")).unwrap(), "other");
    assert!(fs::symlink_metadata(case.volume().join("s")).is_err(), "a name that is no more is gone");
    assert!(generations(&case.volume()).len() <= 2);
}

#[test]
fn a_start_that_changes_nothing_writes_nothing() {
    let case = Case::new();
    one_file(&case, "").app(&["true"]).output().ok();
    let first = fs::read_link(case.volume().join("..data")).unwrap();
    one_file(&case, "").app(&["true"]).output().ok();
    assert_eq!(fs::read_link(case.volume().join("..data")).unwrap(), first);
}

#[test]
fn a_full_tmpfs_leaves_the_old_generation_whole() {
    needs_root!();
    let case = Case::new();
    let mount = case.path("mount");
    fs::create_dir(&mount).unwrap();
    own(&case.dir, 0); // root's volume is not below what another user may rearrange
    let config = |name: &str, secret: &str| {
        let text =
            format!("runAs: \"0\"\nvolume: {{ path: {}/files }}\nfiles: {{ s: \"{secret}\" }}\n", mount.display());
        case.write(name, text)
    };
    let small = config("small.yaml", &case.secret("small", "the old value"));
    let large = config("large.yaml", &case.secret("large", vec![b'x'; 400_000]));
    let text = format!(
        "mount -t tmpfs -o mode=0755,size=128k tmpfs {mount}\n\
         \"$0\" init --state {mount}/state --config {small}\n\
         \"$0\" init --state {mount}/state --config {large} || echo code=$?\n\
         cat {mount}/files/s; echo; ls -d {mount}/files/..2* | wc -l; df -k --output=used {mount} | tail -1",
        mount = mount.display(),
        small = small.display(),
        large = large.display(),
    );
    let outcome = script(Run::new(program()), &text).output();
    let said = outcome.ok();
    let lines: Vec<_> = said.lines().map(str::trim).collect();
    assert_eq!(&lines[..3], ["code=73", "the old value", "1"], "{outcome}");
    assert!(lines[3].parse::<u32>().unwrap() < 64, "the partial generation is still there: {outcome}");
    assert!(outcome.last_line().starts_with("secret-exec: "), "{outcome}");
    assert!(
        outcome.err().contains("full") || outcome.err().contains("space") || outcome.err().contains("size"),
        "{outcome}"
    );
}

#[test]
fn no_symlink_is_followed_into_somebody_elses_directory() {
    let case = Case::new();
    let elsewhere = case.memory.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    own(&elsewhere, APP);
    symlink(&elsewhere, case.volume()).unwrap();
    if is_root() {
        std::os::unix::fs::lchown(case.volume(), Some(STRANGER), Some(STRANGER)).unwrap();
    }
    case.refused(one_file(&case, ""), 73, &[case.volume().to_str().unwrap()]);
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
}

#[test]
fn a_foreign_file_is_never_overwritten() {
    let case = Case::new();
    fs::create_dir(case.volume()).unwrap();
    own(&case.volume(), APP);
    fs::set_permissions(case.volume(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    fs::write(case.volume().join("s"), "not ours").unwrap();
    case.refused(one_file(&case, ""), 73, &["s"]);
    assert_eq!(fs::read_to_string(case.volume().join("s")).unwrap(), "not ours");
}

#[test]
fn a_directory_that_others_may_write_is_refused() {
    let case = Case::new();
    fs::create_dir(case.volume()).unwrap();
    own(&case.volume(), APP);
    fs::set_permissions(case.volume(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    case.refused(one_file(&case, ""), 73, &[case.volume().to_str().unwrap()]);
}

#[test]
fn an_owner_we_may_not_set_is_refused() {
    needs_root!();
    for owner in ["34567:34567", "34567", ":34567", "0:0"] {
        let case = Case::new();
        let config = format!(
            "volume: {{ path: {}, owner: \"{owner}\" }}\nfiles: {{ s: \"{}\" }}\n",
            case.volume().display(),
            case.secret("s", "value")
        );
        case.refused(case.with_config(&config), 73, &["own|give", "root|user"]);
        let left: Vec<PathBuf> =
            fs::read_dir(case.volume()).into_iter().flatten().flatten().map(|e| e.path()).collect();
        assert!(!left.iter().any(|path| path.ends_with("s")), "{left:?}");
    }
}

#[test]
fn root_gives_the_files_to_their_owner_before_a_name_is_visible() {
    needs_root!();
    let case = Case::new();
    own(&case.memory, 0);
    let config = format!(
        "volume: {{ path: {}, owner: \"34567:64123\" }}\nrunAs: \"{APP}:{APP}\"\nfiles: {{ s: \"{}\" }}\n",
        case.volume().display(),
        case.secret("s", "value")
    );
    case.with_config(&config).root().app(&["true"]).output().ok();
    let path = fs::canonicalize(case.volume().join("s")).unwrap();
    assert_eq!((owner_of(&path), mode_of(&path)), ((34_567, 64_123), 0o400));
    assert_eq!(mode_of(path.parent().unwrap()), 0o500);
}

#[test]
fn a_reader_never_sees_a_generation_in_part() {
    let case = Case::new();
    let names: Vec<_> = (0..20).map(|number| format!("f{number}")).collect();
    let start = |round: u32| {
        let secret = case.secret("s", format!("round {round}"));
        let entries: Vec<_> = names.iter().map(|name| format!("{name}: \"{secret}\"")).collect();
        case.with_files(&format!("files: {{ {} }}\n", entries.join(", "))).command("init").output().ok();
    };
    start(0);
    let data = case.volume().join("..data");
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=20 {
                start(round);
            }
            done.store(true, std::sync::atomic::Ordering::Release);
        });
        let mut seen = 0;
        while !done.load(std::sync::atomic::Ordering::Acquire) {
            let generation = fs::canonicalize(&data).unwrap();
            let read: Result<Vec<_>, _> = names.iter().map(|name| fs::read_to_string(generation.join(name))).collect();
            // A reader that is 30 s late may find its generation gone; never half of it.
            if let Ok(values) = read {
                assert!(values.iter().all(|value| *value == values[0]), "{values:?}");
                seen += 1;
            }
        }
        assert!(seen > 0);
    });
}

/// What stands in a directory, with owners and modes: `stat` of every name in it and of itself.
fn snapshot(dir: &Path) -> Vec<(PathBuf, u32, (u32, u32))> {
    use std::os::unix::fs::MetadataExt;
    let mut found = vec![dir.to_owned()];
    let mut at = 0;
    while let Some(path) = found.get(at).cloned() {
        at += 1;
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            found.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    let mut all: Vec<_> = found
        .into_iter()
        .map(|path| {
            let meta = fs::symlink_metadata(&path).unwrap();
            (path, meta.mode() & 0o7777, (meta.uid(), meta.gid()))
        })
        .collect();
    all.sort();
    all
}

#[test]
fn a_directory_that_others_use_is_never_taken_over() {
    needs_root!();
    let case = Case::new();
    own(&case.memory, 0);
    let make = |name: &str, mode: u32| {
        let dir = case.memory.join(name);
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        dir
    };
    let run = make("run", 0o755);
    fs::create_dir(run.join("lock")).unwrap();
    fs::write(run.join("nginx.pid"), "1").unwrap();
    // A mount of the kubelet's has the same layout, and its generations are open to everybody.
    let kubelet = make("kubelet", 0o755);
    let generation = kubelet.join("..2026_11_21_23_13_46.123456789");
    fs::create_dir(&generation).unwrap();
    fs::write(generation.join("key"), "theirs").unwrap();
    symlink("..2026_11_21_23_13_46.123456789", kubelet.join("..data")).unwrap();
    symlink("..data/key", kubelet.join("key")).unwrap();
    let data = make("data", 0o750);
    fs::write(data.join("app.db"), "rows").unwrap();
    own(&data.join("app.db"), APP);
    let hidden = make("hidden", 0o711);
    fs::write(hidden.join(".keep"), "").unwrap();
    let link = make("link", 0o755);
    symlink("/etc/passwd", link.join("passwd")).unwrap();
    let secret = case.secret("s", "value");
    for dir in [&run, &kubelet, &data, &hidden, &link] {
        let before = snapshot(dir);
        let shown = dir.to_str().unwrap();
        for mode in [&[][..], &["--supervise"]] {
            let start = || case.run().root().args(&["--run-as", &format!("{APP}:{APP}")]).args(mode);
            let below = format!("{shown}/files");
            case.refused(start().args(&["--file", &format!("s={secret}"), "--volume", shown]), 73, &[shown, &below]);
            assert_eq!(snapshot(dir), before);
        }
        let start =
            |mode: &str| case.run().root().command(mode).args(&["--run-as", "0", "--file", &format!("s={secret}")]);
        for mode in ["init", "sidecar"] {
            start(mode).args(&["--volume", shown]).output().refused(73, &[shown, "files"]);
            assert_eq!(snapshot(dir), before);
        }
        let state = [&"--volume", &case.volume().to_str().unwrap(), &"--state", &shown].map(|arg| arg.to_string());
        let run = case.run_bare().root().command("sidecar").args(&["--run-as", "0", "--file", &format!("s={secret}")]);
        run.args(&state).output().refused(73, &[shown, "own"]);
        assert_eq!(snapshot(dir), before);
    }
}

#[test]
fn a_volume_of_ours_may_change_its_owner() {
    needs_root!();
    let case = Case::new();
    own(&case.memory, 0);
    let secret = case.secret("s", "value");
    for (id, file) in [("0", "s=".to_owned()), (&*format!("{APP}:{APP}"), "dir/s=".to_owned())] {
        let start = case.run().root().command("init").args(&["--run-as", id, "--volume"]).arg(case.volume());
        start.args(&["--file", &format!("{file}{secret}")]).output().ok();
    }
    assert_eq!(owner_of(&case.volume()), (APP, APP));
    assert_eq!(fs::read_to_string(case.volume().join("dir/s")).unwrap(), "value");
}

/// A sidecar with a state directory, in a mount namespace that `script` prepares; what it says until it has delivered.
fn with_state(case: &Case, prepare: &str, more: &str) -> Outcome {
    let text = format!(
        "{prepare}\n\"$0\" sidecar --run-as 0 --volume {volume} --file s={secret} {more} & pid=$!\n\
         while [ ! -e {volume}/s ] && kill -0 $pid 2>/dev/null; do sleep 0.05; done\n\
         [ -e {volume}/s ] && kill $pid; wait $pid",
        volume = case.volume().display(),
        secret = case.secret("s", "value")
    );
    Run::new(program()).root().within(&["unshare", "-m", "sh", "-c", &text]).output()
}

#[test]
fn a_state_directory_that_was_named_and_cannot_be_used_is_refused_and_the_default_costs_one_line() {
    needs_root!();
    let case = Case::new();
    own(&case.memory, 0);
    own(&case.dir, 0);
    let state = case.path("state-mount");
    fs::create_dir(&state).unwrap();
    let shown = state.to_str().unwrap();
    for (what, options, says) in [
        ("everybody may write there, and it is another user's", "mode=1777,uid=34567,size=1m", "everybody may write"),
        ("another user's", "mode=0700,uid=34567,size=1m", "belongs to user 34567"),
        ("no room for a name", "ro,mode=0755", "read-only"),
    ] {
        // A socket below a path of ours: the mount is made anew for each namespace.
        let mount = |path: &str| format!("mkdir -p {path}; mount -t tmpfs -o {options} tmpfs {path}");
        let named = if options.starts_with("ro") { format!("{shown}/own") } else { shown.to_owned() };
        let after = format!("; stat -c 'after %a' {shown}");
        let text = format!("{}{after}", mount(shown));
        let outcome = with_state(&case, &text, &format!("--state {named}"));
        outcome.refused(73, &[says]);
        let _ = fs::remove_dir_all(case.volume());

        let default = "mount -t tmpfs tmpfs /run; ".to_owned();
        let default = match options.starts_with("ro") {
            true => format!("{default}mount -o remount,ro /run"),
            false => format!("{default}{}", mount("/run/secret-exec-state")),
        };
        let outcome = with_state(&case, &default, "");
        assert_eq!(outcome.code(), Some(0), "{what}: {outcome}");
        assert_eq!(outcome.err().matches("no state directory").count(), 1, "{what}: {outcome}");
        let _ = fs::remove_dir_all(case.volume());
    }
}

/// A tmpfs of docker, or an emptyDir, named with `--state`.
#[test]
fn an_empty_mount_of_our_own_that_everybody_may_write_becomes_the_state_directory() {
    needs_root!();
    let case = Case::new();
    own(&case.memory, 0);
    own(&case.dir, 0);
    let state = "/run/state-mount";
    let mount = format!("mkdir -p {state}; mount -t tmpfs -o mode=1777,size=1m tmpfs {state}");
    let used = format!("{mount}; touch {state}/state.json");
    let below = format!("mount -t tmpfs tmpfs /run; mkdir -m 1777 {state}");
    for (prepare, code, after) in [(mount, 0, "after 700"), (used, 73, "after 1777"), (below, 73, "after 1777")] {
        let prepare = format!("mount -t tmpfs tmpfs /run; {prepare}; trap \"stat -c 'after %a' {state} >&2\" EXIT");
        let outcome = with_state(&case, &prepare, &format!("--state {state}"));
        assert_eq!(outcome.code(), Some(code), "{outcome}");
        assert!(outcome.err().contains(after), "{outcome}");
        assert_eq!(outcome.err().contains("everybody may write in /run/state-mount"), code == 73, "{outcome}");
        let _ = fs::remove_dir_all(case.volume());
    }
    // As the default, one of its own below it is enough.
    let state = "/run/secret-exec-state";
    let mount = format!("mount -t tmpfs tmpfs /run; mkdir {state}; mount -t tmpfs -o mode=1777,size=1m tmpfs {state}");
    let outcome = with_state(&case, &mount, "");
    assert_eq!((outcome.code(), outcome.err().contains("no state directory")), (Some(0), false), "{outcome}");
}
