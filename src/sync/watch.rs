//! A channel that keeps the latest value only.
//!
//! The value has a version; a receiver remembers which one it has seen.

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::sync::block::block_on;
use crate::sys::{Arc, Mutex, MutexGuard};
use crate::wait_list::{WaitList, Waiter, Wakers};

#[derive(Debug)]
struct Shared<T> {
    value: T,
    version: u64,
    senders: usize,
    receivers: usize,
    line: WaitList<()>,
}

/// Makes a channel that holds `value` until another one is sent.
///
/// # Examples
///
/// ```
/// use filch::sync::watch;
///
/// filch::sim::run(0, async {
///     let (sender, mut receiver) = watch::channel("starting");
///     sender.send("running");
///     sender.send("stopping");
///     receiver.changed().await?;
///     assert_eq!(*receiver.borrow(), "stopping");
///     Ok(())
/// })
/// .unwrap();
/// ```
pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let line = WaitList::new();
    let shared = Shared { value, version: 0, senders: 1, receivers: 1, line };
    let shared = Arc::new(Mutex::new(shared));
    (Sender { shared: shared.clone() }, Receiver { shared, seen: 0 })
}

/// Changes the value.
pub struct Sender<T> {
    shared: Arc<Mutex<Shared<T>>>,
}

/// Sees the value, and waits for it to change.
pub struct Receiver<T> {
    shared: Arc<Mutex<Shared<T>>>,
    /// The version it has seen.
    seen: u64,
}

/// All senders are gone: the value will not change any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("watch channel is closed")
    }
}

impl std::error::Error for Closed {}

/// A look at the value, which cannot be changed meanwhile: keep it short, and ask the channel
/// nothing else.
#[derive(Debug)]
pub struct Ref<'a, T> {
    shared: MutexGuard<'a, Shared<T>>,
}

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.shared.value
    }
}

impl<T> Sender<T> {
    /// Sets the value and tells all receivers; the one before comes back. There need not be any
    /// receiver.
    pub fn send(&self, value: T) -> T {
        let mut old = value;
        self.modify(|value| std::mem::swap(value, &mut old));
        old
    }

    /// Changes the value in place and tells all receivers.
    ///
    /// The channel is locked meanwhile: `change` must not use it.
    pub fn modify(&self, change: impl FnOnce(&mut T)) {
        self.modify_if(|value| {
            change(value);
            true
        });
    }

    /// Changes the value in place and tells all receivers, if `change` says that it did.
    ///
    /// The channel is locked meanwhile: `change` must not use it.
    pub fn modify_if(&self, change: impl FnOnce(&mut T) -> bool) -> bool {
        let mut wakers = Wakers::new();
        let mut shared = self.shared.lock();
        let changed = change(&mut shared.value);
        if changed {
            shared.version += 1;
            shared.line.wake_all(&mut wakers);
        }
        drop(shared);
        wakers.wake();
        changed
    }

    /// Looks at the value.
    pub fn borrow(&self) -> Ref<'_, T> {
        Ref { shared: self.shared.lock() }
    }

    /// Makes another receiver, which has seen the present value.
    pub fn subscribe(&self) -> Receiver<T> {
        let mut shared = self.shared.lock();
        shared.receivers += 1;
        Receiver { seen: shared.version, shared: self.shared.clone() }
    }

    /// Returns how many receivers there are.
    pub fn receivers(&self) -> usize {
        self.shared.lock().receivers
    }
}

impl<T> Receiver<T> {
    /// Looks at the value; it counts as seen or not as before.
    pub fn borrow(&self) -> Ref<'_, T> {
        Ref { shared: self.shared.lock() }
    }

    /// Looks at the value, which counts as seen from now on.
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        let shared = self.shared.lock();
        self.seen = shared.version;
        Ref { shared }
    }

    /// Clones the value, which counts as seen from now on.
    pub fn get(&mut self) -> T
    where
        T: Clone,
    {
        self.borrow_and_update().clone()
    }

    /// Returns whether there is a value that it has not seen.
    ///
    /// # Errors
    /// [`Closed`], if there is none and all senders are gone.
    pub fn has_changed(&self) -> Result<bool, Closed> {
        let shared = self.shared.lock();
        match shared.version != self.seen {
            true => Ok(true),
            false if shared.senders == 0 => Err(Closed),
            false => Ok(false),
        }
    }

    /// Waits until there is a value that it has not seen, which counts as seen then.
    ///
    /// # Errors
    /// [`Closed`], if all senders are gone before.
    ///
    /// # Cancellation
    /// Has no effect: a value counts as seen only when this returns.
    pub async fn changed(&mut self) -> Result<(), Closed> {
        Changed { receiver: self, waiter: Waiter::new(()) }.await
    }

    /// Waits until the value is as wanted; at once if it is.
    ///
    /// The channel is locked while `is_wanted` looks: it must not use it.
    ///
    /// # Errors
    /// [`Closed`], if all senders are gone before.
    ///
    /// # Cancellation
    /// Has no effect on anything but what counts as seen.
    pub async fn wait_for(&mut self, mut is_wanted: impl FnMut(&T) -> bool) -> Result<(), Closed> {
        while !is_wanted(&self.borrow_and_update()) {
            self.changed().await?;
        }
        Ok(())
    }

    /// As [`changed`](Receiver::changed), blocking this plain thread.
    ///
    /// # Errors
    /// As of [`changed`](Receiver::changed).
    ///
    /// # Panics
    /// Inside a task.
    #[track_caller]
    pub fn changed_blocking(&mut self) -> Result<(), Closed> {
        block_on(self.changed())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.lock().senders += 1;
        Sender { shared: self.shared.clone() }
    }
}

/// The clone has seen what the original has seen.
impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.shared.lock().receivers += 1;
        Receiver { shared: self.shared.clone(), seen: self.seen }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut wakers = Wakers::new();
        let mut shared = self.shared.lock();
        shared.senders -= 1;
        if shared.senders == 0 {
            shared.line.wake_all(&mut wakers);
        }
        drop(shared);
        wakers.wake();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.lock().receivers -= 1;
    }
}

pin_project! {
    struct Changed<'a, T> {
        receiver: &'a mut Receiver<T>,
        #[pin]
        waiter: Waiter<()>,
    }

    impl<T> PinnedDrop for Changed<'_, T> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if this.waiter.is_waiting() {
                let left = this.receiver.shared.lock().line.leave(this.waiter.as_ref());
                drop(left);
            }
        }
    }
}

impl<T> Future for Changed<'_, T> {
    type Output = Result<(), Closed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let waker = context.waker().clone();
        let Receiver { shared, seen } = &mut **this.receiver;
        let mut shared = shared.lock();
        if shared.line.update(this.waiter.as_ref(), &waker) {
            return Poll::Pending;
        }
        this.waiter.as_mut().reset();
        if shared.version != *seen {
            *seen = shared.version;
            return Poll::Ready(Ok(()));
        }
        if shared.senders == 0 {
            return Poll::Ready(Err(Closed));
        }
        shared.line.join(this.waiter.as_ref(), waker);
        Poll::Pending
    }
}

impl<T: fmt::Debug> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("value", &*self.borrow()).finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("value", &*self.borrow()).finish()
    }
}
