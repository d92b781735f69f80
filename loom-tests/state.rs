//! The state word alone: every pair, and some threes, of what can happen to a task at once.

use loom::sync::Arc;
use loom::thread;

use super::common::explore;
use crate::task::answers::{End, Ending, Request, Start, Wake};
use crate::task::state::State;

fn idle() -> State {
    let state = State::running();
    let _ = state.start_poll();
    assert_eq!(state.end_poll(false), End::Idle);
    state
}

fn running() -> State {
    State::running()
}

/// Runs `theirs` beside `ours` on one state.
fn both<A, B>(
    state: State,
    ours: impl FnOnce(&State) -> A,
    theirs: impl FnOnce(&State) -> B + 'static,
) -> (State, A, B)
where
    B: 'static,
{
    let state = Arc::new(state);
    let other = state.clone();
    let theirs = thread::spawn(move || theirs(&other));
    let ours = ours(&state);
    let theirs = theirs.join().unwrap();
    let state = Arc::try_unwrap(state).unwrap_or_else(|_| panic!("both are done with it"));
    (state, ours, theirs)
}

/// Asks once, as `cancel::request` does; true: whoever asked owes a queueing.
fn ask(state: &State) -> Option<bool> {
    loop {
        match state.request(false) {
            Request::Refused => return None,
            Request::Busy => thread::yield_now(),
            Request::Counted => unreachable!("only members of a group are counted"),
            Request::Accepted(recorded) => return Some(recorded.queue),
        }
    }
}

/// Two wakers race for one idle task. Breaks if `wake` becomes a load and a store.
#[test]
fn racing_wakes_queue_the_task_once() {
    explore(|| {
        let (_, ours, theirs) = both(idle(), State::wake, State::wake);
        let queued = [ours, theirs].into_iter().filter(|wake| *wake == Wake::Queue).count();
        assert_eq!(queued, 1);
    });
}

/// A wake meets the end of a poll. Breaks if a transition is a load and a store.
#[test]
fn a_wake_during_the_end_of_a_poll_is_not_lost() {
    explore(|| {
        let (_, end, wake) = both(running(), |state| state.end_poll(false), State::wake);
        assert_ne!(end == End::Requeue, wake == Wake::Queue, "queued exactly once");
    });
}

/// Who is polled for a wake sees what was done before it. Breaks if `wake` does not release.
#[test]
fn what_was_done_before_a_wake_is_seen() {
    explore(|| {
        let done = Arc::new(loom::cell::UnsafeCell::new(0));
        let theirs = done.clone();
        let wake = move |state: &State| {
            // SAFETY: the other thread looks only if it was woken, which is what is checked.
            theirs.with_mut(|done| unsafe { *done = 1 });
            state.wake()
        };
        let poll = move |state: &State| {
            if state.end_poll(false) == End::Requeue {
                // SAFETY: as above.
                assert_eq!(done.with(|done| unsafe { *done }), 1);
            }
        };
        let _ = both(running(), poll, wake);
    });
}

/// A request meets the end of a poll: it is delivered by the next one. Breaks if `end_poll` does
/// not look at CANCEL.
#[test]
fn a_request_during_the_end_of_a_poll_is_delivered_next() {
    explore(|| {
        let (state, end, queue) = both(running(), |state| state.end_poll(false), ask);
        assert_ne!(end == End::Requeue, queue == Some(true), "queued exactly once");
        assert!(state.start_poll().armed);
        assert_eq!(state.requests(), 1);
    });
}

/// A request and a wake meet the end of a poll: one queueing, and the request is delivered.
/// Breaks if `request` marks an idle task without SCHEDULED.
#[test]
fn a_request_and_a_wake_queue_the_task_once() {
    explore(|| {
        let state = Arc::new(idle());
        let (one, two) = (state.clone(), state.clone());
        let wake = thread::spawn(move || one.wake() == Wake::Queue);
        let asked = thread::spawn(move || ask(&two) == Some(true));
        let queued = [wake.join().unwrap(), asked.join().unwrap()];
        assert_eq!(queued.iter().filter(|queued| **queued).count(), 1);
        assert!(state.start_poll().armed);
    });
}

/// A request meets the end of the task: who says "accepted" is right (CAN-29). Breaks if
/// `complete` does not look at CANCEL for a value.
#[test]
fn an_accepted_request_ends_a_task_that_returns_as_cancelled() {
    explore(|| {
        let finish = |state: &State| loop {
            let ending = match state.may_return() {
                true => Ending::Value,
                false => Ending::Cancelled,
            };
            if state.complete(ending, false).is_some() {
                return ending;
            }
        };
        let (state, ending, asked) = both(running(), finish, ask);
        assert_eq!(ending == Ending::Cancelled, asked.is_some());
        assert_eq!(state.requests(), u32::from(asked.is_some()));
    });
}

/// `uncancel` meets delivery: the request is taken back or delivered, and the count is zero
/// (CAN-13, CAN-14). Breaks if `uncancel` clears CANCEL although COMMITTED is set.
#[test]
fn a_request_on_its_way_cannot_be_taken_back() {
    explore(|| {
        let state = idle();
        assert_eq!(ask(&state), Some(true));
        let (state, start, left) = both(state, State::start_poll, State::uncancel);
        assert!(start.armed);
        assert_eq!((left, state.requests()), (0, 0));
    });
}

/// `uncancel` meets the end of a poll that finds a request: from there on it is on its way, as it
/// is in asyncio once the awaited future was cancelled. Breaks if `end_poll` leaves out COMMITTED.
#[test]
fn a_request_that_a_poll_has_found_cannot_be_taken_back() {
    explore(|| {
        let state = running();
        assert_eq!(ask(&state), Some(false));
        let (state, end, left) = both(state, |state| state.end_poll(false), State::uncancel);
        assert_eq!((left, state.requests()), (0, 0));
        assert_eq!(end == End::Requeue, state.wake() == Wake::Nothing);
        assert_eq!(end == End::Requeue, state.start_poll().armed);
    });
}

/// `uncancel` meets the start of the poll of a task that was only marked: both happen. Breaks if a
/// transition is a load and a store.
#[test]
fn a_mark_is_taken_back_or_delivered() {
    explore(|| {
        let state = State::running();
        assert_eq!(ask(&state), Some(false));
        let (state, start, left) = both(state, State::start_poll, State::uncancel);
        assert_eq!((left, state.requests()), (0, 0));
        let _ = start.armed;
        assert_eq!(state.end_poll(false), End::Idle, "nothing of it is left");
    });
}

/// A request meets the start of the poll of a task that was RUNNING in the queue: this poll
/// delivers it, or the next one does. Breaks if a transition is a load and a store.
#[test]
fn a_request_meets_the_first_poll() {
    explore(|| {
        let poll = |state: &State| (state.start_poll().armed, state.end_poll(false));
        let (state, (armed, end), queue) = both(running(), poll, ask);
        let queued = [end == End::Requeue, queue == Some(true)];
        let queued = queued.into_iter().filter(|queued| *queued).count();
        assert_eq!(queued, usize::from(!armed), "delivered, or queued for that exactly once");
        assert!(armed || state.start_poll().armed);
    });
}

/// Who is asked before its first poll hears of it there, whatever else happens (CAN-08). Breaks if
/// `start_poll` overlooks CANCEL where the task was RUNNING in the queue.
#[test]
fn who_was_asked_hears_of_it_in_the_first_poll() {
    explore(|| {
        let poll = |state: &State| {
            assert_eq!(ask(state), Some(false));
            state.start_poll().armed
        };
        let (state, armed, wake) = both(running(), poll, State::wake);
        assert!(armed && wake == Wake::Nothing);
        assert_eq!(state.requests(), 1);
    });
}

/// Two requests and one taken back: one is left, and delivered. Breaks if a transition is a load
/// and a store.
#[test]
fn requests_are_counted() {
    explore(|| {
        let state = Arc::new(running());
        let (one, two) = (state.clone(), state.clone());
        let threads = [thread::spawn(move || ask(&one)), thread::spawn(move || ask(&two))];
        for thread in threads {
            assert_eq!(thread.join().unwrap(), Some(false));
        }
        assert_eq!(state.uncancel(), 1);
        assert_eq!(state.end_poll(false), End::Requeue);
        assert!(state.start_poll().armed);
    });
}

/// The handle, a waker and the runtime let go at once: the cell is freed once. Breaks if a
/// transition is a load and a store.
#[test]
fn the_last_of_three_holders_frees_the_cell() {
    explore(|| {
        let state = running();
        state.add_ref();
        let state = Arc::new(state);
        let (one, two) = (state.clone(), state.clone());
        let handle = thread::spawn(move || match one.drop_handle() {
            Some(free) => free,
            None => one.release(),
        });
        let waker = thread::spawn(move || two.release());
        let completed = state.complete(Ending::Value, true).unwrap();
        let mut frees = u32::from(completed.free);
        if completed.release {
            frees += u32::from(state.release());
        }
        frees += u32::from(handle.join().unwrap()) + u32::from(waker.join().unwrap());
        assert_eq!(frees, 1);
    });
}

/// A value belongs to the handle, or to the completer if there is none any more: to one of them.
/// Breaks if `drop_handle` looks at DONE apart from releasing, or if `complete` releases the
/// runtime's reference although a value without a handle is kept.
#[test]
fn a_value_has_one_owner() {
    explore(|| {
        let finish = |state: &State| {
            let completed = state.complete(Ending::Value, true).unwrap();
            completed.release && !state.has_handle()
        };
        let (_, completer, handle) = both(running(), finish, |state| state.drop_handle().is_none());
        assert_ne!(completer, handle, "exactly one of them drops the value");
    });
}

/// The short lock over an idle task keeps its next poll from beginning. Breaks if `start_poll` does
/// not wait for LOCKED.
#[test]
fn no_poll_begins_under_the_lock() {
    explore(|| {
        let inside = Arc::new(loom::cell::UnsafeCell::new(0));
        let theirs = inside.clone();
        let look = move |state: &State| {
            if state.lock_idle() {
                // SAFETY: the lock excludes polls, which is what is checked.
                theirs.with_mut(|cell| unsafe { *cell += 1 });
                state.unlock();
            }
        };
        let poll = move |state: &State| {
            assert_eq!(state.wake(), Wake::Queue);
            let start: Start = state.start_poll();
            // SAFETY: as above.
            inside.with_mut(|cell| unsafe { *cell += 1 });
            start.armed
        };
        let (_, armed, ()) = both(idle(), poll, look);
        assert!(!armed);
    });
}
