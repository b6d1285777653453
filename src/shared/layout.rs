//! Where things stand on the board, as word offsets.
//!
//! Pure arithmetic. Header page, then the table of shared lines, then one set of pages for each
//! worker. A change of anything here, or of the columns of `observe`, is a new [`VERSION`].

use crate::observe::histogram::BUCKETS;
use crate::observe::{Counter, Gauge, Timing};

/// "CloudCup" in the order of a little-endian word.
pub const MAGIC: u64 = u64::from_le_bytes(*b"CloudCup");

/// Version of the layout. Processes of different versions never share a board.
pub const VERSION: u32 = {
    // A new column is a new version by itself; the first factor counts other changes.
    let columns = Counter::COUNT * 10_000 + Gauge::COUNT * 100 + Timing::COUNT;
    1_000_000 + columns as u32
};

/// Words of a memory page.
pub(super) const PAGE: usize = 512;
/// Words of a line, and of a row: one cache line.
pub(super) const LINE: usize = 8;

/// Words of the header page.
pub(super) mod header {
    pub const MAGIC: usize = 0;
    pub const VERSION: usize = 1;
    pub const WORKERS: usize = 2;
    pub const LINES: usize = 3;
    pub const SLOTS_USED: usize = 4;
}

/// Words of a worker's first page.
pub(super) mod worker {
    use super::{BUCKETS, Counter, Gauge, PAGE, Timing};

    pub const PID: usize = 0;
    pub const GENERATION: usize = 1;
    pub const SERIAL: usize = 2;
    pub const STATE: usize = 3;
    pub const HEARTBEAT: usize = 4;
    pub const CRUMB: usize = 5;
    pub const GAUGES: usize = 8;
    pub const COUNTERS: usize = 64;
    pub const TIMINGS: usize = PAGE;
    /// Words of one timing: its buckets and the sum.
    pub const TIMING: usize = BUCKETS + 1;
    /// Words of the fixed part, whole pages.
    pub const FIXED: usize = TIMINGS + (Timing::COUNT * TIMING).next_multiple_of(PAGE);

    const _: () = assert!(GAUGES + Gauge::COUNT <= COUNTERS);
    const _: () = assert!(COUNTERS + Counter::COUNT <= PAGE);
}

/// How large a board is: how many workers and lines it has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Worker slots.
    pub workers: u32,
    /// Shared lines, and rows of each worker.
    pub lines: u32,
}

impl Shape {
    /// What a service uses: 64 workers, 4 096 pools, members and routes. 18 MB of address space, of
    /// which only touched pages take memory.
    pub const STANDARD: Shape = Shape { workers: 64, lines: 4_096 };

    /// The shape that a header tells, if it is one.
    pub(super) fn of(workers: u64, lines: u64) -> Option<Shape> {
        let fits = |n: u64, max: u32| u32::try_from(n).ok().filter(|n| (1..=max).contains(n));
        Some(Shape { workers: fits(workers, 1_024)?, lines: fits(lines, 1 << 16)? })
    }

    pub(super) const fn table(self) -> usize {
        PAGE
    }

    pub(super) const fn line(self, index: u32) -> usize {
        self.table() + index as usize * LINE
    }

    const fn rows(self) -> usize {
        (self.lines as usize * LINE).next_multiple_of(PAGE)
    }

    /// First word of a worker's set; the set ends where the next slot's starts.
    pub(super) const fn set(self, slot: u32) -> usize {
        self.table() + self.rows() + slot as usize * (worker::FIXED + self.rows())
    }

    pub(super) const fn row(self, slot: u32, index: u32) -> usize {
        self.set(slot) + worker::FIXED + index as usize * LINE
    }

    /// Words of the whole board.
    pub const fn words(self) -> usize {
        self.set(self.workers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_overlap_and_sets_are_whole_pages() {
        let shape = Shape { workers: 3, lines: 100 };
        assert_eq!(shape.line(0), PAGE);
        assert!(shape.line(99) + LINE <= shape.set(0));
        for slot in 0..3 {
            assert_eq!(shape.set(slot) % PAGE, 0);
            assert!(shape.row(slot, 0) >= shape.set(slot) + worker::FIXED);
            assert!(shape.row(slot, 99) + LINE <= shape.set(slot + 1));
        }
        assert_eq!(shape.words(), shape.set(3));
        assert!(Shape::STANDARD.words() * 8 < 20 << 20);
        assert_eq!(Shape::of(0, 5), None);
        assert_eq!(Shape::of(5, 1 << 40), None);
    }
}
