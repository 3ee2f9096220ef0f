#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| br_core::fuzzing::leaf(bytes));
