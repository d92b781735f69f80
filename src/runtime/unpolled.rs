//! The home of what nobody polls: a request ends it at once, its callbacks are queued.

use std::ops::Range;
use std::sync::Arc;

use crate::runtime::calls::Calls;
use crate::simulated::World;
use crate::sys::Arc as SysArc;
use crate::task::hooks::Callback;
use crate::task::report::Settings;
use crate::task::{Job, Runnable, Schedule, Why, draw_numbers, jobs};

pub(crate) struct Unpolled {
    calls: Arc<Calls>,
    settings: SysArc<Settings>,
    /// Which numbers its tasks, so that simulations repeat.
    world: Option<SysArc<World>>,
}

impl Unpolled {
    pub(crate) fn new(calls: &Arc<Calls>, settings: &SysArc<Settings>) -> Self {
        Unpolled { calls: calls.clone(), settings: settings.clone(), world: None }
    }

    pub(crate) fn simulated(
        calls: &Arc<Calls>,
        settings: &SysArc<Settings>,
        world: &SysArc<World>,
    ) -> Self {
        Unpolled { world: Some(world.clone()), ..Unpolled::new(calls, settings) }
    }
}

/// What tells a listener, also if it is dropped.
struct Surely(Option<Job>);

impl Surely {
    fn tell(mut self) {
        if let Some(job) = self.0.take() {
            job();
        }
    }
}

impl Drop for Surely {
    fn drop(&mut self) {
        if let Some(job) = self.0.take() {
            jobs::run(job);
        }
    }
}

impl Schedule for Unpolled {
    fn schedule(&self, task: Runnable, _why: Why) {
        task.end_cancelled();
    }

    fn job(&self, job: Job) {
        self.calls.post(job);
    }

    /// The end of the runtime drops what waits in its queue, and a promise may be waited for in
    /// another one.
    fn tell_late(&self, job: Job) {
        let surely = Surely(Some(job));
        self.calls.post(Box::new(move || surely.tell()));
    }

    fn own(&self, callback: Callback) -> Callback {
        match &self.world {
            Some(world) => world.belongings().own(callback),
            None => callback,
        }
    }

    fn settings(&self) -> Option<&Settings> {
        Some(&self.settings)
    }

    /// All callbacks of a runtime stand in one queue.
    fn is_single(&self) -> bool {
        true
    }

    fn queues_listeners(&self) -> bool {
        self.world.is_some()
    }

    fn numbers(&self) -> Range<u64> {
        match &self.world {
            Some(world) => world.take_number(),
            None => draw_numbers(),
        }
    }
}
