//! Bugs that are planted on purpose, to prove that the simulator finds such bugs.
//!
//! Without the feature `sim` no bug can be planted: [`is_planted`] is a constant `false`, and the
//! compiler leaves nothing of it.

/// A mistake of a kind that was made in some proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A short read clears the edge although the end of the stream is still to be read.
    LostEnd,
    /// The client's side isn't woken when the pipe to the backend has room again.
    LostWake,
    /// A connection to a backend is kept although the request isn't through.
    EarlyRelease,
    /// A request is sent again that a backend may have acted upon.
    UnsafeRetry,
    /// The head of an interim response is not given back.
    LostHead,
}

#[cfg(feature = "sim")]
mod soil {
    use super::Bug;
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Plants a bug in this thread; `None` takes it out.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    /// Whether this bug is planted in this thread.
    pub fn is_planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }
}

#[cfg(feature = "sim")]
pub use soil::{is_planted, plant};

/// Whether this bug is planted: never, in this build.
#[cfg(not(feature = "sim"))]
#[inline(always)]
pub const fn is_planted(_bug: Bug) -> bool {
    false
}
