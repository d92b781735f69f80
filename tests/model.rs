//! What parallelism must not change: steps are whole, order is kept, ends are decided once (MOD-02
//! to MOD-11); callbacks of a task's end come in order, each once (FUT-05 to FUT-10, for tasks).

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use common::{Boom, Log, in_any_order, me, ms, seconds, simulate};
use filch::yield_now;
use filch::{
    Result, Runtime, Task, catch_cancelled, catch_cancelled_any, sleep, spawn, spawn_eager,
};
use futures::channel::oneshot;
use futures::future::join_all;

#[test]
fn running_code_is_never_interrupted() {
    // MOD-02: a request is seen at the next suspension only
    in_any_order(async || {
        let log = Log::new();
        let seen = log.clone();
        let mut task = spawn(async move {
            me().cancel();
            seen.add("goes on");
            let inner = spawn(async {});
            inner.cancel();
            seen.add("and on");
            yield_now().await;
            seen.add("too far");
        });
        assert!((&mut task).await.unwrap_err().is_cancelled());
        assert_eq!(log.lines(), ["goes on", "and on"]);
        Ok(())
    });
}

#[test]
fn await_of_what_is_complete_lets_nothing_else_run() {
    // MOD-03
    simulate(async {
        let log = Log::new();
        let done = spawn(async { Ok(1) });
        let known = done.task_ref();
        done.await?;
        let seen = log.clone();
        spawn(async move { seen.add("other") }).detach();
        known.join().await?;
        let (sender, receiver) = oneshot::channel();
        sender.send(()).unwrap();
        receiver.await?;
        log.add("still the same step");
        yield_now().await;
        assert_eq!(log.lines(), ["still the same step", "other"]);
        Ok(())
    });
}

#[test]
fn callbacks_and_waiters_hear_in_the_order_of_registration() {
    // MOD-04, FUT-05, FUT-06, section 27
    simulate(async {
        let log = Log::new();
        let task = spawn(sleep(ms(1)));
        for number in 0..3 {
            let seen = log.clone();
            task.add_done_callback(move |task| {
                seen.add(format!("callback {number}"));
                let late = seen.clone();
                task.add_done_callback(move |_| late.add(format!("late {number}")));
            });
            let (join, seen) = (task.join(), log.clone());
            spawn(async move {
                join.await?;
                seen.add(format!("waiter {number}"));
                Ok(())
            })
            .detach();
            yield_now().await;
        }
        let (join, seen) = (task.join(), log.clone());
        spawn(async move {
            join.await?;
            seen.add("last");
            Ok(())
        })
        .detach();
        sleep(ms(5)).await;
        let [a, b, c] = [0, 1, 2].map(|number| format!("callback {number}"));
        let [x, y, z] = [0, 1, 2].map(|number| format!("waiter {number}"));
        let late = [0, 1, 2].map(|number| format!("late {number}"));
        let [u, v, w] = late;
        assert_eq!(log.lines(), [a, x, b, y, c, z, "last".to_owned(), u, v, w]);
        Ok(())
    });
}

#[test]
fn late_callback_waits_for_the_one_that_runs() {
    // MOD-04: on threads, the second is registered while the first is running
    let log = Log::new();
    let (begun, begins) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (done, ends) = std::sync::mpsc::channel();
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let (end, is_to_end) = oneshot::channel::<()>();
    let task = runtime.handle().spawn(async move { _ = is_to_end.await });
    let (first, second) = (log.clone(), log.clone());
    task.add_done_callback(move |task| {
        begun.send(()).unwrap();
        released.recv().unwrap();
        task.add_done_callback(move |_| done.send(()).unwrap());
        first.add("first ends");
    });
    drop(end);
    begins.recv().unwrap();
    task.add_done_callback(move |_| second.add("second"));
    log.add("registered");
    release.send(()).unwrap();
    ends.recv().unwrap();
    assert_eq!(log.lines(), ["registered", "first ends", "second"]);
}

#[test]
fn callback_waits_for_the_end_of_the_poll_it_is_added_in() {
    // INTRO-01, FUT-06: on threads too, where the task ended long ago, or ends inside this poll
    let log = Log::new();
    let (seen, end) = (log.clone(), log.clone());
    let add = |task: &filch::TaskRef| {
        let seen = seen.clone();
        task.add_done_callback(move |_| seen.add(format!("{:?}", filch::current_task().is_some())));
    };
    let main = async {
        let task = spawn(async { Ok(()) });
        task.join().await?;
        add(&task);
        let inside = spawn_eager(async { Ok(()) });
        add(&inside);
        end.add("added");
        inside.await?;
        yield_now().await;
        Ok(())
    };
    Runtime::builder().workers(1).build().unwrap().block_on(main).unwrap();
    assert_eq!(log.lines(), ["added", "false", "false"]);
}

#[test]
fn callbacks_that_call_each_other_take_no_stack() {
    // MOD-11: 100,000 deep, on a thread whose stack would not hold them
    fn add(task: filch::TaskRef, left: u32, done: std::sync::mpsc::Sender<()>) {
        task.clone().add_done_callback(move |_| match left {
            0 => done.send(()).unwrap(),
            _ => add(task, left - 1, done),
        });
    }
    let (done, ends) = std::sync::mpsc::channel();
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let main = async {
        let task = spawn(async { Ok(()) });
        task.join().await?;
        add(task.task_ref(), 100_000, done);
        Ok(())
    };
    runtime.block_on(main).unwrap();
    ends.recv().unwrap();
}

#[test]
fn removed_callback_is_not_called() {
    // FUT-07: until it is queued; afterwards it cannot be removed
    in_any_order(async || {
        let log = Log::new();
        let task = spawn(async {});
        let (first, second) = (log.clone(), log.clone());
        let removed = task.add_done_callback(move |_| first.add("removed"));
        task.add_done_callback(move |_| second.add("kept"));
        assert!(task.remove_done_callback(removed));
        assert!(!task.remove_done_callback(removed));
        let known = task.task_ref();
        task.await?;
        let third = log.clone();
        let queued = known.add_done_callback(move |_| third.add("queued"));
        assert!(!known.remove_done_callback(queued));
        sleep(ms(1)).await;
        assert_eq!(log.lines(), ["kept", "queued"]);
        Ok(())
    });
}

#[test]
fn callback_that_panics_disturbs_nobody() {
    // FUT-10
    in_any_order(async || {
        let log = Log::new();
        let task = spawn(async { Ok(7) });
        let seen = log.clone();
        task.add_done_callback(|_| panic!("in a callback"));
        task.add_done_callback(move |_| seen.add("next"));
        assert_eq!(task.await?, 7);
        sleep(ms(1)).await;
        assert_eq!(log.lines(), ["next"]);
        Ok(())
    });
}

#[test]
fn callback_sees_the_task_done_and_no_current_task() {
    // MOD-05, INTRO-01
    in_any_order(async || {
        let log = Log::new();
        let seen = log.clone();
        let task = spawn(async { Err::<(), _>(Boom("e").into()) });
        task.add_done_callback(move |task| {
            let error = task.error().unwrap();
            let current = filch::current_task().is_some();
            seen.add(format!("{} {error} {current}", task.is_finished()));
        });
        sleep(ms(1)).await;
        assert!(task.is_finished());
        assert_eq!(log.lines(), ["true e false"]);
        Ok(())
    });
}

#[test]
fn end_is_decided_once() {
    // MOD-06, CAN-01, CAN-29: the request that comes too late changes nothing
    in_any_order(async || {
        for delay in 0..4 {
            let mut task = spawn(async {
                sleep(ms(2)).await;
                Ok("value")
            });
            sleep(ms(delay)).await;
            let accepted = task.cancel();
            let ended = (&mut task).await;
            match accepted {
                true => assert!(ended.unwrap_err().is_cancelled()),
                false => assert_eq!(ended?, "value"),
            }
            assert_eq!(task.is_cancelled(), accepted);
            assert!(!task.cancel());
        }
        Ok(())
    });
}

#[test]
fn calls_from_one_thread_take_effect_in_their_order() {
    // MOD-07, MOD-08
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let (release, released) = oneshot::channel::<()>();
    let (begun, begins) = std::sync::mpsc::channel();
    let task = runtime.handle().spawn(async move {
        begun.send(()).unwrap();
        // Swallows what comes before it is released.
        let mut released = released;
        let mut caught = 0;
        while catch_cancelled_any(&mut released).await.is_err() {
            caught += 1;
        }
        Ok(caught)
    });
    begins.recv().unwrap();
    for count in 1..=1_000 {
        assert!(task.cancel());
        assert!(task.cancel());
        assert_eq!(task.cancelling(), count + 1);
        assert_eq!(task.uncancel(), count);
    }
    let known = task.task_ref();
    release.send(()).unwrap();
    let ended = task.wait();
    assert!(ended.map_or_else(|error| error.is_cancelled(), |caught| caught <= 2_000));
    assert_eq!(known.cancelling(), 1_000);
    assert!(!known.cancel());
}

#[test]
fn steps_of_a_task_never_overlap() {
    // MOD-01, MOD-05: on real threads, woken from everywhere at once
    let runtime = Runtime::builder().workers(4).build().unwrap();
    let inside = Arc::new(AtomicBool::new(false));
    let steps = Arc::new(AtomicU32::new(0));
    let task = runtime.handle().spawn({
        let (inside, steps) = (inside.clone(), steps.clone());
        async move {
            // Plain data, ordered by the steps alone.
            let mut own = 0;
            while own < 10_000 {
                assert!(!inside.swap(true, Ordering::Relaxed));
                own += 1;
                steps.store(own, Ordering::Relaxed);
                inside.store(false, Ordering::Relaxed);
                let woken: Vec<Task<()>> = (0..3).map(|_| spawn(async {})).collect();
                join_all(woken).await.into_iter().collect::<Result<Vec<()>>>()?;
            }
            Ok(own)
        }
    });
    assert_eq!(task.wait().unwrap(), 10_000);
    assert_eq!(steps.load(Ordering::Relaxed), 10_000);
}

#[test]
fn requests_from_many_threads_are_all_counted() {
    // MOD-07, CAN-02, CAN-30
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let (begun, begins) = std::sync::mpsc::channel();
    let task = runtime.handle().spawn(async move {
        begun.send(()).unwrap();
        let mut caught = 0;
        while me().cancelling() < 4_000 {
            caught += u32::from(catch_cancelled(sleep(seconds(3600))).await.is_err());
        }
        Ok(caught)
    });
    begins.recv().unwrap();
    let askers: Vec<_> = (0..4)
        .map(|_| {
            let asked = task.task_ref();
            std::thread::spawn(move || (0..1_000).filter(|_| asked.cancel()).count())
        })
        .collect();
    let accepted: usize = askers.into_iter().map(|asker| asker.join().unwrap()).sum();
    assert_eq!(accepted, 4_000);
    let known = task.task_ref();
    let caught = task.wait();
    assert_eq!(known.cancelling(), 4_000);
    // The last request may come when it has just been caught up with: then it is cancelled.
    assert!(caught.map_or_else(|error| error.is_cancelled(), |caught| caught >= 1));
}

#[test]
fn simulations_repeat() {
    // MOD-09, design 4: the same seed runs in the same order
    let run = |seed| {
        let log = Log::new();
        let seen = log.clone();
        let main = async move {
            let tasks = (0..20).map(|number| {
                let seen = seen.clone();
                spawn(async move {
                    seen.add(format!("{number} begins"));
                    yield_now().await;
                    seen.add(format!("{number} ends"));
                })
            });
            let tasks: Vec<Task<()>> = tasks.collect();
            join_all(tasks).await.into_iter().collect::<Result<Vec<()>>>().map(drop)
        };
        filch::sim::run(seed, main).unwrap();
        log.lines()
    };
    for seed in 0..8 {
        assert_eq!(run(seed), run(seed));
    }
    assert!((1..8).any(|seed| run(seed) != run(0)));
}

#[test]
fn cascade_of_ends_does_not_grow_the_stack() {
    // MOD-11: 100 000 tasks, each ending the next; and as many callbacks
    simulate(async {
        let log = Log::new();
        let mut last = spawn(sleep(ms(1)));
        for _ in 0..100_000 {
            let before = last;
            last = spawn(before);
        }
        last.await?;
        fn again(left: u32, log: Log) {
            if left == 0 {
                return log.add("end");
            }
            let task = filch::spawn_eager(async {});
            task.add_done_callback(move |_| again(left - 1, log));
        }
        again(100_000, log.clone());
        sleep(ms(1)).await;
        assert_eq!(log.lines(), ["end"]);
        Ok(())
    });
}
