//! Several tasks awaited as one, and several blocks at once in one task.

use filch::{Result, ReturnWhen, TaskRef};

use crate::parse::{Block, Name, Op, When};
use crate::run::{Frame, Me, Running, shown};

impl Me {
    /// The tasks that have these names, by now.
    fn named(&self, names: &[Name]) -> Vec<(Name, TaskRef)> {
        let named = |name: &Name| Some((name.clone(), self.program.task(name)?));
        names.iter().filter_map(named).collect()
    }

    pub(crate) async fn gather(&self, names: &[Name], collect: bool) -> Result<()> {
        let named = self.named(names);
        let gathered = filch::gather(named.iter().map(|(_, task)| task));
        let results = match collect {
            true => gathered.return_errors().await,
            false => gathered.await?.into_iter().map(Ok).collect(),
        };
        let each = results.into_iter().zip(&named).map(|(result, (name, _))| match result {
            Ok(()) => format!("v:{name}"),
            Err(error) => shown(&error),
        });
        let each: Vec<String> = each.collect();
        self.log(format!("gather {}", each.join(",")));
        Ok(())
    }

    pub(crate) async fn wait(&self, names: &[Name], when: When, limit: Option<u64>) {
        let named = self.named(names);
        if named.is_empty() {
            return;
        }
        let when = match when {
            When::All => ReturnWhen::AllCompleted,
            When::First => ReturnWhen::FirstCompleted,
            When::FirstError => ReturnWhen::FirstError,
        };
        let limit = limit.map(|time| self.program.time(time));
        let waited = filch::wait(named.iter().map(|(_, task)| task), when).timeout(limit).await;
        let list = |tasks: Vec<&TaskRef>| {
            let mut names: Vec<String> = tasks.into_iter().map(TaskRef::name).collect();
            names.sort();
            names.join(",")
        };
        self.log(format!("wait done={} pending={}", list(waited.done), list(waited.pending)));
    }

    pub(crate) async fn wait_for_task(&self, limit: u64, name: &Name) -> Result<()> {
        let Some(task) = self.program.task(name) else { return Ok(()) };
        filch::timeout(self.program.time(limit), task.join()).await?;
        self.log(format!("wait_for v:{name}"));
        Ok(())
    }

    pub(crate) async fn wait_for_block(&self, limit: u64, block: &Block) -> Result<()> {
        let block = self.clone().block(block.clone(), Frame::default());
        filch::timeout(self.program.time(limit), block).await?;
        self.log("wait_for ok");
        Ok(())
    }

    pub(crate) async fn as_completed(&self, names: &[Name], limit: Option<u64>) -> Result<()> {
        // What is done already comes in no set order.
        let running = self.named(names).into_iter().filter(|(_, task)| !task.is_finished());
        let tasks = running.map(|(_, task)| task);
        let limit = limit.map(|time| self.program.time(time));
        let mut ended = filch::as_completed(tasks).timeout(limit);
        while let Some(task) = ended.next().await {
            let task = task?;
            match task.error() {
                None => self.log(format!("completed v:{}", task.name())),
                Some(error) if error.is_timeout() || error.is_cancelled() => return Err(error),
                Some(error) => self.log(format!("completed {}", shown(&error))),
            }
        }
        Ok(())
    }

    /// Several blocks at once in this task.
    pub(crate) async fn several(&self, op: &Op, frame: &Frame) -> Result<()> {
        use futures::StreamExt;
        use futures::future::{join_all, select_all, try_join_all};
        let start =
            |blocks: &[Block]| blocks.iter().map(|block| self.inside(block, frame)).collect();
        match op {
            Op::JoinAll(blocks) => {
                let running: Vec<Running> = start(blocks);
                join_all(running).await.into_iter().collect::<Result<()>>()?;
                self.log("join_all");
            }
            Op::TryJoin(blocks) => {
                let running: Vec<Running> = start(blocks);
                try_join_all(running).await?;
                self.log("try_join");
            }
            Op::Select(blocks) => {
                let (first, _, losers) = select_all::<Vec<Running>>(start(blocks)).await;
                drop(losers);
                first?;
                self.log("select");
            }
            Op::Unordered(blocks) => {
                let running: Vec<Running> = start(blocks);
                let unordered: futures::stream::FuturesUnordered<_> = running.into_iter().collect();
                let ended: Vec<Result<()>> = unordered.collect().await;
                ended.into_iter().collect::<Result<()>>()?;
                self.log("funord");
            }
            _ => unreachable!("`op` sends nothing else here"),
        }
        Ok(())
    }
}
