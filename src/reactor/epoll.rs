//! One instance under Linux: raw epoll on polling's descriptor, an eventfd to end a wait.
//!
//! polling's own wait makes five system calls, this one makes one, two with a short limit.
//! In return polling's wait and notify are never used on this descriptor, and the two events of
//! polling's own helpers, whose key is [`polling`]'s reserved `usize::MAX`, are ignored.
//!
//! The bell is registered by edges and never read: each ring is one event. An event can be taken by
//! somebody else's [`poll`](Instance::poll), while the owner is about to block or already does, so
//! the flag `rung` says whether the owner still has to be told, and whoever takes the event of
//! a bell whose flag is up rings again.
//! Invariant: while the flag is up, the owner's next or present wait ends.
//!
//! The alarm is a timerfd, registered in the same way. If somebody else takes its event, he
//! notifies the owner, who must not oversleep.

use std::cell::Cell;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, epoll, eventfd, poll};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

use super::source::Readiness;
use crate::sys::{AtomicBool, Ordering};

/// Keys of the bell and of the alarm; sources are addresses, and none is that low.
const BELL: u64 = 0;
const ALARM: u64 = 1;

/// Key of polling's own helpers.
const RESERVED: u64 = usize::MAX as u64;

/// A shorter wait ends in time, at the price of one more call if there are events.
const SHORT: Duration = Duration::from_millis(20);

/// The longest wait in milliseconds, two weeks.
const LONGEST: u128 = 1 << 30;

/// Events taken with one call.
const BATCH: usize = 512;

std::thread_local! {
    /// Room for one batch; taken out while it is in use, so that a waker may come back here.
    static ROOM: Cell<Vec<epoll::Event>> = const { Cell::new(Vec::new()) };
}

#[derive(Debug)]
pub(super) struct Instance {
    poller: polling::Poller,
    bell: OwnedFd,
    alarm: OwnedFd,
    /// The owner has to be told, and a ring is under way.
    rung: AtomicBool,
}

/// Events of the instance itself.
#[derive(Debug, Default)]
struct Own {
    bell: bool,
    alarm: bool,
}

impl Instance {
    pub(super) fn new() -> io::Result<Self> {
        let poller = polling::Poller::new()?;
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let alarm_flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let alarm = timerfd_create(TimerfdClockId::Monotonic, alarm_flags)?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&poller, &bell, epoll::EventData::new_u64(BELL), flags)?;
        epoll::add(&poller, &alarm, epoll::EventData::new_u64(ALARM), flags)?;
        Ok(Instance { poller, bell, alarm, rung: AtomicBool::new(false) })
    }

    /// Registers `socket` for both directions, by edges. What is ready already is reported too.
    ///
    /// Not through polling, which cannot ask for `RDHUP`: without it the end of a stream that
    /// arrives together with its last bytes could not be told from the bytes alone.
    pub(super) fn add(&self, socket: BorrowedFd<'_>, key: usize) -> io::Result<()> {
        use epoll::EventFlags as Flags;
        let flags = Flags::IN | Flags::OUT | Flags::RDHUP | Flags::PRI | Flags::ET;
        Ok(epoll::add(&self.poller, socket, epoll::EventData::new_u64(key as u64), flags)?)
    }

    pub(super) fn delete(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        self.poller.delete(socket)
    }

    /// Hands out the events that are there.
    pub(super) fn poll(&self, deliver: impl FnMut(usize, Readiness)) {
        let own = self.collect(Some(Duration::ZERO), deliver);
        if own.alarm {
            self.notify();
        }
        if own.bell && self.rung.load(Ordering::Acquire) {
            self.ring();
        }
    }

    /// Hands out events; blocks until there is one, or a notification, or `limit` has passed. It
    /// may end early, with nothing.
    pub(super) fn wait(&self, limit: Option<Duration>, deliver: impl FnMut(usize, Readiness)) {
        let told = self.rung.swap(false, Ordering::AcqRel);
        self.collect(if told { Some(Duration::ZERO) } else { limit }, deliver);
        // Whoever rang until here ended this wait; the caller looks at its queues next.
        self.rung.swap(false, Ordering::AcqRel);
    }

    pub(super) fn notify(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.ring();
        }
    }

    /// Ends the present or the next wait when `time` has passed.
    pub(super) fn remind(&self, time: Duration) {
        // Zero would call it off.
        self.set_alarm(time.max(Duration::from_nanos(1)));
    }

    pub(super) fn forget(&self) {
        self.set_alarm(Duration::ZERO);
    }

    fn set_alarm(&self, time: Duration) {
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = Timespec::try_from(time).unwrap_or(zero);
        let once = Itimerspec { it_interval: zero, it_value: value };
        let result = timerfd_settime(&self.alarm, TimerfdTimerFlags::empty(), &once);
        debug_assert!(result.is_ok(), "setting a timerfd failed: {result:?}");
    }

    fn ring(&self) {
        // The counter would be full after 2^64 rings; nothing else can go wrong.
        let result = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
        debug_assert!(result.is_ok(), "ringing an eventfd failed: {result:?}");
    }

    /// Returns what was there beside the events of sources.
    fn collect(&self, limit: Option<Duration>, mut deliver: impl FnMut(usize, Readiness)) -> Own {
        let mut room = ROOM.take();
        room.reserve(BATCH);
        self.take(&mut room, limit).expect("waiting for events failed");
        let mut own = Own::default();
        for event in room.drain(..) {
            match event.data.u64() {
                BELL => own.bell = true,
                ALARM => own.alarm = true,
                RESERVED => {}
                key => deliver(key as usize, readiness(event.flags)),
            }
        }
        ROOM.set(room);
        own
    }

    /// epoll counts its limit in milliseconds, and the call that does not is too young for many
    /// kernels. So `ppoll` waits for a short time, and a long one ends a little early.
    fn take(&self, room: &mut Vec<epoll::Event>, limit: Option<Duration>) -> io::Result<()> {
        match limit {
            Some(limit) if limit < SHORT && !limit.is_zero() => match self.block(limit)? {
                true => self.take_within(room, Some(Duration::ZERO)),
                false => Ok(()),
            },
            limit => {
                let whole = |limit: Duration| limit.as_millis().min(LONGEST) as u64;
                self.take_within(room, limit.map(|limit| Duration::from_millis(whole(limit))))
            }
        }
    }

    /// `limit` is in whole milliseconds.
    fn take_within(&self, room: &mut Vec<epoll::Event>, limit: Option<Duration>) -> io::Result<()> {
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        match epoll::wait(&self.poller, spare_capacity(room), limit.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Blocks until there are events (true), or the time is up; a signal may end it early.
    fn block(&self, limit: Duration) -> io::Result<bool> {
        let mut events = [PollFd::new(&self.poller, PollFlags::IN)];
        match poll(&mut events, Timespec::try_from(limit).ok().as_ref()) {
            Ok(count) => Ok(count > 0),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

fn readiness(flags: epoll::EventFlags) -> Readiness {
    use epoll::EventFlags as Flags;
    let end = Flags::RDHUP | Flags::HUP | Flags::ERR;
    Readiness {
        read: flags.intersects(Flags::IN | Flags::PRI | end),
        write: flags.intersects(Flags::OUT | Flags::HUP | Flags::ERR),
        wary: flags.intersects(Flags::PRI | end),
    }
}
