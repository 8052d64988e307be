//! When rendering is given up. A single template takes a bounded time, but a plan may have hundreds of them.

use std::fmt::Display;
use std::time::Duration;

use crate::domain::{Diagnostic, Exit};
use crate::sys::clock;
use crate::sys::harden::SavedSignalState;

/// The time that rendering has in any case at the start: usual templates take milliseconds, so that values that come
/// shortly before the deadline are still delivered.
const LEAST: Duration = Duration::from_secs(1);

/// The deadline of rendering, and the signals that end it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RenderLimit<'a> {
    began: Duration,
    at: Duration,
    of: Limited<'a>,
}

/// Whose time rendering takes.
#[derive(Debug, Clone, Copy)]
enum Limited<'a> {
    /// The start, which a pending signal ends, too.
    Start(Option<&'a SavedSignalState>),
    /// A process that has delivered before; it renews nothing while it renders.
    Rotation(Duration),
}

impl<'a> RenderLimit<'a> {
    /// The deadline of the start (`left` is the time until then), for rendering that begins now.
    pub(crate) fn after(left: Duration) -> Self {
        let began = clock::boottime();
        Self { began, at: began.saturating_add(left.max(LEAST)), of: Limited::Start(None) }
    }

    /// The same, which a pending signal that ends the process ends, too.
    pub(crate) fn or_signal(self, signals: &'a SavedSignalState) -> Self {
        Self { of: Limited::Start(Some(signals)), ..self }
    }

    /// The limit of a change of a running process, whose rendering begins now.
    pub(crate) fn of_change(most: Duration) -> Self {
        let began = clock::boottime();
        Self { began, at: began.saturating_add(most), of: Limited::Rotation(most) }
    }

    /// The same deadline, for rendering that begins now.
    pub(crate) fn renewed(self) -> Self {
        let began = clock::boottime();
        Self { began, at: self.at.max(began.saturating_add(LEAST)), ..self }
    }

    /// How long ago the rendering began.
    pub(crate) fn spent(&self) -> Duration {
        clock::boottime().saturating_sub(self.began)
    }

    /// Whether the time is over.
    pub(crate) fn is_over(&self) -> bool {
        clock::boottime() >= self.at
    }

    /// Watches the time while these `all` items are rendered.
    pub(crate) fn over(self, what: &'static str, all: usize) -> Pace<'a> {
        Pace { limit: self, what, all, done: 0, current: None, slowest: None }
    }
}

/// The time that the items of one rendering take, one after the other.
#[derive(Debug)]
pub(crate) struct Pace<'a> {
    limit: RenderLimit<'a>,
    what: &'static str,
    all: usize,
    done: usize,
    /// What is rendered, and since when.
    current: Option<(String, Duration)>,
    slowest: Option<(String, Duration)>,
}

impl Pace<'_> {
    /// Called before each item is rendered. An error when the limit is reached: which item took most of the time.
    pub(crate) fn next(&mut self, item: impl Display) -> Result<(), Diagnostic> {
        self.next_at(item, clock::boottime())
    }

    fn next_at(&mut self, item: impl Display, now: Duration) -> Result<(), Diagnostic> {
        if let Some((last, since)) = self.current.take() {
            let took = now.saturating_sub(since);
            if self.slowest.as_ref().is_none_or(|(_, most)| took > *most) {
                self.slowest = Some((last, took));
            }
            self.done += 1;
        }
        if let Limited::Start(Some(signals)) = self.limit.of
            && let Some(signal) = signals.pending_end()
        {
            let text = format!("ended by {signal} before the secrets were delivered");
            return Err(Diagnostic::new(Exit::Signal(signal.number()), text));
        }
        if now >= self.limit.at {
            return Err(self.too_slow());
        }
        self.current = Some((item.to_string(), now));
        Ok(())
    }

    /// The problem of templates that take too much time.
    fn too_slow(&self) -> Diagnostic {
        let Self { what, all, done, .. } = self;
        let most = self.slowest.as_ref().map(|(name, _)| format!(", {name} most of it")).unwrap_or_default();
        let text = match self.limit.of {
            Limited::Start(_) => format!(
                "cannot render the {what} before the deadline (--timeout): {done} of {all} took all the time{most}; \
                 simplify their templates, or raise --timeout"
            ),
            Limited::Rotation(limit) => format!(
                "cannot render the {what} within {} s: {done} of {all} took all the time{most}; simplify their templates",
                limit.as_secs()
            ),
        };
        Diagnostic::new(Exit::Unavailable, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rendering_has_a_second_even_after_the_deadline() {
        let late = RenderLimit::after(Duration::ZERO);
        assert!(late.over("files", 1).next("file a").is_ok());
        let over = RenderLimit { at: late.began, ..late };
        let problem = over.over("files", 200).next("file a").unwrap_err();
        assert_eq!(problem.exit, Exit::Unavailable);
        assert!(problem.text.contains("before the deadline (--timeout): 0 of 200"), "{}", problem.text);
    }

    #[test]
    fn what_took_most_of_the_time_is_named() {
        let limit = RenderLimit::of_change(Duration::from_secs(10));
        let mut pace = limit.over("files", 40);
        let seconds = |seconds| limit.began.saturating_add(Duration::from_secs(seconds));
        for (name, at) in [("file a", 0), ("file b", 1), ("file c", 6)] {
            pace.next_at(name, seconds(at)).unwrap();
        }
        let text = pace.next_at("file d", seconds(10)).unwrap_err().text;
        assert!(text.contains("the files within 10 s: 3 of 40 took all the time, file b most of it"), "{text}");
    }
}
