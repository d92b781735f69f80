//! Cancellation that is caught, cleaned up after, and taken back.
//!
//! `cargo run --example cancel`

use std::time::Duration;

use filch::{Result, catch_cancelled, current_task, sleep, spawn_eager};

const HOUR: Duration = Duration::from_secs(3600);
const MOMENT: Duration = Duration::from_millis(10);

fn main() -> Result<()> {
    filch::run(async {
        // Both begin at once: who is cancelled before its first step never takes one.

        // One that cleans up, with an await, and then lets the cancellation go on.
        let tidy = spawn_eager(async {
            if let Err(cancelled) = catch_cancelled(sleep(HOUR)).await {
                println!("tidy: asked to end ({cancelled}), cleaning up");
                sleep(MOMENT).await;
                cancelled.raise().await;
            }
            Ok(())
        });

        // One that takes the request back, and goes on as if nothing had happened.
        let stubborn = spawn_eager(async {
            if catch_cancelled(sleep(HOUR)).await.is_err() {
                let left = current_task().expect("a task").uncancel();
                println!("stubborn: no, thank you ({left} requests left)");
            }
            sleep(MOMENT).await;
            Ok("done")
        });

        sleep(MOMENT).await;
        tidy.cancel_with("closing time");
        stubborn.cancel();

        let error = tidy.await.unwrap_err();
        assert!(error.is_cancelled());
        println!("tidy ended: {error}");
        println!("stubborn ended: {}", stubborn.await?);
        Ok(())
    })
}
