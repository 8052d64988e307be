//! The program: libFuzzer's `main`, and a target by the name in FUZZ_TARGET.

#![no_main]

use std::ffi::{c_char, c_int};
use std::sync::OnceLock;

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

/// Once, before everything.
#[unsafe(no_mangle)]
extern "C" fn LLVMFuzzerInitialize(_count: *const c_int, _words: *const *const *const c_char) -> c_int {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let Some((_, target)) = secret_exec_fuzz::TARGETS.iter().find(|(known, _)| *known == name) else {
        eprintln!("FUZZ_TARGET={name} is none of {:?}", secret_exec_fuzz::TARGETS.map(|(known, _)| known));
        std::process::exit(64);
    };
    TARGET.get_or_init(|| *target);
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        told(panic);
        std::process::abort(); // before the stack unwinds: the engine keeps the input
    }));
    0
}

/// Once for each input.
///
/// # Safety
/// libFuzzer gives `size` bytes at `data`.
#[unsafe(no_mangle)]
unsafe extern "C" fn LLVMFuzzerTestOneInput(data: *const u8, size: usize) -> c_int {
    // SAFETY: as said above; of no bytes the address may be anything.
    let bytes = if size == 0 { &[] } else { unsafe { std::slice::from_raw_parts(data, size) } };
    TARGET.get().expect("initialised")(bytes);
    0
}
