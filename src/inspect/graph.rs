//! Who awaits whom, as data.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::Location;

use crate::inspect::tree::{AwaitTree, Direction};
use crate::runtime::Handle;
use crate::task::handle::TaskId;
use crate::task::live;
use crate::task::raw::TaskRef;

/// A snapshot of who awaits whom, from [`await_graph`].
///
/// It is plain data: it keeps no task alive, and does not change any more. While other threads run,
/// the tasks are looked at one after the other, so it need not be of one moment: but nobody is in
/// it who had ended before.
///
/// Displayed, it is a tree for every task that nobody awaits; see [`AwaitTree`].
#[derive(Debug, Clone)]
#[doc(alias("FutureCallGraph", "pstree"))]
pub struct AwaitGraph {
    /// In the order of their ids.
    tasks: Vec<TaskInfo>,
}

/// What was seen of one task, or of one promise.
#[derive(Debug, Clone)]
pub struct TaskInfo {
    id: TaskId,
    name: String,
    location: &'static Location<'static>,
    suspended: bool,
    requests: u32,
    awaits: Vec<TaskId>,
    awaited_by: Vec<TaskId>,
}

/// Takes a snapshot of who awaits whom in this thread's runtime.
///
/// # Panics
/// Outside a runtime: there, ask a [`Handle`].
#[track_caller]
#[doc(alias("asyncio.capture_call_graph", "asyncio.print_call_graph"))]
pub fn await_graph() -> AwaitGraph {
    Handle::with_current(Handle::await_graph)
}

impl Handle {
    /// Takes a snapshot of who awaits whom in this runtime, from any thread.
    ///
    /// Those of other runtimes who have to do with this one's tasks are in it, too. See
    /// [`inspect`](crate::inspect).
    pub fn await_graph(&self) -> AwaitGraph {
        let mut snapshot = Snapshot::default();
        let promises = live::tasks([self.unpolled()]);
        self.all_tasks().into_iter().chain(promises).for_each(|task| snapshot.meet(&task));
        while let Some(task) = snapshot.to_visit.pop() {
            snapshot.visit(&task);
        }
        snapshot.finish()
    }
}

/// A snapshot that is being taken.
#[derive(Default)]
struct Snapshot {
    met: BTreeMap<TaskId, TaskInfo>,
    to_visit: Vec<TaskRef>,
    /// Awaiter, awaited.
    edges: BTreeSet<(TaskId, TaskId)>,
}

impl Snapshot {
    fn meet(&mut self, task: &TaskRef) {
        self.met.entry(task.id()).or_insert_with(|| {
            self.to_visit.push(task.clone());
            TaskInfo {
                id: task.id(),
                name: task.name(),
                location: task.location(),
                suspended: task.is_suspended(),
                requests: task.cancelling(),
                awaits: Vec::new(),
                awaited_by: Vec::new(),
            }
        });
    }

    fn visit(&mut self, task: &TaskRef) {
        for awaiter in task.awaiters() {
            self.add(&awaiter, task);
        }
        if let Some(awaited) = task.awaits() {
            self.add(task, &awaited);
        }
    }

    fn add(&mut self, awaiter: &TaskRef, awaited: &TaskRef) {
        if !awaiter.is_finished() && !awaited.is_finished() {
            self.meet(awaiter);
            self.meet(awaited);
            self.edges.insert((awaiter.id(), awaited.id()));
        }
    }

    fn finish(mut self) -> AwaitGraph {
        for (awaiter, awaited) in self.edges {
            let awaits = self.met.get_mut(&awaiter).map(|info| &mut info.awaits);
            awaits.expect("both ends were met").push(awaited);
            let awaited_by = self.met.get_mut(&awaited).map(|info| &mut info.awaited_by);
            awaited_by.expect("both ends were met").push(awaiter);
        }
        AwaitGraph { tasks: self.met.into_values().collect() }
    }
}

impl AwaitGraph {
    /// Returns all that were seen, in the order of their ids.
    pub fn tasks(&self) -> &[TaskInfo] {
        &self.tasks
    }

    /// Returns what was seen of one of them.
    pub fn get(&self, id: TaskId) -> Option<&TaskInfo> {
        self.place(id).map(|place| &self.tasks[place])
    }

    /// Returns those whom nobody awaits.
    pub fn roots(&self) -> impl Iterator<Item = &TaskInfo> {
        self.tasks.iter().filter(|info| info.awaited_by.is_empty())
    }

    /// Returns the tree of those whom this one awaits, and whom they await, to be displayed.
    pub fn awaited_from(&self, id: TaskId) -> AwaitTree<'_> {
        AwaitTree::new(self, self.place(id).into_iter().collect(), Direction::Down)
    }

    /// Returns the tree of those who await this one, and of those who await them, to be displayed.
    #[doc(alias = "asyncio.format_call_graph")]
    pub fn awaiting(&self, id: TaskId) -> AwaitTree<'_> {
        AwaitTree::new(self, self.place(id).into_iter().collect(), Direction::Up)
    }

    /// Returns the rings: tasks each of which awaits the next, and the last the first. They wait
    /// for ever, unless somebody ends one of them. Of rings that have a task in common, one at
    /// least is given.
    pub fn rings(&self) -> Vec<Vec<TaskId>> {
        let mut rings = Vec::new();
        let mut marks = vec![Mark::New; self.tasks.len()];
        for start in 0..self.tasks.len() {
            if marks[start] == Mark::New {
                self.find_rings(start, &mut marks, &mut rings);
            }
        }
        rings
    }

    /// Follows all ways from `start`; a step back onto the way closes a ring.
    fn find_rings(&self, start: usize, marks: &mut [Mark], rings: &mut Vec<Vec<TaskId>>) {
        let mut way = vec![(start, 0)];
        marks[start] = Mark::OnTheWay;
        while let Some((place, step)) = way.last_mut() {
            let (here, next) = (*place, self.tasks[*place].awaits.get(*step).copied());
            *step += 1;
            let Some(next) = next.and_then(|id| self.place(id)) else {
                marks[here] = Mark::Done;
                way.pop();
                continue;
            };
            match marks[next] {
                Mark::New => {
                    marks[next] = Mark::OnTheWay;
                    way.push((next, 0));
                }
                Mark::OnTheWay => {
                    let on_ring = way.iter().skip_while(|(place, _)| *place != next);
                    rings.push(on_ring.map(|(place, _)| self.tasks[*place].id).collect());
                }
                Mark::Done => {}
            }
        }
    }

    pub(super) fn place(&self, id: TaskId) -> Option<usize> {
        self.tasks.binary_search_by_key(&id, |info| info.id).ok()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    OnTheWay,
    Done,
}

impl TaskInfo {
    /// Returns its id, which is also that of its [`TaskRef`].
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns where in the source it was spawned, or the promise made.
    pub fn location(&self) -> &'static Location<'static> {
        self.location
    }

    /// Tells whether it waited for something, and was not being polled or about to be.
    pub fn is_suspended(&self) -> bool {
        self.suspended
    }

    /// Returns how many requests to end stood.
    pub fn cancelling(&self) -> u32 {
        self.requests
    }

    /// Returns the tasks and promises that it awaited, in the order of their ids.
    pub fn awaits(&self) -> &[TaskId] {
        &self.awaits
    }

    /// Returns the tasks that awaited it, in the order of their ids.
    #[doc(alias = "asyncio.future_add_to_awaited_by")]
    pub fn awaited_by(&self) -> &[TaskId] {
        &self.awaited_by
    }
}
