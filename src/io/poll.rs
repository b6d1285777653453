//! The poller: epoll through mio, or the simulator's.
//!
//! Streams are registered once, edge-triggered, both directions. Listeners are added on mio's epoll
//! descriptor with `EPOLLEXCLUSIVE`, level-triggered: mio can't, and one waiting connection must
//! wake one worker, not all.

use super::listen::Listener;
use super::ready::Ready;
use super::stream::Stream;
use crate::sys::poll as epoll;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// Events taken from the kernel in one call.
const EVENTS: usize = 512;

/// What was ready, in the caller's word.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// The word given at registration.
    pub token: u64,
    /// What the kernel says about it.
    pub ready: Ready,
}

/// Waits for edges of all descriptors of one worker.
pub struct Poller {
    kind: Kind,
    due: Vec<Event>,
}

enum Kind {
    Kernel(mio::Poll, mio::Events),
    #[cfg(feature = "sim")]
    Sim(super::sim::SharedNet, Vec<(u64, Ready)>),
}

impl Poller {
    /// A poller over the kernel's epoll.
    ///
    /// # Errors
    /// What epoll_create1(2) says.
    pub fn new() -> io::Result<Poller> {
        let kind = Kind::Kernel(mio::Poll::new()?, mio::Events::with_capacity(EVENTS));
        Ok(Poller { kind, due: Vec::with_capacity(EVENTS) })
    }

    /// A poller over a simulated kernel.
    #[cfg(feature = "sim")]
    pub fn sim(net: super::sim::SharedNet) -> Poller {
        Poller { kind: Kind::Sim(net, Vec::new()), due: Vec::new() }
    }

    /// A handle by which another thread ends a [`Poller::wait`]; its event carries `token`. `None`
    /// in the simulator.
    ///
    /// # Errors
    /// What eventfd(2) or epoll_ctl(2) says.
    pub fn waker(&self, token: u64) -> io::Result<Option<mio::Waker>> {
        match &self.kind {
            Kind::Kernel(poll, _) => {
                Ok(Some(mio::Waker::new(poll.registry(), mio::Token(token as usize))?))
            }
            #[cfg(feature = "sim")]
            Kind::Sim(..) => Ok(None),
        }
    }

    /// Waits until something is ready or `timeout` has passed; the events are then read with
    /// [`Poller::event`]. A signal ends the wait without events.
    ///
    /// # Errors
    /// What epoll_wait(2) says, other than `EINTR`.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<usize> {
        self.due.clear();
        match &mut self.kind {
            Kind::Kernel(poll, events) => {
                match poll.poll(events, Some(timeout)) {
                    Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                    Err(_) => return Ok(0),
                    Ok(()) => {}
                }
                self.due.extend(
                    events.iter().map(|event| Event {
                        token: event.token().0 as u64,
                        ready: ready_of(event),
                    }),
                );
            }
            #[cfg(feature = "sim")]
            Kind::Sim(net, events) => {
                let _ = timeout;
                events.clear();
                net.borrow_mut().poll(events);
                self.due.extend(events.iter().map(|&(token, ready)| Event { token, ready }));
            }
        }
        Ok(self.due.len())
    }

    /// The `n`th event of the last [`Poller::wait`].
    pub fn event(&self, n: usize) -> Option<Event> {
        self.due.get(n).copied()
    }

    /// Registers a stream for its whole life. It leaves when it is closed.
    ///
    /// # Errors
    /// What epoll_ctl(2) says.
    pub fn add(&self, stream: &mut Stream, token: u64) -> io::Result<()> {
        match (&self.kind, stream) {
            (Kind::Kernel(poll, _), Stream::Tcp(stream)) => {
                poll.registry().register(stream, mio::Token(token as usize), BOTH)
            }
            (Kind::Kernel(poll, _), Stream::Unix(stream)) => {
                poll.registry().register(stream, mio::Token(token as usize), BOTH)
            }
            #[cfg(feature = "sim")]
            (Kind::Sim(net, _), Stream::Sim(stream)) => {
                net.borrow_mut().register(stream.fd(), token)
            }
            #[cfg(feature = "sim")]
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Registers any other descriptor, for reading, edge-triggered; it leaves when it is closed.
    /// Without effect in the simulator.
    ///
    /// # Errors
    /// What epoll_ctl(2) says.
    pub fn add_reader(&self, fd: &impl AsRawFd, token: u64) -> io::Result<()> {
        match &self.kind {
            Kind::Kernel(poll, _) => poll.registry().register(
                &mut mio::unix::SourceFd(&fd.as_raw_fd()),
                mio::Token(token as usize),
                mio::Interest::READABLE,
            ),
            #[cfg(feature = "sim")]
            Kind::Sim(..) => Ok(()),
        }
    }

    /// Begins to report connections that wait on `listener`.
    ///
    /// # Errors
    /// What epoll_ctl(2) says.
    pub fn add_listener(&self, listener: &Listener, token: u64) -> io::Result<()> {
        match (&self.kind, listener) {
            #[cfg(feature = "sim")]
            (Kind::Sim(net, _), Listener::Sim(_, fd)) => net.borrow_mut().listen(*fd, token),
            (Kind::Kernel(poll, _), listener) => match listener.fd() {
                Some(fd) => epoll::add_exclusive(poll.registry().as_fd(), fd, token),
                None => Err(io::ErrorKind::Unsupported.into()),
            },
            #[cfg(feature = "sim")]
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Stops reporting `listener`. Unknown ones are no error: the goal is reached.
    pub fn remove_listener(&self, listener: &Listener) {
        match (&self.kind, listener) {
            #[cfg(feature = "sim")]
            (Kind::Sim(net, _), Listener::Sim(_, fd)) => net.borrow_mut().ignore(*fd),
            (Kind::Kernel(poll, _), listener) => {
                if let Some(fd) = listener.fd() {
                    let _ = epoll::remove(poll.registry().as_fd(), fd);
                }
            }
            #[cfg(feature = "sim")]
            _ => {}
        }
    }

    /// Starts a TCP connection. Whether it came about shows at the first write.
    ///
    /// # Errors
    /// What socket(2) or connect(2) says, other than `EINPROGRESS`.
    pub fn dial(&self, to: SocketAddr) -> io::Result<Stream> {
        match &self.kind {
            Kind::Kernel(..) => {
                let stream = Stream::Tcp(mio::net::TcpStream::connect(to)?);
                stream.set_nodelay();
                Ok(stream)
            }
            #[cfg(feature = "sim")]
            Kind::Sim(net, _) => {
                let fd = net.borrow_mut().connect(to)?;
                Ok(Stream::Sim(super::sim::SimStream::new(net.clone(), fd)))
            }
        }
    }
}

const BOTH: mio::Interest = mio::Interest::READABLE.add(mio::Interest::WRITABLE);

fn ready_of(event: &mio::event::Event) -> Ready {
    let mut ready = Ready::NONE;
    if event.is_readable() {
        ready.set(Ready::READ);
    }
    if event.is_writable() {
        ready.set(Ready::WRITE);
    }
    if event.is_read_closed() {
        ready.set(Ready::READ_CLOSED.and(Ready::READ));
    }
    if event.is_error() || (event.is_read_closed() && event.is_write_closed()) {
        ready.set(Ready::GONE.and(Ready::READ).and(Ready::WRITE));
    }
    ready
}
