//! Producers and consumers share a bounded queue; the end of the work ends them in order.

use std::sync::Arc;
use std::time::Duration;

use filch::sync::{Lock, Queue};
use filch::{Result, sleep, spawn};

/// Puts its numbers in, waiting whenever the queue is full.
async fn produce(queue: Arc<Queue<u64>>, numbers: std::ops::Range<u64>) -> Result<()> {
    for number in numbers {
        queue.put(number).await?;
    }
    Ok(())
}

/// Adds up whatever comes, until the queue is shut down and empty.
async fn consume(name: &str, queue: Arc<Queue<u64>>, sum: Arc<Lock<u64>>) -> Result<()> {
    let mut count = 0;
    while let Ok(number) = queue.get().await {
        sleep(Duration::from_millis(1)).await;
        *sum.lock().await += number;
        count += 1;
        queue.task_done()?;
    }
    println!("{name} has dealt with {count} numbers");
    Ok(())
}

fn main() -> Result<()> {
    filch::run(async {
        let queue = Arc::new(Queue::bounded(4));
        let sum = Arc::new(Lock::new(0));
        let consumers: Vec<_> = ["ann", "bob", "eve"]
            .map(|name| spawn(consume(name, queue.clone(), sum.clone())))
            .into();
        let producers = [0..50, 50..100].map(|numbers| spawn(produce(queue.clone(), numbers)));
        for producer in producers {
            producer.await?;
        }
        // Everything is in: wait until it has been dealt with, and tell the consumers to go home.
        queue.join().await;
        queue.shutdown();
        for consumer in consumers {
            consumer.await?;
        }
        println!("the sum is {}", sum.lock().await);
        Ok(())
    })
}
