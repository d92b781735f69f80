//! Wakers of somebody else's executor do what they like: a panic in one takes nothing from anybody
//! else, and one that looks at what it was woken for finds it unlocked.
//!
//! Nothing is timed: a lock that is held shows as a test that hangs, a panic that escapes while
//! another one unwinds ends the process.

use std::future::{Pending, pending};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker};
use std::time::Duration;

use filch::net::{TcpListener, TcpStream};
use filch::sync::{Queue, oneshot};
use filch::time::Instant;
use filch::{CatchCancelled, Deadline, Error, Promise, Result, Runtime, TaskRef, catch_cancelled};
use filch::{current_task, gather, sleep, spawn, task_group, timeout_scope, to_thread};

/// Panics whenever it is used.
#[derive(Default)]
struct Panics(AtomicUsize);

impl Panics {
    fn new() -> Arc<Self> {
        Arc::default()
    }

    fn used(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }

    /// Polls a future once; it has to wait.
    fn await_in_vain<F: Future>(self: &Arc<Self>, future: Pin<&mut F>) {
        let waker = Waker::from(self.clone());
        assert!(future.poll(&mut Context::from_waker(&waker)).is_pending());
    }
}

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::AcqRel);
        panic!("a waker that panics");
    }
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Drops something while a panic unwinds, where a second panic would end the process.
fn drop_unwinding<T>(dropped: T) {
    let unwound = catch_unwind(AssertUnwindSafe(move || {
        let _dropped = dropped;
        panic!("the first panic");
    }));
    assert!(unwound.is_err());
}

#[test]
fn a_sender_that_unwinds_ends_its_channel() {
    let (panics, (sender, receiver)) = (Panics::new(), oneshot::channel::<u8>());
    let mut receiver = pin!(receiver);
    panics.await_in_vain(receiver.as_mut());
    drop_unwinding(sender);
    assert_eq!(panics.used(), 1);
    assert_eq!(poll_once(receiver), Poll::Ready(Err(oneshot::Closed)));
}

#[test]
fn a_receiver_that_unwinds_tells_its_sender() {
    let (panics, (mut sender, receiver)) = (Panics::new(), oneshot::channel::<u8>());
    panics.await_in_vain(pin!(sender.closed()));
    drop_unwinding(receiver);
    assert_eq!(panics.used(), 1);
    assert!(sender.is_closed());
}

#[test]
fn a_value_is_sent_though_the_waker_of_its_receiver_panics() {
    let (panics, (sender, receiver)) = (Panics::new(), oneshot::channel());
    let mut receiver = pin!(receiver);
    panics.await_in_vain(receiver.as_mut());
    assert_eq!(sender.send(7), Ok(()));
    assert_eq!(poll_once(receiver), Poll::Ready(Ok(7)));
}

#[test]
fn an_item_is_put_though_the_waker_of_its_getter_panics() {
    let (panics, queue) = (Panics::new(), Queue::unbounded());
    let mut getter = pin!(queue.get());
    panics.await_in_vain(getter.as_mut());
    assert!(queue.try_put(7).is_ok());
    assert_eq!(panics.used(), 1);
    assert_eq!(poll_once(getter), Poll::Ready(Ok(7)));
}

#[test]
fn an_item_is_got_though_the_waker_of_a_putter_panics() {
    let (panics, queue) = (Panics::new(), Queue::bounded(1));
    queue.try_put(1).unwrap();
    let mut putter = pin!(queue.put(2));
    panics.await_in_vain(putter.as_mut());
    assert_eq!(queue.try_get(), Ok(1));
    assert!(poll_once(putter).is_ready());
    assert_eq!(queue.try_get(), Ok(2));
}

#[test]
fn whoever_unwinds_in_a_queue_passes_on_what_he_was_told() {
    let (panics, queue) = (Panics::new(), Queue::bounded(1));
    let mut getters = [Box::pin(queue.get()), Box::pin(queue.get())];
    getters.iter_mut().for_each(|getter| panics.await_in_vain(getter.as_mut()));
    queue.try_put(1).unwrap();
    let [first, mut second] = getters;
    drop_unwinding(first);
    assert_eq!(panics.used(), 2);
    assert_eq!(poll_once(second.as_mut()), Poll::Ready(Ok(1)));
    queue.try_put(2).unwrap();
    let mut putters = [Box::pin(queue.put(3)), Box::pin(queue.put(4))];
    putters.iter_mut().for_each(|putter| panics.await_in_vain(putter.as_mut()));
    assert_eq!(queue.try_get(), Ok(2));
    let [first, mut second] = putters;
    drop_unwinding(first);
    assert_eq!(panics.used(), 4);
    assert!(poll_once(second.as_mut()).is_ready());
}

/// Runs on one worker, where a panic that is not contained takes the most with it.
fn on_a_worker(main: impl Future<Output = Result<()>> + Send + 'static) {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    runtime.handle().spawn(main).wait().unwrap();
}

#[test]
fn whoever_asked_later_for_the_end_of_a_task_learns_of_it() {
    on_a_worker(async {
        let panics = Panics::new();
        let (go, gone) = oneshot::channel();
        let task = spawn(async move { Ok(gone.await?) });
        let mut gathered = pin!(gather([task.task_ref()]));
        panics.await_in_vain(gathered.as_mut());
        let mut group = Box::pin(task_group(async |group| {
            let (inside, waits) = oneshot::channel::<()>();
            group.spawn(async move { Ok(_ = waits.await) });
            drop(inside);
            Ok(())
        }));
        panics.await_in_vain(group.as_mut());
        let later = spawn(task);
        filch::yield_now().await;
        assert!(go.send(7).is_ok());
        assert_eq!(later.await?, 7);
        assert_eq!(panics.used(), 2);
        gathered.await?;
        group.await
    });
}

#[test]
fn a_deadline_is_moved_though_the_waker_of_its_scope_panics() {
    filch::sim::run(0, async {
        let panics = Panics::new();
        let mut known = None;
        let mut scope = pin!(timeout_scope(Duration::from_secs(1), |deadline| {
            known = Some(deadline);
            sleep(Duration::from_secs(5))
        }));
        panics.await_in_vain(scope.as_mut());
        let deadline = known.unwrap();
        assert_eq!(deadline.reschedule(Instant::now() + Duration::from_secs(9)), Ok(()));
        assert_eq!(panics.used(), 1);
        scope.await
    })
    .unwrap();
}

/// Panics when the last waker goes.
struct PanicsWhenGone(Arc<AtomicUsize>);

impl Wake for PanicsWhenGone {
    fn wake(self: Arc<Self>) {}
}

impl Drop for PanicsWhenGone {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::AcqRel);
        panic!("a waker that panics when it goes");
    }
}

/// A scope that waits, in the present task, and keeps a waker that panics when it goes.
fn waiting_scope(gone: &Arc<AtomicUsize>) -> Pin<Box<CatchCancelled<Pending<()>>>> {
    let waker = Waker::from(Arc::new(PanicsWhenGone(gone.clone())));
    let mut scope = Box::pin(catch_cancelled(pending()));
    assert!(scope.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    scope
}

#[test]
fn a_task_ends_though_the_wakers_of_scopes_that_it_leaves_behind_panic() {
    on_a_worker(async {
        let gone = Arc::new(AtomicUsize::new(0));
        let known = gone.clone();
        let task = spawn(async move { Ok([waiting_scope(&known), waiting_scope(&known)]) });
        let left = task.await?;
        assert_eq!(gone.load(Ordering::Acquire), 2);
        drop(left);
        Ok(())
    });
}

#[test]
fn a_task_goes_on_though_the_waker_of_a_scope_that_ended_elsewhere_panics() {
    on_a_worker(async {
        let gone = Arc::new(AtomicUsize::new(0));
        let known = gone.clone();
        let (give, given) = oneshot::channel();
        let (end, ends) = oneshot::channel::<()>();
        let task = spawn(async move {
            assert!(give.send(waiting_scope(&known)).is_ok());
            Ok(_ = ends.await)
        });
        drop(given.await?);
        drop(end);
        task.await?;
        assert_eq!(gone.load(Ordering::Acquire), 1);
        Ok(())
    });
}

#[test]
fn closures_that_never_ran_are_dropped_though_wakers_panic() {
    let panics = Panics::new();
    let runtime = Runtime::builder().workers(1).blocking_threads(1).build().unwrap();
    let (release, released) = mpsc::channel::<()>();
    let (begun, begins) = mpsc::channel();
    let first = to_thread(move || {
        begun.send(()).unwrap();
        released.recv()
    });
    let mut first = Box::pin(first);
    let mut waiting = [1, 2].map(|number| Box::pin(to_thread(move || number)));
    let known = panics.clone();
    let ended = runtime.block_on(async move {
        known.await_in_vain(first.as_mut());
        begins.recv()?;
        waiting.iter_mut().for_each(|closure| known.await_in_vain(closure.as_mut()));
        Ok((first, waiting))
    });
    let (first, mut waiting) = ended.unwrap();
    let end = std::thread::spawn(move || drop(runtime));
    while panics.used() < 2 {
        std::thread::yield_now();
    }
    release.send(()).unwrap();
    end.join().unwrap();
    assert!(waiting.iter_mut().all(|closure| match poll_once(closure.as_mut()) {
        Poll::Ready(ended) => ended.is_err(),
        Poll::Pending => false,
    }));
    drop(first);
}

#[test]
fn a_simulated_network_goes_on_though_the_waker_of_a_reader_panics() {
    filch::sim::run(0, async {
        let panics = Panics::new();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let ours = TcpStream::connect(listener.local_addr()?).await?;
        let (theirs, _) = listener.accept().await?;
        let mut buffer = [0];
        {
            let mut read = pin!(theirs.read(&mut buffer));
            panics.await_in_vain(read.as_mut());
            drop_unwinding(ours);
            while panics.used() == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        }
        assert_eq!(theirs.read(&mut buffer).await?, 0);
        Ok(())
    })
    .unwrap();
}

/// Looks at a queue when it is used, and when it is dropped.
struct Looks(Arc<Queue<u8>>, Arc<AtomicUsize>);

impl Looks {
    fn look(&self) {
        self.1.fetch_add(1 + self.0.len(), Ordering::AcqRel);
    }
}

impl Wake for Looks {
    fn wake(self: Arc<Self>) {
        self.look();
    }
}

impl Drop for Looks {
    fn drop(&mut self) {
        self.look();
    }
}

#[test]
fn a_waker_finds_the_queue_unlocked_that_is_shut_down() {
    let (queue, looks) = (Arc::new(Queue::bounded(1)), Arc::new(AtomicUsize::new(0)));
    let mut getter = pin!(queue.get());
    let waker = Waker::from(Arc::new(Looks(queue.clone(), looks.clone())));
    assert!(getter.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    queue.shutdown();
    assert_eq!(looks.load(Ordering::Acquire), 1);
    assert!(poll_once(getter).is_ready());
}

#[test]
fn a_waker_that_is_exchanged_for_another_finds_the_queue_unlocked() {
    let (queue, looks) = (Arc::new(Queue::bounded(1)), Arc::new(AtomicUsize::new(0)));
    let waker = || Waker::from(Arc::new(Looks(queue.clone(), looks.clone())));
    let mut getter = pin!(queue.get());
    assert!(getter.as_mut().poll(&mut Context::from_waker(&waker())).is_pending());
    assert!(poll_once(getter.as_mut()).is_pending());
    assert_eq!(looks.load(Ordering::Acquire), 1);
    queue.try_put(1).unwrap();
    let mut putter = pin!(queue.put(2));
    assert!(putter.as_mut().poll(&mut Context::from_waker(&waker())).is_pending());
    assert!(poll_once(putter.as_mut()).is_pending());
    assert_eq!(looks.load(Ordering::Acquire), 3);
    let mut join = pin!(queue.join());
    assert!(join.as_mut().poll(&mut Context::from_waker(&waker())).is_pending());
    assert!(poll_once(join.as_mut()).is_pending());
    assert_eq!(looks.load(Ordering::Acquire), 5);
}

/// Begins to wait for the same socket whenever its waker is cloned.
struct WaitsToo(TcpStream, AtomicUsize);

impl WaitsToo {
    const VTABLE: RawWakerVTable =
        RawWakerVTable::new(WaitsToo::clone, WaitsToo::drop, |_| {}, WaitsToo::drop);

    fn waker(self: &Arc<Self>) -> Waker {
        let raw = RawWaker::new(Arc::into_raw(self.clone()).cast(), &WaitsToo::VTABLE);
        // SAFETY: the table counts references of an `Arc`, which may be used on any thread.
        unsafe { Waker::from_raw(raw) }
    }

    unsafe fn clone(this: *const ()) -> RawWaker {
        // SAFETY: each waker has one reference, and so has the one that is made here.
        let this = unsafe {
            Arc::increment_strong_count(this.cast::<Self>());
            &*this.cast::<Self>()
        };
        this.1.fetch_add(1, Ordering::AcqRel);
        assert!(poll_once(pin!(this.0.read(&mut [0]))).is_pending());
        RawWaker::new(std::ptr::from_ref(this).cast(), &WaitsToo::VTABLE)
    }

    unsafe fn drop(this: *const ()) {
        // SAFETY: the reference of the waker that goes.
        drop(unsafe { Arc::from_raw(this.cast::<Self>()) });
    }
}

async fn a_waker_may_wait_for_its_socket() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let ours = TcpStream::connect(listener.local_addr()?).await?;
    let (theirs, _) = listener.accept().await?;
    let both = Arc::new(WaitsToo(ours, AtomicUsize::new(0)));
    let mut buffer = [0];
    let mut read = pin!(both.0.read(&mut buffer));
    // Once to begin, and once in the place of another.
    for waker in [both.waker(), Waker::noop().clone(), both.waker()] {
        assert!(read.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    assert!(both.1.load(Ordering::Acquire) >= 2);
    theirs.write_all(b"x").await?;
    assert_eq!(read.await?, 1);
    Ok(())
}

#[test]
fn a_waker_that_is_cloned_finds_the_socket_unlocked() {
    filch::run(a_waker_may_wait_for_its_socket()).unwrap();
    filch::sim::run(0, a_waker_may_wait_for_its_socket()).unwrap();
}

/// Asks the task it knows for its name.
struct AsksForAName(Mutex<Option<TaskRef>>, AtomicUsize);

impl Wake for AsksForAName {
    fn wake(self: Arc<Self>) {
        if let Some(task) = self.0.lock().unwrap().as_ref() {
            task.name();
        }
        self.1.fetch_add(1, Ordering::AcqRel);
    }
}

#[test]
fn a_group_that_ends_what_its_parent_awaits_wakes_others_outside_the_parents_lock() {
    let asks = Arc::new(AsksForAName(Mutex::default(), AtomicUsize::new(0)));
    let there = asks.clone();
    let group = async move {
        let promise: Promise<()> = Promise::new();
        let mut join = pin!(promise.task_ref().join());
        let waker = Waker::from(there.clone());
        assert!(join.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        *there.0.lock().unwrap() = current_task();
        let failed = task_group(async |group| {
            group.spawn(async {
                sleep(Duration::from_millis(1)).await;
                Err::<(), _>(Error::msg("a child fails"))
            });
            promise.await
        });
        assert!(failed.await.is_err());
        Ok(())
    };
    filch::sim::run(0, group).unwrap();
    assert_eq!(asks.1.load(Ordering::Acquire), 1);
}

/// Looks at a deadline when it is cloned.
struct LooksAtADeadline(Mutex<Option<Deadline>>);

impl LooksAtADeadline {
    const VTABLE: RawWakerVTable = RawWakerVTable::new(Self::clone, Self::drop, |_| {}, Self::drop);

    fn waker(self: &Arc<Self>) -> Waker {
        // SAFETY: the functions count references of the `Arc` that each waker has.
        unsafe { Waker::new(Arc::into_raw(self.clone()).cast(), &Self::VTABLE) }
    }

    unsafe fn clone(this: *const ()) -> RawWaker {
        // SAFETY: each waker has one reference, and so has the one that is made here.
        let this = unsafe {
            Arc::increment_strong_count(this.cast::<Self>());
            &*this.cast::<Self>()
        };
        let deadline = this.0.lock().unwrap().clone();
        deadline.map(|deadline| deadline.when());
        RawWaker::new(std::ptr::from_ref(this).cast(), &Self::VTABLE)
    }

    unsafe fn drop(this: *const ()) {
        // SAFETY: the reference of the waker that goes.
        drop(unsafe { Arc::from_raw(this.cast::<Self>()) });
    }
}

#[test]
fn a_waker_that_is_cloned_finds_the_deadline_unlocked() {
    filch::sim::run(0, async {
        let (mut known, hour) = (None, Duration::from_secs(3600));
        let mut scope = pin!(timeout_scope(hour, |deadline| {
            known = Some(deadline);
            pending::<()>()
        }));
        let looks = Arc::new(LooksAtADeadline(Mutex::default()));
        let (deadline, waker) = (known.unwrap(), looks.waker());
        *looks.0.lock().unwrap() = Some(deadline.clone());
        for _ in 0..2 {
            assert!(scope.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            deadline.reschedule(Instant::now() + hour)?;
        }
        looks.0.lock().unwrap().take();
        Ok(())
    })
    .unwrap();
}
