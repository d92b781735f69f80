//! `call_soon`, `call_later`, `call_at`, and the handle that takes a callback back.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use crate::driver::clock::Instant;
use crate::runtime::Handle;
use crate::runtime::calls::{Call, Calls};

impl Handle {
    /// Calls `call` soon: behind what is ready, outside any task, from any thread (LOOP-01,
    /// LOOP-10).
    ///
    /// Callbacks of one runtime are called one after the other, in the order of their registration;
    /// one that blocks holds up the others, so what would wait for a task, such as
    /// [`Runtime::block_on`](crate::Runtime::block_on), panics in it. They see the context
    /// variables of where they were registered (CTX-03). A panic in one is reported to the
    /// exception handler (LOOP-08). What was registered before the runtime ends is called, as long
    /// as its [grace](crate::Builder::grace) lasts; afterwards, the callback is dropped, and the
    /// handle is cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// use filch::{Handle, Promise};
    ///
    /// # filch::sim::run(0, async {
    /// let promise = Promise::new();
    /// let there = promise.clone();
    /// Handle::current().call_soon(move || there.set(42).unwrap());
    /// assert_eq!(promise.await?, 42);
    /// # Ok(())
    /// # }).unwrap();
    /// ```
    #[track_caller]
    #[doc(alias("loop.call_soon", "loop.call_soon_threadsafe"))]
    pub fn call_soon(&self, call: impl FnOnce() + Send + 'static) -> CallHandle {
        let calls = self.calls();
        let call = calls.soon(call, Location::caller());
        CallHandle { calls: calls.clone(), call, timed: None }
    }

    /// Calls `call` when `delay` has passed.
    ///
    /// A delay of zero is over behind what is ready now (LOOP-03). All else is as for
    /// [`call_soon`](Handle::call_soon); callbacks whose moment has come are called in the order of
    /// their moments (LOOP-04). Nobody waits for a callback's moment: if the runtime ends before,
    /// it is dropped.
    #[track_caller]
    #[doc(alias = "loop.call_later")]
    pub fn call_later(&self, delay: Duration, call: impl FnOnce() + Send + 'static) -> CallHandle {
        self.call_at(Instant::now() + delay, call)
    }

    /// Calls `call` when `at` has come, and no earlier (LOOP-05).
    ///
    /// See [`call_later`](Handle::call_later).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use filch::time::Instant;
    /// use filch::{Handle, Promise};
    ///
    /// # filch::sim::run(0, async {
    /// let promise = Promise::new();
    /// let there = promise.clone();
    /// let noon = Instant::now() + Duration::from_secs(3600);
    /// Handle::current().call_at(noon, move || there.set(Instant::now()).unwrap());
    /// assert_eq!(promise.await?, noon);
    /// # Ok(())
    /// # }).unwrap();
    /// ```
    #[track_caller]
    #[doc(alias = "loop.call_at")]
    pub fn call_at(&self, at: Instant, call: impl FnOnce() + Send + 'static) -> CallHandle {
        let calls = self.calls();
        let (call, key) = calls.at(at, call, Location::caller());
        CallHandle { calls: calls.clone(), call, timed: Some((at, key)) }
    }
}

/// A callback that was registered: takes it back. Dropping this does not.
#[derive(Clone)]
#[doc(alias("asyncio.Handle", "asyncio.TimerHandle"))]
pub struct CallHandle {
    calls: Arc<Calls>,
    call: Arc<Call>,
    timed: Option<(Instant, u64)>,
}

impl CallHandle {
    /// Takes the callback back and drops it at once, and returns whether it was still to be called.
    ///
    /// It may be asked for until the moment the callback starts, and again and again (LOOP-06).
    #[doc(alias("Handle.cancel", "TimerHandle.cancel"))]
    pub fn cancel(&self) -> bool {
        let cancelled = self.call.cancel();
        if let Some((_, key)) = self.timed {
            self.calls.forget(key);
        }
        cancelled
    }

    /// Tells whether the callback was taken back, or dropped by the end of the runtime.
    #[doc(alias = "Handle.cancelled")]
    pub fn is_cancelled(&self) -> bool {
        self.call.is_cancelled()
    }

    /// Returns the moment it waits for, if it was registered with one.
    #[doc(alias = "TimerHandle.when")]
    pub fn when(&self) -> Option<Instant> {
        self.timed.map(|(at, _)| at)
    }
}

impl fmt::Debug for CallHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = if self.is_cancelled() { " cancelled" } else { "" };
        write!(f, "<callback{status} at {}>", self.call.place())
    }
}
