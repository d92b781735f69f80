//! Threads for closures that block.
//!
//! A thread is started when more closures wait than threads are idle, up to a limit, and ends when
//! it has been idle for a while. Nothing waits for ever for a closure that does not return: at the
//! end the threads are given some time, and what is still running is left behind.
//!
//! Idle threads are woken one after the other: while one is on its way nobody else is told, and
//! when it has taken a closure it tells the next, if more wait. Where closures are short it, or a
//! thread that has just done another, has taken them all by then.
//!
//! Invariants, under the lock: an idle thread takes a closure before it ends; so if there are at
//! least as many idle threads as closures, all closures are taken care of. While closures wait and
//! a thread is idle, one is `waking`.
//! Model: `loom-tests/blocking.rs`.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use crate::driver::allowance::Allowance;
use crate::probe;
use crate::sys::{Arc, Condvar, Mutex, thread, thread_local};
use crate::task::Job;

thread_local! {
    /// The pool, by address, whose thread this is.
    static HERE: Cell<usize> = const { Cell::new(0) };
}

/// The threads of one runtime.
pub(crate) struct Pool(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// There is work, or an end.
    work: Condvar,
    /// A thread has ended.
    ended: Condvar,
    limit: usize,
    keep: Duration,
    name: String,
}

#[derive(Default)]
struct State {
    queue: VecDeque<(Ticket, Job)>,
    last: u64,
    /// Those that are being started included.
    threads: usize,
    /// Those that have begun, and come to every closure in the queue.
    begun: usize,
    idle: usize,
    /// An idle thread has been told, or is about to be, and has not looked yet.
    waking: bool,
    closed: bool,
}

impl State {
    /// Is an idle thread to be told now?
    fn tells_next(&mut self) -> bool {
        let tells = !self.waking && self.idle > 0 && !self.queue.is_empty();
        self.waking |= tells;
        tells
    }
}

/// Names a closure that was handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

/// What a closure that was handed in needs.
enum Need {
    Nothing,
    Wake,
    Thread(usize),
}

impl Pool {
    pub(crate) fn new(limit: usize, keep: Duration, name: &str) -> Self {
        Pool(Arc::new(Shared {
            state: Mutex::new(State::default()),
            work: Condvar::new(),
            ended: Condvar::new(),
            limit,
            keep,
            name: name.to_owned(),
        }))
    }

    /// Hands a closure in. It contains its own panics.
    ///
    /// # Errors
    /// The pool is closed, or there is no thread and none can be started.
    pub(crate) fn submit(&self, job: Job) -> io::Result<Ticket> {
        let (ticket, need) = self.enqueue(job)?;
        match need {
            Need::Nothing => {}
            Need::Wake => self.0.work.notify_one(),
            Need::Thread(number) => self.start(number, ticket)?,
        }
        Ok(ticket)
    }

    fn enqueue(&self, job: Job) -> io::Result<(Ticket, Need)> {
        let mut state = self.0.state.lock();
        if state.closed {
            drop(state);
            return Err(io::Error::other("the runtime is shut down"));
        }
        state.last += 1;
        let ticket = Ticket(state.last);
        state.queue.push_back((ticket, job));
        let need = if state.idle >= state.queue.len() {
            if state.tells_next() { Need::Wake } else { Need::Nothing }
        } else if state.threads < self.0.limit {
            state.threads += 1;
            Need::Thread(state.threads)
        } else {
            Need::Nothing
        };
        Ok((ticket, need))
    }

    fn start(&self, number: usize, ticket: Ticket) -> io::Result<()> {
        let shared = self.0.clone();
        let name = format!("{}-blocking-{number}", self.0.name);
        let started = thread::Builder::new().name(name).spawn(move || shared.work());
        let Err(error) = started else { return Ok(()) };
        let mut state = self.0.state.lock();
        state.threads -= 1;
        if state.begun > 0 {
            // A thread that is busy now will come to it.
            return Ok(());
        }
        // Others are being started, perhaps, but that may fail as well.
        let Some(place) = state.queue.iter().position(|(other, _)| *other == ticket) else {
            // It has run, or was taken back, or the pool was closed.
            return Ok(());
        };
        let job = state.queue.remove(place);
        drop(state);
        drop(job);
        Err(error)
    }

    /// Takes a closure back that has not begun to run (THR-03).
    pub(crate) fn withdraw(&self, ticket: Ticket) -> Option<Job> {
        let mut state = self.0.state.lock();
        let place = state.queue.iter().position(|(other, _)| *other == ticket)?;
        state.queue.remove(place).map(|(_, job)| job)
    }

    /// Closes the pool, drops what has not begun to run, and waits a while for what has. Gives the
    /// number of threads that are left behind; to call it once more is to wait for these. A closure
    /// that calls it does not wait for itself.
    pub(crate) fn shut_down(&self, limit: Duration) -> usize {
        let mut allowance = Allowance::new(limit);
        let own = usize::from(HERE.with(Cell::get) == self.0.address());
        let mut state = self.0.state.lock();
        state.closed = true;
        let queue = std::mem::take(&mut state.queue);
        drop(state);
        for (_, job) in queue {
            probe::contain("a closure that never ran", || drop(job));
        }
        self.0.work.notify_all();
        let mut state = self.0.state.lock();
        while state.threads > own && !allowance.is_spent() {
            state = allowance.wait(&self.0.ended, state);
        }
        state.threads - own
    }
}

impl Shared {
    /// What a thread does.
    fn work(&self) {
        HERE.with(|here| here.set(self.address()));
        self.state.lock().begun += 1;
        while let Some(job) = self.next() {
            probe::contain("a closure on a blocking thread", job);
        }
        // It is not counted any more: what drops the runtime here is a thread-local's destructor.
        HERE.with(|here| here.set(0));
        self.ended.notify_all();
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// The next closure; `None`: the thread is to end, and is not counted any more.
    fn next(&self) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            if let Some((_, job)) = state.queue.pop_front() {
                if state.tells_next() {
                    drop(state);
                    self.work.notify_one();
                }
                return Some(job);
            }
            if state.closed {
                break;
            }
            state.idle += 1;
            let passed;
            (state, passed) = self.work.wait_for(state, self.keep);
            state.idle -= 1;
            state.waking = false;
            if passed && state.queue.is_empty() {
                break;
            }
        }
        state.threads -= 1;
        state.begun -= 1;
        None
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shut_down(Duration::ZERO);
    }
}
