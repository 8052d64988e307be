//! Which value of a secret the app has, and when that ends: the latest one, or an earlier one while the latest cannot be
//! written.

use std::time::Duration;

use crate::schedule::secret_state::{Delivering, Shown, ValueEnd};
use crate::schedule::work::TokenId;

use super::{CurrentValue, Lease, Secret};

impl Secret {
    /// When the latest value expires, delivered or not; `None`: never. `token_end` returns when a token ends (`None`:
    /// never).
    pub(in crate::schedule) fn expiry(&self, token_end: impl Fn(TokenId) -> Option<Duration>) -> Option<Duration> {
        self.end().map(|end| end.earliest(token_end))
    }

    /// When the value that the app has expires; `None`: never.
    pub(in crate::schedule) fn shown_expiry(
        &self,
        token_end: impl Fn(TokenId) -> Option<Duration>,
    ) -> Option<Duration> {
        self.shown_end().map(|end| end.earliest(token_end))
    }

    /// Whether the app has the latest value.
    pub(in crate::schedule) fn is_shown(&self) -> bool {
        self.shown == Shown::Latest
    }

    /// Records that the latest value could not be delivered.
    pub(in crate::schedule) fn not_delivered(&mut self) {
        if let Shown::Earlier(_, delivering) = &mut self.shown {
            *delivering = Delivering::HasFailed;
        }
    }

    /// Whether the value that the app has, or the latest one, ends with this token.
    pub(in crate::schedule) fn ends_with(&self, token: TokenId) -> bool {
        self.leased_under() == Some(token) || self.shown_end().is_some_and(|end| end.token == Some(token))
    }

    /// The end of the value that the app has when another one, requested at `requested_at`, is accepted: a lease that
    /// counts as lost has ended.
    pub(super) fn shown_until(&self, requested_at: Duration) -> Option<ValueEnd> {
        let is_lost = self.is_shown() && matches!(self.current, CurrentValue::Lease { lease: Lease::Lost, .. });
        self.shown_end().map(|end| if is_lost { ValueEnd { at: end.at.min(requested_at), ..end } } else { end })
    }

    fn shown_end(&self) -> Option<ValueEnd> {
        match self.shown {
            Shown::Latest => self.end(),
            Shown::Earlier(end, _) => end,
        }
    }

    fn end(&self) -> Option<ValueEnd> {
        match &self.current {
            CurrentValue::Lease { term, token, .. } => Some(ValueEnd { at: term.end(), token: *token }),
            CurrentValue::Ends(term) => Some(ValueEnd { at: term.end(), token: None }),
            CurrentValue::Rotates(read_again) => Some(ValueEnd { at: *read_again, token: None }),
            CurrentValue::Nothing | CurrentValue::Plain { .. } => None,
        }
    }
}

impl ValueEnd {
    fn earliest(self, token_end: impl Fn(TokenId) -> Option<Duration>) -> Duration {
        self.token.and_then(token_end).map_or(self.at, |end| end.min(self.at))
    }
}
