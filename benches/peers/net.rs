//! What backend and loaders share: epoll by level, non-blocking sockets, a pinned process. Plain and
//! quick rather than general; it is measured against, so it must not be the thing measured.

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{MsgFlags, recv, send};
use nix::unistd::Pid;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

/// Pins this process to a core, when it has that core.
pub fn pin(core: usize) {
    let mut set = CpuSet::new();
    if set.set(core).is_ok() && sched_setaffinity(Pid::from_raw(0), &set).is_err() {
        eprintln!("cannot run on core {core}: figures of this run mean little");
    }
}

/// Raises the limit of open files as far as it goes.
pub fn raise_files() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// A level-triggered poller over numbered sockets.
pub struct Poller {
    epoll: Epoll,
    events: Vec<EpollEvent>,
}

impl Poller {
    /// A poller that takes up to 512 events at a time.
    pub fn new() -> Poller {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("epoll");
        Poller { epoll, events: vec![EpollEvent::empty(); 512] }
    }

    /// Watches `fd` for reading.
    pub fn add(&self, fd: impl AsFd, token: u64) {
        self.epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, token)).expect("epoll add");
    }

    /// Watches `fd` for reading, and for writing too if asked to.
    pub fn modify(&self, fd: impl AsFd, token: u64, writing: bool) {
        let mut flags = EpollFlags::EPOLLIN;
        flags.set(EpollFlags::EPOLLOUT, writing);
        self.epoll.modify(fd, &mut EpollEvent::new(flags, token)).expect("epoll modify");
    }

    /// The tokens that are ready, with whether each may be written. Waits at most `limit`.
    pub fn wait(&mut self, limit: Duration) -> Vec<(u64, bool)> {
        let timeout = EpollTimeout::try_from(limit).unwrap_or(EpollTimeout::NONE);
        let count = self.epoll.wait(&mut self.events, timeout).unwrap_or(0);
        let ready = self.events[..count].iter();
        ready.map(|e| (e.data(), e.events().contains(EpollFlags::EPOLLOUT))).collect()
    }
}

/// Connects, and makes the socket non-blocking and prompt.
pub fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads; `None` when there is nothing now. With `discard` the bytes are dropped by the kernel.
pub fn read(stream: &TcpStream, into: &mut [u8], discard: bool) -> Option<std::io::Result<usize>> {
    let flags = if discard { MsgFlags::MSG_TRUNC } else { MsgFlags::empty() };
    match recv(stream.as_raw_fd(), into, flags) {
        Ok(n) => Some(Ok(n)),
        Err(nix::Error::EAGAIN | nix::Error::EINTR) => None,
        Err(error) => Some(Err(error.into())),
    }
}

/// Writes what goes; `Ok(0)` when nothing goes now.
pub fn write(stream: &TcpStream, bytes: &[u8]) -> std::io::Result<usize> {
    match send(stream.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL) {
        Ok(n) => Ok(n),
        Err(nix::Error::EAGAIN | nix::Error::EINTR) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// The end of a head in `bytes`, and its Content-Length (0 without one).
pub fn head(bytes: &[u8]) -> Option<(usize, usize)> {
    let end = memchr::memmem::find(bytes, b"\r\n\r\n")? + 4;
    let mut length = 0;
    for line in bytes[..end].split(|b| *b == b'\n') {
        if line.len() > 15 && line[..15].eq_ignore_ascii_case(b"content-length:") {
            let digits = line[15..].iter().filter(|b| b.is_ascii_digit());
            length = digits.fold(0, |sum, b| sum * 10 + usize::from(b - b'0'));
        }
    }
    Some((end, length))
}

/// Microseconds since `begin`.
pub fn micros(begin: Instant) -> u32 {
    u32::try_from(begin.elapsed().as_micros()).unwrap_or(u32::MAX)
}
