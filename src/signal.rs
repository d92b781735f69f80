//! Ctrl-C as a call: made by a thread of its own, so that it comes also when all workers are busy.
//!
//! SIGINT is a call while somebody listens; and what it is by default, while nobody does.
//! A handler, once installed, stays. So the first of all calls here installs another one before it,
//! which does what the system would have done, if nobody listens by then.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use signal_hook::consts::SIGINT;
use signal_hook::flag::register_conditional_default;
use signal_hook::iterator::{Handle, Signals};

/// What the process knows of its listeners; under one lock, so that what one of them leaves behind
/// does not undo what the next one has just set.
static KNOWN: Mutex<Known> = Mutex::new(Known { ends_process: None, listeners: 0 });

struct Known {
    /// Asked by the handler that is installed the first time: is the process to be ended?
    ends_process: Option<Arc<AtomicBool>>,
    listeners: usize,
}

/// While it lives, SIGINT calls a function.
pub(crate) struct Interrupts {
    signals: Handle,
    thread: Option<JoinHandle<()>>,
}

fn known() -> MutexGuard<'static, Known> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Known {
    /// Installs the handler that asks, the first time.
    fn install(&mut self) -> io::Result<()> {
        if self.ends_process.is_none() {
            let ends_process = Arc::new(AtomicBool::new(true));
            register_conditional_default(SIGINT, ends_process.clone())?;
            self.ends_process = Some(ends_process);
        }
        Ok(())
    }

    fn end_process(&self, wanted: bool) {
        if let Some(ends_process) = &self.ends_process {
            ends_process.store(wanted, Ordering::Release);
        }
    }
}

impl Interrupts {
    /// Has `call` called for every SIGINT, on a thread of that name.
    pub(crate) fn listen(name: &str, call: impl Fn() + Send + 'static) -> io::Result<Self> {
        let mut known = known();
        known.install()?;
        let mut signals = Signals::new([SIGINT])?;
        let handle = signals.handle();
        let listens = move || {
            signals.forever().for_each(|_| call());
            // What came just before the end.
            signals.pending().for_each(|_| call());
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(listens)?;
        known.listeners += 1;
        known.end_process(false);
        Ok(Interrupts { signals: handle, thread: Some(thread) })
    }

    /// Whoever listens has heard enough: the next SIGINT ends the process.
    pub(crate) fn let_go() {
        known().end_process(true);
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        self.signals.close();
        if let Some(thread) = self.thread.take() {
            // What it calls contains its panics.
            drop(thread.join());
        }
        let mut known = known();
        known.listeners -= 1;
        if known.listeners == 0 {
            known.end_process(true);
        }
    }
}
