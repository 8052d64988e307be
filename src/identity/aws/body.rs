//! Why the body of a response is rejected.

use aws_smithy_runtime_api::client::result::ConnectorError;

use crate::domain::MOST_ELEMENTS;

/// What is wrong with a response's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is larger than allowed.
    #[error("the answer is larger than {} KiB", .0 >> 10)]
    TooLarge(usize),
    /// Its JSON has more elements than are parsed.
    #[error("the answer has more than {MOST_ELEMENTS} names and values")]
    TooManyElements,
    /// It ended early.
    #[error("the connection ended before the answer was complete")]
    CutShort,
}

impl From<BodyError> for ConnectorError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::CutShort => Self::io(error.into()),
            BodyError::TooLarge(_) | BodyError::TooManyElements => Self::other(error.into(), None),
        }
    }
}
