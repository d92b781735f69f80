//! A thread's place under Linux: where it runs, where packets arrive, how exact its waits are.

use std::num::NonZero;
use std::os::fd::BorrowedFd;

pub(super) fn of_this_thread() -> Option<u32> {
    u32::try_from(rustix::thread::sched_getcpu()).ok()
}

/// The processor that handled the socket's last packet.
pub(super) fn of_packets(socket: BorrowedFd<'_>) -> Option<u32> {
    rustix::net::sockopt::socket_incoming_cpu(socket).ok()
}

/// Has this thread's waits end when they are due: the system adds 50 us otherwise, to save power.
pub(super) fn wait_exactly() {
    // Waits are only less exact if the system refuses.
    let _ = rustix::thread::set_current_timer_slack(NonZero::new(1_000));
}
