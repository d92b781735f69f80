//! Both sweeps through a program whose parties may be cancelled, or run out of time.

use filch::sim::{Builder, timeout_when_swept};
use filch::{Task, spawn};

/// A program that cancels nobody itself; its parties may end as they like.
pub(crate) async fn all(parties: impl IntoIterator<Item = Task<()>>) {
    for party in parties {
        if let Err(error) = party.await {
            assert!(!error.is_panic(), "{error}");
        }
    }
}

/// Both sweeps through one program: its parties are cancelled, and then they run out of time.
pub(crate) fn sweep<F>(program: impl Fn() -> F)
where
    F: Future<Output = ()>,
{
    // What is lost may leave somebody who looks for it for ever.
    let sim = Builder::new().turn_limit(10_000);
    for swept in [sim.cancel_everywhere(&program), sim.timeout_everywhere(&program)] {
        match swept {
            Ok(swept) => assert!(swept.runs() > 20, "only {} moments", swept.runs()),
            Err(broken) => panic!("{broken}"),
        }
    }
}

/// A task that may be cancelled, and that may run out of time.
pub(crate) fn party<F>(work: F) -> Task<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    spawn(async move {
        // Time that has run out is no reason for the task to fail.
        let _ = timeout_when_swept(work).await;
    })
}
