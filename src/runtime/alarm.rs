//! A timer with the runtime it belongs to: what a sleep or a timeout keeps inside itself.

use std::pin::Pin;
use std::task::Waker;

use pin_project_lite::pin_project;

use crate::driver::clock::Instant;
use crate::driver::timers::Timer;
use crate::runtime::Handle;

pin_project! {
    /// A timer that leaves its runtime's timers when it is dropped.
    #[derive(Debug)]
    pub(crate) struct Alarm {
        #[pin]
        timer: Timer,
        // The runtime whose timers it stands in; `None` while it stands in none.
        runtime: Option<Handle>,
        // The waker that the timer was given, which keeps what this names while it is armed.
        waker: Identity,
    }

    impl PinnedDrop for Alarm {
        fn drop(this: Pin<&mut Self>) {
            this.disarm();
        }
    }
}

/// Which waker it is: the addresses of its data and its functions, to be compared only.
type Identity = (usize, usize);

fn identity(waker: &Waker) -> Identity {
    (waker.data().addr(), std::ptr::from_ref(waker.vtable()).addr())
}

impl Alarm {
    pub(crate) fn new() -> Self {
        Alarm { timer: Timer::new(), runtime: None, waker: (0, 0) }
    }

    /// Sets the alarm, anew if it was set; `waker` is woken at `at`, once.
    ///
    /// # Panics
    /// Outside a runtime.
    pub(crate) fn arm(mut self: Pin<&mut Self>, at: Instant, waker: &Waker) {
        self.as_mut().disarm();
        let mut this = self.project();
        *this.waker = identity(waker);
        let runtime = this.runtime.insert(Handle::current());
        runtime.arm(this.timer.as_mut().as_ref(), at, waker.clone());
    }

    /// Has somebody else be woken.
    #[inline]
    pub(crate) fn update_waker(self: Pin<&mut Self>, waker: &Waker) {
        let this = self.project();
        // Nearly always it is the same one, and the timer's lock is spared.
        if *this.waker != identity(waker)
            && let Some(runtime) = this.runtime
        {
            *this.waker = identity(waker);
            runtime.timers().update_waker(this.timer.as_ref(), waker);
        }
    }

    pub(crate) fn disarm(self: Pin<&mut Self>) {
        let this = self.project();
        if let Some(runtime) = this.runtime.take() {
            runtime.timers().disarm(this.timer.as_ref());
        }
    }

    /// Was it set, and did it go off?
    pub(crate) fn fired(&self) -> bool {
        self.runtime.is_some() && self.timer.fired()
    }

    pub(crate) fn is_armed(&self) -> bool {
        self.runtime.is_some()
    }
}
