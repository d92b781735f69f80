//! A group ends as one; a gathering gives all values; a race gives the first.
//!
//! `cargo run --example group`

use std::time::Duration;

use filch::{Error, Result, TaskGroup};
use filch::{as_completed, catch_cancelled, gather, sleep, spawn, staggered_race, task_group};

const MOMENT: Duration = Duration::from_millis(10);
const HOUR: Duration = Duration::from_secs(3600);

/// Serves for ever; says goodbye when it is asked to end.
async fn serve(name: &'static str) -> Result<()> {
    if let Err(cancelled) = catch_cancelled(sleep(HOUR)).await {
        println!("{name}: closing");
        cancelled.raise().await;
    }
    Ok(())
}

/// Gives its number of moments after so many moments.
async fn moments(number: u32) -> Result<u32> {
    sleep(MOMENT * number).await;
    Ok(number)
}

fn main() -> Result<()> {
    filch::run(async {
        // One child fails: its siblings and the body are cancelled, and all are waited for.
        let ended = task_group(async |group: TaskGroup| {
            group.spawn(serve("door"));
            group.spawn(serve("window"));
            group.spawn(async {
                sleep(MOMENT).await;
                Err::<(), _>(Error::msg("the roof leaks"))
            });
            serve("body").await
        });
        let error = ended.await.unwrap_err();
        println!("the group ended with {error}");
        assert_eq!(error.errors().len(), 1);

        println!("all: {:?}", gather([3, 1, 2].map(|n| spawn(moments(n)))).await?);

        let mut ended = as_completed([3, 1, 2].map(|n| spawn(moments(n))));
        while let Some(task) = ended.next().await {
            println!("next: {}", task.await?);
        }

        // The first attempt is slow, so a second one is started beside it.
        let race = staggered_race([50, 1].map(|n| move || moments(n)), MOMENT).await?;
        println!("first: {:?}", race.winner);
        Ok(())
    })
}
