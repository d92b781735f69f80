//! What a thread leaves for the future that waits for it.

use std::task::{Poll, Waker};

use crate::probe::{self, Kept};
use crate::sys::{Arc, Mutex};

/// A place for one result, and for the waker of who waits for it.
pub(super) struct Slot<T>(Mutex<State<T>>);

struct State<T> {
    result: Option<T>,
    waker: Option<Kept>,
}

impl<T> Slot<T> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Slot(Mutex::new(State { result: None, waker: None })))
    }

    /// Leaves a result, if there is none yet.
    pub(super) fn fill(&self, result: T) {
        let mut state = self.0.lock();
        if state.result.is_none() {
            state.result = Some(result);
        }
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            probe::wake(waker.into_waker());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().result.is_none()
    }

    /// Takes the result, or has `waker` be woken when there is one.
    pub(super) fn poll(&self, waker: &Waker) -> Poll<T> {
        let new = Kept::of(waker);
        let mut state = self.0.lock();
        if let Some(result) = state.result.take() {
            return Poll::Ready(result);
        }
        let former = state.waker.replace(new);
        drop(state);
        drop(former);
        Poll::Pending
    }

    /// Nobody waits any more.
    pub(super) fn leave(&self) {
        let waker = self.0.lock().waker.take();
        drop(waker);
    }
}
