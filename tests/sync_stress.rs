//! Locks, permits, notifications and items on real threads, while tasks are cancelled at any
//! moment: in the end everything is where it was, and every item was got once.

#[allow(dead_code, reason = "some of it is for simulations")]
#[path = "sync_stress/scene.rs"]
mod scene;

use filch::Runtime;
use scene::{World, scene};

#[test]
fn nothing_is_lost_on_threads() {
    let world = World::new();
    let runtime = Runtime::builder().workers(4).build().unwrap();
    runtime.block_on(scene(world.clone(), 48, 600, 1)).unwrap();
    // Tasks that nobody waited for end with the runtime.
    drop(runtime);
    assert!(world.verify() > 0);
}
