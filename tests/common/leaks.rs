//! What a process holds of the system: descriptors, and threads of a name.

#![allow(dead_code)]

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

static ALONE: Mutex<()> = Mutex::new(());

/// Descriptors are counted for the whole process: one test at a time.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// For tools that open descriptors in this process: so many more do not count.
fn spare() -> usize {
    std::env::var("FILCH_SPARE_DESCRIPTORS").map_or(0, |count| count.parse().expect("a number"))
}

/// Threads whose name begins with `name`. The test runner's own are called as their tests are.
pub(crate) fn threads(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|found| found.starts_with(name)).count()
}

/// Waits until it is so: who ends by itself may take a moment, and a thread that was joined may
/// still be listed for one. Looks are counted, not time, which a machine that stands still takes.
fn settle(is_so: impl Fn() -> bool) {
    for _ in 0..60_000 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What there was, to be compared with what there is.
#[derive(Debug)]
pub(crate) struct Before {
    descriptors: usize,
    name: &'static str,
}

impl Before {
    /// `name` is that of the threads to be missed at the end; nobody else's.
    pub(crate) fn now(name: &'static str) -> Self {
        settle(|| threads(name) == 0);
        assert_eq!(threads(name), 0, "threads that are called {name:?} are there already");
        Before { descriptors: descriptors(), name }
    }

    /// Checks that nothing is left.
    pub(crate) fn check(self) {
        let expected = self.descriptors..=self.descriptors + spare();
        settle(|| threads(self.name) == 0 && expected.contains(&descriptors()));
        assert_eq!(threads(self.name), 0, "threads that are called {:?}", self.name);
        assert!(
            expected.contains(&descriptors()),
            "{} descriptors, not {expected:?}",
            descriptors()
        );
    }

    /// Checks that no descriptor is open any more, at this moment.
    pub(crate) fn check_descriptors(&self) {
        let now = descriptors();
        assert!(now <= self.descriptors + spare(), "{now} descriptors, not {}", self.descriptors);
    }

    /// Checks that no thread is left.
    pub(crate) fn check_threads(&self) {
        settle(|| threads(self.name) == 0);
        assert_eq!(threads(self.name), 0, "threads that are called {:?}", self.name);
    }
}
