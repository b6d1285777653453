//! Pipes and splice(2): bodies that pass through the kernel without a copy to user space.

use super::fd::{check, wrap_new};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// A pipe: (read end, write end), non-blocking, close-on-exec, 64 KiB unless resized.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut raw = [-1; 2];
    // SAFETY: `raw` has room for the two numbers that the call writes.
    check(unsafe { libc::pipe2(raw.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) })?;
    Ok((wrap_new(raw[0])?, wrap_new(raw[1])?))
}

/// Asks for a pipe capacity in bytes and returns what the kernel gave (it rounds up; unprivileged
/// users are held to `pipe-max-size` and `pipe-user-pages-soft`, then `PermissionDenied`).
pub fn set_capacity(pipe: BorrowedFd<'_>, bytes: usize) -> io::Result<usize> {
    let wanted = i32::try_from(bytes).unwrap_or(i32::MAX);
    // SAFETY: F_SETPIPE_SZ takes an integer.
    check(unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETPIPE_SZ, wanted) }).map(|n| n as usize)
}

/// Moves up to `length` bytes between a socket and a pipe without blocking; one side must be a pipe.
/// `Ok(0)` is the end of the input. `WouldBlock` does not tell which side wasn't ready. `more` hints
/// that further bytes follow at once (`SPLICE_F_MORE`).
pub fn splice(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    length: usize,
    more: bool,
) -> io::Result<usize> {
    let mut flags = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK;
    if more {
        flags |= libc::SPLICE_F_MORE;
    }
    // SAFETY: both descriptors are open, and null offsets mean the files' own positions.
    let moved = unsafe {
        libc::splice(
            from.as_raw_fd(),
            std::ptr::null_mut(),
            to.as_raw_fd(),
            std::ptr::null_mut(),
            length,
            flags,
        )
    };
    if moved < 0 { Err(io::Error::last_os_error()) } else { Ok(moved as usize) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn bytes_pass_from_socket_to_socket() {
        let (mut client, front) = UnixStream::pair().unwrap();
        let (back, mut server) = UnixStream::pair().unwrap();
        front.set_nonblocking(true).unwrap();
        back.set_nonblocking(true).unwrap();
        let (read, write) = pipe().unwrap();
        assert!(set_capacity(write.as_fd(), 128 * 1024).unwrap() >= 128 * 1024);
        let idle = splice(front.as_fd(), write.as_fd(), 1024, false).unwrap_err();
        assert_eq!(idle.kind(), io::ErrorKind::WouldBlock);
        client.write_all(b"through the kernel").unwrap();
        assert_eq!(splice(front.as_fd(), write.as_fd(), 1024, true).unwrap(), 18);
        assert_eq!(splice(read.as_fd(), back.as_fd(), 18, false).unwrap(), 18);
        let mut got = [0; 18];
        server.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"through the kernel");
        drop(client);
        assert_eq!(splice(front.as_fd(), write.as_fd(), 1024, false).unwrap(), 0);
    }
}
