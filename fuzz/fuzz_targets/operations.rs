//! Any bytes, as a sequence of operations: filch and the model of `tests/operations` come to the
//! same after each.

#![no_main]

#[path = "../../tests/operations/frames.rs"]
mod frames;
#[path = "../../tests/operations/model.rs"]
mod model;
#[allow(dead_code)]
#[path = "../../tests/operations/program.rs"]
mod program;
#[path = "../../tests/operations/real.rs"]
mod real;
#[path = "../../tests/operations/shared.rs"]
mod shared;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let deeds = program::sequence(bytes);
    assert_eq!(real::run(&deeds), model::run(&deeds, model::Ways::Filch), "{deeds:?}");
});
