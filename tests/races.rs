//! On real threads, what races is decided once, and everybody agrees on it (MOD-06, CAN-28 to
//! CAN-30, TMO-16, FUT-20).
//!
//! Each test runs a bounded number of rounds; whichever side wins a round, the outcome must fit.

mod common;

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::thread;

use common::{me, ms};
use filch::{Runtime, catch_cancelled, sleep, spawn, timeout, yield_now};
use futures::channel::oneshot;

const ROUNDS: u32 = if cfg!(miri) { 20 } else { 5_000 };

fn runtime() -> Runtime {
    Runtime::builder().workers(4).build().unwrap()
}

async fn yields(times: u32) {
    for _ in 0..times {
        yield_now().await;
    }
}

#[test]
fn request_is_accepted_exactly_if_the_task_ends_cancelled() {
    // CAN-29
    let runtime = runtime();
    let handle = runtime.handle();
    for round in 0..ROUNDS {
        let task = handle.spawn(yields(round % 7));
        let known = task.task_ref();
        let accepted = known.cancel();
        let ended = task.wait();
        assert_eq!(accepted, known.is_cancelled(), "round {round}");
        assert_eq!(ended.is_err(), accepted, "round {round}");
        assert_eq!(known.cancelling(), u32::from(accepted), "round {round}");
    }
}

#[test]
fn request_to_a_chain_in_motion_is_not_lost() {
    // CAN-28: what is awaited ends, and the next is awaited, while the request looks for the task
    let runtime = runtime();
    let handle = runtime.handle();
    for round in 0..ROUNDS {
        let task = handle.spawn(async move {
            for times in 0..3 {
                spawn(yields((times + round) % 5)).await?;
            }
            Ok(())
        });
        for _ in 0..round % 11 {
            thread::yield_now();
        }
        let known = task.task_ref();
        let accepted = known.cancel();
        let ended = task.wait();
        assert_eq!(accepted, known.is_cancelled(), "round {round}");
        assert_eq!(ended.is_err(), accepted, "round {round}");
    }
}

#[test]
fn request_comes_back_if_the_task_that_has_it_ends_during_the_last_poll_of_its_awaiter() {
    // CAN-17, CAN-28: the awaiter looks, finds the task still cleaning up, and turns to its own end
    runtime()
        .block_on(async {
            let (ready, is_ready) = oneshot::channel();
            let (go, goes) = oneshot::channel();
            let awaiter = Arc::new(Mutex::new(None::<Waker>));
            let (wakes, awaiter_looks) = (awaiter.clone(), awaiter.clone());
            let asked = spawn(async move {
                ready.send(()).unwrap();
                let Err(cancelled) = catch_cancelled(pending::<()>()).await else { return };
                wakes.lock().unwrap().take().unwrap().wake();
                goes.await.unwrap();
                cancelled.raise().await;
            });
            is_ready.await?;
            let waits = spawn(async move {
                let (mut asked, mut go, mut looks) = (pin!(asked), Some(go), 0);
                poll_fn(|cx| {
                    *awaiter.lock().unwrap() = Some(cx.waker().clone());
                    assert!(asked.as_mut().poll(cx).is_pending());
                    looks += 1;
                    if looks == 1 {
                        return Poll::Pending;
                    }
                    go.take().unwrap().send(()).unwrap();
                    while !asked.is_finished() {
                        thread::yield_now();
                    }
                    Poll::Ready(())
                })
                .await;
            });
            while awaiter_looks.lock().unwrap().is_none() {
                yield_now().await;
            }
            waits.cancel();
            assert!(waits.await.unwrap_err().is_cancelled());
            Ok(())
        })
        .unwrap();
}

#[test]
fn request_that_is_taken_back_leaves_no_count() {
    // CAN-13, CAN-14: it came or it did not; the count is zero
    let runtime = runtime();
    let handle = runtime.handle();
    for round in 0..ROUNDS {
        let task = handle.spawn(yields(round % 7));
        let known = task.task_ref();
        let accepted = known.cancel();
        assert_eq!(known.uncancel(), 0, "round {round}");
        let ended = task.wait();
        assert_eq!(known.cancelling(), 0, "round {round}");
        assert!(accepted || ended.is_ok(), "round {round}");
        assert_eq!(ended.is_err(), known.is_cancelled(), "round {round}");
    }
}

#[test]
fn result_and_request_race_to_one_outcome() {
    // CAN-06, CAN-28: a wake from one thread, a request from another
    let runtime = runtime();
    let handle = runtime.handle();
    for round in 0..ROUNDS {
        let (sender, receiver) = oneshot::channel();
        let task = handle.spawn(async move { Ok(receiver.await?) });
        let known = task.task_ref();
        let waker = thread::scope(|scope| {
            let waker = scope.spawn(|| sender.send(round));
            let accepted = known.cancel();
            _ = waker.join().unwrap();
            accepted
        });
        match task.wait() {
            Ok(value) => assert_eq!((value, waker), (round, false)),
            Err(error) => assert!(error.is_cancelled() && waker, "round {round}: {error}"),
        }
    }
}

#[test]
fn expiry_and_end_leave_the_count_as_it_was() {
    // TMO-16
    let runtime = runtime();
    let handle = runtime.handle();
    for round in 0..ROUNDS / 10 {
        let task = handle.spawn(async move {
            let limited = timeout(ms(0), spawn(yields(round % 30))).await;
            assert!(limited.is_ok() || limited.unwrap_err().is_timeout());
            yield_now().await;
            Ok(me().cancelling())
        });
        assert_eq!(task.wait().unwrap(), 0, "round {round}");
    }
}

#[test]
fn callback_registered_around_the_end_runs_once() {
    // FUT-20, MOD-04: and one that was removed never does
    let runtime = runtime();
    let handle = runtime.handle();
    for round in 0..ROUNDS {
        let calls = Arc::new(AtomicU32::new(0));
        let task = handle.spawn(yields(round % 3));
        let mut expected = 0;
        for number in 0..4 {
            let counted = calls.clone();
            let call = move |_| _ = counted.fetch_add(1, Ordering::Relaxed);
            let id = task.add_done_callback(call);
            let removed = number % 2 == 1 && task.remove_done_callback(id);
            expected += u32::from(!removed);
        }
        // Registered last, so all others have run when it does.
        let (done, last) = std::sync::mpsc::channel();
        task.add_done_callback(move |_| done.send(()).unwrap());
        task.wait().unwrap();
        last.recv().unwrap();
        assert_eq!(calls.load(Ordering::Relaxed), expected, "round {round}");
    }
}

#[test]
fn timeout_does_not_take_a_request_for_its_own() {
    // TMO-05, TMO-06: what another thread asks for during a poll comes after what the poll begins,
    // here a timeout that runs out before the poll is over.
    let runtime = runtime();
    let handle = runtime.handle();
    let later = handle.clone();
    let task = handle.spawn(async move {
        let known = me();
        thread::spawn(move || assert!(known.cancel())).join().unwrap();
        let limited = timeout(ms(1), pending::<()>());
        let hold_up = async {
            let (tell, told) = mpsc::channel();
            let teller = later.spawn(async move {
                sleep(ms(5)).await;
                tell.send(()).unwrap();
            });
            teller.detach();
            told.recv().unwrap();
            sleep(ms(100)).await;
        };
        let ended = catch_cancelled(async { Ok(futures::join!(limited, hold_up)) }).await;
        assert!(ended.is_err(), "{ended:?}");
        assert_eq!(me().cancelling(), 1);
        Ok(())
    });
    task.wait().unwrap();
}
