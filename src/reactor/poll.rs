//! The reactor: an instance per worker, and all sockets registered with them.
//!
//! The worker that waits in an instance is its owner, and so the reactor learns on which thread,
//! and on which processor, each instance is served; sockets follow that knowledge.

use std::cell::Cell;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::instance::Instance;
use super::processor;
use super::source::{Readiness, Sources};
use crate::driver::Driver;
use crate::sys::{Arc, AtomicBool, AtomicU32, AtomicUsize, CachePadded, Ordering};

std::thread_local! {
    /// The reactor, by address, and the instance that this thread waits in.
    static HERE: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// No processor: the owner of this instance has not waited yet.
const NOWHERE: u32 = u32::MAX;

/// Sockets, and the pollers that watch them.
#[derive(Debug)]
pub(crate) struct Reactor {
    posts: Box<[CachePadded<Post>]>,
    sources: Sources,
    /// Where the next socket of a thread that owns no instance begins.
    turn: AtomicUsize,
    closed: AtomicBool,
    /// Who has made it: a fork has a copy, but the pollers are the parent's.
    process: u32,
}

#[derive(Debug)]
struct Post {
    instance: Instance,
    /// How many sockets are registered with it.
    sources: AtomicUsize,
    /// Where its owner was last seen running.
    processor: AtomicU32,
    /// How often the owner has been here.
    visits: AtomicU32,
}

impl Reactor {
    /// Opens `instances` pollers, one per worker.
    ///
    /// # Errors
    /// The system's, when it is out of descriptors or too old.
    pub(crate) fn new(instances: usize) -> io::Result<Self> {
        assert!(instances > 0, "a reactor needs an instance");
        let posts = (0..instances).map(|_| {
            Ok(CachePadded::new(Post {
                instance: Instance::new()?,
                sources: AtomicUsize::new(0),
                processor: AtomicU32::new(NOWHERE),
                visits: AtomicU32::new(0),
            }))
        });
        Ok(Reactor {
            posts: posts.collect::<io::Result<_>>()?,
            sources: Sources::new(),
            turn: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            process: std::process::id(),
        })
    }

    /// Ends all waiting, for good: nobody polls any more. Waits fail from now on.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let all = Readiness { read: true, write: true, wary: false };
        for wakers in self.sources.deliver_to_all(all) {
            wakers.wake();
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Is this a copy in a forked process? Then its locks may be held by threads that are not here,
    /// and what is done to its pollers is done to the parent's.
    pub(crate) fn is_copy(&self) -> bool {
        self.process != std::process::id()
    }

    pub(super) fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Registers `socket` with `instance`, for both directions, by edges. What is ready already is
    /// reported, too.
    pub(super) fn add(
        &self,
        instance: usize,
        socket: BorrowedFd<'_>,
        key: usize,
    ) -> io::Result<()> {
        let post = &self.posts[instance];
        post.instance.add(socket, key)?;
        post.sources.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Ends a registration. That fails if it has ended already, with the descriptor.
    pub(super) fn delete(&self, instance: usize, socket: BorrowedFd<'_>) -> io::Result<()> {
        let post = &self.posts[instance];
        post.sources.fetch_sub(1, Ordering::Relaxed);
        post.instance.delete(socket)
    }

    /// The instance this thread waits in, if it is a worker of this reactor.
    pub(super) fn here(&self) -> Option<usize> {
        let (reactor, instance) = HERE.get();
        (reactor == self.address() && instance < self.posts.len()).then_some(instance)
    }

    /// Where a socket opened by this thread begins.
    pub(super) fn here_or_any(&self) -> usize {
        self.here().unwrap_or_else(|| self.turn.fetch_add(1, Ordering::Relaxed) % self.posts.len())
    }

    /// The instance whose owner runs where the system handles this socket's packets, if
    /// exactly one does.
    pub(super) fn where_packets_arrive(&self, socket: BorrowedFd<'_>) -> Option<usize> {
        let processor = processor::of_packets(socket)?;
        let mut there = self
            .posts
            .iter()
            .enumerate()
            .filter(|(_, post)| post.processor.load(Ordering::Relaxed) == processor);
        let (instance, _) = there.next()?;
        there.next().is_none().then_some(instance)
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn deliver(&self, key: usize, came: Readiness) {
        self.sources.find(key).deliver(came).wake();
    }

    /// The owner of `post` is here; looks now and then where that is, which costs a system call.
    fn visit(post: &Post) {
        let visits = post.visits.load(Ordering::Relaxed);
        post.visits.store(visits.wrapping_add(1), Ordering::Relaxed);
        if visits.is_multiple_of(32) {
            let processor = processor::of_this_thread().unwrap_or(NOWHERE);
            post.processor.store(processor, Ordering::Relaxed);
        }
    }
}

impl Driver for Arc<Reactor> {
    fn poll(&self, instance: usize) -> bool {
        let post = &self.posts[instance];
        // Whoever has no socket is told nothing but to get up, and hears that when it waits.
        if post.sources.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let mut any = false;
        post.instance.poll(|key, came| {
            any = true;
            self.deliver(key, came);
        });
        if self.here() == Some(instance) {
            Reactor::visit(post);
        }
        any
    }

    fn wait(&self, instance: usize, limit: Option<Duration>) {
        if HERE.replace((self.address(), instance)) == (0, 0) {
            processor::wait_exactly();
        }
        let post = &self.posts[instance];
        post.instance.wait(limit, |key, came| self.deliver(key, came));
        Reactor::visit(post);
    }

    fn notify(&self, instance: usize) {
        self.posts[instance].instance.notify();
    }

    fn remind(&self, instance: usize, time: Duration) {
        self.posts[instance].instance.remind(time);
    }

    fn forget(&self, instance: usize) {
        self.posts[instance].instance.forget();
    }
}
