//! Moving bodies: from a connection into a pipe, and from a pipe out of a connection.
//!
//! The same functions serve requests and responses, HTTP and tunnels. Three ways, the first that
//! fits: the kernel moves the bytes (splice), a whole buffer changes hands, or they are copied once.
//!
//! Invariant: bytes leave in the order `out`, the pipe's block, the kernel pipe; nothing is put into
//! one of these while a later one holds bytes.

use super::conn::{Codec, Conn};
use crate::base::buf::BufPool;
use crate::exchange::pipe::Pipe;
use crate::io::ready::Ready;
use crate::io::splice::{KernelPipe, Moved, PipePool};
use crate::io::transport::{Drained, drain_both};
use crate::msg::Head;
use crate::proto::h1::SendError;

/// Content of at least this size is sent from where it lies; smaller content is copied behind the
/// head, so that both leave in one plain write.
const DIRECT_MIN: usize = 4 * 1024;

/// Why sending can't go on.
#[derive(Debug)]
pub enum Trouble {
    /// The connection failed.
    Io,
    /// The message can't be completed as it was announced.
    Message,
    /// No block could be had.
    Memory,
}

/// What sending came to.
#[derive(Debug, Default)]
pub struct Sent {
    /// Bytes of content that left the pipe.
    pub body: u64,
    /// Of these, moved by the kernel.
    pub spliced: u64,
    /// Bytes of all kinds that the socket took.
    pub wire: u64,
    /// Nothing more can be sent.
    pub trouble: Option<Trouble>,
}

/// A pipe, its kernel pipe, and the trailers behind it.
pub struct Source<'a> {
    /// The pipe.
    pub pipe: &'a mut Pipe,
    /// Its kernel pipe, while one is in use.
    pub kernel: &'a mut Option<Box<KernelPipe>>,
    /// What follows the content.
    pub trailers: Option<&'a Head>,
}

/// Sends what is in `out` and what the pipe holds, as much as the socket takes; ends the message once
/// the pipe is done. `conn.finished` tells that the end is in `out` or sent.
pub fn send(conn: &mut Conn, from: &mut Source<'_>, bufs: &mut BufPool) -> Sent {
    let mut sent = Sent::default();
    loop {
        if conn.head_sent
            && !conn.finished
            && let Err(trouble) = stage(conn, from, bufs, &mut sent)
        {
            sent.trouble = Some(trouble);
            break;
        }
        let direct = if sends_direct(conn, from.pipe) { from.pipe.len() } else { 0 };
        let kernel = conn.head_sent && from.pipe.len() == 0 && from.pipe.beside() > 0;
        if conn.out.is_empty() && direct == 0 && !kernel {
            break;
        }
        if !conn.ready.has(Ready::WRITE) {
            break;
        }
        let going = match conn.out.is_empty() && direct == 0 {
            true => write_kernel(conn, from, &mut sent),
            false => write_blocks(conn, from.pipe, direct > 0, bufs, &mut sent),
        };
        if !going {
            break;
        }
    }
    conn.out.release(bufs);
    sent
}

/// Whether the pipe's content goes out as it is and from where it lies.
fn sends_direct(conn: &Conn, pipe: &Pipe) -> bool {
    conn.head_sent
        && !conn.finished
        && pipe.len() > 0
        && match &conn.codec {
            Codec::H1(codec) => pipe.len() >= DIRECT_MIN && codec.sends_plain(),
            Codec::Raw(_) => true,
        }
}

/// Puts small content, and the end, behind what is in `out`.
fn stage(
    conn: &mut Conn,
    from: &mut Source<'_>,
    bufs: &mut BufPool,
    sent: &mut Sent,
) -> Result<(), Trouble> {
    while from.pipe.len() > 0 && !sends_direct(conn, from.pipe) {
        let Codec::H1(codec) = &mut conn.codec else { break };
        if !conn.out.reserve(bufs) {
            return Err(Trouble::Memory);
        }
        let n = codec.send_body(from.pipe.data(), &mut conn.out).map_err(|_| Trouble::Message)?;
        if n == 0 {
            return Ok(());
        }
        from.pipe.took(n, bufs);
        sent.body += n as u64;
    }
    if from.pipe.is_done() { finish(conn, from.trailers, bufs) } else { Ok(()) }
}

/// Ends our message.
fn finish(conn: &mut Conn, trailers: Option<&Head>, bufs: &mut BufPool) -> Result<(), Trouble> {
    match &mut conn.codec {
        Codec::H1(codec) => {
            if codec.send_remaining().is_none() && !conn.out.reserve(bufs) {
                return Err(Trouble::Memory);
            }
            match codec.finish(trailers, &mut conn.out) {
                Ok(()) => conn.finished = true,
                Err(SendError::NoRoom) => {}
                Err(_) => return Err(Trouble::Message),
            }
        }
        Codec::Raw(codec) if conn.out.is_empty() => {
            codec.finish();
            conn.finished = true;
            conn.stream.shutdown_write();
        }
        Codec::Raw(_) => {}
    }
    Ok(())
}

/// Writes `out` and, when `direct`, the pipe's block behind it. Returns whether to go on.
fn write_blocks(
    conn: &mut Conn,
    pipe: &mut Pipe,
    direct: bool,
    bufs: &mut BufPool,
    sent: &mut Sent,
) -> bool {
    let before = conn.out.len();
    let body = if direct { pipe.data() } else { &[] };
    let (n, drained) = drain_both(&mut conn.stream, &mut conn.ready, &mut conn.out, body, bufs);
    sent.wire += (n + before - conn.out.len()) as u64;
    if n > 0 {
        if let Codec::H1(codec) = &mut conn.codec
            && codec.sent_body(n as u64).is_err()
        {
            sent.trouble = Some(Trouble::Message);
            return false;
        }
        pipe.took(n, bufs);
        sent.body += n as u64;
    }
    match drained {
        Drained::All => true,
        Drained::Partly => false,
        Drained::Failed(_) => {
            sent.trouble = Some(Trouble::Io);
            false
        }
    }
}

/// Lets the kernel write what is in its pipe. Returns whether to go on.
fn write_kernel(conn: &mut Conn, from: &mut Source<'_>, sent: &mut Sent) -> bool {
    let Some(kernel) = from.kernel.as_mut() else {
        sent.trouble = Some(Trouble::Message);
        return false;
    };
    match kernel.drain(&conn.stream, &mut conn.ready, false) {
        Moved::Bytes(n) => {
            sent.wire += n as u64;
            sent.body += n as u64;
            sent.spliced += n as u64;
            from.pipe.took_beside(n);
            if let Codec::H1(codec) = &mut conn.codec
                && codec.sent_body(n as u64).is_err()
            {
                sent.trouble = Some(Trouble::Message);
                return false;
            }
            n > 0
        }
        Moved::Blocked | Moved::End => false,
        Moved::Failed(_) => {
            sent.trouble = Some(Trouble::Io);
            false
        }
    }
}

/// What splicing into a pipe came to.
#[derive(Debug)]
pub enum Spliced {
    /// It is not for this body, or not now: read as usual.
    No,
    /// This many bytes are in the kernel pipe.
    Bytes(usize),
    /// The sink must take something first.
    Full,
    /// Nothing waits in the socket.
    Dry,
    /// The peer has ended its direction.
    End,
    /// The connection failed.
    Failed,
}

/// Moves content of a large body of announced length, or of a busy tunnel, into a kernel pipe.
pub fn splice(
    conn: &mut Conn,
    pipe: &mut Pipe,
    kernel: &mut Option<Box<KernelPipe>>,
    pool: &mut PipePool,
    min: u64,
    bufs: &mut BufPool,
) -> Spliced {
    if !conn.input.is_empty() {
        return Spliced::No;
    }
    let left = match &conn.codec {
        Codec::H1(codec) => match codec.body_remaining() {
            Some(left) if left > 0 => left,
            _ => return Spliced::No,
        },
        // One less than what switches splicing off.
        Codec::Raw(_) if conn.bulk => u64::MAX - 1,
        Codec::Raw(_) if pipe.beside() > 0 => return Spliced::Full,
        Codec::Raw(_) => return Spliced::No,
    };
    if pipe.beside() == 0 && left < min {
        return Spliced::No;
    }
    if pipe.len() > 0 {
        return Spliced::Full;
    }
    if kernel.is_none() {
        match pool.take() {
            Some(fresh) => *kernel = Some(Box::new(fresh)),
            None => return Spliced::No,
        }
    }
    let Some(pipe_in) = kernel.as_mut() else { return Spliced::No };
    if pipe_in.room() == 0 {
        return Spliced::Full;
    }
    if !conn.ready.has(Ready::READ) {
        return Spliced::Dry;
    }
    // What was kept for a retry is overtaken: there is no second attempt from here on.
    pipe.forget(bufs);
    match pipe_in.fill(&conn.stream, &mut conn.ready, left) {
        Moved::Bytes(n) => {
            pipe.put_beside(n);
            if let Codec::H1(codec) = &mut conn.codec {
                codec.skip_body(n as u64);
            }
            Spliced::Bytes(n)
        }
        Moved::Blocked if pipe.beside() > 0 => Spliced::Full,
        Moved::Blocked => {
            conn.bulk = false;
            Spliced::Dry
        }
        Moved::End => Spliced::End,
        Moved::Failed(_) => Spliced::Failed,
    }
}

/// Gives a kernel pipe back that holds nothing, so that a quiet body keeps no descriptors.
pub fn rest_kernel(pipe: &Pipe, kernel: &mut Option<Box<KernelPipe>>, pool: &mut PipePool) {
    if pipe.beside() == 0
        && let Some(resting) = kernel.take()
    {
        pool.give(*resting);
    }
}

/// Takes the first `n` bytes of the input, which are content, into the pipe; by exchanging blocks
/// when they are all there is. Returns how many went.
pub fn take_body(conn: &mut Conn, n: usize, pipe: &mut Pipe, bufs: &mut BufPool) -> usize {
    if n == conn.input.len() && pipe.swap(&mut conn.input, bufs) {
        if let Codec::H1(codec) = &mut conn.codec {
            codec.skip_body(n as u64);
        }
        return n;
    }
    let fits = n.min(pipe.room());
    let taken = pipe.put(conn.input.data().get(..fits).unwrap_or_default(), bufs);
    match &mut conn.codec {
        Codec::H1(codec) => codec.take_body(taken, &mut conn.input),
        Codec::Raw(codec) => codec.take_body(taken, &mut conn.input),
    }
    taken
}
