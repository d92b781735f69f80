//! The signal that stops a run.

use std::time::Duration;

use filch::time::Instant;
use futures::channel::oneshot;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Comes with Ctrl-C, or with the system's polite request to end.
#[derive(Debug)]
pub(crate) struct Stop {
    signal: oneshot::Receiver<()>,
    next_second: Option<Instant>,
}

impl Stop {
    pub(crate) fn on_signal() -> filch::Result<Self> {
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let (sender, signal) = oneshot::channel();
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            signals.forever().next();
            let _ = sender.send(());
            // A second one ends the process at once.
            signals.forever().next();
            std::process::exit(130);
        })?;
        Ok(Stop { signal, next_second: None })
    }

    /// Waits for the signal until the next full second; has it come?
    pub(crate) async fn within_a_second(&mut self) -> bool {
        let next = self.next_second.unwrap_or_else(Instant::now) + Duration::from_secs(1);
        self.next_second = Some(next);
        let rest = next.duration_since(Instant::now());
        filch::timeout_any(rest, &mut self.signal).await.is_ok()
    }
}
