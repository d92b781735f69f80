//! Where a thread runs and where packets arrive, under Linux.

use std::os::fd::BorrowedFd;

pub(super) fn of_this_thread() -> Option<u32> {
    u32::try_from(rustix::thread::sched_getcpu()).ok()
}

/// The processor that handled the socket's last packet.
pub(super) fn of_packets(socket: BorrowedFd<'_>) -> Option<u32> {
    rustix::net::sockopt::socket_incoming_cpu(socket).ok()
}
