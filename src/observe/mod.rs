//! What is told about the proxy: counters, access records, metrics text, journal encodings.
//!
//! Passive: nothing here decides anything. The tables of columns ([`counters`]) and of record kinds
//! ([`ids`]) are the only places where a new number or a new kind of record has to be entered.

pub mod access;
pub mod alarm;
pub mod counters;
pub mod encode;
pub mod histogram;
pub mod ids;
pub mod metrics;
pub mod reading;
pub mod ring;
pub mod short;
pub mod writer;

pub use access::{Names, Record, Sampling};
pub use counters::{Counter, Gauge, Timing};
pub use reading::Reading;
pub use ring::Recorder;
pub use short::Short;
pub use writer::Sink;
