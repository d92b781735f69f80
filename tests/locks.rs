//! Locks and events: first come, first served, and nothing is lost with one who goes away
//! (LOCK-01 to LOCK-06, EVT-01 to EVT-05).

mod common;

use std::sync::{Arc, Mutex};

use common::{Boom, Log, in_any_order, seconds, simulate};
use filch::sync::{Event, Lock, LockGuard, OwnedLockGuard, OwnedMappedLockGuard};
use filch::sync::{RwLock, RwLockWriteGuard, WouldWait};
use filch::{Result, Task, sleep, spawn, timeout, yield_now};

/// A lock whose guard lies where anybody finds it, as asyncio's locks are released by anybody.
#[derive(Clone, Default)]
struct Open {
    lock: Arc<Lock<u32>>,
    guard: Arc<Mutex<Option<OwnedLockGuard<u32>>>>,
}

impl Open {
    async fn acquire(&self) {
        let guard = self.lock.lock_owned().await;
        *self.guard.lock().unwrap() = Some(guard);
    }

    fn release(&self) {
        let guard = self.guard.lock().unwrap().take();
        drop(guard.expect("somebody has the lock"));
    }

    /// A task that takes the lock and says so.
    fn taker(&self, log: &Log, name: &'static str) -> Task<()> {
        let (open, log) = (self.clone(), log.clone());
        spawn(async move {
            open.acquire().await;
            log.add(name);
        })
    }
}

// upstream: test_locks.LockTests.test_acquire
#[test]
fn the_lock_goes_to_those_who_wait_in_turn() {
    // LOCK-01, LOCK-02
    simulate(async {
        let (log, open) = (Log::new(), Open::default());
        open.acquire().await;
        let tasks = [open.taker(&log, "1"), open.taker(&log, "2")];
        yield_now().await;
        assert_eq!(log.lines(), [] as [&str; 0]);
        open.release();
        yield_now().await;
        yield_now().await;
        assert_eq!(log.lines(), ["1"]);
        let third = open.taker(&log, "3");
        open.release();
        yield_now().await;
        assert_eq!(log.lines(), ["1", "2"]);
        open.release();
        yield_now().await;
        assert_eq!(log.lines(), ["1", "2", "3"]);
        assert!(tasks.iter().all(|task| task.is_finished()) && third.is_finished());
        Ok(())
    });
}

// upstream: test_locks.LockTests.test_acquire_cancel
#[test]
fn one_who_is_cancelled_leaves_the_line() {
    // LOCK-04
    in_any_order(async || {
        let (log, open) = (Log::new(), Open::default());
        open.acquire().await;
        let waiter = open.taker(&log, "got it");
        yield_now().await;
        waiter.cancel();
        assert!(waiter.await.unwrap_err().is_cancelled());
        assert_eq!(open.lock.waiting(), 0);
        Ok(())
    });
}

// upstream: test_locks.LockTests.test_cancel_race
#[test]
fn a_release_passes_by_one_who_is_cancelled() {
    // LOCK-04
    simulate(async {
        let (lock, go) = (Arc::new(Lock::new(())), Arc::new(Event::new()));
        let user = |waits: bool| {
            let (lock, go) = (lock.clone(), go.clone());
            spawn(async move {
                let _guard = lock.lock().await;
                if waits {
                    go.wait().await;
                }
            })
        };
        let a = user(true);
        yield_now().await;
        assert!(lock.is_locked());
        let b = user(false);
        yield_now().await;
        let c = user(false);
        yield_now().await;
        assert_eq!(lock.waiting(), 2);
        go.set();
        b.cancel();
        yield_now().await;
        assert!(a.is_finished());
        assert!(b.is_cancelled());
        c.await?;
        assert!(!lock.is_locked());
        Ok(())
    });
}

// upstream: test_locks.LockTests.test_cancel_release_race
#[test]
fn a_promise_that_is_not_taken_up_makes_one_owner() {
    // LOCK-04
    simulate(async {
        let (log, open) = (Log::new(), Open::default());
        open.acquire().await;
        let tasks = [(); 3].map(|()| open.taker(&log, "locked"));
        yield_now().await;
        tasks[0].cancel();
        open.release();
        let [first, second, third] = tasks;
        assert!(first.await.unwrap_err().is_cancelled());
        assert_eq!(log.lines(), ["locked"]);
        assert!(second.is_finished() && !third.is_finished());
        third.cancel();
        yield_now().await;
        assert!(third.is_cancelled());
        Ok(())
    });
}

// upstream: test_locks.LockTests.test_finished_waiter_cancelled
#[test]
fn one_who_is_cancelled_with_the_promise_hands_it_on() {
    // LOCK-04
    simulate(async {
        let (log, open) = (Log::new(), Open::default());
        open.acquire().await;
        let first = open.taker(&log, "first");
        yield_now().await;
        assert_eq!(open.lock.waiting(), 1);
        let second = open.taker(&log, "second");
        yield_now().await;
        open.release();
        first.cancel();
        yield_now().await;
        assert!(open.lock.is_locked());
        assert!(first.is_cancelled());
        second.await?;
        assert_eq!(log.lines(), ["second"]);
        Ok(())
    });
}

// upstream: test_locks.LockTests.test_release_no_waiters
#[test]
fn a_release_without_waiters_frees_the_lock() {
    // LOCK-02
    simulate(async {
        let open = Open::default();
        open.acquire().await;
        assert!(open.lock.is_locked());
        open.release();
        assert!(!open.lock.is_locked());
        Ok(())
    });
}

// upstream: test_locks.LockTests.test_context_manager
#[test]
fn the_lock_is_released_on_every_way_out() {
    // LOCK-05
    simulate(async {
        let lock = Arc::new(Lock::new(0));
        {
            let _guard = lock.lock().await;
            assert!(lock.is_locked());
        }
        assert!(!lock.is_locked());
        let locked = lock.clone();
        let fails = spawn(async move {
            *locked.lock().await = 1;
            let _guard = locked.lock().await;
            Result::<()>::Err(Boom("inside").into())
        });
        assert!(fails.await.unwrap_err().is::<Boom>());
        assert!(!lock.is_locked());
        let locked = lock.clone();
        let panics = spawn(async move {
            let _guard = locked.lock().await;
            panic!("inside")
        });
        assert!(panics.await.unwrap_err().is_panic());
        assert_eq!(*lock.try_lock()?, 1, "no poison");
        Ok(())
    });
}

#[test]
fn a_newcomer_stands_behind_a_promise() {
    // LOCK-02, section 27; direct hand-over: the lock never reads as free in between (LOCK-06)
    simulate(async {
        let (log, open) = (Log::new(), Open::default());
        open.acquire().await;
        let waiter = open.taker(&log, "waiter");
        yield_now().await;
        open.release();
        assert!(open.lock.is_locked());
        assert_eq!(open.lock.try_lock().unwrap_err(), WouldWait);
        open.release_when_taken(&waiter).await;
        open.acquire().await;
        assert_eq!(log.lines(), ["waiter"]);
        Ok(())
    });
}

impl Open {
    async fn release_when_taken(&self, taker: &Task<()>) {
        while !taker.is_finished() {
            yield_now().await;
        }
        self.release();
    }
}

#[test]
fn a_wait_that_times_out_leaves_the_line() {
    // LOCK-04
    in_any_order(async || {
        let lock = Lock::new(1);
        let held = lock.lock().await;
        let late = timeout(seconds(1), async { *lock.lock().await = 2 }).await;
        assert!(late.unwrap_err().is_timeout());
        assert_eq!(lock.waiting(), 0);
        drop(held);
        assert_eq!(*lock.lock().await, 1);
        Ok(())
    });
}

#[test]
fn guards_go_to_other_tasks_and_threads() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let lock = Arc::new(Lock::new((1, String::from("one"))));
    let guard = is_send(lock.try_lock_owned().unwrap());
    let mut name = is_send(OwnedLockGuard::map(guard, |pair| &mut pair.1));
    let thread = std::thread::spawn(move || {
        name.push_str(" and only");
        drop(name);
    });
    assert_eq!(lock.lock_blocking().1, "one and only");
    thread.join().unwrap();
    let guard = is_send(lock.try_lock().unwrap());
    let number = LockGuard::try_map(guard, |pair| (pair.0 > 1).then_some(&mut pair.0));
    let guard = number.unwrap_err();
    drop(is_send(LockGuard::map(guard, |pair| &mut pair.0)));
    assert!(!lock.is_locked());
    let mapped: OwnedMappedLockGuard<_, _> =
        OwnedLockGuard::map(lock.try_lock_owned().unwrap(), |pair| &mut pair.0);
    assert_eq!(format!("{mapped:?} {lock:?}"), "1 Lock { value: <locked>, waiting: 0 }");
}

#[test]
fn plain_threads_stand_in_the_same_line() {
    let lock = Arc::new(Lock::new(0));
    let adds = |lock: Arc<Lock<u32>>| {
        move || {
            for _ in 0..1_000 {
                *lock.lock_blocking() += 1;
            }
        }
    };
    let threads = [(); 3].map(|()| std::thread::spawn(adds(lock.clone())));
    filch::run({
        let lock = lock.clone();
        async move {
            for _ in 0..1_000 {
                *lock.lock().await += 1;
            }
        }
    })
    .unwrap();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(*lock.lock_blocking(), 4_000);
}

#[test]
fn a_task_must_not_block_its_worker() {
    let lock = Lock::new(());
    let ended = filch::sim::run(0, async { drop(lock.lock_blocking()) });
    assert!(ended.unwrap_err().is_panic());
}

/// Waits for the event, and says so.
fn waits(log: &Log, event: &Arc<Event>, name: &'static str) -> Task<()> {
    let (log, event) = (log.clone(), event.clone());
    spawn(async move {
        event.wait().await;
        log.add(name);
    })
}

// upstream: test_locks.EventTests.test_wait
#[test]
fn an_event_wakes_everybody_in_order() {
    // EVT-01, EVT-03: one who comes when it is set does not wait
    simulate(async {
        let (log, event) = (Log::new(), Arc::new(Event::new()));
        assert!(!event.is_set());
        let early = [waits(&log, &event, "1"), waits(&log, &event, "2")];
        yield_now().await;
        assert_eq!(log.lines(), [] as [&str; 0]);
        let late = waits(&log, &event, "3");
        event.set();
        yield_now().await;
        assert_eq!(log.lines(), ["3", "1", "2"]);
        assert!(early.iter().all(|task| task.is_finished()) && late.is_finished());
        Ok(())
    });
}

// upstream: test_locks.EventTests.test_wait_on_set
#[test]
fn a_set_event_holds_nobody_up() {
    // EVT-01
    simulate(async {
        let event = Event::new();
        event.set();
        event.wait().await;
        Ok(())
    });
}

// upstream: test_locks.EventTests.test_wait_cancel
#[test]
fn a_cancelled_wait_for_an_event_leaves_nothing() {
    // EVT-04
    in_any_order(async || {
        let (log, event) = (Log::new(), Arc::new(Event::new()));
        let waiter = waits(&log, &event, "seen");
        yield_now().await;
        waiter.cancel();
        assert!(waiter.await.unwrap_err().is_cancelled());
        assert_eq!(event.waiting(), 0);
        Ok(())
    });
}

#[test]
fn one_who_is_woken_and_cancelled_is_cancelled() {
    // EVT-04, section 27
    simulate(async {
        let (log, event) = (Log::new(), Arc::new(Event::new()));
        let waiter = waits(&log, &event, "seen");
        yield_now().await;
        event.set();
        waiter.cancel();
        assert!(waiter.await.unwrap_err().is_cancelled());
        assert_eq!(log.lines(), [] as [&str; 0]);
        Ok(())
    });
}

// upstream: test_locks.EventTests.test_clear
#[test]
fn an_event_is_set_and_cleared() {
    // EVT-02
    let event = Event::default();
    assert!(!event.is_set());
    event.set();
    assert!(event.is_set());
    event.clear();
    assert!(!event.is_set());
}

// upstream: test_locks.EventTests.test_clear_with_waiters
#[test]
fn clearing_does_not_take_back_what_woke() {
    // EVT-02, EVT-03
    simulate(async {
        let (log, event) = (Log::new(), Arc::new(Event::new()));
        let waiter = waits(&log, &event, "seen");
        yield_now().await;
        event.set();
        event.clear();
        assert!(!event.is_set());
        event.set();
        event.set();
        event.clear();
        yield_now().await;
        assert_eq!(log.lines(), ["seen"]);
        assert_eq!(event.waiting(), 0);
        assert!(waiter.is_finished() && !event.is_set());
        Ok(())
    });
}

#[test]
fn plain_threads_wait_for_events() {
    // EVT-05
    let event = Arc::new(Event::new());
    let threads = [(); 2].map(|()| {
        let event = event.clone();
        std::thread::spawn(move || event.wait_blocking())
    });
    filch::run({
        let event = event.clone();
        async move { event.set() }
    })
    .unwrap();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn readers_share_and_writers_do_not() {
    simulate(async {
        let log = Log::new();
        let lock = Arc::new(RwLock::new(0));
        let reading = lock.read().await;
        assert_eq!(*lock.try_read()?, 0);
        let writer = spawn({
            let (log, lock) = (log.clone(), lock.clone());
            async move {
                let mut value = lock.write().await;
                *value += 1;
                log.add("writes");
                sleep(seconds(1)).await;
                log.add(format!("goes on to read {}", *RwLockWriteGuard::downgrade(value)));
            }
        });
        yield_now().await;
        assert_eq!(lock.try_read().unwrap_err(), WouldWait, "a reader stands behind a writer");
        let readers = [(); 2].map(|()| {
            let (log, lock) = (log.clone(), lock.clone());
            spawn(async move { log.add(format!("reads {}", *lock.read().await)) })
        });
        yield_now().await;
        assert_eq!(lock.waiting(), 3);
        drop(reading);
        writer.await?;
        for reader in readers {
            reader.await?;
        }
        assert_eq!(log.lines(), ["writes", "goes on to read 1", "reads 1", "reads 1"]);
        assert_eq!(*lock.try_write()?, 1);
        Ok(())
    });
}

#[test]
fn a_writer_who_goes_away_lets_the_readers_in() {
    simulate(async {
        let lock = Arc::new(RwLock::new(()));
        let reading = lock.read_owned().await;
        let writer = spawn({
            let lock = lock.clone();
            async move { drop(lock.write_owned().await) }
        });
        yield_now().await;
        let reader = spawn({
            let lock = lock.clone();
            async move { drop(lock.read().await) }
        });
        yield_now().await;
        assert_eq!(lock.waiting(), 2);
        writer.cancel();
        reader.await?;
        assert!(writer.await.unwrap_err().is_cancelled());
        assert!(lock.try_write_owned().is_err());
        drop((reading, lock.try_read_owned()?));
        assert!(lock.try_write_owned().is_ok());
        Ok(())
    });
}
