//! What the table should show, and which rows fall short of it.

use crate::common::{Ratio, geometric_mean};
use crate::print::likely;
use crate::rows::Line;

/// The rows that a prototype was measured with before filch was written, and how many times as
/// long tokio took.
const KNOWN: [(&str, f64); 15] = [
    ("spawn_many", 4.3),
    ("spawn_join", 8.2),
    ("spawn_remote", 1.6),
    ("yield_many", 3.0),
    ("ping_pong", 4.0),
    ("chained_spawn", 15.0),
    ("fork_join", 4.4),
    ("wake_remote", 1.44),
    ("mpsc_fan_in", 5.3),
    ("sleep_many", 1.6),
    ("timeout_unfired", 16.0),
    ("cancel_many", 5.8),
    ("tcp_echo_1", 1.17),
    ("tcp_echo_64", 2.06),
    ("tcp_echo_1000", 1.29),
];

/// Swings with where the threads happen to sit, and may fall behind a little.
const SWINGS: &str = "wake_remote";
/// Nobody waits longer than this where fairness is asked for, in nanoseconds.
const PATIENCE: f64 = 1e6;
/// How many times the honest floor a task may cost, and the plain floor a message.
const HONEST: f64 = 2.0;
const PLAIN: f64 = 1.15;

/// Prints means, and which rows fall short.
pub(crate) fn summary(lines: &[Line]) {
    println!("\ngeometric means");
    let mut groups: Vec<&str> = lines.iter().map(|line| line.group).collect();
    groups.dedup();
    for group in groups {
        means(group, lines, |line| line.group == group);
    }
    means("the fifteen known rows", lines, |line| line.known().is_some());
    means("all", lines, |_| true);
    println!("\nrows that fall short");
    for line in lines {
        let found = line.shortcomings();
        if !found.is_empty() {
            println!("{:<28} {}", line.name, found.join(", "));
        }
    }
}

fn means(name: &str, lines: &[Line], chosen: impl Fn(&Line) -> bool) {
    let mean = |pick: fn(&Line) -> &Option<Ratio>| {
        let chosen = lines.iter().filter(|line| chosen(line));
        let medians: Vec<f64> =
            chosen.filter_map(|line| Some(pick(line).as_ref()?.median)).collect();
        if medians.is_empty() { "-".to_owned() } else { format!("{:.2}", geometric_mean(&medians)) }
    };
    let [tokio, smol, cpu] =
        [mean(|line| &line.tokio), mean(|line| &line.smol), mean(|line| &line.tokio_cpu)];
    println!("{name:<28} tokio {tokio}, smol {smol}, CPU of tokio {cpu}");
}

impl Line {
    fn known(&self) -> Option<f64> {
        KNOWN.iter().find(|(name, _)| *name == self.name).map(|(_, times)| *times)
    }

    fn shortcomings(&self) -> Vec<String> {
        let mut found = Vec::new();
        let (least, least_likely) = if self.name == SWINGS { (0.95, 0.0) } else { (1.0, 0.97) };
        for (name, ratio) in [("tokio", &self.tokio), ("smol", &self.smol)] {
            if let Some(ratio) = ratio
                && (ratio.median < least || ratio.likely.start < least_likely)
            {
                found.push(format!("behind {name}: {}", likely(&Some(ratio.clone()))));
            }
        }
        if let (Some(ratio), Some(known)) = (&self.tokio, self.known())
            && self.name != SWINGS
            && ratio.median < 0.9 * known
        {
            found.push(format!("{:.2} times ahead of tokio, {known} is known", ratio.median));
        }
        if let Some(ratio) = self.tokio_cpu.as_ref().filter(|ratio| ratio.median < 1.0) {
            found.push(format!("more CPU than tokio: {:.2}", ratio.median));
        }
        let floored = ["tasks", "waking", "cancellation"].contains(&self.group);
        if let Some(ratio) = self.honest.as_ref().filter(|ratio| floored && ratio.median > HONEST) {
            found.push(format!("{:.2} times the honest floor", ratio.median));
        }
        let echo = self.name.starts_with("tcp_echo");
        if let Some(ratio) = self.plain.as_ref().filter(|ratio| echo && ratio.median > PLAIN) {
            found.push(format!("{:.2} times the plain floor", ratio.median));
        }
        if self.group == "fairness" && self.wall[0] > PATIENCE {
            found.push(format!("{:.1} ms", self.wall[0] / 1e6));
        }
        found
    }
}
