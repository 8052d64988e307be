//! What a rendering notes on its way: keys that are missing, values that are misused, bytes made so far.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use minijinja::{Error, ErrorKind};

use super::super::error::TemplateRenderError;
use super::super::limits::{GROWTH, OUTPUT};

/// A key that was not there.
#[derive(Clone)]
pub(super) struct MissingKey {
    pub(super) reference: String,
    /// Of the `secret('…')` in the template's text.
    pub(super) offset: usize,
    pub(super) key: String,
    /// The keys that are there.
    pub(super) known: Vec<String>,
}

/// Where an object came from.
pub(super) struct Origin {
    pub(super) reference: String,
    /// Of the call in the template's text.
    pub(super) offset: usize,
    pub(super) trail: Arc<Trail>,
}

impl Origin {
    /// An object is being made text that is none. `fmt` has no error to say so (a `Display` that fails panics), so
    /// nothing is written and the whole rendering fails afterwards.
    pub(super) fn misused(&self, trouble: TemplateRenderError) -> fmt::Result {
        self.trail.state().misused.get_or_insert((self.offset, trouble));
        Ok(())
    }
}

/// What went wrong during one rendering, beside minijinja's errors.
#[derive(Default)]
pub(super) struct Trail(Mutex<State>);

#[derive(Default)]
struct State {
    misses: Vec<MissingKey>,
    refused: Option<TemplateRenderError>,
    misused: Option<(usize, TemplateRenderError)>,
    /// Bytes of values made so far, and of text emitted, captured or not.
    grown: usize,
    emitted: usize,
}

const REFUSED: &str = "refused";

/// Whether the error came from [`Trail::refuse`].
pub(super) fn is_refusal(error: &Error) -> bool {
    error.detail() == Some(REFUSED)
}

impl Trail {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nobody panics while holding the trail")
    }

    /// An error whose text is kept here.
    pub(super) fn refuse(&self, trouble: TemplateRenderError) -> Error {
        self.state().refused = Some(trouble);
        Error::new(ErrorKind::InvalidOperation, REFUSED)
    }

    /// Counts what was made.
    pub(super) fn grow(&self, bytes: usize) -> Result<(), Error> {
        let mut state = self.state();
        state.grown = state.grown.saturating_add(bytes);
        let is_over = state.grown > GROWTH;
        drop(state);
        if is_over { Err(self.refuse(TemplateRenderError::TooMuchGrowth)) } else { Ok(()) }
    }

    /// Whether so much more may be made.
    pub(super) fn room(&self, bytes: usize) -> Result<(), Error> {
        let is_over = self.state().grown.saturating_add(bytes) > GROWTH;
        if is_over { Err(self.refuse(TemplateRenderError::TooMuchGrowth)) } else { Ok(()) }
    }

    /// Counts what is emitted.
    pub(super) fn emit(&self, text: &str) -> Result<(), Error> {
        let mut state = self.state();
        state.emitted = state.emitted.saturating_add(text.len());
        let is_over = state.emitted > OUTPUT;
        drop(state);
        if is_over { Err(self.refuse(TemplateRenderError::TooMuchOutput)) } else { Ok(()) }
    }

    pub(super) fn refused(&self) -> Option<TemplateRenderError> {
        self.state().refused.take()
    }

    pub(super) fn misused(&self) -> Option<(usize, TemplateRenderError)> {
        self.state().misused.take()
    }

    pub(super) fn missed(&self, miss: MissingKey) {
        self.state().misses.push(miss);
    }

    /// A key that was not there although nothing in the template expects that.
    pub(super) fn unexpected(&self, is_optional: impl Fn(&MissingKey) -> bool) -> Option<MissingKey> {
        self.state().misses.iter().find(|miss| !is_optional(miss)).cloned()
    }

    /// The missing key behind an error in `expression`: one that is named there, else (for a value that was passed
    /// around first) the only one there is.
    pub(super) fn miss(&self, expression: &str, kind: ErrorKind) -> Option<MissingKey> {
        let misses = &self.state().misses;
        if let Some(miss) = misses.iter().rev().find(|miss| expression.contains(&miss.key)) {
            return Some(miss.clone());
        }
        let first = misses.first().filter(|_| kind == ErrorKind::UndefinedError)?;
        let is_only = misses.iter().all(|miss| miss.key == first.key && miss.reference == first.reference);
        is_only.then(|| first.clone())
    }
}
