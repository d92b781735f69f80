//! What queues, channels and tasks drop, they drop outside of their locks: a value that uses, in
//! its destructor, what it is dropped by finds it free. Where it does not, the test never ends.
//! An error that panics when its task goes takes nobody with it; what panics while a task is
//! unwound is the task's outcome.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use common::{Log, in_any_order, ms, simulate};
use filch::sync::{Queue, broadcast, oneshot, watch};
use filch::{Error, current_task, sim, sleep, spawn, task_group, timeout, yield_now};

type Last = Box<dyn FnOnce() + Send>;

/// Does something when it is dropped.
#[derive(Clone)]
struct Value(#[allow(dead_code)] Arc<Inside>);

struct Inside(Mutex<Option<Last>>);

impl Value {
    fn new(last: impl FnOnce() + Send + 'static) -> Self {
        Value(Arc::new(Inside(Mutex::new(Some(Box::new(last))))))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let last = self.0.lock().unwrap().take();
        last.expect("it is dropped once")();
    }
}

#[test]
fn items_of_a_queue_that_is_shut_down_may_use_it() {
    in_any_order(async || {
        let (log, queue) = (Log::new(), Arc::new(Queue::unbounded()));
        for number in 0..3 {
            let (log, queue) = (log.clone(), Arc::downgrade(&queue));
            queue.upgrade().unwrap().try_put(Value::new(move || {
                let queue: Arc<Queue<Value>> = Weak::upgrade(&queue).unwrap();
                log.add(format!("{number}: {} {}", queue.len(), queue.unfinished()));
                assert!(queue.try_put(Value::new(|| {})).is_err());
            }))?;
        }
        queue.shutdown_now();
        assert_eq!(log.lines(), ["0: 0 0", "1: 0 0", "2: 0 0"]);
        Ok(())
    });
}

#[test]
fn an_item_that_is_refused_may_use_the_queue() {
    simulate(async {
        let (log, queue) = (Log::new(), Arc::new(Queue::bounded(1)));
        queue.try_put(Value::new(|| {}))?;
        let (seen, there) = (log.clone(), queue.clone());
        let putter = spawn({
            let queue = queue.clone();
            let item = Value::new(move || seen.add(format!("{:?}", there.waiting())));
            async move {
                queue.put(item).await?;
                Ok(())
            }
        });
        yield_now().await;
        assert_eq!(queue.waiting(), (0, 1));
        putter.cancel();
        assert!(putter.await.unwrap_err().is_cancelled());
        assert_eq!(log.lines().len(), 1);
        assert_eq!(queue.waiting(), (0, 0));
        Ok(())
    });
}

#[test]
fn a_value_that_another_one_replaces_may_use_the_channel() {
    let log = Log::new();
    let (sender, receiver) = watch::channel(Value::new(|| {}));
    let (sender, receiver) = (Arc::new(sender), Arc::new(receiver));
    let (seen, writes, reads) = (log.clone(), sender.clone(), receiver.clone());
    sender.send(Value::new(move || {
        drop((writes.latest(), reads.latest()));
        seen.add("replaced");
    }));
    assert_eq!(log.lines(), [] as [&str; 0]);
    sender.send(Value::new(|| {}));
    assert_eq!(log.lines(), ["replaced"]);
}

#[test]
fn values_that_nobody_is_to_get_may_use_the_channel() {
    let log = Log::new();
    let (sender, receiver) = broadcast::channel(1);
    let sender = Arc::new(sender);
    let uses = |what: &'static str| {
        let (log, sender) = (log.clone(), sender.clone());
        Value::new(move || {
            drop(sender.subscribe());
            log.add(what);
        })
    };
    assert!(sender.send(uses("pushed out")).is_ok());
    assert!(sender.send(uses("left")).is_ok());
    assert_eq!(log.lines(), ["pushed out"]);
    drop(receiver);
    assert_eq!(log.lines(), ["pushed out", "left"]);
}

#[test]
fn a_value_that_is_not_fetched_goes_with_its_receiver() {
    let log = Log::new();
    let (sender, receiver) = oneshot::channel();
    let seen = log.clone();
    assert!(sender.send(Value::new(move || seen.add("gone"))).is_ok());
    drop(receiver);
    assert_eq!(log.lines(), ["gone"]);
}

#[test]
fn the_value_of_a_task_may_use_the_task() {
    in_any_order(async || {
        let log = Log::new();
        let seen = log.clone();
        let task = spawn(async move {
            yield_now().await;
            let me = common::me();
            Ok(Value::new(move || {
                me.add_done_callback({
                    let seen = seen.clone();
                    move |_| seen.add("called")
                });
                assert!(!me.is_cancelled() && me.error().is_none());
                seen.add("dropped");
            }))
        });
        let known = task.task_ref();
        task.detach();
        known.join().await?;
        sleep(ms(1)).await;
        let mut lines = log.lines();
        lines.sort();
        assert_eq!(lines, ["called", "dropped"]);
        Ok(())
    });
}

/// Panics when the last of its clones goes.
#[derive(Debug)]
struct PanicsWhenGone(Arc<AtomicUsize>);

impl std::fmt::Display for PanicsWhenGone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an error that panics when it goes")
    }
}

impl std::error::Error for PanicsWhenGone {}

impl Drop for PanicsWhenGone {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        panic!("{self}");
    }
}

#[test]
fn an_error_that_panics_when_its_task_goes_takes_nobody_with_it() {
    let gone = Arc::new(AtomicUsize::new(0));
    let known = gone.clone();
    sim::run(0, async move {
        let fails = || {
            let error = PanicsWhenGone(known.clone());
            spawn(async { Err::<(), Error>(error.into()) })
        };
        // Nobody looks, or somebody has looked: in both, the task is the last to have it.
        let (unseen, seen) = (fails(), fails());
        yield_now().await;
        assert!(seen.error().is_some());
        drop((unseen, seen));
        assert_eq!(known.load(Ordering::Relaxed), 2);
        fails().detach();
        yield_now().await;
        Ok(())
    })
    .unwrap();
    assert_eq!(gone.load(Ordering::Relaxed), 3);
}

#[test]
fn what_panics_while_a_cancelled_task_is_unwound_is_its_outcome() {
    // As what `finally` raises, inside a scope and outside, also before the first poll.
    let panics = || Value::new(|| panic!("roll-back failed"));
    let asleep = async |value: Value| {
        let _value = value;
        sleep(ms(1000)).await;
    };
    in_any_order(async || {
        let tasks = [spawn(asleep(panics())), spawn(timeout(ms(5000), asleep(panics())))];
        sleep(ms(1)).await;
        tasks.iter().for_each(|task| assert!(task.cancel()));
        let never_began = spawn(asleep(panics()));
        assert!(never_began.cancel());
        for task in tasks.into_iter().chain([never_began]) {
            let error = task.await.unwrap_err();
            assert!(error.is_panic() && error.to_string().contains("roll-back failed"));
        }
        let failed = task_group(async |group| {
            group.spawn(asleep(panics()));
            group.spawn(async {
                sleep(ms(1)).await;
                Err::<(), _>(Error::msg("a child fails"))
            });
            Ok(())
        });
        let failed = failed.await.unwrap_err();
        let told: Vec<_> = failed.errors().iter().map(Error::to_string).collect();
        assert_eq!(told, ["a child fails", "panicked: roll-back failed"]);
        Ok(())
    });
}

#[test]
fn a_value_that_comes_too_late_panics_on_its_own() {
    // CAN-09
    in_any_order(async || {
        let task = spawn(async {
            current_task().unwrap().cancel();
            Ok(Value::new(|| panic!("as above")))
        });
        assert!(task.await.err().unwrap().is_cancelled());
        Ok(())
    });
}
