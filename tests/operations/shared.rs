//! The model's queues and semaphore: what tasks wait for besides each other.

use std::collections::VecDeque;
use std::fmt;

use crate::model::{Id, Model, State};

/// A queue: its items, and those who wait, in order.
pub(crate) struct Queue {
    room: usize,
    items: VecDeque<u32>,
    unfinished: usize,
    closed: bool,
    pub(crate) getters: VecDeque<Id>,
    pub(crate) putters: VecDeque<Id>,
}

impl Queue {
    pub(crate) fn new(room: usize) -> Self {
        let (items, getters, putters) = Default::default();
        Queue { room, items, unfinished: 0, closed: false, getters, putters }
    }

    fn is_full(&self) -> bool {
        self.room > 0 && self.items.len() >= self.room
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(crate) fn done(&mut self) -> bool {
        let left = self.unfinished.checked_sub(1);
        self.unfinished = left.unwrap_or(0);
        left.is_some()
    }
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (getters, putters) = (self.getters.len(), self.putters.len());
        write!(f, "{} {} {getters} {putters}", self.items.len(), self.unfinished)
    }
}

/// Permits, and those who wait for one, in order.
#[derive(Default)]
pub(crate) struct Semaphore {
    value: usize,
    pub(crate) waiters: VecDeque<Id>,
}

impl Semaphore {
    pub(crate) fn new(value: usize) -> Self {
        Semaphore { value, waiters: VecDeque::new() }
    }
}

impl fmt::Display for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.value, self.waiters.len())
    }
}

impl Model {
    /// Puts an item in; `None`: there is no room, false: the queue takes nothing more.
    pub(crate) fn put(&mut self, number: usize, item: u32) -> Option<bool> {
        let queue = &mut self.queues[number];
        if queue.closed {
            return Some(false);
        }
        if queue.is_full() {
            return None;
        }
        queue.items.push_back(item);
        queue.unfinished += 1;
        self.wake_getter(number);
        Some(true)
    }

    /// Takes an item out.
    pub(crate) fn get(&mut self, number: usize) -> Option<u32> {
        let item = self.queues[number].items.pop_front()?;
        self.wake_putter(number);
        Some(item)
    }

    fn wake_getter(&mut self, number: usize) {
        while let Some(id) = self.queues[number].getters.pop_front() {
            if self.finish(id, State::Value) {
                break;
            }
        }
    }

    fn wake_putter(&mut self, number: usize) {
        while let Some(id) = self.queues[number].putters.pop_front() {
            if self.finish(id, State::Value) {
                break;
            }
        }
    }

    /// One who waited to get goes away: with a notice, he passes it on.
    pub(crate) fn getter_leaves(&mut self, number: usize, id: Id) {
        let noticed = self.futures[id].state == State::Value;
        let queue = &mut self.queues[number];
        queue.getters.retain(|getter| *getter != id);
        if noticed && !queue.items.is_empty() {
            self.wake_getter(number);
        }
    }

    /// One who waited to put goes away: with a notice, he passes it on.
    pub(crate) fn putter_leaves(&mut self, number: usize, id: Id) {
        let noticed = self.futures[id].state == State::Value;
        let queue = &mut self.queues[number];
        queue.putters.retain(|putter| *putter != id);
        if noticed && !queue.is_full() {
            self.wake_putter(number);
        }
    }

    pub(crate) fn shutdown(&mut self, number: usize, at_once: bool) {
        let queue = &mut self.queues[number];
        queue.closed = true;
        if at_once {
            queue.unfinished = queue.unfinished.saturating_sub(queue.items.len());
            queue.items.clear();
        }
        let getters = std::mem::take(&mut queue.getters);
        let putters = std::mem::take(&mut queue.putters);
        for id in getters.into_iter().chain(putters) {
            self.finish(id, State::Value);
        }
    }

    /// Takes a permit, if nobody is before this one.
    pub(crate) fn take_permit(&mut self) -> bool {
        let pending = |id: &Id| self.futures[*id].state == State::Pending;
        let free = self.permits.value > 0 && !self.permits.waiters.iter().any(pending);
        self.permits.value -= usize::from(free);
        free
    }

    pub(crate) fn return_permit(&mut self) {
        self.permits.value += 1;
        self.hand_out();
    }

    /// Gives the permits that are there to those who wait.
    fn hand_out(&mut self) {
        while self.permits.value > 0 {
            let pending = |id: &&Id| self.futures[**id].state == State::Pending;
            let Some(&id) = self.permits.waiters.iter().find(pending) else { break };
            self.permits.value -= 1;
            self.finish(id, State::Value);
        }
    }

    /// One who waited for a permit goes on, or away; with a permit, he hands it on.
    pub(crate) fn acquirer_leaves(&mut self, id: Id, with_it: bool) {
        self.permits.waiters.retain(|waiter| *waiter != id);
        if !with_it && self.futures[id].state == State::Value {
            self.permits.value += 1;
        }
        self.hand_out();
    }
}
