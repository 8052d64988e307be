//! What is recorded during a rendering: missing keys, misused values, and the bytes produced so far.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use minijinja::{Error, ErrorKind};

use super::super::error::TemplateRenderError;
use super::super::limits::{GROWTH, NESTED, OUTPUT};

/// A key that was looked up and does not exist.
#[derive(Clone)]
pub(super) struct MissingKey {
    pub(super) reference: String,
    /// Byte offset of the `secret('…')` in the template.
    pub(super) offset: usize,
    pub(super) key: String,
    /// The existing keys.
    pub(super) known: Arc<[String]>,
}

/// The origin of an object.
pub(super) struct Origin {
    pub(super) reference: String,
    /// Byte offset of the call in the template.
    pub(super) offset: usize,
    pub(super) trail: Arc<Trail>,
}

impl Origin {
    /// Records that an object is used as text although it is not text. `fmt` cannot report that (a `Display` that fails
    /// panics), so nothing is written and the rendering fails afterwards.
    pub(super) fn misused(&self, trouble: TemplateRenderError) -> fmt::Result {
        self.trail.state().misused.get_or_insert((self.offset, trouble));
        Ok(())
    }
}

/// What went wrong during one rendering, besides minijinja's errors.
pub(super) struct Trail {
    state: Mutex<State>,
    /// The most that operations may look at.
    work: usize,
}

/// The recorded events and counts.
#[derive(Default)]
struct State {
    misses: Vec<MissingKey>,
    /// The offsets of the calls of each missing key: a loop can miss the same one in each turn.
    missed: BTreeMap<String, BTreeSet<usize>>,
    refused: Option<TemplateRenderError>,
    misused: Option<(usize, TemplateRenderError)>,
    /// Bytes of all values produced so far.
    grown: usize,
    /// What operations have looked at.
    worked: usize,
    /// Namespaces in other values.
    nested: usize,
    emitted: usize,
}

/// The detail text of errors from [`Trail::refuse`].
const REFUSED: &str = "refused";

/// Whether the error came from [`Trail::refuse`].
pub(super) fn is_refusal(error: &Error) -> bool {
    error.detail() == Some(REFUSED)
}

impl Trail {
    /// Nothing yet; operations may look at so much.
    pub(super) fn new(work: usize) -> Self {
        Self { state: Mutex::default(), work }
    }

    /// Locks the state.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding the trail")
    }

    /// Records a reason and returns an error that stands for it.
    pub(super) fn refuse(&self, trouble: TemplateRenderError) -> Error {
        self.state().refused = Some(trouble);
        Error::new(ErrorKind::InvalidOperation, REFUSED)
    }

    /// Counts produced bytes; fails above the limit.
    pub(super) fn grow(&self, bytes: usize) -> Result<(), Error> {
        let mut state = self.state();
        state.grown = state.grown.saturating_add(bytes);
        let is_over = state.grown > GROWTH;
        drop(state);
        if is_over { Err(self.refuse(TemplateRenderError::TooMuchGrowth)) } else { Ok(()) }
    }

    /// Checks whether so many more bytes may be produced, without counting them.
    pub(super) fn room(&self, bytes: usize) -> Result<(), Error> {
        let is_over = self.state().grown.saturating_add(bytes) > GROWTH;
        if is_over { Err(self.refuse(TemplateRenderError::TooMuchGrowth)) } else { Ok(()) }
    }

    /// Counts what an operation looks at; fails above the limit.
    pub(super) fn work(&self, size: usize) -> Result<(), Error> {
        let mut state = self.state();
        state.worked = state.worked.saturating_add(size);
        let is_over = state.worked > self.work;
        drop(state);
        if is_over { Err(self.refuse(TemplateRenderError::TooMuchSearching)) } else { Ok(()) }
    }

    /// What operations have looked at so far.
    pub(super) fn worked(&self) -> usize {
        self.state().worked
    }

    /// Counts a namespace in another value; fails above the limit.
    pub(super) fn nest(&self) -> Result<(), Error> {
        let mut state = self.state();
        state.nested += 1;
        let is_over = state.nested > NESTED;
        drop(state);
        if is_over { Err(self.refuse(TemplateRenderError::TooManyNested)) } else { Ok(()) }
    }

    /// Counts output; fails above the limit.
    pub(super) fn emit(&self, text: &str) -> Result<(), Error> {
        let mut state = self.state();
        state.emitted = state.emitted.saturating_add(text.len());
        let is_over = state.emitted > OUTPUT;
        drop(state);
        if is_over { Err(self.refuse(TemplateRenderError::TooMuchOutput)) } else { Ok(()) }
    }

    /// Takes the reason recorded by [`Self::refuse`].
    pub(super) fn refused(&self) -> Option<TemplateRenderError> {
        self.state().refused.take()
    }

    /// Takes the recorded misuse of an object, with its byte offset.
    pub(super) fn misused(&self) -> Option<(usize, TemplateRenderError)> {
        self.state().misused.take()
    }

    /// Records a missing key, once.
    pub(super) fn missed(&self, miss: MissingKey) {
        let mut state = self.state();
        let is_new = match state.missed.get_mut(&miss.key) {
            Some(offsets) => offsets.insert(miss.offset),
            None => state.missed.insert(miss.key.clone(), BTreeSet::from([miss.offset])).is_none(),
        };
        if is_new {
            state.misses.push(miss);
        }
    }

    /// The first missing key for which `is_optional` is false.
    pub(super) fn unexpected(&self, is_optional: impl Fn(&MissingKey) -> bool) -> Option<MissingKey> {
        self.state().misses.iter().find(|miss| !is_optional(miss)).cloned()
    }

    /// The missing key that caused an error in `expression`: one that is named there, else, for a value passed through
    /// variables, the only one there is.
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
