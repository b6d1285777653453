//! The parts of epoll that mio lacks, and waiting for one descriptor.

use super::fd::check;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// Adds a listening socket to an epoll set, level-triggered and with `EPOLLEXCLUSIVE`, so that one
/// connection wakes one worker. `token` is what mio's events will carry. An exclusive entry can't be
/// modified: [`remove`] it to step out of accepting, and add it again.
pub fn add_exclusive(epoll: BorrowedFd<'_>, fd: BorrowedFd<'_>, token: u64) -> io::Result<()> {
    let bits = libc::EPOLLIN as u32 | libc::EPOLLEXCLUSIVE as u32;
    let mut event = libc::epoll_event { events: bits, u64: token };
    // SAFETY: both descriptors are open; the event is a live struct that the kernel copies.
    check(unsafe {
        libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd.as_raw_fd(), &raw mut event)
    })
    .map(drop)
}

/// Takes a descriptor out of an epoll set. `NotFound` when it isn't in it.
pub fn remove(epoll: BorrowedFd<'_>, fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: both descriptors are open; the event pointer is not used for DEL.
    check(unsafe {
        libc::epoll_ctl(
            epoll.as_raw_fd(),
            libc::EPOLL_CTL_DEL,
            fd.as_raw_fd(),
            std::ptr::null_mut(),
        )
    })
    .map(drop)
}

/// Waits until one descriptor is readable (or writable, when `write`), has an error or an end, at most
/// `timeout`. False when the time ran out. For starts, ends and errands, never for a data path.
pub fn wait_ready(fd: BorrowedFd<'_>, write: bool, timeout: Duration) -> io::Result<bool> {
    let events = if write { libc::POLLOUT } else { libc::POLLIN };
    let mut entry = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
    let millis = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: one live pollfd, count 1.
    match check(unsafe { libc::poll(&raw mut entry, 1, millis) }) {
        Ok(count) => Ok(count > 0),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::socket::{connect_tcp, listen_tcp, local_address};
    use std::os::fd::AsFd;

    #[test]
    fn exclusive_entries_reach_mio_with_their_token() {
        let mut poll = mio::Poll::new().unwrap();
        let listener = listen_tcp("127.0.0.1:0".parse().unwrap(), false).unwrap();
        let raw = poll.as_raw_fd();
        // SAFETY: the epoll descriptor lives as long as `poll`.
        let epoll = unsafe { BorrowedFd::borrow_raw(raw) };
        add_exclusive(epoll, listener.as_fd(), 77).unwrap();
        let super::super::socket::Address::Inet(address) = local_address(listener.as_fd()).unwrap()
        else {
            panic!("no inet address");
        };
        let _client = connect_tcp(address).unwrap();
        let mut events = mio::Events::with_capacity(8);
        poll.poll(&mut events, Some(Duration::from_secs(5))).unwrap();
        let tokens: Vec<usize> = events.iter().map(|event| event.token().0).collect();
        assert_eq!(tokens, [77]);
        remove(epoll, listener.as_fd()).unwrap();
        assert_eq!(remove(epoll, listener.as_fd()).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
