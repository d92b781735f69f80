//! One task: its life, its end, its cancellation.

mod freelist;
pub(crate) mod live;
pub(crate) mod memory;

use std::ptr::NonNull;

/// The right to poll a scheduled task once. (Provisional: replaced by the real one.)
pub(crate) struct Runnable(NonNull<()>);

// SAFETY: provisional; the closure inside is `Send`.
unsafe impl Send for Runnable {}

impl Runnable {
    pub(crate) fn for_test(run: impl FnOnce() + Send + 'static) -> Self {
        let boxed: Box<Box<dyn FnOnce() + Send>> = Box::new(Box::new(run));
        Runnable(NonNull::from(Box::leak(boxed)).cast())
    }

    pub(crate) fn run(self) {
        // SAFETY: provisional; made by `for_test`, used once.
        let run = unsafe { Box::from_raw(self.0.cast::<Box<dyn FnOnce() + Send>>().as_ptr()) };
        run();
    }

    pub(crate) fn into_raw(self) -> NonNull<()> {
        self.0
    }

    /// # Safety
    /// `raw` comes from [`into_raw`](Runnable::into_raw) and is used once.
    pub(crate) unsafe fn from_raw(raw: NonNull<()>) -> Self {
        Runnable(raw)
    }
}

pub(crate) type Job = Box<dyn FnOnce() + Send>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// Somebody woke it, or it is new.
    Woken,
    /// It woke itself while it was polled: it goes behind everything that is ready.
    Yielded,
}

/// Where a task goes when it is woken.
pub(crate) trait Schedule: Send + Sync {
    /// Queues a task. From any thread.
    fn schedule(&self, task: Runnable, why: Why);

    /// Runs a done-callback: at once on threads, queued behind what is ready in a simulation.
    fn job(&self, job: Job);
}
