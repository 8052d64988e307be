//! `onChange`: executes the configured actions after a delivery, once, in their order.

use tracing::{info, warn};

use crate::config::{Action, Config};
use crate::process::{HookId, HookOutcome};
use crate::rotation::Change;
use crate::serve::{Action as NotifyKind, NotifyResult};
use crate::sys::image::Image;
use crate::sys::signals::Signal;
use crate::sys::wait::Ended;

use super::app::{self, ChildContext};
use super::caller::ProcessContext;
use super::running::RunningState;

/// How actions reach the app: differs between a sidecar and a supervisor.
pub(super) trait Reach {
    /// Sends a signal to the app, or to a process named `process`; returns the name of the process it was sent to.
    fn signal(&mut self, signal: Signal, process: Option<&str>) -> Result<String, String>;
    /// Queues a hook, which is started at the next step.
    fn hook(&mut self, id: HookId, image: Image);
    /// Restarts the app.
    fn restart(&mut self) -> Result<(), String>;
}

/// Executes the actions for one change, and logs and counts their results.
pub(super) fn notify(
    change: &Change,
    config: &Config,
    live: &RunningState<'_>,
    caller: &ProcessContext,
    reach: &mut impl Reach,
) {
    for (place, action) in config.rotation.on_change.iter().enumerate() {
        // Signals, hooks and URLs announce new files; a changed environment only matters for a restart.
        let concerns = change.files || (*action == Action::Restart && !change.environment.is_empty());
        if !concerns {
            continue;
        }
        let (word, result) = match action {
            Action::Http { url, .. } => {
                live.rotation.borrow_mut().post(url); // counted when it is answered
                continue;
            }
            Action::Run(command) => {
                let rotation = live.rotation.borrow();
                let at = ChildContext { config, caller, home: live.home.as_ref(), directory: rotation.directory() };
                let image = app::hook(command, &at);
                drop(rotation);
                match image {
                    Ok(image) => {
                        reach.hook(HookId(place), image); // counted when it ended
                        continue;
                    }
                    Err(why) => (NotifyKind::Run, Err(format!("cannot run {}: {why}", command[0]))),
                }
            }
            Action::Signal { number, process } => {
                let signal = Signal::from_number(*number).expect("the configuration knows no others");
                let sent = reach.signal(signal, process.as_deref());
                (NotifyKind::Signal, sent.map(|run_as| format!("sent {signal} to {run_as}")))
            }
            Action::Restart => {
                (NotifyKind::Restart, reach.restart().map(|()| "starting the app anew with the new values".to_owned()))
            }
        };
        match &result {
            Ok(what) => info!(action = word.word(), "{what}"),
            Err(why) => warn!(action = word.word(), "cannot tell of the change: {why}"),
        }
        let result = if result.is_ok() { NotifyResult::Yes } else { NotifyResult::Failed };
        live.rotation.borrow_mut().notified(word, result);
    }
    if !change.environment.is_empty() && !config.rotation.on_change.contains(&Action::Restart) {
        let names = change.environment.join(", ");
        warn!("the app still has the old value of {names}: only onChange: restart gives it the new one");
    }
}

/// Logs and counts the result of a hook.
pub(super) fn hook_ended(id: HookId, outcome: &HookOutcome, config: &Config, live: &RunningState<'_>) {
    let name = match config.rotation.on_change.get(id.0) {
        Some(Action::Run(command)) => command[0].as_str(),
        _ => "a hook",
    };
    let result = match outcome {
        HookOutcome::Ended(Ended::Code(0)) => {
            info!(action = NotifyKind::Run.word(), "{name} was notified of the change");
            NotifyResult::Yes
        }
        HookOutcome::Ended(ended) => {
            warn!(
                action = NotifyKind::Run.word(),
                "{name} was notified of the change and failed (exit {})",
                ended.code()
            );
            NotifyResult::Failed
        }
        HookOutcome::TimedOut(_) => {
            warn!(action = NotifyKind::Run.word(), "{name} was notified of the change and took too long");
            NotifyResult::Failed
        }
        HookOutcome::NotStarted(error) => {
            warn!(action = NotifyKind::Run.word(), "{name} cannot be notified of the change: {error}");
            NotifyResult::Failed
        }
    };
    live.rotation.borrow_mut().notified(NotifyKind::Run, result);
}
