//! Counters, access records, journal encodings: passive data.

pub mod counters;
pub mod histogram;
pub mod reading;

pub use counters::{Counter, Gauge, Timing};
pub use reading::Reading;
