//! A program gets nowhere on real threads: does it wait for what nobody will do, as it would in
//! asyncio in the same order of events, or was somebody forgotten?
//!
//! Nobody was if each of its tasks sleeps and awaits another one, or stands in the line of an
//! event, a lock, a semaphore or a queue, and nobody in such a line could go on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use filch::TaskRef;
use filch::inspect::AwaitGraph;

use crate::run::Program;

/// Who was forgotten, if somebody was. To be asked when nothing moves.
pub(crate) fn forgotten(program: &Program, graph: &AwaitGraph) -> Result<(), String> {
    let unfinished = unfinished(program);
    let mut in_line = 0;
    for task in &unfinished {
        let Some(info) = graph.get(task.id()) else {
            return Err(format!("{} is nowhere", task.name()));
        };
        if !info.is_suspended() {
            return Err(format!("{} is ready, and does not run", task.name()));
        }
        in_line += usize::from(info.awaits().is_empty());
    }
    let standing = program.shared().standing()?;
    match standing == in_line && standing > 0 {
        true => Ok(()),
        false => Err(format!("{in_line} wait for no task, and {standing} stand in a line")),
    }
}

/// Ends a program that waits for ever. True: it has ended.
pub(crate) fn end(program: &Arc<Program>, patience: Duration) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < patience {
        let unfinished = unfinished(program);
        if unfinished.is_empty() {
            return true;
        }
        for task in unfinished {
            task.cancel();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    false
}

fn unfinished(program: &Program) -> Vec<TaskRef> {
    program.tasks().into_iter().filter(|task| !task.is_finished()).collect()
}
