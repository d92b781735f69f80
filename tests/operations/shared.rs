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
        if let Some(id) = self.queues[number].getters.pop_front() {
            self.notify(id);
        }
    }

    fn wake_putter(&mut self, number: usize) {
        if let Some(id) = self.queues[number].putters.pop_front() {
            self.notify(id);
        }
    }

    /// Tells one who waits. If he was cancelled and has not left the line yet, he gets the notice
    /// all the same, and passes it on: asyncio would skip him, at the same instant.
    fn notify(&mut self, id: Id) {
        if !self.finish(id, State::Value) {
            self.noticed.insert(id);
        }
    }

    fn was_noticed(&mut self, id: Id) -> bool {
        self.futures[id].state == State::Value || self.noticed.remove(&id)
    }

    /// One who waited to get goes away: with a notice, he passes it on.
    pub(crate) fn getter_leaves(&mut self, number: usize, id: Id) {
        let noticed = self.was_noticed(id);
        let queue = &mut self.queues[number];
        queue.getters.retain(|getter| *getter != id);
        if noticed && !queue.items.is_empty() {
            self.wake_getter(number);
        }
    }

    /// One who waited to put goes away: with a notice, he passes it on.
    pub(crate) fn putter_leaves(&mut self, number: usize, id: Id) {
        let noticed = self.was_noticed(id);
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
        let free = self.permits.value > 0 && self.permits.waiters.is_empty();
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
            let Some(id) = self.permits.waiters.pop_front() else { break };
            self.permits.value -= 1;
            self.notify(id);
        }
    }

    /// One who waited for a permit goes away; with a permit, he hands it on.
    pub(crate) fn acquirer_leaves(&mut self, id: Id) {
        self.permits.waiters.retain(|waiter| *waiter != id);
        if self.was_noticed(id) {
            self.permits.value += 1;
        }
        self.hand_out();
    }
}
