//! Models of the lock-free protocols, one file each; run with
//! `RUSTFLAGS="--cfg loom" cargo test --lib --release`.

mod common;

mod asked;
mod blocking;
mod calls;
mod cancel;
mod channel;
mod condition;
mod event;
mod group;
mod idle;
mod join;
mod latest;
mod life;
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
