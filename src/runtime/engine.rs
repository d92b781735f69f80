//! The engine of real threads: scheduler, reactor, blocking pool, and the homes of its tasks.

use std::time::Duration;

use crate::blocking::Pool;
use crate::driver::allowance::Allowance;
use crate::probe;
use crate::reactor::Reactor;
use crate::runtime::calls::Calls;
use crate::runtime::handle::Handle;
use crate::runtime::unpolled::Unpolled;
use crate::scheduler::{Pass, Shared};
use crate::sys::thread::JoinHandle;
use crate::sys::{Arc, Condvar, Mutex};
use crate::task::current;
use crate::task::live;
use crate::task::memory::{Home, HomeHandle, Kind};
use crate::task::raw::TaskRef;
use crate::task::report::Settings;

/// The time that workers have to come back from their polls, whatever the grace of tasks; and the
/// longest.
const LEAST_TO_RETURN: Duration = Duration::from_millis(100);
const MOST_TO_RETURN: Duration = Duration::from_secs(1);

/// What of the grace is kept for callbacks and closures, however much of it tasks take.
const KEPT_FOR_OTHERS: Duration = Duration::from_secs(1);

/// What the threads of one runtime share, and its handles hold.
pub(crate) struct Engine {
    shared: Arc<Shared>,
    reactor: Arc<Reactor>,
    blocking: Pool,
    settings: Arc<Settings>,
    calls: std::sync::Arc<Calls>,
    /// Of what nobody polls.
    unpolled: HomeHandle,
    /// One for each worker, then one that all other threads share.
    homes: Vec<HomeHandle>,
    /// Main tasks: they belong to the threads that block on them.
    mains: Mutex<Vec<TaskRef>>,
    /// Worker threads that have not returned.
    running: Mutex<usize>,
    returned: Condvar,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Engine {
    pub(crate) fn new(
        shared: Arc<Shared>,
        reactor: Arc<Reactor>,
        blocking: Pool,
        homes: Vec<HomeHandle>,
        settings: Arc<Settings>,
    ) -> Self {
        let calls = Calls::on_threads(shared.clone(), settings.clone());
        Engine {
            shared,
            reactor,
            blocking,
            unpolled: Home::new(Box::new(Unpolled::new(&calls, &settings)), Kind::Shared),
            settings,
            calls,
            homes,
            mains: Mutex::new(Vec::new()),
            running: Mutex::new(0),
            returned: Condvar::new(),
            threads: Mutex::new(Vec::new()),
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn reactor(&self) -> &Arc<Reactor> {
        &self.reactor
    }

    pub(crate) fn blocking(&self) -> &Pool {
        &self.blocking
    }

    pub(crate) fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    pub(crate) fn calls(&self) -> &std::sync::Arc<Calls> {
        &self.calls
    }

    pub(crate) fn unpolled(&self) -> &Home {
        &self.unpolled
    }

    pub(crate) fn workers(&self) -> usize {
        self.homes.len() - 1
    }

    /// This thread's home here, if it is one of the workers; else the one for all others.
    pub(crate) fn home(&self) -> &Home {
        let number = self.shared.this_worker();
        &self.homes[number.unwrap_or(self.workers())]
    }

    /// Lets a new task in and gives its home; `None`: the runtime is ending.
    ///
    /// A task of this runtime's may bring in others as it likes, for its own end is awaited, and
    /// then it is looked for others. Whoever else does passes the gate.
    #[inline]
    pub(crate) fn admit(&self) -> Option<(&Home, Option<Pass<'_>>)> {
        match self.shared.this_worker() {
            Some(number) if current::is_polling() => {
                (!self.is_closed()).then(|| (&*self.homes[number], None))
            }
            number => {
                let pass = self.shared.gate().enter()?;
                Some((&self.homes[number.unwrap_or(self.workers())], Some(pass)))
            }
        }
    }

    /// The unfinished tasks, in the order of their ids.
    pub(crate) fn live(&self) -> Vec<TaskRef> {
        let mut tasks = live::tasks(self.homes.iter().map(|home| &**home));
        tasks.extend(self.mains.lock().iter().filter(|main| !main.is_finished()).cloned());
        tasks.sort_by_key(TaskRef::id);
        tasks
    }

    pub(crate) fn add_main(&self, main: TaskRef) {
        self.mains.lock().push(main);
    }

    pub(crate) fn remove_main(&self, main: &TaskRef) {
        self.mains.lock().retain(|other| other != main);
    }

    // ---- threads ---------------------------------------------------------------------------

    /// What the thread of worker `number` does, from its start to its end.
    pub(crate) fn work(engine: Arc<Self>, number: usize, worker: crate::scheduler::Worker) {
        let _returns = Returns(engine.clone());
        let _current = Handle::threads(engine.clone()).enter();
        let _home = Home::enter(&engine.homes[number]);
        worker.run();
        if engine.shared.is_over() {
            // It was left behind, and nobody else will look at the tasks it leaves.
            engine.kill_all();
        }
    }

    /// A worker's thread is about to be started.
    pub(crate) fn expect_worker(&self) {
        *self.running.lock() += 1;
    }

    pub(crate) fn worker_started(&self, thread: JoinHandle<()>) {
        self.threads.lock().push(thread);
    }

    /// The expected thread could not be started.
    pub(crate) fn worker_is_gone(&self) {
        *self.running.lock() -= 1;
        self.returned.notify_all();
    }

    // ---- the end ---------------------------------------------------------------------------

    pub(crate) fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// Ends everything: cancels what is left and awaits it, names what will not end within
    /// `grace`, stops the workers, and drops what survives on this thread.
    ///
    /// Callbacks that wait and closures that run are nobody's to cancel: they have what tasks
    /// leave of the grace, to come to their ends.
    pub(crate) fn shut_down(&self, grace: Duration) {
        self.shared.close();
        let progress = self.shared.progress();
        let mut allowance = Allowance::new(grace);
        if !self.cancel_all(&mut allowance) {
            for task in self.live() {
                task.header().report_refusal();
            }
            for worker in self.shared.stuck_since(&progress) {
                probe::stuck(worker);
            }
        }
        let rest = allowance.left().max(grace.min(KEPT_FOR_OTHERS));
        self.calls.call_out(rest);
        // Workers still run: closures may need timers and sockets to come to their ends.
        self.blocking.shut_down(rest);
        self.shared.stop();
        let left = self.wait_for_workers(grace.clamp(LEAST_TO_RETURN, MOST_TO_RETURN));
        if left > 0 {
            probe::left_behind("workers", left);
        } else {
            let threads = std::mem::take(&mut *self.threads.lock());
            // They are in their last lines; what a thread-local's destructor does is not ours.
            threads.into_iter().for_each(|thread| drop(thread.join()));
        }
        // Before the timers are abandoned, see `Calls::at`.
        self.calls.close();
        // Who still waits for a socket is another runtime's, or is dropped next.
        self.reactor.close();
        // The same of who waits for a moment.
        self.shared.timers().abandon();
        self.kill_all();
        // Some may have waited for a task that would not end.
        let left = self.blocking.shut_down(grace.min(LEAST_TO_RETURN));
        if left > 0 {
            probe::left_behind("blocking threads", left);
        }
        // Closures may have started tasks eagerly, and others may be about to queue one.
        self.shared.end();
        self.kill_all();
    }

    /// Asks every task to end, and waits until all have, or the allowance is spent (false).
    fn cancel_all(&self, allowance: &mut Allowance) -> bool {
        loop {
            let tasks = self.live();
            if tasks.is_empty() {
                return true;
            }
            // What they spawned before they heard of the end comes next.
            if !Engine::cancel_and_await(tasks, allowance) {
                return false;
            }
        }
    }

    fn cancel_and_await(tasks: Vec<TaskRef>, allowance: &mut Allowance) -> bool {
        let pending = Arc::new((Mutex::new(tasks.len()), Condvar::new()));
        for task in &tasks {
            let pending = pending.clone();
            task.add_done_callback(move |task| {
                task.report_failed_end();
                *pending.0.lock() -= 1;
                pending.1.notify_all();
            });
            task.cancel();
        }
        drop(tasks);
        let mut count = pending.0.lock();
        while *count > 0 {
            if allowance.is_spent() {
                return false;
            }
            count = allowance.wait(&pending.1, count);
        }
        true
    }

    /// Waits until all workers have returned, no longer than `limit`; how many have not?
    fn wait_for_workers(&self, limit: Duration) -> usize {
        let mut allowance = Allowance::new(limit);
        let mut running = self.running.lock();
        while *running > 0 && !allowance.is_spent() {
            running = allowance.wait(&self.returned, running);
        }
        *running
    }

    /// Drops what is left where no worker runs any more. Main tasks are their threads' business.
    fn kill_all(&self) {
        loop {
            let mut found = self.shared.kill_leftovers();
            for task in live::tasks(self.homes.iter().map(|home| &**home)) {
                found |= task.kill();
            }
            if !found {
                return;
            }
        }
    }
}

/// Tells the engine that a worker's thread is over, however it ended.
struct Returns(Arc<Engine>);

impl Drop for Returns {
    fn drop(&mut self) {
        self.0.worker_is_gone();
    }
}
