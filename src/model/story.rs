//! What happened in a run, and how it failed: written down as it goes, told if it is asked for.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::panic::Location;

use crate::driver::clock::Instant;
use crate::sys::quiet::Mutex;
use crate::sys::{Arc, thread_local, unseen};
use crate::task::Why;
use crate::task::answers::Ending;
use crate::task::handle::TaskId;
use crate::task::raw::TaskRef;

thread_local! {
    /// Which worker this thread is; 0: none.
    static WORKER: Cell<usize> = const { Cell::new(0) };
}

std::thread_local! {
    /// The story of the run that is under way.
    static STORY: RefCell<Option<Arc<Story>>> = const { RefCell::new(None) };
}

/// This thread of the model is a worker.
pub(super) fn is_worker(worker: usize) {
    WORKER.with(|number| number.set(worker));
}

fn worker() -> usize {
    WORKER.with(Cell::get)
}

/// A program says something that is to stand in the story.
pub(crate) fn note(text: String) {
    with_present(|story| story.write(What::Says(text)));
}

/// What has happened in the run that is under way.
pub(crate) fn story_so_far() -> String {
    STORY.with_borrow(|story| story.as_deref().map(Story::tell).unwrap_or_default())
}

/// A worker goes on after others had gone first.
pub(crate) fn goes_on() {
    with_present(|story| {
        let inside = story.0.lock();
        let polls = inside.polling.contains_key(&worker());
        drop(inside);
        if polls {
            story.write(What::GoesOn);
        }
    });
}

fn with_present(act: impl FnOnce(&Story)) {
    STORY.with_borrow(|story| story.as_deref().map(act));
}

#[derive(Debug)]
enum What {
    Starts,
    GoesOn,
    Wakes(TaskId),
    Spawns(TaskId),
    Waits,
    Yields,
    Ends(&'static str),
    Says(String),
    Time(Instant),
    Ending,
}

#[derive(Debug)]
struct Line {
    worker: usize,
    task: Option<TaskId>,
    what: What,
}

/// What is known of a task.
#[derive(Debug)]
struct Known {
    name: String,
    place: &'static Location<'static>,
}

#[derive(Debug, Default)]
struct Inside {
    lines: Vec<Line>,
    known: BTreeMap<TaskId, Known>,
    polling: BTreeMap<usize, TaskId>,
    yielded: BTreeSet<TaskId>,
    failure: Option<String>,
}

/// One run's story.
#[derive(Debug, Default)]
pub(crate) struct Story(Mutex<Inside>);

impl Default for Mutex<Inside> {
    fn default() -> Self {
        Mutex::new(Inside::default())
    }
}

/// While it lives, there is a run under way.
pub(crate) struct Told(());

impl Drop for Told {
    fn drop(&mut self) {
        STORY.take();
    }
}

impl Story {
    /// Begins the story of a run.
    pub(crate) fn begin(self: &Arc<Self>) -> Told {
        *self.0.lock() = Inside::default();
        STORY.set(Some(self.clone()));
        Told(())
    }

    fn write(&self, what: What) {
        let worker = worker();
        let mut inside = self.0.lock();
        let task = inside.polling.get(&worker).copied();
        inside.lines.push(Line { worker, task, what });
    }

    // ---- what happens ----------------------------------------------------------------------

    pub(super) fn queued(&self, task: &TaskRef, why: Why) {
        let id = task.id();
        let mut inside = self.0.lock();
        let new = !inside.known.contains_key(&id);
        if new {
            // Nobody else knows it yet, so its name is to be had without waiting.
            let name = unseen(|| task.name());
            inside.known.insert(id, Known { name, place: task.location() });
        }
        if why == Why::Yielded {
            inside.yielded.insert(id);
        }
        drop(inside);
        match why {
            _ if new => self.write(What::Spawns(id)),
            Why::Woken | Why::Ended => self.write(What::Wakes(id)),
            Why::Yielded => {}
        }
    }

    pub(super) fn polls(&self, task: TaskId) {
        let mut inside = self.0.lock();
        inside.polling.insert(worker(), task);
        inside.yielded.remove(&task);
        drop(inside);
        self.write(What::Starts);
    }

    /// The poll is over. If another worker polls the task by now, that is its own business.
    pub(super) fn polled(&self, task: &TaskRef) {
        let ending = unseen(|| task.header().state.ending());
        let mut inside = self.0.lock();
        inside.polling.remove(&worker());
        let elsewhere = inside.polling.values().any(|other| *other == task.id());
        let yielded = inside.yielded.contains(&task.id());
        let what = match ending {
            _ if elsewhere => What::Waits,
            Some(Ending::Cancelled) => What::Ends("ends cancelled"),
            Some(Ending::Failed) => What::Ends("ends with an error"),
            Some(Ending::Value) => What::Ends("ends"),
            None if yielded => What::Yields,
            None => What::Waits,
        };
        inside.lines.push(Line { worker: worker(), task: Some(task.id()), what });
    }

    pub(super) fn time(&self, now: Instant) {
        self.write(What::Time(now));
    }

    pub(super) fn ending(&self) {
        self.write(What::Ending);
    }

    // ---- how it fails ----------------------------------------------------------------------

    /// The first failure counts.
    pub(crate) fn fails(&self, text: String) {
        self.0.lock().failure.get_or_insert(text);
    }

    pub(super) fn fails_stuck(&self, text: String) {
        self.fails(text);
    }

    pub(super) fn fails_endlessly(&self) {
        self.fails("the run does not end: it has more steps than the model may have".to_owned());
    }

    /// How the run failed, if it did.
    pub(crate) fn failure(&self) -> Option<String> {
        self.0.lock().failure.clone()
    }

    // ---- how it is told --------------------------------------------------------------------

    /// Tells it, a line for each thing that happened.
    pub(crate) fn tell(&self) -> String {
        let inside = self.0.lock();
        let mut text = String::new();
        for line in &inside.lines {
            // Writing to a `String` cannot fail.
            let _ = match &line.what {
                What::Time(now) => {
                    let passed = std::time::Duration::from_nanos(now.nanoseconds());
                    writeln!(text, "            time passes: it is {passed:?}")
                }
                // The test's own thread makes the main task.
                What::Spawns(main) if line.worker == 0 => {
                    writeln!(text, "            {} is ready", inside.name(*main))
                }
                what => {
                    let task = line.task.map(|task| inside.name(task) + " ");
                    let (task, what) = (task.unwrap_or_default(), inside.in_words(what));
                    writeln!(text, "  worker {}  {task}{what}", line.worker)
                }
            };
        }
        text
    }
}

impl Inside {
    fn name(&self, task: TaskId) -> String {
        self.known.get(&task).map_or("a task".to_owned(), |known| known.name.clone())
    }

    fn in_words(&self, what: &What) -> String {
        match what {
            What::Starts => "runs".to_owned(),
            What::GoesOn => "goes on".to_owned(),
            What::Wakes(task) => format!("- wakes {}", self.name(*task)),
            What::Spawns(task) => {
                let place = self.known.get(task).map(|known| known.place.to_string());
                format!("- spawns {} ({})", self.name(*task), place.unwrap_or_default())
            }
            What::Waits => "waits".to_owned(),
            What::Yields => "yields".to_owned(),
            What::Ends(how) => (*how).to_owned(),
            What::Says(text) => format!("- says: {text}"),
            What::Time(_) => String::new(),
            What::Ending => "the program has ended: what is left is cancelled".to_owned(),
        }
    }
}
