//! What a mode learns from the rotation.

use std::time::Duration;

/// Something for the mode to act on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RotationEvent {
    /// Something that the app uses has changed: send one notification.
    Changed(Change),
    /// A secret expired and nothing replaced it.
    Expired {
        /// The reference, as the operator wrote it.
        reference: String,
    },
}

/// What one delivery changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// Whether there is a new generation of files.
    pub(crate) files: bool,
    /// The names of the app's variables whose value has changed.
    pub(crate) environment: Vec<String>,
}

/// The result of [`Rotation::advance`](super::Rotation::advance).
#[derive(Debug)]
pub(crate) struct Advanced {
    /// In the order they happened.
    pub(crate) events: Vec<RotationEvent>,
    /// Nothing is due before this time has passed, unless a request ends first.
    pub(crate) wait: Duration,
}
