//! When rendering at the start is given up. A single template takes a bounded time, but a plan may have hundreds of
//! them.

use std::time::Duration;

use crate::domain::{Diagnostic, Exit};
use crate::sys::clock;
use crate::sys::harden::SavedSignalState;

/// The time that rendering has in any case: usual templates take milliseconds, so that values that come shortly before
/// the deadline are still delivered.
const LEAST: Duration = Duration::from_secs(1);

/// The deadline of rendering, and the signals that end it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RenderLimit<'a> {
    at: Duration,
    signals: Option<&'a SavedSignalState>,
}

impl<'a> RenderLimit<'a> {
    /// None: a running process renders without a deadline.
    pub(crate) const NONE: Self = Self { at: Duration::MAX, signals: None };

    /// The deadline of the start (`left` is the time until then), for rendering that begins now.
    pub(crate) fn after(left: Duration) -> Self {
        Self { at: clock::boottime().saturating_add(left.max(LEAST)), signals: None }
    }

    /// The same, which a pending signal that ends the process ends, too.
    pub(crate) fn or_signal(self, signals: &'a SavedSignalState) -> Self {
        Self { signals: Some(signals), ..self }
    }

    /// The reason to give up before the next one of `all` files or variables; `done` are rendered.
    pub(super) fn reached(&self, done: usize, all: usize, what: &str) -> Option<Diagnostic> {
        if let Some(signal) = self.signals.and_then(SavedSignalState::pending_end) {
            let text = format!("ended by {signal} before the secrets were delivered");
            return Some(Diagnostic::new(Exit::Signal(signal.number()), text));
        }
        let is_late = clock::boottime() >= self.at;
        is_late.then(|| {
            let text = format!(
                "cannot render the {what} before the deadline (--timeout): {done} of {all} took all the time; simplify \
                 their templates, or raise --timeout"
            );
            Diagnostic::new(Exit::Unavailable, text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rendering_has_a_second_even_after_the_deadline() {
        let late = RenderLimit::after(Duration::ZERO);
        assert!(late.reached(0, 1, "files").is_none());
        let over = RenderLimit { at: clock::boottime(), ..late };
        let problem = over.reached(3, 200, "files").unwrap();
        assert_eq!(problem.exit, Exit::Unavailable);
        assert!(problem.text.contains("3 of 200"), "{}", problem.text);
        assert!(RenderLimit::NONE.reached(0, 1, "files").is_none());
    }
}
