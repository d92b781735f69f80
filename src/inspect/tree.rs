//! Who awaits whom, as text.

use std::fmt;

use crate::inspect::graph::{AwaitGraph, TaskInfo};
use crate::task::handle::TaskId;

/// Below this, lines are not indented any further.
const DEEPEST: usize = 40;

/// A part of an [`AwaitGraph`], to be displayed.
///
/// One line for each task: its name, where it was spawned, and `ready` if it was being polled or
/// about to be, `cancelling` if it was asked to end. Below a task and indented are those whom it
/// awaits (or, in [`AwaitGraph::awaiting`], who await it). What was shown before is not shown
/// again: `see above`. A ring says so.
#[derive(Debug, Clone)]
pub struct AwaitTree<'a> {
    graph: &'a AwaitGraph,
    roots: Vec<usize>,
    direction: Direction,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Direction {
    /// To those who are awaited.
    Down,
    /// To those who await.
    Up,
}

impl Direction {
    fn follow(self, info: &TaskInfo) -> &[TaskId] {
        match self {
            Direction::Down => info.awaits(),
            Direction::Up => info.awaited_by(),
        }
    }
}

impl<'a> AwaitTree<'a> {
    pub(super) fn new(graph: &'a AwaitGraph, roots: Vec<usize>, direction: Direction) -> Self {
        AwaitTree { graph, roots, direction }
    }
}

impl fmt::Display for AwaitGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let roots = self.roots().filter_map(|info| self.place(info.id())).collect();
        let mut writer = Writer::new(AwaitTree::new(self, roots, Direction::Down));
        writer.write(f)?;
        // What no root leads to hangs on a ring.
        for place in 0..self.tasks().len() {
            if !writer.shown[place] {
                writer.write_tree(place, f)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for AwaitTree<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Writer::new(self.clone()).write(f)
    }
}

/// Writes trees, line by line; chains may be of any length, so it does not call itself.
struct Writer<'a> {
    tree: AwaitTree<'a>,
    shown: Vec<bool>,
    on_the_way: Vec<bool>,
    lines: usize,
}

/// One task on the way from the root to the line that is being written.
struct Step {
    place: usize,
    next: usize,
    /// It is the last of those that are told below the same one.
    last: bool,
}

impl<'a> Writer<'a> {
    fn new(tree: AwaitTree<'a>) -> Self {
        let count = tree.graph.tasks().len();
        Writer { tree, shown: vec![false; count], on_the_way: vec![false; count], lines: 0 }
    }

    fn write(&mut self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for root in self.tree.roots.clone() {
            self.write_tree(root, f)?;
        }
        Ok(())
    }

    fn write_tree(&mut self, root: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut way = Vec::new();
        self.enter(root, true, &mut way, f)?;
        while let Some(step) = way.last_mut() {
            let below = self.below(step.place);
            let next = below.get(step.next).and_then(|id| self.tree.graph.place(*id));
            step.next += 1;
            let last = step.next >= below.len();
            match next {
                Some(next) => self.enter(next, last, &mut way, f)?,
                None => {
                    self.on_the_way[step.place] = false;
                    way.pop();
                }
            }
        }
        Ok(())
    }

    fn below(&self, place: usize) -> &'a [TaskId] {
        let graph: &'a AwaitGraph = self.tree.graph;
        self.tree.direction.follow(&graph.tasks()[place])
    }

    /// Writes a task's line, and goes on below it if there is more to tell.
    fn enter(
        &mut self,
        place: usize,
        last: bool,
        way: &mut Vec<Step>,
        f: &mut fmt::Formatter<'_>,
    ) -> fmt::Result {
        if self.lines > 0 {
            f.write_str("\n")?;
        }
        self.lines += 1;
        indent(way, last, f)?;
        write_task(&self.tree.graph.tasks()[place], f)?;
        if self.on_the_way[place] {
            return f.write_str(", a ring");
        }
        let told = std::mem::replace(&mut self.shown[place], true);
        if told {
            let more = !self.below(place).is_empty();
            return if more { f.write_str(", see above") } else { Ok(()) };
        }
        self.on_the_way[place] = true;
        way.push(Step { place, next: 0, last });
        Ok(())
    }
}

fn indent(way: &[Step], last: bool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Some((_root, way)) = way.split_first() else { return Ok(()) };
    if way.len() >= DEEPEST {
        return write!(f, "{:indent$}{} deep: ", "", way.len() + 1, indent = 4 * DEEPEST);
    }
    for step in way {
        f.write_str(if step.last { "    " } else { "│   " })?;
    }
    f.write_str(if last { "└── " } else { "├── " })
}

fn write_task(info: &TaskInfo, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{} ({})", info.name(), info.location())?;
    if !info.is_suspended() {
        f.write_str(", ready")?;
    }
    if info.cancelling() > 0 {
        f.write_str(", cancelling")?;
    }
    Ok(())
}
