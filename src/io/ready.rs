//! The kernel's edges, cached.
//!
//! Descriptors are registered once, for both directions, edge-triggered. A bit is set by an event
//! and cleared only by the I/O call that found the kernel empty or full; whether a connection runs
//! is computed from these bits and from what it wants, never stored.

/// What the kernel last said about a descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready(u8);

impl Ready {
    /// Nothing is known to be possible.
    pub const NONE: Ready = Ready(0);
    /// Reading may give bytes or the end of the stream.
    pub const READ: Ready = Ready(1);
    /// Writing may take bytes.
    pub const WRITE: Ready = Ready(2);
    /// The peer has sent its last byte; reading will come to the end of the stream.
    pub const READ_CLOSED: Ready = Ready(4);
    /// The connection is gone in both directions, or failed.
    pub const GONE: Ready = Ready(8);

    /// These bits and those of `other`.
    #[must_use]
    pub const fn and(self, other: Ready) -> Ready {
        Ready(self.0 | other.0)
    }

    /// These bits without those of `other`.
    #[must_use]
    pub const fn without(self, other: Ready) -> Ready {
        Ready(self.0 & !other.0)
    }

    /// Whether any bit of `other` is set.
    pub const fn has(self, other: Ready) -> bool {
        self.0 & other.0 != 0
    }

    /// Sets the bits of `other`.
    pub const fn set(&mut self, other: Ready) {
        self.0 |= other.0;
    }

    /// Clears the bits of `other`.
    pub const fn clear(&mut self, other: Ready) {
        self.0 &= !other.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_set_and_cleared_alone() {
        let mut ready = Ready::NONE;
        ready.set(Ready::READ.and(Ready::READ_CLOSED));
        assert!(ready.has(Ready::READ) && !ready.has(Ready::WRITE));
        ready.clear(Ready::READ);
        assert_eq!(ready, Ready::READ_CLOSED);
        assert!(ready.has(Ready::READ.and(Ready::READ_CLOSED)));
    }
}
