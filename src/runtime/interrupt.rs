//! Ctrl-C, as far as a main task has to do with it (RUN-07, RUN-08).
//!
//! The first one asks the main task to end, as anybody else could; it may clean up, or swallow it.
//! The second one takes the seat away from under it.

use std::fmt;

use crate::error::{Error, Result};
use crate::runtime::desk::Desk;
use crate::signal::Interrupts;
use crate::sys::{Arc, AtomicBool, Ordering};
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
    heard: Arc<Heard>,
    interrupts: Interrupts,
}

/// Which ones came.
struct Heard {
    /// One that asked the main task to end.
    asked: AtomicBool,
    /// One that is not for the main task any more.
    forced: AtomicBool,
}

impl Watch {
    /// Begins to watch; `None`: the system does not let us, which is ignored (RUN-09).
    pub(super) fn begin(task: TaskRef, desk: Arc<Desk>) -> Option<Self> {
        let (asked, forced) = (AtomicBool::new(false), AtomicBool::new(false));
        let heard = Arc::new(Heard { asked, forced });
        let (main, there) = (task.clone(), heard.clone());
        let interrupted = move || {
            let first = !there.asked.swap(true, Ordering::AcqRel);
            if !first || !main.cancel() {
                there.forced.store(true, Ordering::Release);
                Interrupts::let_go();
                desk.interrupt();
            }
        };
        let interrupts = Interrupts::listen("filch-signal", interrupted).ok()?;
        Some(Watch { task, heard, interrupts })
    }

    /// What the program ends with: a cancellation that was ours alone is an interrupt, and so is
    /// whatever was too late for the main task to hear of (RUN-08).
    pub(super) fn judge<T>(self, result: Result<T>) -> Result<T> {
        // Whatever came by now is heard.
        drop(self.interrupts);
        let ours = result.as_ref().is_err_and(Error::is_cancelled)
            && self.heard.asked.load(Ordering::Acquire)
            && self.task.uncancel() == 0;
        match ours || self.heard.forced.load(Ordering::Acquire) {
            true => Err(Interrupted::new().into()),
            false => result,
        }
    }
}
