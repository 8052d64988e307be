//! Settings of glibc's heap that keep memory use small: freed memory is returned to the kernel. Other C libraries
//! need none.

/// Makes all threads use one arena and keeps large blocks outside of it, so that freed memory can be returned. Must
/// be called before a second thread starts.
pub fn keep_small() {
    #[cfg(target_env = "gnu")]
    for (parameter, value) in
        [(libc::M_ARENA_MAX, 1), (libc::M_MMAP_THRESHOLD, 128 << 10), (libc::M_TRIM_THRESHOLD, 256 << 10)]
    {
        // A refused parameter keeps its default.
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
