//! A task sees its own values, wherever it runs; what it starts begins with a copy (CTX-01 to
//! CTX-05, CTX-11, CTX-12).

mod common;

use std::sync::{Arc, Mutex};

use common::{Log, in_any_order, ms, seconds, simulate};
use filch::{Context, Runtime, TaskBuilder, context_var};
use filch::{sleep, spawn, spawn_eager, timeout, to_thread, yield_now};

context_var! {
    static VAR: i32 = -1;
    static NAME: &'static str = "nope";
}

// upstream: test_tasks.BaseTaskTests.test_context_1
#[test]
fn task_and_spawner_do_not_see_each_others_changes() {
    // CTX-01
    in_any_order(async || {
        assert_eq!(NAME.get(), Some("nope"));
        let task = spawn(async {
            sleep(ms(10)).await;
            assert_eq!(NAME.get(), Some("nope"));
            NAME.set("something else");
        });
        NAME.set("yes");
        assert_eq!(NAME.get(), Some("yes"));
        task.await?;
        assert_eq!(NAME.get(), Some("yes"));
        Ok(())
    });
    assert_eq!(NAME.get(), Some("nope"));
}

#[test]
fn what_runs_inside_a_timeout_changes_the_tasks_own_values() {
    // WFOR-02, section 27
    in_any_order(async || {
        for (value, limit) in [(1, Some(seconds(10))), (2, None)] {
            timeout(limit, async {
                yield_now().await;
                VAR.set(value);
                Ok(())
            })
            .await?;
            assert_eq!(VAR.get(), Some(value));
        }
        Ok(())
    });
}

// upstream: test_tasks.BaseTaskTests.test_context_3
#[test]
fn hundred_tasks_each_keep_their_own_on_any_worker() {
    // CTX-01, CTX-04, CTX-12
    let runtime = Runtime::builder().workers(4).build().unwrap();
    runtime
        .block_on(async {
            let sub = async |number: i32| {
                for step in 0..20 {
                    VAR.set(number + step);
                    match (number + step) % 3 {
                        0 => yield_now().await,
                        1 => spawn(yield_now()).await?,
                        _ => to_thread(|| ()).await?,
                    }
                    assert_eq!(VAR.get(), Some(number + step));
                }
                Ok(())
            };
            let tasks: Vec<_> = (0..100).map(|number| spawn(sub(number))).collect();
            for task in tasks {
                task.await?;
            }
            assert_eq!(VAR.get(), Some(-1));
            Ok(())
        })
        .unwrap();
}

// upstream: test_context.DecimalContextTest.test_asyncio_task_decimal_context
#[test]
fn value_is_the_same_before_and_after_an_await() {
    // CTX-04
    context_var! { static PRECISION: usize = 0; }
    async fn fractions(time: u64, precision: usize) -> filch::Result<(String, String)> {
        PRECISION.set(precision);
        let third = |by: f64| format!("{:.*}", PRECISION.get().unwrap(), 1.0 / by);
        let first = third(3.0);
        sleep(ms(time)).await;
        Ok((first, third(9.0)))
    }
    in_any_order(async || {
        let (one, two) = (spawn(fractions(100, 3)), spawn(fractions(200, 6)));
        assert_eq!(one.await?, ("0.333".into(), "0.111".into()));
        assert_eq!(two.await?, ("0.333333".into(), "0.111111".into()));
        Ok(())
    });
}

/// Two tasks, one after the other, in one context.
async fn one_after_the_other(
    start: impl Fn(i32, &Context) -> filch::Task<()>,
) -> filch::Result<()> {
    let context = Context::current();
    assert_eq!(context.get(&VAR), None);
    for value in [1, 2] {
        start(value, &context).await?;
        assert_eq!(context.get(&VAR), Some(value));
    }
    assert_eq!(VAR.get(), Some(-1));
    Ok(())
}

async fn set_later(value: i32) {
    yield_now().await;
    VAR.set(value);
}

// upstream: test_tasks.BaseTaskTests.test_context_4
// upstream: test_tasks.BaseTaskTests.test_context_5
// upstream: test_tasks.BaseTaskTests.test_context_6
#[test]
fn given_context_is_used_as_it_is() {
    // CTX-02
    let queued =
        |value, context: &Context| TaskBuilder::new().context(context).spawn(set_later(value));
    let eager = |value, context: &Context| {
        TaskBuilder::new().context(context).spawn_eager(set_later(value))
    };
    in_any_order(|| one_after_the_other(queued));
    in_any_order(|| one_after_the_other(eager));
}

// upstream: test_tasks.BaseTaskTests.test_get_context
#[test]
fn task_shows_its_context() {
    // INTRO-04
    in_any_order(async || {
        let context = Context::current();
        let task = TaskBuilder::new().context(&context).spawn(async {});
        assert_eq!(task.context(), context);
        task.await?;
        let task = spawn(set_later(5));
        assert_eq!(task.context().get(&VAR), None);
        sleep(ms(1)).await;
        assert_eq!(task.context().get(&VAR), Some(5));
        task.await
    });
}

#[test]
fn two_tasks_in_one_context_see_each_other() {
    // CTX-02, section 27
    simulate(async {
        let context = Context::new();
        let task = |value| {
            TaskBuilder::new().context(&context).spawn(async move {
                VAR.set(value);
                yield_now().await;
                Ok(VAR.get())
            })
        };
        let (one, two) = (task(1), task(2));
        assert_eq!((one.await?, two.await?), (Some(2), Some(2)));
        Ok(())
    });
}

#[test]
fn polls_in_one_context_take_turns() {
    // CTX-12
    let runtime = Runtime::builder().workers(4).build().unwrap();
    let context = Context::new();
    runtime
        .block_on(async {
            let add = |_| {
                TaskBuilder::new().context(&context).spawn(async {
                    for _ in 0..50 {
                        // Not atomic: two at once would lose some.
                        let now = VAR.get().unwrap();
                        std::thread::yield_now();
                        VAR.set(now + 1);
                        yield_now().await;
                    }
                })
            };
            for task in (0..8).map(add).collect::<Vec<_>>() {
                task.await?;
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(context.get(&VAR), Some(8 * 50 - 1));
}

#[test]
fn eager_task_in_an_entered_context_waits_for_its_turn() {
    // EAG-01, CTX-09
    simulate(async {
        let context = Context::new();
        let shared = context.clone();
        let outer = TaskBuilder::new().context(&context).spawn(async move {
            let inner = TaskBuilder::new().context(&shared).spawn_eager(set_later(3));
            drop(inner.context());
            assert!(!inner.is_finished());
            inner.detach();
        });
        outer.await?;
        sleep(ms(1)).await;
        assert_eq!(context.get(&VAR), Some(3));
        Ok(())
    });
}

// upstream: test_eager_task_factory.EagerTaskFactoryLoopTests.test_context_vars
#[test]
fn eager_task_has_a_context_of_its_own_from_the_first_step() {
    // CTX-01, EAG-06
    in_any_order(async || {
        VAR.set(1);
        let log = Log::new();
        let seen = log.clone();
        let task = spawn_eager(async move {
            assert_eq!(VAR.get(), Some(1));
            VAR.set(2);
            seen.add("first step");
            sleep(ms(100)).await;
            assert_eq!(VAR.get(), Some(2));
            VAR.set(3);
            seen.add("second step");
        });
        assert_eq!(log.lines(), ["first step"]);
        assert_eq!(VAR.get(), Some(1));
        task.await?;
        assert_eq!(log.lines(), ["first step", "second step"]);
        assert_eq!(VAR.get(), Some(1));
        Ok(())
    });
}

#[test]
fn eager_task_inside_an_entered_context_sees_its_own() {
    // The frame of `run` is the outer poll's, and not the inner one's.
    simulate(async {
        let context = Context::new();
        let task = context.run(|| {
            VAR.set(7);
            let task = spawn_eager(async {
                assert_eq!(VAR.get(), Some(7));
                VAR.set(8);
                Context::new().run(|| assert_eq!(VAR.get(), Some(-1)));
                assert_eq!(VAR.get(), Some(8));
            });
            assert_eq!(VAR.get(), Some(7));
            task
        });
        assert_eq!((VAR.get(), context.get(&VAR)), (Some(-1), Some(7)));
        task.await
    });
}

// upstream: test_threads.ToThreadTests.test_to_thread_contextvars
#[test]
fn values_go_along_to_threads() {
    // CTX-03, THR-05
    let main = async || {
        NAME.set("parrot");
        let there = to_thread(|| {
            let seen = NAME.get();
            NAME.set("changed there");
            seen
        });
        assert_eq!(there.await?, Some("parrot"));
        assert_eq!(NAME.get(), Some("parrot"));
        assert_eq!(to_thread(|| NAME.get()).await?, Some("parrot"));
        NAME.set("again");
        assert_eq!(to_thread(|| NAME.get()).await?, Some("again"));
        Ok(())
    };
    in_any_order(main);
    filch::run(main()).unwrap();
}

#[test]
fn callbacks_see_the_values_of_their_registration() {
    // CTX-03, FUT-09
    in_any_order(async || {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let task = spawn(sleep(seconds(1)));
        for value in [1, 2] {
            VAR.set(value);
            let seen = seen.clone();
            task.add_done_callback(move |_| {
                seen.lock().unwrap().push(VAR.get());
                VAR.set(100);
            });
        }
        VAR.set(3);
        task.await?;
        sleep(ms(1)).await;
        assert_eq!(*seen.lock().unwrap(), [Some(1), Some(2)]);
        assert_eq!(VAR.get(), Some(3));
        Ok(())
    });
}

// upstream: test_runners.RunnerTests.test_run_keeps_context
#[test]
fn runtime_keeps_one_context_for_its_mains() {
    // RUN-06, CTX-11
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let get_and_set = async |value| {
        let former = VAR.get();
        VAR.set(value);
        yield_now().await;
        Ok(former)
    };
    assert_eq!(runtime.block_on(get_and_set(1)).unwrap(), Some(-1));
    assert_eq!(runtime.block_on(get_and_set(2)).unwrap(), Some(1));
    let last = runtime.block_on(async { Ok(Context::current()) }).unwrap();
    assert_eq!(last.get(&VAR), Some(2));
    assert_eq!(VAR.get(), Some(-1), "the thread's own context is another");
}

#[test]
fn main_may_be_given_a_context_of_its_own() {
    // RUN-06
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let context = Context::new();
    context.run(|| VAR.set(7));
    let seen = runtime.block_on_in(&context, async {
        let seen = VAR.get();
        yield_now().await;
        VAR.set(8);
        Ok(seen)
    });
    assert_eq!((seen.unwrap(), context.get(&VAR)), (Some(7), Some(8)));
    assert_eq!(runtime.block_on(async { Ok(VAR.get()) }).unwrap(), Some(-1));
}

#[test]
fn main_begins_with_the_values_of_its_thread() {
    VAR.set(5);
    assert_eq!(filch::sim::run(0, async { Ok(VAR.get()) }).unwrap(), Some(5));
    assert_eq!(filch::run(async { Ok(VAR.get()) }).unwrap(), Some(5));
    let seen = Context::new().run(|| filch::run(async { Ok(VAR.get()) }));
    assert_eq!(seen.unwrap(), Some(-1));
}

#[test]
fn plain_thread_gives_its_values_to_what_it_spawns() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let handle = runtime.handle();
    VAR.set(11);
    let seen = handle.spawn(async { Ok(VAR.get()) });
    VAR.set(12);
    assert_eq!(seen.wait().unwrap(), Some(11));
}

// upstream: test_taskgroups.TestTaskGroup.test_taskgroup_task_context
#[test]
fn child_of_a_group_runs_in_the_context_it_is_given() {
    // CTX-02
    simulate(async {
        let context = Context::current();
        context.run(|| VAR.set(1));
        let child = async |expected, next| {
            assert_eq!(VAR.get(), Some(expected));
            yield_now().await;
            VAR.set(next);
            Ok(())
        };
        filch::task_group(async |group| {
            let builder = || TaskBuilder::new().context(&context);
            group.spawn_with(builder(), child(1, 2)).await?;
            assert_eq!(context.get(&VAR), Some(2));
            group.spawn_with(builder(), child(2, 3)).await?;
            Ok(())
        })
        .await?;
        assert_eq!(context.get(&VAR), Some(3));
        Ok(())
    });
}

#[test]
fn tasks_that_are_ended_by_force_in_line_hand_the_context_on() {
    // CTX-12
    const KILLED: usize = 20_000;
    let runtime = || Runtime::builder().workers(1).grace(ms(0)).build().unwrap();
    let (ends, lives, context) = (runtime(), runtime(), Context::new());
    let in_line = |runtime: &Runtime, count| {
        let spawn = || TaskBuilder::new().context(&context).spawn(async {});
        let tasks = runtime.block_on(async { Ok((0..count).map(|_| spawn()).collect::<Vec<_>>()) });
        // Behind them on their worker.
        runtime.handle().spawn(async {}).wait().unwrap();
        tasks.unwrap()
    };
    let (killed, other) = context.run(|| {
        let tasks = (in_line(&ends, KILLED), in_line(&lives, 1));
        drop(ends);
        assert!(
            tasks.0.iter().chain(&tasks.1).all(|task| !task.is_finished()),
            "none had its turn"
        );
        tasks
    });
    for task in other {
        task.wait().unwrap();
    }
    for task in killed {
        assert!(task.wait().unwrap_err().is_cancelled());
    }
}

#[test]
fn a_task_that_waits_in_line_beyond_its_simulation_is_ended() {
    // CTX-12
    let context = Context::new();
    let task = context.run(|| {
        filch::sim::run(0, async {
            let task = TaskBuilder::new().context(&context).spawn(async { Ok(1) });
            sleep(seconds(1)).await;
            Ok(task)
        })
    });
    assert!(task.unwrap().wait().unwrap_err().is_cancelled());
    assert!(context.try_run(|| ()).is_ok(), "it is free again");
}
