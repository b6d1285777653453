//! Stretches of a head's block: a start and a length instead of a borrow.
//!
//! What it is: how a codec tells a head where its parts are, and how the head remembers.
//!
//! What it is not: a promise. A place outside of the block reads as no bytes.

/// A stretch of the block of a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub(super) start: u32,
    pub(super) len: u32,
}

impl Place {
    /// No bytes.
    pub const EMPTY: Place = Place { start: 0, len: 0 };

    /// `len` bytes from `start` on, counted from the first byte of the block.
    #[inline]
    pub const fn new(start: usize, len: usize) -> Place {
        Place { start: start as u32, len: len as u32 }
    }

    /// Number of bytes.
    #[inline]
    pub const fn len(self) -> usize {
        self.len as usize
    }

    /// Whether it holds no byte.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// Where the first byte is.
    #[inline]
    pub const fn start(self) -> usize {
        self.start as usize
    }

    /// The place from the first byte of this one to the last of `last`, which lies behind it.
    #[inline]
    pub const fn through(self, last: Place) -> Place {
        Place { start: self.start, len: (last.start + last.len).saturating_sub(self.start) }
    }

    /// The place `part` of the bytes at this one; `part` counts from its first byte.
    #[inline]
    pub const fn part(self, part: Place) -> Place {
        Place { start: self.start + part.start, len: part.len }
    }

    /// The bytes of `block` here; none when it is shorter.
    #[inline]
    pub fn of(self, block: &[u8]) -> &[u8] {
        block.get(self.start()..self.end()).unwrap_or_default()
    }

    #[inline]
    pub(super) const fn end(self) -> usize {
        self.start as usize + self.len as usize
    }
}
