//! A sleep that is no future of ours: something else wakes it, as a driver of another crate would.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

/// Sleeps until another task, which nobody knows, says that the time is over.
pub(crate) async fn foreign_sleep(time: Duration) {
    #[derive(Default)]
    struct Bell {
        rung: bool,
        waker: Option<Waker>,
    }
    let bell = Arc::new(Mutex::new(Bell::default()));
    let ringer = bell.clone();
    let ring = filch::spawn(async move {
        filch::sleep(time).await;
        let mut bell = ringer.lock().unwrap_or_else(PoisonError::into_inner);
        bell.rung = true;
        let waker = bell.waker.take();
        drop(bell);
        if let Some(waker) = waker {
            waker.wake();
        }
    });
    ring.detach();
    poll_fn(|context| {
        let mut bell = bell.lock().unwrap_or_else(PoisonError::into_inner);
        if bell.rung {
            return Poll::Ready(());
        }
        bell.waker = Some(context.waker().clone());
        Poll::Pending
    })
    .await;
}
