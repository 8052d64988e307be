//! Secret values: redacted in `Debug`, wiped when dropped, readable only through `expose`.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use zeroize::Zeroize;

/// The total length of all live secrets: a limit on it stops a backend from filling the memory with many responses
/// of permitted size.
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// Secret bytes. `expose` and `expose_text` are the only ways to read them, so every exposure can be found by name.
///
/// Not `Clone`, `Display`, `Serialize`, `Deref` or `PartialEq`; `Debug` prints neither value nor length.
pub struct SecretBytes(Box<[u8]>);

impl SecretBytes {
    /// Takes ownership of the bytes. Spare capacity is released (and wiped by the allocator).
    pub fn new(bytes: Vec<u8>) -> Self {
        LIVE.fetch_add(bytes.len(), Ordering::Relaxed);
        Self(bytes.into_boxed_slice())
    }

    /// How many bytes of secrets this process holds now.
    pub fn live() -> usize {
        LIVE.load(Ordering::Relaxed)
    }

    /// Copies the bytes; a named function, so that every copy of a secret is explicit.
    pub fn copy_of(bytes: &[u8]) -> Self {
        Self::new(bytes.to_owned())
    }

    /// The value itself.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The value as a string; `None` if it is not UTF-8.
    pub fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Whether both hold the same bytes. For change detection, not for authentication: not constant-time.
    pub fn is_same(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl From<String> for SecretBytes {
    fn from(text: String) -> Self {
        Self::new(text.into_bytes())
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        LIVE.fetch_sub(self.0.len(), Ordering::Relaxed);
        // As a slice: wiped one element at a time, as a box is, it takes four times as long.
        self.0.as_mut().zeroize();
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// One value of a map, as the backend returned it.
#[derive(Debug)]
pub enum SecretValue {
    /// A JSON string: its characters, unescaped.
    Text(SecretBytes),
    /// Any other JSON value (number, boolean, null, array, object): compact JSON, numbers as written.
    Json(SecretBytes),
}

impl SecretValue {
    /// The value in format `raw`: a string's characters, anything else as compact JSON.
    pub fn raw(&self) -> &SecretBytes {
        match self {
            Self::Text(bytes) | Self::Json(bytes) => bytes,
        }
    }

    /// Whether both are strings or both are other JSON, with the same bytes.
    pub fn is_same(&self, other: &Self) -> bool {
        matches!(self, Self::Text(_)) == matches!(other, Self::Text(_)) && self.raw().is_same(other.raw())
    }

    /// Whether this is JSON's `null`, which is never delivered.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Json(json) if json.expose() == b"null")
    }
}
