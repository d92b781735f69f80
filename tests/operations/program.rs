//! A sequence of operations as data, and how one is read from bytes: any bytes are a sequence.
//!
//! There is the driver, which does one [`Deed`] after the other and lets everything run that can
//! run after each; and there are tasks, each with a program of its own. Whatever names a task, a
//! promise or a queue by a number that is too big means it modulo how many there are.

use std::rc::Rc;
use std::sync::Arc;

/// What one task does, in turn.
pub(crate) type Block = Arc<[Op]>;

pub(crate) const PROMISES: usize = 4;
/// The room of each queue; zero: unbounded.
pub(crate) const ROOM: [usize; 2] = [1, 0];
/// The permits of each semaphore. Of the first, tasks take one at a time, as in asyncio; of the
/// second as many as they say, in one.
pub(crate) const PERMITS: [usize; 2] = [2, 3];
/// The driver acts at whole ticks. Each timer of a task has a moment of its own between two, so
/// that no two things happen at one instant unless one causes the other.
pub(crate) const TICK: u64 = 1 << 20;
/// So many steps no sequence takes until its last task has ended.
pub(crate) const MOST: usize = 500;

/// What the driver does.
#[derive(Debug, Clone)]
pub(crate) enum Deed {
    Spawn(Block),
    Cancel(usize),
    Uncancel(usize),
    /// Time passes.
    Pass(u64),
    Set(usize),
    Fail(usize),
    /// Cancels a promise.
    Revoke(usize),
    TryPut(usize),
    TryGet(usize),
    Done(usize),
    Shutdown(usize, bool),
}

/// One operation of a task.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Yield,
    Sleep(u64),
    Await(usize),
    Join(usize),
    Put(usize),
    Get(usize),
    /// Holds so many permits of a semaphore.
    Permit(usize, usize, Block),
    Spawn(Block),
    Cancel(usize),
    CancelSelf,
    Uncancel,
    Set(usize),
    Fail,
    Timeout(u64, Block),
    /// Moves the innermost deadline.
    Move(Option<u64>),
    Catch(Block, After),
    Try(Block),
    Group(Block),
    /// Spawns into the innermost group around, or around whoever spawned this task: so children and
    /// others come to a group whose body has ended, that shuts down, or that is finished.
    Child(Block),
}

/// What becomes of a cancellation that was caught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    Raise,
    Swallow,
    Uncancel,
}

/// What a sequence is about: the operations without and with a block that its tasks consist of, by
/// their numbers in [`Bytes::op`]. Without such a preference few tasks would ever meet.
type Theme = (&'static [u8], &'static [u8]);

const THEMES: [Theme; 5] = [
    // Everything.
    (&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13], &[14, 15, 16, 17, 18, 19, 20, 21, 22, 23]),
    // Permits.
    (&[0, 1, 1, 1, 7, 11], &[14, 17, 19, 22, 22, 22, 22, 23]),
    // Groups.
    (&[0, 1, 1, 4, 7, 8, 9, 11], &[14, 17, 18, 19, 20, 20, 21, 21, 21, 23]),
    // Queues.
    (&[1, 5, 5, 6, 6, 7], &[14, 16, 19, 20, 21]),
    // Tasks and promises that await each other.
    (&[1, 3, 3, 4, 4, 7, 8, 9, 10], &[14, 16, 17, 18, 19, 23]),
];

/// Reads a sequence.
pub(crate) fn sequence(bytes: &[u8]) -> Vec<Deed> {
    let mut bytes = Bytes(bytes, THEMES[0]);
    bytes.1 = THEMES[bytes.below(THEMES.len())];
    let mut deeds = Vec::new();
    while !bytes.0.is_empty() && deeds.len() < 40 {
        deeds.push(bytes.deed());
    }
    deeds
}

struct Bytes<'a>(&'a [u8], Theme);

impl Bytes<'_> {
    /// The next number below `bound`; zero when there are no more bytes.
    fn below(&mut self, bound: usize) -> usize {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(*first) % bound
    }

    fn time(&mut self) -> u64 {
        1 + self.below(31) as u64
    }

    fn deed(&mut self) -> Deed {
        match self.below(20) {
            0..8 => Deed::Spawn(self.block(3)),
            8 | 9 => Deed::Cancel(self.below(64)),
            10 => Deed::Uncancel(self.below(64)),
            11 | 12 => Deed::Pass(self.time()),
            13 => Deed::Set(self.below(PROMISES)),
            14 => Deed::Fail(self.below(PROMISES)),
            15 => Deed::Revoke(self.below(PROMISES)),
            16 => Deed::TryPut(self.below(ROOM.len())),
            17 => Deed::TryGet(self.below(ROOM.len())),
            18 => Deed::Done(self.below(ROOM.len())),
            _ => match self.below(6) {
                0 => Deed::Shutdown(self.below(ROOM.len()), false),
                1 => Deed::Shutdown(self.below(ROOM.len()), true),
                _ => Deed::Pass(self.time()),
            },
        }
    }

    fn block(&mut self, depth: usize) -> Block {
        let ops = 1 + self.below(4);
        (0..ops).map(|_| self.op(depth)).collect()
    }

    fn op(&mut self, depth: usize) -> Op {
        let (plain, with_block) = self.1;
        let with_block = if depth == 0 { &[] } else { with_block };
        let kind = self.below(plain.len() + with_block.len());
        let inner = depth.saturating_sub(1);
        match *plain.iter().chain(with_block).nth(kind).expect("it is one of them") {
            0 => Op::Yield,
            1 | 2 => Op::Sleep(self.time()),
            3 => Op::Await(self.below(PROMISES)),
            4 => Op::Join(self.below(64)),
            5 => Op::Put(self.below(ROOM.len())),
            6 => Op::Get(self.below(ROOM.len())),
            7 => Op::Cancel(self.below(64)),
            8 => Op::CancelSelf,
            9 => Op::Uncancel,
            10 => Op::Set(self.below(PROMISES)),
            11 => Op::Fail,
            12 => Op::Move(Some(self.time())),
            13 => Op::Move(None),
            14 | 15 => Op::Timeout(self.time(), self.block(inner)),
            16 => Op::Catch(self.block(inner), After::Raise),
            17 => Op::Catch(self.block(inner), After::Swallow),
            18 => Op::Catch(self.block(inner), After::Uncancel),
            19 => Op::Try(self.block(inner)),
            20 => Op::Group(self.block(inner)),
            21 => Op::Child(self.block(inner)),
            22 => match self.below(6) {
                0..3 => Op::Permit(0, 1, self.block(inner)),
                more => Op::Permit(1, more - 2, self.block(inner)),
            },
            _ => Op::Spawn(self.block(inner)),
        }
    }
}

/// Every sequence that lacks one thing of this one.
pub(crate) fn smaller(deeds: &[Deed]) -> Vec<Vec<Deed>> {
    let mut found = Vec::new();
    for at in 0..deeds.len() {
        let replaced = |with: Option<Deed>| {
            let mut deeds = deeds.to_vec();
            deeds.splice(at..=at, with);
            deeds
        };
        found.push(replaced(None));
        match &deeds[at] {
            Deed::Spawn(block) => {
                found.extend(blocks(block).into_iter().map(|b| replaced(Some(Deed::Spawn(b)))));
            }
            Deed::Pass(time) if *time > 0 => found.push(replaced(Some(Deed::Pass(0)))),
            _ => {}
        }
    }
    found
}

/// Every block that lacks one thing of this one.
fn blocks(block: &Block) -> Vec<Block> {
    let mut found = Vec::new();
    for at in 0..block.len() {
        let replaced =
            |with: &[Op]| -> Block { [&block[..at], with, &block[at + 1..]].concat().into() };
        found.push(replaced(&[]));
        let Some((inner, around)) = parts(&block[at]) else { continue };
        found.push(replaced(inner));
        found.extend(blocks(inner).into_iter().map(|inner| replaced(&[around(inner)])));
    }
    found
}

/// Makes an operation of a block.
type Around = Rc<dyn Fn(Block) -> Op>;

/// The block of an operation, and what it is with another block.
fn parts(op: &Op) -> Option<(&Block, Around)> {
    let (inner, around): (_, Around) = match op {
        Op::Permit(semaphore, count, inner) => {
            let (semaphore, count) = (*semaphore, *count);
            (inner, Rc::new(move |inner| Op::Permit(semaphore, count, inner)))
        }
        Op::Spawn(inner) => (inner, Rc::new(Op::Spawn)),
        Op::Try(inner) => (inner, Rc::new(Op::Try)),
        Op::Group(inner) => (inner, Rc::new(Op::Group)),
        Op::Child(inner) => (inner, Rc::new(Op::Child)),
        Op::Timeout(time, inner) => {
            let time = *time;
            (inner, Rc::new(move |inner| Op::Timeout(time, inner)))
        }
        Op::Catch(inner, after) => {
            let after = *after;
            (inner, Rc::new(move |inner| Op::Catch(inner, after)))
        }
        _ => return None,
    };
    Some((inner, around))
}
