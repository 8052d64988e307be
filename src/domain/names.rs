//! Validated names that reach the kernel: environment variables, files, file modes.

use std::collections::BTreeMap;
use std::fmt;

/// Why a name or mode is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("is empty")]
    Empty,
    /// An environment name with `=`.
    #[error("an environment name cannot hold \"=\"")]
    Equals,
    /// A control character, or a character that a terminal does not show or that changes the position of others.
    #[error("cannot hold a control character, a line separator or an invisible mark")]
    Control,
    /// White space in an environment name.
    #[error("an environment name cannot hold a blank")]
    Blank,
    /// A NUL byte.
    #[error("cannot hold a NUL byte")]
    Nul,
    /// A file name that starts with `/`.
    #[error("must be relative to the volume, without a leading \"/\"")]
    Absolute,
    /// `.`, `..` or an empty component.
    #[error("cannot have a component that is empty, \".\" or \"..\"")]
    Component,
    /// A first component that starts with `..`: the volume uses such names itself.
    #[error("cannot start with \"..\" (the volume keeps its generations under such names)")]
    Reserved,
    /// Longer than the limit, in bytes.
    #[error("is longer than {0} bytes")]
    TooLong(usize),
    /// A mode that is not three or four octal digits.
    #[error("expected an octal mode in quotes, such as \"0440\"")]
    Mode,
    /// A mode with permissions for others.
    #[error("gives rights to everybody; a secret file is for its owner and group, such as \"0440\"")]
    WorldMode,
    /// Setuid, setgid, sticky or execute bits.
    #[error("has bits other than read and write of owner and group; expected something like \"0440\"")]
    OddMode,
}

/// The name of an environment variable: not empty, no `=`, no NUL (environ(7)), and no characters that could break
/// or forge a log line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvName(String);

impl EnvName {
    /// Parses a name.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        match name {
            "" => Err(NameError::Empty),
            _ if name.contains('=') => Err(NameError::Equals),
            _ if name.contains('\0') => Err(NameError::Nul),
            _ if name.contains(is_invisible) => Err(NameError::Control),
            _ if name.contains(char::is_whitespace) => Err(NameError::Blank),
            _ => Ok(Self(name.to_owned())),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EnvName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether it is a control character (C0, DEL, C1), a line or paragraph separator, or a mark that is not shown or
/// changes the text direction.
pub(super) fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A file's path relative to the volume; `/` separates folders.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(String);

impl FileName {
    /// Parses a relative path without `.`, `..` or empty components, and without a leading `..` in its first
    /// component.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        const COMPONENT: usize = 255; // NAME_MAX, limits.h
        const WHOLE: usize = 1024;
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.contains('\0') {
            return Err(NameError::Nul);
        }
        if name.contains(is_invisible) {
            return Err(NameError::Control);
        }
        if name.starts_with('/') {
            return Err(NameError::Absolute);
        }
        if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(NameError::Component);
        }
        if name.starts_with("..") {
            return Err(NameError::Reserved);
        }
        if name.split('/').any(|part| part.len() > COMPONENT) {
            return Err(NameError::TooLong(COMPONENT));
        }
        if name.len() > WHOLE {
            return Err(NameError::TooLong(WHOLE));
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path's components, at least one.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The first of `names` that cannot be a file beside an earlier one, behind that one: both are the same file, or one would have
    /// to be a folder too. The time is linear in the number of names, but for a logarithm.
    pub fn first_clash<'a>(names: impl IntoIterator<Item = &'a Self>) -> Option<(&'a Self, &'a Self)> {
        let mut seen: BTreeMap<&str, &Self> = BTreeMap::new();
        for name in names {
            let folders = name.0.match_indices('/').map(|(end, _)| &name.0[..end]);
            let above = folders.chain([name.0.as_str()]).find_map(|path| seen.get(path));
            let folder = format!("{}/", name.0);
            let below = || seen.range(folder.as_str()..).next().filter(|(path, _)| path.starts_with(&folder));
            if let Some(earlier) = above.or_else(|| below().map(|(_, earlier)| earlier)) {
                return Some((earlier, name));
            }
            seen.insert(&name.0, name);
        }
        None
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Permission bits of a secret file: read and write of owner and group only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileMode(u32);

impl FileMode {
    /// 0400.
    pub const OWNER: Self = Self(0o400);
    /// 0440.
    pub const OWNER_AND_GROUP: Self = Self(0o440);

    /// Parses three or four octal digits.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if !(3..=4).contains(&text.len()) || !text.bytes().all(|b| (b'0'..=b'7').contains(&b)) {
            return Err(NameError::Mode);
        }
        let bits = u32::from_str_radix(text, 8).map_err(|_| NameError::Mode)?;
        if bits & 0o007 != 0 {
            return Err(NameError::WorldMode);
        }
        if bits & !0o660 != 0 || bits == 0 {
            return Err(NameError::OddMode);
        }
        Ok(Self(bits))
    }

    /// Whether the group has read permission.
    pub fn is_for_group(self) -> bool {
        self.0 & 0o040 != 0
    }

    /// The permission bits, for chmod(2).
    pub fn bits(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_stay_inside_the_volume() {
        for good in ["a", "a.b", "a/b/c", ".hidden", "a..b", "a/..b", "…"] {
            assert!(FileName::parse(good).is_ok(), "{good}");
        }
        for (bad, error) in [
            ("", NameError::Empty),
            ("/a", NameError::Absolute),
            ("..", NameError::Component),
            ("a/../b", NameError::Component),
            ("a//b", NameError::Component),
            ("a/", NameError::Component),
            ("./a", NameError::Component),
            ("..data", NameError::Reserved),
            ("a\0", NameError::Nul),
        ] {
            assert_eq!(FileName::parse(bad), Err(error), "{bad}");
        }
        assert_eq!(FileName::parse(&"x".repeat(256)), Err(NameError::TooLong(255)));
    }

    #[test]
    fn a_file_cannot_be_a_folder_too() {
        let clash = |texts: &[&str]| {
            let names: Vec<_> = texts.iter().map(|text| FileName::parse(text).unwrap()).collect();
            FileName::first_clash(&names).map(|(earlier, name)| format!("{earlier} {name}"))
        };
        assert_eq!(clash(&["a", "a/b"]).unwrap(), "a a/b");
        assert_eq!(clash(&["a/b", "a"]).unwrap(), "a/b a");
        assert_eq!(clash(&["x", "a", "b", "a"]).unwrap(), "a a");
        assert_eq!(clash(&["a/b/c", "a/b-c", "a/b"]).unwrap(), "a/b/c a/b");
        assert_eq!(clash(&["a/b", "a/b/c/d"]).unwrap(), "a/b a/b/c/d");
        assert_eq!(clash(&["a", "ab", "a-/b", "b/a", "a.b/c"]), None);
    }

    #[test]
    fn modes_are_octal_and_never_for_everybody() {
        assert_eq!(FileMode::parse("0440").map(FileMode::bits), Ok(0o440));
        assert_eq!(FileMode::parse("600").map(FileMode::bits), Ok(0o600));
        for (bad, error) in [
            ("0444", NameError::WorldMode),
            ("0666", NameError::WorldMode),
            ("4400", NameError::OddMode),
            ("0500", NameError::OddMode),
            ("0000", NameError::OddMode),
            ("288", NameError::Mode),
            ("0x1b", NameError::Mode),
            ("+440", NameError::Mode),
            ("", NameError::Mode),
        ] {
            assert_eq!(FileMode::parse(bad), Err(error), "{bad}");
        }
    }

    #[test]
    fn a_name_that_breaks_or_forges_a_line_is_refused() {
        for c in [
            '\n', '\r', '\t', '\u{1b}', '\u{7f}', '\u{85}', '\u{9b}', '\u{2028}', '\u{2029}', '\u{202e}', '\u{200b}',
            '\u{feff}',
        ] {
            let name = format!("A{c}B");
            assert_eq!(EnvName::parse(&name), Err(NameError::Control), "{name:?}");
            assert_eq!(FileName::parse(&name), Err(NameError::Control), "{name:?}");
        }
        assert_eq!(EnvName::parse(""), Err(NameError::Empty));
        assert_eq!(EnvName::parse("A=B"), Err(NameError::Equals));
        assert_eq!(EnvName::parse("A\0B"), Err(NameError::Nul));
        for blank in ["A B", " A", "A\u{a0}", "A\u{3000}B"] {
            assert_eq!(EnvName::parse(blank), Err(NameError::Blank), "{blank:?}");
        }
        assert!(EnvName::parse("Grüße").is_ok());
    }
}
