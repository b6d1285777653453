//! Byte buffers over pooled blocks.
//!
//! A [`Buf`] is a contiguous window of unread bytes in one block of [`BLOCK`] bytes. It holds a
//! block only while it holds bytes (or is being filled): an idle connection owns none. Blocks come
//! from and return to a [`BufPool`], which caps how many are out at once.

/// Bytes in a block.
pub const BLOCK: usize = 16 * 1024;

/// One block, as the pool hands it out. Its contents are whatever the last user left.
pub type Block = Box<[u8; BLOCK]>;

/// Blocks at rest, and how many are out.
pub struct BufPool {
    free: Vec<Block>,
    out: usize,
    max: usize,
}

impl BufPool {
    /// A pool that has at most `max` blocks out at once.
    pub const fn new(max: usize) -> BufPool {
        BufPool { free: Vec::new(), out: 0, max }
    }

    /// A block, or `None` when all are out or memory is.
    pub fn take(&mut self) -> Option<Block> {
        if self.out >= self.max {
            return None;
        }
        let block = match self.free.pop() {
            Some(block) => block,
            None => fresh()?,
        };
        self.out += 1;
        Some(block)
    }

    /// Takes a block back.
    pub fn give(&mut self, block: Block) {
        debug_assert!(self.out > 0, "a block came back that never went out");
        self.out = self.out.saturating_sub(1);
        self.free.push(block);
    }

    /// Blocks out now.
    pub fn out(&self) -> usize {
        self.out
    }

    /// The most blocks that may be out at once.
    pub fn max(&self) -> usize {
        self.max
    }

    /// Frees resting blocks beyond `keep`.
    pub fn trim(&mut self, keep: usize) {
        self.free.truncate(keep);
        self.free.shrink_to(keep);
    }

    /// Blocks at rest.
    pub fn resting(&self) -> usize {
        self.free.len()
    }
}

/// A new block, or `None` when the allocator has no memory.
fn fresh() -> Option<Block> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(BLOCK).ok()?;
    bytes.resize(BLOCK, 0);
    bytes.into_boxed_slice().try_into().ok()
}

/// A window of unread bytes in a pooled block; no block while empty and released.
#[derive(Default)]
pub struct Buf {
    block: Option<Block>,
    start: u32,
    end: u32,
}

impl Buf {
    /// A buffer without a block.
    pub const fn new() -> Buf {
        Buf { block: None, start: 0, end: 0 }
    }

    /// The unread bytes.
    pub fn data(&self) -> &[u8] {
        match &self.block {
            Some(block) => block.get(self.start as usize..self.end as usize).unwrap_or_default(),
            None => &[],
        }
    }

    /// Number of unread bytes.
    pub fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether no byte is unread.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether a block is held.
    pub fn has_block(&self) -> bool {
        self.block.is_some()
    }

    /// Bytes that fit behind the unread ones, once they are moved to the front of the block.
    pub fn room(&self) -> usize {
        BLOCK - self.len()
    }

    /// Drops the first `n` unread bytes (all, when there are fewer).
    pub fn consume(&mut self, n: usize) {
        debug_assert!(n <= self.len(), "consumed more than there is");
        self.start += n.min(self.len()) as u32;
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Drops all unread bytes; keeps the block.
    pub fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    /// Makes sure a block is held. `false` when the pool has none.
    pub fn reserve(&mut self, pool: &mut BufPool) -> bool {
        if self.block.is_none() {
            self.block = pool.take();
        }
        self.block.is_some()
    }

    /// Free space behind the unread bytes, to be filled and then [`Buf::commit`]ted; takes a block
    /// when none is held, moves the bytes to the front when the tail is shorter than half of the
    /// room. Empty when the buffer is full or the pool has no block.
    pub fn space(&mut self, pool: &mut BufPool) -> &mut [u8] {
        if !self.reserve(pool) {
            return &mut [];
        }
        if self.start > 0 && (BLOCK - self.end as usize) < self.room() / 2 {
            self.compact();
        }
        let end = self.end as usize;
        match &mut self.block {
            Some(block) => block.get_mut(end..).unwrap_or_default(),
            None => &mut [],
        }
    }

    /// Counts `n` bytes written to [`Buf::space`] as unread.
    pub fn commit(&mut self, n: usize) {
        debug_assert!(self.end as usize + n <= BLOCK, "committed more than fits");
        self.end = (self.end as usize + n).min(BLOCK) as u32;
    }

    /// Appends all of `bytes`, or nothing: `false` when they don't fit or no block is held
    /// ([`Buf::reserve`] first).
    pub fn put(&mut self, bytes: &[u8]) -> bool {
        if bytes.len() > self.room() || self.block.is_none() {
            return false;
        }
        if self.end as usize + bytes.len() > BLOCK {
            self.compact();
        }
        let at = self.end as usize;
        let Some(space) = self.block.as_mut().and_then(|b| b.get_mut(at..at + bytes.len())) else {
            return false;
        };
        space.copy_from_slice(bytes);
        self.end += bytes.len() as u32;
        true
    }

    /// Exactly `n` bytes of free space behind the unread ones, to be written and then
    /// [`Buf::commit`]ted (fewer may be). `None` when they don't fit or no block is held.
    pub fn spare(&mut self, n: usize) -> Option<&mut [u8]> {
        if n > self.room() || self.block.is_none() {
            return None;
        }
        if self.end as usize + n > BLOCK {
            self.compact();
        }
        let at = self.end as usize;
        self.block.as_mut().and_then(|block| block.get_mut(at..at + n))
    }

    /// Appends as many of `bytes` as fit; returns how many. Takes a block when needed.
    pub fn append(&mut self, bytes: &[u8], pool: &mut BufPool) -> usize {
        let n = bytes.len().min(self.room());
        if n == 0 || !self.reserve(pool) || !self.put(bytes.get(..n).unwrap_or_default()) {
            return 0;
        }
        n
    }

    /// Gives the block back if no byte is unread.
    pub fn release(&mut self, pool: &mut BufPool) {
        if self.is_empty() {
            self.discard(pool);
        }
    }

    /// Drops unread bytes and gives the block back.
    pub fn discard(&mut self, pool: &mut BufPool) {
        self.clear();
        if let Some(block) = self.block.take() {
            pool.give(block);
        }
    }

    fn compact(&mut self) {
        let (start, end) = (self.start as usize, self.end as usize);
        if let Some(block) = &mut self.block
            && end <= BLOCK
        {
            block.copy_within(start..end, 0);
        }
        self.start = 0;
        self.end = (end - start) as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_buffer_holds_no_block() {
        let mut pool = BufPool::new(1);
        let mut buf = Buf::new();
        assert_eq!(buf.append(b"hello", &mut pool), 5);
        assert_eq!(pool.out(), 1);
        buf.release(&mut pool);
        assert!(buf.has_block(), "unread bytes keep the block");
        buf.consume(5);
        buf.release(&mut pool);
        assert_eq!((pool.out(), pool.resting()), (0, 1));
        assert_eq!(buf.data(), b"");
    }

    #[test]
    fn the_pool_caps_what_is_out() {
        let mut pool = BufPool::new(1);
        let mut first = Buf::new();
        let mut second = Buf::new();
        assert!(first.reserve(&mut pool));
        assert!(!second.reserve(&mut pool));
        assert_eq!(second.space(&mut pool).len(), 0);
        assert_eq!(second.append(b"x", &mut pool), 0);
        first.discard(&mut pool);
        assert!(second.reserve(&mut pool));
    }

    #[test]
    fn bytes_keep_their_order_through_compaction() {
        let mut pool = BufPool::new(1);
        let mut buf = Buf::new();
        let mut sent = Vec::new();
        let mut seen = Vec::new();
        for round in 0..1000usize {
            let bytes: Vec<u8> = (0..(round * 37) % 5000).map(|n| (n + round) as u8).collect();
            let n = buf.append(&bytes, &mut pool);
            sent.extend_from_slice(&bytes[..n]);
            let n = buf.len().min((round * 53) % 4000);
            seen.extend_from_slice(&buf.data()[..n]);
            buf.consume(n);
        }
        seen.extend_from_slice(buf.data());
        assert_eq!(seen, sent);
    }

    #[test]
    fn put_is_all_or_nothing() {
        let mut pool = BufPool::new(1);
        let mut buf = Buf::new();
        assert!(!buf.put(b"x"), "no block yet");
        assert!(buf.reserve(&mut pool));
        assert!(buf.put(&[7; BLOCK - 1]));
        assert!(!buf.put(b"ab"));
        assert!(buf.put(b"a"));
        assert_eq!(buf.room(), 0);
        buf.consume(10);
        assert!(buf.put(&[1; 10]), "compacts when it must");
    }
}
