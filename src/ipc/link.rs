//! One end of a link: whole messages in, whole messages out, never blocking.
//!
//! On the wire: a little-endian u32 with the number of bytes that follow, then that many bytes of JSON.
//! The packet's own border makes the number redundant; it is checked, so that a cut or padded packet is
//! seen as such and not as strange JSON.

use super::FdIndex;
use crate::sys::{message, socket};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// Most bytes of one message, its length included.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// Most messages that wait for room at a slow peer before [`Link::post`] refuses.
const MAX_QUEUE: usize = 256;

const PREFIX: usize = 4;

/// Why a link can't go on, or a message can't.
#[derive(Debug)]
pub enum LinkError {
    /// The peer has closed its end.
    Closed,
    /// The peer doesn't read: its queue (and for [`Link::post`] ours too) is full. The message was not
    /// sent; the link is sound.
    Full,
    /// The message is larger than [`MAX_MESSAGE`] or carries more than 64 descriptors. Nothing was sent.
    TooLarge,
    /// What arrived is not a message of this protocol; the text says why. Close the link.
    Malformed(String),
    /// The kernel refused.
    Io(io::Error),
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkError::Closed => f.write_str("the other end is closed"),
            LinkError::Full => f.write_str("the other end does not read"),
            LinkError::TooLarge => f.write_str("message too large"),
            LinkError::Malformed(why) => write!(f, "malformed message: {why}"),
            LinkError::Io(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for LinkError {}

impl From<io::Error> for LinkError {
    fn from(error: io::Error) -> LinkError {
        match error.kind() {
            io::ErrorKind::WouldBlock => LinkError::Full,
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => LinkError::Closed,
            _ if error.raw_os_error() == Some(libc::EMSGSIZE) => LinkError::TooLarge,
            _ => LinkError::Io(error),
        }
    }
}

/// The descriptors that came with a message. What nobody takes is closed.
#[derive(Debug, Default)]
pub struct Fds {
    slots: Vec<Option<OwnedFd>>,
}

impl Fds {
    /// Takes the descriptor at `index`; `Malformed` when there is none or it was taken already.
    pub fn take(&mut self, index: FdIndex) -> Result<OwnedFd, LinkError> {
        let slot = self.slots.get_mut(usize::from(index.0));
        slot.and_then(Option::take)
            .ok_or_else(|| LinkError::Malformed(format!("no descriptor {}", index.0)))
    }

    /// Number of descriptors not yet taken.
    pub fn left(&self) -> usize {
        self.slots.iter().flatten().count()
    }
}

/// One received message and its descriptors.
#[derive(Debug)]
pub struct Received<M> {
    /// The message.
    pub message: M,
    /// Its descriptors, by [`FdIndex`].
    pub fds: Fds,
}

/// One end of a link.
#[derive(Debug)]
pub struct Link {
    socket: OwnedFd,
    buffer: Vec<u8>,
    waiting: VecDeque<(Vec<u8>, Vec<OwnedFd>)>,
}

impl Link {
    /// A new link: (one end, the other end). The other end is raw, to be given to a child.
    pub fn pair() -> io::Result<(Link, OwnedFd)> {
        let (ours, theirs) = socket::seqpacket_pair()?;
        Ok((Link::new(ours), theirs))
    }

    /// The link over a connected `SOCK_SEQPACKET` socket, which must be non-blocking.
    pub fn new(socket: OwnedFd) -> Link {
        Link { socket, buffer: Vec::new(), waiting: VecDeque::new() }
    }

    /// Sends a message now, or fails with `Full` (also while posted messages wait, to keep the order).
    pub fn send<M: Serialize>(
        &mut self,
        message: &M,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(), LinkError> {
        self.flush()?;
        if !self.waiting.is_empty() {
            return Err(LinkError::Full);
        }
        let bytes = encode(message)?;
        if fds.len() > message::MAX_FDS {
            return Err(LinkError::TooLarge);
        }
        Ok(message::send(self.socket.as_fd(), &bytes, fds)?)
    }

    /// Sends a message now or as soon as the peer has room: call [`Link::flush`] when the socket becomes
    /// writable and [`Link::wants_write`]. `Full` when 256 messages wait already.
    pub fn post<M: Serialize>(&mut self, message: &M, fds: Vec<OwnedFd>) -> Result<(), LinkError> {
        let bytes = encode(message)?;
        if fds.len() > message::MAX_FDS {
            return Err(LinkError::TooLarge);
        }
        self.flush()?;
        if self.waiting.len() >= MAX_QUEUE {
            return Err(LinkError::Full);
        }
        self.waiting.push_back((bytes, fds));
        self.flush()
    }

    /// Sends what waits, as far as the peer has room.
    pub fn flush(&mut self) -> Result<(), LinkError> {
        while let Some((bytes, fds)) = self.waiting.front() {
            let borrowed: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
            match message::send(self.socket.as_fd(), bytes, &borrowed).map_err(LinkError::from) {
                Ok(()) => drop(self.waiting.pop_front()),
                Err(LinkError::Full) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether posted messages wait for the socket to become writable.
    pub fn wants_write(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The next message, or `None` when none waits. With edge-triggered readiness call it until `None`.
    ///
    /// `Closed` once the peer has closed; `Malformed` for anything that isn't a message of type `M`.
    pub fn receive<M: DeserializeOwned>(&mut self) -> Result<Option<Received<M>>, LinkError> {
        self.buffer.resize(MAX_MESSAGE, 0);
        let got = match message::receive(self.socket.as_fd(), &mut self.buffer) {
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if got.length == 0 && got.fds.is_empty() {
            return Err(LinkError::Closed);
        }
        if got.truncated {
            return Err(LinkError::Malformed("longer than 64 KiB".to_owned()));
        }
        if got.fds_lost {
            return Err(LinkError::Malformed("descriptors were lost on the way".to_owned()));
        }
        let message = decode(self.buffer.get(..got.length).unwrap_or_default())?;
        let slots = got.fds.into_iter().map(Some).collect();
        Ok(Some(Received { message, fds: Fds { slots } }))
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Link {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

fn encode<M: Serialize>(message: &M) -> Result<Vec<u8>, LinkError> {
    let mut bytes = vec![0; PREFIX];
    serde_json::to_writer(&mut bytes, message)
        .map_err(|error| LinkError::Malformed(error.to_string()))?;
    if bytes.len() > MAX_MESSAGE {
        return Err(LinkError::TooLarge);
    }
    let length = (bytes.len() - PREFIX) as u32;
    if let Some(prefix) = bytes.first_chunk_mut::<PREFIX>() {
        *prefix = length.to_le_bytes();
    }
    Ok(bytes)
}

fn decode<M: DeserializeOwned>(bytes: &[u8]) -> Result<M, LinkError> {
    let Some((prefix, body)) = bytes.split_first_chunk::<PREFIX>() else {
        return Err(LinkError::Malformed("shorter than its length".to_owned()));
    };
    if u32::from_le_bytes(*prefix) as usize != body.len() {
        return Err(LinkError::Malformed("length does not match".to_owned()));
    }
    serde_json::from_slice(body).map_err(|error| LinkError::Malformed(error.to_string()))
}

#[cfg(test)]
mod tests;
