//! Sockets: making, binding, accepting, connecting, options and facts.

use super::fd::{check, wrap_new};
use std::ffi::OsStr;
use std::io;
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Listen queue of sockets that the master binds itself (the kernel caps it at `somaxconn`).
pub const BACKLOG: i32 = 4096;

/// The address of a socket or of its peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// IPv4 or IPv6.
    Inet(SocketAddr),
    /// A unix socket with its path, or `None` for an unnamed or abstract one.
    Unix(Option<PathBuf>),
    /// A family that Cloud Cup does not speak; the number is the kernel's `AF_*`.
    Other(u16),
}

/// A new connection from [`accept`].
#[derive(Debug)]
pub struct Accepted {
    /// The connection, non-blocking, close-on-exec.
    pub fd: OwnedFd,
    /// The socket's peer (a PROXY header may name another client later).
    pub peer: Address,
}

/// A connected pair of `SOCK_SEQPACKET` sockets, both non-blocking and close-on-exec.
pub fn seqpacket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut raw = [-1; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: `raw` has room for the two numbers that the call writes.
    check(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, raw.as_mut_ptr()) })?;
    Ok((wrap_new(raw[0])?, wrap_new(raw[1])?))
}

/// Accepts one connection. `WouldBlock` when none waits; `ConnectionAborted`, `EMFILE` and the like are
/// passed on for the caller to judge.
pub fn accept(listener: BorrowedFd<'_>) -> io::Result<Accepted> {
    let mut storage = Storage::new();
    // SAFETY: storage and length are valid for writes, and the length says how large the storage is.
    let raw = unsafe {
        libc::accept4(
            listener.as_raw_fd(),
            storage.as_mut_ptr(),
            &mut storage.length,
            libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
        )
    };
    let fd = wrap_new(raw)?;
    Ok(Accepted { fd, peer: storage.address() })
}

/// A non-blocking listening TCP socket. `reuse_port` joins a group of siblings that share the address
/// (`SO_REUSEPORT`); IPv6 sockets take IPv6 only, so that `0.0.0.0` and `[::]` can stand side by side.
pub fn listen_tcp(address: SocketAddr, reuse_port: bool) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let fd = socket(family, libc::SOCK_STREAM)?;
    set_flag(fd.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR, true)?;
    if reuse_port {
        set_flag(fd.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEPORT, true)?;
    }
    if address.is_ipv6() {
        set_flag(fd.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, true)?;
    }
    let storage = Storage::from_inet(address);
    bind(fd.as_fd(), &storage)?;
    listen(fd.as_fd())?;
    Ok(fd)
}

/// A non-blocking listening unix stream socket at `path`. The path must not exist.
pub fn listen_unix(path: &Path) -> io::Result<OwnedFd> {
    let fd = socket(libc::AF_UNIX, libc::SOCK_STREAM)?;
    bind(fd.as_fd(), &Storage::from_path(path)?)?;
    listen(fd.as_fd())?;
    Ok(fd)
}

/// Starts a non-blocking connection to a TCP address. The connection may still be in progress when
/// this returns; it is writable once decided, and [`take_error`] tells how.
pub fn connect_tcp(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let fd = socket(family, libc::SOCK_STREAM)?;
    connect(fd.as_fd(), &Storage::from_inet(address))?;
    Ok(fd)
}

/// Connects to a unix stream socket without blocking. A full listen queue is `WouldBlock`.
pub fn connect_unix(path: &Path) -> io::Result<OwnedFd> {
    let fd = socket(libc::AF_UNIX, libc::SOCK_STREAM)?;
    connect(fd.as_fd(), &Storage::from_path(path)?)?;
    Ok(fd)
}

/// A non-blocking datagram socket connected to `path` (the journal's native socket).
pub fn connect_datagram(path: &Path) -> io::Result<OwnedFd> {
    let fd = socket(libc::AF_UNIX, libc::SOCK_DGRAM)?;
    connect(fd.as_fd(), &Storage::from_path(path)?)?;
    Ok(fd)
}

/// The pending error of a socket (`SO_ERROR`), cleared by reading it.
pub fn take_error(fd: BorrowedFd<'_>) -> io::Result<Option<io::Error>> {
    let code = option(fd, libc::SOL_SOCKET, libc::SO_ERROR)?;
    Ok((code != 0).then(|| io::Error::from_raw_os_error(code)))
}

/// Switches Nagle's algorithm off (`TCP_NODELAY`). Fails on sockets that are not TCP.
pub fn set_nodelay(fd: BorrowedFd<'_>) -> io::Result<()> {
    set_flag(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, true)
}

/// Asks for the kernel's send buffer in bytes (`SO_SNDBUF`; the kernel doubles and caps it).
pub fn set_send_buffer(fd: BorrowedFd<'_>, bytes: i32) -> io::Result<()> {
    set_int(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, bytes)
}

/// Makes `close` send a reset instead of an orderly end (`SO_LINGER` 0).
pub fn set_reset_on_close(fd: BorrowedFd<'_>) -> io::Result<()> {
    let value = libc::linger { l_onoff: 1, l_linger: 0 };
    let length = mem::size_of::<libc::linger>() as libc::socklen_t;
    // SAFETY: `value` is a live `linger` of the length given.
    check(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const value).cast(),
            length,
        )
    })
    .map(drop)
}

/// Whether the socket listens (`SO_ACCEPTCONN`). An error means: not a socket.
pub fn is_listening(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(option(fd, libc::SOL_SOCKET, libc::SO_ACCEPTCONN)? != 0)
}

/// Whether the socket is of type `SOCK_STREAM`.
pub fn is_stream(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(option(fd, libc::SOL_SOCKET, libc::SO_TYPE)? == libc::SOCK_STREAM)
}

/// A number that names the socket for as long as it lives, the same in every process (`SO_COOKIE`).
pub fn cookie(fd: BorrowedFd<'_>) -> io::Result<u64> {
    let mut value = 0_u64;
    let mut length = mem::size_of::<u64>() as libc::socklen_t;
    // SAFETY: `value` and `length` are valid for writes; the length says how large the value is.
    check(unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_COOKIE,
            (&raw mut value).cast(),
            &mut length,
        )
    })?;
    Ok(value)
}

/// The socket's own address.
pub fn local_address(fd: BorrowedFd<'_>) -> io::Result<Address> {
    let mut storage = Storage::new();
    // SAFETY: storage and length are valid for writes, and the length says how large the storage is.
    check(unsafe { libc::getsockname(fd.as_raw_fd(), storage.as_mut_ptr(), &mut storage.length) })?;
    Ok(storage.address())
}

/// recv(2), straight to the kernel: the C library's makes every call a cancellation point, which costs
/// once there is a second thread. `Ok(0)` is the end of the stream.
pub fn receive(fd: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<usize> {
    let none = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: `into` is valid for writes of its length; no address is asked for.
    let n = unsafe {
        libc::syscall(
            libc::SYS_recvfrom,
            fd.as_raw_fd(),
            into.as_mut_ptr(),
            into.len(),
            0,
            none,
            none,
        )
    };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// send(2) without a signal, straight to the kernel as in [`receive`]. Returns how many bytes went.
pub fn send(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let none = std::ptr::null::<libc::c_void>();
    // SAFETY: `bytes` is valid for reads of its length; no address is given.
    let n = unsafe {
        libc::syscall(
            libc::SYS_sendto,
            fd.as_raw_fd(),
            bytes.as_ptr(),
            bytes.len(),
            libc::MSG_NOSIGNAL,
            none,
            0,
        )
    };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// The credentials (pid, uid, gid) that the kernel recorded for the peer of a unix socket.
pub fn peer_credentials(fd: BorrowedFd<'_>) -> io::Result<(i32, u32, u32)> {
    let mut value = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut length = mem::size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: `value` and `length` are valid for writes; the length says how large the value is.
    check(unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut value).cast(),
            &mut length,
        )
    })?;
    Ok((value.pid, value.uid, value.gid))
}

fn socket(family: i32, kind: i32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes integers only.
    wrap_new(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0) })
}

fn bind(fd: BorrowedFd<'_>, storage: &Storage) -> io::Result<()> {
    // SAFETY: the storage holds an initialised address of the stated length.
    check(unsafe { libc::bind(fd.as_raw_fd(), storage.as_ptr(), storage.length) }).map(drop)
}

fn listen(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the call takes integers only.
    check(unsafe { libc::listen(fd.as_raw_fd(), BACKLOG) }).map(drop)
}

fn connect(fd: BorrowedFd<'_>, storage: &Storage) -> io::Result<()> {
    // SAFETY: the storage holds an initialised address of the stated length.
    match check(unsafe { libc::connect(fd.as_raw_fd(), storage.as_ptr(), storage.length) }) {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(()),
        other => other.map(drop),
    }
}

fn option(fd: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<i32> {
    let mut value = 0_i32;
    let mut length = mem::size_of::<i32>() as libc::socklen_t;
    // SAFETY: `value` and `length` are valid for writes; the length says how large the value is.
    check(unsafe {
        libc::getsockopt(fd.as_raw_fd(), level, name, (&raw mut value).cast(), &mut length)
    })?;
    Ok(value)
}

fn set_flag(fd: BorrowedFd<'_>, level: i32, name: i32, on: bool) -> io::Result<()> {
    set_int(fd, level, name, i32::from(on))
}

fn set_int(fd: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    let length = mem::size_of::<i32>() as libc::socklen_t;
    // SAFETY: `value` is a live integer of the length given.
    check(unsafe {
        libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const value).cast(), length)
    })
    .map(drop)
}

/// Room for an address of any family, with the length in use.
struct Storage {
    data: libc::sockaddr_storage,
    length: libc::socklen_t,
}

impl Storage {
    fn new() -> Storage {
        // SAFETY: sockaddr_storage is plain integers; all zeros is a valid value.
        let data: libc::sockaddr_storage = unsafe { mem::zeroed() };
        Storage { data, length: mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t }
    }

    fn as_ptr(&self) -> *const libc::sockaddr {
        (&raw const self.data).cast()
    }

    fn as_mut_ptr(&mut self) -> *mut libc::sockaddr {
        (&raw mut self.data).cast()
    }

    fn from_inet(address: SocketAddr) -> Storage {
        let mut storage = Storage::new();
        match address {
            SocketAddr::V4(v4) => {
                let value = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                    sin_zero: [0; 8],
                };
                storage.length = mem::size_of_val(&value) as libc::socklen_t;
                // SAFETY: sockaddr_storage is at least as large and as aligned as sockaddr_in.
                unsafe { storage.as_mut_ptr().cast::<libc::sockaddr_in>().write(value) };
            }
            SocketAddr::V6(v6) => {
                let value = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: v6.port().to_be(),
                    sin6_flowinfo: v6.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                    sin6_scope_id: v6.scope_id(),
                };
                storage.length = mem::size_of_val(&value) as libc::socklen_t;
                // SAFETY: sockaddr_storage is at least as large and as aligned as sockaddr_in6.
                unsafe { storage.as_mut_ptr().cast::<libc::sockaddr_in6>().write(value) };
            }
        }
        storage
    }

    fn from_path(path: &Path) -> io::Result<Storage> {
        let bytes = path.as_os_str().as_bytes();
        // SAFETY: sockaddr_un is plain integers; all zeros is a valid value.
        let mut value: libc::sockaddr_un = unsafe { mem::zeroed() };
        if bytes.is_empty() || bytes.len() >= value.sun_path.len() || bytes.contains(&0) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the path of a unix socket must have 1 to 107 bytes",
            ));
        }
        value.sun_family = libc::AF_UNIX as libc::sa_family_t;
        for (slot, byte) in value.sun_path.iter_mut().zip(bytes) {
            *slot = *byte as libc::c_char;
        }
        let mut storage = Storage::new();
        let head = mem::size_of::<libc::sa_family_t>();
        storage.length = (head + bytes.len() + 1) as libc::socklen_t;
        // SAFETY: sockaddr_storage is at least as large and as aligned as sockaddr_un.
        unsafe { storage.as_mut_ptr().cast::<libc::sockaddr_un>().write(value) };
        Ok(storage)
    }

    fn address(&self) -> Address {
        match i32::from(self.data.ss_family) {
            libc::AF_INET => {
                // SAFETY: the family says that the kernel wrote a sockaddr_in, and the storage is
                // large and aligned enough for one whatever the length says.
                let v4 = unsafe { self.as_ptr().cast::<libc::sockaddr_in>().read() };
                let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
                Address::Inet(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
            }
            libc::AF_INET6 => {
                // SAFETY: as above, for sockaddr_in6.
                let v6 = unsafe { self.as_ptr().cast::<libc::sockaddr_in6>().read() };
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                let port = u16::from_be(v6.sin6_port);
                let address = SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id);
                Address::Inet(address.into())
            }
            libc::AF_UNIX => Address::Unix(self.unix_path()),
            // An accepted unix peer that never bound has length 0 or 2 and family 0 or AF_UNIX.
            libc::AF_UNSPEC => Address::Unix(None),
            other => Address::Other(other as u16),
        }
    }

    fn unix_path(&self) -> Option<PathBuf> {
        // SAFETY: the storage is large and aligned enough for a sockaddr_un, all zeros beyond what
        // the kernel wrote.
        let value = unsafe { self.as_ptr().cast::<libc::sockaddr_un>().read() };
        let used = (self.length as usize).saturating_sub(mem::size_of::<libc::sa_family_t>());
        let bytes: Vec<u8> = value
            .sun_path
            .iter()
            .take(used)
            .map(|c| *c as u8)
            .take_while(|byte| *byte != 0)
            .collect();
        (!bytes.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(&bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::poll::wait_ready;
    use std::time::Duration;

    #[test]
    fn tcp_accept_tells_the_peer() {
        for text in ["127.0.0.1:0", "[::1]:0"] {
            let listener = listen_tcp(text.parse().unwrap(), false).unwrap();
            assert!(is_listening(listener.as_fd()).unwrap());
            assert!(is_stream(listener.as_fd()).unwrap());
            let Address::Inet(address) = local_address(listener.as_fd()).unwrap() else {
                panic!("no inet address");
            };
            assert_eq!(accept(listener.as_fd()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
            let client = connect_tcp(address).unwrap();
            assert!(wait_ready(listener.as_fd(), false, Duration::from_secs(5)).unwrap());
            let accepted = accept(listener.as_fd()).unwrap();
            assert_eq!(accepted.peer, local_address(client.as_fd()).unwrap());
            assert_eq!(take_error(client.as_fd()).unwrap().map(|e| e.kind()), None);
        }
    }

    #[test]
    fn unix_sockets_by_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = listen_unix(&path).unwrap();
        assert_eq!(local_address(listener.as_fd()).unwrap(), Address::Unix(Some(path.clone())));
        let _client = connect_unix(&path).unwrap();
        assert_eq!(accept(listener.as_fd()).unwrap().peer, Address::Unix(None));
        assert_eq!(
            connect_unix(&folder.path().join("none")).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        let long = "x".repeat(200);
        assert_eq!(connect_unix(Path::new(&long)).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn cookies_name_sockets() {
        let one = listen_tcp("127.0.0.1:0".parse().unwrap(), false).unwrap();
        let two = listen_tcp("127.0.0.1:0".parse().unwrap(), false).unwrap();
        let copy = crate::sys::fd::duplicate(one.as_fd()).unwrap();
        assert_eq!(cookie(one.as_fd()).unwrap(), cookie(copy.as_fd()).unwrap());
        assert_ne!(cookie(one.as_fd()).unwrap(), cookie(two.as_fd()).unwrap());
    }

    #[test]
    fn peer_credentials_are_ours_on_a_pair() {
        let (one, _two) = seqpacket_pair().unwrap();
        assert_eq!(peer_credentials(one.as_fd()).unwrap().0, std::process::id() as i32);
    }
}
