//! Scopes: timeouts and groups.

use std::sync::{Arc, Mutex, PoisonError};

use filch::time::Instant;
use filch::{Deadline, Error, Result, TaskGroup, TaskRef};

use crate::parse::{Block, Name};
use crate::run::{Frame, Me};

/// A group, and its children, to tell afterwards whether it forgot one of them.
#[derive(Clone)]
pub(crate) struct Group {
    group: TaskGroup,
    children: Arc<Mutex<Vec<TaskRef>>>,
}

/// A block with a group is left. Whatever way that is: its children have ended, and whatever they
/// failed with is in the error.
struct Left {
    me: Me,
    children: Arc<Mutex<Vec<TaskRef>>>,
    by_its_end: bool,
}

impl Left {
    fn with(mut self, ended: Result<()>) -> Result<()> {
        let error = ended.as_ref().err();
        let errors = error.filter(|error| error.is_group()).map_or(0, |group| group.errors().len());
        let failed = self.failed();
        // The body's own error comes last.
        if failed.is_none_or(|failed| !(failed..=failed + 1).contains(&errors)) {
            self.fault(format!("{errors} errors of {failed:?} children that failed"));
        }
        self.by_its_end = true;
        ended
    }

    /// How many children failed; `None`: not all of them have ended.
    fn failed(&self) -> Option<usize> {
        let children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |child: &&TaskRef| child.error().is_some_and(|e: Error| !e.is_cancelled());
        let ended = children.iter().all(|child| child.is_finished());
        ended.then(|| children.iter().filter(failed).count())
    }

    fn fault(&self, what: String) {
        self.me.program.fault(format!("a group of {}: {what}", self.me.name));
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        match self.failed() {
            _ if self.by_its_end => {}
            Some(0) => {}
            failed => self.fault(format!("unwound, {failed:?} children failed")),
        }
    }
}

impl Me {
    pub(crate) async fn timeout(
        &self,
        limit: Option<u64>,
        block: &Block,
        frame: &Frame,
    ) -> Result<()> {
        let mut deadline = None;
        let body = |inner: Deadline| {
            deadline = Some(inner.clone());
            self.inside(block, &Frame { timeout: Some(inner), ..frame.clone() })
        };
        filch::timeout_scope(limit.map(|time| self.program.time(time)), body).await?;
        let expired = deadline.is_some_and(|deadline| deadline.expired());
        self.log(format!("timeout expired={expired}"));
        Ok(())
    }

    pub(crate) fn reschedule(&self, limit: Option<u64>, frame: &Frame) {
        if let Some(timeout) = &frame.timeout {
            let at = limit.map(|time| Instant::now() + self.program.time(time));
            let moved = timeout.reschedule(at).is_ok();
            self.log(if moved { "resched" } else { "resched refused" });
        }
    }

    pub(crate) async fn group(&self, block: &Block, frame: &Frame) -> Result<()> {
        let children = Arc::default();
        let left = Left { me: self.clone(), children: Arc::clone(&children), by_its_end: false };
        let body = |group| {
            let group = Some(Group { group, children });
            self.inside(block, &Frame { group, ..frame.clone() })
        };
        let ended = filch::task_group(body).await;
        left.with(ended)?;
        self.log("group ok");
        Ok(())
    }

    pub(crate) fn group_spawn(&self, name: &Name, block: &Block, frame: &Frame) {
        let Some(Group { group, children }) = &frame.group else { return };
        let child = Me { name: name.clone(), program: self.program.clone() };
        let body = child.clone().block(block.clone(), Frame::default());
        match group.try_spawn(body) {
            Ok(task) => {
                task.set_name(&**name);
                let mut children = children.lock().unwrap_or_else(PoisonError::into_inner);
                children.push(task.task_ref());
                drop(children);
                self.program.keep(child, task.task_ref());
                self.log(format!("gspawn {name}"));
            }
            Err(_) => self.log(format!("gspawn {name} refused")),
        }
    }
}
