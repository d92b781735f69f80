//! Who awaits whom can be seen at any time, from any thread, without polling anything (INTRO-03,
//! INTRO-06 to INTRO-08, INTRO-10, INTRO-11, INTRO-13).

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use common::{in_any_order, me, ms, seconds, simulate};
use filch::inspect::{AwaitGraph, await_graph};
use filch::{
    Promise, Runtime, Task, TaskBuilder, TaskRef, all_tasks, catch_cancelled, sleep, spawn,
    timeout, yield_now,
};

fn named<F>(name: &str, future: F) -> Task<()>
where
    F: Future<Output = filch::Result<()>> + Send + 'static,
{
    TaskBuilder::new().name(name).spawn(future)
}

/// A displayed graph without the places in the source.
fn text(shown: impl ToString) -> Vec<String> {
    let without_place = |line: &str| {
        let (start, end) = (line.find(" (").unwrap(), line.find(')').unwrap());
        format!("{}{}", &line[..start], &line[end + 1..])
    };
    shown.to_string().lines().map(without_place).collect()
}

/// Whom each task awaits, by their names.
fn edges(graph: &AwaitGraph) -> Vec<String> {
    let name = |id| graph.get(id).unwrap().name();
    let mut edges = Vec::new();
    for info in graph.tasks() {
        for awaited in info.awaits() {
            assert!(graph.get(*awaited).unwrap().awaited_by().contains(&info.id()));
            edges.push(format!("{} awaits {}", info.name(), name(*awaited)));
        }
    }
    let mirrored: usize = graph.tasks().iter().map(|info| info.awaited_by().len()).sum();
    assert_eq!(mirrored, edges.len());
    edges
}

#[test]
fn a_chain_of_awaits_is_a_tree() {
    // INTRO-08, INTRO-11
    simulate(async {
        let promise = Promise::<()>::new();
        let inner = named("inner", promise.clone());
        let outer = named("outer", inner);
        yield_now().await;
        let tree = ["main, ready", "outer", "└── inner", "    └── Promise-2"];
        assert_eq!(text(await_graph()), tree);
        promise.set(())?;
        outer.await
    });
}

#[test]
fn several_wait_for_one_and_one_for_several() {
    simulate(async {
        let promise = Promise::<()>::new();
        let one = named("one", promise.clone());
        let two = named("two", promise.clone());
        let both = named("both", async {
            let (one, two) = futures::join!(one, two);
            one.and(two)
        });
        yield_now().await;
        let graph = await_graph();
        let all =
            ["one awaits Promise-2", "two awaits Promise-2", "both awaits one", "both awaits two"];
        assert_eq!(edges(&graph), all);
        let tree = ["both", "├── one", "│   └── Promise-2", "└── two", "    └── Promise-2"];
        assert_eq!(text(graph.awaited_from(both.id())), tree);
        let up = ["Promise-2", "├── one", "│   └── both", "└── two", "    └── both"];
        assert_eq!(text(graph.awaiting(promise.id())), up);
        promise.set(())?;
        both.await
    });
}

#[test]
fn what_was_shown_is_not_shown_again() {
    simulate(async {
        let promise = Promise::<()>::new();
        let shared = named("shared", promise.clone());
        let target = shared.task_ref();
        let waiters: Vec<_> = ["a", "b"]
            .map(|name| {
                let join = target.join();
                named(name, join)
            })
            .into();
        yield_now().await;
        let shown =
            ["main, ready", "a", "└── shared", "    └── Promise-2", "b", "└── shared, see above"];
        assert_eq!(text(await_graph()), shown);
        promise.set(())?;
        shared.await?;
        for waiter in waiters {
            waiter.await?;
        }
        Ok(())
    });
}

#[test]
fn a_ring_is_found_and_told() {
    // INTRO-12
    simulate(async {
        let first = Promise::<TaskRef>::new();
        let there = first.clone();
        let one = named("one", async move { there.await?.join().await });
        let target = one.task_ref();
        let two = named("two", async move { target.join().await });
        first.set(two.task_ref())?;
        sleep(ms(1)).await;
        let graph = await_graph();
        assert_eq!(text(&graph), ["main, ready", "one", "└── two", "    └── one, a ring"]);
        assert_eq!(graph.rings(), [[one.id(), two.id()]]);
        assert!(graph.roots().all(|info| info.name() == "main"));
        two.cancel();
        assert!(one.await.unwrap_err().is_cancelled());
        assert_eq!(await_graph().rings(), [] as [Vec<_>; 0]);
        Ok(())
    });
}

#[test]
fn awaits_are_seen_through_scopes() {
    simulate(async {
        let promise = Promise::<()>::new();
        let inner = named("inner", promise.clone());
        let outer = named("outer", async move {
            timeout(seconds(10), async move {
                let Ok(result) = catch_cancelled(inner).await else { return Ok(()) };
                result
            })
            .await
        });
        yield_now().await;
        assert_eq!(edges(&await_graph()), ["inner awaits Promise-2", "outer awaits inner"]);
        promise.set(())?;
        outer.await
    });
}

#[test]
fn groups_and_gatherings_await_their_tasks() {
    // INTRO-08
    simulate(async {
        let promise = Promise::<()>::new();
        let parent = named("parent", {
            let children = [promise.clone(), promise.clone()];
            filch::task_group(async move |group| {
                for (name, child) in ["a", "b"].into_iter().zip(children) {
                    drop(group.spawn_with(TaskBuilder::new().name(name), child));
                }
                Ok(())
            })
        });
        yield_now().await;
        yield_now().await;
        let tree = ["parent", "├── a", "│   └── Promise-2", "└── b", "    └── Promise-2"];
        assert_eq!(text(await_graph().awaited_from(parent.id())), tree);

        let pair = || ["c", "d"].map(|name| named(name, promise.clone()));
        let (shielded, waited, gathered) = (pair(), pair(), pair());
        let [c, d] = shielded;
        let shield = named("shield", filch::shield(c));
        let gather = named("gather", async move { filch::gather(gathered).await.map(drop) });
        let wait = named("wait", async move {
            filch::wait(waited, filch::ReturnWhen::AllCompleted).await;
            Ok(())
        });
        yield_now().await;
        let graph = await_graph();
        let names = |task: &Task<()>| {
            let awaits = graph.get(task.id()).unwrap().awaits().iter();
            awaits.map(|id| graph.get(*id).unwrap().name().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(&shield), ["c"]);
        assert_eq!(names(&gather), ["c", "d"]);
        assert_eq!(names(&wait), ["c", "d"]);
        promise.set(())?;
        for task in [parent, shield, gather, wait, d] {
            task.await?;
        }
        Ok(())
    });
}

#[test]
fn whoever_gives_up_or_is_done_is_not_seen() {
    in_any_order(|| async {
        let promise = Promise::<()>::new();
        let target = named("target", promise.clone());
        let join = target.join();
        let impatient = named(
            "impatient",
            timeout(ms(10), async move {
                let _ = futures::future::select(join, std::pin::pin!(sleep(ms(5)))).await;
                sleep(ms(100)).await;
            }),
        );
        sleep(ms(1)).await;
        assert!(edges(&await_graph()).contains(&"impatient awaits target".to_owned()));
        sleep(ms(5)).await;
        assert_eq!(edges(&await_graph()), ["target awaits Promise-2"]);
        assert!(impatient.await.unwrap_err().is_timeout());
        promise.set(())?;
        target.await?;
        let graph = await_graph();
        assert_eq!(graph.tasks().len(), 1, "only the main task is left: {graph}");
        assert_eq!(graph.tasks()[0].id(), me().id());
        Ok(())
    });
}

#[test]
fn requests_and_readiness_are_shown() {
    // INTRO-04, INTRO-06
    simulate(async {
        let stubborn = named("stubborn", async {
            drop(catch_cancelled(sleep(seconds(1))).await);
            sleep(seconds(1)).await;
            Ok(())
        });
        yield_now().await;
        stubborn.cancel();
        assert_eq!(text(await_graph()), ["main, ready", "stubborn, ready, cancelling"]);
        sleep(ms(1)).await;
        let graph = await_graph();
        assert_eq!(text(&graph), ["main, ready", "stubborn, cancelling"]);
        let info = graph.get(stubborn.id()).unwrap();
        assert!(info.is_suspended() && info.cancelling() == 1 && info.awaits().is_empty());
        assert_eq!(info.location(), stubborn.location());
        stubborn.await
    });
}

#[test]
fn looking_polls_nobody() {
    simulate(async {
        let polls = Arc::new(AtomicUsize::new(0));
        let counted = polls.clone();
        let promise = Promise::<()>::new();
        let mut waits = promise.clone();
        let task = named(
            "waits",
            std::future::poll_fn(move |context| {
                counted.fetch_add(1, Ordering::Relaxed);
                std::pin::Pin::new(&mut waits).poll(context)
            }),
        );
        yield_now().await;
        for _ in 0..100 {
            assert_eq!(edges(&await_graph()), ["waits awaits Promise-2"]);
            yield_now().await;
        }
        assert_eq!(polls.load(Ordering::Relaxed), 1);
        promise.set(())?;
        task.await?;
        assert_eq!(polls.load(Ordering::Relaxed), 2);
        Ok(())
    });
}

#[test]
fn chains_may_be_long() {
    // MOD-11
    simulate(async {
        let promise = Promise::<()>::new();
        let mut last = named("0", promise.clone());
        for number in 1..5_000 {
            last = named(&number.to_string(), last);
        }
        yield_now().await;
        let graph = await_graph();
        let lines = text(&graph);
        assert_eq!(lines.len(), 5_002);
        assert!(lines[5_001].trim_start().starts_with("5000 deep: Promise-2"), "{}", lines[5_001]);
        assert_eq!(text(graph.awaiting(promise.id())).len(), 5_001);
        promise.set(())?;
        last.await
    });
}

// upstream: test_futures2.FutureReprTests.test_recursive_repr_for_pending_tasks
#[test]
fn a_task_that_holds_itself_can_be_shown() {
    // INTRO-06
    simulate(async {
        let task = spawn(async { Ok(all_tasks()) });
        let held = timeout(seconds(10), task).await?;
        assert!(format!("{held:?}").contains("<Task-2 finished at tests/inspect.rs:"));
        Ok(())
    });
}

#[test]
fn a_thread_looks_into_a_running_program() {
    // INTRO-07
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let handle = runtime.handle();
    let stop = Arc::new(AtomicBool::new(false));
    let busy = {
        let stop = stop.clone();
        handle.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let inner = spawn(async {
                    yield_now().await;
                    spawn(yield_now()).await
                });
                let outer = spawn(inner);
                let promise = Promise::<()>::new();
                let waits = spawn(promise.clone());
                outer.await?;
                promise.set(())?;
                waits.await?;
            }
            Ok(())
        })
    };
    let mut seen = 0;
    for _ in 0..300 {
        let graph = handle.await_graph();
        seen += edges(&graph).len();
        assert!(graph.get(busy.id()).is_some());
        assert!(graph.to_string().lines().count() >= graph.tasks().len());
        if seen == 0 {
            std::thread::yield_now();
        }
    }
    stop.store(true, Ordering::Relaxed);
    busy.wait().unwrap();
    assert_eq!(handle.await_graph().tasks().len(), 0);
}

#[test]
fn awaits_across_runtimes_are_seen_from_both() {
    let (ours, theirs) = (Runtime::new().unwrap(), Runtime::new().unwrap());
    let promise = ours.handle().promise::<()>();
    let (tell, told) = mpsc::channel();
    let waits = promise.clone();
    let task = theirs.handle().spawn(async move {
        let mut waits = waits;
        std::future::poll_fn(move |context| {
            let polled = std::pin::Pin::new(&mut waits).poll(context);
            if polled.is_pending() {
                tell.send(()).unwrap();
            }
            polled
        })
        .await
    });
    told.recv().unwrap();
    for handle in [ours.handle(), theirs.handle()] {
        let mut graph = handle.await_graph();
        while graph.get(task.id()).is_none_or(|info| info.awaits().is_empty()) {
            std::thread::yield_now();
            graph = handle.await_graph();
        }
        assert_eq!(graph.get(task.id()).unwrap().awaits(), [promise.id()]);
        assert_eq!(graph.get(promise.id()).unwrap().awaited_by(), [task.id()]);
    }
    promise.set(()).unwrap();
    task.wait().unwrap();
}
