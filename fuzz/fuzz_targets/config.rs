//! `cargo +nightly fuzz run config`
#![no_main]

#[path = "../targets/config.rs"]
#[allow(dead_code)] // The other target has its own binary.
mod config;

libfuzzer_sys::fuzz_target!(|data: &[u8]| config::document(data));
