//! Finds the process to notify when the app is not our child: the oldest process of a given name, from a sidecar.
//!
//! Only processes of our own user in our own PID namespace count, and neither we nor our children.

use std::io;
use std::os::unix::ffi::OsStrExt as _;

use crate::sys::Pid;
use crate::sys::pidfd::ProcessHandle;
use crate::sys::proc::{self, Owner, Stat};
use crate::sys::signals::Signal;

/// How often the search is repeated when the process that was found ended meanwhile.
const ATTEMPTS: usize = 5;

/// Why no process was signalled.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// There is no process of that name.
    #[error(
        "no process named {name} runs as uid {uid} in this PID namespace: does the pod have shareProcessNamespace, and \
         the app run?"
    )]
    Nobody {
        /// The name.
        name: String,
        /// Our uid.
        uid: u32,
    },
    /// There is one, but it runs as another user.
    #[error(
        "{name} runs as uid {theirs} and cannot be signalled by uid {uid}: both have to be the same user ({})",
        way(*theirs)
    )]
    OtherUser {
        /// The name.
        name: String,
        /// Our uid.
        uid: u32,
        /// Its uid.
        theirs: u32,
    },
    /// Each process that was found ended before it could be signalled.
    #[error("every process named {name} ended before it could be signalled")]
    Vanished {
        /// The name.
        name: String,
    },
    /// The kernel refused to send the signal.
    #[error("cannot send {signal} to {name} (pid {pid})")]
    Refused {
        /// The name searched for.
        name: String,
        /// The process.
        pid: Pid,
        /// The signal.
        signal: Signal,
        /// The error of the call.
        source: io::Error,
    },
    /// `/proc` cannot be read.
    #[error("cannot look for the process {name} in /proc")]
    NoProc {
        /// The name.
        name: String,
        /// Why.
        source: io::Error,
    },
}

/// How to make both run as the same user.
fn way(theirs: u32) -> &'static str {
    match theirs {
        0 => {
            "run it as another user than root, with runAs the same, or wrap it with --supervise --run-as 0, or use http:URL"
        }
        _ => "runAs",
    }
}

/// Sends `signal` to the oldest process named `name`, and returns its process ID.
///
/// A process's name is its `comm` (as for `pgrep`), or the file name of its program or of its first argument.
pub fn signal_oldest(name: &str, signal: Signal) -> Result<Pid, FindError> {
    let searcher = Searcher::now();
    for _ in 0..ATTEMPTS {
        let pids = proc::pids().map_err(|source| FindError::NoProc { name: name.to_owned(), source })?;
        let seen: Vec<Seen> = pids.into_iter().filter_map(Seen::read).filter(|seen| seen.has_name(name)).collect();
        let found = choose(&seen, searcher, name)?;
        // Open a pidfd and check again: from here on the process ID cannot be reused.
        let Ok(process) = ProcessHandle::open(found.pid) else { continue };
        let is_same = Seen::read(found.pid).is_some_and(|again| {
            again.stat.started == found.stat.started && again.has_name(name) && searcher.may_signal(&again)
        });
        if !is_same {
            continue;
        }
        match process.send(signal) {
            Ok(()) => return Ok(found.pid),
            Err(error) if error.raw_os_error() == Some(nix::Error::ESRCH as i32) => {}
            Err(source) => return Err(FindError::Refused { name: name.to_owned(), pid: found.pid, signal, source }),
        }
    }
    Err(FindError::Vanished { name: name.to_owned() })
}

/// The process that searches: we.
#[derive(Debug, Clone, Copy)]
struct Searcher {
    pid: Pid,
    uid: u32,
}

impl Searcher {
    fn now() -> Self {
        Self { pid: nix::unistd::getpid(), uid: nix::unistd::geteuid().as_raw() }
    }

    /// Whether the process is alive, in our PID namespace, and neither we nor one of our hooks.
    fn is_candidate(self, seen: &Seen) -> bool {
        let is_us = seen.pid == self.pid || seen.stat.parent == self.pid;
        !is_us && !seen.stat.is_over && !seen.owner.is_nested
    }

    /// Whether we may signal the process: also, all its uids are equal to our uid.
    fn may_signal(self, seen: &Seen) -> bool {
        self.is_candidate(seen) && seen.owner.uids == [self.uid; 4]
    }
}

/// A process, as read from /proc.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    pid: Pid,
    stat: Stat,
    owner: Owner,
    /// The file names of its program and of its first argument.
    files: [Option<Vec<u8>>; 2],
}

impl Seen {
    /// Reads a process; `None` when it has ended.
    fn read(pid: Pid) -> Option<Self> {
        let program = proc::program(pid).map(|path| path.into_os_string());
        let program = program.as_ref().and_then(|path| file_name(path.as_bytes()));
        // An argument with a space is a title that the process has set itself.
        let first = proc::first_argument(pid).filter(|first| !first.contains(&b' '));
        let first = first.as_ref().and_then(|first| file_name(first));
        Some(Self { pid, stat: Stat::read(pid)?, owner: Owner::read(pid)?, files: [program, first] })
    }

    /// Whether the process has this name.
    fn has_name(&self, name: &str) -> bool {
        self.stat.name == name.as_bytes() || self.files.iter().flatten().any(|file| file == name.as_bytes())
    }
}

/// The last component of a path.
fn file_name(path: &[u8]) -> Option<Vec<u8>> {
    // The kernel appends this to the path of a program that was replaced on disk.
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    let name = path.rsplit(|byte| *byte == b'/').next()?;
    (!name.is_empty()).then(|| name.to_vec())
}

/// The oldest of these processes that we may signal. Of two that started in the same tick, the one that is no child of
/// another.
fn choose<'a>(seen: &'a [Seen], searcher: Searcher, name: &str) -> Result<&'a Seen, FindError> {
    let is_child = |one: &Seen| seen.iter().any(|other| other.pid == one.stat.parent);
    let candidates = seen.iter().filter(|seen| searcher.may_signal(seen));
    candidates.min_by_key(|seen| (seen.stat.started, is_child(seen), seen.pid)).ok_or_else(|| {
        let (name, uid) = (name.to_owned(), searcher.uid);
        match seen.iter().find(|seen| searcher.is_candidate(seen)) {
            Some(other) => FindError::OtherUser { name, uid, theirs: other.owner.uids[1] },
            None => FindError::Nobody { name, uid },
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEARCHER: Searcher = Searcher { pid: Pid::from_raw(5), uid: 1000 };

    fn seen(pid: i32, parent: i32, started: u64, uid: u32) -> Seen {
        let stat = Stat { name: b"nginx".to_vec(), is_over: false, parent: Pid::from_raw(parent), started };
        let owner = Owner { uids: [uid; 4], is_nested: false };
        Seen { pid: Pid::from_raw(pid), stat, owner, files: [None, None] }
    }

    fn chosen(seen: &[Seen]) -> Result<i32, String> {
        choose(seen, SEARCHER, "nginx").map(|seen| seen.pid.as_raw()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_oldest_is_chosen_and_a_parent_before_its_child() {
        assert_eq!(chosen(&[seen(9, 1, 70, 1000), seen(30, 1, 50, 1000), seen(8, 1, 60, 1000)]), Ok(30));
        assert_eq!(chosen(&[seen(8, 900, 50, 1000), seen(900, 1, 50, 1000)]), Ok(900), "numbers began anew");
        assert_eq!(chosen(&[seen(9, 1, 50, 1000), seen(8, 1, 50, 1000)]), Ok(8));
    }

    #[test]
    fn decoys_are_not_chosen() {
        let zombie = Seen { stat: Stat { is_over: true, ..seen(7, 1, 1, 1000).stat }, ..seen(7, 1, 1, 1000) };
        let mixed = Seen { owner: Owner { uids: [1000, 0, 1000, 1000], is_nested: false }, ..seen(7, 1, 2, 1000) };
        let nested = Seen { owner: Owner { uids: [1000; 4], is_nested: true }, ..seen(7, 1, 3, 1000) };
        let decoys = [zombie, mixed, nested, seen(6, 1, 4, 0), seen(5, 1, 5, 1000), seen(6, 5, 6, 1000)];
        let all = [&decoys[..], &[seen(40, 1, 99, 1000)]].concat();
        assert_eq!(chosen(&all), Ok(40));
    }

    #[test]
    fn what_was_not_found_is_said() {
        assert!(chosen(&[]).unwrap_err().contains("no process named nginx runs as uid 1000 in this PID namespace"));
        assert!(chosen(&[seen(5, 1, 5, 1000), seen(6, 5, 6, 1000)]).unwrap_err().contains("shareProcessNamespace"));
        assert!(chosen(&[seen(6, 1, 4, 101)]).unwrap_err().starts_with("nginx runs as uid 101 "));
    }

    #[test]
    fn a_name_is_that_of_the_process_its_program_or_its_first_argument() {
        let process =
            Seen { files: [file_name(b"/usr/bin/python3 (deleted)"), file_name(b"app.py")], ..seen(7, 1, 1, 1) };
        for name in ["nginx", "python3", "app.py"] {
            assert!(process.has_name(name), "{name}");
        }
        for name in ["ngin", "nginxx", "python", "bin", ""] {
            assert!(!process.has_name(name), "{name}");
        }
        assert_eq!(file_name(b"/"), None);
    }

    #[test]
    fn nobody_has_a_name_that_nobody_has() {
        let error = signal_oldest("no-such-name-1", Signal::CONT).unwrap_err();
        assert!(matches!(error, FindError::Nobody { .. }), "{error}");
    }
}
