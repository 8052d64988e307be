//! Reads this process's environment, once at the start. Only [`forget`] changes it, before any other code has read
//! it.

use std::collections::HashSet;
use std::os::unix::ffi::OsStringExt;

/// One inherited variable: name and value, as raw bytes.
pub type Variable = (Vec<u8>, Vec<u8>);

/// The inherited environment, in its order.
///
/// Of a repeated name only the first entry counts, as for `getenv`, so that all readers see the same. An entry
/// without `=`, or with nothing before it, is left out: it has no name by which it could be scrubbed, resolved or
/// passed on.
#[expect(clippy::disallowed_methods, reason = "this is the one reader")]
pub fn snapshot() -> Vec<Variable> {
    // std leaves entries without `=` out, and reads a leading `=` as part of the name.
    keep_first(std::env::vars_os().map(|(name, value)| (name.into_vec(), value.into_vec())))
}

/// Removes variables from this process's environment, so that no library in this process reads them. The copy made
/// by [`snapshot`] belongs to the app and keeps them. Only while there is one thread.
#[expect(clippy::disallowed_methods, reason = "this is the one writer, while there is one thread")]
pub fn forget(is_meant: impl Fn(&str, &str) -> bool) {
    for (name, value) in std::env::vars_os() {
        // `unsetenv` takes no name that contains `=`, and no lookup finds one.
        if name.to_str().is_some_and(|name| !name.contains('=') && is_meant(name, &value.to_string_lossy())) {
            // SAFETY: no other thread exists yet (the runtime is built later), so no thread reads the environment
            // meanwhile.
            unsafe { std::env::remove_var(&name) };
        }
    }
}

/// The first entry of each name, without entries that have no valid name.
fn keep_first(entries: impl Iterator<Item = Variable>) -> Vec<Variable> {
    let mut known: HashSet<Vec<u8>> = HashSet::new();
    let mut is_new = |name: &Vec<u8>| !name.is_empty() && !name.contains(&b'=') && known.insert(name.clone());
    entries.filter(|(name, _)| is_new(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_duplicates_the_first_counts_and_what_has_no_name_is_left_out() {
        let entry = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        let entries = [entry("A", "1"), entry("=C:", "x"), entry("B", ""), entry("A", "2"), entry("", "y")];
        assert_eq!(keep_first(entries.into_iter()), [entry("A", "1"), entry("B", "")]);
    }
}
