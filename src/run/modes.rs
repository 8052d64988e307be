//! What a mode cannot do, told before anything happens.

use crate::config::{Action, Config, OnExpired, Place};
use crate::domain::{Exit, Problem};

use super::run_as::For;

/// Settings that would silently mean nothing here.
pub(super) fn refused(config: &Config, purpose: For) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut refuse = |place: &Place, text: String| {
        problems.push(Problem::new(Exit::Usage, format!("{place}: {text}")));
    };
    if purpose != For::App {
        let why = "nobody can set another container's environment; write a file, or wrap the command (secret-exec … -- COMMAND)";
        for entry in &config.env {
            refuse(&entry.place, format!("env {}: {why}", entry.name));
        }
        for entry in &config.env_from {
            refuse(&entry.place, format!("envFrom {}: {why}", entry.reference));
        }
    }
    if config.on_expired == OnExpired::Stop && !config.supervise {
        refuse(&Place::Missing, "onExpired: stop needs --supervise: nobody else can stop the app".to_owned());
    }
    for action in &config.on_change {
        let why = match (action, purpose) {
            (Action::Restart, For::Sidecar) => {
                "restart needs --supervise: a sidecar cannot start another container's app"
            }
            (Action::Signal { process: None, .. }, For::Sidecar) => {
                "a sidecar has no child: name the process that gets the signal, as in signal:HUP@nginx"
            }
            (Action::Signal { process: Some(_), .. }, For::App) if config.supervise => {
                "with --supervise a signal goes to the app: leave the process out, as in signal:HUP"
            }
            _ => continue,
        };
        refuse(&Place::Missing, format!("onChange: {why}"));
    }
    problems
}
