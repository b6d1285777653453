//! Whole messages with descriptors over `SOCK_SEQPACKET` (and `SOCK_DGRAM`) sockets.

use super::fd::wrap_new;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// Most descriptors in one message.
pub const MAX_FDS: usize = 64;

/// Bytes of control data that hold [`MAX_FDS`] descriptors; u64 words for the header's alignment.
const CONTROL_WORDS: usize = 64;

/// What [`receive`] got.
#[derive(Debug)]
pub struct Received {
    /// Bytes written to the start of the caller's buffer; 0 is the end (the peer has closed).
    pub length: usize,
    /// Whether the message was longer than the buffer, so that its tail is lost.
    pub truncated: bool,
    /// Whether descriptors were lost (more than [`MAX_FDS`], or no free numbers).
    pub fds_lost: bool,
    /// The descriptors, close-on-exec, in the sender's order.
    pub fds: Vec<OwnedFd>,
}

/// Sends one message with descriptors, without blocking. All or nothing: a message is never cut.
///
/// Errors: `WouldBlock` (the peer's queue is full), `EMSGSIZE`, `BrokenPipe` (the peer is gone; no
/// signal is raised), `ETOOMANYREFS`, `InvalidInput` for more than [`MAX_FDS`] descriptors.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    if fds.len() > MAX_FDS {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors"));
    }
    let raw: Vec<RawFd> = fds.iter().map(|fd| fd.as_raw_fd()).collect();
    let payload = mem::size_of_val(raw.as_slice()) as u32;
    let mut control = [0_u64; CONTROL_WORDS];
    let mut iov = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: msghdr is plain integers and pointers; all zeros means "nothing" in every field.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = &raw mut iov;
    header.msg_iovlen = 1;
    if !raw.is_empty() {
        header.msg_control = control.as_mut_ptr().cast();
        // SAFETY: CMSG_SPACE is arithmetic on its argument.
        header.msg_controllen = unsafe { libc::CMSG_SPACE(payload) } as usize;
        // SAFETY: the control buffer is aligned for a cmsghdr and larger than CMSG_SPACE of the
        // payload (64 words = 512 bytes; header 16 + 64 * 4 = 272), so the first header and its data
        // lie within it.
        unsafe {
            let first = libc::CMSG_FIRSTHDR(&header);
            (*first).cmsg_level = libc::SOL_SOCKET;
            (*first).cmsg_type = libc::SCM_RIGHTS;
            (*first).cmsg_len = libc::CMSG_LEN(payload) as usize;
            let data = libc::CMSG_DATA(first).cast::<RawFd>();
            std::ptr::copy_nonoverlapping(raw.as_ptr(), data, raw.len());
        }
    }
    loop {
        // SAFETY: header, iov, bytes, control and the borrowed descriptors all outlive the call; the
        // kernel only reads them.
        let sent = unsafe {
            libc::sendmsg(socket.as_raw_fd(), &header, libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT)
        };
        if sent >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Receives one message without blocking. `WouldBlock` when none waits.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    let mut control = [0_u64; CONTROL_WORDS];
    let mut iov = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: msghdr is plain integers and pointers; all zeros means "nothing" in every field.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = &raw mut iov;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    // SAFETY: CMSG_SPACE is arithmetic on its argument.
    header.msg_controllen =
        unsafe { libc::CMSG_SPACE((MAX_FDS * mem::size_of::<RawFd>()) as u32) } as usize;
    let length = loop {
        // SAFETY: the header points to live, writable memory of the stated lengths for the call.
        let result = unsafe {
            libc::recvmsg(
                socket.as_raw_fd(),
                &mut header,
                libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT,
            )
        };
        if result >= 0 {
            break result as usize;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    };
    let fds = collect_fds(&header);
    Ok(Received {
        length,
        truncated: header.msg_flags & libc::MSG_TRUNC != 0,
        fds_lost: header.msg_flags & libc::MSG_CTRUNC != 0,
        fds,
    })
}

/// Takes the descriptors out of a header that `recvmsg` has just filled.
fn collect_fds(header: &libc::msghdr) -> Vec<OwnedFd> {
    let mut fds = Vec::new();
    // SAFETY: the kernel filled the control buffer; CMSG_FIRSTHDR/NXTHDR stay inside msg_controllen,
    // and the data of each record is cmsg_len - CMSG_LEN(0) bytes long. Each number is a descriptor
    // that the kernel has just installed for this message, so nobody else owns it.
    unsafe {
        let mut cursor = libc::CMSG_FIRSTHDR(header);
        while !cursor.is_null() {
            if (*cursor).cmsg_level == libc::SOL_SOCKET && (*cursor).cmsg_type == libc::SCM_RIGHTS {
                let bytes = ((*cursor).cmsg_len).saturating_sub(libc::CMSG_LEN(0) as usize);
                let data = libc::CMSG_DATA(cursor).cast::<RawFd>();
                for index in 0..bytes / mem::size_of::<RawFd>() {
                    if let Ok(fd) = wrap_new(data.add(index).read_unaligned()) {
                        fds.push(fd);
                    }
                }
            }
            cursor = libc::CMSG_NXTHDR(header, cursor);
        }
    }
    fds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::socket::seqpacket_pair;
    use std::os::fd::AsFd;

    #[test]
    fn bytes_and_descriptors_arrive_in_order() {
        let (one, two) = seqpacket_pair().unwrap();
        let (a, b) = seqpacket_pair().unwrap();
        send(one.as_fd(), b"hello", &[a.as_fd(), b.as_fd()]).unwrap();
        send(one.as_fd(), b"again", &[]).unwrap();
        let mut buffer = [0; 16];
        let first = receive(two.as_fd(), &mut buffer).unwrap();
        assert_eq!((&buffer[..first.length], first.fds.len()), (&b"hello"[..], 2));
        let cookie = |fd: &OwnedFd| crate::sys::socket::cookie(fd.as_fd()).unwrap();
        assert_eq!(cookie(&first.fds[0]), cookie(&a));
        assert_eq!(cookie(&first.fds[1]), cookie(&b));
        let second = receive(two.as_fd(), &mut buffer).unwrap();
        assert_eq!((&buffer[..second.length], second.fds.len()), (&b"again"[..], 0));
        let none = receive(two.as_fd(), &mut buffer).unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::WouldBlock);
        drop(one);
        assert_eq!(receive(two.as_fd(), &mut buffer).unwrap().length, 0);
    }

    #[test]
    fn cut_messages_and_broken_peers_are_told() {
        let (one, two) = seqpacket_pair().unwrap();
        send(one.as_fd(), &[7; 100], &[]).unwrap();
        let mut buffer = [0; 10];
        let got = receive(two.as_fd(), &mut buffer).unwrap();
        assert_eq!((got.length, got.truncated), (10, true));
        let many = vec![one.as_fd(); MAX_FDS + 1];
        let error = send(one.as_fd(), b"x", &many).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        send(one.as_fd(), b"x", &many[..MAX_FDS]).unwrap();
        assert_eq!(receive(two.as_fd(), &mut buffer).unwrap().fds.len(), MAX_FDS);
        drop(two);
        assert_eq!(send(one.as_fd(), b"x", &[]).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_full_queue_would_block() {
        let (one, _two) = seqpacket_pair().unwrap();
        let error = loop {
            if let Err(error) = send(one.as_fd(), &[0; 1024], &[]) {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
