//! `cargo +nightly fuzz run control`
#![no_main]

#[path = "../targets/control.rs"]
mod control;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    control::link(data);
    control::element(data);
});
