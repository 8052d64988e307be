//! The rows of a dialect's table: an annotation, what its value must be, and what becomes of it.

/// An annotation of a dialect, and what becomes of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    /// After the prefix; `-NAME` at its end stands for a name of the author's.
    pub(super) name: &'static str,
    /// What its value must be.
    pub(super) value: Value,
    /// What becomes of it.
    pub(super) fate: Fate,
    /// What to write in annotations of ours.
    pub(super) own: &'static str,
}

/// What the value of an annotation must be; another injector refuses the rest too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// Any text.
    Any,
    /// A boolean as Go reads it.
    Bool,
    /// A whole number, or nothing.
    Integer,
    /// A whole number that is not negative.
    Count,
    /// An amount as Kubernetes writes it.
    Quantity,
    /// A duration as Go writes it, or nothing.
    Duration,
}

/// What becomes of an annotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It counts; the sentence says as what.
    Honoured(&'static str),
    /// It changes nothing; the sentence, which is a warning, says why.
    Ignored(&'static str),
    /// The pod is refused; the sentence says what to write instead.
    Denied(&'static str),
}

/// The row of a key, and NAME where it has one. Of two rows the longer name is meant.
pub(super) fn find<'k>(table: &'static [Key], key: &'k str) -> Option<(&'static Key, &'k str)> {
    if let Some(row) = table.iter().find(|row| row.name == key && !row.name.ends_with("-NAME")) {
        return Some((row, ""));
    }
    let named = table.iter().filter_map(|row| {
        let name = key.strip_prefix(row.name.strip_suffix("NAME")?)?;
        Some((row, name))
    });
    named.min_by_key(|(_, name)| name.len())
}
