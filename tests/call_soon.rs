//! Callbacks are called soon, later, at a moment, in order, unless they are taken back (LOOP-01 to
//! LOOP-10, LOOP-17).

mod common;

use std::sync::{Arc, mpsc};

use common::{Log, in_any_order, ms, seconds, simulate};
use filch::time::Instant;
use filch::{Handle, Promise, Result, Runtime, context_var, current_task, sleep, spawn, yield_now};

fn here() -> Handle {
    Handle::current()
}

// upstream: test_base_events.BaseEventLoopTests.test_call_soon
#[test]
fn callback_is_called_behind_what_is_ready() {
    // LOOP-01, INTRO-01
    simulate(async {
        let log = Log::new();
        let [before, called, after] = [(); 3].map(|()| log.clone());
        spawn(async move { before.add("spawned before") }).detach();
        let handle = here().call_soon(move || {
            assert!(current_task().is_none());
            called.add("called");
        });
        spawn(async move { after.add("spawned after") }).detach();
        assert_eq!(handle.when(), None);
        assert_eq!(log.lines(), [] as [&str; 0]);
        yield_now().await;
        assert_eq!(log.lines(), ["spawned before", "called", "spawned after"]);
        assert!(!handle.cancel() && !handle.is_cancelled());
        Ok(())
    });
}

// upstream: test_base_events.BaseEventLoopTests.test_call_later
#[test]
fn late_callback_waits_for_its_moment() {
    // LOOP-04, LOOP-05
    simulate(async {
        let log = Log::new();
        let seen = log.clone();
        let start = Instant::now();
        let handle = here().call_later(seconds(10), move || seen.add("called"));
        assert_eq!(handle.when(), Some(start + seconds(10)));
        sleep(seconds(10) - ms(1)).await;
        assert_eq!(log.lines(), [] as [&str; 0]);
        sleep(ms(1)).await;
        assert_eq!(log.lines(), ["called"]);
        Ok(())
    });
}

// upstream: test_base_events.BaseEventLoopTests.test_call_later_negative_delays
#[test]
fn moments_that_have_passed_come_in_their_order() {
    // LOOP-03, LOOP-04
    simulate(async {
        sleep(seconds(10)).await;
        let (log, now) = (Log::new(), Instant::now());
        let add = |name| {
            let seen = log.clone();
            move || seen.add(name)
        };
        here().call_later(ms(0), add("now"));
        here().call_at(now - seconds(1), add("a second ago"));
        here().call_at(now - seconds(2), add("two seconds ago"));
        here().call_soon(add("soon"));
        assert_eq!(log.lines(), [] as [&str; 0]);
        sleep(ms(1)).await;
        assert_eq!(log.lines(), ["soon", "two seconds ago", "a second ago", "now"]);
        Ok(())
    });
}

// upstream: test_base_events.BaseEventLoopTests.test_time_and_call_at
#[test]
fn moment_is_not_missed_and_not_early() {
    // LOOP-05
    let main = async || {
        let start = Instant::now();
        let promise = Promise::new();
        let there = promise.clone();
        here().call_at(start + ms(20), move || there.set(Instant::now()).unwrap());
        let called = promise.await?;
        assert!(called >= start + ms(20));
        Ok(called == start + ms(20))
    };
    assert!(simulate(main()), "simulated time is exact");
    filch::run(main()).unwrap();
}

// upstream: test_base_events.BaseEventLoopTests.test_check_thread
#[test]
fn any_thread_may_call_soon() {
    // LOOP-10, DBG-03
    for debug in [false, true] {
        let runtime = Runtime::builder().workers(2).debug(debug).build().unwrap();
        let handle = runtime.handle();
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            let [soon, later, at] = [(); 3].map(|()| tell.clone());
            handle.call_soon(move || soon.send("soon").unwrap());
            handle.call_later(ms(20), move || later.send("later").unwrap());
            handle.call_at(Instant::now() + ms(40), move || at.send("at").unwrap());
        })
        .join()
        .unwrap();
        assert_eq!(told.iter().collect::<Vec<_>>(), ["soon", "later", "at"]);
    }
}

#[test]
fn callbacks_of_one_source_keep_their_order_on_threads() {
    // LOOP-01, LOOP-23
    let runtime = Runtime::builder().workers(4).build().unwrap();
    let (tell, told) = mpsc::channel();
    let sources: Vec<_> = (0..4)
        .map(|source| {
            let tell = tell.clone();
            runtime.handle().spawn(async move {
                for number in 0..200 {
                    let tell = tell.clone();
                    here().call_soon(move || tell.send((source, number)).unwrap());
                    if number % 7 == 0 {
                        yield_now().await;
                    }
                }
            })
        })
        .collect();
    drop(tell);
    let mut next = [0; 4];
    for (source, number) in told {
        assert_eq!(number, next[source]);
        next[source] += 1;
    }
    assert_eq!(next, [200; 4]);
    sources.into_iter().for_each(|source| source.wait().unwrap());
}

// upstream: test_base_events.BaseEventLoopTests.test__run_once
#[test]
fn cancelled_timer_is_not_waited_for() {
    // LOOP-02
    simulate(async {
        let (log, start) = (Log::new(), Instant::now());
        let (never, seen) = (log.clone(), log.clone());
        let first = here().call_later(seconds(5), move || never.add("never"));
        here().call_later(seconds(10), move || seen.add("called"));
        assert!(first.cancel());
        assert!(first.is_cancelled() && !first.cancel());
        sleep(seconds(10)).await;
        assert_eq!((log.lines(), start.elapsed()), (vec!["called".to_owned()], seconds(10)));
        Ok(())
    });
    let stuck = filch::sim::run(0, async {
        here().call_later(seconds(5), || ()).cancel();
        std::future::pending::<Result<()>>().await
    });
    assert!(stuck.unwrap_err().is_deadlock(), "a timer is left that time could jump to");
}

// upstream: test_base_events.BaseEventLoopTests.test__run_once_schedule_handle
#[test]
fn what_a_callback_adds_is_called_in_the_next_turn() {
    // LOOP-02
    simulate(async {
        let log = Log::new();
        let (outer, task) = (log.clone(), log.clone());
        here().call_soon(move || {
            let inner = outer.clone();
            here().call_soon(move || inner.add("added"));
            outer.add("called");
        });
        spawn(async move { task.add("a task that was ready") }).detach();
        sleep(ms(1)).await;
        assert_eq!(log.lines(), ["called", "a task that was ready", "added"]);
        Ok(())
    });
}

// upstream: test_base_events.BaseEventLoopTests.test__run_once_cancelled_event_cleanup
#[test]
fn cancelled_timers_leave_nothing_behind() {
    // LOOP-06, LOOP-07: what the callback holds is dropped at once
    simulate(async {
        let kept = std::sync::Arc::new(());
        here().call_later(seconds(3000), || ());
        for _ in 0..1000 {
            let held = kept.clone();
            let handle = here().call_later(seconds(3600), move || drop(held));
            assert_eq!(std::sync::Arc::strong_count(&kept), 2);
            handle.cancel();
            assert_eq!(std::sync::Arc::strong_count(&kept), 1);
        }
        Ok(())
    });
}

#[test]
fn callback_takes_back_a_later_one_of_its_turn() {
    // LOOP-06, section 27
    in_any_order(async || {
        let log = Log::new();
        let (first, second) = (log.clone(), log.clone());
        let later = std::sync::Arc::new(std::sync::Mutex::new(None::<filch::CallHandle>));
        let there = later.clone();
        here().call_soon(move || {
            first.add("first");
            assert!(there.lock().unwrap().take().unwrap().cancel());
        });
        *later.lock().unwrap() = Some(here().call_soon(move || second.add("second")));
        sleep(ms(1)).await;
        assert_eq!(log.lines(), ["first"]);
        Ok(())
    });
}

#[test]
fn callback_that_panics_does_not_keep_the_next_one_from_its_turn() {
    // LOOP-09, section 27: a panic leaves no run call, so nothing waits for the next one
    in_any_order(async || {
        let log = Log::new();
        let next = log.clone();
        here().call_soon(|| panic!("exit"));
        here().call_soon(move || next.add("next"));
        sleep(ms(1)).await;
        assert_eq!(log.lines(), ["next"]);
        Ok(())
    });
}

/// Panics when it is dropped.
struct Bomb(Log);

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.add("dropped");
        panic!("a value that panics when it is dropped");
    }
}

#[test]
fn callback_whose_values_panic_does_not_keep_the_next_one_from_its_turn() {
    context_var! { static BOMB: Arc<Bomb>; }
    let main = async || {
        let log = Log::new();
        for _ in 0..2 {
            let bomb = Arc::new(Bomb(log.clone()));
            here().call_soon(move || drop(BOMB.set(bomb)));
            let called = Promise::new();
            let call = called.clone();
            here().call_soon(move || call.set(()).unwrap());
            called.await?;
        }
        assert_eq!(log.lines(), ["dropped"; 2]);
        Ok(())
    };
    in_any_order(main);
    Runtime::builder().workers(2).build().unwrap().block_on(main()).unwrap();
}

#[test]
fn callbacks_that_panic_when_dropped_keep_nothing_from_the_end() {
    let log = Log::new();
    let bombs = async || {
        for _ in 0..2 {
            let bomb = Bomb(log.clone());
            here().call_later(seconds(3600), move || drop(bomb));
        }
    };
    let runtime = Runtime::builder().workers(2).build().unwrap();
    runtime.block_on(bombs()).unwrap();
    let left = runtime.handle().spawn(std::future::pending::<()>());
    drop(runtime);
    assert!(left.is_cancelled());
    filch::sim::run(0, bombs()).unwrap();
    assert_eq!(log.lines(), ["dropped"; 4]);
}

#[test]
fn callbacks_see_the_values_of_their_registration() {
    // CTX-03
    context_var! { static VAR: u32 = 0; }
    let main = async || {
        let (tell, told) = mpsc::channel();
        for value in [1, 2, 3] {
            VAR.set(value);
            let tell = tell.clone();
            let call = move || {
                tell.send(VAR.get().unwrap()).unwrap();
                VAR.set(100);
            };
            match value {
                1 => here().call_soon(call),
                2 => here().call_later(ms(1), call),
                _ => here().call_at(Instant::now() + ms(10), call),
            };
        }
        VAR.set(4);
        sleep(ms(30)).await;
        drop(tell);
        assert_eq!(told.iter().collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(VAR.get(), Some(4));
        Ok(())
    };
    in_any_order(main);
    filch::run(main()).unwrap();
}

// upstream: test_base_events.BaseEventLoopTests.test_close
#[test]
fn ended_runtime_drops_callbacks_and_refuses_new_ones() {
    // LOOP-17, LOOP-10
    let log = Log::new();
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let handle = runtime.handle();
    let (guard, seen) = (log.on_drop("dropped"), log.clone());
    let timed = handle.call_later(seconds(3600), move || {
        drop(guard);
        seen.add("called");
    });
    drop(runtime);
    assert_eq!(log.lines(), ["dropped"]);
    assert!(timed.is_cancelled());
    let seen = log.clone();
    assert!(handle.call_soon(move || seen.add("called")).is_cancelled());
    assert!(handle.call_later(ms(0), || ()).is_cancelled());
    assert_eq!(log.lines(), ["dropped"]);
    let refused = handle.spawn(async { Ok(1) });
    assert!(refused.wait().unwrap_err().is_cancelled());
}

#[test]
fn callbacks_that_were_registered_by_the_end_are_called() {
    // LOOP-01, RUN-03
    for round in 0..50 {
        let log = Log::new();
        let (first, second) = (log.clone(), log.clone());
        let main = async move {
            here().call_soon(move || {
                std::thread::sleep(ms(round) / 50);
                first.add("first");
            });
            here().call_soon(move || second.add("second"));
        };
        match round % 10 {
            0 => filch::sim::run(round, main).unwrap(),
            _ => filch::run(main).unwrap(),
        }
        assert_eq!(log.lines(), ["first", "second"], "in round {round}");
    }
}

#[test]
fn a_callback_that_does_not_end_holds_up_the_end_for_a_while_only() {
    let (release, wait) = mpsc::channel::<()>();
    let runtime = Runtime::builder().workers(2).grace(ms(10)).build().unwrap();
    let (tell, told) = mpsc::channel();
    runtime.handle().call_soon(move || {
        tell.send(()).unwrap();
        let _ = wait.recv();
    });
    told.recv().unwrap();
    drop(runtime);
    drop(release);
}

#[test]
fn ended_simulation_drops_callbacks() {
    // LOOP-17
    let log = Log::new();
    let kept = filch::sim::run(0, async {
        let guard = log.on_drop("dropped");
        Ok(here().call_later(seconds(3600), move || drop(guard)))
    });
    assert!(kept.unwrap().is_cancelled());
    assert_eq!(log.lines(), ["dropped"]);
}

#[test]
fn ended_runtime_drops_what_stood_in_the_queue_and_cancels_its_handles() {
    // LOOP-17: nobody comes to call them, since the first does not end
    let (log, (release, wait)) = (Log::new(), mpsc::channel::<()>());
    let runtime = Runtime::builder().workers(2).grace(ms(10)).build().unwrap();
    let handle = runtime.handle();
    let (tell, told) = mpsc::channel();
    let (guard, timed_guard, seen) = (log.on_drop("soon"), log.on_drop("later"), log.clone());
    let (added, adds) = mpsc::channel::<()>();
    let first = handle.call_soon(move || {
        tell.send(()).unwrap();
        let _ = adds.recv();
        here().call_soon(move || drop(guard));
        tell.send(()).unwrap();
        let _ = wait.recv();
        seen.add("released");
    });
    let second = handle.call_soon(|| panic!("called though the runtime has ended"));
    told.recv().unwrap();
    let third = handle.call_later(ms(0), move || drop(timed_guard));
    added.send(()).unwrap();
    told.recv().unwrap();
    drop(runtime);
    // Another worker may have been about to let go of the timed one for all this time.
    while log.lines().len() < 2 {
        std::thread::yield_now();
    }
    assert!(second.is_cancelled() && third.is_cancelled() && !first.is_cancelled());
    let mut lines = log.lines();
    lines.sort();
    assert_eq!(lines, ["later", "soon"], "what they held is dropped with the runtime");
    drop(release);
}

#[test]
fn every_callback_is_called_once_or_dropped_whenever_the_runtime_ends() {
    // LOOP-17, LOOP-24: other threads register on while it ends
    struct Fate(mpsc::Sender<&'static str>, &'static str);
    impl Fate {
        fn is_called(&mut self) {
            self.1 = "called";
        }
    }
    impl Drop for Fate {
        fn drop(&mut self) {
            self.0.send(self.1).unwrap();
        }
    }
    for round in 0..60 {
        let (tell, told) = mpsc::channel();
        let runtime = Runtime::builder().workers(2).build().unwrap();
        let register = |handle: filch::Handle| {
            let tell = tell.clone();
            move || {
                for number in 0..200 {
                    let mut fate = Fate(tell.clone(), "dropped");
                    let call = move || fate.is_called();
                    match number % 3 {
                        0 => handle.call_later(ms(number / 100), call),
                        1 => handle.call_later(seconds(3600), call),
                        _ => handle.call_soon(call),
                    };
                }
            }
        };
        let threads = [0; 2].map(|_| std::thread::spawn(register(runtime.handle())));
        std::thread::sleep(ms(round) / 50);
        drop(runtime);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        drop(tell);
        let fates: Vec<_> = told.iter().collect();
        assert_eq!(fates.len(), 400);
        let dropped = fates.iter().filter(|fate| **fate == "dropped").count();
        assert!(dropped >= 2 * 67, "an hour has not passed: {dropped}");
    }
}
