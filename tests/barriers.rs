//! Barriers: so many meet, then all go on; who leaves, resets or aborts is noticed by those whom
//! it concerns, and by nobody else (BAR-01 to BAR-07).

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Log, in_any_order, simulate};
use filch::sync::{Barrier, BrokenBarrier};
use filch::{Task, spawn, yield_now};

const PARTIES: usize = 5;

/// What the tasks of a test share.
struct Meeting {
    barrier: Barrier,
    log: Log,
    count: AtomicUsize,
}

impl Meeting {
    fn of(parties: usize) -> Arc<Self> {
        let (log, count) = (Log::new(), AtomicUsize::new(0));
        Arc::new(Meeting { barrier: Barrier::new(parties), log, count })
    }

    /// Counts one more, from one.
    fn next(&self) -> usize {
        self.count.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn times(&self, what: &str) -> usize {
        self.log.lines().iter().filter(|line| *line == what).count()
    }

    fn assert_is_as_new(&self) {
        assert_eq!(self.barrier.waiting(), 0);
        assert!(!self.barrier.is_broken());
        assert!(!self.barrier.is_draining());
    }
}

/// Starts so many tasks that do the same.
fn start<F>(
    count: usize,
    meeting: &Arc<Meeting>,
    party: impl Fn(Arc<Meeting>) -> F,
) -> Vec<Task<()>>
where
    F: Future<Output = ()> + Send + 'static,
{
    (0..count).map(|_| spawn(party(meeting.clone()))).collect()
}

async fn all(tasks: Vec<Task<()>>) -> filch::Result<()> {
    for task in tasks {
        task.await?;
    }
    Ok(())
}

// upstream: test_locks.BarrierTests.test_barrier_parties
#[test]
#[should_panic(expected = "a barrier needs a party")]
fn a_barrier_needs_a_party() {
    // BAR-01
    assert_eq!(Barrier::new(PARTIES).parties(), PARTIES);
    Barrier::new(0);
}

// upstream: test_locks.BarrierTests.test_context_manager
#[test]
fn each_party_has_another_index() {
    // BAR-02
    in_any_order(async || {
        let meeting = Meeting::of(3);
        let parties = start(3, &meeting, async |meeting| {
            let index = meeting.barrier.wait().await.unwrap();
            meeting.log.add(index.to_string());
        });
        all(parties).await?;
        let mut indices = meeting.log.lines();
        indices.sort();
        assert_eq!(indices, ["0", "1", "2"]);
        meeting.assert_is_as_new();
        Ok(())
    });
}

// upstream: test_locks.BarrierTests.test_filling_one_task
#[test]
fn one_party_waits_for_nobody() {
    // BAR-02
    simulate(async {
        let barrier = Barrier::new(1);
        assert_eq!(barrier.wait().await?, 0);
        assert_eq!((barrier.waiting(), barrier.is_broken()), (0, false));
        Ok(())
    });
}

// upstream: test_locks.BarrierTests.test_filling_one_task_twice
#[test]
fn one_party_passes_again_and_again() {
    // BAR-03
    simulate(async {
        let barrier = Arc::new(Barrier::new(1));
        for _ in 0..2 {
            let barrier = barrier.clone();
            let task = spawn(async move { Ok(barrier.wait().await?) });
            yield_now().await;
            assert!(task.is_finished());
            assert_eq!(task.await?, 0);
        }
        assert_eq!((barrier.waiting(), barrier.is_broken()), (0, false));
        Ok(())
    });
}

// upstream: test_locks.BarrierTests.test_filling_task_by_task
#[test]
fn those_who_wait_are_counted() {
    // BAR-02, BAR-04
    simulate(async {
        let meeting = Meeting::of(3);
        let mut parties = Vec::new();
        for waiting in [1, 2, 0] {
            parties.extend(start(1, &meeting, async |meeting| {
                meeting.barrier.wait().await.unwrap();
            }));
            yield_now().await;
            assert_eq!(meeting.barrier.waiting(), waiting);
        }
        assert!(meeting.barrier.is_draining());
        all(parties).await?;
        meeting.assert_is_as_new();
        Ok(())
    });
}

// upstream: test_locks.BarrierTests.test_filling_tasks_wait_twice
#[test]
fn a_barrier_is_used_again() {
    // BAR-03
    in_any_order(async || {
        let meeting = Meeting::of(PARTIES);
        let parties = start(PARTIES, &meeting, async |meeting| {
            meeting.barrier.wait().await.unwrap();
            meeting.log.add("once");
            meeting.barrier.wait().await.unwrap();
            meeting.log.add("twice");
        });
        all(parties).await?;
        assert_eq!((meeting.times("once"), meeting.times("twice")), (PARTIES, PARTIES));
        assert!(meeting.log.lines()[..PARTIES].iter().all(|line| line == "once"));
        meeting.assert_is_as_new();
        Ok(())
    });
}

// upstream: test_locks.BarrierTests.test_filling_tasks_check_return_value
#[test]
fn indices_are_complete_in_every_round() {
    // BAR-02
    in_any_order(async || {
        let meeting = Meeting::of(PARTIES);
        let parties = start(PARTIES, &meeting, async |meeting| {
            meeting.barrier.wait().await.unwrap();
            let index = meeting.barrier.wait().await.unwrap();
            meeting.log.add(index.to_string());
        });
        all(parties).await?;
        let mut indices = meeting.log.lines();
        indices.sort();
        assert_eq!(indices, ["0", "1", "2", "3", "4"]);
        meeting.assert_is_as_new();
        Ok(())
    });
}

// upstream: test_locks.BarrierTests.test_draining_state
#[test]
fn it_drains_until_the_last_has_left() {
    // BAR-03
    simulate(async {
        let meeting = Meeting::of(PARTIES);
        let parties = start(PARTIES, &meeting, async |meeting| {
            meeting.barrier.wait().await.unwrap();
            meeting.log.add(meeting.barrier.is_draining().to_string());
        });
        all(parties).await?;
        assert_eq!(meeting.log.lines(), ["true", "true", "true", "true", "false"]);
        meeting.assert_is_as_new();
        Ok(())
    });
}

// upstream: test_locks.BarrierTests.test_blocking_tasks_while_draining
#[test]
fn newcomers_stay_outside_while_it_drains() {
    // BAR-03: the second barrier is passed by exactly those who do not come back at once
    in_any_order(async || {
        let meeting = Meeting::of(PARTIES);
        let rest = Arc::new(Barrier::new(PARTIES - 2));
        let parties = start(PARTIES, &meeting, |meeting| {
            let rest = rest.clone();
            async move {
                meeting.barrier.wait().await.unwrap();
                if meeting.next() > 2 {
                    rest.wait().await.unwrap();
                }
                meeting.barrier.wait().await.unwrap();
            }
        });
        all(parties).await?;
        meeting.assert_is_as_new();
        Ok(())
    });
}

// upstream: test_locks.BarrierTests.test_filling_tasks_cancel_one
#[test]
fn one_who_is_cancelled_leaves_and_breaks_nothing() {
    // BAR-05, BAR-04, section 27
    simulate(async {
        let meeting = Meeting::of(3);
        let party = async |meeting: Arc<Meeting>| {
            meeting.barrier.wait().await.unwrap();
            meeting.log.add("through");
        };
        let mut parties = start(2, &meeting, party);
        yield_now().await;
        assert_eq!(meeting.barrier.waiting(), 2);
        let cancelled = parties.remove(0);
        cancelled.cancel();
        yield_now().await;
        assert_eq!(meeting.barrier.waiting(), 1);
        assert!(cancelled.await.unwrap_err().is_cancelled());
        parties.extend(start(1, &meeting, party));
        yield_now().await;
        assert_eq!(meeting.barrier.waiting(), 2);
        parties.extend(start(1, &meeting, party));
        all(parties).await?;
        assert_eq!(meeting.times("through"), 3);
        meeting.assert_is_as_new();
        Ok(())
    });
}

// upstream: test_locks.BarrierTests.test_reset_barrier
#[test]
fn a_reset_of_an_empty_barrier_changes_nothing() {
    // BAR-06
    let meeting = Meeting::of(1);
    meeting.barrier.reset();
    meeting.assert_is_as_new();
}

// upstream: test_locks.BarrierTests.test_reset_barrier_while_tasks_waiting
#[test]
fn a_reset_fails_those_who_wait() {
    // BAR-06
    simulate(async {
        let meeting = Meeting::of(PARTIES);
        let parties = start(PARTIES - 1, &meeting, async |meeting| {
            assert_eq!(meeting.barrier.wait().await, Err(BrokenBarrier));
            meeting.log.add("broken");
        });
        yield_now().await;
        meeting.barrier.reset();
        all(parties).await?;
        assert_eq!(meeting.times("broken"), PARTIES - 1);
        meeting.assert_is_as_new();
        Ok(())
    });
}

// upstream: test_locks.BarrierTests.test_reset_barrier_when_tasks_half_draining
#[test]
fn a_reset_fails_those_who_have_not_left() {
    // BAR-06
    in_any_order(async || {
        let meeting = Meeting::of(PARTIES);
        let parties =
            start(PARTIES, &meeting, async |meeting| match meeting.barrier.wait().await {
                Ok(_) if meeting.next() == 3 => meeting.barrier.reset(),
                Ok(_) => {}
                Err(BrokenBarrier) => meeting.log.add("broken"),
            });
        all(parties).await?;
        assert_eq!(meeting.log.lines(), ["broken", "broken"]);
        meeting.assert_is_as_new();
        Ok(())
    });
}

// upstream: test_locks.BarrierTests.test_reset_barrier_when_tasks_half_draining_half_blocking
#[test]
fn a_reset_does_not_fail_those_outside() {
    // BAR-06
    simulate(async {
        let meeting = Meeting::of(PARTIES);
        let parties = start(PARTIES, &meeting, async |meeting| {
            let first = meeting.barrier.wait().await;
            match first {
                Err(BrokenBarrier) => meeting.log.add("broken inside"),
                Ok(_) if meeting.next() > 2 => meeting.barrier.reset(),
                Ok(_) => {}
            }
            if meeting.barrier.wait().await.is_err() {
                meeting.log.add("broken outside");
            }
        });
        all(parties).await?;
        assert_eq!(meeting.log.lines(), ["broken inside", "broken inside"]);
        meeting.assert_is_as_new();
        Ok(())
    });
}

// upstream: test_locks.BarrierTests.test_reset_barrier_while_tasks_waiting_and_waiting_again
#[test]
fn those_who_failed_by_a_reset_may_wait_again() {
    // BAR-06
    simulate(async {
        let meeting = Meeting::of(PARTIES);
        let mut parties = start(PARTIES - 1, &meeting, async |meeting| {
            if meeting.barrier.wait().await.is_err() {
                meeting.log.add("broken");
            }
            meeting.barrier.wait().await.unwrap();
            meeting.log.add("through");
        });
        yield_now().await;
        meeting.barrier.reset();
        parties.extend(start(1, &meeting, async |meeting| {
            meeting.barrier.wait().await.unwrap();
            meeting.log.add("through");
        }));
        all(parties).await?;
        assert_eq!((meeting.times("broken"), meeting.times("through")), (PARTIES - 1, PARTIES));
        meeting.assert_is_as_new();
        Ok(())
    });
}

// upstream: test_locks.BarrierTests.test_reset_barrier_while_tasks_draining
#[test]
fn a_reset_by_the_last_who_leaves_fails_nobody() {
    // BAR-06
    simulate(async {
        let meeting = Meeting::of(PARTIES);
        let parties = start(PARTIES, &meeting, async |meeting| {
            meeting.barrier.wait().await.unwrap();
            if meeting.next() == PARTIES {
                meeting.barrier.reset();
            }
            match meeting.barrier.wait().await {
                Ok(_) => meeting.log.add("second"),
                Err(BrokenBarrier) => meeting.log.add("broken"),
            }
            meeting.barrier.wait().await.unwrap();
            meeting.log.add("third");
        });
        all(parties).await?;
        let counted = ["second", "broken", "third"].map(|what| meeting.times(what));
        assert_eq!(counted, [PARTIES, 0, PARTIES]);
        meeting.assert_is_as_new();
        Ok(())
    });
}

// upstream: test_locks.BarrierTests.test_abort_barrier
#[test]
fn an_aborted_barrier_fails_everybody_until_it_is_reset() {
    // BAR-07
    simulate(async {
        let barrier = Barrier::new(1);
        barrier.abort();
        assert_eq!((barrier.waiting(), barrier.is_broken()), (0, true));
        assert_eq!(barrier.wait().await, Err(BrokenBarrier));
        barrier.reset();
        assert_eq!(barrier.wait().await, Ok(0));
        Ok(())
    });
}

// upstream: test_locks.BarrierTests.test_abort_barrier_when_tasks_half_draining_half_blocking
#[test]
fn an_abort_fails_those_inside_and_those_outside() {
    // BAR-07
    simulate(async {
        let meeting = Meeting::of(PARTIES);
        let parties =
            start(PARTIES, &meeting, async |meeting| match meeting.barrier.wait().await {
                Err(BrokenBarrier) => meeting.log.add("inside"),
                Ok(_) if meeting.next() > 2 => meeting.barrier.abort(),
                Ok(_) if meeting.barrier.wait().await.is_err() => meeting.log.add("outside"),
                Ok(_) => meeting.log.add("through"),
            });
        all(parties).await?;
        let counted = ["inside", "outside", "through"].map(|what| meeting.times(what));
        assert_eq!(counted, [2, 2, 0]);
        assert!(meeting.barrier.is_broken());
        assert_eq!(meeting.barrier.waiting(), 0);
        Ok(())
    });
}

// upstream: test_locks.BarrierTests.test_abort_barrier_when_exception
#[test]
fn one_who_fails_may_abort_for_all() {
    // BAR-07
    simulate(async {
        let meeting = Meeting::of(PARTIES);
        let parties =
            start(PARTIES, &meeting, async |meeting| match meeting.barrier.wait().await {
                Ok(index) if index == PARTIES / 2 => meeting.barrier.abort(),
                Ok(_) if meeting.barrier.wait().await.is_ok() => meeting.log.add("through"),
                _ => meeting.log.add("broken"),
            });
        all(parties).await?;
        assert_eq!((meeting.times("broken"), meeting.times("through")), (PARTIES - 1, 0));
        assert!(meeting.barrier.is_broken());
        assert_eq!(meeting.barrier.waiting(), 0);
        Ok(())
    });
}

// upstream: test_locks.BarrierTests.test_abort_barrier_when_exception_then_resetting
#[test]
fn a_reset_repairs_what_was_aborted() {
    // BAR-07, BAR-06
    simulate(async {
        let meeting = Meeting::of(PARTIES);
        let other = Arc::new(Barrier::new(PARTIES));
        let parties = start(PARTIES, &meeting, |meeting| {
            let other = other.clone();
            async move {
                match meeting.barrier.wait().await {
                    Ok(index) if index == PARTIES / 2 => meeting.barrier.abort(),
                    Ok(_) if meeting.barrier.wait().await.is_ok() => meeting.log.add("through"),
                    _ => meeting.log.add("broken"),
                }
                // All have left when one of them resets, and nobody comes in before.
                if other.wait().await.unwrap() == PARTIES / 2 {
                    meeting.barrier.reset();
                }
                other.wait().await.unwrap();
                meeting.barrier.wait().await.unwrap();
                meeting.log.add("repaired");
            }
        });
        all(parties).await?;
        let counted = ["through", "broken", "repaired"].map(|what| meeting.times(what));
        assert_eq!(counted, [0, PARTIES - 1, PARTIES]);
        meeting.assert_is_as_new();
        Ok(())
    });
}

#[test]
fn plain_threads_meet_tasks() {
    let barrier = Arc::new(Barrier::new(3));
    let threads = [(); 2].map(|()| {
        let barrier = barrier.clone();
        std::thread::spawn(move || {
            for _ in 0..100 {
                barrier.wait_blocking().unwrap();
            }
        })
    });
    filch::run({
        let barrier = barrier.clone();
        async move {
            for _ in 0..100 {
                barrier.wait().await?;
            }
            Ok(())
        }
    })
    .unwrap();
    for thread in threads {
        thread.join().unwrap();
    }
}
