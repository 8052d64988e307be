//! Starting a child: fork, the way into it made of system calls only, and its failures told through a pipe.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use nix::fcntl::OFlag;
use nix::unistd::{self, Pid};

use super::exec::{self, ExecError};
use super::harden::SavedSignalState;
use super::image::Image;
use super::privilege::{self, PrivilegeError};
use super::signals::Signal;
use super::wait;

/// Which process group the child lives in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Ours.
    Shared,
    /// One of its own.
    Own,
    /// One of its own, which gets the terminal on standard input.
    Foreground,
}

/// What the child reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdin {
    /// What we would.
    Inherited,
    /// Nothing.
    Null,
}

/// A child to be started. It gets the caller's mask, dispositions, limits and descriptors back.
#[derive(Debug, Clone, Copy)]
pub struct Spawn<'a> {
    /// What is executed.
    pub image: &'a Image,
    /// What the caller gave us.
    pub original: &'a SavedSignalState,
    /// Its process group.
    pub group: Group,
    /// Its standard input.
    pub stdin: Stdin,
    /// What it gets when the thread that started it ends: only the main thread, which lives as long as we do, may.
    pub death_signal: Option<Signal>,
    /// Privileges it drops on its way; `None` when we have dropped them ourselves.
    pub privileges: Option<&'a privilege::Plan>,
}

/// Why there is no child.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// No process, or no pipe.
    #[error("cannot start a process{}", hint(.0))]
    Fork(#[source] io::Error),
    /// A step on the way failed.
    #[error("cannot prepare the process: {doing}")]
    Prepare {
        /// Which.
        doing: &'static str,
        /// Why.
        source: nix::Error,
    },
    /// Its privileges could not be dropped, or the drop could not be proven.
    #[error(transparent)]
    Privileges(#[from] PrivilegeError),
    /// The program could not be executed.
    #[error(transparent)]
    Exec(#[from] ExecError),
}

/// What to do about the reasons that limits have.
fn hint(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EAGAIN) => {
            ": the limit on processes is reached; raise the container's pids limit, or ulimit -u of the user"
        }
        Some(libc::EMFILE | libc::ENFILE) => ": the limit on open files is reached; raise ulimit -n",
        Some(libc::ENOMEM) => ": there is no memory left for it",
        _ => "",
    }
}

/// Where the child's way ended; with an errno it goes through the pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Group,
    Stdin,
    DeathSignal,
    Exec,
    Privileges(privilege::Step, privilege::StepError),
}

impl Spawn<'_> {
    /// Starts it; returns when the program runs, or with the reason why it does not. Other threads may be alive: the
    /// child has a copy of this one only, and touches no lock one of them could have held.
    pub fn start(&self) -> Result<Pid, SpawnError> {
        let is_main_thread = unistd::gettid() == unistd::getpid();
        assert!(self.death_signal.is_none() || is_main_thread, "a child lives as long as the thread that started it");
        let (reader, writer) = unistd::pipe2(OFlag::O_CLOEXEC).map_err(|error| SpawnError::Fork(error.into()))?;
        let null = match self.stdin {
            Stdin::Inherited => None,
            Stdin::Null => Some(OwnedFd::from(File::open("/dev/null").map_err(SpawnError::Fork)?)),
        };
        let parent = unistd::getpid();
        // SAFETY: the child makes system calls only (`enter_child`), so no lock another thread held can block it.
        match unsafe { libc::fork() } {
            0 => self.enter_child(parent, null.as_ref().map(AsRawFd::as_raw_fd), writer.as_raw_fd()),
            child if child > 0 => {
                drop(writer);
                let child = Pid::from_raw(child);
                if self.group != Group::Shared {
                    // The child does the same; whoever is first. It may have executed already, which is no error.
                    let _set_by_child = unistd::setpgid(child, child);
                }
                self.started(child, reader)
            }
            _ => Err(SpawnError::Fork(io::Error::last_os_error())),
        }
    }

    /// An empty pipe that closes says that `execve` happened.
    fn started(&self, child: Pid, reader: OwnedFd) -> Result<Pid, SpawnError> {
        let mut report = Vec::new();
        let is_read = File::from(reader).read_to_end(&mut report);
        if is_read.is_ok() && report.is_empty() {
            return Ok(child);
        }
        wait::reap(child);
        let (stage, errno) = decode(&report).ok_or_else(|| SpawnError::Fork(io::ErrorKind::UnexpectedEof.into()))?;
        Err(match stage {
            Stage::Exec => ExecError::from_errno(errno, self.image.path().exists()).into(),
            Stage::Privileges(step, fault) => PrivilegeError::from_step(step, fault).into(),
            Stage::Group => SpawnError::Prepare { doing: "its process group", source: errno },
            Stage::Stdin => SpawnError::Prepare { doing: "its standard input", source: errno },
            Stage::DeathSignal => SpawnError::Prepare { doing: "its end together with ours", source: errno },
        })
    }

    /// Between fork and execve: system calls only, nothing that allocates, locks or panics.
    fn enter_child(&self, parent: Pid, null: Option<RawFd>, report: RawFd) -> ! {
        let (stage, errno) = self.prepare(parent, null).err().unwrap_or_else(|| {
            // From here on only execve can fail.
            self.image.write_own_pid();
            (Stage::Exec, exec::enter(self.image, self.original))
        });
        let bytes = encode(stage, errno);
        // SAFETY: writes bytes of ours; _exit runs nothing of the parent's.
        unsafe {
            libc::write(report, bytes.as_ptr().cast(), bytes.len());
            libc::_exit(127)
        }
    }

    fn prepare(&self, parent: Pid, null: Option<RawFd>) -> Result<(), (Stage, nix::Error)> {
        if self.group != Group::Shared {
            unistd::setpgid(Pid::from_raw(0), Pid::from_raw(0)).map_err(|errno| (Stage::Group, errno))?;
        }
        if self.group == Group::Foreground {
            // A terminal that went away (ENOTTY, EIO) is no reason not to start. SIGTTOU is blocked here.
            // SAFETY: no memory is touched.
            unsafe { libc::tcsetpgrp(libc::STDIN_FILENO, libc::getpid()) };
        }
        if let Some(null) = null {
            // SAFETY: both are descriptors; dup2 leaves close-on-exec off.
            let answer = unsafe { libc::dup2(null, libc::STDIN_FILENO) };
            nix::Error::result(answer).map_err(|errno| (Stage::Stdin, errno))?;
        }
        if let Some(plan) = self.privileges {
            privilege::drop_in_child(plan)
                .map_err(|(step, fault)| (Stage::Privileges(step, fault), nix::Error::UnknownErrno))?;
        }
        if let Some(signal) = self.death_signal {
            // After the change of uid, which clears it.
            // SAFETY: no memory is touched.
            let answer = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::c_ulong::from(signal.number())) };
            nix::Error::result(answer).map_err(|errno| (Stage::DeathSignal, errno))?;
            // The parent may have ended before it was set.
            if unistd::getppid() != parent {
                return Err((Stage::DeathSignal, nix::Error::ESRCH));
            }
        }
        Ok(())
    }
}

fn encode(stage: Stage, errno: nix::Error) -> [u8; 8] {
    let (stage, errno) = match stage {
        Stage::Group => (0, errno as i32),
        Stage::Stdin => (1, errno as i32),
        Stage::DeathSignal => (2, errno as i32),
        Stage::Exec => (3, errno as i32),
        Stage::Privileges(step, privilege::StepError::Wrong) => (0x100 | step as u32, 0),
        Stage::Privileges(step, privilege::StepError::Errno(errno)) => (0x100 | step as u32, errno as i32),
    };
    let ([a, b, c, d], [e, f, g, h]) = (stage.to_ne_bytes(), errno.to_ne_bytes());
    [a, b, c, d, e, f, g, h]
}

fn decode(report: &[u8]) -> Option<(Stage, nix::Error)> {
    let (stage, errno) = report.split_at_checked(4)?;
    let stage = u32::from_ne_bytes(stage.try_into().ok()?);
    let number = i32::from_ne_bytes(errno.try_into().ok()?);
    let errno = nix::Error::from_raw(number);
    let stage = match stage {
        0 => Stage::Group,
        1 => Stage::Stdin,
        2 => Stage::DeathSignal,
        3 => Stage::Exec,
        other => {
            let step = privilege::Step::ALL.into_iter().find(|step| other == 0x100 | *step as u32)?;
            let fault = if number == 0 { privilege::StepError::Wrong } else { privilege::StepError::Errno(errno) };
            Stage::Privileges(step, fault)
        }
    };
    Some((stage, errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let errno = nix::Error::EPERM;
        for stage in [Stage::Group, Stage::Stdin, Stage::DeathSignal, Stage::Exec] {
            assert_eq!(decode(&encode(stage, errno)), Some((stage, errno)));
        }
        for step in privilege::Step::ALL {
            for fault in [privilege::StepError::Wrong, privilege::StepError::Errno(errno)] {
                let stage = Stage::Privileges(step, fault);
                assert_eq!(decode(&encode(stage, errno)).map(|(stage, _)| stage), Some(stage));
            }
        }
        assert_eq!(decode(b"short"), None);
    }
}
