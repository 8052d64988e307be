//! What a mode cannot do, refused before anything happens: the table of [`Mode`], read against a configuration.

use crate::config::{Action, Config, OnExpired, Place};
use crate::domain::{Diagnostic, Exit, Feature, Mode};

/// Settings that would silently mean nothing in this mode.
pub(super) fn refused(config: &Config, mode: Mode) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    let mut check = |feature: Feature, place: &Place, what: String| {
        if let Some(why) = mode.limit(feature).and_then(|limit| limit.program) {
            problems.push(Diagnostic::new(Exit::Usage, format!("{place}: {what}: {why}")));
        }
    };
    for entry in &config.env {
        check(Feature::Environment, &entry.place, format!("env {}", entry.name));
    }
    for entry in &config.env_from {
        check(Feature::Environment, &entry.place, format!("envFrom {}", entry.reference));
    }
    if config.on_expired == OnExpired::Stop {
        check(Feature::StopWhenExpired, &Place::Missing, "onExpired".to_owned());
    }
    for action in &config.on_change {
        let feature = match action {
            Action::Restart => Feature::Restart,
            Action::Signal { process: None, .. } => Feature::SignalChild,
            Action::Signal { process: Some(_), .. } => Feature::SignalProcess,
            Action::Run(_) | Action::Http { .. } => continue,
        };
        check(feature, &Place::Missing, "onChange".to_owned());
    }
    problems
}
