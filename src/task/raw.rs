//! One task in memory: the header that all tasks share, and the future or value behind it.
//!
//! A task is one allocation: [`Header`], then its future, whose place its value takes in the end.
//! Everything that need not know the future's type is done here once, through a small table of
//! functions. What a poll does with it is told in `poll`.
//!
//! Who may touch what:
//!
//! | part                    | while RUNNING            | else                              |
//! |-------------------------|--------------------------|-----------------------------------|
//! | stage                   | the polling thread       | DONE: the handle; else nobody     |
//! | vars                    | the polling thread; writes| who holds the lock, to read       |
//! | standing                | its stack has them       | idle: who holds the lock, to read |
//! | waiter, cold            | who holds the short lock | the same                          |

use std::alloc::Layout;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};

use crate::context::Vars;
use crate::error::{Error, Message, Outcome, Result};
use crate::probe;
use crate::sys::{AtomicU64, UnsafeCell};
use crate::task::Why;
use crate::task::answers::Wake;
use crate::task::earliest::Earliest;
use crate::task::freelist::Shape;
use crate::task::hooks::Hooks;
use crate::task::memory::Home;
use crate::task::notes::Note;
use crate::task::poll::{Runnable, kill_running, schedule};
use crate::task::present::Present;
use crate::task::scopes::Fired;
use crate::task::standing::Standing;
use crate::task::state::State;
use crate::task::templates::Template;
use crate::task::vars;

#[path = "freed.rs"]
mod freed;

pub(super) use freed::free;

/// What all tasks have in common.
#[repr(C)]
pub(crate) struct Header {
    pub(crate) state: State,
    pub(super) template: &'static Template,
    home: NonNull<Home>,
    id: u64,
    /// The first who wants to know of the end; all others are hooks.
    waiter: UnsafeCell<Earliest>,
    cold: UnsafeCell<Option<Box<Cold>>>,
    standing: UnsafeCell<Standing>,
    pub(super) vars: UnsafeCell<Vars>,
}

/// What few tasks have.
#[derive(Default)]
pub(crate) struct Cold {
    pub(crate) name: Option<String>,
    /// Of the request that is marked.
    pub(crate) message: Option<Message>,
    /// What it ended with; `None` also for a cancellation without a message.
    pub(crate) error: Option<Error>,
    pub(crate) hooks: Hooks,
    pub(crate) news: News,
}

/// What happened to scopes of this task from outside, for its next poll.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// They ended elsewhere.
    pub(crate) gone: Vec<(u32, u32)>,
    /// Groups made requests, which count already.
    pub(crate) fired: Vec<Fired>,
    /// Such a request found nobody to take it: the scope must.
    pub(crate) returned: Vec<(u32, u32)>,
}

/// What has to know the type of the future.
#[derive(Clone, Copy)]
pub(super) struct Vtable {
    pub(super) poll: unsafe fn(NonNull<Header>, &mut Context<'_>) -> Poll<Result<()>>,
    /// Drops whatever the stage holds.
    clear: unsafe fn(NonNull<Header>),
    /// Moves the value to where the pointer leads, an `Option<T>`.
    take: unsafe fn(NonNull<Header>, NonNull<()>),
    shape: Shape,
    /// The value has a destructor.
    pub(super) drops_value: bool,
    kind: &'static str,
}

#[repr(C)]
struct Cell<F: Future<Output: Outcome>> {
    header: Header,
    stage: UnsafeCell<Stage<F, <F::Output as Outcome>::Value>>,
}

enum Stage<F, T> {
    Future(F),
    Value(T),
    Empty,
}

/// Nine words: there may be a million tasks.
#[cfg(not(loom))]
const _: () = assert!(size_of::<Header>() <= 72);

/// A counted reference to a task, whatever its type: the handle that anybody may keep.
#[doc(alias = "Task")]
pub struct TaskRef(NonNull<Header>);

// SAFETY: a header is shared by design: the state word is atomic and hands out the right to touch
// the rest (table above); futures and values are `Send` where a task can move (`new`).
unsafe impl Send for TaskRef {}
// SAFETY: as above.
unsafe impl Sync for TaskRef {}

impl Clone for TaskRef {
    fn clone(&self) -> Self {
        self.header().state.add_ref();
        TaskRef(self.0)
    }
}

impl Drop for TaskRef {
    fn drop(&mut self) {
        if self.header().state.release() {
            free(self.0);
        }
    }
}

impl PartialEq for TaskRef {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for TaskRef {}

/// How the first poll comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum First {
    /// From a queue.
    Queued,
    /// Here and now.
    Eager,
    /// Not at all: it ends when it is told to.
    Never,
}

/// Makes a task: the runtime's right to poll it, and the reference that its handle will own.
///
/// # Safety
/// If the future or its value is not `Send`, or not `'static`, the caller polls the task only on
/// its own thread, ends it before whatever it borrows ends, and takes the value there.
pub(crate) unsafe fn new<F>(
    home: &Home,
    future: F,
    location: &'static Location<'static>,
    first: First,
) -> (Runnable, TaskRef)
where
    F: Future<Output: Outcome>,
{
    let layout = Layout::new::<Cell<F>>();
    let place = home.allocate(layout).cast::<Cell<F>>();
    let id = home.next_id();
    let vars = vars::capture();
    let template = Template::of(Table::<F>::VTABLE, location);
    let cell = place.as_ptr();
    // SAFETY: `place` is a fresh cell of the right layout, owned by this call alone but for its
    // state word, which is left alone here.
    unsafe {
        (&raw mut (*cell).header.template).write(template);
        (&raw mut (*cell).header.home).write(home.pointer());
        (&raw mut (*cell).header.id).write(id);
        (&raw mut (*cell).header.waiter).write(UnsafeCell::new(Earliest::NONE));
        (&raw mut (*cell).header.cold).write(UnsafeCell::new(None));
        (&raw mut (*cell).header.standing).write(UnsafeCell::new(Standing::NONE));
        (&raw mut (*cell).header.vars).write(UnsafeCell::new(vars));
        (&raw mut (*cell).stage).write(UnsafeCell::new(Stage::Future(future)));
    }
    let state = match first {
        First::Queued | First::Eager => State::running(),
        First::Never => State::idle(),
    };
    // SAFETY: the first word of every cell is an initialised atomic, for as long as it is a cell.
    state.publish(unsafe { place.cast::<AtomicU64>().as_ref() });
    probe::spawned(id, location);
    let header = place.cast::<Header>();
    (Runnable::new(header), TaskRef(header))
}

pub(super) struct Table<F>(F);

impl<F: Future<Output: Outcome>> Table<F> {
    pub(super) const VTABLE: &'static Vtable = &Vtable {
        poll: poll::<F>,
        clear: clear::<F>,
        take: take::<F>,
        shape: const { Shape::of(Layout::new::<Cell<F>>()) },
        drops_value: std::mem::needs_drop::<<F::Output as Outcome>::Value>(),
        kind: F::Output::KIND,
    };
}

/// # Safety
/// The calling thread polls the task (RUNNING), which is a `Cell<F>`.
unsafe fn poll<F>(header: NonNull<Header>, context: &mut Context<'_>) -> Poll<Result<()>>
where
    F: Future<Output: Outcome>,
{
    // SAFETY: the caller's promise.
    let cell = unsafe { header.cast::<Cell<F>>().as_ref() };
    cell.stage.with_mut(|stage| {
        // SAFETY: RUNNING is set for this thread: nobody else touches the stage.
        let stage = unsafe { &mut *stage };
        let Stage::Future(future) = stage else {
            unreachable!("a task without its future is polled");
        };
        // SAFETY: the cell never moves, and the future is dropped in its place.
        let output = unsafe { Pin::new_unchecked(future) }.poll(context);
        output.map(|output| {
            let result = output.into_result();
            // The future goes before its value is put in its place, and before anybody learns
            // of the end (TASK-20).
            *stage = Stage::Empty;
            result.map(|value| *stage = Stage::Value(value))
        })
    })
}

/// # Safety
/// As for `poll`; or the task is DONE and the caller owns what is stored.
unsafe fn clear<F: Future<Output: Outcome>>(header: NonNull<Header>) {
    // SAFETY: the caller's promise.
    let cell = unsafe { header.cast::<Cell<F>>().as_ref() };
    cell.stage.with_mut(|stage| {
        // SAFETY: the caller's promise: nobody else touches the stage.
        unsafe { *stage = Stage::Empty };
    });
}

/// # Safety
/// The task is DONE, the caller owns its value, and `into` points to an `Option` of its type.
unsafe fn take<F: Future<Output: Outcome>>(header: NonNull<Header>, into: NonNull<()>) {
    // SAFETY: the caller's promise.
    let cell = unsafe { header.cast::<Cell<F>>().as_ref() };
    let stage = cell.stage.with_mut(|stage| {
        // SAFETY: the caller's promise: nobody else touches the stage.
        std::mem::replace(unsafe { &mut *stage }, Stage::Empty)
    });
    if let Stage::Value(value) = stage {
        // SAFETY: the caller's promise.
        unsafe { *into.cast::<Option<_>>().as_mut() = Some(value) };
    }
}

impl Header {
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// What it is called if it has no name.
    pub(super) fn kind(&self) -> &'static str {
        self.template.vtable.kind
    }

    pub(crate) fn location(&self) -> &'static Location<'static> {
        self.template.location
    }

    /// Whether that address lies in the task's own memory.
    #[inline]
    pub(crate) fn encloses(&self, address: usize) -> bool {
        let offset = address.wrapping_sub(std::ptr::from_ref(self).addr());
        offset < self.template.vtable.shape.layout.size()
    }

    /// Where it came from; alive as long as any of its cells.
    pub(crate) fn home(&self) -> &Home {
        // SAFETY: a home outlives its cells.
        unsafe { self.home.as_ref() }
    }

    /// Looks into the cold part, which is made if need be, and the waiter, under the short lock
    /// that the caller holds. Only a few stores happen in `look`.
    pub(crate) fn with_cold<R>(&self, look: impl FnOnce(&mut Cold, &mut Earliest) -> R) -> R {
        self.cold.with_mut(|cold| {
            self.waiter.with_mut(|waiter| {
                // SAFETY: both are touched only under the short lock.
                unsafe { look((*cold).get_or_insert_default(), &mut *waiter) }
            })
        })
    }

    /// As [`with_cold`](Header::with_cold), if there is a cold part.
    pub(crate) fn with_cold_if_any<R>(&self, look: impl FnOnce(Option<&mut Cold>) -> R) -> R {
        // SAFETY: it is touched only under the short lock.
        self.cold.with_mut(|cold| look(unsafe { (*cold).as_deref_mut() }))
    }

    pub(crate) fn with_waiter<R>(
        &self,
        look: impl FnOnce(&mut Earliest, Option<&mut Cold>) -> R,
    ) -> R {
        self.waiter.with_mut(|waiter| {
            // SAFETY: it is touched only under the short lock.
            self.with_cold_if_any(|cold| look(unsafe { &mut *waiter }, cold))
        })
    }

    /// Takes the news that came in, if there are any.
    pub(crate) fn take_news(&self) -> Option<News> {
        self.state.requests_unless_news().is_none().then(|| {
            self.state.lock();
            let news = self.with_cold(|cold, _| std::mem::take(&mut cold.news));
            self.state.unlock_no_news();
            news
        })
    }

    /// What this task awaits, if its note is published: under the short lock, while idle.
    pub(crate) fn published(&self) -> Note {
        // SAFETY: the lock keeps polls from beginning, so nobody else touches this.
        self.standing.with_mut(|standing| unsafe { (*standing).awaited() })
    }

    /// What the poll that begins finds.
    #[inline]
    pub(super) fn take_scopes(&self, present: &Present, passed: bool) {
        // SAFETY: called by the polling thread; polls wait for the short lock.
        self.standing.with_mut(|standing| present.begin(unsafe { &mut *standing }, passed));
    }

    /// True: the one task that is awaited has been put where others can find it.
    #[inline]
    pub(super) fn put_scopes(&self, present: &mut Present) -> bool {
        // SAFETY: called by the polling thread, still RUNNING; the place is empty since
        // `take_scopes`.
        self.standing.with_mut(|standing| present.end(unsafe { &mut *standing }))
    }
}

impl TaskRef {
    pub(crate) fn header(&self) -> &Header {
        // SAFETY: this counted reference keeps the header alive.
        unsafe { self.0.as_ref() }
    }

    /// Takes a counted reference to a task that is alive, such as one being polled.
    ///
    /// # Safety
    /// Somebody holds a reference to the task during the call.
    pub(crate) unsafe fn from_header(header: NonNull<Header>) -> TaskRef {
        // SAFETY: the caller's promise.
        unsafe { header.as_ref() }.state.add_ref();
        TaskRef(header)
    }

    /// A reference to the unfinished task in a cell, if there is one.
    ///
    /// # Safety
    /// `cell` belongs to a home that lives.
    pub(crate) unsafe fn from_cell(cell: NonNull<u8>) -> Option<TaskRef> {
        let header = cell.cast::<Header>();
        // SAFETY: the first word of a cell is always a state word; only it is looked at until a
        // reference was taken.
        let state = unsafe { &(*header.as_ptr()).state };
        state.try_ref().then(|| TaskRef(header))
    }

    /// # Safety
    /// `raw` is the [`address`](TaskRef::address) of a task, and a reference that is counted goes
    /// over to the result.
    pub(crate) unsafe fn from_raw(raw: *const ()) -> TaskRef {
        // SAFETY: the address of a task is not null.
        TaskRef(unsafe { NonNull::new_unchecked(raw.cast_mut().cast()) })
    }

    /// The task's memory, all of it: what a `&Header` leads to is the header alone.
    pub(super) fn raw(&self) -> NonNull<Header> {
        self.0
    }

    pub(crate) fn address(&self) -> *const () {
        self.0.as_ptr().cast_const().cast()
    }

    pub(crate) fn lock_unless_done(&self) -> bool {
        self.header().state.lock_unless_done()
    }

    /// Queues the task, whose state word has just said so.
    pub(crate) fn queue(&self) {
        schedule(self.0, Why::Woken);
    }

    /// Wakes the task for a reason that only it knows.
    pub(crate) fn wake(&self) {
        self.wake_for(Why::Woken);
    }

    pub(super) fn wake_for(&self, why: Why) {
        if self.header().state.wake() == Wake::Queue {
            schedule(self.0, why);
        }
    }

    /// Ends the task without asking, if it sleeps: its future is dropped, it ends cancelled.
    pub(crate) fn kill(&self) -> bool {
        let sleeps = self.header().state.start_kill();
        if sleeps {
            kill_running(self.0);
        }
        sleeps
    }

    /// Moves the value of a finished task into `into`.
    ///
    /// # Safety
    /// The task is DONE, `T` is the type of its value, and the caller is its one handle.
    pub(crate) unsafe fn take_value<T>(&self, into: &mut Option<T>) {
        // SAFETY: the caller's promise.
        unsafe { (self.header().template.vtable.take)(self.0, NonNull::from(into).cast()) };
    }

    /// The handle of the task goes, and with it this reference.
    pub(crate) fn drop_handle(this: ManuallyDrop<TaskRef>) {
        let header = this.header();
        match header.state.drop_handle() {
            Some(true) => free(this.0),
            Some(false) => {}
            None => {
                if header.template.vtable.drops_value {
                    clear_contained(this.0, "the value of a task");
                }
                drop(ManuallyDrop::into_inner(this));
            }
        }
    }
}

/// Drops what the stage holds.
pub(super) fn clear_stage(header: NonNull<Header>) {
    // SAFETY: the callers are the polling thread, or own the value of a finished task.
    unsafe { (header.as_ref().template.vtable.clear)(header) };
}

/// As [`clear_stage`]; a panic there is reported, and goes no further.
pub(super) fn clear_contained(header: NonNull<Header>, what: &'static str) {
    probe::contain(what, || clear_stage(header));
}
