//! Where a thread runs and where packets arrive: unknown on this system.

use std::os::fd::BorrowedFd;

pub(super) fn of_this_thread() -> Option<u32> {
    None
}

pub(super) fn of_packets(_socket: BorrowedFd<'_>) -> Option<u32> {
    None
}
