//! Limits of one rendering of a template.

/// The most instructions of one rendering: enough for a loop over thousands of keys, and done within a moment.
pub(super) const FUEL: u64 = 100_000;
/// The most bytes of output of one rendering.
pub(super) const OUTPUT: usize = 4 << 20;
/// The most bytes of all intermediate values of one rendering.
pub(super) const GROWTH: usize = 16 << 20;

/// Fails if what a function writes is larger than the whole output of a template may be.
pub(super) fn check_written(bytes: usize) -> Result<(), String> {
    if bytes <= OUTPUT { Ok(()) } else { Err(format!("what it writes is larger than {} MiB", OUTPUT >> 20)) }
}
