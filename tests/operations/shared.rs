//! The model's queues and semaphore: what tasks wait for besides each other.

use std::collections::VecDeque;
use std::fmt;

use crate::model::{Id, Model, State, Ways};

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

/// Permits, and those who wait, in order, with how many they want.
pub(crate) struct Semaphore {
    value: usize,
    pub(crate) line: VecDeque<(Id, usize)>,
}

impl Semaphore {
    pub(crate) fn new(value: usize) -> Self {
        Semaphore { value, line: VecDeque::new() }
    }
}

impl fmt::Display for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.value, self.line.len())
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
            if self.notify(id) {
                return;
            }
        }
    }

    fn wake_putter(&mut self, number: usize) {
        while let Some(id) = self.queues[number].putters.pop_front() {
            if self.notify(id) {
                return;
            }
        }
    }

    /// Tells one who waits; false: he was cancelled, and the next one is to be told. In filch's
    /// ways he is told all the same if he has not left the line yet, and passes it on then.
    fn notify(&mut self, id: Id) -> bool {
        let told = self.finish(id, State::Value);
        if !told && self.ways == Ways::Filch {
            return self.noticed.insert(id);
        }
        told
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

    /// Takes permits, if there are enough and nobody is before this one. In asyncio one who was
    /// given his stands in line until he runs; one who was cancelled does not count.
    pub(crate) fn take_permits(&mut self, number: usize, count: usize) -> bool {
        let permits = &self.permits[number];
        let free = permits.value >= count
            && match self.ways {
                Ways::Filch => permits.line.is_empty(),
                Ways::Asyncio => {
                    let cancelled = |id: Id| self.futures[id].state == State::Cancelled;
                    permits.line.iter().all(|(id, _)| cancelled(*id))
                }
            };
        self.permits[number].value -= if free { count } else { 0 };
        free
    }

    pub(crate) fn return_permits(&mut self, number: usize, count: usize) {
        for _ in 0..count {
            self.permits[number].value += 1;
            self.hand_to_next(number);
        }
    }

    /// Gives the first in line what he wants, if there is enough; false: there is not, or nobody.
    fn hand_to_next(&mut self, number: usize) -> bool {
        let pending = |id: Id| self.futures[id].state == State::Pending;
        let filch = self.ways == Ways::Filch;
        let permits = &mut self.permits[number];
        let mut line = permits.line.iter();
        let Some(&(id, count)) = line.find(|(id, _)| filch || pending(*id)) else { return false };
        if count > permits.value {
            return false;
        }
        permits.value -= count;
        if filch {
            permits.line.pop_front();
        }
        self.notify(id)
    }

    /// One who waited for permits has them, or goes away; then he hands on what he was given.
    pub(crate) fn acquirer_leaves(&mut self, number: usize, count: usize, id: Id, has: bool) {
        self.permits[number].line.retain(|(other, _)| *other != id);
        if !has && self.was_noticed(id) {
            self.permits[number].value += count;
        }
        while self.hand_to_next(number) {}
    }
}
