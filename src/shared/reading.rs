//! Reading the whole board, and what the master and the accepting workers ask of it.
//!
//! Values are hostile: a gauge beyond any possible number reads as zero, a heartbeat ahead of now as
//! now, sums saturate.

use super::layout::{header, worker};
use super::page::{Value, WorkerState};
use super::table::Line;
use super::{Board, Tag};
use crate::base::clock::Time;
use crate::observe::reading::{Reading, RowReading, WorkerReading};
use crate::observe::{Gauge, Timing};
use std::time::Duration;

/// No gauge is ever larger.
const GAUGE_MAX: u64 = 1 << 32;

/// How live connections are spread over the serving workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// Workers that serve and whose loop turns.
    pub workers: u32,
    /// Their front connections in all.
    pub connections: u64,
    /// The fewest that one of them has.
    pub fewest: u64,
}

impl Board {
    /// Everything, summed and clamped.
    pub fn read(&self, now: Time) -> Reading {
        let mut reading = Reading { at: now, lines: self.shape.lines, ..Reading::default() };
        for slot in 0..self.slots_used() {
            self.add_slot(slot, now, &mut reading);
        }
        for index in 0..self.shape.lines {
            let tag = self.get(self.shape.line(index));
            if tag > 1 {
                let row = self.read_row(index, tag);
                reading.rows.entry(tag).or_insert(row);
            }
        }
        reading
    }

    /// The worker in `slot`; `None` for an empty slot.
    pub fn read_worker(&self, slot: u16, now: Time) -> Option<WorkerReading> {
        let base = self.shape.set(u32::from(slot));
        if u32::from(slot) >= self.shape.workers {
            return None;
        }
        let pid = u32::try_from(self.get(base + worker::PID)).ok().filter(|pid| *pid != 0)?;
        let gauge = |index| clamp(self.get(base + worker::GAUGES + index));
        Some(WorkerReading {
            slot,
            pid,
            generation: self.get(base + worker::GENERATION),
            serial: self.get(base + worker::SERIAL),
            state: WorkerState::of(self.get(base + worker::STATE)).name(),
            heartbeat: Time::from_nanos(self.get(base + worker::HEARTBEAT)).min(now),
            gauges: std::array::from_fn(gauge),
            counters: std::array::from_fn(|index| self.get(base + worker::COUNTERS + index)),
        })
    }

    /// How long the loop of the worker in `slot` has not turned; `None` for an empty slot.
    pub fn silence(&self, slot: u16, now: Time) -> Option<Duration> {
        self.read_worker(slot, now).map(|worker| now.since(worker.heartbeat))
    }

    /// The connection that the worker in `slot` was working on; zero for none.
    pub fn crumb(&self, slot: u16) -> u64 {
        self.get(self.shape.set(u32::from(slot)) + worker::CRUMB)
    }

    /// Empties a slot whose worker is gone, or that is to have its first: its gauges count no longer,
    /// its counters stay. From then on readers look at it (master only).
    pub fn clear_worker(&self, slot: u16) {
        let Some(page) = self.page(slot) else { return };
        let used = self.get(header::SLOTS_USED).max(u64::from(slot) + 1);
        self.put(header::SLOTS_USED, used);
        let base = self.shape.set(u32::from(slot));
        self.put(base + worker::PID, 0);
        page.set_state(WorkerState::None);
        Gauge::ALL.iter().for_each(|gauge| page.set(*gauge, 0));
        for index in 0..self.shape.lines {
            let at = self.shape.row(u32::from(slot), index);
            if self.get(self.shape.line(index)) > 1 && self.get(at + Value::Open.offset()) != 0 {
                self.put(at + Value::Open.offset(), 0);
            }
        }
    }

    /// How connections are spread, over the workers that serve and have turned in the last 1.5 s. A
    /// few loads for each slot in use.
    pub fn spread(&self, now: Time) -> Spread {
        let mut spread = Spread { fewest: u64::MAX, ..Spread::default() };
        for slot in 0..self.slots_used() {
            let base = self.shape.set(slot);
            let beat = Time::from_nanos(self.get(base + worker::HEARTBEAT));
            let serving = WorkerState::of(self.get(base + worker::STATE)) == WorkerState::Serving;
            if !serving || now.since(beat) > Duration::from_millis(1_500) {
                continue;
            }
            let gauge = base + worker::GAUGES + Gauge::FrontConnections.index();
            let connections = clamp(self.get(gauge));
            spread.workers += 1;
            spread.connections += connections;
            spread.fewest = spread.fewest.min(connections);
        }
        if spread.workers == 0 {
            spread.fewest = 0;
        }
        spread
    }

    /// The sums of a tag's rows; zeros when it has no line.
    pub fn read_tag(&self, tag: Tag) -> RowReading {
        match self.find(tag) {
            Some(Line { index, .. }) => self.read_row(index, tag.value()),
            None => RowReading::default(),
        }
    }

    fn slots_used(&self) -> u32 {
        // No slot was ever cleared for a worker (in tests): look at all.
        match u32::try_from(self.get(header::SLOTS_USED)) {
            Ok(count @ 1..) => count.min(self.shape.workers),
            _ => self.shape.workers,
        }
    }

    fn add_slot(&self, slot: u32, now: Time, reading: &mut Reading) {
        let base = self.shape.set(slot);
        for (index, sum) in reading.counters.iter_mut().enumerate() {
            *sum = sum.saturating_add(self.get(base + worker::COUNTERS + index));
        }
        for timing in Timing::ALL {
            let at = base + worker::TIMINGS + timing.index() * worker::TIMING;
            let sums = &mut reading.timings[timing.index()];
            sums.sum_micros = sums.sum_micros.saturating_add(self.get(at));
            for (index, sum) in sums.buckets.iter_mut().enumerate() {
                *sum = sum.saturating_add(self.get(at + 1 + index));
            }
        }
        if let Some(worker) = self.read_worker(slot as u16, now) {
            for (sum, gauge) in reading.gauges.iter_mut().zip(worker.gauges) {
                *sum = sum.saturating_add(gauge);
            }
            reading.workers.push(worker);
        }
    }

    fn read_row(&self, index: u32, tag: u64) -> RowReading {
        let mut sum =
            RowReading { shared: self.get(self.shape.line(index) + 1), ..RowReading::default() };
        for slot in 0..self.slots_used() {
            let at = self.shape.row(slot, index);
            if self.get(at) != tag {
                continue;
            }
            let value = |value: Value| self.get(at + value.offset());
            sum.requests = sum.requests.saturating_add(value(Value::Requests));
            sum.failures = sum.failures.saturating_add(value(Value::Failures));
            sum.open = sum.open.saturating_add(clamp(value(Value::Open)));
            sum.micros = sum.micros.saturating_add(value(Value::Micros));
            sum.sent = sum.sent.saturating_add(value(Value::Sent));
            sum.received = sum.received.saturating_add(value(Value::Received));
        }
        sum
    }
}

/// A gauge that can't be (a torn-off decrement, a hostile writer) reads as zero.
fn clamp(gauge: u64) -> u64 {
    if gauge > GAUGE_MAX { 0 } else { gauge }
}

#[cfg(test)]
mod tests {
    use super::super::Shape;
    use super::*;
    use crate::base::seed::Seed;
    use crate::observe::Counter;

    const SHAPE: Shape = Shape { workers: 3, lines: 8 };

    #[test]
    fn sums_and_the_dead() {
        let board = Board::in_memory(SHAPE);
        let line = board.claim(Tag::member(1)).unwrap();
        let now = Time::from_millis(1_000);
        for slot in 0..3 {
            board.clear_worker(slot);
            let page = board.page(slot).unwrap();
            page.start(100 + u32::from(slot), 1, 1, now);
            page.set_state(WorkerState::Serving);
            page.add(Counter::Accepted, 10);
            page.set(Gauge::FrontConnections, u64::from(slot) + 1);
            page.time(Timing::Request, 1_000);
            page.row(line).add(Value::Requests, 2);
            page.row(line).shift_open(1);
        }
        let reading = board.read(now);
        assert_eq!(reading.counter(Counter::Accepted), 30);
        assert_eq!(reading.gauge(Gauge::FrontConnections), 6);
        assert_eq!(reading.timing(Timing::Request).count(), 3);
        assert_eq!(reading.timing(Timing::Request).sum_micros, 3_000);
        let row = reading.row(Tag::member(1).value());
        assert_eq!((row.requests, row.open), (6, 3));
        assert_eq!(board.spread(now), Spread { workers: 3, connections: 6, fewest: 1 });

        board.clear_worker(0);
        let reading = board.read(now);
        assert_eq!(reading.counter(Counter::Accepted), 30);
        assert_eq!(reading.gauge(Gauge::FrontConnections), 5);
        assert_eq!(board.read_tag(Tag::member(1)).open, 2);
        assert_eq!(reading.workers.len(), 2);
        assert_eq!(board.spread(now), Spread { workers: 2, connections: 5, fewest: 2 });
        let later = now.after(Duration::from_secs(2));
        assert_eq!(board.spread(later), Spread::default());
        assert_eq!(board.silence(1, later), Some(Duration::from_secs(2)));
        assert_eq!(board.silence(0, later), None);
    }

    #[test]
    fn a_board_of_noise_is_read_without_harm() {
        let board = Board::in_memory(SHAPE);
        let mut seed = Seed::new(1);
        for at in 512..SHAPE.words() {
            board.put(at, if seed.one_in(3) { u64::MAX } else { seed.word() });
        }
        let now = Time::from_millis(1);
        let reading = board.read(now);
        assert!(reading.workers.iter().all(|worker| worker.heartbeat <= now));
        assert!(reading.gauges.iter().all(|gauge| *gauge <= 3 * GAUGE_MAX));
        assert!(board.spread(now).connections <= 3 * GAUGE_MAX);
        board.clear_worker(9);
        assert!(board.read_worker(9, now).is_none());
    }
}
