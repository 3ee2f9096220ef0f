#![no_main]

#[path = "../../crates/br-archive/tests/it/bodies.rs"]
#[expect(dead_code, reason = "each target has its own body")]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::meta(bytes));
