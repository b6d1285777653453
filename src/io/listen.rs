//! Listening sockets, shared with the other workers.
//!
//! Every worker holds a duplicate of the same open socket. What accept(2) gives inherits
//! `TCP_NODELAY` from the listener, so no option is set per connection.

use super::stream::Stream;
use crate::sys::fd::set_nonblocking;
use crate::sys::socket::{Address, local_address, set_nodelay};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A listening socket.
pub enum Listener {
    /// TCP over IPv4 or IPv6.
    Tcp(mio::net::TcpListener),
    /// A unix stream socket.
    Unix(mio::net::UnixListener),
    /// A listener of the simulator, by the model's number.
    #[cfg(feature = "sim")]
    Sim(super::sim::SharedNet, u32),
}

impl Listener {
    /// Wraps an inherited listening socket of any of the known families.
    ///
    /// # Errors
    /// `Unsupported` for another family; otherwise what the kernel says.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Listener> {
        set_nonblocking(fd.as_fd(), true)?;
        match local_address(fd.as_fd())? {
            Address::Inet(_) => {
                // Inherited by each accepted connection; without it only speed suffers.
                let _ = set_nodelay(fd.as_fd());
                let listener = std::net::TcpListener::from(fd);
                Ok(Listener::Tcp(mio::net::TcpListener::from_std(listener)))
            }
            Address::Unix(_) => {
                let listener = std::os::unix::net::UnixListener::from(fd);
                Ok(Listener::Unix(mio::net::UnixListener::from_std(listener)))
            }
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// The next waiting connection and its peer's address (`None` for a unix peer).
    ///
    /// # Errors
    /// `WouldBlock` when none waits; otherwise what accept4(2) says.
    pub fn accept(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                Ok((Stream::Tcp(stream), Some(peer)))
            }
            Listener::Unix(listener) => Ok((Stream::Unix(listener.accept()?.0), None)),
            #[cfg(feature = "sim")]
            Listener::Sim(net, fd) => {
                let (stream, peer) = net.borrow_mut().accept(*fd)?;
                Ok((Stream::Sim(super::sim::SimStream::new(net.clone(), stream)), Some(peer)))
            }
        }
    }

    /// The address it listens on; `None` for unix sockets.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Listener::Tcp(listener) => listener.local_addr().ok(),
            Listener::Unix(_) => None,
            #[cfg(feature = "sim")]
            Listener::Sim(..) => None,
        }
    }

    /// The descriptor, for epoll; `None` where there is none.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Listener::Tcp(listener) => Some(listener.as_fd()),
            Listener::Unix(listener) => Some(listener.as_fd()),
            #[cfg(feature = "sim")]
            Listener::Sim(..) => None,
        }
    }
}
