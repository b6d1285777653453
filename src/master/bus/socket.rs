//! The control socket: its file, its callers, and a transport that bounds what they may send.
//!
//! The file is made under a temporary name, never wider than 0600 before its group is settled, and
//! renamed into place, so there is no moment with wrong rights and no symlink is ever followed. The
//! transport refuses a message that is too long or carries too many descriptors before zbus keeps
//! anything of it. Credentials are the kernel's (`SO_PEERCRED`, `SO_PEERGROUPS`).

use crate::control::names;
use crate::control::rights::Caller;
use crate::sys;
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use zbus::connection::socket::{ReadHalf, Socket, Split, WriteHalf};
use zbus::export::async_trait::async_trait;
use zbus::fdo::ConnectionCredentials;
use zruntime::{AsyncIo, Event, Shared, SharedRuntime};

/// Length of the fixed part of every D-Bus message, which zbus reads on its own.
const HEADER_BYTES: usize = 16;

/// The bound socket file; removed on drop if it is still ours.
#[derive(Debug)]
pub struct ControlFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl Drop for ControlFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|meta| identity(&meta) == self.identity) {
            // A failure leaves a dead socket file, which the next start replaces.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Binds the control socket at `path`: mode 0660 and `admin_gid` where that is given and may be set,
/// else 0600. A dead socket of an earlier run is replaced.
///
/// Errors: a folder that others may write (without the sticky bit) or that is a symlink, something
/// at `path` that is not a socket, `AddrInUse` when a living service answers there, and those of
/// bind(2), chmod(2), rename(2).
pub fn bind(path: &Path, admin_gid: Option<u32>) -> io::Result<(UnixListener, ControlFile)> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    check_folder(folder)?;
    check_place(path)?;
    let name = path.file_name().ok_or_else(|| refuse("the path has no file name"))?;
    let mut temporary_name = std::ffi::OsString::from(".");
    temporary_name.push(name);
    temporary_name.push(format!(".{}", std::process::id()));
    let temporary = folder.join(temporary_name);
    // Only a crash of an earlier process with our id can have left this name.
    let _ = fs::remove_file(&temporary);
    let listener = sys::peer::listen_private(&temporary)?;
    let outcome = settle(&temporary, path, admin_gid);
    if outcome.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    let identity = outcome?;
    Ok((listener, ControlFile { path: path.to_owned(), identity }))
}

/// Gives the new socket file its group and mode and moves it into place.
fn settle(temporary: &Path, path: &Path, admin_gid: Option<u32>) -> io::Result<(u64, u64)> {
    let mode = match admin_gid {
        Some(gid) if std::os::unix::fs::lchown(temporary, None, Some(gid)).is_ok() => 0o660,
        _ => 0o600,
    };
    fs::set_permissions(temporary, fs::Permissions::from_mode(mode))?;
    let meta = fs::symlink_metadata(temporary)?;
    fs::rename(temporary, path)?;
    Ok(identity(&meta))
}

fn identity(meta: &fs::Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

/// The folder must be a real folder in which nobody else can swap our file.
fn check_folder(folder: &Path) -> io::Result<()> {
    // "." and paths with a trailing name resolve; a symlink as the last element does not pass.
    let meta = fs::symlink_metadata(folder)?;
    if !meta.is_dir() {
        return Err(refuse("its folder is not a folder (a symlink is not followed)"));
    }
    let own = sys::process::effective_uid();
    let sticky = meta.mode() & 0o1000 != 0;
    if meta.mode() & 0o022 != 0 && !sticky {
        return Err(refuse("its folder may be written by others"));
    }
    if meta.uid() != 0 && meta.uid() != own {
        return Err(refuse("its folder belongs to another user"));
    }
    Ok(())
}

/// Only nothing, or a dead socket, may stand where the control socket goes.
fn check_place(path: &Path) -> io::Result<()> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !meta.file_type().is_socket() {
        return Err(refuse("something that is not a socket stands there"));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another service answers on the control socket",
        )),
        Err(_) => Ok(()),
    }
}

fn refuse(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, message)
}

/// Who is at the other end of `stream`, by the kernel.
pub fn caller(stream: &UnixStream) -> io::Result<Caller> {
    let (_, uid, gid) = sys::socket::peer_credentials(stream.as_fd())?;
    // Kernels before 4.13 can't tell the supplementary groups: then only the primary one counts.
    let mut gids = sys::peer::peer_groups(stream.as_fd()).unwrap_or_default();
    gids.push(gid);
    Ok(Caller { uid, gids })
}

/// Whether the peer lags behind with reading our replies. While it does, no further call of it is
/// read: so what it can make us hold is bounded by the socket's buffers and one message.
#[derive(Debug, Default)]
struct Flow {
    stuck: AtomicBool,
    moved: Event,
}

impl Flow {
    fn set_stuck(&self, stuck: bool) {
        self.stuck.store(stuck, Ordering::Release);
        if !stuck {
            self.moved.notify(usize::MAX);
        }
    }

    async fn wait(&self) {
        while self.stuck.load(Ordering::Acquire) {
            let moved = self.moved.listen();
            if self.stuck.load(Ordering::Acquire) {
                moved.await;
            }
        }
    }
}

/// A connection of the control socket as a transport for zbus.
#[derive(Debug)]
pub struct PeerSocket {
    io: Arc<AsyncIo<UnixStream, Shared>>,
    uid: u32,
}

impl PeerSocket {
    /// Takes over `stream`, whose other end runs as `uid`. Errors: fcntl(2), epoll_ctl(2).
    pub fn new(runtime: &SharedRuntime, stream: UnixStream, uid: u32) -> io::Result<PeerSocket> {
        Ok(PeerSocket { io: Arc::new(AsyncIo::new(runtime, stream)?), uid })
    }
}

impl Socket for PeerSocket {
    type ReadHalf = PeerReader;
    type WriteHalf = PeerWriter;

    fn split(self) -> Split<PeerReader, PeerWriter> {
        let PeerSocket { io, uid } = self;
        let flow = Arc::new(Flow::default());
        Split::new(
            PeerReader { io: Arc::clone(&io), uid, flow: Arc::clone(&flow), message_fds: 0 },
            PeerWriter { io, flow },
        )
    }
}

/// The receiving half: bytes and at most [`names::MESSAGE_FDS_MAX`] descriptors with a message.
#[derive(Debug)]
pub struct PeerReader {
    io: Arc<AsyncIo<UnixStream, Shared>>,
    uid: u32,
    flow: Arc<Flow>,
    message_fds: usize,
}

#[async_trait]
impl ReadHalf for PeerReader {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        if buffer.len() == HEADER_BYTES {
            // The start of a message (or, once in one, its last 16 bytes, which does no harm).
            self.flow.wait().await;
            self.message_fds = 0;
        }
        // zbus asks for the rest of a message at once, so its length shows here first.
        if buffer.len() > names::MESSAGE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the message is too long"));
        }
        let got = self.io.read_with(|stream| sys::message::receive(stream.as_fd(), buffer)).await?;
        self.message_fds += got.fds.len();
        if got.fds_lost || self.message_fds > names::MESSAGE_FDS_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "too many descriptors"));
        }
        Ok((got.length, got.fds))
    }

    fn can_pass_unix_fd(&self) -> bool {
        true
    }

    async fn peer_credentials(&mut self) -> io::Result<ConnectionCredentials> {
        Ok(ConnectionCredentials::default().set_unix_user_id(self.uid))
    }
}

/// The sending half. Our replies never carry descriptors.
#[derive(Debug)]
pub struct PeerWriter {
    io: Arc<AsyncIo<UnixStream, Shared>>,
    flow: Arc<Flow>,
}

#[async_trait]
impl WriteHalf for PeerWriter {
    async fn sendmsg(&mut self, buffer: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
        if !fds.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no descriptors are sent"));
        }
        let written = self
            .io
            .write_with(|stream| {
                let mut stream: &UnixStream = stream;
                let written = stream.write(buffer);
                if matches!(&written, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
                    self.flow.set_stuck(true);
                }
                written
            })
            .await;
        self.flow.set_stuck(false);
        written
    }

    async fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    async fn close(&mut self) -> io::Result<()> {
        self.io.get_ref().shutdown(std::net::Shutdown::Both)
    }

    fn can_pass_unix_fd(&self) -> bool {
        false
    }

    async fn peer_credentials(&mut self) -> io::Result<ConnectionCredentials> {
        Ok(ConnectionCredentials::default())
    }
}
