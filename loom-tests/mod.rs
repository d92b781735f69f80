//! Models of the lock-free protocols, one file each; run with
//! `RUSTFLAGS="--cfg loom" cargo test --lib --release`.

mod common;

mod blocking;
mod cancel;
mod group;
mod idle;
mod join;
mod life;
mod memory;
mod promise;
mod queue;
mod several;
mod shutdown;
mod state;
mod timers;
mod worker;
