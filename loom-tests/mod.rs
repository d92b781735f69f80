//! Models of the lock-free protocols, one file each; run with
//! `RUSTFLAGS="--cfg loom" cargo test --lib --release`.

mod common;

mod blocking;
mod cancel;
mod channel;
mod event;
mod idle;
mod join;
mod life;
mod memory;
mod permits;
mod queue;
mod shutdown;
mod state;
mod timers;
mod wait_list;
mod worker;
