//! Starts a child: fork, then only system calls up to execve; failures in the child are reported through a pipe.

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

/// The child's process group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// This process's group.
    Shared,
    /// A new group.
    Own,
    /// A new group, which becomes the foreground group of the terminal on standard input.
    Foreground,
}

/// The child's standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdin {
    /// The same as this process's.
    Inherited,
    /// `/dev/null`.
    Null,
}

/// A child to start. It gets the caller's original mask, dispositions, limits and descriptors.
#[derive(Debug, Clone, Copy)]
pub struct Spawn<'a> {
    /// The program to execute.
    pub image: &'a Image,
    /// The caller's original settings.
    pub original: &'a SavedSignalState,
    /// Its process group.
    pub group: Group,
    /// Its standard input.
    pub stdin: Stdin,
    /// The signal it gets when the thread that started it ends. Only for the main thread, which lives as long as
    /// this process.
    pub death_signal: Option<Signal>,
    /// Privileges that the child drops; `None` if this process has dropped them already.
    pub privileges: Option<&'a privilege::Plan>,
}

/// Why no child was started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// fork or the pipe failed.
    #[error("cannot start a process{}", hint(.0))]
    Fork(#[source] io::Error),
    /// A step in the child failed before execve.
    #[error("cannot prepare the process: {doing}")]
    Prepare {
        /// The step.
        doing: &'static str,
        /// The error.
        source: nix::Error,
    },
    /// Its privileges could not be dropped, or the drop could not be proven.
    #[error(transparent)]
    Privileges(#[from] PrivilegeError),
    /// The program could not be executed.
    #[error(transparent)]
    Exec(#[from] ExecError),
}

/// Advice for errors that come from limits; empty for others.
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

/// The step at which the child failed; sent through the pipe with an errno.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Group,
    Stdin,
    DeathSignal,
    Exec,
    Privileges(privilege::Step, privilege::StepError),
}

impl Spawn<'_> {
    /// Starts the child; returns once the program runs, or the reason why it does not. Other threads may exist: the
    /// child has a copy of the calling thread only, and takes no lock that another could hold.
    pub fn start(&self) -> Result<Pid, SpawnError> {
        let is_main_thread = unistd::gettid() == unistd::getpid();
        assert!(self.death_signal.is_none() || is_main_thread, "a child lives as long as the thread that started it");
        let (reader, writer) = unistd::pipe2(OFlag::O_CLOEXEC).map_err(|error| SpawnError::Fork(error.into()))?;
        let null = match self.stdin {
            Stdin::Inherited => None,
            Stdin::Null => Some(OwnedFd::from(File::open("/dev/null").map_err(SpawnError::Fork)?)),
        };
        let parent = unistd::getpid();
        // SAFETY: the child makes system calls only (`enter_child`), so a lock held by another thread cannot block
        // it.
        match unsafe { libc::fork() } {
            0 => self.enter_child(parent, null.as_ref().map(AsRawFd::as_raw_fd), writer.as_raw_fd()),
            child if child > 0 => {
                drop(writer);
                let child = Pid::from_raw(child);
                if self.group != Group::Shared {
                    // The child does the same, in any order. It may have executed already, which is no error.
                    let _set_by_child = unistd::setpgid(child, child);
                }
                self.started(child, reader)
            }
            _ => Err(SpawnError::Fork(io::Error::last_os_error())),
        }
    }

    /// Reads the child's report. A pipe that closes empty means that `execve` succeeded.
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

    /// The child's code between fork and execve: only system calls, without allocation, locks or panics.
    fn enter_child(&self, parent: Pid, null: Option<RawFd>, report: RawFd) -> ! {
        let (stage, errno) = self.prepare(parent, null).err().unwrap_or_else(|| {
            // From here on only execve can fail.
            self.image.write_own_pid();
            (Stage::Exec, exec::enter(self.image, self.original))
        });
        let bytes = encode(stage, errno);
        // SAFETY: writes local bytes; _exit runs no code of the parent.
        unsafe {
            libc::write(report, bytes.as_ptr().cast(), bytes.len());
            libc::_exit(127)
        }
    }

    /// Process group, terminal, standard input, privileges and death signal of the child.
    fn prepare(&self, parent: Pid, null: Option<RawFd>) -> Result<(), (Stage, nix::Error)> {
        if self.group != Group::Shared {
            unistd::setpgid(Pid::from_raw(0), Pid::from_raw(0)).map_err(|errno| (Stage::Group, errno))?;
        }
        if self.group == Group::Foreground {
            // A terminal that has gone (ENOTTY, EIO) is ignored. SIGTTOU is blocked here.
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
            // The parent may have ended before the signal was set.
            if unistd::getppid() != parent {
                return Err((Stage::DeathSignal, nix::Error::ESRCH));
            }
        }
        Ok(())
    }
}

/// The report: stage and errno as two native 32-bit numbers.
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

/// Decodes a report; `None` if it is malformed.
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
