//! `cargo +nightly fuzz run h1_pair`
#![no_main]

#[path = "../targets/h1.rs"]
#[allow(dead_code)] // The other role has its own binary.
mod h1;

libfuzzer_sys::fuzz_target!(|data: &[u8]| h1::pair(data));
