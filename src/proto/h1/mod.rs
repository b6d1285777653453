//! HTTP/1.1 and HTTP/1.0 (RFC 9110, RFC 9112), strictly, for both roles.
//!
//! What it is: [`Conn`], one connection's codec; [`Offence`], everything a peer can do wrong;
//! [`Limits`], what is allowed. Smuggling rules live in `parse`, `facts` and `body` only: connection-level
//! fields die there and are born again in `encode`.
//!
//! What it is not: lenient. Where RFC 9112 lets a recipient guess, the message is refused: a guess
//! that differs from the next recipient's is how requests are smuggled.

mod body;
mod conn;
mod encode;
mod facts;
mod lex;
mod offence;
mod parse;
mod state;
mod target;

pub use conn::Conn;
pub use encode::SendError;
pub use offence::Offence;

use crate::base::buf::BLOCK;

pub use super::{Event, Role};

/// What a head or a trailer section may take at most, in bytes: a block less the room that
/// forwarding fields need on the other side.
pub const HEAD_BYTES_MAX: usize = BLOCK - 1024;

/// What is allowed to a peer. Plain numbers: the caller picks them per listener or pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a head, its empty line included, and of a trailer section. More than
    /// [`HEAD_BYTES_MAX`] counts as that.
    pub head_bytes: u32,
    /// Fields of a head or of a trailer section; more than 256 counts as that.
    pub fields: u16,
    /// Bytes of a request target.
    pub target_bytes: u32,
    /// Bytes of chunk extensions in one message.
    pub extension_bytes: u32,
    /// Lets field names with `_` through. They are dropped otherwise, because CGI reads `_` and
    /// `-` alike.
    pub keep_underscores: bool,
    /// Lets CONNECT through.
    pub allow_connect: bool,
}

impl Limits {
    /// The defaults: 15 KiB heads, 100 fields, 8 KiB targets, 4 KiB of chunk extensions.
    pub const fn new() -> Limits {
        Limits {
            head_bytes: HEAD_BYTES_MAX as u32,
            fields: 100,
            target_bytes: 8 * 1024,
            extension_bytes: 4 * 1024,
            keep_underscores: false,
            allow_connect: false,
        }
    }

    fn head_bytes(&self) -> usize {
        (self.head_bytes as usize).min(HEAD_BYTES_MAX)
    }

    fn fields(&self) -> usize {
        usize::from(self.fields).min(parse::FIELDS_MAX)
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::new()
    }
}
