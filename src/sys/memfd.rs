//! Memory files: sealed documents and the shared board.

use super::fd::{check, wrap_new};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

/// A memory file that holds `bytes` and can never change again: its reader may trust the length.
pub fn sealed(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(create(name)?);
    file.write_all(bytes)?;
    let fd = OwnedFd::from(file);
    add_seals(
        &fd,
        libc::F_SEAL_WRITE | libc::F_SEAL_GROW | libc::F_SEAL_SHRINK | libc::F_SEAL_SEAL,
    )?;
    Ok(fd)
}

/// A writable memory file of exactly `size` zero bytes, whose size can never change (so that a mapping
/// of it can't be cut off from below its readers).
pub fn shared(name: &str, size: u64) -> io::Result<OwnedFd> {
    let file = File::from(create(name)?);
    file.set_len(size)?;
    let fd = OwnedFd::from(file);
    add_seals(&fd, libc::F_SEAL_GROW | libc::F_SEAL_SHRINK | libc::F_SEAL_SEAL)?;
    Ok(fd)
}

/// Reads a whole sealed memory file of at most `limit` bytes. `InvalidData` when it isn't sealed
/// against writes or is larger.
pub fn read_sealed(fd: BorrowedFd<'_>, limit: usize) -> io::Result<Vec<u8>> {
    let needed = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;
    if seals(fd)? & needed != needed {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "memory file is not sealed"));
    }
    let file = File::from(fd.try_clone_to_owned()?);
    let size = file.metadata()?.len();
    if size > limit as u64 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "memory file is too large"));
    }
    let mut bytes = vec![0; size as usize];
    // Not `read`: all copies of the descriptor share one position.
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Size in bytes of a memory file that is sealed against shrinking; `InvalidData` when it isn't.
pub(super) fn fixed_size(fd: BorrowedFd<'_>) -> io::Result<u64> {
    if seals(fd)? & libc::F_SEAL_SHRINK == 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "memory file may shrink"));
    }
    Ok(File::from(fd.try_clone_to_owned()?).metadata()?.len())
}

fn create(name: &str) -> io::Result<OwnedFd> {
    let name = CString::new(name)?;
    // SAFETY: `name` is a live C string; the flags are plain bits.
    wrap_new(unsafe {
        libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING)
    })
}

fn add_seals(fd: &OwnedFd, bits: i32) -> io::Result<()> {
    // SAFETY: F_ADD_SEALS takes an integer.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, bits) }).map(drop)
}

fn seals(fd: BorrowedFd<'_>) -> io::Result<i32> {
    // SAFETY: F_GET_SEALS takes no argument.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GET_SEALS) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn sealed_files_read_back_and_refuse_writes() {
        let fd = sealed("doc", b"{}").unwrap();
        assert_eq!(read_sealed(fd.as_fd(), 10).unwrap(), b"{}");
        assert_eq!(read_sealed(fd.as_fd(), 10).unwrap(), b"{}");
        assert_eq!(read_sealed(fd.as_fd(), 1).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let mut file = File::from(fd);
        assert_eq!(file.write(b"x").unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn unsealed_files_are_refused() {
        let fd = shared("board", 4096).unwrap();
        assert_eq!(fixed_size(fd.as_fd()).unwrap(), 4096);
        assert_eq!(read_sealed(fd.as_fd(), 9999).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let (socket, _peer) = crate::sys::socket::seqpacket_pair().unwrap();
        assert!(read_sealed(socket.as_fd(), 10).is_err());
        assert!(File::from(fd).set_len(1).is_err());
    }
}
