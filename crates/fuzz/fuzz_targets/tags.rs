//! libFuzzer's door to the target `tags`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| evenkeel_fuzz::run("tags", data));
