//! The modes: how secrets reach the app, and the one table of what each mode cannot do and what works instead.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How the program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// In a container beside the app's; keeps its files fresh.
    Sidecar,
    /// Runs once, in an init container before the app starts.
    Init,
    /// Fetches, then replaces itself with the app (execve).
    Exec,
    /// Stays as the app's parent process.
    Supervise,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 4] = [Self::Sidecar, Self::Init, Self::Exec, Self::Supervise];

    /// The mode's name in configs and annotations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sidecar => "sidecar",
            Self::Init => "init",
            Self::Exec => "exec",
            Self::Supervise => "supervise",
        }
    }

    /// The mode with that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// Whether the mode starts the app's command.
    pub fn wraps(self) -> bool {
        matches!(self, Self::Exec | Self::Supervise)
    }

    /// The limit that forbids `feature` in this mode; `None` if it is supported.
    pub fn limit(self, feature: Feature) -> Option<&'static Limit> {
        LIMITS.iter().find(|limit| limit.feature == feature && limit.modes.contains(&self))
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A feature that a configuration may use and that not every mode has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// `env` and `envFrom`.
    Environment,
    /// `onExpired: stop`.
    StopWhenExpired,
    /// Any `onChange`.
    OnChange,
    /// `onChange: restart`.
    Restart,
    /// `onChange: signal` without the name of a process.
    SignalChild,
    /// `onChange: signal` with the name of a process.
    SignalProcess,
    /// `refresh`.
    Refresh,
    /// `metrics`.
    Metrics,
    /// `onExpired`.
    OnExpired,
    /// `revokeDelay`.
    RevokeDelay,
    /// `inherit`.
    Inherit,
    /// `scrubAws`.
    ScrubAws,
    /// `leaveLeases`.
    LeaveLeases,
}

/// A row of the table: a feature, the modes without it, and the messages about that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The feature.
    pub feature: Feature,
    /// The option as a config writes it.
    pub option: &'static str,
    /// The modes without the feature.
    pub modes: &'static [Mode],
    /// The program's error, which names flags; `None`: the option is accepted and has no effect.
    pub program: Option<&'static str>,
    /// The message of the admission webhook, which names annotations: `{mode}`, `{file}` and the like are replaced
    /// by annotation keys, `{name}` by the mode's name.
    pub pod: &'static str,
}

use Mode::{Exec, Init, Sidecar, Supervise};

const NEEDS_STAY: &str =
    "needs a process that stays: it does nothing in mode {name}, only with {mode}: sidecar or supervise";
const NEEDS_APP: &str =
    "is about the app's own environment: it does nothing in mode {name}, only with {mode}: exec or supervise";

/// What each mode cannot do.
pub const LIMITS: &[Limit] = &[
    Limit {
        feature: Feature::Environment,
        option: "env, envFrom",
        modes: &[Sidecar, Init],
        program: Some(
            "a container cannot set another container's environment; write a file, or wrap the command (secret-exec … -- COMMAND)",
        ),
        pod: "a container cannot set another container's environment; use {file}, or {mode}: exec or supervise",
    },
    Limit {
        feature: Feature::StopWhenExpired,
        option: "onExpired: stop",
        modes: &[Sidecar, Init, Exec],
        program: Some("stop needs --supervise: only its parent can stop the app"),
        pod: "stop needs {mode}: supervise; only its parent can stop the app",
    },
    Limit {
        feature: Feature::OnChange,
        option: "onChange",
        modes: &[Exec, Init],
        program: Some(
            "no process stays that would see a change: wrap the command with --supervise, run a sidecar, or leave it out",
        ),
        pod: "nothing changes in mode {name}: no process stays to rotate",
    },
    Limit {
        feature: Feature::Restart,
        option: "onChange: restart",
        modes: &[Sidecar],
        program: Some("restart needs --supervise: a sidecar cannot start another container's app"),
        pod: "a sidecar cannot restart the app; say {mode}: supervise",
    },
    Limit {
        feature: Feature::SignalChild,
        option: "onChange: signal:NAME",
        modes: &[Sidecar],
        program: Some("a sidecar has no child: name the process that gets the signal, as in signal:HUP@nginx"),
        pod: "a sidecar needs the name of the process: signal:HUP@nginx",
    },
    Limit {
        feature: Feature::SignalProcess,
        option: "onChange: signal:NAME@PROCESS",
        modes: &[Supervise],
        program: Some("with --supervise a signal goes to the app: leave the process out, as in signal:HUP"),
        pod: "the supervisor signals its own child: signal:HUP, without a name",
    },
    Limit { feature: Feature::Refresh, option: "refresh", modes: &[Init, Exec], program: None, pod: NEEDS_STAY },
    Limit { feature: Feature::Metrics, option: "metrics", modes: &[Init, Exec], program: None, pod: NEEDS_STAY },
    Limit { feature: Feature::OnExpired, option: "onExpired", modes: &[Init, Exec], program: None, pod: NEEDS_STAY },
    Limit {
        feature: Feature::RevokeDelay,
        option: "revokeDelay",
        modes: &[Init, Exec, Supervise],
        program: None,
        pod: "is the sidecar's: it does nothing in mode {name}, only with {mode}: sidecar",
    },
    Limit { feature: Feature::Inherit, option: "inherit", modes: &[Sidecar, Init], program: None, pod: NEEDS_APP },
    Limit { feature: Feature::ScrubAws, option: "scrubAws", modes: &[Sidecar, Init], program: None, pod: NEEDS_APP },
    Limit {
        feature: Feature::LeaveLeases,
        option: "leaveLeases",
        modes: &[Sidecar, Supervise],
        program: None,
        pod: "is for those who do not stay: it does nothing in mode {name}, only with {mode}: init or exec",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_every_limit_leaves_a_mode_that_can() {
        for mode in Mode::ALL {
            assert_eq!(Mode::parse(mode.name()), Some(mode));
        }
        for limit in LIMITS {
            assert!(limit.modes.len() < Mode::ALL.len(), "{limit:?}");
            assert_eq!(LIMITS.iter().filter(|other| other.feature == limit.feature).count(), 1, "{limit:?}");
        }
        assert!(Mode::Exec.limit(Feature::Environment).is_none());
        assert!(Mode::Sidecar.limit(Feature::Restart).is_some());
    }
}
