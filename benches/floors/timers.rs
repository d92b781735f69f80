//! The honest floor's timers: a slot and a heap entry each, nothing shared.
//!
//! Dropping a timer frees its slot; the heap entry stays and finds, when it comes to the top, that
//! the slot belongs to somebody else. With the last timer all entries go.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

#[derive(Debug, Default)]
struct Timers {
    heap: BinaryHeap<Reverse<(Instant, usize, u64)>>,
    slots: Vec<(u64, Option<Waker>)>,
    free: Vec<usize>,
    turns: u64,
}

thread_local! {
    static TIMERS: RefCell<Timers> = RefCell::default();
}

/// Sleeps on the thread that polls it first.
#[derive(Debug)]
pub(crate) struct Sleep {
    until: Instant,
    armed: Option<(usize, u64)>,
}

impl Sleep {
    pub(crate) fn new(time: Duration) -> Self {
        Self { until: Instant::now() + time, armed: None }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.armed.is_none() {
            self.armed = Some(arm(self.until, cx.waker().clone()));
            return Poll::Pending;
        }
        if Instant::now() < self.until { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some((slot, turn)) = self.armed {
            let waker = TIMERS.with_borrow_mut(|timers| timers.free(slot, turn));
            drop(waker);
        }
    }
}

fn arm(until: Instant, waker: Waker) -> (usize, u64) {
    TIMERS.with_borrow_mut(|timers| {
        timers.turns += 1;
        let turn = timers.turns;
        let slot = timers.free.pop().unwrap_or(timers.slots.len());
        match timers.slots.get_mut(slot) {
            Some(place) => *place = (turn, Some(waker)),
            None => timers.slots.push((turn, Some(waker))),
        }
        timers.heap.push(Reverse((until, slot, turn)));
        (slot, turn)
    })
}

impl Timers {
    fn free(&mut self, slot: usize, turn: u64) -> Option<Waker> {
        if self.slots[slot].0 != turn {
            return None;
        }
        self.free.push(slot);
        if self.free.len() == self.slots.len() {
            self.heap.clear();
        }
        std::mem::take(&mut self.slots[slot]).1
    }
}

/// Wakes who is due; returns when the next will be, if anybody waits.
pub(crate) fn fire() -> Option<Instant> {
    loop {
        let due = TIMERS.with_borrow_mut(|timers| {
            let Reverse((until, slot, turn)) = *timers.heap.peek()?;
            if timers.slots[slot].0 == turn && Instant::now() < until {
                return Some(Err(until));
            }
            timers.heap.pop();
            let current = timers.slots[slot].0 == turn;
            let waker = if current { timers.slots[slot].1.take() } else { None };
            Some(Ok(waker))
        })?;
        match due {
            Ok(Some(waker)) => waker.wake(),
            Ok(None) => {}
            Err(next) => return Some(next),
        }
    }
}
