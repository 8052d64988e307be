//! All files change at once: for readers, on a full file system, and whenever the writer is killed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use secret_exec::deliver::{Ownership, VolumeError, prepare};

use super::support::*;

#[test]
fn a_full_tmpfs_leaves_the_old_generation_whole() {
    let Some(dir) = stage("a_full_tmpfs_leaves_the_old_generation_whole") else { return };
    let memory = dir.path().join("run");
    tmpfs(&memory, "mode=0755,size=64k");
    let path = memory.join("files");
    let mut volume = prepare(&plan(&path, Some(APP), None)).unwrap();
    volume.write(&numbered(1), at(0)).unwrap();
    let before = names(&path);
    let mut large = numbered(2);
    large.push(file("large", &"x".repeat(100_000)));
    let error = volume.write(&large, at(1)).unwrap_err();
    assert_eq!(error, VolumeError::Full { path: path.clone(), needed: 4 * 4096 + 25 * 4096, size: Some(65_536) });
    assert_eq!((names(&path), whole(&path)), (before, 1), "nothing of the new one stays");
    volume.write(&numbered(2), at(2)).unwrap();
    assert_eq!(whole(&path), 2);
}

#[test]
fn running_out_of_room_at_any_step_leaves_the_old_generation_whole() {
    let Some(dir) = stage("running_out_of_room_at_any_step_leaves_the_old_generation_whole") else { return };
    // Every folder, file and link takes an inode, so each limit ends the second delivery at another step.
    let mut outcomes = Vec::new();
    for inodes in 2..40 {
        let memory = dir.path().join(format!("run{inodes}"));
        tmpfs(&memory, &format!("mode=0755,nr_inodes={inodes}"));
        let path = memory.join("files");
        let mut volume = match prepare(&plan(&path, None, None)) {
            Ok(volume) => volume,
            Err(error) => {
                assert!(error.to_string().contains("or no inode"), "{error}");
                continue;
            }
        };
        let first = volume.write(&numbered(1), at(0));
        if first.is_err() {
            assert!(names(&path).is_empty(), "{inodes} inodes: {:?}", names(&path));
            continue;
        }
        let before = names(&path);
        match volume.write(&numbered(2), at(1)) {
            Ok(_) => assert_eq!(whole(&path), 2),
            Err(error) => {
                assert!(matches!(error, VolumeError::NoInodes(_)), "{error}");
                assert_eq!((whole(&path), names(&path)), (1, before), "{inodes} inodes");
                outcomes.push(inodes);
            }
        }
    }
    assert!(outcomes.len() > 8, "the limits were not where the steps are: {outcomes:?}");
}

/// What a reader has done so far.
#[derive(Debug, Default)]
struct Seen {
    sets: AtomicU32,
    changes: AtomicU32,
    done: AtomicBool,
}

/// Reads whole sets, each through one open of `..data`, and single files through their names.
fn read_until_done(path: &Path, seen: &Seen) {
    let mut last = 0;
    while !seen.done.load(Ordering::Relaxed) {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let data = nix::fcntl::open(&path.join("..data"), flags, Mode::empty()).unwrap();
        let number = whole(&PathBuf::from(format!("/proc/self/fd/{}", data.as_raw_fd())));
        assert!(number >= last, "time went back: {number} after {last}");
        seen.changes.fetch_add(u32::from(number != last), Ordering::Relaxed);
        last = number;
        for name in ["user", "password", "sub/deep/key"] {
            let single: u32 = fs::read_to_string(path.join(name)).unwrap().parse().unwrap();
            assert!(single >= last, "{name} went back: {single} after {last}");
        }
        seen.sets.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_reader_never_sees_two_generations_mixed() {
    let dir = Shm::new();
    let path = dir.path().join("files");
    let mut volume = prepare(&plan(&path, None, None)).unwrap();
    volume.write(&numbered(1), at(0)).unwrap();
    let seen = Seen::default();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| read_until_done(&path, &seen));
        let started = Instant::now();
        let mut number = 1;
        let is_enough = || seen.sets.load(Ordering::Relaxed) >= 500 && seen.changes.load(Ordering::Relaxed) >= 100;
        while !reader.is_finished() && !is_enough() && started.elapsed() < Duration::from_secs(60) {
            number += 1;
            // The real age of a generation counts: a reader may be in the middle of one for up to 30 s.
            let now = at(u64::try_from(started.elapsed().as_millis()).unwrap());
            volume.write(&numbered(number), now).unwrap();
            volume.sweep(now).unwrap();
        }
        seen.done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
        assert!(is_enough(), "{seen:?}");
    });
    // A turn removes some thousand names; the next one is due a second later.
    for turn in 0..100 {
        volume.sweep(at(100_000 + turn * 1000)).unwrap();
    }
    assert_eq!(names(&path).iter().filter(|name| is_generation(name)).count(), 1);
}

#[test]
fn a_reader_sees_a_whole_set_whenever_the_writer_is_killed() {
    let dir = Shm::new();
    let path = dir.path().join("files");
    prepare(&plan(&path, None, None)).unwrap().write(&numbered(1), at(0)).unwrap();
    let (mut last, mut amid, mut round) = (1, 0, 0_u32);
    while round < 40 || amid < 10 {
        round += 1;
        assert!(round < 1000, "the kills fell beside the writing");
        let mut child = writer_command(&path, Ownership::default(), (last + 1, u32::MAX - 1))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // From when it starts to deliver, a little later each round: the kill falls at another step each time.
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while line.trim() != "PREPARED" {
            line.clear();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "the writer ended");
        }
        let until = Instant::now() + Duration::from_micros(u64::from(round) * 37);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        let number = whole(&path.join("..data"));
        assert!(number >= last, "{number} after {last}");
        amid += u32::from(number > last);
        last = number;
        recovers(&path, &mut last);
    }
}

/// The stable names.
fn shown(path: &Path) -> Vec<String> {
    names(path).into_iter().filter(|name| !name.starts_with("..")).collect()
}

fn first_components(number: u32) -> Vec<String> {
    let set = numbered(number);
    let mut names: Vec<_> = set.iter().map(|file| file.name.components().next().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// What a start after a kill owes: no leftovers, and the next delivery complete under every name.
fn recovers(path: &Path, last: &mut u32) {
    let mut volume = prepare(&plan(path, None, None)).unwrap();
    let own: Vec<_> = names(path).into_iter().filter(|name| name.starts_with("..") && name != "..data").collect();
    assert!(own.len() <= 1 && own.iter().all(|name| is_generation(name)), "{own:?}");
    *last += 1;
    volume.write(&numbered(*last), at(u64::from(*last))).unwrap();
    assert_eq!(whole(path), *last);
    assert_eq!(shown(path), first_components(*last), "no stale name stays");
}

/// The same at every single call: strace(1) kills the writer when it enters its n-th one.
#[test]
fn a_reader_sees_a_whole_set_at_whichever_call_the_writer_is_killed() {
    let name = "a_reader_sees_a_whole_set_at_whichever_call_the_writer_is_killed";
    let dir = Shm::new();
    let path = dir.path().join("files");
    prepare(&plan(&path, None, None)).unwrap().write(&numbered(1), at(0)).unwrap();
    let mut last = 1;
    let calls = [
        ("mkdirat", 4),
        ("write", 4),
        ("fchmod", 4), // folders; a file has its mode from the start
        ("symlinkat", 2),
        ("renameat", 1),
        ("renameat2", 1),
        ("unlinkat", 1),
    ];
    for (call, least) in calls {
        let mut killed = 0;
        for nth in 1.. {
            let inner = writer_command(&path, Ownership::default(), (last + 1, last + 1));
            let mut strace = Command::new("strace");
            strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
            strace.args(["-e", &format!("inject={call}:signal=KILL:when={nth}")]);
            strace.arg(inner.get_program()).args(inner.get_args());
            for (name, value) in inner.get_envs() {
                strace.env(name, value.unwrap());
            }
            let Ok(output) = strace.stdin(Stdio::null()).output() else {
                skip::<()>(name, "no strace");
                return;
            };
            if !output.stderr.is_empty() && nth == 1 {
                skip::<()>(name, &String::from_utf8_lossy(&output.stderr));
                return;
            }
            let number = whole(&path.join("..data"));
            assert!((last..=last + 1).contains(&number), "{call} {nth}: {number} after {last}");
            if number == last {
                assert_eq!(
                    shown(&path),
                    first_components(last),
                    "{call} {nth}: before the flip, exactly the old names"
                );
            }
            last = number;
            recovers(&path, &mut last);
            if output.status.success() {
                break;
            }
            killed += 1;
        }
        assert!(killed >= least, "{call}: killed at {killed} calls only");
    }
}
