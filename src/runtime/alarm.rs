//! A timer with the runtime it belongs to: what a sleep or a timeout keeps inside itself.

use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::task::Waker;

use pin_project_lite::pin_project;

use crate::driver::clock::Instant;
use crate::driver::timers::{Bell, Timer};
use crate::runtime::Handle;
use crate::runtime::handle::outside;
use crate::runtime::lender::{Held, with_present};
use crate::task::current;

pin_project! {
    /// A timer that leaves its runtime's timers when it is dropped.
    #[derive(Debug)]
    pub(crate) struct Alarm {
        #[pin]
        timer: Timer,
        // The runtime whose timers it stands in; `None` while it stands in none.
        runtime: Option<Held>,
    }

    impl PinnedDrop for Alarm {
        fn drop(this: Pin<&mut Self>) {
            this.disarm();
        }
    }
}

/// Nothing of the user's is in it but a waker, and a timer changes under the lock of its list.
impl UnwindSafe for Alarm {}
/// As above.
impl RefUnwindSafe for Alarm {}

/// What is to wake the owner of a timer.
///
/// A task's own waker is not counted for a timer in the task's own memory.
fn bell(waker: &Waker, timer: &Timer) -> Bell {
    let lends = current::with(|current| {
        current.is_own(waker) && current.header().encloses(std::ptr::from_ref(timer).addr())
    });
    match lends {
        // SAFETY: the timer lies in the cell of the task that it wakes, and pinned, so its alarm is
        // dropped, and disarms it, before that memory is given back.
        Some(true) => unsafe { Bell::lent(waker) },
        _ => Bell::from(waker.clone()),
    }
}

#[cold]
fn has_shut_down() -> ! {
    panic!("the runtime in which this waits for its moment has shut down")
}

impl Alarm {
    pub(crate) fn new() -> Self {
        Alarm { timer: Timer::new(), runtime: None }
    }

    /// Sets the alarm, anew if it was set; `waker` is woken at `at`, once.
    ///
    /// # Panics
    /// Outside a runtime.
    pub(crate) fn arm(mut self: Pin<&mut Self>, at: Instant, waker: &Waker) {
        self.as_mut().disarm();
        let this = self.project();
        let timer = this.timer.as_ref();
        let runtime = this.runtime.insert(Held::present().unwrap_or_else(|| outside()));
        runtime.arm(timer, at, bell(waker, timer.get_ref()));
    }

    /// Sees to it that the alarm is set to `at`, or went off there, in the runtime that this thread
    /// belongs to, and that `waker` is woken.
    ///
    /// # Panics
    /// Outside a runtime, if it is not set.
    #[inline]
    pub(crate) fn keep(self: Pin<&mut Self>, at: Instant, waker: &Waker) {
        match &self.runtime {
            Some(runtime) if runtime.is_present() || !self.is_astray(runtime) => {}
            _ => return self.arm(at, waker),
        }
        let this = self.project();
        if let Some(runtime) = this.runtime
            // Nearly always it is the same one, and the timer's lock is spared.
            // SAFETY: the timer is this alarm's, to which the call has the only reference.
            && !unsafe { this.timer.will_wake(waker) }
        {
            runtime.timers().update_waker(this.timer.as_ref(), waker);
        }
    }

    /// Has its owner come to another runtime, where it is to be set anew?
    #[cold]
    fn is_astray(&self, runtime: &Handle) -> bool {
        let elsewhere = with_present(|present| !present.is_same(runtime));
        elsewhere == Some(true) && (!self.timer.fired() || self.is_cut_short())
    }

    /// Did it go off, if it did, before its moment, because its runtime has ended?
    #[inline]
    fn is_cut_short(&self) -> bool {
        let ended = self.runtime.as_ref().is_some_and(|runtime| runtime.timers().are_abandoned());
        // SAFETY: to arm it takes a mutable reference to this.
        ended && Instant::now() < unsafe { self.timer.at() }
    }

    #[inline]
    pub(crate) fn disarm(self: Pin<&mut Self>) {
        if self.is_armed() {
            self.leave();
        }
    }

    #[inline(never)]
    fn leave(self: Pin<&mut Self>) {
        let this = self.project();
        if let Some(runtime) = this.runtime.take() {
            runtime.timers().disarm(this.timer.as_ref());
        }
    }

    /// Is it set, and may it stay so though its owner wants it later? Not in a simulation, where
    /// the alarms of one moment go off in the order in which they were set.
    pub(crate) fn may_come_early(&self) -> bool {
        let loose = |runtime: &Held| !runtime.timers().are_exact();
        self.runtime.as_ref().is_some_and(loose) && !self.timer.fired()
    }

    /// Was it set, and did it go off? For who waits for it, once it has been [kept](Alarm::keep):
    /// whoever sees that it has not will be woken.
    ///
    /// # Panics
    /// If it went off only because its runtime has ended.
    #[inline]
    pub(crate) fn fired(&self) -> bool {
        let fired = self.runtime.is_some() && self.timer.fired();
        if fired && self.is_cut_short() {
            has_shut_down();
        }
        fired
    }

    /// Was it set, and has its moment come?
    pub(crate) fn has_come(&self) -> bool {
        self.runtime.is_some() && self.timer.fired() && !self.is_cut_short()
    }

    #[inline]
    pub(crate) fn is_armed(&self) -> bool {
        self.runtime.is_some()
    }
}
