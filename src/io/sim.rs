//! The seam for the simulator: what stands in for the kernel.
//!
//! A simulation implements [`Net`] and hands it to [`super::poll::Poller::sim`]. The worker then
//! reads, writes, accepts, dials and polls through it, with no other change: the same turn, the
//! same queues. Rules for an implementation:
//!
//! * Edges: an event is due after registration (for what is possible then) and after each change
//!   from impossible to possible. Spurious events are allowed; a missing one is a bug in the model.
//! * `WouldBlock` from `read` or `write` promises a later edge.
//! * A listener is level-triggered: as long as a connection waits, each poll reports it.
//! * Descriptors are numbers of the model's choosing; `close` is called exactly once for each.

use super::ready::Ready;
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

/// A simulated kernel.
pub trait Net {
    /// recv(2) on `fd`.
    ///
    /// # Errors
    /// `WouldBlock`, or the fault of the model's choice.
    fn read(&mut self, fd: u32, into: &mut [u8]) -> io::Result<usize>;
    /// send(2) on `fd`.
    ///
    /// # Errors
    /// `WouldBlock`, or the fault of the model's choice.
    fn write(&mut self, fd: u32, bytes: &[u8]) -> io::Result<usize>;
    /// shutdown(2) of the write side.
    ///
    /// # Errors
    /// The fault of the model's choice.
    fn shutdown_write(&mut self, fd: u32) -> io::Result<()>;
    /// close(2).
    fn close(&mut self, fd: u32);
    /// accept(2) on a listener.
    ///
    /// # Errors
    /// `WouldBlock`, `EMFILE` or another fault.
    fn accept(&mut self, listener: u32) -> io::Result<(u32, SocketAddr)>;
    /// Non-blocking connect(2).
    ///
    /// # Errors
    /// The fault of the model's choice; an unreachable peer may also fail at the first write.
    fn connect(&mut self, to: SocketAddr) -> io::Result<u32>;
    /// epoll_ctl(2) ADD of a stream, both directions, edge-triggered.
    ///
    /// # Errors
    /// The fault of the model's choice.
    fn register(&mut self, fd: u32, token: u64) -> io::Result<()>;
    /// epoll_ctl(2) ADD of a listener, level-triggered.
    ///
    /// # Errors
    /// The fault of the model's choice.
    fn listen(&mut self, listener: u32, token: u64) -> io::Result<()>;
    /// epoll_ctl(2) DEL of a listener.
    fn ignore(&mut self, listener: u32);
    /// epoll_wait(2): puts what is due into `events`. Must not block.
    fn poll(&mut self, events: &mut Vec<(u64, Ready)>);
}

/// The model, shared by everything that is open in it.
pub type SharedNet = Rc<RefCell<dyn Net>>;

/// A simulated descriptor; closed in the model when dropped.
pub struct SimStream {
    net: SharedNet,
    fd: u32,
}

impl SimStream {
    /// The stream that the model knows as `fd`.
    pub fn new(net: SharedNet, fd: u32) -> SimStream {
        SimStream { net, fd }
    }

    /// The model's number.
    pub fn fd(&self) -> u32 {
        self.fd
    }

    /// As [`Net::read`].
    ///
    /// # Errors
    /// As [`Net::read`].
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.net.borrow_mut().read(self.fd, into)
    }

    /// As [`Net::write`].
    ///
    /// # Errors
    /// As [`Net::write`].
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.net.borrow_mut().write(self.fd, bytes)
    }

    /// As [`Net::shutdown_write`].
    ///
    /// # Errors
    /// As [`Net::shutdown_write`].
    pub fn shutdown_write(&mut self) -> io::Result<()> {
        self.net.borrow_mut().shutdown_write(self.fd)
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.net.borrow_mut().close(self.fd);
    }
}
