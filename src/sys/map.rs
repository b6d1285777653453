//! A shared mapping of a memory file, seen as a slice of atomic words.
//!
//! Invariants: the file is sealed against shrinking, so no access can fault for lack of backing; other
//! processes may write at any time, therefore the only view of the memory is atomic.

use super::fd::check;
use super::memfd::fixed_size;
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

/// Bytes of a word of a [`SharedMap`].
pub const WORD: usize = 8;

/// A mapping of a whole memory file, shared with every process that maps it.
#[derive(Debug)]
pub struct SharedMap {
    base: NonNull<AtomicU64>,
    bytes: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread, and its words are only reached
// atomically.
unsafe impl Send for SharedMap {}
// SAFETY: as above.
unsafe impl Sync for SharedMap {}

impl SharedMap {
    /// Maps the whole file, readable and writable. The file must be sealed against shrinking
    /// ([`super::memfd::shared`]), not empty, and a whole number of words; else `InvalidData`.
    pub fn new(fd: BorrowedFd<'_>) -> io::Result<SharedMap> {
        let size = fixed_size(fd)?;
        let Ok(bytes) = usize::try_from(size) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "memory file is too large"));
        };
        if bytes == 0 || !bytes.is_multiple_of(WORD) || bytes > isize::MAX as usize {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a whole number of words"));
        }
        // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        match NonNull::new(base.cast::<AtomicU64>()) {
            Some(base) => Ok(SharedMap { base, bytes }),
            None => Err(io::Error::new(io::ErrorKind::InvalidData, "mapping at address zero")),
        }
    }

    /// The words of the file. Values are whatever some process wrote: never trust them as an index,
    /// a length or a pointer.
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is live as long as self, page-aligned, `bytes` long, backed for its
        // whole length (sealed against shrinking), and AtomicU64 allows any bit pattern and
        // concurrent writers.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.bytes / WORD) }
    }

    /// Makes the pages of a byte range read-only for this process: a store there ends the process with
    /// SIGSEGV, so the caller must own the decision who writes what. The range must be page-aligned.
    pub fn make_read_only(&self, range: Range<usize>) -> io::Result<()> {
        let ok = range.start <= range.end && range.end <= self.bytes;
        if !ok || range.start % WORD != 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "range outside the mapping"));
        }
        // SAFETY: the range lies inside our own mapping; reading stays allowed, so the slice of
        // `words` stays valid, and a store faults instead of touching anything else.
        check(unsafe {
            libc::mprotect(
                self.base.as_ptr().cast::<u8>().add(range.start).cast(),
                range.end - range.start,
                libc::PROT_READ,
            )
        })
        .map(drop)
    }
}

impl Drop for SharedMap {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no slice of it can outlive self.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::memfd;
    use std::os::fd::AsFd;
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn two_mappings_share_words() {
        let fd = memfd::shared("board", 8192).unwrap();
        let one = SharedMap::new(fd.as_fd()).unwrap();
        let two = SharedMap::new(fd.as_fd()).unwrap();
        assert_eq!(one.words().len(), 1024);
        one.words()[1023].store(42, Relaxed);
        assert_eq!(two.words()[1023].load(Relaxed), 42);
        two.make_read_only(4096..8192).unwrap();
        assert_eq!(two.words()[1023].load(Relaxed), 42);
        assert!(two.make_read_only(4096..16384).is_err());
    }

    #[test]
    fn files_that_may_shrink_are_refused() {
        let plain = tempfile::tempfile().unwrap();
        assert!(SharedMap::new(plain.as_fd()).is_err());
        let empty = memfd::shared("empty", 0).unwrap();
        assert_eq!(SharedMap::new(empty.as_fd()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
