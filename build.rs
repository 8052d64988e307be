//! Packs the relative relocations of the programs (`DT_RELR`): half a megabyte less, and less to read at each start.
//!
//! The start code of a static program applies them since glibc 2.36. With an older one, and for another machine, they stay
//! as the linker writes them.

use std::env;

#[expect(clippy::disallowed_methods, reason = "the environment of a build is cargo's")]
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is_for_this_machine = env::var_os("HOST") == env::var_os("TARGET");
    if is_for_this_machine && glibc().is_some_and(|version| version >= (2, 36)) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The version of this machine's glibc, if it has one (gnu_get_libc_version(3)).
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the C library is asked for its version")]
fn glibc() -> Option<(u32, u32)> {
    unsafe extern "C" {
        fn gnu_get_libc_version() -> *const std::ffi::c_char;
    }
    // SAFETY: it takes nothing and returns a constant text that ends with NUL.
    let version = unsafe { std::ffi::CStr::from_ptr(gnu_get_libc_version()) };
    let mut numbers = version.to_str().ok()?.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn glibc() -> Option<(u32, u32)> {
    None
}
