//! What is executed: path, arguments and environment in `execve`'s form, in memory that is wiped on drop.

use std::ffi::{CString, OsStr, c_char};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// What the kernel adds to these strings, in bytes: the program's path, a script's interpreter, the auxiliary
/// vector.
const RESERVE: usize = 4096;

/// Why something cannot be executed. Names variables, never values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// The path or an argument holds a NUL byte.
    #[error("{0} holds a NUL byte")]
    ArgumentWithNul(Argument),
    /// An argument exceeds the kernel's limit for one string.
    #[error("{argument} is {length} bytes long; the kernel takes {limit} at most")]
    ArgumentTooLong {
        /// The argument.
        argument: Argument,
        /// Its length with the NUL.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// A variable's name is empty or holds `=` or NUL.
    #[error("{0:?} cannot be the name of an environment variable")]
    Name(String),
    /// A value contains a NUL byte, which ends a string of the environment.
    #[error("the value of {0} holds a NUL byte, which no environment variable can: deliver it as a file")]
    ValueWithNul(String),
    /// One variable exceeds the kernel's limit for one string.
    #[error("{name} is {length} bytes long, the kernel takes {limit} at most for one variable: deliver it as a file")]
    VariableTooLong {
        /// The variable.
        name: String,
        /// Length of name, `=`, value and NUL.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// All strings together exceed the kernel's limit.
    #[error(
        "arguments and environment are {total} bytes together, the kernel takes {limit} (stack limit/4); \
         the largest variables are {}: deliver them as files", .largest.join(", ")
    )]
    TooLarge {
        /// The total as the kernel counts it.
        total: usize,
        /// The limit.
        limit: usize,
        /// Names of the three largest variables, the largest first.
        largest: Vec<String>,
    },
}

/// An argument by its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argument(pub usize);

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("the command"),
            number => write!(f, "argument {number}"),
        }
    }
}

/// The kernel's limits, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// One string with its NUL (`MAX_ARG_STRLEN`).
    pub string: usize,
    /// All strings and the pointers to them.
    pub total: usize,
}

impl Limits {
    /// The limits for a program started now: 32 pages per string; in all, a quarter of the stack limit, but at
    /// least 128 KiB and at most 6 MiB (execve(2), "Limits on size of arguments and environment").
    pub fn now() -> Self {
        // SAFETY: reads a number.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        let page = usize::try_from(page).unwrap_or(4096);
        let stack =
            nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_STACK).map_or(0, |limit| limit.0);
        let quarter = usize::try_from(stack / 4).unwrap_or(usize::MAX);
        Self { string: 32 * page, total: quarter.clamp(32 * 4096, 6 * 1024 * 1024) }
    }
}

/// A program ready to be executed: checked, and without any allocation left to do. Only `execve` itself can fail.
///
/// Each block of strings is one allocation that never grows, so no copy of a value is left in freed memory; it is
/// wiped on drop.
#[derive(Debug)]
pub struct Image {
    path: CString,
    arguments: Block,
    environment: Block,
    /// The variables that get the child's process id: index in the environment, and where the value begins.
    with_pid: Vec<(usize, usize)>,
}

/// Space for the digits of any process id; NULs until it is known.
const ROOM_FOR_PID: [u8; 10] = [0; 10];

impl Image {
    /// Builds the blocks and checks them against `limits`.
    ///
    /// `arguments` begins with the name the program sees (`argv[0]`).
    pub fn new<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        path: &Path,
        arguments: &[impl AsRef<OsStr>],
        environment: &[(N, V)],
        limits: Limits,
    ) -> Result<Self, ImageError> {
        Self::for_child(path, arguments, environment, &[], limits)
    }

    /// Builds the image of a child and checks it against `limits`. The variables named in `own_pid` get the child's
    /// process id as their value, after fork.
    pub fn for_child<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        path: &Path,
        arguments: &[impl AsRef<OsStr>],
        environment: &[(N, V)],
        own_pid: &[&[u8]],
        limits: Limits,
    ) -> Result<Self, ImageError> {
        let argument = |(place, text): (usize, &[u8])| {
            if text.contains(&0) {
                return Err(ImageError::ArgumentWithNul(Argument(place)));
            }
            if text.len() >= limits.string {
                let (length, limit) = (text.len() + 1, limits.string);
                return Err(ImageError::ArgumentTooLong { argument: Argument(place), length, limit });
            }
            Ok(())
        };
        let texts: Vec<&[u8]> = arguments.iter().map(|text| text.as_ref().as_bytes()).collect();
        std::iter::once((0, path.as_os_str().as_bytes()))
            .chain(texts.iter().copied().enumerate())
            .try_for_each(argument)?;
        let variables: Vec<(&[u8], &[u8])> =
            environment.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect();
        variables.iter().try_for_each(|(name, value)| check_variable(name, value, limits))?;

        let arguments = Block::new(texts.iter().map(|text| [text, &b""[..], &b""[..]]));
        let is_own_pid = |name: &[u8]| own_pid.contains(&name);
        let value = |name: &[u8], value| if is_own_pid(name) { &ROOM_FOR_PID[..] } else { value };
        let environment = Block::new(variables.iter().map(|(name, old)| [name, &b"="[..], value(name, old)]));
        let with_pid = variables.iter().enumerate().filter(|(_, (name, _))| is_own_pid(name));
        let with_pid = with_pid.map(|(at, (name, _))| (at, name.len() + 1)).collect();
        let path = CString::new(path.as_os_str().as_bytes()).expect("checked for NUL above");
        let total = arguments.weight() + environment.weight() + path.as_bytes().len() + RESERVE;
        if total > limits.total {
            return Err(ImageError::TooLarge { total, limit: limits.total, largest: largest(variables) });
        }
        Ok(Self { path, arguments, environment, with_pid })
    }

    /// Writes the process id of the calling forked child into the variables of `own_pid`. Usable between fork and
    /// execve.
    pub(super) fn write_own_pid(&self) {
        let mut digits = [0_u8; ROOM_FOR_PID.len()];
        let mut rest = std::process::id();
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        for (variable, start) in &self.with_pid {
            // SAFETY: the string was built with space for as many bytes after its `=` (`for_child`), in memory owned
            // by `self` that is reached only through these pointers; what follows the digits is NUL already.
            unsafe {
                let value = self.environment.pointers[*variable].cast_mut().cast::<u8>().add(*start);
                value.copy_from_nonoverlapping(digits[at..].as_ptr(), digits.len() - at);
            }
        }
    }

    /// The program's path.
    pub fn path(&self) -> PathBuf {
        OsStr::from_bytes(self.path.as_bytes()).into()
    }

    /// Executes it. Returns only on failure. Only a system call: usable between fork and execve.
    pub(super) fn execve(&self) -> nix::Error {
        // SAFETY: the path and every string end in NUL and both arrays in a null pointer (see `Block::new`); all of it
        // lives as long as `self`.
        unsafe { libc::execve(self.path.as_ptr(), self.arguments.as_ptr(), self.environment.as_ptr()) };
        nix::Error::last()
    }
}

/// Checks one variable's name, value and length.
fn check_variable(name: &[u8], value: &[u8], limits: Limits) -> Result<(), ImageError> {
    let shown = || String::from_utf8_lossy(name).into_owned();
    if name.is_empty() || name.contains(&b'=') || name.contains(&0) {
        return Err(ImageError::Name(shown()));
    }
    if value.contains(&0) {
        return Err(ImageError::ValueWithNul(shown()));
    }
    let length = name.len() + value.len() + 2;
    if length > limits.string {
        return Err(ImageError::VariableTooLong { name: shown(), length, limit: limits.string });
    }
    Ok(())
}

/// Names of the three largest variables, the largest first.
fn largest(mut variables: Vec<(&[u8], &[u8])>) -> Vec<String> {
    variables.sort_by_key(|(name, value)| std::cmp::Reverse(name.len() + value.len()));
    variables.iter().take(3).map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect()
}

/// NUL-terminated strings in one wiped allocation, and the null-terminated array of pointers to them.
struct Block {
    strings: Zeroizing<Vec<u8>>,
    pointers: Vec<*const c_char>,
}

impl Block {
    /// Joins the three pieces of each string. No piece may contain NUL.
    fn new<'a>(strings: impl Iterator<Item = [&'a [u8]; 3]> + Clone) -> Self {
        let bytes = strings.clone().map(|pieces| pieces.iter().map(|piece| piece.len()).sum::<usize>() + 1).sum();
        let mut block = Zeroizing::new(Vec::with_capacity(bytes));
        let mut starts = Vec::new();
        for pieces in strings {
            starts.push(block.len());
            pieces.iter().for_each(|piece| block.extend_from_slice(piece));
            block.push(0);
        }
        assert_eq!(block.len(), bytes, "it never grew, so no copy was left behind");
        let ends = std::iter::once(std::ptr::null());
        let first = block.as_mut_ptr();
        let pointers = starts.iter().map(|start| first.wrapping_add(*start).cast_const().cast()).chain(ends).collect();
        Self { strings: block, pointers }
    }

    /// The array for `execve`.
    fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }

    /// The size as the kernel counts it: the strings and the pointers.
    fn weight(&self) -> usize {
        self.strings.len() + self.pointers.len() * size_of::<*const c_char>()
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[strings]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { string: 32 * 4096, total: 2 * 1024 * 1024 };

    fn image(environment: &[(&str, &[u8])]) -> Result<Image, ImageError> {
        Image::new(Path::new("/bin/app"), &["app", "-x"], environment, LIMITS)
    }

    #[test]
    fn the_blocks_hold_strings_that_end_in_nul_and_arrays_that_end_in_null() {
        let image = image(&[("A", b"1"), ("EMPTY", b"")]).unwrap();
        assert_eq!(*image.arguments.strings, b"app\0-x\0");
        assert_eq!(*image.environment.strings, b"A=1\0EMPTY=\0");
        let start: *const c_char = image.environment.strings.as_ptr().cast();
        assert_eq!(image.environment.pointers, [start, start.wrapping_add(4), std::ptr::null()]);
    }

    #[test]
    fn a_value_with_nul_is_refused_by_name_and_never_shown() {
        let error = image(&[("KEYSTORE", b"canary\0x")]).unwrap_err();
        assert_eq!(error, ImageError::ValueWithNul("KEYSTORE".into()));
        assert!(!error.to_string().contains("canary"));
    }

    #[test]
    fn a_name_is_not_empty_and_holds_no_equals_sign() {
        for name in ["", "A=B", "A\0"] {
            assert_eq!(image(&[(name, b"x")]).unwrap_err(), ImageError::Name(name.into()));
        }
    }

    #[test]
    fn one_variable_may_be_as_long_as_the_kernel_takes_and_no_longer() {
        let longest = vec![b'x'; LIMITS.string - "A=".len() - 1];
        assert!(image(&[("A", &longest)]).is_ok());
        let longer = vec![b'x'; longest.len() + 1];
        let (length, limit) = (LIMITS.string + 1, LIMITS.string);
        assert_eq!(
            image(&[("A", &longer)]).unwrap_err(),
            ImageError::VariableTooLong { name: "A".into(), length, limit }
        );
    }

    #[test]
    fn when_all_is_too_large_the_largest_variables_are_named() {
        let big = vec![b'x'; 100_000];
        let names: Vec<String> = (0..30).map(|n| format!("V{n}")).collect();
        let mut environment: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &big[..])).collect();
        environment.push(("LARGEST", &[b'x'; 120_000]));
        let ImageError::TooLarge { largest, total, .. } = image(&environment).unwrap_err() else { panic!() };
        assert_eq!((largest[0].as_str(), largest.len()), ("LARGEST", 3));
        assert!(total > 30 * 100_000);
    }

    #[test]
    fn arguments_are_named_by_their_place() {
        let error = Image::new(Path::new("/bin/app"), &["app", "a\0b"], &[("A", "")], LIMITS).unwrap_err();
        assert_eq!(error.to_string(), "argument 1 holds a NUL byte");
        assert!(!format!("{:?}", image(&[("A", b"canary")])).contains("canary"));
    }
}
