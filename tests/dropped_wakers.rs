//! Wakers of somebody else's executor may panic even when they are dropped: whoever goes away goes,
//! also while another panic unwinds, and what somebody has taken he gets.
//!
//! Nothing is timed: a panic that escapes while another one unwinds ends the process.

use std::future::{pending, poll_fn};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

use filch::net::{TcpListener, TcpStream};
use filch::sync::{Barrier, Condition, Event, Lock, Queue, RwLock, Semaphore};
use filch::sync::{broadcast, oneshot, watch};
use filch::{ReturnWhen, Runtime, gather, shield, sleep, spawn, task_group};
use filch::{catch_cancelled, timeout_scope, to_thread, wait};

mod common;

use common::seconds;
use futures::AsyncRead;

/// A waker that does something when it is cloned, and panics when it is dropped.
#[derive(Default)]
struct Fragile {
    on_clone: Mutex<Option<Box<dyn FnMut() + Send>>>,
    panics: AtomicBool,
    gone: AtomicUsize,
}

impl Fragile {
    const VTABLE: RawWakerVTable =
        RawWakerVTable::new(Fragile::clone, Fragile::wake, |_| {}, Fragile::drop);

    fn waker(self: &Arc<Self>) -> Waker {
        let raw = RawWaker::new(Arc::into_raw(self.clone()).cast(), &Fragile::VTABLE);
        // SAFETY: the table counts references of an `Arc`, which may be used on any thread.
        unsafe { Waker::from_raw(raw) }
    }

    unsafe fn clone(this: *const ()) -> RawWaker {
        // SAFETY: each waker has one reference, and so has the one that is made here.
        let this = unsafe {
            Arc::increment_strong_count(this.cast::<Self>());
            &*this.cast::<Self>()
        };
        if let Some(on_clone) = &mut *this.on_clone.lock().unwrap() {
            on_clone();
        }
        RawWaker::new(std::ptr::from_ref(this).cast(), &Fragile::VTABLE)
    }

    unsafe fn wake(this: *const ()) {
        // SAFETY: the reference of the waker that is used.
        unsafe { Arc::from_raw(this.cast::<Self>()) }.gone.fetch_add(1, Ordering::AcqRel);
    }

    unsafe fn drop(this: *const ()) {
        // SAFETY: the reference of the waker that goes.
        let this = unsafe { Arc::from_raw(this.cast::<Self>()) };
        this.gone.fetch_add(1, Ordering::AcqRel);
        let panics = this.panics.load(Ordering::Acquire);
        std::mem::drop(this);
        assert!(!panics, "a waker that panics when it is dropped");
    }
}

/// Polls a future, which has to wait, and then does that with it, while its waker is fragile.
fn while_fragile<F: Future>(future: F, then: impl FnOnce(Pin<Box<F>>)) {
    let fragile = Arc::new(Fragile::default());
    let mut future = Box::pin(future);
    let waker = fragile.waker();
    assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(waker);
    let before = fragile.gone.load(Ordering::Acquire);
    fragile.panics.store(true, Ordering::Release);
    then(future);
    assert!(fragile.gone.load(Ordering::Acquire) > before, "a waker was kept until then");
}

/// Drops it while a panic unwinds, where a second panic would end the process.
fn unwind<F: Future>(future: F) {
    while_fragile(future, |future| {
        let unwound = catch_unwind(AssertUnwindSafe(move || {
            let _future = future;
            panic!("the first panic");
        }));
        assert!(unwound.is_err());
    });
}

/// Polls it with another waker.
fn exchange<F: Future>(future: F) {
    while_fragile(future, |mut future| assert!(poll_once(future.as_mut()).is_pending()));
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// With everything in `sync` that can be waited for.
macro_rules! with_every_line {
    ($leave:ident) => {
        let (lock, rwlock, condition) = (Lock::new(()), RwLock::new(()), Condition::new());
        let mut guard = lock.try_lock().unwrap();
        $leave(lock.lock());
        $leave(condition.wait(&mut guard));
        let _writes = rwlock.try_write().unwrap();
        $leave(rwlock.read());
        $leave(Semaphore::new(0).acquire());
        $leave(Event::new().wait());
        $leave(Barrier::new(2).wait());
        let queue = Queue::bounded(1);
        $leave(queue.get());
        queue.try_put(1).unwrap();
        $leave(queue.put(2));
        $leave(queue.join());
        let (sender, mut receiver) = watch::channel(1);
        $leave(receiver.changed());
        $leave(sender.closed());
        let (_sender, mut receiver) = broadcast::channel::<u8>(1);
        $leave(receiver.recv());
        let (_sender, receiver) = oneshot::channel::<u8>();
        $leave(receiver);
        $leave(async {
            let (mut sender, _receiver) = oneshot::channel::<u8>();
            sender.closed().await
        });
    };
}

#[test]
fn whoever_unwinds_leaves_every_line() {
    with_every_line!(unwind);
}

#[test]
fn whoever_comes_with_another_waker_stays_in_every_line() {
    with_every_line!(exchange);
}

/// With everything else that can be waited for.
macro_rules! with_every_wait {
    ($leave:ident) => {
        let stuck = || spawn(pending::<()>());
        $leave(sleep(seconds(100)));
        $leave(stuck());
        $leave(stuck().join());
        $leave(gather([stuck()]));
        $leave(shield(stuck()));
        $leave(wait([stuck()], ReturnWhen::AllCompleted).timeout(seconds(100)));
        $leave(catch_cancelled(pending::<filch::Result<()>>()));
        $leave(timeout_scope(seconds(100), |_| pending::<filch::Result<()>>()));
        $leave(task_group(async |group| {
            group.spawn(pending::<()>()).detach();
            pending::<filch::Result<()>>().await
        }));
    };
}

/// Everything is polled by a plain thread, or by a task with wakers that are not its own.
fn with_a_runtime(main: impl Future<Output = filch::Result<()>>) {
    Runtime::builder().workers(1).build().unwrap().block_on(main).unwrap();
}

#[test]
fn whoever_unwinds_leaves_tasks_and_timers() {
    with_a_runtime(async {
        with_every_wait!(unwind);
        Ok(())
    });
}

#[test]
fn whoever_comes_with_another_waker_stays_with_tasks_and_timers() {
    with_a_runtime(async {
        with_every_wait!(exchange);
        Ok(())
    });
}

/// A connection on which nothing comes.
async fn connection() -> filch::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let ours = TcpStream::connect(listener.local_addr()?).await?;
    Ok((ours, listener.accept().await?.0))
}

async fn sockets_are_left() -> filch::Result<()> {
    let (ours, _theirs) = connection().await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    unwind(ours.read(&mut [0]));
    exchange(ours.read(&mut [0]));
    unwind(listener.accept());
    exchange(listener.accept());
    // A passer-by goes when the stream does.
    let (ours, _theirs) = connection().await?;
    unwind(poll_fn(move |context| Pin::new(&mut &ours).poll_read(context, &mut [0])));
    Ok(())
}

#[test]
fn whoever_unwinds_leaves_sockets() {
    with_a_runtime(sockets_are_left());
    filch::sim::run(0, sockets_are_left()).unwrap();
}

#[test]
fn whoever_unwinds_leaves_a_closure() {
    with_a_runtime(async {
        let (go, may_go) = mpsc::channel::<()>();
        let (begun, has_begun) = mpsc::channel();
        let mut closure = Box::pin(to_thread(move || {
            begun.send(()).unwrap();
            may_go.recv()
        }));
        unwind(poll_fn(move |context| {
            let polled = closure.as_mut().poll(context);
            has_begun.recv().unwrap();
            polled
        }));
        drop(go);
        Ok(())
    });
}

/// Polls a future with a waker that is dropped unused, because `meanwhile` has just brought, in
/// its clone, what is waited for.
fn get_at_once<F: Future>(future: F, meanwhile: impl FnMut() + Send + 'static) -> Poll<F::Output> {
    let fragile = Arc::new(Fragile::default());
    *fragile.on_clone.lock().unwrap() = Some(Box::new(meanwhile));
    let waker = ManuallyDrop::new(fragile.waker());
    fragile.panics.store(true, Ordering::Release);
    let polled = pin!(future).poll(&mut Context::from_waker(&waker));
    assert_eq!(fragile.gone.load(Ordering::Acquire), 1, "the clone was not needed");
    fragile.panics.store(false, Ordering::Release);
    drop(ManuallyDrop::into_inner(waker));
    polled
}

#[test]
fn what_comes_while_the_waker_is_cloned_is_not_lost() {
    let semaphore = Arc::new(Semaphore::new(0));
    let there = semaphore.clone();
    let permit = get_at_once(semaphore.acquire(), move || there.release(1));
    assert!(permit.is_ready() && semaphore.available() == 0);
    drop(permit);
    assert_eq!(semaphore.available(), 1);

    let queue = Arc::new(Queue::unbounded());
    let there = queue.clone();
    let got = get_at_once(queue.get(), move || there.try_put(7).unwrap());
    assert_eq!(got, Poll::Ready(Ok(7)));

    let queue = Arc::new(Queue::bounded(1));
    queue.try_put(1).unwrap();
    let there = queue.clone();
    let put = get_at_once(queue.put(2), move || assert_eq!(there.try_get(), Ok(1)));
    assert!(put.is_ready() && queue.try_get() == Ok(2));

    let (sender, mut receiver) = broadcast::channel(1);
    let received = get_at_once(receiver.recv(), move || assert!(sender.send(7).is_ok()));
    assert_eq!(received, Poll::Ready(Ok(7)));

    let (sender, mut receiver) = watch::channel(1);
    let changed = get_at_once(receiver.changed(), move || sender.send(2));
    assert!(changed.is_ready());

    let (sender, receiver) = oneshot::channel();
    let mut sender = Some(sender);
    let received = get_at_once(receiver, move || sender.take().unwrap().send(7).unwrap());
    assert_eq!(received, Poll::Ready(Ok(7)));

    let event = Arc::new(Event::new());
    let there = event.clone();
    assert!(get_at_once(event.wait(), move || there.set()).is_ready());
}
