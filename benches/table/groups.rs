//! Every row of the table, group by group, with its sizes: full and quick.

use std::time::Duration;

use crate::common::most_connections;
use crate::floors::honest::Honest;
use crate::floors::{plain, sockets};
use crate::rows::{Table, row};
use crate::work::hostage::{Hold, Victim};
use crate::work::io::Echo;
use crate::work::{blocking, cancellation, fairness, hostage, io, tasks, time, waking};

pub(crate) fn all(table: &mut Table) {
    tasks_and_turns(table);
    wake_ups(table);
    timers(table);
    cancelling(table);
    sockets_and_bytes(table);
    fair(table);
    threads(table);
    crate::memory::rows(table);
}

fn tasks_and_turns(table: &mut Table) {
    let s = table.group("tasks");
    let batches = s.pick(100, 2);
    row!(table, Cost, "spawn_join", tasks::spawn_join(batches) [Honest]
        plain plain::spawn_join(batches));
    let count = s.pick(100_000, 2_000);
    row!(table, Cost, "spawn_many", tasks::spawn_many(count) [Honest]
        plain plain::spawn_many(count));
    row!(table, Cost, "spawn_remote", tasks::spawn_remote(count / 4)[Honest]);
    row!(table, Cost, "spawn_thread_1", tasks::spawn_from_threads(1, count));
    row!(table, Cost, "spawn_thread_2", tasks::spawn_from_threads(2, count));
    row!(table, Cost, "spawn_thread_4", tasks::spawn_from_threads(4, count));
    row!(table, Cost, "mpsc_fan_in", tasks::mpsc_fan_in(count / 4)[Honest]);
    row!(table, Cost, "chained_spawn", tasks::chained_spawn(count) [Honest]
        plain plain::one_by_one(count));
    row!(table, Cost, "fork_join", tasks::fork_join(count) [Honest]
        plain plain::fork_join(count));
    let yields = s.pick(5_000, 50);
    row!(table, Cost, "yield_many", tasks::yield_many(yields) [Honest]
        plain plain::yield_many(yields));
    let times = s.pick(50, 1);
    row!(table, Cost, "ping_pong", tasks::ping_pong(times) [Honest] plain plain::ping_pong(times));
    let laps = s.pick(200, 3);
    row!(table, Cost, "ring_1000", tasks::ring(1_000, laps) [Honest]
        plain plain::ring(1_000, laps));
    row!(table, Cost, "spawn_eager", tasks::spawn_eager(count) [Honest]
        plain plain::one_by_one(count));
    let groups = s.pick(1_000, 10);
    row!(table, Cost, "group_100", tasks::group_100(groups) [Honest]
        plain plain::group_100(groups));
}

fn wake_ups(table: &mut Table) {
    let s = table.group("waking");
    let trips = s.pick(10_000, 100);
    row!(table, Cost, "wake_remote", waking::wake_remote(trips) plain plain::hand_over(trips));
    row!(table, Cost, "wake_pair", waking::wake_pair(10 * trips)[Honest]);
    row!(table, Cost, "wake_across", waking::wake_across(s.pick(5_000, 100))[Honest]);
    row!(table, Cost, "wake_crowd_1000", waking::wake_crowd(1_000, s.pick(50, 2))[Honest]);
    let time = Duration::from_millis(s.pick(200, 20) as u64);
    row!(table, Cpu, "idle_cpu_per_ms", waking::idle_cpu(time));
    row!(table, Cpu, "tick_cpu", waking::tick_cpu(s.pick(20, 4)));
    row!(table, Cpu, "light_load_cpu", io::light_load(s.pick(1_000, 20)));
}

fn timers(table: &mut Table) {
    let s = table.group("time");
    row!(table, Cost, "timeout_unfired", time::timeout_unfired(s.pick(2_000, 50))[Honest]);
    row!(table, Cost, "sleep_many", time::sleep_many(s.pick(100_000, 1_000))[Honest]);
    let live = s.pick(1_000_000, 10_000);
    row!(table, Cost, "timers_live_1m", time::timers_live(live)[Honest]);
    row!(table, Cost, "reschedule", time::reschedule(s.pick(2_000, 50)));
    row!(table, Delay, "sleep_late", time::lateness(s.pick(40, 2)));
}

fn cancelling(table: &mut Table) {
    let s = table.group("cancellation");
    let count = s.pick(100_000, 1_000);
    row!(table, Cost, "cancel_many", cancellation::cancel_many(count) [Honest]
        plain plain::cancel_many(count));
    row!(table, Cost, "cancel_asleep", cancellation::cancel_asleep(count)[Honest]);
    row!(table, Cost, "cancel_clean_up", cancellation::cancel_clean_up(count));
    let yields = s.pick(2_000, 50);
    row!(table, Cost, "cancel_never", cancellation::cancel_never(yields)
        plain plain::yield_many(yields));
}

fn sockets_and_bytes(table: &mut Table) {
    let s = table.group("io");
    let of = |connections, messages, bytes| Echo { connections, messages, bytes };
    let echo = of(1, s.pick(10_000, 200), 64);
    row!(table, Cost, "tcp_echo_1", io::echo(echo) plain sockets::echo(echo));
    let echo = of(64, s.pick(500, 10), 64);
    row!(table, Cost, "tcp_echo_64", io::echo(echo) plain sockets::echo(echo));
    let room = most_connections();
    if room >= 1_000 {
        let echo = of(1_000, s.pick(100, 2), 64);
        row!(table, Cost, "tcp_echo_1000", io::echo(echo) plain sockets::echo(echo));
    }
    let echo = of(64, s.pick(50, 2), 65_536);
    row!(table, Cost, "tcp_echo_64_64k", io::echo(echo) plain sockets::echo(echo));
    let (idle, echo) = (s.pick(4_000, 100), of(64, s.pick(300, 10), 64));
    if room >= idle + 64 {
        row!(table, Cost, "tcp_echo_idle_4000", io::echo_beside_idle(idle, echo));
    }
    let each = s.pick(100, 4);
    row!(table, Cost, "tcp_churn", io::churn(each) plain sockets::churn(8 * each));
    let messages = s.pick(500, 20);
    row!(table, Delay, "wire_to_handler", io::wire_to_handler(messages)
        plain sockets::wire_to_handler(messages));
}

fn fair(table: &mut Table) {
    let s = table.group("fairness");
    row!(table, Delay, "short_beside_1ms", fairness::short_beside_long(s.pick(500, 20)));
    row!(table, Delay, "short_beside_blocked", fairness::short_beside_blocked(s.pick(500, 20)));
    row!(table, Delay, "timer_in_flood", fairness::flood_timer(s.pick(100, 5)));
    row!(table, Delay, "socket_in_flood", fairness::flood_socket(s.pick(300, 10)));
    let trials = s.pick(6, 1);
    for (victim, name) in [
        (Victim::Spawned(1), "hostage_spawn_1"),
        (Victim::Spawned(8), "hostage_spawn_8"),
        (Victim::Timer, "hostage_timer"),
        (Victim::Socket, "hostage_socket"),
    ] {
        for (hold, how) in [(Hold::Compute, "compute"), (Hold::Block, "block")] {
            let name = format!("{name}_{how}");
            row!(table, Delay, &name, hostage::hostage(victim, hold, trials));
        }
    }
}

fn threads(table: &mut Table) {
    let s = table.group("blocking");
    row!(table, Cost, "to_thread_1", blocking::to_thread(1, s.pick(3_000, 50)));
    row!(table, Cost, "to_thread_64", blocking::to_thread(64, s.pick(200, 5)));
}
