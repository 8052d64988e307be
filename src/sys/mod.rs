//! System calls: what reaches the kernel without going through the standard library. Imports nothing of the crate.

pub mod fs;
pub mod mount;
