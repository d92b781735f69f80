//! Who waits for what, when nothing can happen any more.

use std::fmt::Write;

use crate::task::raw::TaskRef;

/// Tells, line by line, which tasks are left and what each of them awaits.
pub(crate) fn report(tasks: &[TaskRef]) -> String {
    let mut text = String::from("deadlock: no task can run and no timer is left");
    for task in tasks {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "\n  {} ({})", task.name(), task.location());
        let _ = match task.awaits() {
            Some(other) => write!(text, " awaits {}", other.name()),
            None => write!(text, " awaits something that nobody will wake"),
        };
    }
    text
}
