//! Arenas, buffers, queues, time: what everything stands on.
//!
//! Uses `std` only (and `nix` to read the clock); knows no protocol and does no I/O. Everything here is a plain value owned by
//! one thread; nothing locks.

pub mod ascii;
pub mod buf;
pub mod clock;
pub mod planted;
pub mod queue;
pub mod seed;
pub mod slots;
pub mod units;
pub mod wheel;
