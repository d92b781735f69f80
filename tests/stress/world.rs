//! What all tasks of one stress run share: who is known, what is counted, what went wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use fastrand::Rng;
use filch::{CallbackId, Deadline, Error, Handle, Task, TaskRef};
use futures::channel::oneshot;

/// How many tasks can be picked out by others at any time.
const FAMOUS: usize = 64;
/// Nobody spawns while there are more tasks than this.
const CROWD: i64 = 600;

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One runtime under stress.
pub(crate) struct World {
    pub(crate) handle: Handle,
    pub(crate) tally: Tally,
    /// Where the echo server listens, once it does.
    pub(crate) echo: OnceLock<std::net::SocketAddr>,
    /// The runtime beside this one, if there is one.
    pub(crate) beside: OnceLock<Weak<World>>,
    steps: AtomicI64,
    ending: AtomicBool,
    famous: Mutex<Vec<Arc<Known>>>,
    unfinished: Mutex<BTreeMap<u64, Weak<Known>>>,
    /// Handles that wait for a new owner.
    pub(crate) parcels: Mutex<Vec<Child>>,
    /// Who finds one may say a word to whoever waits for it.
    pub(crate) letters: Pool<oneshot::Sender<u64>>,
    /// Anybody may move them.
    pub(crate) deadlines: Pool<Deadline>,
    /// Everything is to come at once.
    pub(crate) hurries: bool,
    complaints: Mutex<Vec<String>>,
}

/// A few things for anybody to take.
pub(crate) struct Pool<T>(Mutex<Vec<T>>);

impl<T> Pool<T> {
    const MOST: usize = 16;

    fn new() -> Self {
        Pool(Mutex::new(Vec::new()))
    }

    /// Puts one in, perhaps in the place of another.
    pub(crate) fn put(&self, thing: T, rng: &mut Rng) -> Option<T> {
        let mut things = lock(&self.0);
        if things.len() < Self::MOST {
            things.push(thing);
            return None;
        }
        Some(std::mem::replace(&mut things[rng.usize(..Self::MOST)], thing))
    }

    pub(crate) fn take(&self, rng: &mut Rng) -> Option<T> {
        let mut things = lock(&self.0);
        let count = things.len();
        (count > 0).then(|| things.swap_remove(rng.usize(..count)))
    }

    fn clear(&self) {
        let things = std::mem::take(&mut *lock(&self.0));
        drop(things);
    }
}

/// Numbers tell tasks apart and say who is older, over all runtimes of the process.
static LAST: AtomicU64 = AtomicU64::new(0);
/// Goes on as long as anything does.
pub(crate) static PROGRESS: AtomicU64 = AtomicU64::new(0);

/// Things that come and go, and must do so equally often.
#[derive(Debug, Default)]
pub(crate) struct Balance {
    made: AtomicU64,
    gone: AtomicU64,
}

impl Balance {
    /// How many are there now.
    pub(crate) fn present(&self) -> u64 {
        let gone = self.gone.load(Ordering::Acquire);
        self.made.load(Ordering::Acquire).saturating_sub(gone)
    }
}

/// Counts itself in and out.
pub(crate) struct Counted(Arc<World>, fn(&Tally) -> &Balance);

impl Counted {
    pub(crate) fn new(world: &Arc<World>, what: fn(&Tally) -> &Balance) -> Self {
        what(&world.tally).made.fetch_add(1, Ordering::Relaxed);
        Counted(world.clone(), what)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.1)(&self.0.tally).gone.fetch_add(1, Ordering::Release);
    }
}

/// All that is counted.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) futures: Balance,
    pub(crate) values: Balance,
    pub(crate) callbacks: Balance,
    pub(crate) closures: Balance,
    pub(crate) connections: Balance,
    pub(crate) talks: Balance,
    pub(crate) called: AtomicU64,
    removed: AtomicU64,
    spawned: AtomicU64,
    finished: AtomicU64,
    cancelled: AtomicU64,
    failed: AtomicU64,
    panicked: AtomicU64,
    pub(crate) bytes: Bytes,
}

/// What went over the wire.
#[derive(Debug, Default)]
pub(crate) struct Bytes {
    pub(crate) sent: AtomicU64,
    pub(crate) heard: AtomicU64,
    pub(crate) echoed: AtomicU64,
    pub(crate) received: AtomicU64,
}

/// The value of a task.
pub(crate) struct Value {
    pub(crate) number: u64,
    _counted: Counted,
}

impl Value {
    pub(crate) fn new(world: &Arc<World>, number: u64) -> Self {
        Value { number, _counted: Counted::new(world, |tally| &tally.values) }
    }
}

/// The error of a task.
#[derive(Debug)]
pub(crate) struct Boom;

impl fmt::Display for Boom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("boom")
    }
}

impl std::error::Error for Boom {}

/// A task that this one, or whoever it gives it to, owns.
pub(crate) struct Child {
    pub(crate) known: Arc<Known>,
    pub(crate) task: Task<Value>,
}

/// What a task may do, and what must follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Anything.
    Wild,
    /// Nobody awaits it, and a request is taken back only by who made it: its count is known.
    Solo,
    /// It swallows no request, has no deadlines, does not fail, and awaits only its like: a request
    /// that nobody takes back ends it.
    Meek,
}

/// A task, and what was done to it.
pub(crate) struct Known {
    pub(crate) number: u64,
    pub(crate) kind: Kind,
    world: Arc<World>,
    task: OnceLock<TaskRef>,
    accepted: AtomicU32,
    taken_back: AtomicU32,
    ended: AtomicU32,
    /// It ends as another one that was cancelled did.
    imitates: AtomicBool,
    doing: Mutex<&'static str>,
}

impl Known {
    pub(crate) fn task(&self) -> &TaskRef {
        self.task.get().expect("it is told its task when that is spawned, or first polled")
    }

    pub(crate) fn is(&self, task: TaskRef) {
        self.task.get_or_init(|| task);
    }

    /// Asks it to end.
    pub(crate) fn cancel(&self, rng: &mut Rng) -> bool {
        let accepted = match rng.u8(..3) {
            0 => self.task().cancel_with("stress"),
            1 => self.task().cancel_with(format!("by chance: {}", rng.u8(..))),
            _ => self.task().cancel(),
        };
        self.accepted.fetch_add(u32::from(accepted), Ordering::Relaxed);
        accepted
    }

    /// Takes a request back: unless the task is wild, only who made it may.
    pub(crate) fn uncancel(&self) {
        self.task().uncancel();
        self.taken_back.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn imitates(&self) {
        self.imitates.store(true, Ordering::Relaxed);
    }

    pub(crate) fn does(&self, what: &'static str) {
        *lock(&self.doing) = what;
    }

    /// The last done-callback of the task: tallies how it ended.
    fn ends(&self, task: &TaskRef) {
        let tally = &self.world.tally;
        let place = match task.error() {
            None => &tally.finished,
            Some(error) if error.is_cancelled() => &tally.cancelled,
            Some(error) if error.is_panic() => &tally.panicked,
            Some(error) if error.is::<Boom>() => &tally.failed,
            Some(other) => return self.world.complain(format!("{self:?} ended with {other}")),
        };
        place.fetch_add(1, Ordering::Relaxed);
        if self.ended.fetch_add(1, Ordering::AcqRel) != 0 {
            self.world.complain(format!("{self:?} ended twice"));
        }
        if !task.is_finished() {
            self.world.complain(format!("{self:?}: a done-callback before the end"));
        }
        lock(&self.world.unfinished).remove(&self.number);
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, doing) = (self.number, *lock(&self.doing));
        let read = |count: &AtomicU32| count.load(Ordering::Relaxed);
        let (accepted, taken_back) = (read(&self.accepted), read(&self.taken_back));
        let task = self.task.get();
        write!(f, "[{number}: {task:?}, {doing}, asked {accepted}, taken back {taken_back}")?;
        write!(f, ", count {:?}]", task.map(TaskRef::cancelling))
    }
}

impl Drop for Known {
    /// Nobody can ask any more: the count must be what was asked for.
    fn drop(&mut self) {
        let Some(task) = self.task.get() else { return };
        let [accepted, taken_back, ended] = [&self.accepted, &self.taken_back, &self.ended]
            .map(|count| count.load(Ordering::Acquire));
        let (count, least) = (task.cancelling(), accepted.saturating_sub(taken_back));
        // The end of the runtime asks, too.
        let kind = if self.world.is_ending() { Kind::Wild } else { self.kind };
        if count < least || kind == Kind::Solo && count > least {
            self.world.complain(format!("{self:?}: the count is wrong"));
        }
        let imitates = self.imitates.load(Ordering::Relaxed);
        if kind == Kind::Solo && task.is_cancelled() && accepted == 0 && !imitates {
            self.world.complain(format!("{self:?} was cancelled by nobody"));
        }
        if kind == Kind::Meek && !task.is_cancelled() && least > 0 {
            self.world.complain(format!("{self:?} was not told"));
        }
        if ended != 1 {
            self.world.complain(format!("{self:?} ended {ended} times"));
        }
    }
}

impl World {
    pub(crate) fn new(handle: Handle, steps: i64, hurries: bool) -> Arc<World> {
        Arc::new(World {
            handle,
            tally: Tally::default(),
            echo: OnceLock::new(),
            beside: OnceLock::new(),
            steps: AtomicI64::new(steps),
            ending: AtomicBool::new(false),
            famous: Mutex::default(),
            unfinished: Mutex::default(),
            parcels: Mutex::default(),
            letters: Pool::new(),
            deadlines: Pool::new(),
            hurries,
            complaints: Mutex::default(),
        })
    }

    /// Takes one of the steps that there are.
    pub(crate) fn step(&self) -> bool {
        PROGRESS.fetch_add(1, Ordering::Relaxed);
        self.steps.fetch_sub(1, Ordering::Relaxed) > 0
    }

    fn stop(&self) {
        self.steps.store(0, Ordering::Relaxed);
    }

    pub(crate) fn steps_left(&self) -> i64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// Its tasks may be cancelled by its end from now on.
    pub(crate) fn ends(&self) {
        self.ending.store(true, Ordering::Release);
        self.stop();
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    pub(crate) fn callback_is_removed(&self) {
        self.tally.removed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn is_crowded(&self) -> bool {
        lock(&self.unfinished).len() as i64 > CROWD
    }

    pub(crate) fn complain(&self, what: String) {
        lock(&self.complaints).push(what);
    }

    /// A task that is about to be spawned.
    pub(crate) fn expect(self: &Arc<Self>, kind: Kind) -> Arc<Known> {
        let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        self.tally.spawned.fetch_add(1, Ordering::Relaxed);
        let known = Arc::new(Known {
            number,
            kind,
            world: self.clone(),
            task: OnceLock::new(),
            accepted: AtomicU32::new(0),
            taken_back: AtomicU32::new(0),
            ended: AtomicU32::new(0),
            imitates: AtomicBool::new(false),
            doing: Mutex::new("nothing yet"),
        });
        lock(&self.unfinished).insert(number, Arc::downgrade(&known));
        known
    }

    /// It has been spawned: from now on others may pick it out.
    pub(crate) fn introduce(&self, known: &Arc<Known>, task: &TaskRef, rng: &mut Rng) {
        known.is(task.clone());
        let ends = known.clone();
        task.add_done_callback(move |task| ends.ends(&task));
        let mut famous = lock(&self.famous);
        let former = if famous.len() < FAMOUS {
            famous.push(known.clone());
            None
        } else {
            Some(std::mem::replace(&mut famous[rng.usize(..FAMOUS)], known.clone()))
        };
        drop(famous);
        drop(former);
    }

    /// Picks out somebody, here or in the runtime beside.
    pub(crate) fn anybody(&self, rng: &mut Rng) -> Option<Arc<Known>> {
        if rng.u8(..8) == 0
            && let Some(beside) = self.beside()
        {
            return rng.choice(&*lock(&beside.famous)).cloned();
        }
        rng.choice(&*lock(&self.famous)).cloned()
    }

    pub(crate) fn beside(&self) -> Option<Arc<World>> {
        self.beside.get().and_then(Weak::upgrade)
    }

    /// Adds a callback that counts itself.
    pub(crate) fn add_callback(self: &Arc<Self>, known: &Known) -> CallbackId {
        let counted = Counted::new(self, |tally| &tally.callbacks);
        known.task().add_done_callback(move |_| {
            counted.0.tally.called.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// What is wrong with the outcome of a task, if it has one.
    pub(crate) fn check(&self, known: &Known, outcome: &Result<Value, Error>) {
        match outcome {
            Ok(value) if value.number != known.number => {
                self.complain(format!("{known:?} gave the value of {}", value.number));
            }
            Err(error) if error.is_cancelled() != known.task().is_cancelled() => {
                self.complain(format!("{known:?} gave {error}"));
            }
            _ => {}
        }
    }

    /// Nobody comes any more for what lies about.
    pub(crate) fn tidy_up(&self) {
        let parcels = std::mem::take(&mut *lock(&self.parcels));
        drop(parcels);
        self.letters.clear();
        self.deadlines.clear();
    }

    pub(crate) fn forget_everybody(&self) {
        self.tidy_up();
        let famous = std::mem::take(&mut *lock(&self.famous));
        drop(famous);
    }

    pub(crate) fn has_unfinished(&self) -> bool {
        !lock(&self.unfinished).is_empty()
    }

    /// Who has not ended, for the watchdog.
    pub(crate) fn stuck(&self) -> Vec<String> {
        let stuck: Vec<_> = lock(&self.unfinished).values().filter_map(Weak::upgrade).collect();
        stuck.iter().map(|known| format!("{known:?}")).collect()
    }

    /// After the end: all that must balance.
    pub(crate) fn verify(&self) {
        assert_eq!(*lock(&self.complaints), [] as [String; 0]);
        assert_eq!(self.stuck(), [] as [String; 0], "unfinished");
        let tally = &self.tally;
        let read = |count: &AtomicU64| count.load(Ordering::Acquire);
        let ended = [&tally.finished, &tally.cancelled, &tally.failed, &tally.panicked].map(read);
        assert_eq!(read(&tally.spawned), ended.iter().sum::<u64>(), "{tally:#?}");
        let balances =
            [&tally.futures, &tally.values, &tally.callbacks, &tally.closures, &tally.connections];
        let balances = balances.into_iter().chain([&tally.talks]);
        for balance in balances {
            assert_eq!(read(&balance.made), read(&balance.gone), "{balance:?} of {tally:#?}");
        }
        let callbacks = read(&tally.called) + read(&tally.removed);
        assert_eq!(read(&tally.callbacks.made), callbacks, "{tally:#?}");
        let bytes = &tally.bytes;
        assert!(read(&bytes.heard) <= read(&bytes.sent), "{bytes:?}");
        assert!(read(&bytes.echoed) <= read(&bytes.heard), "{bytes:?}");
        assert!(read(&bytes.received) <= read(&bytes.echoed), "{bytes:?}");
    }

    pub(crate) fn summary(&self) -> String {
        let tally = &self.tally;
        let read = |count: &AtomicU64| count.load(Ordering::Acquire);
        format!(
            "{} tasks: {} finished, {} cancelled, {} failed, {} panicked; {} connections, {} bytes",
            read(&tally.spawned),
            read(&tally.finished),
            read(&tally.cancelled),
            read(&tally.failed),
            read(&tally.panicked),
            read(&tally.connections.made),
            read(&tally.bytes.received),
        )
    }
}
