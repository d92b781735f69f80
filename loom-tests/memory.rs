//! Cells come home, whoever frees them, and a closed home goes with its last cell.
//!
//! In loom's threads the owner is a thread that entered the home; homes begin with chunks of two
//! cells, so that a model sees lists run dry.

use std::alloc::Layout;
use std::ptr::NonNull;

use loom::thread;

use super::common::{all_gone, explore_all};
use crate::sys::{Arc, AtomicUsize, Ordering, UnsafeCell};
use crate::task::memory::{Home, HomeHandle, Kind, Shape};
use crate::task::{Job, Runnable, Schedule, Why};

/// Says when its home is gone, and reads then what each of three threads wrote before its part.
struct Tell {
    gone: Arc<AtomicUsize>,
    marks: [Arc<Mark>; 3],
}

struct Mark(UnsafeCell<bool>);

// SAFETY: one thread writes, and whoever ends the home reads; that they do not meet is the model.
unsafe impl Send for Mark {}
// SAFETY: as above.
unsafe impl Sync for Mark {}

impl Mark {
    fn set(&self) {
        // SAFETY: loom checks that nobody else is here.
        self.0.with_mut(|mark| unsafe { *mark = true });
    }
}

impl Schedule for Tell {
    fn schedule(&self, _task: Runnable, _why: Why) {}
    fn job(&self, _job: Job) {}
}

impl Drop for Tell {
    fn drop(&mut self) {
        self.gone.fetch_add(1, Ordering::Relaxed);
        for mark in &self.marks {
            // SAFETY: as in `set`.
            mark.0.with(|mark| unsafe { *mark });
        }
    }
}

const SMALL: Layout = Layout::new::<[u64; 8]>();
const BIG: Layout = Layout::new::<[u64; 1024]>();

fn home() -> (HomeHandle, Arc<AtomicUsize>, [Arc<Mark>; 3]) {
    let gone = Arc::new(AtomicUsize::new(0));
    let marks = [(); 3].map(|()| Arc::new(Mark(UnsafeCell::new(false))));
    let tell = Tell { gone: gone.clone(), marks: marks.clone() };
    (Home::new_small(Box::new(tell), Kind::Worker, 128), gone, marks)
}

/// A cell in any thread's hands.
struct Out(NonNull<Home>, NonNull<u8>, Layout);

// SAFETY: any thread may free a cell.
unsafe impl Send for Out {}

impl Out {
    fn new(home: &Home, layout: Layout) -> Self {
        Out(home.pointer(), home.allocate(layout), layout)
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        // SAFETY: allocated by `new`, freed once.
        unsafe { Home::free(self.0, self.1, Shape::of(self.2)) };
    }
}

/// Two threads free while the owner takes in and allocates. Breaks if `push` stores instead of
/// its CAS (a chain is lost), or if that CAS or the swap in `take` is relaxed (links race).
#[test]
fn chains_come_home_while_the_owner_takes_them_in() {
    explore_all(|| {
        let home = Arc::new(home().0);
        let entered = Home::enter(&home);
        let [first, second] = [Out::new(&home, SMALL), Out::new(&home, SMALL)];
        drop(entered);
        // The owner comes last: loom forgets a look at `returned` once a pusher has looked, too,
        // and would not try to let that pusher go first.
        let pusher = thread::spawn(move || drop(first));
        let owner = thread::spawn({
            let home = home.clone();
            move || {
                let _entered = Home::enter(&home);
                drop(Out::new(&home, SMALL));
            }
        });
        drop(second);
        pusher.join().unwrap();
        owner.join().unwrap();
        let _entered = Home::enter(&home);
        all_gone(&home);
    });
}

/// Cells end while their home is closed. Breaks if `close` swaps in null instead of `closed()`, or
/// relaxed, or if the `fetch_sub` in `leave` or the `fetch_add` in the close are less than AcqRel
/// (freed while another is not through).
#[test]
fn the_last_cell_of_a_closed_home_frees_it_once() {
    explore_all(|| {
        let (home, gone, marks) = home();
        let entered = Home::enter(&home);
        let [mine, first, second] = marks;
        let outs = [(Out::new(&home, SMALL), first), (Out::new(&home, SMALL), second)];
        let threads = outs.map(|(out, mark)| {
            thread::spawn(move || {
                mark.set();
                drop(out);
            })
        });
        mine.set();
        drop(entered);
        drop(home);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(gone.load(Ordering::Relaxed), 1);
    });
}

/// As above with a cell that has no chunk. Breaks if `left` starts at 0 instead of OPEN (freed
/// while it is open). (If `allocate_big` did not count there, freed memory would be touched, and
/// what the model does then nobody can say.)
#[test]
fn a_big_cell_keeps_its_closed_home() {
    explore_all(|| {
        let (home, gone, marks) = home();
        let entered = Home::enter(&home);
        let [mine, first, second] = marks;
        let outs = [(Out::new(&home, SMALL), first), (Out::new(&home, BIG), second)];
        let threads = outs.map(|(out, mark)| {
            thread::spawn(move || {
                mark.set();
                drop(out);
            })
        });
        mine.set();
        drop(entered);
        drop(home);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(gone.load(Ordering::Relaxed), 1);
    });
}

/// A worker gathers another's cells and leaves, while that home is closed. Breaks if leaving does
/// not flush: the home stays for ever.
#[test]
fn a_worker_that_leaves_sends_home_what_it_gathered() {
    explore_all(|| {
        let (home, gone, _) = home();
        let entered = Home::enter(&home);
        let outs = [Out::new(&home, SMALL), Out::new(&home, SMALL)];
        let worker = thread::spawn(move || {
            let other = self::home().0;
            let _entered = Home::enter(&other);
            drop(outs);
        });
        drop(entered);
        drop(home);
        worker.join().unwrap();
        assert_eq!(gone.load(Ordering::Relaxed), 1);
    });
}

/// A walk takes a reference while the task ends and its cell is used again. Breaks if the fresh
/// state word is stored relaxed (the walker reads what is not written yet).
#[test]
fn a_walk_sees_only_what_is_filled_in() {
    use crate::task::live::{StateWord, snapshot};

    const ONE: u64 = 1 << 32;
    #[repr(C)]
    struct Task {
        state: StateWord,
        value: UnsafeCell<u64>,
    }
    fn task(cell: NonNull<u8>) -> &'static Task {
        // SAFETY: filled below before anybody looks; lives as long as the model's home.
        unsafe { cell.cast().as_ref() }
    }
    fn fill(cell: NonNull<u8>, value: u64) {
        let task = cell.cast::<Task>().as_ptr();
        // SAFETY: the cell is ours; its state word is left alone.
        unsafe { (&raw mut (*task).value).write(UnsafeCell::new(value)) };
        // SAFETY: the state word is alive since the cell first came to be.
        unsafe { (*task).state.store(ONE | value, Ordering::Release) };
    }
    fn try_ref(cell: NonNull<u8>) -> Option<NonNull<u8>> {
        let state = &task(cell).state;
        let now = state.load(Ordering::Relaxed);
        let (more, less) = (Ordering::Acquire, Ordering::Relaxed);
        let taken = now >= ONE && state.compare_exchange(now, now + ONE, more, less).is_ok();
        taken.then_some(cell)
    }
    fn drop_ref(home: NonNull<Home>, cell: NonNull<u8>) {
        if task(cell).state.fetch_sub(ONE, Ordering::AcqRel) >> 32 == 1 {
            // SAFETY: that was the last reference.
            unsafe { Home::free(home, cell, Shape::of(SMALL)) };
        }
    }
    explore_all(|| {
        let home = home().0;
        let home = Arc::new(home);
        let entered = Home::enter(&home);
        let walker = thread::spawn({
            let home = home.clone();
            move || {
                for cell in snapshot([&**home], try_ref) {
                    // SAFETY: the reference keeps what `fill` wrote.
                    let value = task(cell).value.with(|value| unsafe { *value });
                    assert_eq!(task(cell).state.load(Ordering::Relaxed) as u32, value as u32);
                    drop_ref(home.pointer(), cell);
                }
            }
        });
        for value in 1..=2 {
            let cell = home.allocate(SMALL);
            fill(cell, value);
            drop_ref(home.pointer(), cell);
        }
        walker.join().unwrap();
        all_gone(&home);
        drop(entered);
    });
}

/// The same with real tasks: one is spawned while somebody looks at all of them. Breaks if
/// `State::publish` is relaxed.
#[test]
fn a_walk_meets_a_spawn() {
    use super::common::{explore, home, spawn};
    use crate::task::live;

    explore(|| {
        let (home, queue) = home();
        let home = Arc::new(home);
        let walker = thread::spawn({
            let home = home.clone();
            move || live::tasks([&**home]).into_iter().for_each(|task| drop(task.name()))
        });
        drop(spawn(&home, async { Ok(1) }));
        queue.run();
        walker.join().unwrap();
        drop(spawn(&home, async { Ok(2) }));
        queue.run();
        all_gone(&home);
    });
}
