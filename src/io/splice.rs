//! Bodies that never reach user space: socket → kernel pipe → socket.
//!
//! A [`KernelPipe`] belongs to one direction of one exchange while its body flows and rests in a
//! [`PipePool`] otherwise. It is given back only when empty; one that still holds bytes is closed,
//! so no byte of one exchange can reach another. Half the copying cost of read and write
//! (`docs/decisions`), at the price of two descriptors.

use super::ready::Ready;
use super::stream::Stream;
use crate::sys::pipe;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Bytes that one pipe holds; the kernel's default, and the fastest where it was measured.
pub const PIPE_BYTES: usize = 64 * 1024;

/// A pipe in the kernel and how many bytes are in it.
pub struct KernelPipe {
    read: OwnedFd,
    write: OwnedFd,
    held: usize,
    /// Took no more, though it holds fewer bytes than its size: it counts pages.
    full: bool,
}

/// What moving bytes came to.
#[derive(Debug)]
pub enum Moved {
    /// This many bytes went.
    Bytes(usize),
    /// Neither side can go on now; the edge was cleared.
    Blocked,
    /// The source has ended.
    End,
    /// The connection failed.
    Failed(io::Error),
}

impl KernelPipe {
    /// Bytes in the pipe.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Bytes that may still go in.
    pub fn room(&self) -> usize {
        if self.full { 0 } else { PIPE_BYTES.saturating_sub(self.held) }
    }

    /// Takes up to `limit` bytes from `from` into the pipe; clears `READ` when nothing waits.
    pub fn fill(&mut self, from: &Stream, ready: &mut Ready, limit: u64) -> Moved {
        let length = usize::try_from(limit).unwrap_or(usize::MAX).min(self.room());
        let Some(fd) = from.fd() else { return Moved::Failed(io::ErrorKind::Unsupported.into()) };
        match retried(|| pipe::splice(fd, self.write.as_fd(), length, false)) {
            Ok(0) => {
                ready.clear(Ready::READ);
                Moved::End
            }
            Ok(n) => {
                self.held += n;
                Moved::Bytes(n)
            }
            // A pipe holds pages, not bytes: small segments may fill it before its size is
            // reached. Then the block is the pipe's, not the socket's, and the edge must stay.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if self.held == 0 {
                    ready.clear(Ready::READ);
                } else {
                    self.full = true;
                }
                Moved::Blocked
            }
            Err(error) => {
                ready.clear(Ready::READ);
                Moved::Failed(error)
            }
        }
    }

    /// Hands what the pipe holds to `to`; clears `WRITE` when the socket takes no more. `more` tells
    /// that further bytes follow at once.
    pub fn drain(&mut self, to: &Stream, ready: &mut Ready, more: bool) -> Moved {
        let Some(fd) = to.fd() else { return Moved::Failed(io::ErrorKind::Unsupported.into()) };
        match retried(|| pipe::splice(self.read.as_fd(), fd, self.held, more)) {
            Ok(n) => {
                self.held = self.held.saturating_sub(n);
                self.full = false;
                Moved::Bytes(n)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                ready.clear(Ready::WRITE);
                Moved::Blocked
            }
            Err(error) => {
                ready.clear(Ready::WRITE);
                Moved::Failed(error)
            }
        }
    }
}

fn retried(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Pipes at rest, and a cap on how many there are.
pub struct PipePool {
    free: Vec<KernelPipe>,
    out: usize,
    max: usize,
}

impl PipePool {
    /// A pool of at most `max` pipes; 0 switches splicing off.
    pub const fn new(max: usize) -> PipePool {
        PipePool { free: Vec::new(), out: 0, max }
    }

    /// An empty pipe; `None` when the cap is reached or the kernel refuses, and the body is then
    /// copied instead.
    pub fn take(&mut self) -> Option<KernelPipe> {
        if self.out >= self.max {
            return None;
        }
        let pipe = match self.free.pop() {
            Some(pipe) => pipe,
            None => {
                let (read, write) = pipe::pipe().ok()?;
                KernelPipe { read, write, held: 0, full: false }
            }
        };
        self.out += 1;
        Some(pipe)
    }

    /// Takes a pipe back; one that holds bytes is closed.
    pub fn give(&mut self, pipe: KernelPipe) {
        self.out = self.out.saturating_sub(1);
        if pipe.held == 0 && self.free.len() < RESTING {
            self.free.push(pipe);
        }
    }

    /// Pipes out now.
    pub fn out(&self) -> usize {
        self.out
    }

    /// Whether the cap is reached.
    pub fn is_spent(&self) -> bool {
        self.out >= self.max
    }
}

/// Pipes kept at rest; each costs two descriptors.
const RESTING: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::OwnedFd;

    fn pair() -> (Stream, Stream) {
        let (a, b) = std::os::unix::net::UnixStream::pair().expect("a pair of sockets");
        (
            Stream::from_unix_fd(OwnedFd::from(a)).expect("non-blocking"),
            Stream::from_unix_fd(OwnedFd::from(b)).expect("non-blocking"),
        )
    }

    #[test]
    fn bytes_cross_without_user_space_and_edges_stay_true() {
        let (mut client, front) = pair();
        let (back, mut origin) = pair();
        let mut pool = PipePool::new(1);
        let mut pipe = pool.take().expect("one is allowed");
        assert!(pool.take().is_none() && pool.is_spent());
        let mut ready = Ready::READ;
        assert!(matches!(pipe.fill(&front, &mut ready, 100), Moved::Blocked));
        assert!(!ready.has(Ready::READ));
        client.write(b"0123456789").expect("fits");
        assert!(matches!(pipe.fill(&front, &mut ready, 4), Moved::Bytes(4)));
        let mut write = Ready::WRITE;
        assert!(matches!(pipe.drain(&back, &mut write, false), Moved::Bytes(4)));
        let mut got = [0; 16];
        assert_eq!(origin.read(&mut got).expect("arrived"), 4);
        assert_eq!(&got[..4], b"0123");
        pool.give(pipe);
        assert_eq!((pool.out(), pool.free.len()), (0, 1));
    }

    #[test]
    fn a_pipe_with_bytes_left_is_never_used_again() {
        let (mut client, front) = pair();
        let mut pool = PipePool::new(2);
        let mut pipe = pool.take().expect("allowed");
        client.write(b"secret").expect("fits");
        let mut ready = Ready::READ;
        assert!(matches!(pipe.fill(&front, &mut ready, 6), Moved::Bytes(6)));
        pool.give(pipe);
        assert!(pool.free.is_empty());
        drop(client);
        let mut pipe = pool.take().expect("allowed");
        assert!(matches!(pipe.fill(&front, &mut ready, 6), Moved::End));
    }
}
