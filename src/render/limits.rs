//! Limits of one rendering of a template.

/// The most instructions of one rendering: enough for a loop over thousands of keys, and done within a moment.
pub(super) const FUEL: u64 = 100_000;
/// The most bytes of output of one rendering.
pub(super) const OUTPUT: usize = 4 << 20;
/// The most bytes of all intermediate values of one rendering.
pub(super) const GROWTH: usize = 16 << 20;

/// The most bytes and items that the operations of one rendering of a Jinja template look at, an item for eight bytes:
/// enough for thousands of searches in a list of thousands, and done within a few seconds on a slow machine.
pub(super) const WORK: usize = 128 << 20;
/// The most names that a namespace of a Jinja template begins with: it lists them whenever it is a condition.
pub(super) const NAMES: usize = 1000;
/// The most namespaces that are put into something: each could be in the one before.
pub(super) const NESTED: usize = 250;

/// Fails if what a function writes is larger than the whole output of a template may be.
pub(super) fn check_written(bytes: usize) -> Result<(), String> {
    if bytes <= OUTPUT { Ok(()) } else { Err(format!("what it writes is larger than {} MiB", OUTPUT >> 20)) }
}
