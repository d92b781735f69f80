//! Programs are run in every order of what their tasks do to each other: `filch::model`.
//!
//! With `--cfg loom` that is so; without it, the same tests run in the simulation, and those that
//! only the model can pass are left out.

use std::future::pending;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use filch::model::Builder;
use filch::model::cell::UnsafeCell;
use filch::model::sync::atomic::{AtomicU32, Ordering};
use filch::sync::{Condition, Event, Lock, Queue, oneshot};
use filch::time::Instant;
use filch::{Error, Handle, Promise, Result, catch_cancelled, model, sleep, spawn};
use filch::{task_group, timeout, to_thread, yield_now};

/// A number that its users keep each other from touching at once.
struct Guarded(UnsafeCell<u32>);

// SAFETY: that is what the models check.
unsafe impl Sync for Guarded {}

impl Guarded {
    fn add(&self, more: u32) {
        // SAFETY: as above.
        self.0.with_mut(|value| unsafe { *value += more });
    }

    fn get(&self) -> u32 {
        // SAFETY: as above.
        self.0.with(|value| unsafe { *value })
    }
}

/// The model finds nothing; says in how many runs.
#[track_caller]
fn passes<M, F>(program: M)
where
    M: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Result<()>> + Send + 'static,
{
    let explored = model::run(program);
    println!("{} runs", explored.runs());
    assert_eq!(explored.is_complete(), model::is_exhaustive());
}

/// The model finds that this program fails, and how; a simulation may overlook it.
#[track_caller]
fn finds<M, F>(cause: &str, program: M)
where
    M: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Result<()>> + Send + 'static,
{
    match Builder::new().check(program) {
        Ok(explored) => assert!(!model::is_exhaustive(), "nothing is found: {explored:?}"),
        Err(failure) => assert!(failure.cause().contains(cause), "{failure}"),
    }
}

#[test]
fn a_program_without_mistakes_passes() {
    let explored = model::run(|| async {
        let sum = Arc::new(Lock::new(0));
        let there = sum.clone();
        let task = spawn(async move { *there.lock().await += 1 });
        *sum.lock().await += 1;
        task.await?;
        assert_eq!(*sum.lock().await, 2);
        Ok(())
    });
    assert!(explored.runs() > 1);
}

#[test]
fn an_update_that_is_lost_across_an_await_is_found() {
    finds("an update was lost", || async {
        let sum = Arc::new(Lock::new(0));
        let there = sum.clone();
        let task = spawn(async move {
            let before = *there.lock().await;
            *there.lock().await = before + 1;
        });
        let before = *sum.lock().await;
        *sum.lock().await = before + 1;
        task.await?;
        assert_eq!(*sum.lock().await, 2, "an update was lost");
        Ok(())
    });
}

#[test]
fn two_locks_in_two_orders_are_found() {
    finds("deadlock", || async {
        let (left, right) = (Arc::new(Lock::new(())), Arc::new(Lock::new(())));
        let (theirs, others) = (left.clone(), right.clone());
        let task = spawn(async move {
            let _first = theirs.lock().await;
            let _second = others.lock().await;
        });
        let first = right.lock().await;
        let second = left.lock().await;
        drop((first, second));
        task.await
    });
}

#[test]
fn time_is_virtual() {
    passes(|| async {
        let hour = Duration::from_secs(3600);
        let error = timeout(hour, std::future::pending::<()>()).await.unwrap_err();
        assert!(error.is_timeout());
        sleep(hour).await;
        Ok(())
    });
}

#[test]
fn an_item_that_is_lost_when_its_taker_is_cancelled_is_found() {
    finds("an item is gone", || async {
        let queue = Arc::new(Queue::unbounded());
        queue.try_put(1).unwrap();
        let done = Arc::new(Queue::unbounded());
        let (from, to) = (queue.clone(), done.clone());
        let mover = spawn(async move {
            let item = from.get().await?;
            yield_now().await; // cancelled here, the item is gone
            to.try_put(item)?;
            Ok(())
        });
        mover.cancel();
        let _ = mover.await;
        assert_eq!(queue.len() + done.len(), 1, "an item is gone");
        Ok(())
    });
}

#[test]
fn a_group_takes_its_children_with_it() {
    passes(|| async {
        let held = Arc::new(Lock::new(0));
        let there = held.clone();
        let result = task_group(async move |group| {
            let lock = there.clone();
            group.spawn(async move {
                let mut value = lock.lock().await;
                *value += 1;
                std::future::pending::<()>().await;
                Ok(())
            });
            group.spawn(async { Err::<(), _>(Error::msg("on purpose")) });
            Ok(())
        })
        .await;
        assert_eq!(result.unwrap_err().errors().len(), 1);
        assert!(!held.is_locked());
        Ok(())
    });
}

#[test]
fn a_panic_that_nobody_sees_fails() {
    finds("oh no", || async {
        spawn(async { panic!("oh no") }).detach();
        Ok(())
    });
    finds("in a callback", || async {
        let callback = Handle::current().call_soon(|| panic!("in a callback"));
        yield_now().await;
        drop(callback);
        Ok(())
    });
}

#[test]
fn a_panic_meets_the_locks_of_others_on_its_way() {
    passes(|| async {
        let known = Arc::new(Mutex::new(None));
        let told = known.clone();
        let task = spawn(async move {
            let mut group = pin!(task_group(async |group| {
                let waits = group.spawn(pending::<()>());
                let fails = group.spawn(async { Err::<(), _>(Error::msg("it fails")) });
                *told.lock().unwrap() = Some(fails.task_ref());
                waits.await
            }));
            let _ = group.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            panic!("half-way");
        });
        assert!(task.await.unwrap_err().is_panic());
        let fails = known.lock().unwrap().take().expect("it was spawned");
        assert!(fails.join().await.is_err());
        Ok(())
    });
}

#[test]
fn what_a_lock_or_a_task_hands_over_is_seen() {
    passes(|| async {
        let flag = Arc::new(AtomicU32::new(0));
        let cell = Arc::new((Lock::new(()), Guarded(UnsafeCell::new(0))));
        let (there, theirs) = (flag.clone(), cell.clone());
        let task = spawn(async move {
            let held = theirs.0.lock().await;
            theirs.1.add(1);
            drop(held);
            there.store(1, Ordering::Relaxed);
        });
        {
            let _held = cell.0.lock().await;
            cell.1.add(1);
        }
        task.await?;
        assert_eq!(flag.load(Ordering::Relaxed), 1);
        assert_eq!(cell.1.get(), 2);
        Ok(())
    });
}

#[test]
fn queues_events_promises_and_channels_hand_over_too() {
    passes(|| async {
        let seen = Arc::new(AtomicU32::new(0));
        let (queue, event) = (Arc::new(Queue::bounded(1)), Arc::new(Event::new()));
        let promise = Promise::new();
        let (flag, items, rung, kept) =
            (seen.clone(), queue.clone(), event.clone(), promise.clone());
        let task = spawn(async move {
            flag.store(1, Ordering::Relaxed);
            items.put(1).await?;
            flag.store(2, Ordering::Relaxed);
            rung.set();
            flag.store(3, Ordering::Relaxed);
            kept.set(()).unwrap();
            Ok(())
        });
        queue.get().await?;
        assert!(seen.load(Ordering::Relaxed) >= 1);
        event.wait().await;
        assert!(seen.load(Ordering::Relaxed) >= 2);
        promise.await?;
        assert!(seen.load(Ordering::Relaxed) >= 3);
        task.await
    });
}

#[test]
fn a_request_and_an_end_that_cross_are_one_or_the_other() {
    passes(|| async {
        let cleaned = Arc::new(AtomicU32::new(0));
        let there = cleaned.clone();
        let task = spawn(async move {
            if let Err(cancelled) = catch_cancelled(yield_now()).await {
                there.store(1, Ordering::Relaxed);
                cancelled.raise().await;
            }
            Ok(7)
        });
        yield_now().await;
        let asked = task.cancel();
        match task.await {
            Ok(value) => assert!(!asked && value == 7),
            Err(error) => assert!(asked && error.is_cancelled()),
        }
        Ok(())
    });
}

#[test]
fn who_waits_by_yielding_gets_on() {
    passes(|| async {
        let flag = Arc::new(AtomicU32::new(0));
        let there = flag.clone();
        let task = spawn(async move {
            while there.load(Ordering::Acquire) == 0 {
                yield_now().await;
            }
        });
        flag.store(1, Ordering::Release);
        task.await
    });
}

#[test]
fn a_run_without_end_is_found() {
    let failure = Builder::new().steps(1_000).check(|| async {
        loop {
            yield_now().await;
        }
        #[allow(unreachable_code)]
        Ok(())
    });
    let failure = failure.unwrap_err();
    assert!(failure.cause().contains("end") || failure.cause().contains("limit"), "{failure}");
}

#[test]
fn closures_for_threads_and_callbacks_run() {
    passes(|| async {
        assert_eq!(to_thread(|| 1 + 1).await?, 2);
        let promise = Promise::new();
        let there = promise.clone();
        let later = Handle::current().call_later(Duration::from_secs(5), move || {
            there.set(Instant::now()).unwrap();
        });
        let begun = Instant::now();
        assert!(promise.await? - begun >= Duration::from_secs(5));
        drop(later);
        Ok(())
    });
}

#[test]
fn what_is_left_is_cancelled_and_cleans_up() {
    passes(|| async {
        spawn(async {
            if let Err(cancelled) = catch_cancelled(std::future::pending::<()>()).await {
                sleep(Duration::from_secs(1)).await;
                cancelled.raise().await;
            }
        })
        .detach();
        Ok(())
    });
    finds("refuses to end", || async {
        spawn(async {
            loop {
                let _ = catch_cancelled(std::future::pending::<()>()).await;
            }
        })
        .detach();
        yield_now().await;
        Ok(())
    });
}

#[test]
fn three_tasks_with_a_lock_a_queue_and_a_cancellation() {
    passes(|| async {
        let (queue, sum) = (Arc::new(Queue::bounded(1)), Arc::new(Lock::new(0)));
        let items = queue.clone();
        let producer = spawn(async move {
            for item in 1..=2 {
                items.put(item).await?;
            }
            Ok(())
        });
        let (items, there) = (queue.clone(), sum.clone());
        let consumer = spawn(async move {
            loop {
                let mut sum = there.lock().await;
                *sum += items.get().await?;
            }
            #[allow(unreachable_code)]
            Ok(())
        });
        let impatient = spawn(async move {
            let sum = sum.lock().await;
            Ok(*sum)
        });
        impatient.cancel();
        let _ = impatient.await;
        producer.await?;
        consumer.cancel();
        assert!(consumer.await.unwrap_err().is_cancelled());
        Ok(())
    });
}

#[test]
fn a_race_for_data_that_nobody_guards_is_found() {
    finds("Causality violation", || async {
        let number = Arc::new(Guarded(UnsafeCell::new(0)));
        let there = number.clone();
        let task = spawn(async move { there.add(1) });
        number.add(1);
        task.await
    });
}

#[test]
fn a_look_and_a_wait_that_are_not_one_step_are_found() {
    finds("deadlock", || async {
        let (ready, lock) = (Arc::new(AtomicU32::new(0)), Lock::new(()));
        let condition = Arc::new(Condition::new());
        let (there, theirs) = (ready.clone(), condition.clone());
        let task = spawn(async move {
            there.store(1, Ordering::Release); // not under the lock
            theirs.notify_all();
        });
        let mut held = lock.lock().await;
        if ready.load(Ordering::Acquire) == 0 {
            condition.wait(&mut held).await;
        }
        drop(held);
        task.await
    });
}

#[test]
fn a_look_and_a_step_that_relies_on_it_are_two() {
    finds("it was open", || async {
        let (sender, receiver) = oneshot::channel();
        let task = spawn(async move {
            drop(receiver);
            Ok(())
        });
        if !sender.is_closed() {
            assert!(sender.send(7).is_ok(), "it was open");
        }
        task.await
    });
}

#[test]
fn more_workers_show_more_orders() {
    let program = || async {
        let order = Arc::new(AtomicU32::new(0));
        let tasks: Vec<_> = (1..=3)
            .map(|number| {
                let order = order.clone();
                spawn(async move { order.store(number, Ordering::Relaxed) })
            })
            .collect();
        for task in tasks {
            task.await?;
        }
        Ok(())
    };
    let two = Builder::new().run(program);
    let three = Builder::new().workers(3).run(program);
    assert!(three.runs() >= two.runs());
}

#[test]
fn a_search_can_be_cut_short() {
    let program = || async {
        let tasks = [spawn(yield_now()), spawn(yield_now())];
        for task in tasks {
            task.await?;
        }
        Ok(())
    };
    let explored = Builder::new().runs(5).run(program);
    assert!(!explored.is_complete());
    assert_eq!(explored.runs(), 5);
}

#[test]
fn eager_timers_race_with_what_they_are_for() {
    let seen = Arc::new([const { std::sync::atomic::AtomicU32::new(0) }; 2]);
    let told = seen.clone();
    let program = move || {
        let told = told.clone();
        async move {
            let task = spawn(async {
                yield_now().await;
                Ok(7)
            });
            let ended = timeout(Duration::from_secs(1), task).await;
            assert!(matches!(&ended, Ok(7)) || ended.as_ref().is_err_and(Error::is_timeout));
            let place = usize::from(ended.is_err());
            told[place].fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok(())
        }
    };
    let counts = || seen.each_ref().map(|count| count.load(std::sync::atomic::Ordering::Relaxed));
    Builder::new().run(program.clone());
    assert_eq!(counts()[1], 0, "time passes only when nothing else can");
    Builder::new().eager_timers(true).run(program);
    assert_eq!(counts()[1] > 0, model::is_exhaustive());
}

#[test]
fn eager_timers_are_no_deadlock() {
    let eager = Builder::new().eager_timers(true);
    // Two workers with nothing to do: one lets time pass, the other finds no timer any more.
    assert_eq!(eager.run(|| sleep(Duration::from_secs(1))).is_complete(), model::is_exhaustive());
    // A timer that goes off later than clean-up may take: nobody waits for it.
    eager.run(|| async {
        spawn(sleep(Duration::from_secs(7200))).detach();
        Ok(())
    });
}

#[test]
fn a_bound_may_be_as_good_as_none() {
    let runs = if model::is_exhaustive() { 20_000 } else { 100 };
    let endless = Builder::new().steps(u64::MAX).preemptions(usize::MAX).runs(runs);
    assert!(endless.check(|| async { Ok(()) }).is_ok());
}
