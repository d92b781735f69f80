//! The honest floor: the least that a runtime with one worker has to do.
//!
//! A task is one allocation. It goes through a stealable queue each time it is made ready, and
//! its state is one atomic word, with one step for each transition: start of a poll, end of a
//! poll, wake, cancel. Nothing else is shared, counted atomically, checked or reported: there is
//! one thread, and wakers may not leave it. Workloads that need a second thread or a socket have
//! no honest floor.

use std::cell::{Cell, UnsafeCell};
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, replace};
use std::pin::{Pin, pin};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_deque::Worker;

use super::timers::{Sleep, fire};
use crate::common::Engine;

const QUEUED: u32 = 1;
const RUNNING: u32 = 2;
const DONE: u32 = 4;
const CANCEL: u32 = 8;

thread_local! {
    static QUEUE: Worker<Pointer> = Worker::new_fifo();
}

type Pointer = NonNull<Head>;

/// What does not depend on the future.
struct Head {
    state: AtomicU32,
    /// Handle, wakers, and the executor until the end; all on one thread.
    refs: Cell<usize>,
    joiner: Cell<Option<Waker>>,
    run: unsafe fn(Pointer),
    take: unsafe fn(Pointer, *mut ()),
    free: unsafe fn(Pointer),
}

#[repr(C)]
struct Body<F: Future> {
    head: Head,
    stage: UnsafeCell<Stage<F>>,
}

enum Stage<F: Future> {
    Future(F),
    Output(F::Output),
    Over,
}

/// A handle; dropping it detaches.
pub(crate) struct Task<T>(Pointer, PhantomData<T>);

// SAFETY: a floor has one thread; nothing that is made on it leaves it.
unsafe impl<T: Send> Send for Task<T> {}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        release(self.0);
    }
}

fn head<'a>(pointer: Pointer) -> &'a Head {
    // SAFETY: whoever has a pointer has one of `refs`, which keep the task's memory.
    unsafe { pointer.as_ref() }
}

fn retain(pointer: Pointer) {
    let refs = &head(pointer).refs;
    refs.set(refs.get() + 1);
}

fn release(pointer: Pointer) {
    let Head { refs, free, .. } = head(pointer);
    refs.set(refs.get() - 1);
    if refs.get() == 0 {
        // SAFETY: that was the last reference, and `free` is made for this body.
        unsafe { free(pointer) }
    }
}

fn push(pointer: Pointer) {
    QUEUE.with(|queue| queue.push(pointer));
}

fn set(pointer: Pointer, bits: u32) {
    let before = head(pointer).state.fetch_or(bits | QUEUED, Ordering::AcqRel);
    if before & (QUEUED | RUNNING | DONE) == 0 {
        push(pointer);
    }
}

static WAKER: RawWakerVTable = RawWakerVTable::new(
    |data| {
        retain(pointer(data));
        RawWaker::new(data, &WAKER)
    },
    |data| {
        set(pointer(data), 0);
        release(pointer(data));
    },
    |data| set(pointer(data), 0),
    |data| release(pointer(data)),
);

fn pointer(data: *const ()) -> Pointer {
    NonNull::new(data.cast_mut().cast()).expect("a waker points to its task")
}

/// A task with two references: the executor's, and one for the caller.
fn allocate<F: Future + 'static>(future: F) -> Pointer {
    let head = Head {
        state: AtomicU32::new(QUEUED),
        refs: Cell::new(2),
        joiner: Cell::new(None),
        run: run::<F>,
        take: take::<F>,
        free: free::<F>,
    };
    let body = Box::new(Body { head, stage: UnsafeCell::new(Stage::Future(future)) });
    NonNull::from(Box::leak(body)).cast()
}

unsafe fn free<F: Future>(pointer: Pointer) {
    // SAFETY: `allocate` leaked this box, and nobody refers to it any more.
    drop(unsafe { Box::from_raw(pointer.cast::<Body<F>>().as_ptr()) });
}

unsafe fn run<F: Future>(pointer: Pointer) {
    // SAFETY: the executor's reference keeps the body, whose type is that of `run`.
    let body = unsafe { pointer.cast::<Body<F>>().as_ref() };
    let before = body.head.state.fetch_xor(QUEUED | RUNNING, Ordering::AcqRel);
    // SAFETY: RUNNING is set: nobody else touches the stage. It is boxed and never moves.
    let stage = unsafe { &mut *body.stage.get() };
    let ended = if before & CANCEL != 0 {
        *stage = Stage::Over;
        true
    } else {
        poll(pointer, stage)
    };
    if ended {
        body.head.state.fetch_xor(RUNNING | DONE, Ordering::AcqRel);
        if let Some(joiner) = body.head.joiner.take() {
            joiner.wake();
        }
        release(pointer);
    } else if body.head.state.fetch_xor(RUNNING, Ordering::AcqRel) & QUEUED != 0 {
        push(pointer);
    }
}

fn poll<F: Future>(pointer: Pointer, stage: &mut Stage<F>) -> bool {
    let Stage::Future(future) = stage else { unreachable!("only an unfinished task is queued") };
    let raw = RawWaker::new(pointer.as_ptr().cast_const().cast(), &WAKER);
    // SAFETY: the waker is lent for this poll, and is not dropped; see `WAKER` for the rest.
    let waker = ManuallyDrop::new(unsafe { Waker::from_raw(raw) });
    // SAFETY: the body is boxed; the future is dropped where it stands.
    let future = unsafe { Pin::new_unchecked(future) };
    match future.poll(&mut Context::from_waker(&waker)) {
        Poll::Ready(output) => *stage = Stage::Output(output),
        Poll::Pending => return false,
    }
    true
}

unsafe fn take<F: Future>(pointer: Pointer, output: *mut ()) {
    // SAFETY: as in `run`; DONE is set, so the stage is the joiner's.
    let stage = unsafe { &mut *pointer.cast::<Body<F>>().as_ref().stage.get() };
    if let Stage::Output(value) = replace(stage, Stage::Over) {
        // SAFETY: `Join` passes a pointer to an `Option` of this very output.
        unsafe { *output.cast::<Option<F::Output>>() = Some(value) };
    }
}

/// Waits for the end of a task; nothing, if it was cancelled.
pub(crate) struct Join<T>(Task<T>);

impl<T> Future for Join<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let Head { state, joiner, take, .. } = head(self.0.0);
        if state.load(Ordering::Acquire) & DONE == 0 {
            joiner.set(Some(cx.waker().clone()));
            return Poll::Pending;
        }
        let mut output: Option<T> = None;
        // SAFETY: DONE is set; a `Task<T>` is made for a future whose output is `T`.
        unsafe { take(self.0.0, (&raw mut output).cast()) };
        Poll::Ready(output)
    }
}

/// Waits for the end of a cancelled task.
pub(crate) struct Ending(Join<()>);

impl Future for Ending {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(drop)
    }
}

/// Runs what is queued until `pointer` is done, or waits for the next timer.
fn run_until_done(pointer: Pointer) {
    let mut turn = 0_u32;
    while head(pointer).state.load(Ordering::Acquire) & DONE == 0 {
        turn += 1;
        let next = QUEUE.with(Worker::pop);
        if next.is_none() || turn.is_multiple_of(61) {
            let due = fire();
            if let (None, Some(due)) = (next, due) {
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        }
        if let Some(next) = next {
            // SAFETY: the queue holds tasks that are not done, which the executor keeps.
            unsafe { (head(next).run)(next) };
        }
    }
}

pub(crate) struct Honest;

impl Engine for Honest {
    const NAME: &'static str = "honest";
    type Task<T: Send + 'static> = Task<T>;
    type Ending = Ending;

    fn start(_workers: usize) -> Self {
        Self
    }

    fn block_on<F>(&self, future: F) -> F::Output
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let task = Self::spawn(future);
        run_until_done(task.0);
        let mut join = pin!(Join(task));
        match join.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(output)) => output,
            _ => unreachable!("the task is done, and nobody cancels it"),
        }
    }

    fn spawn<F>(future: F) -> Task<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let pointer = allocate(future);
        push(pointer);
        Task(pointer, PhantomData)
    }

    fn spawn_eager<F>(future: F) -> Task<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let pointer = allocate(future);
        // SAFETY: the task is new, and not queued.
        unsafe { run::<F>(pointer) };
        Task(pointer, PhantomData)
    }

    fn detach<F>(future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        drop(Self::spawn(future));
    }

    async fn join<T: Send + 'static>(task: Task<T>) -> T {
        Join(task).await.expect("the task was not cancelled")
    }

    fn cancel(task: Task<()>) -> Ending {
        set(task.0, CANCEL);
        Ending(Join(task))
    }

    async fn yield_now() {
        let mut yielded = false;
        poll_fn(|cx| {
            if replace(&mut yielded, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await
    }

    fn sleep(time: Duration) -> impl Future<Output = ()> + Send + 'static {
        Sleep::new(time)
    }

    async fn timeout<F>(limit: Duration, future: F) -> bool
    where
        F: Future<Output = ()> + Send,
    {
        let mut future = pin!(future);
        let mut limit = pin!(Sleep::new(limit));
        poll_fn(|cx| {
            if future.as_mut().poll(cx).is_ready() {
                return Poll::Ready(true);
            }
            limit.as_mut().poll(cx).map(|()| false)
        })
        .await
    }

    async fn group<F>(count: usize, child: fn(usize) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let tasks: Vec<Task<()>> = (0..count).map(|number| Self::spawn(child(number))).collect();
        for task in tasks {
            Self::join(task).await;
        }
    }
}
