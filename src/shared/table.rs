//! The table of shared lines: found by tag, claimed by compare-and-swap, swept by the master.
//!
//! Open addressing over the whole table. Invariants: a tag that is looked for is compared, never used
//! as an offset without the remainder; a swept line leaves a tombstone, so that searches go on past
//! it; a handle names its tag, and finds nothing once the line was given to another.
//!
//! The master claims the tags of a configuration before any worker runs it, so that workers merely
//! find them; a claim by a worker is the exception (and may, in a race with a sweep, make a second
//! line of one tag, which the next sweep takes away).

use super::Board;
use super::layout::LINE;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed};

/// A line never used.
const FREE: u64 = 0;
/// A line that was swept.
const SWEPT: u64 = 1;

/// Names a line: a 64-bit hash of what it is about. The same in every process and version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(u64);

impl Tag {
    /// The line of the pool of this name: its cursor.
    pub fn pool(name: &str) -> Tag {
        Tag::of(1, name.as_bytes())
    }

    /// The line of a member: its health.
    pub fn member(id: u64) -> Tag {
        Tag::of(2, &id.to_le_bytes())
    }

    /// The line of the rule of this name: no shared word, but rows of counters.
    pub fn route(name: &str) -> Tag {
        Tag::of(3, name.as_bytes())
    }

    /// FNV-1a with a final mix; values that mean something else are moved away.
    fn of(kind: u8, bytes: &[u8]) -> Tag {
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        for byte in [kind].iter().chain(bytes) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        hash ^= hash >> 32;
        hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^= hash >> 29;
        Tag(hash.max(SWEPT + 1))
    }

    /// The hash.
    pub const fn value(self) -> u64 {
        self.0
    }
}

/// Lines from a tag's own place on in which it may stand. Without a bound, a plan with more things
/// than lines would walk the whole table for each of them.
const PROBES: u64 = 128;

/// Handle of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    pub(super) tag: Tag,
    pub(super) index: u32,
}

impl Board {
    /// The line with this tag, if there is one.
    pub fn find(&self, tag: Tag) -> Option<Line> {
        for index in self.probe(tag) {
            match self.get(self.shape.line(index)) {
                FREE => return None,
                found if found == tag.0 => return Some(Line { tag, index }),
                _ => {}
            }
        }
        None
    }

    /// The line with this tag, claimed if there is none yet; `None` when the table is full (counted
    /// by the caller).
    pub fn claim(&self, tag: Tag) -> Option<Line> {
        // The place is the first reusable one of the very walk that did not find the tag: two claims
        // of one tag then want the same place, and one of them loses and looks again.
        loop {
            let mut place = None;
            for index in self.probe(tag) {
                let found = self.get(self.shape.line(index));
                if found == tag.0 {
                    return Some(Line { tag, index });
                }
                if found <= SWEPT && place.is_none() {
                    place = Some((index, found));
                }
                if found == FREE {
                    break;
                }
            }
            let (index, before) = place?;
            let word = self.word(self.shape.line(index))?;
            if word.compare_exchange(before, tag.0, AcqRel, Acquire).is_ok() {
                return Some(Line { tag, index });
            }
        }
    }

    /// Frees every line whose tag is not in `live`, and second lines of one tag. Only the master
    /// sweeps, after all workers have left the configurations that used the tags. Returns how many.
    pub fn sweep(&self, live: &HashSet<Tag>) -> usize {
        let mut swept = 0;
        for index in 0..self.shape.lines {
            let at = self.shape.line(index);
            let tag = Tag(self.get(at));
            if tag.0 <= SWEPT {
                continue;
            }
            let second = self.find(tag).is_none_or(|line| line.index != index);
            if second || !live.contains(&tag) {
                (1..LINE).for_each(|offset| self.put(at + offset, 0));
                self.put(at, SWEPT);
                swept += 1;
            }
        }
        // Tombstones before a free line stop no search: they can be free again.
        for index in (0..self.shape.lines).rev() {
            let next = (index + 1) % self.shape.lines;
            if self.get(self.shape.line(index)) == SWEPT && self.get(self.shape.line(next)) == FREE
            {
                self.put(self.shape.line(index), FREE);
            }
        }
        swept
    }

    /// Lines in use.
    pub fn lines_used(&self) -> u32 {
        let used = |index: &u32| self.get(self.shape.line(*index)) > SWEPT;
        (0..self.shape.lines).filter(used).count() as u32
    }

    /// The shared word of a line (a pool's cursor, a member's health); `None` once the line belongs to
    /// another tag.
    #[inline]
    pub fn shared(&self, line: Line) -> Option<&AtomicU64> {
        let at = self.shape.line(line.index);
        let words = self.words().get(at..at + LINE)?;
        let (tag, values) = words.split_first()?;
        if tag.load(Relaxed) == line.tag.0 { values.first() } else { None }
    }

    fn probe(&self, tag: Tag) -> impl Iterator<Item = u32> + use<> {
        let lines = u64::from(self.shape.lines);
        let start = tag.0.checked_rem(lines).unwrap_or(0);
        (0..lines.min(PROBES)).map(move |step| ((start + step) % lines) as u32)
    }
}

/// The shared word of a tag, or a private one where the board has no room: so that a full table costs
/// fairness between workers and nothing else.
#[derive(Debug)]
pub struct SharedWord {
    board: Board,
    line: Option<Line>,
    private: AtomicU64,
}

impl SharedWord {
    /// The word of `tag`, claimed if need be.
    pub fn new(board: &Board, tag: Tag) -> SharedWord {
        SharedWord { board: board.clone(), line: board.claim(tag), private: AtomicU64::new(0) }
    }

    /// The word.
    #[inline]
    pub fn word(&self) -> &AtomicU64 {
        self.line.and_then(|line| self.board.shared(line)).unwrap_or(&self.private)
    }

    /// The line, for the rows of counters; `None` when the table was full.
    pub fn line(&self) -> Option<Line> {
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::super::Shape;
    use super::*;
    use proptest::prelude::*;
    use std::thread;

    const SHAPE: Shape = Shape { workers: 1, lines: 16 };

    fn tags(n: u64) -> Vec<Tag> {
        (0..n).map(Tag::member).collect()
    }

    #[test]
    fn tags_of_kinds_differ() {
        assert_ne!(Tag::pool("a"), Tag::route("a"));
        assert_eq!(Tag::pool("a"), Tag::pool("a"));
        // A fixed value: processes of several versions must agree.
        assert_eq!(Tag::pool("api").value(), 14_422_043_395_488_153_961);
    }

    #[test]
    fn a_full_table_refuses_and_the_private_word_serves() {
        let board = Board::in_memory(SHAPE);
        for tag in tags(16) {
            assert!(board.claim(tag).is_some());
        }
        assert_eq!(board.lines_used(), 16);
        assert_eq!(board.claim(Tag::member(99)), None);
        assert_eq!(board.find(Tag::member(99)), None);
        let word = SharedWord::new(&board, Tag::member(99));
        word.word().store(5, Relaxed);
        assert_eq!((word.word().load(Relaxed), word.line()), (5, None));
    }

    #[test]
    fn sweeping_keeps_the_live_and_cuts_off_stale_handles() {
        let board = Board::in_memory(SHAPE);
        let all = tags(12);
        let words: Vec<SharedWord> = all.iter().map(|tag| SharedWord::new(&board, *tag)).collect();
        words.iter().for_each(|word| word.word().store(7, Relaxed));
        let live: HashSet<Tag> = all.iter().copied().step_by(3).collect();
        assert_eq!(board.sweep(&live), 8);
        for (tag, word) in all.iter().zip(&words) {
            let kept = live.contains(tag);
            assert_eq!(board.find(*tag).is_some(), kept);
            assert_eq!(word.word().load(Relaxed), if kept { 7 } else { 0 });
        }
        let line = board.claim(Tag::pool("new")).unwrap();
        assert_eq!(board.shared(line).unwrap().load(Relaxed), 0);
        assert_eq!(board.sweep(&HashSet::new()), 5);
        assert_eq!(board.lines_used(), 0);
        assert_eq!(board.sweep(&HashSet::new()), 0);
    }

    #[test]
    fn second_lines_of_one_tag_are_swept() {
        let board = Board::in_memory(SHAPE);
        let tag = Tag::member(4);
        let line = board.claim(tag).unwrap();
        let next = (line.index + 1) % SHAPE.lines;
        board.put(SHAPE.line(next), tag.0);
        assert_eq!(board.sweep(&HashSet::from([tag])), 1);
        assert_eq!(board.find(tag), Some(line));
    }

    #[test]
    fn claims_of_many_threads_agree() {
        for _ in 0..50 {
            let board = Board::in_memory(Shape { workers: 1, lines: 64 });
            let claims: Vec<Vec<Line>> = thread::scope(|scope| {
                let claim = || tags(40).into_iter().map(|tag| board.claim(tag).unwrap()).collect();
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(claim)).collect();
                threads.into_iter().map(|t| t.join().unwrap()).collect()
            });
            assert!(claims.iter().all(|mine| *mine == claims[0]));
            assert_eq!(board.lines_used(), 40);
        }
    }

    proptest! {
        #[test]
        fn any_garbage_in_the_table_is_survived(garbage in prop::collection::vec(any::<u64>(), 128), id: u64) {
            let board = Board::in_memory(SHAPE);
            for (offset, value) in garbage.iter().enumerate() {
                board.put(SHAPE.line(0) + offset, *value);
            }
            let tag = Tag::member(id);
            if let Some(line) = board.claim(tag) {
                prop_assert!(board.shared(line).is_some());
            }
            board.sweep(&HashSet::from([tag]));
            prop_assert!(board.lines_used() <= 1);
        }
    }
}
