//! What grows, and what is done meanwhile.

use crate::common::{Filch, Options, Scale, Smol, Tokio, WORKERS, most_connections};
use crate::measure::{Curve, run};
use crate::work::io::{self, Echo};
use crate::work::{cancellation, tasks, time};

const ALL: [&str; 3] = ["filch", "tokio", "smol"];
/// smol's executor is started once in a process, with one number of threads.
const TWO: [&str; 2] = ["filch", "tokio"];

/// A workload at one size, on the runtimes that are named.
macro_rules! at {
    ($workers:expr, $operations:expr, $room:ident::$work:ident $sizes:tt: $($engine:ident)+) => {
        vec![$(run::<$engine, _>($workers, $operations, move || {
            $room::$work::<$engine> $sizes
        })),+]
    };
}

pub(crate) fn all(options: &Options) -> Vec<Curve> {
    let mut curves = Vec::new();
    for (axis, make) in [
        ("workers", workers as fn(&Options) -> Vec<Curve>),
        ("tasks", tasks_alive),
        ("timers", timers),
        ("connections", connections),
    ] {
        if options.wants(axis, axis) {
            curves.extend(make(options));
        }
    }
    curves
}

fn workers(options: &Options) -> Vec<Curve> {
    let scale = Scale::of(options);
    let count = scale.pick(100_000, 2_000);
    let yields = scale.pick(1_000, 20);
    let echo = Echo { connections: 64, messages: scale.pick(300, 5), bytes: 64 };
    let mut curves = ["spawn_join", "fork_join", "yield_many", "tcp_echo_64"]
        .map(|name| Curve::new("workers", name, &TWO));
    for workers in [1, 2, 4, 8] {
        let batches = count / 1_000;
        let runs = at!(workers, count, tasks::spawn_join(batches): Filch Tokio);
        curves[0].point(options, workers, runs);
        let runs = at!(workers, count, tasks::fork_join(count): Filch Tokio);
        curves[1].point(options, workers, runs);
        let runs = at!(workers, 200 * yields, tasks::yield_many(yields): Filch Tokio);
        curves[2].point(options, workers, runs);
        let runs = at!(workers, 64 * echo.messages, io::echo(echo): Filch Tokio);
        curves[3].point(options, workers, runs);
    }
    curves.into()
}

/// Sizes from a thousand to a million, or less to see that it works.
fn thousands(options: &Options) -> Vec<usize> {
    let all = [1_000, 10_000, 100_000, 1_000_000];
    all[..Scale::of(options).pick(4, 2)].to_vec()
}

/// How many are there at once.
fn tasks_alive(options: &Options) -> Vec<Curve> {
    let mut storm = Curve::new("tasks", "spawn_many", &ALL);
    let mut sleepers = Curve::new("tasks", "cancel_many", &ALL);
    for count in thousands(options) {
        storm.point(
            options,
            count,
            at!(WORKERS, count, tasks::spawn_many(count): Filch Tokio Smol),
        );
        let runs = at!(WORKERS, count, cancellation::cancel_many(count): Filch Tokio Smol);
        sleepers.point(options, count, runs);
    }
    vec![storm, sleepers]
}

fn timers(options: &Options) -> Vec<Curve> {
    let mut live = Curve::new("timers", "timers_live", &ALL);
    for count in thousands(options) {
        live.point(options, count, at!(WORKERS, count, time::timers_live(count): Filch Tokio Smol));
    }
    vec![live]
}

/// Both ends are in this process: two descriptors each.
fn connections(options: &Options) -> Vec<Curve> {
    let scale = Scale::of(options);
    let room = most_connections();
    let mut curve = Curve::new("connections", "tcp_echo", &ALL);
    for connections in [10, 100, 1_000, 10_000] {
        let connections = connections.min(room);
        if connections > scale.pick(10_000, 100) {
            break;
        }
        let messages = (scale.pick(50_000, 500) / connections).max(5);
        let echo = Echo { connections, messages, bytes: 64 };
        let operations = connections * messages;
        curve.point(
            options,
            connections,
            at!(WORKERS, operations, io::echo(echo): Filch Tokio Smol),
        );
    }
    vec![curve]
}
