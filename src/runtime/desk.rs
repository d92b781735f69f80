//! Where a main task lies when it is to be polled, and who takes it from there.

use crate::error::Result;
use crate::runtime::engine::Engine;
use crate::runtime::interrupt::Interrupted;
use crate::sys::{Arc, Condvar, Mutex, spin_loop, thread};
use crate::task::handle::Task;
use crate::task::report::Settings;
use crate::task::{Job, Runnable, Schedule, Why, jobs};

/// One place, since a task is there once at most.
pub(super) struct Desk {
    top: Mutex<Top>,
    put: Condvar,
}

#[derive(Default)]
struct Top {
    task: Option<Runnable>,
    /// Whoever waits here is to stop.
    interrupted: bool,
}

impl Top {
    /// What is to be done now, if anything is.
    fn look(&mut self) -> Option<Option<Runnable>> {
        if self.interrupted { Some(None) } else { self.task.take().map(Some) }
    }
}

impl Desk {
    pub(super) fn new() -> Self {
        Desk { top: Mutex::new(Top::default()), put: Condvar::new() }
    }

    /// Has whoever waits here stop.
    pub(super) fn interrupt(&self) {
        self.top.lock().interrupted = true;
        self.put.notify_all();
    }

    /// Takes the main task, after a short spin: who wakes it is often about to. `None`: it is
    /// interrupted.
    fn take(&self) -> Option<Runnable> {
        for round in 0..100 {
            if let Some(found) = self.top.try_lock().and_then(|mut top| top.look()) {
                return found;
            }
            if round % 8 == 7 { thread::yield_now() } else { spin_loop() }
        }
        let mut top = self.top.lock();
        loop {
            if let Some(found) = top.look() {
                return found;
            }
            top = self.put.wait(top);
        }
    }

    /// Takes the main task, which is here or about to be.
    fn insist(&self) -> Runnable {
        let mut top = self.top.lock();
        loop {
            if let Some(task) = top.task.take() {
                return task;
            }
            top = self.put.wait(top);
        }
    }
}

/// How the main task gets onto its desk.
pub(super) struct Post(pub(super) Arc<Desk>, pub(super) Arc<Settings>);

impl Schedule for Post {
    fn schedule(&self, task: Runnable, _why: Why) {
        self.0.top.lock().task = Some(task);
        self.0.put.notify_one();
    }

    fn job(&self, job: Job) {
        jobs::run(job);
    }

    fn settings(&self) -> Option<&Settings> {
        Some(&self.1)
    }
}

/// The thread that blocks on a main task.
pub(super) struct Seat<'a, T> {
    engine: &'a Engine,
    desk: &'a Desk,
    task: Option<Task<T>>,
}

impl<'a, T> Seat<'a, T> {
    pub(super) fn new(engine: &'a Engine, desk: &'a Desk, task: Task<T>) -> Self {
        engine.add_main(task.task_ref());
        Seat { engine, desk, task: Some(task) }
    }

    fn task(&self) -> &Task<T> {
        self.task.as_ref().expect("it is taken only at the end")
    }

    pub(super) fn wait(mut self) -> Result<T> {
        while !self.task().is_finished() {
            match self.desk.take() {
                Some(task) => task.run(),
                None => return Err(Interrupted::new().into()),
            }
        }
        self.task
            .take()
            .map(|task| {
                self.engine.remove_main(&task);
                task.outcome()
            })
            .expect("it is taken only here")
    }
}

impl<T> Drop for Seat<'_, T> {
    /// Only if something here panicked, or was interrupted: the main task may not outlive this.
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            self.engine.remove_main(&task);
            // If it does not sleep, it has been woken.
            while !task.is_finished() && !task.kill() {
                self.desk.insist().kill();
            }
        }
    }
}
