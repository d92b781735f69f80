//! A future that several tasks share, with a scope of filch inside: whoever waits is woken in the
//! end, and nobody wakes another for nothing.

mod common;

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{in_any_order, ms, seconds};
use filch::{ReturnWhen, Runtime, Task, sleep, spawn, timeout_any, wait};
use futures::FutureExt;

/// Whether the task ends, in one way or another.
async fn ends<T: Send + 'static>(task: &Task<T>) -> bool {
    let waited = wait([task.task_ref()], ReturnWhen::AllCompleted).timeout(seconds(60));
    waited.await.pending.is_empty()
}

#[test]
fn one_who_shares_and_is_cancelled_keeps_no_other_waiting() {
    in_any_order(async || {
        let shared = timeout_any(seconds(1), pending::<()>()).map(drop).shared();
        let [waits, gives_up] = [(); 2].map(|()| spawn(shared.clone().map(Ok)));
        drop(shared);
        sleep(ms(1)).await;
        gives_up.cancel();
        assert!(ends(&gives_up).await);
        assert!(ends(&waits).await);
        Ok(())
    });
}

#[test]
fn one_who_shares_and_gives_up_keeps_no_other_waiting() {
    const ROUNDS: u64 = if cfg!(miri) { 3 } else { 5_000 };
    let runtime = Runtime::builder().workers(2).build().unwrap();
    for round in 0..ROUNDS {
        let main = async move {
            let shared = timeout_any(ms(300) / 1000, pending::<()>()).map(drop).shared();
            let waits = spawn(shared.clone().map(Ok));
            let limit = ms(round % 128) / 1000;
            let gives_up = spawn(timeout_any(limit, shared).map(|_| Ok(())));
            assert!(ends(&waits).await && ends(&gives_up).await, "in round {round}");
            Ok(())
        };
        runtime.block_on(main).unwrap();
    }
}

#[test]
fn those_who_share_do_not_wake_each_other_for_nothing() {
    in_any_order(async || {
        let polls = Arc::new(AtomicU64::new(0));
        let counted = polls.clone();
        let inside = async move {
            let mut nap = pin!(sleep(seconds(1)));
            poll_fn(|context| {
                counted.fetch_add(1, Ordering::Relaxed);
                nap.as_mut().poll(context)
            })
            .await;
        };
        let shared = timeout_any(seconds(3600), inside).map(drop).shared();
        let [one, other] = [(); 2].map(|()| spawn(shared.clone().map(Ok)));
        assert!(ends(&one).await && ends(&other).await);
        let polls = polls.load(Ordering::Relaxed);
        assert!(polls <= 4, "{polls}");
        Ok(())
    });
}
