//! What is counted: the table's own workloads, small.

use crate::common::{Filch, Server, Smol, Tokio};
use crate::work::io::Echo;
use crate::work::{cancellation, io, tasks, time};

/// Names, and how many operations are enough.
pub(crate) const ROWS: [(&str, usize); 13] = [
    ("spawn_join", 10_000),
    ("spawn_many", 10_000),
    ("spawn_eager", 10_000),
    ("chained_spawn", 10_000),
    ("yield_many", 20_000),
    ("ring_1000", 40_000),
    ("ping_pong", 10_000),
    ("group_100", 5_000),
    ("timeout_unfired", 10_000),
    ("reschedule", 10_000),
    ("cancel_many", 5_000),
    ("cancel_never", 20_000),
    ("tcp_echo_1", 4_000),
];

/// Does it, in this process.
pub(crate) fn run(engine: &str, workers: usize, row: &str, operations: usize) {
    match engine {
        "filch" => on::<Filch>(workers, row, operations),
        "tokio" => on::<Tokio>(workers, row, operations),
        "smol" => on::<Smol>(workers, row, operations),
        _ => panic!("{engine} is not known"),
    }
}

fn on<E: Server>(workers: usize, row: &str, operations: usize) {
    let engine = E::start(workers);
    let n = operations;
    match row {
        "spawn_join" => engine.block_on(tasks::spawn_join::<E>(n / 1_000)),
        "spawn_many" => engine.block_on(tasks::spawn_many::<E>(n)),
        "spawn_eager" => engine.block_on(tasks::spawn_eager::<E>(n)),
        "chained_spawn" => engine.block_on(tasks::chained_spawn::<E>(n)),
        "yield_many" => engine.block_on(tasks::yield_many::<E>(n / 200)),
        "ring_1000" => engine.block_on(tasks::ring::<E>(1_000, n / 1_000)),
        "ping_pong" => engine.block_on(tasks::ping_pong::<E>(n / 1_000)),
        "group_100" => engine.block_on(tasks::group_100::<E>(n / 100)),
        "timeout_unfired" => engine.block_on(time::timeout_unfired::<E>(n / 100)),
        "reschedule" => engine.block_on(time::reschedule::<E>(n / 100)),
        "cancel_many" => engine.block_on(cancellation::cancel_many::<E>(n)),
        "cancel_never" => engine.block_on(cancellation::cancel_never::<E>(n / 200)),
        "tcp_echo_1" => {
            engine.block_on(io::echo::<E>(Echo { connections: 1, messages: n, bytes: 64 }))
        }
        _ => panic!("{row} is not known"),
    };
}
