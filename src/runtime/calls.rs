//! Callbacks of a runtime: soon, later, at a moment; one after the other, outside any task.
//!
//! There is one queue for the whole runtime (LOOP-01). On threads, who finds it empty starts a
//! *drain*: a task that is listed nowhere, comes to its turn behind what is ready, and after its
//! poll, when the worker polls nothing, calls what stands in the queue by then; what is added
//! meanwhile waits for the next drain (LOOP-02). In a simulation the queue is the world's own.
//!
//! A callback that waits for its moment stands in a list, which keeps its timer alive; the timer's
//! waker only knows where to look. When the runtime ends, what stands in the queue is called, and
//! what waits for its moment is dropped (LOOP-17); so is what nobody came to call, and its handle
//! says so.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, Location, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::driver::allowance::Allowance;
use crate::driver::clock::Instant;
use crate::driver::timers::{Timer, Timers};
use crate::error::Error;
#[cfg(all(loom, not(test)))]
use crate::modelled::Stage;
use crate::probe;
use crate::scheduler::Shared;
use crate::simulated::{Belonging, World};
use crate::sys::{Arc as SysArc, Condvar, Mutex};
use crate::task::memory::{Home, HomeHandle, Kind};
use crate::task::raw::{self, First};
use crate::task::report::{Report, Settings, Stopwatch};
use crate::task::{Job, Why, jobs, vars};

/// All callbacks of one runtime.
pub(crate) struct Calls {
    way: Way,
    settings: SysArc<Settings>,
    state: Mutex<State>,
}

/// Callbacks are called outside its lock, and their panics are contained.
impl UnwindSafe for Calls {}
/// As above.
impl RefUnwindSafe for Calls {}

/// How callbacks get their turn.
enum Way {
    Threads {
        shared: SysArc<Shared>,
        home: HomeHandle,
    },
    Sim(SysArc<World>),
    #[cfg(all(loom, not(test)))]
    Model {
        stage: SysArc<Stage>,
        home: HomeHandle,
    },
}

#[derive(Default)]
struct State {
    /// On threads: what is to be called.
    ready: VecDeque<Job>,
    /// There is a drain, or somebody is about to start one.
    draining: bool,
    timed: BTreeMap<u64, Pin<Arc<Timed>>>,
    last: u64,
    closed: bool,
}

/// A callback; it is called, or taken away.
pub(crate) struct Call {
    work: Mutex<Option<Job>>,
    cancelled: crate::sys::AtomicBool,
    place: &'static Location<'static>,
    /// In a simulation: whose it is.
    host: usize,
}

pin_project! {
    /// A callback that waits for its moment.
    struct Timed {
        key: u64,
        call: Arc<Call>,
        #[pin]
        timer: Timer,
    }
}

/// What a callback's timer wakes.
struct Ring {
    key: u64,
    calls: Weak<Calls>,
}

impl Calls {
    pub(crate) fn on_threads(shared: SysArc<Shared>, settings: SysArc<Settings>) -> Arc<Self> {
        let home = Home::new(Box::new(shared.clone()), Kind::Shared);
        Calls::of(Way::Threads { shared, home }, settings)
    }

    pub(crate) fn simulated(world: SysArc<World>, settings: SysArc<Settings>) -> Arc<Self> {
        Calls::of(Way::Sim(world), settings)
    }

    #[cfg(all(loom, not(test)))]
    pub(crate) fn modelled(stage: SysArc<Stage>, settings: SysArc<Settings>) -> Arc<Self> {
        let home = stage.unlisted_home();
        Calls::of(Way::Model { stage, home }, settings)
    }

    fn of(way: Way, settings: SysArc<Settings>) -> Arc<Self> {
        Arc::new(Calls { way, settings, state: Mutex::new(State::default()) })
    }

    /// Calls `work` behind what is ready.
    pub(crate) fn soon(
        self: &Arc<Self>,
        work: impl FnOnce() + Send + 'static,
        place: &'static Location<'static>,
    ) -> Arc<Call> {
        let call = Call::new(&self.settings, work, place, self.here());
        if self.is_crashing(&call) {
            call.cancel();
        } else {
            self.post(self.turn(call.clone()));
        }
        call
    }

    /// Calls `work` when the moment has come.
    pub(crate) fn at(
        self: &Arc<Self>,
        at: Instant,
        work: impl FnOnce() + Send + 'static,
        place: &'static Location<'static>,
    ) -> (Arc<Call>, u64) {
        let call = Call::new(&self.settings, work, place, self.here());
        let crashing = self.is_crashing(&call);
        let mut state = self.state.lock();
        if state.closed || crashing {
            drop(state);
            call.cancel();
            return (call, 0);
        }
        state.last += 1;
        let key = state.last;
        let timed = Arc::pin(Timed { key, call: call.clone(), timer: Timer::new() });
        state.timed.insert(key, timed.clone());
        // Armed under the lock, so that it cannot be missed when the runtime ends. It does not ring
        // at once, which would lock again: timers are abandoned after `close` only.
        let waker = Waker::from(Arc::new(Ring { key, calls: Arc::downgrade(self) }));
        let timer = timed.as_ref().project_ref().timer;
        match &self.way {
            Way::Threads { shared, .. } => shared.arm(timer, at, waker),
            Way::Sim(world) => world.arm(timer, at, waker),
            #[cfg(all(loom, not(test)))]
            Way::Model { stage, .. } => stage.arm(timer, at, waker),
        }
        (call, key)
    }

    /// In a simulation, a callback is its host's, which may just be crashing.
    fn is_crashing(&self, call: &Arc<Call>) -> bool {
        matches!(&self.way, Way::Sim(world) if !world.belongings().note(call))
    }

    /// In a simulation, the host whose code is running.
    fn here(&self) -> usize {
        match &self.way {
            Way::Sim(world) => world.here(),
            _ => 0,
        }
    }

    /// A callback, as it stands in the queue. In a simulation it is called on its host.
    fn turn(&self, call: Arc<Call>) -> Job {
        let turn = Turn(call);
        match &self.way {
            Way::Sim(world) => {
                let hosts = world.belongings().clone();
                Box::new(move || hosts.call(turn.0.host, move || turn.0.run()))
            }
            _ => Box::new(move || turn.0.run()),
        }
    }

    /// Callbacks that waited for their moment have been taken away, and need not wait any more.
    pub(crate) fn forget_cancelled(&self) {
        let state = self.state.lock();
        let cancelled = state.timed.values().filter(|timed| timed.call.is_cancelled());
        let keys: Vec<_> = cancelled.map(|timed| timed.key).collect();
        drop(state);
        keys.into_iter().for_each(|key| self.forget(key));
    }

    /// A callback that waited for its moment need not wait any more.
    pub(crate) fn forget(&self, key: u64) {
        let timed = self.state.lock().timed.remove(&key);
        if let Some(timed) = timed {
            self.timers().disarm(timed.as_ref().project_ref().timer);
        }
    }

    fn timers(&self) -> &Timers {
        match &self.way {
            Way::Threads { shared, .. } => shared.timers(),
            Way::Sim(world) => world.timers(),
            #[cfg(all(loom, not(test)))]
            Way::Model { stage, .. } => stage.timers(),
        }
    }

    /// The home of its drains; in a simulation there are none.
    fn home(&self) -> Option<&Home> {
        match &self.way {
            Way::Threads { home, .. } => Some(home),
            Way::Sim(_) => None,
            #[cfg(all(loom, not(test)))]
            Way::Model { home, .. } => Some(home),
        }
    }

    /// Queues a job that contains its own panics. False: the runtime has ended, it was dropped.
    pub(crate) fn post(self: &Arc<Self>, job: Job) -> bool {
        let mut state = self.state.lock();
        if state.closed {
            drop(state);
            drop(job);
            return false;
        }
        let Some(home) = self.home() else {
            drop(state);
            self.post_simulated(job);
            return true;
        };
        state.ready.push_back(job);
        let start = !std::mem::replace(&mut state.draining, true);
        drop(state);
        if start {
            self.start_drain(home);
        }
        true
    }

    fn post_simulated(&self, job: Job) {
        if let Way::Sim(world) = &self.way {
            world.home().schedule().job(job);
        }
    }

    fn start_drain(self: &Arc<Self>, home: &Home) {
        let calls = self.clone();
        let drain = async move { jobs::run(Box::new(move || calls.drain())) };
        // SAFETY: the future and its value are `Send` and own all they use.
        let (runnable, task) = unsafe { raw::new(home, drain, Location::caller(), First::Queued) };
        runnable.queue_for(Why::Yielded);
        // SAFETY: `task` was made just now, with this type of value.
        unsafe { crate::task::handle::Task::<()>::new(task) }.detach();
    }

    /// Calls what stands in the queue, but not what is added meanwhile.
    fn drain(self: &Arc<Self>) {
        let turn = self.state.lock().ready.len();
        for _ in 0..turn {
            // One by one: what is left when the runtime ends is the end's.
            let Some(job) = self.state.lock().ready.pop_front() else { break };
            job();
        }
        let mut state = self.state.lock();
        state.draining = !state.ready.is_empty() && !state.closed;
        let again = state.draining;
        drop(state);
        if let (true, Some(home)) = (again, self.home()) {
            self.start_drain(home);
        }
    }

    /// A callback's moment has come.
    fn ring(self: &Arc<Self>, key: u64) {
        let Some(timed) = self.state.lock().timed.remove(&key) else { return };
        let turn = self.turn(timed.call.clone());
        match &self.way {
            // Time has passed, and this wake stands in the queue as the callback would.
            Way::Sim(world) if !world.is_late() => turn(),
            _ => {
                self.post(turn);
            }
        }
    }

    /// Waits until what stands in the queue has been called, no longer than `limit`.
    pub(crate) fn call_out(self: &Arc<Self>, limit: Duration) {
        if !self.state.lock().draining {
            return;
        }
        let mut allowance = Allowance::new(limit);
        let through = SysArc::new((Mutex::new(false), Condvar::new()));
        let there = through.clone();
        self.post(Box::new(move || {
            *there.0.lock() = true;
            there.1.notify_one();
        }));
        let mut is_through = through.0.lock();
        while !*is_through && !allowance.is_spent() {
            is_through = allowance.wait(&through.1, is_through);
        }
    }

    /// The runtime has ended: what was not called never is.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let ready = std::mem::take(&mut state.ready);
        let timed = std::mem::take(&mut state.timed);
        drop(state);
        for timed in timed.values() {
            self.timers().disarm(timed.as_ref().project_ref().timer);
            probe::contain("a callback that was never called", || timed.call.cancel());
        }
        for job in ready {
            probe::contain("a callback that was never called", || drop(job));
        }
    }
}

/// The turn of a callback. If it never comes, the callback is taken back (LOOP-17).
struct Turn(Arc<Call>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Wake for Ring {
    fn wake(self: Arc<Self>) {
        if let Some(calls) = self.calls.upgrade() {
            calls.ring(self.key);
        }
    }
}

impl Belonging for Call {
    fn go(&self) {
        self.cancel();
    }
}

impl Call {
    /// Binds `work` to the present context; its panic is reported there (CTX-05, LOOP-08).
    fn new(
        settings: &SysArc<Settings>,
        work: impl FnOnce() + Send + 'static,
        place: &'static Location<'static>,
        host: usize,
    ) -> Arc<Self> {
        let (vars, settings) = (vars::capture(), settings.clone());
        let bound = move || {
            vars::enter(vars, || {
                let watch = Stopwatch::start();
                if let Err(payload) = catch_unwind(AssertUnwindSafe(work)) {
                    let report = Report::new("panic in a callback").at(place);
                    settings.report(&report.with_error(Error::panic(payload)));
                }
                watch.stop(Some(&settings), || Report::new("a callback was slow").at(place));
            });
        };
        let cancelled = crate::sys::AtomicBool::new(false);
        Arc::new(Call { work: Mutex::new(Some(Box::new(bound))), cancelled, place, host })
    }

    fn run(&self) {
        let work = self.work.lock().take();
        if let Some(work) = work {
            // Of the callback's own panic it makes a report; its values may panic after it.
            probe::contain("a context variable of a callback", work);
        }
    }

    /// Drops the callback, unless it was called (LOOP-06).
    pub(crate) fn cancel(&self) -> bool {
        let work = self.work.lock().take();
        let cancelled = work.is_some();
        if cancelled {
            self.cancelled.store(true, crate::sys::Ordering::Release);
        }
        drop(work);
        cancelled
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(crate::sys::Ordering::Acquire)
    }

    pub(crate) fn place(&self) -> &'static Location<'static> {
        self.place
    }
}
