//! What a simulated host leaves behind when it crashes: nothing. Callbacks belong to the host whose
//! code registered them; those of others learn of the end of what was there.

mod common;

use std::sync::{Arc, Mutex};

use common::{Log, OnDrop, in_any_order, me, seconds, simulate};
use filch::net::{TcpListener, TcpStream};
use filch::sim::{self, Host};
use filch::sync::Event;
use filch::{CallHandle, Handle, Promise, gather, sleep, spawn, yield_now};
use futures::poll;

/// A callback that tells when it is called, and when it is gone.
fn callback(log: &Log, name: &'static str) -> impl FnOnce() + Send + 'static {
    let (seen, gone): (Log, OnDrop) = (log.clone(), log.on_drop(name));
    move || {
        seen.add(format!("{name} called on {}", Host::current().name()));
        drop(gone);
    }
}

fn sorted(log: &Log) -> Vec<String> {
    let mut lines = log.lines();
    lines.sort();
    lines
}

#[test]
fn callbacks_of_a_crashed_host_are_gone_with_it() {
    simulate(async {
        let (log, server, ready) = (Log::new(), sim::host("server"), Arc::new(Event::new()));
        let (elsewhere, promise) = (spawn(sleep(seconds(5))), Promise::<()>::new());
        let handles = Arc::new(Mutex::new(Vec::<CallHandle>::new()));
        let setup = {
            let (log, ready, handles) = (log.clone(), ready.clone(), handles.clone());
            let (elsewhere, promise) = (elsewhere.task_ref(), promise.task_ref());
            async move {
                let done = |name| {
                    let call = callback(&log, name);
                    move |_| call()
                };
                elsewhere.add_done_callback(done("of a task elsewhere"));
                promise.add_done_callback(done("of a promise"));
                me().add_done_callback(done("of its own task"));
                let here = Handle::current();
                let later = here.call_later(seconds(1), callback(&log, "later"));
                let at_once = here.call_later(seconds(0), callback(&log, "at once"));
                // The main task is woken first, and crashes this host before the next turn.
                ready.set();
                let soon = here.call_soon(callback(&log, "soon"));
                handles.lock().unwrap().extend([later, at_once, soon]);
                sleep(seconds(100)).await;
            }
        };
        let setup = server.spawn(setup);
        ready.wait().await;
        server.crash();
        let mut gone =
            ["of a task elsewhere", "of a promise", "of its own task", "later", "at once", "soon"];
        gone.sort();
        assert_eq!(sorted(&log), gone);
        assert!(handles.lock().unwrap().iter().all(CallHandle::is_cancelled));
        assert!(setup.await.unwrap_err().is_cancelled());
        promise.set(())?;
        elsewhere.await?;
        sleep(seconds(10)).await;
        assert_eq!(sorted(&log), gone, "none was called");
        Ok(())
    });
}

#[test]
fn callbacks_of_others_are_called_when_a_host_crashes() {
    in_any_order(async || {
        let (log, server) = (Log::new(), sim::host("server"));
        let task = server.spawn(sleep(seconds(100)));
        let call = callback(&log, "told");
        task.task_ref().add_done_callback(move |task| {
            assert!(task.is_cancelled());
            call();
        });
        let other = server.spawn(sleep(seconds(100)));
        let gathered = spawn(async move { gather([other]).await.map(drop) });
        let soon = callback(&log, "soon");
        Handle::current().call_later(seconds(1), soon);
        yield_now().await;
        server.crash();
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(gathered.await.is_err_and(|error| error.is_cancelled()));
        sleep(seconds(2)).await;
        assert_eq!(log.lines(), ["told called on main", "told", "soon called on main", "soon"]);
        Ok(())
    });
}

#[test]
fn a_callback_is_called_on_the_host_that_registered_it() {
    in_any_order(async || {
        let (log, server) = (Log::new(), sim::host("server"));
        let promise = Promise::<()>::new();
        let (theirs, call) = (promise.task_ref(), callback(&log, "of a promise"));
        let task = spawn(sleep(seconds(1)));
        let (ours, done) = (task.task_ref(), callback(&log, "of a task"));
        let registers = server.spawn(async move {
            theirs.add_done_callback(|_| call());
            ours.add_done_callback(|_| done());
        });
        registers.await?;
        promise.set(())?;
        task.await?;
        sleep(seconds(1)).await;
        assert_eq!(
            log.lines(),
            [
                "of a promise called on server",
                "of a promise",
                "of a task called on server",
                "of a task"
            ]
        );
        Ok(())
    });
}

/// Registers callbacks and starts a task when it goes.
struct Restless(Log);

impl Drop for Restless {
    fn drop(&mut self) {
        let here = Handle::current();
        let handle = here.call_soon(callback(&self.0, "soon"));
        let later = here.call_later(seconds(1), callback(&self.0, "later"));
        assert!(handle.is_cancelled() && later.is_cancelled());
        let call = callback(&self.0, "done");
        let work = callback(&self.0, "work");
        let task = spawn(async move {
            work();
            sleep(seconds(1)).await;
        });
        task.task_ref().add_done_callback(|_| call());
        task.detach();
        self.0.add("dropped");
    }
}

#[test]
fn what_is_dropped_in_a_crash_starts_nothing() {
    in_any_order(async || {
        let (log, server) = (Log::new(), sim::host("server"));
        let restless = Restless(log.clone());
        let task = server.spawn(async move {
            let _restless = restless;
            sleep(seconds(100)).await;
        });
        yield_now().await;
        sleep(seconds(1)).await;
        server.crash();
        assert_eq!(log.lines(), ["soon", "later", "done", "dropped", "work"]);
        assert!(task.await.is_err());
        // The restarted host has callbacks again.
        let call = callback(&log, "again");
        let again = server.spawn(async move { _ = Handle::current().call_soon(call) });
        again.await?;
        sleep(seconds(10)).await;
        assert_eq!(log.lines()[5..], ["again called on server", "again"]);
        Ok(())
    });
}

#[test]
fn callbacks_that_were_called_are_forgotten_and_many_can_be_registered() {
    simulate(async {
        let (log, server) = (Log::new(), sim::host("server"));
        let seen = log.clone();
        let task = server.spawn(async move {
            for _ in 0..1000 {
                Handle::current().call_soon(|| ());
                yield_now().await;
            }
            Handle::current().call_later(seconds(5), callback(&seen, "last"));
            sleep(seconds(100)).await;
        });
        sleep(seconds(1)).await;
        server.crash();
        assert_eq!(log.lines(), ["last"]);
        assert!(task.await.is_err());
        Ok(())
    });
}

#[test]
fn a_listener_that_outlives_the_crash_is_not_the_one_that_listens_afterwards() {
    simulate(async {
        let server = sim::host("server");
        let listen = || async { Ok(TcpListener::bind("0.0.0.0:80").await?) };
        let old = Arc::new(server.spawn(listen()).await?);
        let there = old.clone();
        let mut stale = Box::pin(async move { there.accept().await.is_ok() });
        assert!(poll!(stale.as_mut()).is_pending());
        server.crash();
        let new = server.spawn(listen()).await?;
        let accepted = spawn(async move { Ok(new.accept().await.map(drop)?) });
        yield_now().await;
        // Neither takes a waiter or a connection of the new one, nor its place.
        drop(stale);
        assert!(old.accept().await.is_err());
        drop(old);
        TcpStream::connect("server:80").await?;
        accepted.await
    });
}

#[test]
fn what_is_lost_in_a_crash_does_not_look_like_the_end_of_the_bytes() {
    simulate(async {
        let server = sim::host("server");
        let binding = server.spawn(async { Ok(TcpListener::bind("0.0.0.0:80").await?) });
        let listener = binding.await?;
        let client = sim::host("client");
        let ours = client.spawn(async { Ok(TcpStream::connect("server:80").await?) }).await?;
        let (theirs, _) = listener.accept().await?;
        theirs.write_all(b"hello").await?;
        client.crash();
        assert!(ours.read(&mut [0; 8]).await.is_err());
        assert!(ours.peek(&mut [0; 8]).await.is_err());
        assert!(ours.write(b"hello").await.is_err());
        Ok(())
    });
}
