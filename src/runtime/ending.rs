//! The end of a runtime, where nobody may block for it.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::runtime::engine::Engine;
use crate::runtime::slot::Slot;
use crate::sys::{Arc, thread};

/// The future of [`Runtime::shutdown`](crate::Runtime::shutdown).
#[must_use = "the runtime ends all the same; to await this is to know when it has"]
pub struct RuntimeShutdown {
    /// None: the runtime has ended.
    slot: Option<Arc<Slot<()>>>,
}

/// Says that the runtime has ended, whatever way its thread does.
struct Tell(Arc<Slot<()>>);

impl Drop for Tell {
    fn drop(&mut self) {
        self.0.fill(());
    }
}

impl RuntimeShutdown {
    /// Ends a runtime in a thread of its own; without a grace period here, if there is no thread.
    pub(super) fn begin(engine: &Arc<Engine>, grace: Duration) -> Self {
        let slot = Slot::new();
        let (end, tell) = (engine.clone(), Tell(slot.clone()));
        let ender = thread::Builder::new().name("filch-end".to_owned());
        let ending = ender.spawn(move || {
            end.shut_down(grace);
            // With it go the descriptors.
            drop(end);
            drop(tell);
        });
        if ending.is_err() {
            engine.shut_down(Duration::ZERO);
        }
        RuntimeShutdown { slot: Some(slot) }
    }

    /// There is nothing to wait for.
    pub(super) fn over() -> Self {
        RuntimeShutdown { slot: None }
    }
}

impl Future for RuntimeShutdown {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Some(slot) = &self.slot {
            ready!(slot.poll(context.waker()));
            self.slot = None;
        }
        Poll::Ready(())
    }
}

impl Drop for RuntimeShutdown {
    fn drop(&mut self) {
        if let Some(slot) = &self.slot {
            slot.leave();
        }
    }
}

impl fmt::Debug for RuntimeShutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeShutdown").finish_non_exhaustive()
    }
}
