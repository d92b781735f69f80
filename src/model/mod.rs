//! The story of a checked run: two workers or more, one queue, time that stands still.
//!
//! Under `--cfg loom` a program of the library's user runs here, again and again, each time in
//! another order of what its tasks do to each other (`runtime/model.rs`). Tasks, scopes, locks and
//! timers are the very same code as on real threads; this room is only another `task::Schedule`,
//! as simple as can be: whatever is ready stands in one queue, and each worker takes the first, or
//! the newest. Loom decides which worker goes on at each gate (`sys/checked.rs`).
//!
//! A worker with nothing to do waits. The last one to wait lets time pass, to the next timer; if
//! there is none, nothing can ever happen again. If timers are eager, the first one does. When the
//! main task has ended, what is left is cancelled, and cleans up in the same way.
//!
//! What happened is written down (`story`), so that a run that fails can be told.

mod story;

use std::collections::VecDeque;
use std::fmt::Write;
use std::pin::Pin;
use std::time::Duration;

pub(crate) use story::{Story, goes_on, note, story_so_far};

use crate::driver::clock::{Instant, VirtualClock};
use crate::driver::timers::{Bell, Timer, Timers};
use crate::probe;
use crate::sys::quiet::AtomicBool;
use crate::sys::{Arc, Condvar, Mutex, MutexGuard, Ordering, gates_passed, thread, unseen};
use crate::task::memory::{Home, HomeHandle, Kind};
use crate::task::raw::TaskRef;
use crate::task::report::Settings;
use crate::task::{Job, Runnable, Schedule, Why, jobs, live};

/// Bytes of the first chunk of tasks: a model has few.
const CHUNK: usize = 2048;

/// How long, in virtual time, tasks that are left may clean up.
const GRACE: Duration = Duration::from_secs(3600);

/// Which of the tasks that are ready a worker takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// The one that has been ready for longest.
    Oldest,
    /// The one that was queued last, as a worker with a next slot does.
    Newest,
}

/// What a run may do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) order: Order,
    /// So many gates it may pass.
    pub(crate) steps: u64,
    /// Time may pass while somebody works.
    pub(crate) eager_timers: bool,
}

enum What {
    Task(Runnable, Why),
    Job(Job),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// The main task has ended, the others are to.
    Ending(Instant),
    Over,
}

struct Inside {
    ready: VecDeque<What>,
    busy: usize,
    waiting: usize,
    phase: Phase,
}

type Locked<'a> = MutexGuard<'a, Inside>;

/// What is ready, and who works.
struct Board {
    inside: Mutex<Inside>,
    changed: Condvar,
    story: Arc<Story>,
    settings: Arc<Settings>,
}

impl Board {
    fn put(&self, what: What) {
        let mut inside = self.inside.lock();
        inside.ready.push_back(what);
        let told = inside.waiting > 0;
        drop(inside);
        if told {
            self.changed.notify_one();
        }
    }
}

impl Inside {
    fn take(&mut self, order: Order) -> Option<What> {
        let place = match order {
            Order::Oldest => 0,
            Order::Newest => {
                let is_new = |what: &What| matches!(what, What::Task(_, Why::Woken | Why::Ended));
                self.ready.iter().rposition(is_new).unwrap_or(0)
            }
        };
        self.ready.remove(place)
    }
}

/// The end of a home's wires.
struct Wire(Arc<Board>);

impl Schedule for Wire {
    fn schedule(&self, task: Runnable, why: Why) {
        self.0.story.queued(&task.task(), why);
        self.0.put(What::Task(task, why));
    }

    fn job(&self, job: Job) {
        jobs::run(job);
    }

    fn settings(&self) -> Option<&Settings> {
        Some(&self.0.settings)
    }
}

/// One run of a program.
pub(crate) struct Stage {
    board: Arc<Board>,
    home: HomeHandle,
    timers: Timers,
    rules: Rules,
    closed: AtomicBool,
}

impl Stage {
    pub(crate) fn new(rules: Rules, story: Arc<Story>, settings: Arc<Settings>) -> Self {
        let (ready, phase) = (VecDeque::new(), Phase::Running);
        let inside = Mutex::new(Inside { ready, busy: 0, waiting: 0, phase });
        let board = Arc::new(Board { inside, changed: Condvar::new(), story, settings });
        Stage {
            home: Home::new_small(Box::new(Wire(board.clone())), Kind::Shared, CHUNK),
            board,
            timers: Timers::exact(),
            rules,
            closed: AtomicBool::new(false),
        }
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// One more home, of tasks that nobody lists.
    pub(crate) fn unlisted_home(&self) -> HomeHandle {
        Home::new(Box::new(Wire(self.board.clone())), Kind::Shared)
    }

    pub(crate) fn timers(&self) -> &Timers {
        &self.timers
    }

    pub(crate) fn arm(&self, timer: Pin<&Timer>, at: Instant, bell: impl Into<Bell>) {
        self.timers.arm(0, timer, at, bell);
    }

    /// Queues what is no task.
    pub(crate) fn submit(&self, job: Job) {
        self.board.put(What::Job(job));
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn live(&self) -> Vec<TaskRef> {
        live::tasks([self.home()])
    }

    fn story(&self) -> &Story {
        &self.board.story
    }

    // ---- the workers -----------------------------------------------------------------------

    /// What one of the workers does, until all is over.
    pub(crate) fn work(&self, worker: usize, clock: &VirtualClock, main: &TaskRef) {
        story::is_worker(worker);
        let mut inside = self.board.inside.lock();
        while inside.phase != Phase::Over {
            if let Some(what) = inside.take(self.rules.order) {
                inside = self.outside(inside, || self.run(what, main));
            } else if let Some(next) = self.next_moment(&inside) {
                inside = self.outside(inside, || self.pass_time(clock, next));
            } else if inside.busy > 0 {
                inside.waiting += 1;
                inside = self.board.changed.wait(inside);
                inside.waiting -= 1;
            } else {
                let phase = inside.phase;
                inside = self.outside(inside, || self.nothing_happens(phase));
                self.end(&mut inside);
            }
        }
    }

    /// Does something without the lock, as one who is busy.
    fn outside<'a>(&'a self, mut inside: Locked<'a>, act: impl FnOnce()) -> Locked<'a> {
        inside.busy += 1;
        drop(inside);
        act();
        let mut inside = self.board.inside.lock();
        inside.busy -= 1;
        inside
    }

    /// Up to when a worker with nothing to do may let time pass, if it may.
    fn next_moment(&self, inside: &Inside) -> Option<Instant> {
        let may = inside.busy == 0 || self.rules.eager_timers;
        let in_time = |at: &Instant| !matches!(inside.phase, Phase::Ending(limit) if *at > limit);
        self.timers.next().filter(|next| may && in_time(next))
    }

    fn end(&self, inside: &mut Inside) {
        inside.phase = Phase::Over;
        self.board.changed.notify_all();
    }

    fn run(&self, what: What, main: &TaskRef) {
        if gates_passed() > self.rules.steps {
            self.story().fails_endlessly();
            self.end(&mut self.board.inside.lock());
        }
        match what {
            What::Job(job) => job(),
            What::Task(task, why) => {
                if why == Why::Yielded {
                    // A program that waits for another task by yielding gets nowhere without it.
                    thread::yield_now();
                }
                let about = task.task();
                self.story().polls(about.id());
                task.run();
                self.story().polled(&about);
                drop(about);
                self.look_at(main);
            }
        }
    }

    /// Has the program ended? Then the rest is to.
    fn look_at(&self, main: &TaskRef) {
        if !unseen(|| main.is_finished()) {
            return;
        }
        let mut inside = self.board.inside.lock();
        if inside.phase != Phase::Running {
            return;
        }
        inside.phase = Phase::Ending(Instant::now() + GRACE);
        drop(inside);
        self.closed.store(true, Ordering::Release);
        self.story().ending();
        for task in self.live() {
            task.cancel();
        }
    }

    /// Lets time pass, up to a timer.
    fn pass_time(&self, clock: &VirtualClock, next: Instant) {
        clock.advance_to(next);
        self.story().time(Instant::now());
        let mut due = Vec::new();
        self.timers.fire(Instant::now(), &mut |waker| due.push(waker));
        probe::wake_all(due);
    }

    /// Nobody works, nothing is ready, and there is no timer to wait for.
    fn nothing_happens(&self, phase: Phase) {
        match phase {
            Phase::Running => {
                let text = unseen(|| self.who_waits());
                self.story().fails_stuck(text);
            }
            Phase::Ending(_) => {
                for task in self.live() {
                    task.header().report_refusal();
                }
            }
            Phase::Over => {}
        }
    }

    fn who_waits(&self) -> String {
        let mut text = String::from("deadlock: no task can run and no timer is left");
        for task in self.live() {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "\n  {} ({}) awaits ", task.name(), task.location());
            text += &task.awaits().map_or("what nobody will do".to_owned(), |other| other.name());
        }
        text
    }

    /// Ends what is left without asking; the workers have gone.
    pub(crate) fn kill(&self) {
        self.closed.store(true, Ordering::Release);
        loop {
            let mut found = false;
            for task in self.live() {
                found |= task.kill();
            }
            while let Some(what) = self.take_left() {
                found = true;
                if let What::Task(task, _) = what {
                    task.kill();
                }
            }
            if !found {
                return;
            }
        }
    }

    fn take_left(&self) -> Option<What> {
        self.board.inside.lock().ready.pop_front()
    }
}
