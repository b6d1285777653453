//! Codecs: each turns bytes into events of the neutral middle and back, without I/O.
//!
//! What they are: plain state machines that borrow buffers and own none. One verb reads
//! (`poll`), some write (`send_…`, `finish`). Role is a value: the same machine speaks for a
//! server and for a client.
//!
//! What they are not: owners of sockets, timers or links to other objects.

pub mod h1;
pub mod raw;

/// On which end of the connection this process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Role {
    /// We answer: the peer is a client.
    Server,
    /// We ask: the peer is a backend.
    Client,
}

/// What a codec found in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Event {
    /// Nothing yet: call again when there is more input.
    NeedMore,
    /// The peer's next message must wait until our part of the current one is done; whatever is
    /// in the input stays there. Call again after `finish`.
    Paused,
    /// A `1xx` response is in the caller's head; the real one follows (client role only).
    Interim,
    /// The head of a message is in the caller's head. A `101` is announced like this too.
    Head,
    /// The first so many bytes of the input are content. The caller takes some or all of them with
    /// `take_body`, then polls again.
    Body(usize),
    /// Trailer fields are in the caller's head, which holds nothing else.
    Trailers,
    /// The peer's message is complete.
    End,
    /// The connection is a tunnel now: all further input is the other protocol's.
    Switched,
    /// The peer's direction is over: nothing that may still arrive means anything.
    Closed,
}
