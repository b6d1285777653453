//! Descriptor flags, duplication, and taking over inherited descriptors.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Mutex;

/// Numbers already handed out by [`inherit`]: a number can be taken over once in a process.
static INHERITED: Mutex<BTreeSet<RawFd>> = Mutex::new(BTreeSet::new());

/// Turns a C return value into a result, taking the error from `errno`.
pub(crate) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Wraps a descriptor number that a system call has just returned.
pub(crate) fn wrap_new(result: libc::c_int) -> io::Result<OwnedFd> {
    let raw = check(result)?;
    // SAFETY: the kernel has just returned this number from a call that makes a new descriptor, so
    // it is open and nobody else can own it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Takes ownership of descriptor `raw` that this process got at exec (`--link=FD`, `LISTEN_FDS`), and
/// sets `FD_CLOEXEC` on it.
///
/// Fails with `EBADF` when `raw` isn't open, and with `AlreadyExists` when it was taken over before.
/// It is meant for the start of `main`, before anything else opens descriptors: a number that some
/// other part of the process opened must not be given to it.
pub fn inherit(raw: RawFd) -> io::Result<OwnedFd> {
    let mut taken = match INHERITED.lock() {
        Ok(guard) => guard,
        Err(poisoned) => poisoned.into_inner(),
    };
    // SAFETY: F_GETFD touches no memory; any integer is allowed.
    check(unsafe { libc::fcntl(raw, libc::F_GETFD) })?;
    if !taken.insert(raw) {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "descriptor is already owned"));
    }
    // SAFETY: `raw` is open (checked above), came from the process's parent, and the registry makes
    // sure that it is taken over only once.
    let fd = unsafe { OwnedFd::from_raw_fd(raw) };
    set_cloexec(fd.as_fd(), true)?;
    Ok(fd)
}

/// Sets or clears `FD_CLOEXEC`.
pub fn set_cloexec(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    let flags = if on { libc::FD_CLOEXEC } else { 0 };
    // SAFETY: F_SETFD on a borrowed, hence open, descriptor touches no memory.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, flags) }).map(drop)
}

/// Sets or clears `O_NONBLOCK`. The flag belongs to the open file description: it changes for every
/// process that shares it.
pub fn set_nonblocking(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    // SAFETY: F_GETFL on an open descriptor touches no memory.
    let old = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    let new = if on { old | libc::O_NONBLOCK } else { old & !libc::O_NONBLOCK };
    if new == old {
        return Ok(());
    }
    // SAFETY: F_SETFL on an open descriptor touches no memory.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, new) }).map(drop)
}

/// Duplicates a descriptor, with `FD_CLOEXEC` and a number of at least 3.
pub fn duplicate(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC on an open descriptor touches no memory.
    wrap_new(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::IntoRawFd;

    #[test]
    fn inherit_takes_a_number_once() {
        let (end, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let raw = end.into_raw_fd();
        let owned = inherit(raw).unwrap();
        assert_eq!(inherit(raw).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        drop(owned);
    }

    #[test]
    fn inherit_refuses_a_closed_number() {
        assert_eq!(inherit(1_000_000).unwrap_err().raw_os_error(), Some(libc::EBADF));
    }

    #[test]
    fn duplicate_keeps_cloexec_and_nonblocking_can_be_toggled() {
        let (end, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let copy = duplicate(end.as_fd()).unwrap();
        // SAFETY: F_GETFD touches no memory.
        let flags = unsafe { libc::fcntl(copy.as_raw_fd(), libc::F_GETFD) };
        assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
        set_nonblocking(copy.as_fd(), true).unwrap();
        // SAFETY: F_GETFL touches no memory. The original shares the file description.
        let flags = unsafe { libc::fcntl(end.as_raw_fd(), libc::F_GETFL) };
        assert_eq!(flags & libc::O_NONBLOCK, libc::O_NONBLOCK);
    }
}
