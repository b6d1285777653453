//! Moving bytes between a [`Stream`] and a [`Buf`] while keeping [`Ready`] true.
//!
//! The only place that clears `READ` and `WRITE`: on `WouldBlock`, and on a read shorter than asked
//! when the peer has not closed (a short read means drained; new bytes make a new edge, and a
//! close arrives as an event that is remembered in `READ_CLOSED`).

use super::ready::Ready;
use super::stream::Stream;
use crate::base::buf::{Buf, BufPool};
use crate::base::planted::{Bug, is_planted};
use std::io;

/// What a [`fill`] did.
#[derive(Debug)]
pub enum Filled {
    /// This many bytes were added, more than none.
    Bytes(usize),
    /// Nothing waits in the kernel now.
    Dry,
    /// The peer has ended its direction.
    End,
    /// There is no room: the buffer is full.
    Full,
    /// No block could be had: the pool is empty.
    NoMemory,
    /// The connection failed.
    Failed(io::Error),
}

/// What a [`drain`] or [`drain_both`] did.
#[derive(Debug)]
pub enum Drained {
    /// All was taken.
    All,
    /// The kernel took what it could; the rest waits for `WRITE`.
    Partly,
    /// The connection failed.
    Failed(io::Error),
}

/// One read into the free space of `into`.
pub fn fill(stream: &mut Stream, ready: &mut Ready, into: &mut Buf, pool: &mut BufPool) -> Filled {
    if into.room() == 0 {
        return Filled::Full;
    }
    let space = into.space(pool);
    if space.is_empty() {
        return Filled::NoMemory;
    }
    let asked = space.len();
    match stream.read(space) {
        Ok(0) => {
            ready.clear(Ready::READ);
            into.release(pool);
            Filled::End
        }
        Ok(n) => {
            into.commit(n);
            if n < asked && (!ready.has(Ready::READ_CLOSED) || is_planted(Bug::LostEnd)) {
                ready.clear(Ready::READ);
            }
            Filled::Bytes(n)
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            ready.clear(Ready::READ);
            into.release(pool);
            Filled::Dry
        }
        Err(error) => {
            ready.clear(Ready::READ);
            Filled::Failed(error)
        }
    }
}

/// Writes out what `from` holds; gives its block back when all is gone.
pub fn drain(
    stream: &mut Stream,
    ready: &mut Ready,
    from: &mut Buf,
    pool: &mut BufPool,
) -> Drained {
    while !from.is_empty() {
        match stream.write(from.data()) {
            Ok(n) => from.consume(n),
            Err(error) => return stopped(error, ready),
        }
    }
    from.release(pool);
    Drained::All
}

/// Writes out `first`, then `second`, in as few calls as the kernel allows. Returns how many bytes
/// of `second` went along; `first` is consumed here, `second` by the caller.
pub fn drain_both(
    stream: &mut Stream,
    ready: &mut Ready,
    first: &mut Buf,
    second: &[u8],
    pool: &mut BufPool,
) -> (usize, Drained) {
    let mut done = 0;
    loop {
        let rest = second.get(done..).unwrap_or_default();
        if first.is_empty() && rest.is_empty() {
            first.release(pool);
            return (done, Drained::All);
        }
        let wrote = match (first.is_empty(), rest.is_empty()) {
            (true, _) => stream.write(rest),
            (false, true) => stream.write(first.data()),
            (false, false) => stream.write_both(first.data(), rest),
        };
        match wrote {
            Ok(n) => {
                let head = n.min(first.len());
                first.consume(head);
                done += n - head;
            }
            Err(error) => return (done, stopped(error, ready)),
        }
    }
}

fn stopped(error: io::Error, ready: &mut Ready) -> Drained {
    ready.clear(Ready::WRITE);
    if error.kind() == io::ErrorKind::WouldBlock { Drained::Partly } else { Drained::Failed(error) }
}

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
    fn a_short_read_clears_the_edge_unless_the_peer_closed() {
        let (mut a, mut b) = pair();
        let mut pool = BufPool::new(4);
        let mut buf = Buf::new();
        a.write(b"hello").expect("fits");
        let mut ready = Ready::READ;
        assert!(matches!(fill(&mut b, &mut ready, &mut buf, &mut pool), Filled::Bytes(5)));
        assert!(!ready.has(Ready::READ));
        a.write(b"!").expect("fits");
        drop(a);
        ready = Ready::READ.and(Ready::READ_CLOSED);
        assert!(matches!(fill(&mut b, &mut ready, &mut buf, &mut pool), Filled::Bytes(1)));
        assert!(ready.has(Ready::READ), "the end is still to be read");
        assert!(matches!(fill(&mut b, &mut ready, &mut buf, &mut pool), Filled::End));
        assert_eq!(buf.data(), b"hello!");
    }

    #[test]
    fn a_dry_read_gives_the_block_back() {
        let (_a, mut b) = pair();
        let mut pool = BufPool::new(4);
        let mut buf = Buf::new();
        let mut ready = Ready::READ;
        assert!(matches!(fill(&mut b, &mut ready, &mut buf, &mut pool), Filled::Dry));
        assert_eq!(pool.out(), 0);
        assert_eq!(ready, Ready::NONE);
    }

    #[test]
    fn both_parts_arrive_in_order_through_short_writes() {
        let (mut a, mut b) = pair();
        let mut pool = BufPool::new(4);
        let mut head = Buf::new();
        assert_eq!(head.append(&[1; 9_000], &mut pool), 9_000);
        let body = vec![2u8; 900_000];
        let mut ready = Ready::WRITE;
        let mut sent = 0;
        let mut seen = Vec::new();
        let mut chunk = vec![0; 65_536];
        loop {
            let rest = body.get(sent..).unwrap_or_default();
            let (n, drained) = drain_both(&mut a, &mut ready, &mut head, rest, &mut pool);
            sent += n;
            while let Ok(n) = b.read(&mut chunk) {
                seen.extend_from_slice(&chunk[..n]);
            }
            match drained {
                Drained::All => break,
                Drained::Partly => assert!(!ready.has(Ready::WRITE)),
                Drained::Failed(error) => panic!("{error}"),
            }
        }
        assert_eq!(pool.out(), 0);
        assert_eq!(seen.len(), 909_000);
        assert!(seen[..9_000].iter().all(|b| *b == 1) && seen[9_000..].iter().all(|b| *b == 2));
    }
}
