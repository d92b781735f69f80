//! Waiting, as a sender, until nobody receives any more.

use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::probe::Kept;
use crate::task::reasons;
use crate::wait_list::{WaitList, Waiter, take};

/// The shared part of a channel with any number of receivers.
pub(super) trait Seats {
    /// Looks, under the channel's lock, at how many receivers there are, and at the line of those
    /// who wait for the last of them to go.
    fn look<R>(&self, look: impl FnOnce(usize, &mut WaitList<()>) -> R) -> R;
}

pin_project! {
    /// Waits until there is no receiver.
    #[must_use = "futures do nothing unless they are polled"]
    pub(super) struct Deserted<'a, C: Seats> {
        channel: &'a C,
        at: &'static Location<'static>,
        #[pin]
        waiter: Waiter<()>,
    }

    impl<C: Seats> PinnedDrop for Deserted<'_, C> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if this.waiter.is_waiting() {
                let left = this.channel.look(|_, line| line.leave(this.waiter.as_ref()));
                drop(left);
            }
        }
    }
}

impl<'a, C: Seats> Deserted<'a, C> {
    pub(super) fn new(channel: &'a C, at: &'static Location<'static>) -> Self {
        Deserted { channel, at, waiter: Waiter::new(()) }
    }
}

impl<C: Seats> Future for Deserted<'_, C> {
    type Output = ();

    /// Who was woken, and finds a new receiver, waits on.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let mut waker = Kept::of(context.waker());
        let waits = this.channel.look(|receivers, line| {
            if line.update(this.waiter.as_ref(), &mut waker) {
                return true;
            }
            this.waiter.as_mut().reset();
            if receivers > 0 {
                line.join(this.waiter.as_ref(), take(&mut waker));
            }
            receivers > 0
        });
        if !waits {
            return Poll::Ready(());
        }
        reasons::note("all receivers of a channel to be gone", this.at);
        Poll::Pending
    }
}
