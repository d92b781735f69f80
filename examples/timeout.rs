//! Timeouts: around a future, nested, and with a deadline that moves.
//!
//! `cargo run --example timeout`

use std::time::Duration;

use filch::time::Instant;
use filch::{Result, sleep, timeout, timeout_scope};

const MOMENT: Duration = Duration::from_millis(10);

async fn slow() -> Result<&'static str> {
    sleep(10 * MOMENT).await;
    Ok("in time")
}

fn main() -> Result<()> {
    filch::run(async {
        println!("a patient one: {}", timeout(100 * MOMENT, slow()).await?);

        let error = timeout(MOMENT, slow()).await.unwrap_err();
        println!("an impatient one: {error}");
        assert!(error.is_timeout());

        // The outer one runs out first: the inner one lets it pass.
        let nested = timeout(MOMENT, timeout(100 * MOMENT, slow())).await;
        assert!(nested.unwrap_err().is_timeout());

        // There is more to do than we thought: the deadline moves.
        let moved = timeout_scope(MOMENT, async |deadline| {
            deadline.reschedule(Instant::now() + 100 * MOMENT)?;
            slow().await
        });
        println!("a moved one: {}", moved.await?);
        Ok(())
    })
}
