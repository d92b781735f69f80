//! Who awaits whom: a look inside a running program, and debug mode, which tells what is slow.
//!
//! `cargo run --example task_tree`, with or without `FILCH_DEBUG=1`

use std::thread;
use std::time::Duration;

use filch::inspect::await_graph;
use filch::{Handle, Promise, Result, TaskBuilder, sleep, yield_now};

const MOMENT: Duration = Duration::from_millis(10);

filch::context_var! {
    /// Goes along with everything that is started for a request.
    static REQUEST: u32 = 0;
}

async fn query(answer: Promise<u32>) -> Result<u32> {
    answer.await
}

async fn serve(answer: Promise<u32>) -> Result<String> {
    let query = TaskBuilder::new().name("query").spawn(query(answer));
    let value = query.await?;
    Ok(format!("request {} is answered: {value}", REQUEST.get().unwrap_or_default()))
}

fn main() -> Result<()> {
    filch::run(async {
        Handle::current().set_slow_callback_duration(MOMENT);
        Handle::current().set_exception_handler(|report| println!("report: {report}"));

        let answer = Promise::new();
        let mut servers = Vec::new();
        for number in 1..=2 {
            REQUEST.set(number);
            let server = TaskBuilder::new().name(format!("serve {number}"));
            servers.push(server.spawn(serve(answer.clone())));
        }
        sleep(MOMENT).await;

        // Nobody is polled for it, and nobody is stopped.
        println!("{}", await_graph());
        println!("who waits for the answer:\n{}", await_graph().awaiting(answer.id()));

        let there = answer.clone();
        Handle::current().call_later(MOMENT, move || there.set(42).expect("nobody else does"));
        for server in servers {
            println!("{}", server.await?);
        }

        // In debug mode, this is reported, with the task's name and where it was spawned.
        let slow = async { thread::sleep(2 * MOMENT) };
        TaskBuilder::new().name("slow").spawn(slow).await?;
        yield_now().await;
        Ok(())
    })
}
