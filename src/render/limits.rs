//! What one rendering of a template may use.

/// Instructions of one rendering: enough for a loop over thousands of keys, over in a moment.
pub(super) const FUEL: u64 = 100_000;
/// Bytes of one rendering.
pub(super) const OUTPUT: usize = 4 << 20;
/// Bytes of all values that one rendering makes on its way.
pub(super) const GROWTH: usize = 16 << 20;
