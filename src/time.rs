//! Sleeps.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

pub use crate::driver::clock::Instant;
use crate::runtime::alarm::Alarm;

pin_project! {
    /// The future of [`sleep`].
    #[derive(Debug)]
    pub struct Sleep { #[pin] alarm: Alarm, at: Instant, zero: bool, yielded: bool }
}

/// Sleeps.
pub fn sleep(time: Duration) -> Sleep {
    Sleep { alarm: Alarm::new(), at: Instant::now() + time, zero: time.is_zero(), yielded: false }
}

/// Sleeps.
pub fn sleep_until(at: Instant) -> Sleep {
    Sleep { alarm: Alarm::new(), at, zero: false, yielded: false }
}

impl Future for Sleep {
    type Output = ();
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if *this.zero {
            if std::mem::replace(this.yielded, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if this.alarm.fired() {
            return Poll::Ready(());
        }
        if this.alarm.is_armed() {
            this.alarm.as_mut().update_waker(context.waker());
        } else {
            this.alarm.as_mut().arm(*this.at, context.waker());
        }
        Poll::Pending
    }
}
