//! Two small parts that many workloads need, the same for every runtime.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures::channel::oneshot;

/// Tells one waiter when the last of many has arrived.
#[derive(Debug)]
pub(crate) struct Countdown {
    left: AtomicUsize,
    done: Mutex<Option<oneshot::Sender<()>>>,
}

impl Countdown {
    pub(crate) fn new(count: usize) -> (Arc<Self>, oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        let done = Mutex::new(Some(sender));
        (Arc::new(Self { left: AtomicUsize::new(count), done }), receiver)
    }

    pub(crate) fn arrive(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            let sender = self.done.lock().unwrap().take();
            sender.expect("only one is the last").send(()).expect("somebody waits");
        }
    }
}

/// Holds many tasks back until all may start.
#[derive(Debug, Default)]
pub(crate) struct Gate(Vec<oneshot::Sender<()>>);

impl Gate {
    /// A ticket to wait on.
    pub(crate) fn ticket(&mut self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.0.push(sender);
        receiver
    }

    pub(crate) fn open(self) {
        for sender in self.0 {
            sender.send(()).expect("the ticket is kept");
        }
    }
}
