//! glibc's heap in a program that must stay small: what is freed goes back to the kernel. Other C libraries need none of this.

/// Keeps all threads in one arena and large blocks outside of it, so that freed memory can be returned. Call it before a
/// second thread starts.
pub fn keep_small() {
    #[cfg(target_env = "gnu")]
    for (parameter, value) in
        [(libc::M_ARENA_MAX, 1), (libc::M_MMAP_THRESHOLD, 128 << 10), (libc::M_TRIM_THRESHOLD, 256 << 10)]
    {
        // A parameter that is refused leaves the default.
        // SAFETY: mallopt changes only the allocator's own parameters.
        let _ = unsafe { libc::mallopt(parameter, value) };
    }
}

/// Returns freed memory to the kernel.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim touches only pages that no block is in.
    let _ = unsafe { libc::malloc_trim(0) };
}
