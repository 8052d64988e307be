//! Why a drop of privileges fails or is not proven, and the steps of the drop and of its proof.

use std::fmt;

/// Why supplementary groups cannot be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// CAP_SETGID is missing.
    Capability,
    /// `/proc/self/setgroups` is `deny`.
    Namespace,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Capability => "CAP_SETGID is missing",
            Self::Namespace => "this user namespace does not allow setgroups",
        })
    }
}

/// Why a drop of privileges fails or is not proven.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrivilegeError {
    /// The plan needs a capability that this process does not have.
    #[error("cannot change {what} from {from} to {to}: {capability} is missing")]
    Missing {
        /// `the user`, `the group` or `the supplementary groups`.
        what: &'static str,
        /// The present value.
        from: String,
        /// The required value.
        to: String,
        /// The missing capability.
        capability: &'static str,
    },
    /// An id that is not mapped in this user namespace.
    #[error(
        "cannot change {what} to {id}, which this user namespace does not have (a rootless container has those of \
         /etc/subuid and /etc/subgid)"
    )]
    Unmapped {
        /// `the user`, `the group` or `a supplementary group`.
        what: &'static str,
        /// The id.
        id: u32,
    },
    /// Root's group would stay with an identity that does not include it.
    #[error(
        "cannot drop the supplementary group 0, which is root's: {obstacle}; start without it (supplementalGroups, \
         --group-add), start as root, or leave runAs out, which keeps every group"
    )]
    RootGroup {
        /// Why groups cannot be dropped.
        obstacle: Obstacle,
    },
    /// More groups than the kernel permits.
    #[error("a process cannot have {0} groups (65536 are the most); USER:GROUP takes that group alone")]
    TooManyGroups(usize),
    /// There are other threads, which would keep their capabilities: those belong to a thread.
    #[error("cannot drop privileges while there are other threads")]
    NotAlone,
    /// The threads cannot be counted.
    #[error("cannot tell whether this is the only thread: /proc is not mounted")]
    Uncounted(#[source] nix::Error),
    /// A system call failed.
    #[error("cannot {step}")]
    Failed {
        /// The step.
        step: Step,
        /// The error.
        source: nix::Error,
    },
    /// After the drop, something was not as planned.
    #[error("the drop of privileges is not proven: could not {step}")]
    Unproven {
        /// The failed check.
        step: Step,
    },
}

impl PrivilegeError {
    /// The error of a failed step.
    pub(in crate::sys) fn from_step(step: Step, fault: StepError) -> Self {
        match fault {
            StepError::Wrong => Self::Unproven { step },
            StepError::Errno(source) => Self::Failed { step, source },
        }
    }
}

macro_rules! steps {
    ($($step:ident $text:literal,)*) => {
        /// One step of the drop or of its proof; its text continues "cannot" or "could not".
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Step {
            $(#[doc = $text] $step,)*
        }

        impl Step {
            pub(in crate::sys) const ALL: [Self; [$(Self::$step),*].len()] = [$(Self::$step),*];
        }

        impl fmt::Display for Step {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$step => $text,)* })
            }
        }
    };
}

steps! {
    ClearBounding "empty the bounding set",
    ClearAmbient "empty the ambient capabilities",
    SetGroups "set the supplementary groups",
    SetGid "set the group",
    SetUid "set the user",
    ClearCapabilities "empty the capabilities",
    NoNewPrivs "forbid new privileges",
    NotDumpable "become not dumpable",
    ReadUids "read the user back as planned",
    ReadGids "read the group back as planned",
    ReadGroups "read the supplementary groups back as planned",
    ReadCapabilities "read the capabilities back as empty",
    ReadAmbient "read the ambient capabilities back as empty",
    ReadBounding "read the bounding set back as empty",
    ReadNoNewPrivs "read no-new-privs back as set",
    ReadDumpable "read back that we are not dumpable",
    RegainUid "be refused another user",
    RegainGid "be refused another group",
    RegainGroups "be refused other supplementary groups",
    ReadStatus "find the same in /proc/self/status",
}

/// What went wrong in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sys) enum StepError {
    /// The state is not as planned.
    Wrong,
    /// The system call failed.
    Errno(nix::Error),
}

impl From<nix::Error> for StepError {
    fn from(errno: nix::Error) -> Self {
        Self::Errno(errno)
    }
}
