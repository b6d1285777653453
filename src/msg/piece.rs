//! The alphabet of the middle: what one side tells the other about a message, in order.
//!
//! `Interim* Head Body* Trailers? End`, or a [`Reason`] at any point instead of the rest.

/// A step of a message, as a codec saw it. Pieces carry no bytes: a head lies in the caller's
/// [`super::Head`], body bytes in the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A `1xx` response; the real one follows.
    Interim,
    /// The head of the message.
    Head,
    /// That many bytes of content.
    Body(usize),
    /// Trailer fields, after the content.
    Trailers,
    /// The message is complete.
    End,
}

/// Why a message ended before its [`Piece::End`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The peer closed or reset its connection inside the message.
    Truncated,
    /// A deadline passed.
    TimedOut,
    /// The peer broke its protocol.
    Malformed,
    /// A configured limit was passed.
    TooLarge,
    /// The other side of the exchange is gone, so the rest is of no use.
    Abandoned,
    /// The proxy is stopping.
    Stopping,
}
