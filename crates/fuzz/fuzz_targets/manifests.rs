//! libFuzzer's door to the target `manifests`.

#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|data: &[u8]| evenkeel_fuzz::run("manifests", data));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    evenkeel_fuzz::mutate::buffer(data, size, max_size, seed, fuzzer_mutate)
});
