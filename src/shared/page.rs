//! A worker's own pages: the only place where it writes numbers that nobody else writes.
//!
//! Single writer: each change is a relaxed load and a relaxed store. Not here: reading them all
//! (`reading`).

use super::Board;
use super::layout::{LINE, worker};
use super::table::Line;
use crate::base::clock::Time;
use crate::observe::{Counter, Gauge, Timing, histogram};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a worker is doing, as it says itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WorkerState {
    /// The slot is empty.
    #[default]
    None,
    /// It reads its configuration.
    Starting,
    /// It accepts and serves.
    Serving,
    /// It finishes what it has.
    Draining,
}

impl WorkerState {
    pub(super) fn of(word: u64) -> WorkerState {
        match word {
            1 => WorkerState::Starting,
            2 => WorkerState::Serving,
            3 => WorkerState::Draining,
            _ => WorkerState::None,
        }
    }

    fn word(self) -> u64 {
        match self {
            WorkerState::None => 0,
            WorkerState::Starting => 1,
            WorkerState::Serving => 2,
            WorkerState::Draining => 3,
        }
    }

    /// The word for people.
    pub const fn name(self) -> &'static str {
        match self {
            WorkerState::None => "none",
            WorkerState::Starting => "starting",
            WorkerState::Serving => "serving",
            WorkerState::Draining => "draining",
        }
    }
}

/// A number in a member's or route's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Requests sent to the member, or that took the route. Counts.
    Requests,
    /// Those that failed: by fault of the member; of a route, answered with 500 or above. Counts.
    Failures,
    /// Connections to the member, or exchanges on the route, now. A gauge.
    Open,
    /// Sum of the upstream time (member) or of the whole duration (route), in µs. Counts.
    Micros,
    /// Body bytes towards the backend. Counts.
    Sent,
    /// Body bytes from the backend. Counts.
    Received,
}

impl Value {
    pub(super) const fn offset(self) -> usize {
        self as usize + 1
    }
}

/// The pages of one worker, for that worker.
#[derive(Clone, Debug)]
pub struct Page {
    board: Board,
    slot: u32,
    base: usize,
}

impl Board {
    /// The page of the worker in `slot`; `None` when there is no such slot. To write to it is that
    /// worker's right alone (elsewhere the memory is read-only).
    pub fn page(&self, slot: u16) -> Option<Page> {
        let slot = u32::from(slot);
        let base = self.shape.set(slot);
        (slot < self.shape.workers).then(|| Page { board: self.clone(), slot, base })
    }
}

impl Page {
    /// Takes the slot over: a new worker says who it is. Gauges start at zero, counters go on.
    pub fn start(&self, pid: u32, generation: u64, serial: u64, now: Time) {
        Gauge::ALL.iter().for_each(|gauge| self.set(*gauge, 0));
        self.board.put(self.base + worker::CRUMB, 0);
        self.board.put(self.base + worker::GENERATION, generation);
        self.set_serial(serial);
        self.set_state(WorkerState::Starting);
        self.beat(now);
        self.board.put(self.base + worker::PID, u64::from(pid));
    }

    /// The slot.
    pub fn slot(&self) -> u16 {
        self.slot as u16
    }

    /// Says that the loop turns; once a turn.
    #[inline]
    pub fn beat(&self, now: Time) {
        self.board.put(self.base + worker::HEARTBEAT, now.as_nanos());
    }

    /// Says which configuration runs.
    pub fn set_serial(&self, serial: u64) {
        self.board.put(self.base + worker::SERIAL, serial);
    }

    /// Says what the worker is doing.
    pub fn set_state(&self, state: WorkerState) {
        self.board.put(self.base + worker::STATE, state.word());
    }

    /// Names the connection that is being worked on (zero: none), for the report after a crash.
    #[inline]
    pub fn set_crumb(&self, connection: u64) {
        self.board.put(self.base + worker::CRUMB, connection);
    }

    /// Counts `n` more.
    #[inline]
    pub fn add(&self, counter: Counter, n: u64) {
        self.bump(self.base + worker::COUNTERS + counter.index(), n);
    }

    /// Sets a gauge.
    #[inline]
    pub fn set(&self, gauge: Gauge, value: u64) {
        self.board.put(self.base + worker::GAUGES + gauge.index(), value);
    }

    /// Moves a gauge by `by`.
    #[inline]
    pub fn shift(&self, gauge: Gauge, by: i64) {
        self.bump(self.base + worker::GAUGES + gauge.index(), by as u64);
    }

    /// This worker's own value of a counter.
    pub fn counter(&self, counter: Counter) -> u64 {
        self.board.get(self.base + worker::COUNTERS + counter.index())
    }

    /// This worker's own value of a gauge.
    pub fn gauge(&self, gauge: Gauge) -> u64 {
        self.board.get(self.base + worker::GAUGES + gauge.index())
    }

    /// Counts one measurement of `micros` µs.
    #[inline]
    pub fn time(&self, timing: Timing, micros: u64) {
        let base = self.base + worker::TIMINGS + timing.index() * worker::TIMING;
        self.bump(base, micros);
        self.bump(base + 1 + histogram::bucket(micros), 1);
    }

    /// This worker's row of a line; a row of an earlier tag starts over. To be asked for once for each
    /// line of a plan, not for each request.
    pub fn row(&self, line: Line) -> Row {
        let at = self.board.shape.row(self.slot, line.index);
        if self.board.get(at) != line.tag.value() {
            (1..LINE).for_each(|offset| self.board.put(at + offset, 0));
            self.board.put(at, line.tag.value());
        }
        Row { board: self.board.clone(), at: Some(at), tag: line.tag.value() }
    }

    /// [`Page::row`], or a row that counts nothing where there is no line.
    pub fn row_of(&self, line: Option<Line>) -> Row {
        let nowhere = || Row { board: self.board.clone(), at: None, tag: 0 };
        line.map_or_else(nowhere, |line| self.row(line))
    }

    #[inline]
    fn bump(&self, at: usize, n: u64) {
        bump(self.board.word(at), n);
    }
}

#[inline]
fn bump(word: Option<&AtomicU64>, n: u64) {
    if let Some(word) = word {
        word.store(word.load(Relaxed).wrapping_add(n), Relaxed);
    }
}

/// A worker's row of numbers for one member or route.
#[derive(Clone, Debug)]
pub struct Row {
    board: Board,
    at: Option<usize>,
    tag: u64,
}

impl Row {
    /// Counts `n` more.
    #[inline]
    pub fn add(&self, value: Value, n: u64) {
        bump(self.word(value), n);
    }

    /// Moves [`Value::Open`] by `by`.
    #[inline]
    pub fn shift_open(&self, by: i64) {
        bump(self.word(Value::Open), by as u64);
    }

    /// This worker's own value.
    pub fn get(&self, value: Value) -> u64 {
        self.word(value).map_or(0, |word| word.load(Relaxed))
    }

    /// The word; none when the row was given to another line since.
    #[inline]
    fn word(&self, value: Value) -> Option<&AtomicU64> {
        let at = self.at?;
        let row = self.board.words().get(at..at + LINE)?;
        let (tag, _) = row.split_first()?;
        if tag.load(Relaxed) == self.tag { row.get(value.offset()) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Shape, Tag};
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn counters_go_on_and_gauges_start_over() {
        let board = Board::in_memory(Shape { workers: 2, lines: 8 });
        let page = board.page(1).unwrap();
        assert!(board.page(2).is_none());
        page.start(1, 1, 1, Time::ZERO);
        page.add(Counter::Requests, 3);
        page.shift(Gauge::Exchanges, 2);
        page.shift(Gauge::Exchanges, -1);
        assert_eq!(page.gauge(Gauge::Exchanges), 1);
        page.start(2, 2, 1, Time::ZERO);
        assert_eq!(page.counter(Counter::Requests), 3);
        assert_eq!(page.gauge(Gauge::Exchanges), 0);
        assert_eq!(board.page(0).unwrap().counter(Counter::Requests), 0);
    }

    #[test]
    fn a_row_belongs_to_its_tag() {
        let board = Board::in_memory(Shape { workers: 1, lines: 1 });
        let page = board.page(0).unwrap();
        let old = page.row(board.claim(Tag::route("a")).unwrap());
        old.add(Value::Requests, 5);
        old.shift_open(1);
        assert_eq!((old.get(Value::Requests), old.get(Value::Open)), (5, 1));
        board.sweep(&HashSet::new());
        let new = page.row(board.claim(Tag::route("b")).unwrap());
        assert_eq!(new.get(Value::Requests), 0);
        old.add(Value::Requests, 5);
        assert_eq!(new.get(Value::Requests), 0, "a stale row counts nowhere");
        page.row_of(None).add(Value::Requests, 1);
    }
}
