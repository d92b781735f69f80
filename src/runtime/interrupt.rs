//! Ctrl-C, as far as a main task has to do with it (RUN-07, RUN-08).
//!
//! The first one asks the main task to end, as anybody else could; it may clean up, or swallow it.
//! The second one takes the seat away from under it.

use std::fmt;

use crate::error::{Error, Result};
use crate::runtime::desk::Desk;
use crate::signal::Interrupts;
use crate::sys::{Arc, AtomicUsize, Ordering};
use crate::task::raw::TaskRef;

/// The program was interrupted: Ctrl-C ended its main task.
///
/// It is what [`run`](crate::run) ends with then, as an [`Error`] that [is](Error::is) this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[doc(alias = "KeyboardInterrupt")]
pub struct Interrupted(());

impl Interrupted {
    pub(super) fn new() -> Self {
        Interrupted(())
    }
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// While it lives, Ctrl-C ends a main task.
pub(super) struct Watch {
    task: TaskRef,
    signals: Arc<AtomicUsize>,
    _interrupts: Interrupts,
}

impl Watch {
    /// Begins to watch; `None`: the system does not let us, which is ignored (RUN-09).
    pub(super) fn begin(task: TaskRef, desk: Arc<Desk>) -> Option<Self> {
        let (signals, main) = (Arc::new(AtomicUsize::new(0)), task.clone());
        let heard = signals.clone();
        let interrupted = move || {
            let first = heard.fetch_add(1, Ordering::AcqRel) == 0;
            if !first || !main.cancel() {
                Interrupts::let_go();
                desk.interrupt();
            }
        };
        let interrupts = Interrupts::listen("filch-signal", interrupted).ok()?;
        Some(Watch { task, signals, _interrupts: interrupts })
    }

    /// What the program ends with: a cancellation that was ours alone is an interrupt (RUN-08).
    pub(super) fn judge<T>(self, result: Result<T>) -> Result<T> {
        let ours = result.as_ref().is_err_and(Error::is_cancelled)
            && self.signals.load(Ordering::Acquire) > 0
            && self.task.uncancel() == 0;
        if ours { Err(Interrupted::new().into()) } else { result }
    }
}
