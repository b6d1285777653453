//! One direction of an exchange's body: a bounded buffer whose free room is the flow control.
//!
//! The source puts bytes in while there is room, the sink takes them out; neither knows the other.
//! A pipe holds a block only while it holds bytes. Until a response begins, the request's pipe may
//! *keep* what it handed on, so that a safe retry can send it again; a body that outgrows the block
//! ends that, never the other way round.
//!
//! Invariants: bytes leave in the order they came; nothing is put after the end; `sent` is zero
//! unless the pipe keeps.

use crate::base::buf::{Buf, BufPool};

/// A bounded buffer between two legs.
#[derive(Default)]
pub struct Pipe {
    buf: Buf,
    /// Bytes at the front of `buf` that the sink has had, kept for a retry.
    sent: usize,
    keep: bool,
    ended: bool,
    /// Bytes on their way beside the block: in a kernel pipe, behind what the block holds.
    beside: usize,
    passed: u64,
}

impl Pipe {
    /// An empty, open pipe that keeps nothing.
    pub const fn new() -> Pipe {
        Pipe { buf: Buf::new(), sent: 0, keep: false, ended: false, beside: 0, passed: 0 }
    }

    /// Starts to keep what is handed on, for [`Pipe::rewind`]. Only a pipe from which nothing was
    /// taken can: otherwise it stays as it is.
    pub fn keep(&mut self) {
        self.keep = self.passed == 0;
    }

    /// Bytes that may be put now; none after the end.
    pub fn room(&self) -> usize {
        if self.ended { 0 } else { self.buf.room() + self.sent }
    }

    /// Puts as many of `bytes` as fit and returns how many; none when the pool is empty.
    pub fn put(&mut self, bytes: &[u8], pool: &mut BufPool) -> usize {
        debug_assert!(!self.ended && self.beside == 0, "bytes after the end or past others");
        if bytes.len() > self.buf.room() {
            self.forget(pool);
        }
        self.buf.append(bytes, pool)
    }

    /// Takes over all of `from` by exchanging blocks, without a copy. `false`, and nothing done,
    /// when the pipe holds bytes or has ended.
    pub fn swap(&mut self, from: &mut Buf, pool: &mut BufPool) -> bool {
        if !self.buf.is_empty() || self.ended || self.beside > 0 {
            return false;
        }
        self.buf.discard(pool);
        std::mem::swap(&mut self.buf, from);
        true
    }

    /// What the sink has not had yet.
    pub fn data(&self) -> &[u8] {
        self.buf.data().get(self.sent..).unwrap_or_default()
    }

    /// Number of bytes in [`Pipe::data`].
    pub fn len(&self) -> usize {
        self.buf.len() - self.sent
    }

    /// Whether the sink has had all that was put so far.
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && self.beside == 0
    }

    /// Whether the sink should ask the source for more: less than half is left.
    pub fn is_low(&self) -> bool {
        self.len() < crate::base::buf::BLOCK / 2
    }

    /// The sink had `n` of [`Pipe::data`].
    pub fn took(&mut self, n: usize, pool: &mut BufPool) {
        let n = n.min(self.len());
        self.passed += n as u64;
        if self.keep {
            self.sent += n;
        } else {
            self.buf.consume(n);
            self.buf.release(pool);
        }
    }

    /// The source put `n` bytes beside the block. Nothing may be put into it until they are gone.
    pub fn put_beside(&mut self, n: usize) {
        debug_assert!(!self.ended, "bytes after the end");
        self.beside += n;
    }

    /// The sink had `n` of the bytes beside the block.
    pub fn took_beside(&mut self, n: usize) {
        debug_assert!(self.len() == 0 && n <= self.beside, "bytes overtook others");
        self.beside -= n.min(self.beside);
        self.passed += n as u64;
    }

    /// Bytes on their way beside the block.
    pub fn beside(&self) -> usize {
        self.beside
    }

    /// The source has ended cleanly.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Whether the source has ended.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether the source has ended and the sink has had everything.
    pub fn is_done(&self) -> bool {
        self.ended && self.is_empty()
    }

    /// Whether every byte that was handed on is still held.
    pub fn is_whole(&self) -> bool {
        self.passed == self.sent as u64
    }

    /// Makes all that was handed on unread again. `false`, and nothing done, when some is gone.
    pub fn rewind(&mut self) -> bool {
        if !self.is_whole() {
            return false;
        }
        self.sent = 0;
        self.passed = 0;
        true
    }

    /// Stops keeping and drops what was kept.
    pub fn forget(&mut self, pool: &mut BufPool) {
        self.keep = false;
        self.buf.consume(self.sent);
        self.sent = 0;
        self.buf.release(pool);
    }

    /// Bytes handed on so far.
    pub fn passed(&self) -> u64 {
        self.passed
    }

    /// Drops everything and gives the block back.
    pub fn discard(&mut self, pool: &mut BufPool) {
        self.sent = 0;
        self.beside = 0;
        self.keep = false;
        self.buf.discard(pool);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::buf::BLOCK;

    #[test]
    fn room_is_the_flow_control() {
        let mut pool = BufPool::new(4);
        let mut pipe = Pipe::new();
        assert_eq!(pipe.room(), BLOCK);
        assert_eq!(pipe.put(&[1; BLOCK + 5], &mut pool), BLOCK);
        assert_eq!((pipe.room(), pipe.is_low()), (0, false));
        pipe.took(BLOCK / 2 + 1, &mut pool);
        assert!(pipe.is_low());
        assert_eq!(pipe.room(), BLOCK / 2 + 1);
        pipe.took(BLOCK, &mut pool);
        assert_eq!(pool.out(), 0, "an empty pipe holds no block");
        pipe.end();
        assert!(pipe.is_done() && pipe.room() == 0);
        assert_eq!(pipe.passed(), BLOCK as u64);
    }

    #[test]
    fn what_was_kept_can_be_sent_again() {
        let mut pool = BufPool::new(4);
        let mut pipe = Pipe::new();
        pipe.keep();
        pipe.put(b"hello ", &mut pool);
        pipe.took(6, &mut pool);
        pipe.put(b"world", &mut pool);
        pipe.took(2, &mut pool);
        assert!(pipe.is_whole());
        assert!(pipe.rewind());
        assert_eq!(pipe.data(), b"hello world");
        pipe.took(11, &mut pool);
        pipe.forget(&mut pool);
        assert!(!pipe.rewind(), "what was dropped can't come back");
        assert_eq!(pool.out(), 0);
    }

    #[test]
    fn a_body_that_outgrows_the_block_ends_the_keeping() {
        let mut pool = BufPool::new(4);
        let mut pipe = Pipe::new();
        pipe.keep();
        pipe.put(&[1; BLOCK - 10], &mut pool);
        pipe.took(BLOCK - 10, &mut pool);
        assert_eq!(pipe.room(), BLOCK, "kept bytes never hold the body up");
        assert_eq!(pipe.put(&[2; 100], &mut pool), 100);
        assert_eq!(pipe.data(), &[2; 100]);
        assert!(!pipe.is_whole() && !pipe.rewind());
    }

    #[test]
    fn a_whole_buffer_changes_hands_without_a_copy() {
        let mut pool = BufPool::new(4);
        let mut input = Buf::new();
        input.append(b"body", &mut pool);
        let mut pipe = Pipe::new();
        assert!(pipe.swap(&mut input, &mut pool));
        assert_eq!(pipe.data(), b"body");
        assert!(!input.has_block());
        input.append(b"more", &mut pool);
        assert!(!pipe.swap(&mut input, &mut pool), "not over bytes that wait");
        pipe.discard(&mut pool);
        input.discard(&mut pool);
        assert_eq!(pool.out(), 0);
    }
}
