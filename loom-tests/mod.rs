//! Models of the protocols between threads, one file each; run with
//! `RUSTFLAGS="--cfg loom" cargo test --lib --release`.
//!
//! Each model names the edit that breaks it. `.ci/mutations` makes these edits, which are patches
//! in `mutations`, and looks whether the models fail. What a model observes should be loom's own,
//! or lead to a panic: where only something that loom cannot see depends on the order of two steps,
//! it tries one order.
//!
//! The races of asyncio's rules, and where they are:
//!
//! | race                                         | rules            | models                    |
//! |----------------------------------------------|------------------|---------------------------|
//! | a request against a wake                     | CAN-28           | `state`, `cancel`, `life` |
//! | a request against the end of the task        | CAN-29           | `state`, `cancel`, `life` |
//! | a request against the end of what is awaited | CAN-17, CAN-23   | `cancel`, `several`       |
//! | `uncancel` against delivery                  | CAN-13, CAN-14   | `state`, `cancel`, `life` |
//! | a timer against the end of its block         | TMO-16           | `timeouts`                |
//! | a timer against a move, a drop, a request    | TMO-06, TMO-07   | `timeouts`, `timers`      |
//! | a child's end against the group's and spawns | TG-19, TG-20     | `group`                   |
//! | a group's cancellation against ends inside   | TG-08, TG-20     | `group_cancel`            |
//! | a hand-over against a request to who waits   | LOCK-04, SEM-04, | `asked`, `permits`,       |
//! |                                              | COND-04, QUE-10  | `condition`, `channel`    |
//! | registration against the end                 | FUT-20, WAIT-05, | `join`, `several`         |
//! |                                              | GAT-12           |                           |
//! | set against cancel against wait              | FUT-02, FUT-04   | `promise`                 |
//! | the handle's drop against the end            | DBG-06           | `join`, `unseen`, `life`  |
//! | callbacks against their queue's turn and end | LOOP-01, LOOP-10 | `calls`                   |
//! | spawns and wakes against the runtime's end   | RUN-03           | `shutdown`                |

pub(crate) mod common;

mod asked;
mod blocking;
mod brief;
mod calls;
mod cancel;
mod channel;
mod condition;
mod event;
mod group;
mod group_cancel;
mod idle;
mod join;
mod latest;
mod lender;
mod life;
mod line;
mod memory;
mod oneshot;
mod permits;
mod promise;
mod queue;
mod several;
mod shutdown;
mod state;
mod timeouts;
mod timers;
mod unseen;
mod wait_list;
mod worker;
