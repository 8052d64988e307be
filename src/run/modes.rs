//! What each mode cannot do: problems and warnings about a configuration, from the table of [`Mode`].

use crate::config::{Action, Config, OnExpired};
use crate::domain::{Diagnostic, Exit, Feature, Mode};

/// The problems of settings that this mode cannot honour.
pub(super) fn refused(config: &Config, mode: Mode) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    let mut check = |feature: Feature, place: String| {
        if let Some(why) = mode.limit(feature).and_then(|limit| limit.program) {
            problems.push(Diagnostic::new(Exit::Usage, format!("{place}: {why}")));
        }
    };
    for entry in &config.env {
        check(Feature::Environment, entry.place.of(&format!("env {}", entry.name)));
    }
    for entry in &config.env_from {
        check(Feature::Environment, entry.place.of(&format!("envFrom {}", entry.reference)));
    }
    if config.rotation.on_expired == OnExpired::Stop {
        check(Feature::StopWhenExpired, config.rotation.on_expired_place.of_key("onExpired"));
    }
    // With --leave-leases an `init` has the configuration of the sidecar that follows it.
    let is_before_a_sidecar = mode == Mode::Init && config.app.leave_leases;
    if !config.rotation.on_change.is_empty() && !is_before_a_sidecar {
        check(Feature::OnChange, config.rotation.on_change_place.of_key("onChange"));
    }
    for action in &config.rotation.on_change {
        let feature = match action {
            Action::Restart => Feature::Restart,
            Action::Signal { process: None, .. } => Feature::SignalChild,
            Action::Signal { process: Some(_), .. } => Feature::SignalProcess,
            Action::Run(_) | Action::Http { .. } => continue,
        };
        check(feature, config.rotation.on_change_place.of_key("onChange"));
    }
    problems
}

/// Warnings about settings that have no effect in this mode, each with the reason.
pub(super) fn without_effect(config: &Config, mode: Mode) -> Vec<String> {
    let has_sidecar_after = mode == Mode::Init && config.app.leave_leases;
    let named = [
        (Feature::Metrics, "metrics", config.process.metrics.is_some()),
        (Feature::OnExpired, "onExpired: remove", config.rotation.on_expired == OnExpired::Remove),
        (Feature::RevokeDelay, "revokeDelay", mode == Mode::Supervise && !config.rotation.revoke_delay.is_zero()),
    ];
    let found = named.into_iter().filter(|(feature, _, is_set)| *is_set && mode.limit(*feature).is_some());
    let why = match mode {
        Mode::Supervise => "only a sidecar waits before it revokes",
        _ => "no process stays to do it; use --supervise or a sidecar",
    };
    found.filter(|_| !has_sidecar_after).map(|(_, name, _)| format!("{name} has no effect here: {why}")).collect()
}
