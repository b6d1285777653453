//! Unix sockets that guard a door: a listener that is private from its first moment, and the
//! groups of the caller as the kernel recorded them.

use super::fd::{check, wrap_new};
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

/// Most groups that are read of a peer; a peer with more counts as having none of the rest.
const GROUPS_MAX: usize = 1024;

/// A non-blocking listening stream socket whose file has mode 0600 (less the umask) from the moment
/// it exists: the mode of the socket's own inode is what bind(2) gives to the file.
///
/// Errors: `InvalidInput` for a path that is empty, holds a NUL or is too long; bind(2), listen(2).
pub fn listen_private(path: &Path) -> io::Result<UnixListener> {
    // SAFETY: sockaddr_un is plain integers; all zeros is a valid value.
    let mut address: libc::sockaddr_un = unsafe { mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let bytes = path.as_os_str().as_bytes();
    if bytes.is_empty() || bytes.contains(&0) || bytes.len() >= address.sun_path.len() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no path for a unix socket"));
    }
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = from.cast_signed();
    }
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the call takes integers only.
    let fd = wrap_new(unsafe { libc::socket(libc::AF_UNIX, kind, 0) })?;
    // SAFETY: the call takes integers only; the descriptor is open.
    check(unsafe { libc::fchmod(fd.as_raw_fd(), 0o600) })?;
    let length = mem::size_of::<libc::sockaddr_un>() as libc::socklen_t;
    // SAFETY: `address` is initialised, NUL-terminated in its path, and of the stated length.
    check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), length) })?;
    // SAFETY: the call takes integers only.
    check(unsafe { libc::listen(fd.as_raw_fd(), 64) })?;
    Ok(UnixListener::from(fd))
}

/// The supplementary groups that the kernel recorded for the peer (`SO_PEERGROUPS`, Linux 4.13).
///
/// Errors: `ENOPROTOOPT` on older kernels, `ERANGE` for a peer with more than 1024 groups.
pub fn peer_groups(fd: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let mut groups = vec![0_u32; GROUPS_MAX];
    let mut length = mem::size_of_val(groups.as_slice()) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into the vector's initialised storage.
    check(unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERGROUPS,
            groups.as_mut_ptr().cast(),
            &mut length,
        )
    })?;
    groups.truncate(length as usize / mem::size_of::<u32>());
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::UnixStream;

    #[test]
    fn the_file_is_private_from_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("door");
        let listener = listen_private(&path).unwrap();
        assert_eq!(std::fs::symlink_metadata(&path).unwrap().mode() & 0o077, 0);
        let again = listen_private(&path).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
        let one = UnixStream::connect(&path).unwrap();
        let (two, _) = listener.accept().unwrap();
        let own: Vec<u32> =
            nix::unistd::getgroups().unwrap().into_iter().map(|gid| gid.as_raw()).collect();
        for end in [&one, &two] {
            let mut groups = peer_groups(end.as_fd()).unwrap();
            groups.sort_unstable();
            let mut own = own.clone();
            own.sort_unstable();
            assert_eq!(groups, own);
        }
    }

    #[test]
    fn paths_that_cannot_be_are_refused() {
        for path in ["", "a\0b", &"x".repeat(108)] {
            let error = listen_private(Path::new(path)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{path:?}");
        }
    }
}
