//! Three classic mistakes, found by running each program in every order of what its tasks do to
//! each other, and the same programs repaired.
//!
//! ~~~sh
//! RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo run --release --example model_check
//! ~~~
//!
//! Without the flag it runs as well, in the simulation, and tries a hundred orders of each.

use std::sync::Arc;

use filch::model::{self, Builder, note};
use filch::sync::{Lock, Queue};
use filch::{Result, TaskBuilder, yield_now};

fn main() {
    // What fails is told below, once.
    std::panic::set_hook(Box::new(|_| ()));
    let how = if model::is_exhaustive() { "every order" } else { "a hundred seeds" };
    println!("{how} of each program\n");
    show("an update that is lost across an await", false, || deposits(false));
    show("the same under one hold of the lock", true, || deposits(true));
    show("two locks taken in two orders", false, || transfers(false));
    show("the same in one order", true, || transfers(true));
    show("a cancellation that leaves something behind", false, || pool(false));
    show("the same with a guard", true, || pool(true));
}

/// Searches, and tells what was found; it had better be what is expected.
fn show<M, F>(what: &str, passes: bool, program: M)
where
    M: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Result<()>> + Send + 'static,
{
    let began = std::time::Instant::now();
    let explored = Builder::new().check(program);
    let took = began.elapsed();
    match &explored {
        Ok(explored) => println!("{what}: {} runs pass in {took:.1?}\n", explored.runs()),
        Err(failure) => println!("{what}: found in {took:.1?}\n{failure}"),
    }
    // A simulation does not stop tasks between two awaits that have not to wait.
    if model::is_exhaustive() || passes {
        assert_eq!(explored.is_ok(), passes, "{what}");
    }
}

/// Two clerks pay into one account.
async fn deposits(repaired: bool) -> Result<()> {
    let account = Arc::new(Lock::new(0));
    let deposit = move |account: Arc<Lock<u32>>| async move {
        if repaired {
            *account.lock().await += 1;
        } else {
            let before = *account.lock().await;
            note(format!("the balance is {before}"));
            *account.lock().await = before + 1;
        }
    };
    let clerk = TaskBuilder::new().name("clerk").spawn(deposit(account.clone()));
    deposit(account.clone()).await;
    clerk.await?;
    let balance = *account.lock().await;
    assert_eq!(balance, 2, "a deposit was lost");
    Ok(())
}

/// Two clerks move money, one there and one back.
async fn transfers(repaired: bool) -> Result<()> {
    let accounts = Arc::new([Lock::new(10), Lock::new(10)]);
    let transfer = move |accounts: Arc<[Lock<i32>; 2]>, from: usize, to: usize| async move {
        let [first, second] = if repaired { [from.min(to), from.max(to)] } else { [from, to] };
        let mut one = accounts[first].lock().await;
        note(format!("holds account {first}"));
        let mut other = accounts[second].lock().await;
        let amount = if first == from { 1 } else { -1 };
        *one -= amount;
        *other += amount;
    };
    let clerk = TaskBuilder::new().name("clerk").spawn(transfer(accounts.clone(), 0, 1));
    transfer(accounts.clone(), 1, 0).await;
    clerk.await
}

/// A pool of one connection; who borrows it may be cancelled meanwhile.
async fn pool(repaired: bool) -> Result<()> {
    let pool = Arc::new(Queue::unbounded());
    pool.try_put(Connection)?;
    let borrow = move |pool: Arc<Queue<Connection>>| async move {
        let connection = pool.get().await?;
        if repaired {
            let lent = Lent { connection: Some(connection), pool };
            lent.ask().await;
        } else {
            connection.ask().await; // cancelled here, it never comes back
            pool.put(connection).await?;
        }
        Ok(())
    };
    let client = TaskBuilder::new().name("client").spawn(borrow(pool.clone()));
    client.cancel(); // for all we know, it has just begun, or has just ended
    let _ = client.await;
    assert_eq!(pool.len(), 1, "a connection is gone");
    Ok(())
}

struct Connection;

impl Connection {
    async fn ask(&self) {
        yield_now().await;
    }
}

/// A connection that goes back to its pool, whatever happens.
struct Lent {
    connection: Option<Connection>,
    pool: Arc<Queue<Connection>>,
}

impl Lent {
    async fn ask(&self) {
        if let Some(connection) = &self.connection {
            connection.ask().await;
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            let _ = self.pool.try_put(connection);
        }
    }
}
