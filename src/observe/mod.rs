//! Counters, access records, journal encodings: passive data.

pub mod counters;
pub mod histogram;

pub use counters::{Counter, Gauge, Timing};
