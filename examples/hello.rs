//! The smallest program: a task, a sleep, a result.
//!
//! `cargo run --example hello`

use std::time::Duration;

use filch::{Result, sleep, spawn};

fn main() -> Result<()> {
    filch::run(async {
        let greeting = spawn(async {
            sleep(Duration::from_millis(10)).await;
            Ok("hello")
        });
        println!("{} from {}", greeting.await?, filch::current_task().expect("a task").name());
        Ok(())
    })
}
