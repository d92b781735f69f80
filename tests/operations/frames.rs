//! What the model's tasks consist of: blocks, scopes, and waits that are tried again.

use crate::model::{Alarm, Fault, Flow, Id, Model, State};
use crate::program::{After, Block, Op};

/// How what is inside a frame ended.
#[derive(Debug, Clone)]
pub(crate) enum Signal {
    Go,
    Cancelled,
    Fault(Fault),
}

/// One level of a task's stack.
pub(crate) enum Frame {
    Block {
        block: Block,
        next: usize,
        /// An operation has been begun.
        busy: bool,
    },
    Timeout {
        scope: usize,
        alarm: Option<(u64, u64)>,
        /// How many requests there were on the way in.
        count: u32,
        expired: bool,
    },
    Catch(After),
    Try,
    /// Holds permits: of which semaphore, and how many.
    Permit(usize, usize),
    Group(usize),
    Get(usize, Id),
    Put(usize, Id, u32),
    /// Waits for permits.
    Acquire(usize, usize, Id, Block),
    Exit {
        group: usize,
        body: Signal,
        /// A request, not the group's own, is to leave the block.
        cancelled: bool,
    },
}

/// A task group.
pub(crate) struct Group {
    parent: usize,
    children: Vec<usize>,
    errors: Vec<Fault>,
    /// The body has ended.
    exiting: bool,
    aborting: bool,
    asked: bool,
    empty: Option<Id>,
}

impl Frame {
    pub(crate) fn block(block: &Block) -> Frame {
        Frame::Block { block: block.clone(), next: 0, busy: false }
    }
}

impl Model {
    /// Gives a task's innermost frame what has come to it.
    pub(crate) fn advance(&mut self, task: usize, signal: Signal) -> Flow {
        let Some(frame) = self.tasks[task].frames.pop() else { return Flow::End(signal) };
        match frame {
            Frame::Block { block, next, busy } => match signal {
                Signal::Go => self.go_on(task, block, next, busy),
                signal => Flow::On(signal),
            },
            Frame::Timeout { alarm, count, expired, .. } => {
                self.leave_timeout(task, signal, alarm, count, expired)
            }
            Frame::Catch(after) => match signal {
                Signal::Cancelled => self.caught(task, after),
                signal => Flow::On(signal),
            },
            Frame::Try => match signal {
                Signal::Fault(fault) => {
                    self.log(task, format!("tried {fault}"));
                    Flow::On(Signal::Go)
                }
                signal => Flow::On(signal),
            },
            Frame::Permit(semaphore, count) => {
                self.return_permits(semaphore, count);
                Flow::On(signal)
            }
            Frame::Group(group) => self.leave_body(task, group, signal),
            Frame::Get(queue, id) => match signal {
                Signal::Go => self.begin_get(task, queue),
                signal => {
                    self.getter_leaves(queue, id);
                    Flow::On(signal)
                }
            },
            Frame::Put(queue, id, item) => match signal {
                Signal::Go => self.begin_put(task, queue, item),
                signal => {
                    self.putter_leaves(queue, id);
                    Flow::On(signal)
                }
            },
            Frame::Acquire(semaphore, count, id, block) => {
                self.acquirer_leaves(semaphore, count, id, matches!(signal, Signal::Go));
                match signal {
                    Signal::Go => self.enter(task, Frame::Permit(semaphore, count), &block),
                    signal => Flow::On(signal),
                }
            }
            Frame::Exit { group, body, cancelled } => {
                self.exit_goes_on(task, group, body, cancelled, signal)
            }
        }
    }

    fn push(&mut self, task: usize, frame: Frame) {
        self.tasks[task].frames.push(frame);
    }

    fn enter(&mut self, task: usize, frame: Frame, block: &Block) -> Flow {
        self.push(task, frame);
        self.push(task, Frame::block(block));
        Flow::On(Signal::Go)
    }

    fn go_on(&mut self, task: usize, block: Block, next: usize, busy: bool) -> Flow {
        if busy {
            self.log(task, "on");
        }
        let Some(op) = block.get(next).cloned() else { return Flow::On(Signal::Go) };
        self.push(task, Frame::Block { block, next: next + 1, busy: true });
        self.op(task, &op)
    }

    fn op(&mut self, task: usize, op: &Op) -> Flow {
        match *op {
            Op::Yield => return Flow::Yield,
            Op::Sleep(time) => {
                let end = self.future(None);
                let at = self.later(time);
                self.alarm(at, Alarm::End(end));
                return Flow::Wait(end);
            }
            Op::Await(number) => return self.wait_for(self.promises[number]),
            Op::Join(number) => {
                if let Some(other) = self.task(number, self.tasks[task].joins) {
                    return self.wait_for(self.tasks[other].end);
                }
            }
            Op::Put(queue) => {
                let item = self.item();
                return self.begin_put(task, queue, item);
            }
            Op::Get(queue) => return self.begin_get(task, queue),
            Op::Permit(semaphore, count, ref block) => {
                return self.begin_acquire(task, semaphore, count, block);
            }
            Op::Cancel(number) => {
                let other = self.task(number, self.tasks.len()).expect("this is one");
                let said = self.cancel(other);
                self.log(task, said.to_string());
            }
            Op::CancelSelf => {
                self.cancel(task);
            }
            Op::Uncancel => {
                let left = self.uncancel(task);
                self.log(task, left.to_string());
            }
            Op::Set(number) => {
                let said = self.finish(self.promises[number], State::Value);
                self.log(task, said.to_string());
            }
            Op::Fail => return Flow::On(Signal::Fault(Fault::Boom)),
            _ => return self.scope(task, op),
        }
        Flow::On(Signal::Go)
    }

    fn scope(&mut self, task: usize, op: &Op) -> Flow {
        match *op {
            Op::Timeout(time, ref block) => {
                self.serial += 1;
                let scope = self.serial as usize;
                let at = self.later(time);
                let alarm = Some(self.alarm(at, Alarm::Timeout { task, scope }));
                let count = self.tasks[task].count;
                let frame = Frame::Timeout { scope, alarm, count, expired: false };
                self.enter(task, frame, block)
            }
            Op::Move(time) => {
                self.reschedule(task, time);
                Flow::On(Signal::Go)
            }
            Op::Catch(ref block, after) => self.enter(task, Frame::Catch(after), block),
            Op::Try(ref block) => self.enter(task, Frame::Try, block),
            Op::Group(ref block) => {
                let (children, errors) = Default::default();
                let (exiting, aborting, asked, empty) = Default::default();
                let parent = task;
                let group = Group { parent, children, errors, exiting, aborting, asked, empty };
                self.groups.push(group);
                self.enter(task, Frame::Group(self.groups.len() - 1), block)
            }
            Op::Spawn(ref block) => {
                self.spawn(block, None, Some(task), self.group_around(task));
                self.log(task, "made");
                Flow::On(Signal::Go)
            }
            Op::Child(ref block) => {
                self.child(task, block);
                Flow::On(Signal::Go)
            }
            _ => unreachable!("`op` sends nothing else here"),
        }
    }

    /// What has ended is not waited for.
    fn wait_for(&mut self, id: Id) -> Flow {
        match &self.futures[id].state {
            State::Pending => Flow::Wait(id),
            State::Value => Flow::On(Signal::Go),
            State::Failed(fault) => Flow::On(Signal::Fault(fault.clone())),
            State::Cancelled => Flow::On(Signal::Cancelled),
        }
    }

    fn begin_get(&mut self, task: usize, queue: usize) -> Flow {
        if let Some(item) = self.get(queue) {
            self.log(task, format!("got {item}"));
            return Flow::On(Signal::Go);
        }
        if self.queues[queue].is_closed() {
            return Flow::On(Signal::Fault(Fault::Shutdown));
        }
        let id = self.future(None);
        self.queues[queue].getters.push_back(id);
        self.push(task, Frame::Get(queue, id));
        Flow::Wait(id)
    }

    fn begin_put(&mut self, task: usize, queue: usize, item: u32) -> Flow {
        match self.put(queue, item) {
            Some(true) => Flow::On(Signal::Go),
            Some(false) => Flow::On(Signal::Fault(Fault::Shutdown)),
            None => {
                let id = self.future(None);
                self.queues[queue].putters.push_back(id);
                self.push(task, Frame::Put(queue, id, item));
                Flow::Wait(id)
            }
        }
    }

    fn begin_acquire(
        &mut self,
        task: usize,
        semaphore: usize,
        count: usize,
        block: &Block,
    ) -> Flow {
        if self.take_permits(semaphore, count) {
            return self.enter(task, Frame::Permit(semaphore, count), block);
        }
        let id = self.future(None);
        self.permits[semaphore].line.push_back((id, count));
        self.push(task, Frame::Acquire(semaphore, count, id, block.clone()));
        Flow::Wait(id)
    }

    fn caught(&mut self, task: usize, after: After) -> Flow {
        self.log(task, "caught");
        match after {
            After::Raise => return Flow::On(Signal::Cancelled),
            After::Swallow => {}
            After::Uncancel => {
                let left = self.uncancel(task);
                self.log(task, left.to_string());
            }
        }
        Flow::On(Signal::Go)
    }

    /// A timeout's time is up.
    pub(crate) fn expire(&mut self, task: usize, of: usize) {
        for frame in &mut self.tasks[task].frames {
            if let Frame::Timeout { scope, alarm, expired, .. } = frame
                && *scope == of
            {
                (*alarm, *expired) = (None, true);
            }
        }
        self.cancel(task);
    }

    fn reschedule(&mut self, task: usize, time: Option<u64>) {
        let at = time.map(|time| self.later(time));
        let frames = self.tasks[task].frames.iter().rev();
        let mut found = frames.filter_map(|frame| match frame {
            Frame::Timeout { scope, alarm, expired, .. } => Some((*scope, *alarm, *expired)),
            _ => None,
        });
        let Some((of, before, over)) = found.next() else { return };
        self.log(task, (!over).to_string());
        if over {
            return;
        }
        before.and_then(|key| self.alarms.remove(&key));
        let new = at.map(|at| self.alarm(at, Alarm::Timeout { task, scope: of }));
        for frame in &mut self.tasks[task].frames {
            if let Frame::Timeout { scope, alarm, .. } = frame
                && *scope == of
            {
                *alarm = new;
            }
        }
    }

    fn leave_timeout(
        &mut self,
        task: usize,
        signal: Signal,
        alarm: Option<(u64, u64)>,
        count: u32,
        expired: bool,
    ) -> Flow {
        alarm.and_then(|key| self.alarms.remove(&key));
        if expired && self.uncancel(task) <= count && matches!(signal, Signal::Cancelled) {
            return Flow::On(Signal::Fault(Fault::Timeout));
        }
        Flow::On(signal)
    }

    /// The innermost group that a task can name.
    fn group_around(&self, task: usize) -> Option<usize> {
        let mut groups = self.tasks[task].frames.iter().rev().filter_map(|frame| match frame {
            Frame::Group(group) => Some(*group),
            _ => None,
        });
        groups.next().or(self.tasks[task].around)
    }

    fn child(&mut self, task: usize, block: &Block) {
        let around = self.group_around(task);
        if let Some(number) = around {
            let group = &mut self.groups[number];
            if group.aborting || group.exiting && group.children.is_empty() {
                return self.log(task, "refused");
            }
            group.children.push(self.tasks.len());
        }
        self.spawn(block, around, Some(task), around);
        self.log(task, "made");
    }

    fn abort(&mut self, group: usize) {
        self.groups[group].aborting = true;
        for child in self.groups[group].children.clone() {
            self.cancel(child);
        }
    }

    /// The group hears of a child's end.
    pub(crate) fn child_ended(&mut self, number: usize, child: usize) {
        let group = &mut self.groups[number];
        group.children.retain(|other| *other != child);
        if group.children.is_empty()
            && let Some(empty) = group.empty
        {
            self.finish(empty, State::Value);
        }
        let State::Failed(fault) = &self.futures[self.tasks[child].end].state else { return };
        let group = &mut self.groups[number];
        group.errors.push(fault.clone());
        if !group.aborting {
            let parent = group.parent;
            group.asked = true;
            self.abort(number);
            self.cancel(parent);
        }
    }

    fn leave_body(&mut self, task: usize, group: usize, body: Signal) -> Flow {
        self.groups[group].exiting = true;
        if !matches!(body, Signal::Go) && !self.groups[group].aborting {
            self.abort(group);
        }
        let cancelled = matches!(body, Signal::Cancelled);
        self.await_children(task, group, body, cancelled)
    }

    fn await_children(&mut self, task: usize, group: usize, body: Signal, cancelled: bool) -> Flow {
        if self.groups[group].children.is_empty() {
            return self.leave_group(task, group, body, cancelled);
        }
        let empty = self.future(None);
        self.groups[group].empty = Some(empty);
        self.push(task, Frame::Exit { group, body, cancelled });
        Flow::Wait(empty)
    }

    fn exit_goes_on(
        &mut self,
        task: usize,
        group: usize,
        body: Signal,
        mut cancelled: bool,
        signal: Signal,
    ) -> Flow {
        if matches!(signal, Signal::Cancelled) && !self.groups[group].aborting {
            cancelled = true;
            self.abort(group);
        }
        self.groups[group].empty = None;
        self.await_children(task, group, body, cancelled)
    }

    fn leave_group(
        &mut self,
        task: usize,
        group: usize,
        body: Signal,
        mut cancelled: bool,
    ) -> Flow {
        if self.groups[group].asked && self.uncancel(task) == 0 {
            cancelled = false;
        }
        let mut errors = std::mem::take(&mut self.groups[group].errors);
        if cancelled && errors.is_empty() {
            return Flow::On(Signal::Cancelled);
        }
        if let Signal::Fault(fault) = body {
            errors.push(fault);
        }
        if errors.is_empty() {
            return Flow::On(Signal::Go);
        }
        if self.tasks[task].count > 0 {
            self.uncancel(task);
            self.cancel(task);
        }
        Flow::On(Signal::Fault(Fault::Group(errors)))
    }
}
