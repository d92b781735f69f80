//! Whose code is running, and which callbacks are whose.
//!
//! A callback belongs to the host whose code registered it: it is called there, not before that
//! host goes on if it stands still, and when that host crashes it is gone, wherever it waits. Each
//! host has a list of its own that are still to be called; the list holds nothing alive, and is
//! weeded whenever it has doubled.

use std::sync::{Arc, Weak};

use super::queue::{Queue, What};
use crate::probe;
use crate::sys::{Arc as SysArc, AtomicUsize, Mutex, Ordering};
use crate::task::hooks::{Callback, run_callback};

/// Something that goes with its host.
pub(crate) trait Belonging: Send + Sync {
    /// The host has crashed.
    fn go(&self);
}

/// What the hosts of a simulation have.
pub(crate) struct Belongings {
    /// The host whose code is running.
    here: AtomicUsize,
    hosts: Mutex<Vec<Few>>,
    /// Where callbacks wait for a host that stands still.
    queue: SysArc<Mutex<Queue>>,
}

/// What one host has.
#[derive(Default)]
struct Few {
    list: Vec<Weak<dyn Belonging>>,
    /// It is to be weeded when it is that long.
    long: usize,
    crashes: bool,
}

impl Belongings {
    pub(super) fn new(queue: SysArc<Mutex<Queue>>) -> Self {
        Belongings { here: AtomicUsize::new(0), hosts: Mutex::new(Vec::new()), queue }
    }

    pub(crate) fn here(&self) -> usize {
        self.here.load(Ordering::Relaxed)
    }

    /// The code of that host is run from now on.
    pub(super) fn go_to(&self, host: usize) {
        self.here.store(host, Ordering::Relaxed);
    }

    /// Does something as if it were done on another host.
    pub(crate) fn on<R>(&self, host: usize, act: impl FnOnce() -> R) -> R {
        struct Back<'a>(&'a AtomicUsize, usize);
        impl Drop for Back<'_> {
            fn drop(&mut self) {
                self.0.store(self.1, Ordering::Relaxed);
            }
        }
        let _back = Back(&self.here, self.here.swap(host, Ordering::Relaxed));
        act()
    }

    /// Notes whose it is: the running host's. False: that is just crashing, and so it is gone.
    #[must_use]
    pub(crate) fn note<B: Belonging + 'static>(&self, what: &Arc<B>) -> bool {
        let mut hosts = self.hosts.lock();
        let few = few(&mut hosts, self.here());
        if few.crashes {
            return false;
        }
        if few.list.len() >= few.long {
            few.list.retain(|known| known.strong_count() > 0);
            few.long = 2 * few.list.len().max(8);
        }
        let what: Weak<dyn Belonging> = Arc::<B>::downgrade(what);
        few.list.push(what);
        true
    }

    /// A callback of that host has come to its turn, which is now; or, if the host stands still,
    /// behind what is ready there when it goes on.
    pub(crate) fn call(&self, host: usize, call: impl FnOnce() + Send + 'static) {
        let mut queue = self.queue.lock();
        if queue.is_paused(host) {
            return queue.put(host, What::Late(Box::new(call)));
        }
        drop(queue);
        self.on(host, call);
    }

    /// A done-callback is registered: what is to be called instead.
    pub(crate) fn own(self: &Arc<Self>, callback: Callback) -> Callback {
        let (kept, hosts, host) = (Arc::new(Kept::new(callback)), self.clone(), self.here());
        if !self.note(&kept) {
            kept.go();
        }
        Box::new(move |task| {
            hosts.call(host, move || {
                if let Some(callback) = kept.take() {
                    run_callback(callback, task);
                }
            });
        })
    }

    /// Whatever is noted from now on is gone at once.
    pub(super) fn begin_crash(&self, host: usize) {
        few(&mut self.hosts.lock(), host).crashes = true;
    }

    /// All that was noted is gone.
    pub(super) fn crash(&self, host: usize) {
        let gone = std::mem::take(&mut few(&mut self.hosts.lock(), host).list);
        for belonging in gone.iter().filter_map(Weak::upgrade) {
            probe::contain("a callback of a host that has crashed", || belonging.go());
        }
    }

    /// What is noted from now on is the restarted host's.
    pub(super) fn end_crash(&self, host: usize) {
        *few(&mut self.hosts.lock(), host) = Few::default();
    }
}

fn few(hosts: &mut Vec<Few>, host: usize) -> &mut Few {
    if hosts.len() <= host {
        hosts.resize_with(host + 1, Few::default);
    }
    &mut hosts[host]
}

/// A done-callback that is still to be called.
struct Kept(Mutex<Option<Callback>>);

impl Kept {
    fn new(callback: Callback) -> Self {
        Kept(Mutex::new(Some(callback)))
    }

    fn take(&self) -> Option<Callback> {
        self.0.lock().take()
    }
}

impl Belonging for Kept {
    fn go(&self) {
        // Bound first: it is dropped outside the lock.
        let callback = self.take();
        drop(callback);
    }
}
