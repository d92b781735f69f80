//! Under `--cfg loom`: a program is run in every order of what its tasks do to each other.

use std::any::Any;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::atomic::AtomicU64;

use crate::driver::clock::{Instant, VirtualClock};
use crate::error::Outcome;
use crate::modelled::{Order, Rules, Stage, Story, goes_on};
use crate::runtime::Handle;
use crate::runtime::calls::Calls;
use crate::runtime::handle::Which;
use crate::runtime::hush::Hush;
use crate::runtime::model::{Builder, Explored, Failure};
use crate::runtime::unpolled::Unpolled;
use crate::scheduler::Pass;
use crate::sys::{Arc, Modelled as Gates, Mutex, Ordering, leave_model, thread};
use crate::task::Job;
use crate::task::handle::Task;
use crate::task::memory::{Home, HomeHandle, Kind};
use crate::task::raw::{self, First, TaskRef};
use crate::task::report::{Report, Settings};

/// Each worker's stack, in words: one MiB.
const STACK: usize = (1 << 20) / size_of::<usize>();

/// More preemptions than that loom does not count.
const MOST_PREEMPTIONS: usize = u8::MAX as usize;

/// More switches than that in one run have no place in memory, which loom takes at the beginning.
const MOST_BRANCHES: usize = 1 << 22;

/// What the tasks of one run share, and its handles hold.
pub(crate) struct Modelled {
    pub(crate) stage: Arc<Stage>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) calls: std::sync::Arc<Calls>,
    /// Of what nobody polls.
    pub(crate) unpolled: HomeHandle,
    pub(crate) workers: usize,
}

impl Modelled {
    fn new(stage: Arc<Stage>, settings: Arc<Settings>, workers: usize) -> Self {
        let calls = Calls::modelled(stage.clone(), settings.clone());
        let unpolled = Home::new(Box::new(Unpolled::new(&calls, &settings)), Kind::Shared);
        Modelled { stage, settings, calls, unpolled, workers }
    }

    pub(crate) fn admit(&self) -> Option<(&Home, Option<Pass<'_>>)> {
        (!self.stage.is_closed()).then(|| (self.stage.home(), None))
    }

    /// Has a worker run a closure that, on real threads, would have one to itself.
    pub(crate) fn submit(&self, job: Job) -> Arc<Mutex<Option<Job>>> {
        let slot = Arc::new(Mutex::new(Some(job)));
        let there = slot.clone();
        self.stage.submit(Box::new(move || {
            let job = there.lock().take();
            if let Some(job) = job {
                job();
            }
        }));
        slot
    }
}

pub(super) fn note(text: String) {
    crate::modelled::note(text);
}

/// The search through all orders, with more and more preemptions, so that what fails fails in as
/// few as it takes.
pub(super) fn explore<M, F>(
    builder: &Builder,
    location: &'static Location<'static>,
    program: M,
) -> Result<Explored, Failure>
where
    M: Fn() -> F + Send + Sync + 'static,
    F: Future<Output: Outcome<Value: Send + 'static>> + Send + 'static,
{
    let hush = Hush::begin_and_tell(last_words);
    let search = Arc::new(Search::new(builder, location, program));
    let most = builder.preemptions.map(|most| most.min(MOST_PREEMPTIONS));
    let bounds = (0..=most.unwrap_or(2)).map(Some).chain(most.is_none().then_some(None));
    for bound in bounds {
        for order in [Order::Oldest, Order::Newest] {
            match search.explore(bound, order) {
                Ok(None) => {}
                Ok(Some(explored)) => return Ok(explored),
                Err(failure) => return Err(failure.at(hush.place())),
            }
        }
    }
    Ok(search.explored(true))
}

/// Workers that block each other end the process: nothing can go on, not even to unwind.
fn last_words(text: &str) {
    if text.starts_with("deadlock; ") {
        eprintln!("tasks block each other's workers: {text}\n{}", crate::modelled::story_so_far());
    }
}

/// Why a run is the last one.
enum Stop {
    Failed,
    Enough,
}

struct Search<M> {
    program: M,
    builder: Builder,
    location: &'static Location<'static>,
    story: Arc<Story>,
    began: Instant,
    runs: AtomicU64,
}

impl<M, F> Search<M>
where
    M: Fn() -> F + Send + Sync + 'static,
    F: Future<Output: Outcome<Value: Send + 'static>> + Send + 'static,
{
    fn new(builder: &Builder, location: &'static Location<'static>, program: M) -> Self {
        Search {
            program,
            builder: builder.clone(),
            location,
            story: Arc::new(Story::default()),
            began: Instant::now(),
            runs: AtomicU64::new(0),
        }
    }

    fn explored(&self, complete: bool) -> Explored {
        Explored { runs: self.runs.load(Ordering::Relaxed), complete }
    }

    /// Goes through all orders within that bound. `Some`: it has been at it for long enough.
    fn explore(
        self: &Arc<Self>,
        bound: Option<usize>,
        order: Order,
    ) -> Result<Option<Explored>, Failure> {
        let mut explorer = loom::model::Builder::new();
        explorer.max_threads = self.builder.workers + 1;
        let steps = usize::try_from(self.builder.steps).unwrap_or(usize::MAX);
        explorer.max_branches = steps.saturating_mul(4).saturating_add(4096).min(MOST_BRANCHES);
        explorer.preemption_bound = bound;
        explorer.max_permutations = None;
        explorer.max_duration = None;
        let search = self.clone();
        let explored = catch_unwind(AssertUnwindSafe(|| {
            explorer.check(move || search.run_apart(order));
        }));
        leave_model();
        let Err(payload) = explored else { return Ok(None) };
        match payload.downcast::<Stop>().map(|stop| *stop) {
            Ok(Stop::Enough) => Ok(Some(self.explored(false))),
            Ok(Stop::Failed) => Err(self.failure(self.story.failure().unwrap_or_default())),
            Err(payload) => Err(self.failure(in_words(&*payload))),
        }
    }

    fn failure(&self, cause: String) -> Failure {
        let run = format!("run {}", self.runs.load(Ordering::Relaxed));
        Failure { cause, run, story: self.story.tell() }
    }

    /// One run, on threads of the model with room enough.
    fn run_apart(self: &Arc<Self>, order: Order) {
        let limit = self.builder.runs.is_some_and(|most| self.explored(false).runs >= most);
        let now = Instant::now();
        let late = self.builder.duration.is_some_and(|most| now - self.began >= most);
        if limit || late {
            resume_unwind(Box::new(Stop::Enough));
        }
        self.runs.fetch_add(1, Ordering::Relaxed);
        let search = self.clone();
        let first = thread::Builder::new().stack_size(STACK);
        let first = first.spawn(move || search.run(order)).expect("a model has threads");
        first.join().expect("no panic gets as far as this");
        if self.story.failure().is_some() {
            resume_unwind(Box::new(Stop::Failed));
        }
    }

    fn run(&self, order: Order) {
        let _gates = Gates::enter(goes_on);
        let _told = self.story.begin();
        let clock = Arc::new(VirtualClock::enter());
        let settings = Arc::new(Settings::new(false, Settings::SLOW, Some(self.handler())));
        let Builder { steps, eager_timers, .. } = self.builder;
        let rules = Rules { order, steps, eager_timers };
        let stage = Stage::new(rules, self.story.clone(), settings.clone());
        let model = Arc::new(Modelled::new(Arc::new(stage), settings, self.builder.workers));
        let handle = Handle(Arc::new(Which::Model(model.clone())));
        let _entered = handle.enter();
        let (program, home) = ((self.program)(), model.stage.home());
        // SAFETY: the future and its value are `Send` and own all they use.
        let (runnable, task) = unsafe { raw::new(home, program, self.location, First::Queued) };
        task.set_name("main");
        // SAFETY: `task` was made just now, with this type of value.
        let main = unsafe { Task::<<F::Output as Outcome>::Value>::new(task) };
        runnable.queue();
        work(&handle, &model, &clock, &main);
        if main.is_finished()
            && let Err(error) = main.outcome()
        {
            self.story.fails(error.to_string());
        }
        model.calls.close();
        model.stage.kill();
    }

    /// What a program does not look at fails it.
    fn handler(&self) -> Box<dyn Fn(&Report) + Send + Sync> {
        let story = self.story.clone();
        Box::new(move |report| story.fails(report.to_string()))
    }
}

/// Has all workers work, this thread as the first.
fn work(handle: &Handle, model: &Arc<Modelled>, clock: &Arc<VirtualClock>, main: &TaskRef) {
    let others: Vec<_> = (2..=model.workers)
        .map(|worker| {
            let (handle, model, clock) = (handle.clone(), model.clone(), clock.clone());
            let main = main.clone();
            let work = move || {
                let _entered = handle.enter();
                model.stage.work(worker, &clock, &main);
            };
            thread::Builder::new().stack_size(STACK).spawn(work).expect("a model has threads")
        })
        .collect();
    model.stage.work(1, clock, main);
    for other in others {
        other.join().expect("no panic gets as far as this");
    }
}

fn in_words(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without words".to_owned())
}
