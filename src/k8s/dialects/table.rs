//! The row type of a dialect's table: an annotation, its type of value, and its treatment.

/// An annotation of a dialect and its treatment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    /// The key after the prefix; `-NAME` at its end stands for a name that the author chooses.
    pub(super) name: &'static str,
    /// The type of its value.
    pub(super) value: Value,
    /// Its treatment.
    pub(super) fate: Fate,
    /// The equivalent among this project's annotations, for the documentation.
    pub(super) own: &'static str,
}

/// The type of an annotation's value; the original injector refuses other values too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// Any text.
    Any,
    /// A boolean in Go's syntax.
    Bool,
    /// A whole number, or empty.
    Integer,
    /// A whole number, not negative.
    Count,
    /// A Kubernetes quantity.
    Quantity,
    /// A duration in Go's syntax, or empty.
    Duration,
}

/// How an annotation is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It has an effect; the text says which.
    Honoured(&'static str),
    /// It has no effect; the text, used in a warning, says why.
    Ignored(&'static str),
    /// The pod is refused; the text says what to write instead.
    Denied(&'static str),
}

/// The row of a key, with the NAME part of the key. If several rows match, the one with the longest fixed part
/// wins.
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
