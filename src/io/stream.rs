//! A connected byte stream: TCP, unix, or simulated.
//!
//! A thin enum over non-blocking sockets: `WouldBlock` is an ordinary answer, `Interrupted` never
//! leaves this file. Nothing here touches readiness; [`super::transport`] does.

use crate::sys::socket;
use std::io::{self, IoSlice, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// One connected socket, non-blocking, closed when dropped.
pub enum Stream {
    /// TCP over IPv4 or IPv6.
    Tcp(mio::net::TcpStream),
    /// A unix stream socket.
    Unix(mio::net::UnixStream),
    /// A stream of the simulator.
    #[cfg(feature = "sim")]
    Sim(super::sim::SimStream),
}

/// Calls `call` again as long as a signal interrupts it.
fn retried<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

impl Stream {
    /// A connected unix stream socket that somebody else opened.
    ///
    /// # Errors
    /// When the descriptor can't be made non-blocking.
    pub fn from_unix_fd(fd: OwnedFd) -> io::Result<Stream> {
        let stream = std::os::unix::net::UnixStream::from(fd);
        stream.set_nonblocking(true)?;
        Ok(Stream::Unix(mio::net::UnixStream::from_std(stream)))
    }

    /// Reads into `into`; `Ok(0)` is the end of the stream (or an empty `into`).
    ///
    /// # Errors
    /// `WouldBlock` when no byte waits; otherwise what recv(2) says.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => retried(|| socket::receive(stream.as_fd(), into)),
            Stream::Unix(stream) => retried(|| socket::receive(stream.as_fd(), into)),
            #[cfg(feature = "sim")]
            Stream::Sim(stream) => stream.read(into),
        }
    }

    /// Writes the start of `bytes`; returns how many were taken.
    ///
    /// # Errors
    /// `WouldBlock` when the kernel takes none now; otherwise what send(2) says.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => retried(|| socket::send(stream.as_fd(), bytes)),
            Stream::Unix(stream) => retried(|| socket::send(stream.as_fd(), bytes)),
            #[cfg(feature = "sim")]
            Stream::Sim(stream) => stream.write(bytes),
        }
    }

    /// Writes the start of `first` followed by `second` in one call; returns how many bytes of
    /// both together were taken.
    ///
    /// # Errors
    /// As [`Stream::write`].
    pub fn write_both(&mut self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        let slices = [IoSlice::new(first), IoSlice::new(second)];
        match self {
            Stream::Tcp(stream) => retried(|| stream.write_vectored(&slices)),
            Stream::Unix(stream) => retried(|| stream.write_vectored(&slices)),
            #[cfg(feature = "sim")]
            Stream::Sim(stream) => stream.write(if first.is_empty() { second } else { first }),
        }
    }

    /// Ends our direction; the peer still may send. A failure means that the connection is gone,
    /// which the next read tells better.
    pub fn shutdown_write(&mut self) {
        let _ = match self {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
            #[cfg(feature = "sim")]
            Stream::Sim(stream) => stream.shutdown_write(),
        };
    }

    /// The descriptor, for splice(2); `None` where there is none.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Stream::Tcp(stream) => Some(stream.as_fd()),
            Stream::Unix(stream) => Some(stream.as_fd()),
            #[cfg(feature = "sim")]
            Stream::Sim(_) => None,
        }
    }

    /// Sends small writes at once (`TCP_NODELAY`). Without effect on other sockets; a failure
    /// costs speed only.
    pub fn set_nodelay(&self) {
        if let Stream::Tcp(stream) = self {
            let _ = stream.set_nodelay(true);
        }
    }
}
