//! Scopes: timeouts and groups.

use filch::{Deadline, Result, TaskGroup};

use filch::time::Instant;

use crate::parse::{Block, Name};
use crate::run::{Frame, Me};

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
        let body =
            |group: TaskGroup| self.inside(block, &Frame { group: Some(group), ..frame.clone() });
        filch::task_group(body).await?;
        self.log("group ok");
        Ok(())
    }

    pub(crate) fn group_spawn(&self, name: &Name, block: &Block, frame: &Frame) {
        let Some(group) = &frame.group else { return };
        let child = Me { name: name.clone(), program: self.program.clone() };
        let body = child.clone().block(block.clone(), Frame::default());
        match group.try_spawn(body) {
            Ok(task) => {
                task.set_name(&**name);
                self.program.keep(child, task.task_ref());
                self.log(format!("gspawn {name}"));
            }
            Err(_) => self.log(format!("gspawn {name} refused")),
        }
    }
}
