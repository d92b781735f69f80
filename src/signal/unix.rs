//! SIGINT, while somebody listens; what it does by default, while nobody does.
//!
//! A handler, once installed, stays. So the first of all calls here installs another one before it,
//! which does what the system would have done, if nobody listens by then.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};

use signal_hook::consts::SIGINT;
use signal_hook::flag::register_conditional_default;
use signal_hook::iterator::{Handle, Signals};

/// How many listen.
static LISTENERS: AtomicUsize = AtomicUsize::new(0);

/// While it lives, SIGINT calls a function.
pub(crate) struct Interrupts {
    signals: Handle,
    thread: Option<JoinHandle<()>>,
}

/// Is the process to be ended? Installs the handler that asks, the first time.
fn default_wanted() -> io::Result<&'static Arc<AtomicBool>> {
    static WANTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    if let Some(wanted) = WANTED.get() {
        return Ok(wanted);
    }
    let wanted = Arc::new(AtomicBool::new(true));
    register_conditional_default(SIGINT, wanted.clone())?;
    Ok(WANTED.get_or_init(|| wanted))
}

impl Interrupts {
    /// Has `call` called for every SIGINT, on a thread of that name.
    pub(crate) fn listen(name: &str, call: impl Fn() + Send + 'static) -> io::Result<Self> {
        let wanted = default_wanted()?;
        let mut signals = Signals::new([SIGINT])?;
        let handle = signals.handle();
        let listens = move || {
            signals.forever().for_each(|_| call());
            // What came just before the end.
            signals.pending().for_each(|_| call());
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(listens)?;
        LISTENERS.fetch_add(1, Ordering::AcqRel);
        wanted.store(false, Ordering::Release);
        Ok(Interrupts { signals: handle, thread: Some(thread) })
    }

    /// Whoever listens has heard enough: the next SIGINT ends the process.
    pub(crate) fn let_go() {
        if let Ok(wanted) = default_wanted() {
            wanted.store(true, Ordering::Release);
        }
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        self.signals.close();
        if let Some(thread) = self.thread.take() {
            // What it calls contains its panics.
            drop(thread.join());
        }
        if LISTENERS.fetch_sub(1, Ordering::AcqRel) == 1 {
            Interrupts::let_go();
        }
    }
}
