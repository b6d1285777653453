//! What was read from the board at one moment, as plain data.
//!
//! Everything in here is clamped already; whoever fills it (`shared`) does that.

use super::counters::{Counter, Gauge, Timing};
use super::histogram::{self, BUCKETS};
use crate::base::clock::Time;
use std::collections::HashMap;

/// One worker that has a slot now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerReading {
    /// Its slot.
    pub slot: u16,
    /// Its process.
    pub pid: u32,
    /// Its generation.
    pub generation: u64,
    /// The serial it says it runs.
    pub serial: u64,
    /// What it says it is doing: `starting`, `serving`, `draining`.
    pub state: &'static str,
    /// When its loop last turned; never in the future.
    pub heartbeat: Time,
    /// Its gauges, by [`Gauge::index`].
    pub gauges: [u64; Gauge::COUNT],
    /// Its slot's counters, by [`Counter::index`].
    pub counters: [u64; Counter::COUNT],
}

impl WorkerReading {
    /// One gauge.
    pub fn gauge(&self, gauge: Gauge) -> u64 {
        self.gauges[gauge.index()]
    }

    /// One counter of its slot.
    pub fn counter(&self, counter: Counter) -> u64 {
        self.counters[counter.index()]
    }
}

/// A distribution of durations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// Counts by [`histogram::bucket`].
    pub buckets: [u64; BUCKETS],
    /// Sum in µs.
    pub sum_micros: u64,
}

impl Default for Distribution {
    fn default() -> Distribution {
        Distribution { buckets: [0; BUCKETS], sum_micros: 0 }
    }
}

impl Distribution {
    /// Measurements in all.
    pub fn count(&self) -> u64 {
        self.buckets.iter().fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// The duration in µs that `quantile` (0 to 1) of the measurements did not exceed.
    pub fn quantile(&self, quantile: f64) -> Option<u64> {
        histogram::quantile(&self.buckets, quantile)
    }
}

/// The sums of a member's or route's rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowReading {
    /// The line's shared word: a pool's cursor, a member's health.
    pub shared: u64,
    /// Requests.
    pub requests: u64,
    /// Failures.
    pub failures: u64,
    /// Connections or exchanges open now.
    pub open: u64,
    /// Sum of durations in µs.
    pub micros: u64,
    /// Body bytes towards the backend.
    pub sent: u64,
    /// Body bytes from the backend.
    pub received: u64,
}

/// The whole board.
#[derive(Clone, Debug)]
pub struct Reading {
    /// When.
    pub at: Time,
    /// Workers that have a slot now, by slot.
    pub workers: Vec<WorkerReading>,
    /// Sums of all counters, of dead workers too.
    pub counters: [u64; Counter::COUNT],
    /// Sums of all gauges of living workers.
    pub gauges: [u64; Gauge::COUNT],
    /// Distributions, by [`Timing::index`].
    pub timings: [Distribution; Timing::COUNT],
    /// Rows by tag (`shared::Tag::value`).
    pub rows: HashMap<u64, RowReading>,
    /// Lines of the board.
    pub lines: u32,
}

impl Default for Reading {
    fn default() -> Reading {
        Reading {
            at: Time::ZERO,
            workers: Vec::new(),
            counters: [0; Counter::COUNT],
            gauges: [0; Gauge::COUNT],
            timings: Default::default(),
            rows: HashMap::new(),
            lines: 0,
        }
    }
}

impl Reading {
    /// The sum of a counter.
    pub fn counter(&self, counter: Counter) -> u64 {
        self.counters[counter.index()]
    }

    /// The sum of a gauge.
    pub fn gauge(&self, gauge: Gauge) -> u64 {
        self.gauges[gauge.index()]
    }

    /// A distribution.
    pub fn timing(&self, timing: Timing) -> &Distribution {
        &self.timings[timing.index()]
    }

    /// The row of a tag; zeros when it has none.
    pub fn row(&self, tag: u64) -> RowReading {
        self.rows.get(&tag).copied().unwrap_or_default()
    }
}
