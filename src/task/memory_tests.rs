//! Promises of the task memory: cells are what was asked for, come home from anywhere, can be
//! walked over at any time, and go back to the system when the last one is home.

use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use super::super::live::{StateWord, snapshot};
use super::super::{Job, Runnable, Schedule, Why};
use super::{Home, HomeHandle, Kind, Shape};

/// Says when its home is gone.
struct Tell(Arc<AtomicUsize>);

impl Schedule for Tell {
    fn schedule(&self, _task: Runnable, _why: Why) {}
    fn job(&self, _job: Job) {}
}

impl Drop for Tell {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn home(kind: Kind) -> (HomeHandle, Arc<AtomicUsize>) {
    let gone = Arc::new(AtomicUsize::new(0));
    (Home::new(Box::new(Tell(gone.clone())), kind), gone)
}

/// A cell that any thread may own.
struct Out {
    home: NonNull<Home>,
    cell: NonNull<u8>,
    layout: Layout,
}

// SAFETY: a cell may be freed by any thread.
unsafe impl Send for Out {}

impl Out {
    /// Allocates a cell, fills it behind its state word, and stores one reference and `tag`.
    fn new(home: &Home, layout: Layout, tag: u8) -> Self {
        let cell = home.allocate(layout);
        let out = Out { home: home.pointer(), cell, layout };
        assert_eq!(out.state().load(Ordering::Relaxed), 0);
        // SAFETY: the cell is ours and so large.
        unsafe { cell.add(8).write_bytes(tag, layout.size() - 8) };
        out.state().store(1 << 32 | u64::from(tag), Ordering::Release);
        out
    }

    fn state(&self) -> &StateWord {
        // SAFETY: every cell begins with its state word.
        unsafe { self.cell.cast().as_ref() }
    }

    fn bytes(&self) -> &[u8] {
        let length = self.layout.size() - 8;
        // SAFETY: `new` filled these.
        unsafe { std::slice::from_raw_parts(self.cell.add(8).as_ptr(), length) }
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        // SAFETY: allocated by `home` with this layout.
        unsafe { Home::free(self.home, self.cell, Shape::of(self.layout)) };
    }
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).unwrap()
}

fn scaled(count: usize) -> usize {
    if cfg!(miri) { count / 100 } else { count }
}

#[test]
fn cells_have_the_size_and_alignment_asked_for() {
    let (home, gone) = home(Kind::Worker);
    let entered = Home::enter(&home);
    let mut outs = Vec::new();
    for size in (8..5000).step_by(if cfg!(miri) { 487 } else { 1 }) {
        for align in [8, 64, 128, 4096] {
            let layout = Layout::from_size_align(size, align).unwrap();
            let out = Out::new(&home, layout, size as u8);
            let line = if size > 128 && size <= 4096 { 64 } else { 8 };
            assert_eq!(out.cell.addr().get() % align.max(line), 0);
            outs.push(out);
        }
    }
    for out in &outs {
        assert!(out.bytes() == vec![out.layout.size() as u8; out.layout.size() - 8]);
    }
    assert_eq!(home.outstanding(), outs.len());
    drop(outs);
    assert_eq!(home.outstanding(), 0);
    drop(entered);
    drop(home);
    assert_eq!(gone.load(Ordering::Relaxed), 1);
}

#[test]
fn a_freed_cell_is_the_next_one_handed_out() {
    let (home, _) = home(Kind::Worker);
    let _entered = Home::enter(&home);
    let first = Out::new(&home, layout(200), 1);
    let address = first.cell;
    drop(first);
    assert_eq!(Out::new(&home, layout(250), 2).cell, address);
    assert_ne!(Out::new(&home, layout(300), 3).cell, address);
}

#[test]
fn tiny_cells_lie_side_by_side() {
    let (home, _) = home(Kind::Worker);
    let _entered = Home::enter(&home);
    for size in (32..=128).step_by(8) {
        let outs = [1, 2].map(|tag| Out::new(&home, layout(size - 3), tag));
        assert_eq!(outs[1].cell.addr().get() - outs[0].cell.addr().get(), size);
    }
}

#[test]
fn cells_freed_on_other_workers_come_home() {
    let (home, _) = home(Kind::Worker);
    let (other, _) = self::home(Kind::Worker);
    let _entered = Home::enter(&home);
    for round in 0..3 {
        let outs: Vec<Out> = (0..300).map(|i| Out::new(&home, layout(100 + i % 200), 7)).collect();
        let chunks = home.cells.chunks();
        thread::scope(|scope| {
            scope.spawn(|| {
                let _entered = Home::enter(&other);
                drop(outs);
            });
        });
        assert_eq!(home.outstanding(), 300);
        home.collect();
        assert_eq!(home.outstanding(), 0);
        assert!(round == 0 || chunks == home.cells.chunks());
    }
}

#[test]
fn flush_sends_home_what_was_gathered() {
    let (home, _) = home(Kind::Worker);
    let (other, _) = self::home(Kind::Worker);
    let _entered = Home::enter(&home);
    let out = Out::new(&home, layout(100), 7);
    thread::scope(|scope| {
        scope.spawn(|| {
            let _entered = Home::enter(&other);
            drop(out);
            Home::flush();
        });
    });
    Home::flush();
    assert_eq!(home.outstanding(), 0);
}

#[test]
fn cells_freed_on_plain_threads_come_home() {
    let (home, _) = home(Kind::Worker);
    let _entered = Home::enter(&home);
    let (send, receive) = mpsc::sync_channel::<Out>(100);
    let plain = thread::spawn(move || receive.into_iter().for_each(drop));
    for i in 0..scaled(10_000) {
        send.send(Out::new(&home, layout(64 + i % 512), 1)).unwrap();
    }
    drop(send);
    plain.join().unwrap();
    home.collect();
    assert_eq!(home.outstanding(), 0);
    assert!(home.cells.chunks() < 32);
}

#[test]
fn any_thread_allocates_from_a_shared_home() {
    let (home, gone) = home(Kind::Shared);
    thread::scope(|scope| {
        for tag in 0..3 {
            let home = &home;
            scope.spawn(move || {
                for i in 0..scaled(10_000) {
                    let out = Out::new(home, layout(64 + i % 100), tag);
                    assert!(out.bytes() == vec![tag; out.layout.size() - 8]);
                }
            });
        }
    });
    home.collect();
    assert_eq!(home.outstanding(), 0);
    drop(home);
    assert_eq!(gone.load(Ordering::Relaxed), 1);
}

#[test]
#[should_panic = "a worker's home is used by its own thread"]
fn a_stranger_does_not_allocate_from_a_workers_home() {
    let (home, _) = home(Kind::Worker);
    home.allocate(layout(64));
}

#[test]
#[should_panic = "a home has one owner"]
fn a_home_has_one_owner() {
    let (home, _) = home(Kind::Worker);
    let _entered = Home::enter(&home);
    let _again = Home::enter(&home);
}

#[test]
fn leaving_a_home_brings_back_the_one_before() {
    let (outer, _) = home(Kind::Worker);
    let (inner, _) = home(Kind::Worker);
    assert_eq!(Home::current(), None);
    let entered = Home::enter(&outer);
    let held = Out::new(&outer, layout(64), 0);
    {
        let _entered = Home::enter(&inner);
        assert_eq!(Home::current(), Some(inner.pointer()));
        drop(held);
    }
    assert_eq!(Home::current(), Some(outer.pointer()));
    outer.collect();
    assert_eq!(outer.outstanding(), 0);
    drop(entered);
    assert_eq!(Home::current(), None);
}

#[test]
fn numbers_differ_between_homes_unless_they_are_its_own() {
    let (one, two) = (home(Kind::Shared).0, home(Kind::Shared).0);
    let mut numbers: Vec<u64> = (0..1000).flat_map(|_| [one.next_id(), two.next_id()]).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 2000);
    let gone = Arc::new(AtomicUsize::new(0));
    let own = Home::new_with_own_numbers(Box::new(Tell(gone)), Kind::Shared);
    assert_eq!([own.next_id(), own.next_id()], [1, 2]);
}

#[test]
fn a_snapshot_finds_exactly_what_lives() {
    let (worker, _) = home(Kind::Worker);
    let (shared, _) = home(Kind::Shared);
    let _entered = Home::enter(&worker);
    let mut outs = Vec::new();
    for i in 0..200 {
        let home: &Home = if i % 3 == 0 { &shared } else { &worker };
        outs.push(Out::new(home, layout(64 + 40 * i), 1));
    }
    let mut expected: Vec<_> = outs.iter().map(|out| out.cell).collect();
    // One ends, one is done and only waits for its memory to be given back, one is not filled yet.
    expected.remove(20);
    drop(outs.remove(20));
    outs[30].state().store(4, Ordering::Relaxed);
    expected.remove(30);
    let raw = worker.allocate(layout(64));
    let mut found = snapshot([&*worker, &*shared], Some);
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    // SAFETY: allocated above.
    unsafe { Home::free(worker.pointer(), raw, Shape::of(layout(64))) };
}

#[test]
fn trim_gives_back_what_is_entirely_free() {
    let (home, _) = home(Kind::Worker);
    let _entered = Home::enter(&home);
    let make = |i| Out::new(&home, layout(if i % 2 == 0 { 100 } else { 1000 }), i as u8);
    let mut outs: Vec<Out> = (0..600).map(make).collect();
    let before = home.cells.chunks();
    let kept = outs.split_off(590);
    thread::scope(|scope| {
        let half = outs.split_off(300);
        scope.spawn(|| drop(half));
    });
    drop(outs);
    home.trim();
    assert!(before >= 8 && (2..=4).contains(&home.cells.chunks()));
    assert!(kept.iter().zip(590_usize..).all(|(out, i)| out.bytes()[0] == i as u8));
    let more: Vec<Out> = (0..600).map(make).collect();
    assert_eq!(snapshot([&*home], Some).len(), 610);
    drop((kept, more));
    home.trim();
    assert_eq!(home.cells.chunks(), 2);
}

/// Takes a reference as a task's handle would, reads what it then may read, and drops it.
fn look(cell: NonNull<u8>) -> Option<NonNull<u8>> {
    // SAFETY: every cell begins with its state word.
    let state: &StateWord = unsafe { cell.cast().as_ref() };
    let mut now = state.load(Ordering::Relaxed);
    while now >> 32 != 0 {
        let (more, less) = (Ordering::Acquire, Ordering::Relaxed);
        match state.compare_exchange_weak(now, now + (1 << 32), more, less) {
            Ok(_) => return Some(cell),
            Err(other) => now = other,
        }
    }
    None
}

/// Drops the reference that came first, and the cell once nobody has another.
fn end(out: Out) {
    while out.state().fetch_sub(1 << 32, Ordering::AcqRel) >> 32 != 1 {
        thread::yield_now();
        out.state().fetch_add(1 << 32, Ordering::Relaxed);
    }
}

#[test]
fn walks_and_churn_go_together() {
    let (home, _) = home(Kind::Worker);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let _entered = Home::enter(&home);
            let mut outs: Vec<Out> = Vec::new();
            for i in 0..scaled(100_000) {
                outs.push(Out::new(&home, layout(128), i as u8));
                if i % 3 != 0 {
                    end(outs.swap_remove(i % outs.len()));
                }
            }
            outs.into_iter().for_each(end);
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) {
            for cell in snapshot([&*home], look) {
                // SAFETY: `look` took a reference, so what was written before is ours to read.
                let byte = unsafe { cell.add(8).read() };
                // SAFETY: as above.
                let state: &StateWord = unsafe { cell.cast().as_ref() };
                assert_eq!(state.load(Ordering::Relaxed) as u8, byte);
                state.fetch_sub(1 << 32, Ordering::Release);
            }
        }
    });
}

#[test]
fn the_last_cell_to_come_home_ends_a_closed_home() {
    let (home, gone) = home(Kind::Worker);
    let (other, _) = self::home(Kind::Worker);
    let entered = Home::enter(&home);
    let mut outs: Vec<Out> = (0..50).map(|i| Out::new(&home, layout(64 + 200 * i), 5)).collect();
    drop(outs.pop());
    let elsewhere = outs.pop();
    thread::scope(|scope| {
        scope.spawn(|| drop(elsewhere));
    });
    drop(entered);
    drop(home);
    let last = outs.pop();
    let _entered = Home::enter(&other);
    drop(outs);
    Home::flush();
    assert_eq!(gone.load(Ordering::Relaxed), 0);
    drop(last);
    assert_eq!(gone.load(Ordering::Relaxed), 1);
}

#[test]
fn a_home_closes_while_its_cells_end() {
    for _ in 0..scaled(1000).max(10) {
        let (home, gone) = home(Kind::Worker);
        let entered = Home::enter(&home);
        let mut threads = Vec::new();
        for size in [64, 5000] {
            let outs: Vec<Out> = (0..3).map(|_| Out::new(&home, layout(size), 5)).collect();
            threads.push(thread::spawn(move || drop(outs)));
        }
        drop(entered);
        drop(home);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(gone.load(Ordering::Relaxed), 1);
    }
}
