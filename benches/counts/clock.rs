//! A clock that goes on by the same time with each look: what a runtime does after so many
//! microseconds, it does after so many looks, however fast the machine is under valgrind.
//!
//! `clock_gettime` is this file's own, for the whole process.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

use std::sync::atomic::{AtomicI64, Ordering};

use libc::{c_int, clockid_t, timespec};

/// About what a runtime takes on real hardware from one look to the next, in nanoseconds.
const STEP: i64 = 3_000;

static NOW: AtomicI64 = AtomicI64::new(1_000_000_000);

/// # Safety
/// As of the system's own.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(_: clockid_t, time: *mut timespec) -> c_int {
    let now = NOW.fetch_add(STEP, Ordering::Relaxed);
    // SAFETY: the caller's promise is that it can be written.
    unsafe { *time = timespec { tv_sec: now / 1_000_000_000, tv_nsec: now % 1_000_000_000 } };
    0
}
