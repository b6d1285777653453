//! Neutral HTTP: the messages of the middle, free of any protocol version's framing.
//!
//! What it is: [`Head`] (one owned byte block with spans), the field names the house knows
//! ([`Known`]), [`Method`], [`Version`], [`BodySize`], and the alphabet in which bodies and ends
//! are told ([`Piece`], [`Reason`]).
//!
//! What it is not: a parser or an encoder. Connection-level fields (`Connection`,
//! `Transfer-Encoding`, `Content-Length`, …) never enter a [`Head`]: the decoder turns them into
//! plain facts and the encoder of the other side makes its own from those.

mod field;
mod head;
mod method;
mod piece;
mod place;
mod status;

pub use field::{BadField, FieldRef, Fields, Known, is_token_byte, is_value_byte};
pub use head::{BodySize, Head, Line, Lines, Version};
pub use method::Method;
pub use piece::{Piece, Reason};
pub use place::Place;
pub use status::reason_phrase;
