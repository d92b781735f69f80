//! A simulated host that stands still: what was to happen there happens when it goes on.

mod common;

use std::future::pending;

use common::{Log, ms, seconds, simulate};
use filch::sim::{self, Host};
use filch::time::Instant;
use filch::{Handle, Promise, Task, sleep, spawn, yield_now};

/// A callback that tells when it is called, and where.
fn callback(log: &Log, name: &'static str) -> impl FnOnce() + Send + 'static {
    let (log, begun) = (log.clone(), Instant::now());
    move || {
        let (host, after) = (Host::current(), begun.elapsed().as_secs());
        log.add(format!("{name} on {} after {after}", host.name()));
    }
}

/// A host, where `act` was called; it is `named`.
async fn host_that<R: Send + 'static>(
    named: &str,
    act: impl FnOnce() -> R + Send + 'static,
) -> (Host, R) {
    let host = sim::host(named);
    let acted = host.spawn(async move { Ok(act()) }).await;
    (host, acted.unwrap())
}

#[test]
fn callbacks_of_a_host_that_stands_still_wait_until_it_goes_on() {
    sim::check(0..50, || async {
        let log = Log::new();
        let (soon, promise) = (spawn(sleep(seconds(1))), Promise::new());
        let (theirs, waited_for) = (log.clone(), (soon.task_ref(), promise.task_ref()));
        let (server, handle) = host_that("server", move || {
            let (task, promise) = waited_for;
            let called = |name| {
                let call = callback(&theirs, name);
                move |_| call()
            };
            task.add_done_callback(called("task"));
            promise.add_done_callback(called("promise"));
            Handle::current().call_later(seconds(2), callback(&theirs, "two"));
            Handle::current().call_later(seconds(20), callback(&theirs, "twenty"));
            Handle::current().call_later(seconds(3), callback(&theirs, "taken back"))
        })
        .await;
        server.pause(seconds(10));
        let ours = callback(&log, "ours");
        soon.task_ref().add_done_callback(|_| ours());
        soon.await?;
        promise.set(())?;
        sleep(seconds(4)).await;
        assert_eq!(log.lines(), ["ours on main after 1"], "the others go on");
        assert!(handle.cancel(), "it may be taken back as long as it has not begun");
        sleep(seconds(100)).await;
        let expected = [
            "ours on main after 1",
            "task on server after 10",
            "promise on server after 10",
            "two on server after 10",
            "twenty on server after 20",
        ];
        assert_eq!(log.lines(), expected);
        Ok(())
    });
}

#[test]
fn what_a_host_registers_while_it_stops_keeps_its_order() {
    sim::check(0..50, || async {
        let log = Log::new();
        let (ended, theirs) = (Promise::new(), log.clone());
        let (known, there) = (ended.clone(), ended.task_ref());
        let (_, ()) = host_that("server", move || {
            let first = callback(&theirs, "first");
            there.add_done_callback(|_| first());
            known.set(()).unwrap();
            Handle::current().call_soon(callback(&theirs, "second"));
            Handle::current().call_later(seconds(0), callback(&theirs, "third"));
            Host::current().pause(seconds(5));
            Handle::current().call_soon(callback(&theirs, "fourth"));
        })
        .await;
        sleep(seconds(6)).await;
        let mut lines = log.lines();
        // A timer's turn is not that of what is ready: it may come in between, not before.
        let third = lines.iter().position(|line| line.starts_with("third"));
        assert_eq!(lines.remove(third.unwrap()), "third on server after 5");
        let names = ["first", "second", "fourth"];
        assert_eq!(lines, names.map(|name| format!("{name} on server after 5")));
        Ok(())
    });
}

#[test]
fn a_host_that_stands_still_keeps_nobody_else_waiting() {
    sim::check(0..50, || async {
        let begun = Instant::now();
        // A timer, and those who listen to a task's end, are nobody's.
        Host::current().pause(seconds(30));
        let elsewhere = sim::host("elsewhere");
        let there = elsewhere.spawn(async move {
            let nap = spawn(sleep(seconds(1)));
            filch::gather([nap, spawn(async { Ok(()) })]).await?;
            Ok(begun.elapsed())
        });
        assert_eq!(there.await?, seconds(1));
        assert_eq!(begun.elapsed(), seconds(30));
        Ok(())
    });
}

#[test]
fn a_promise_set_by_a_host_that_stops_reaches_the_others() {
    sim::check(0..50, || async {
        let (promise, begun) = (Promise::new(), Instant::now());
        let known = promise.clone();
        let setting = sim::host("server").spawn(async move {
            yield_now().await;
            Host::current().pause(seconds(60));
            known.set(()).unwrap();
            Ok(())
        });
        let waiting: Task<()> = spawn(promise);
        filch::wait([waiting], filch::ReturnWhen::AllCompleted).await;
        assert!(begun.elapsed() < seconds(60));
        setting.await
    });
}

#[test]
fn a_host_may_stop_again_before_its_callbacks_came_to_their_turn() {
    simulate(async {
        let (log, theirs) = (Log::new(), Log::new());
        let known = theirs.clone();
        let (server, ()) = host_that("server", move || {
            let again = || Host::current().pause(seconds(10));
            Handle::current().call_later(ms(1), again);
            Handle::current().call_later(ms(2), callback(&known, "late"));
        })
        .await;
        server.pause(seconds(1));
        sleep(seconds(2)).await;
        assert_eq!(theirs.lines(), log.lines(), "none was called");
        sleep(seconds(20)).await;
        assert_eq!(theirs.lines(), ["late on server after 11"]);
        Ok(())
    });
}

#[test]
fn callbacks_of_a_host_that_crashes_while_it_stands_still_are_gone() {
    sim::check(0..20, || async {
        let log = Log::new();
        let theirs = log.clone();
        let (server, handle) = host_that("server", move || {
            let (done, gone) = (callback(&theirs, "done"), theirs.on_drop("gone"));
            spawn(sleep(seconds(1))).task_ref().add_done_callback(|_| {
                drop(gone);
                done();
            });
            Handle::current().call_later(seconds(1), callback(&theirs, "later"))
        })
        .await;
        server.pause(seconds(60));
        sleep(seconds(2)).await;
        server.crash();
        assert!(handle.is_cancelled());
        sleep(seconds(100)).await;
        assert_eq!(log.lines(), ["gone"]);
        Ok(())
    });
}

#[test]
fn a_run_ends_though_a_host_stands_still_for_ever() {
    let log = Log::new();
    let theirs = log.clone();
    simulate(async move {
        let (server, ()) = host_that("server", move || {
            Handle::current().call_soon(callback(&theirs, "soon"));
            Host::current().pause(seconds(1_000_000));
            spawn(pending::<()>()).detach();
        })
        .await;
        server.pause(seconds(2_000_000));
        Ok(())
    });
    assert_eq!(log.lines().len(), 1, "what was registered is called at the end");
}
