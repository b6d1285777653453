//! One connection, front or back: socket, codec, two buffers, one timer.
//!
//! A connection knows its exchange by key only. It holds blocks only while bytes wait in them, so an
//! idle one is its slot and nothing else (a test pins the size). Whether it should run is computed
//! by [`Conn::wants`] from what is there now; nothing about it is remembered elsewhere.

use super::pools::MemberKey;
use super::work::XKey;
use crate::base::buf::Buf;
use crate::base::clock::Time;
use crate::base::slots::Key;
use crate::base::wheel::TimerId;
use crate::io::ready::Ready;
use crate::io::stream::Stream;
use crate::proto::{self, h1, raw};
use std::net::{IpAddr, SocketAddr};

/// Names a connection.
pub type ConnKey = Key<Conn>;

/// What the connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A client's; the listener it came by (index in the worker's own table).
    Front {
        /// Position in the live listener table.
        listener: u16,
    },
    /// One that we opened to a member.
    Back {
        /// The member.
        member: MemberKey,
    },
}

/// Where a connection stands beside its exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Front: nothing of the next request has arrived. Back: rests in its member's idle list.
    Idle,
    /// Front: part of a request head has arrived.
    Head,
    /// An exchange uses it.
    Busy,
    /// Our direction is over; what the peer still sends is thrown away until it closes.
    Linger,
    /// To be closed before the turn ends.
    Closing,
}

impl State {
    /// The word for people.
    pub const fn word(self) -> &'static str {
        match self {
            State::Idle => "idle",
            State::Head => "head",
            State::Busy => "busy",
            State::Linger => "linger",
            State::Closing => "closing",
        }
    }
}

/// The peer's address, small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address; `None` for a unix socket.
    pub ip: Option<IpAddr>,
    /// Its port.
    pub port: u16,
}

impl Peer {
    /// The small form of `address`.
    pub fn of(address: Option<SocketAddr>) -> Peer {
        Peer { ip: address.map(|a| a.ip()), port: address.map_or(0, |a| a.port()) }
    }
}

/// The protocol spoken on a connection.
pub enum Codec {
    /// HTTP/1.0 and 1.1.
    H1(h1::Conn),
    /// A tunnel.
    Raw(raw::Conn),
}

/// One connection. See the file's header.
pub struct Conn {
    /// The socket; closed when the connection is dropped.
    pub stream: Stream,
    /// The kernel's edges.
    pub ready: Ready,
    /// What it is for.
    pub role: Role,
    /// Where it stands.
    pub state: State,
    /// Its protocol.
    pub codec: Codec,
    /// Bytes received and not yet understood.
    pub input: Buf,
    /// Bytes to be sent.
    pub out: Buf,
    /// Its exchange.
    pub x: Option<XKey>,
    /// The head of our message of this exchange is in `out` or sent.
    pub head_sent: bool,
    /// Our message of this exchange is complete in `out` or sent.
    pub finished: bool,
    /// The peer has ended its direction, and that was read.
    pub eof: bool,
    /// And that end was a failure, not the peer's word.
    pub torn: bool,
    /// Some byte of our message of this exchange was taken by the kernel.
    pub wrote: bool,
    /// Sending failed; what the peer had sent before may still be read.
    pub mute: bool,
    /// The last read filled the whole block: more is to be expected.
    pub bulk: bool,
    /// Exchanges so far.
    pub served: u32,
    /// The peer.
    pub peer: Peer,
    /// When `state` last changed.
    pub since: Time,
    /// When it was accepted or dialled.
    pub born: Time,
    /// The entry in the wheel and when it fires.
    pub timer: TimerId,
    /// When `timer` fires; `NEVER` when it is not armed.
    pub armed: Time,
}

impl Conn {
    /// A fresh connection. Whatever the kernel allows is tried at once: both edges count as seen.
    pub fn new(stream: Stream, role: Role, peer: Peer, now: Time) -> Conn {
        let side = match role {
            Role::Front { .. } => proto::Role::Server,
            Role::Back { .. } => proto::Role::Client,
        };
        Conn {
            stream,
            ready: Ready::READ.and(Ready::WRITE),
            role,
            state: State::Idle,
            codec: Codec::H1(h1::Conn::new(side)),
            input: Buf::new(),
            out: Buf::new(),
            x: None,
            head_sent: false,
            finished: false,
            eof: false,
            torn: false,
            wrote: false,
            mute: false,
            bulk: false,
            served: 0,
            peer,
            since: now,
            born: now,
            timer: TimerId::NONE,
            armed: Time::NEVER,
        }
    }

    /// Whether a client is at the other end.
    pub fn is_front(&self) -> bool {
        matches!(self.role, Role::Front { .. })
    }

    /// Whether a resting connection to a backend shows a sign of its peer: it has closed, or spoken
    /// unasked.
    pub fn is_stale(&self) -> bool {
        self.eof
            || !self.input.is_empty()
            || self.ready.has(Ready::READ.and(Ready::READ_CLOSED).and(Ready::GONE))
    }

    /// Whether the bytes are another protocol's.
    pub fn is_tunnel(&self) -> bool {
        matches!(self.codec, Codec::Raw(_))
    }

    /// Moves to another state.
    pub fn enter(&mut self, state: State, now: Time) {
        self.state = state;
        self.since = now;
    }

    /// Takes up an exchange.
    pub fn attach(&mut self, x: XKey, now: Time) {
        debug_assert!(self.x.is_none(), "two exchanges on one connection");
        self.x = Some(x);
        self.head_sent = false;
        self.finished = false;
        self.wrote = false;
        self.bulk = false;
        self.served = self.served.saturating_add(1);
        self.enter(State::Busy, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An idle keep-alive client costs its slot, its place in the run queue and its timer: together
    /// at most 512 bytes.
    #[test]
    #[cfg(not(feature = "sim"))]
    fn an_idle_client_is_small() {
        let size = size_of::<Conn>();
        assert!(size <= 336, "Conn has grown to {size} bytes");
    }
}
