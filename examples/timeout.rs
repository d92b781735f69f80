//! Timeouts: around a future, nested, and with a deadline that moves.
//!
//! `cargo run --example timeout`

use std::time::Duration;

use filch::time::Instant;
use filch::{Result, sleep, timeout, timeout_scope};

const MOMENT: Duration = Duration::from_millis(10);
const HOUR: Duration = Duration::from_secs(3600);

async fn after(time: Duration) -> Result<&'static str> {
    sleep(time).await;
    Ok("in time")
}

fn main() -> Result<()> {
    filch::run(async {
        println!("a patient one: {}", timeout(HOUR, after(MOMENT)).await?);

        let error = timeout(MOMENT, after(HOUR)).await.unwrap_err();
        println!("an impatient one: {error}");
        assert!(error.is_timeout());

        // The outer one runs out first: the inner one lets it pass.
        let nested = timeout(MOMENT, timeout(HOUR, after(2 * HOUR))).await;
        assert!(nested.unwrap_err().is_timeout());

        // There is less time than we thought: the deadline moves.
        let moved = timeout_scope(HOUR, async |deadline| {
            deadline.reschedule(Instant::now() + MOMENT)?;
            after(2 * HOUR).await
        });
        println!("a moved one: {}", moved.await.unwrap_err());
        Ok(())
    })
}
