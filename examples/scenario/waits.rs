//! Operations on events, locks, semaphores and queues: made when they are first named.

use std::collections::HashMap;
use std::sync::Arc;

use filch::sync::{Event, Lock, Queue, Semaphore};

use crate::parse::{Name, Op};
use crate::run::{Frame, Me};

/// What a program's tasks wait for, by name.
#[derive(Default)]
pub(crate) struct Shared {
    events: HashMap<Name, Arc<Event>>,
    locks: HashMap<Name, Arc<Lock<()>>>,
    semaphores: HashMap<Name, Arc<Semaphore>>,
    queues: HashMap<Name, Arc<Queue<Name>>>,
}

impl Shared {
    fn event(&mut self, name: &Name) -> Arc<Event> {
        self.events.entry(name.clone()).or_default().clone()
    }

    fn lock(&mut self, name: &Name) -> Arc<Lock<()>> {
        self.locks.entry(name.clone()).or_default().clone()
    }

    fn semaphore(&mut self, name: &Name, permits: usize) -> Arc<Semaphore> {
        let new = || Arc::new(Semaphore::new(permits));
        self.semaphores.entry(name.clone()).or_insert_with(new).clone()
    }

    fn queue(&mut self, name: &Name, room: usize) -> Arc<Queue<Name>> {
        let new = || Arc::new(if room == 0 { Queue::unbounded() } else { Queue::bounded(room) });
        self.queues.entry(name.clone()).or_insert_with(new).clone()
    }

    /// How many stand in a line; an error if one of them could go on.
    pub(crate) fn standing(&self) -> Result<usize, String> {
        let events = self.events.iter();
        let events = events.map(|(name, event)| (name, event.waiting(), event.is_set()));
        let locks = self.locks.iter();
        let locks = locks.map(|(name, lock)| (name, lock.waiting(), !lock.is_locked()));
        let semaphores = self.semaphores.iter();
        let semaphores = semaphores.map(|(name, s)| (name, s.waiting(), s.available() > 0));
        let getters = self.queues.iter();
        let getters = getters.map(|(name, q)| (name, q.waiting().0, !q.is_empty()));
        let putters = self.queues.iter();
        let putters = putters.map(|(name, q)| (name, q.waiting().1, !q.is_full()));
        let mut standing = 0;
        for (name, waiting, open) in
            events.chain(locks).chain(semaphores).chain(getters).chain(putters)
        {
            if waiting > 0 && open {
                return Err(format!("{waiting} wait for {name}, which is there"));
            }
            standing += waiting;
        }
        Ok(standing)
    }
}

impl Me {
    /// Waits for something that other tasks do.
    pub(crate) async fn waits(&self, op: &Op, frame: &Frame) -> filch::Result<()> {
        match op {
            Op::EventWait(name) => {
                let event = self.program.shared().event(name);
                event.wait().await;
                self.log(format!("evt {name}"));
            }
            Op::EventSet(name) => self.program.shared().event(name).set(),
            Op::EventClear(name) => self.program.shared().event(name).clear(),
            Op::Lock(name, block) => {
                let lock = self.program.shared().lock(name);
                let guard = lock.lock().await;
                self.log(format!("locked {name}"));
                self.inside(block, frame).await?;
                drop(guard);
                self.log(format!("unlocked {name}"));
            }
            Op::Permit(name, permits, block) => {
                let semaphore = self.program.shared().semaphore(name, *permits);
                let permit = semaphore.acquire().await;
                self.log(format!("acquired {name}"));
                self.inside(block, frame).await?;
                drop(permit);
                self.log(format!("released {name}"));
            }
            Op::Put(name, room, item) => {
                let queue = self.program.shared().queue(name, *room);
                queue.put(item.clone()).await?;
                self.log(format!("put {item}"));
            }
            Op::Get(name, room) => {
                let queue = self.program.shared().queue(name, *room);
                let item = queue.get().await?;
                self.log(format!("got {item}"));
            }
            _ => unreachable!("`op` sends nothing else here"),
        }
        Ok(())
    }
}
