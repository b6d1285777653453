//! Heads and bodies as they leave: framing is decided here, from facts and never from fields.
//!
//! What it is: the writing half of RFC 9112: start lines, `Host`, `Connection`, `Content-Length`,
//! `Transfer-Encoding`, chunks. All of it goes straight into the caller's buffer.
//!
//! What it is not: a checker of fields. A [`Head`] can't hold a byte that breaks a line.

use crate::base::ascii::{Decimal, Hex};
use crate::base::buf::Buf;
use crate::msg::{BodySize, Head, Line, Method, Version, reason_phrase};

/// Why something could not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The buffer has no room for it now (or holds no block); nothing was written.
    NoRoom,
    /// It would not fit an empty buffer either: the head is too large to be sent.
    TooLarge,
    /// It isn't the turn of this: a second head, content without a head, a message on a
    /// connection that is over.
    OutOfOrder,
    /// More content than the head announced.
    TooMuch,
    /// The end before the announced content was sent. Only closing the connection is left.
    TooLittle,
}

impl std::fmt::Display for SendError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            SendError::NoRoom => "no room in the buffer",
            SendError::TooLarge => "head larger than a buffer",
            SendError::OutOfOrder => "not the turn of this part",
            SendError::TooMuch => "more content than announced",
            SendError::TooLittle => "less content than announced",
        })
    }
}

impl std::error::Error for SendError {}

/// How the content of a message is delimited on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none, and none is announced but perhaps the length it would have had.
    Bodiless(Option<u64>),
    /// Announced length.
    Length(u64),
    /// Chunks.
    Chunked,
    /// By the end of the connection.
    UntilClose,
}

/// How a request's content is delimited. A server that hasn't spoken yet is taken for HTTP/1.1.
pub(super) fn request_framing(head: &Head) -> Framing {
    match head.body {
        BodySize::None if head.method().expects_content() => Framing::Length(0),
        BodySize::None => Framing::Bodiless(None),
        BodySize::Exact(length) => Framing::Length(length),
        BodySize::Streamed => Framing::Chunked,
    }
}

/// How a response's content is delimited, to a request with `method` and `version`
/// (RFC 9112 §6.3).
pub(super) fn response_framing(head: &Head, method: Method, version: Version) -> Framing {
    match (head.status(), method, head.body) {
        (100..=199 | 204, _, _) => Framing::Bodiless(None),
        (200..=299, Method::Connect, _) => Framing::Bodiless(None),
        (304, _, BodySize::Exact(length)) | (_, Method::Head, BodySize::Exact(length)) => {
            Framing::Bodiless(Some(length))
        }
        (304, _, _) | (_, Method::Head, _) => Framing::Bodiless(head.declared_length),
        (_, _, BodySize::None) => Framing::Length(0),
        (_, _, BodySize::Exact(length)) => Framing::Length(length),
        (_, _, BodySize::Streamed) if version == Version::Http11 => Framing::Chunked,
        (_, _, BodySize::Streamed) => Framing::UntilClose,
    }
}

/// What `Connection` is to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Persistence {
    /// Nothing: the version's own habit is meant.
    Implied,
    /// `keep-alive`: to an HTTP/1.0 client that asked for it.
    KeepAlive,
    /// `close`.
    Close,
}

/// Bytes that no head's own lines can need more of, beside its texts: framing, connection and the
/// longest numbers.
const OVERHEAD: usize = 256;

/// Writes a head into `out`: all of it, or nothing.
pub(super) fn head(
    head: &Head,
    framing: Framing,
    persistence: Persistence,
    out: &mut Buf,
) -> Result<(), SendError> {
    let texts = head.method_text().len()
        + head.target().len()
        + head.authority().len()
        + head.reason().len()
        + head.upgrade().map_or(0, <[u8]>::len);
    // Measured by the line only when there is little room.
    let need = match texts + OVERHEAD + head.lines_bound() {
        bound if bound <= out.room() => bound,
        _ => texts + OVERHEAD + head.lines().map(line_len).sum::<usize>(),
    };
    let Some(space) = out.spare(need) else {
        let never = need > crate::base::buf::BLOCK;
        return Err(if never { SendError::TooLarge } else { SendError::NoRoom });
    };
    let mut pen = Pen { space, at: 0 };
    match head.is_request() {
        true => pen.request_line(head),
        false => pen.status_line(head),
    }
    pen.framing(framing);
    pen.connection(head, persistence);
    for line in head.lines() {
        pen.line(line);
    }
    pen.put(b"\r\n");
    let written = pen.at;
    out.commit(written);
    Ok(())
}

/// The last chunk and the trailer section.
pub(super) fn last_chunk(trailers: Option<&Head>, out: &mut Buf) -> Result<(), SendError> {
    let lines = || trailers.into_iter().flat_map(Head::lines);
    let need = 8 + lines().map(line_len).sum::<usize>();
    let Some(space) = out.spare(need) else {
        let never = need > crate::base::buf::BLOCK;
        return Err(if never { SendError::TooLarge } else { SendError::NoRoom });
    };
    let mut pen = Pen { space, at: 0 };
    pen.put(b"0\r\n");
    for line in lines() {
        pen.line(line);
    }
    pen.put(b"\r\n");
    let written = pen.at;
    out.commit(written);
    Ok(())
}

/// What a chunk takes beside its data: 16 digits and two line ends.
pub(super) const CHUNK_OVERHEAD: usize = 20;

/// Writes `data` as one chunk, as much of it as fits. Returns how much; an empty chunk is never
/// written, for it would be the last.
pub(super) fn chunk(data: &[u8], out: &mut Buf) -> usize {
    let fits = data.len().min(out.room().saturating_sub(CHUNK_OVERHEAD));
    let Some(part) = data.get(..fits).filter(|part| !part.is_empty()) else {
        return 0;
    };
    let size = Hex::new(part.len() as u64);
    let need = size.as_bytes().len() + 2 + part.len() + 2;
    let Some(space) = out.spare(need) else {
        return 0;
    };
    let mut pen = Pen { space, at: 0 };
    pen.put(size.as_bytes());
    pen.put(b"\r\n");
    pen.put(part);
    pen.put(b"\r\n");
    let written = pen.at;
    out.commit(written);
    part.len()
}

fn line_len(line: Line<'_>) -> usize {
    match line {
        Line::Ready(text) => text.len(),
        Line::Field(name, value) => name.len() + value.len() + 4,
    }
}

/// Writes from the start of a space that was measured beforehand.
struct Pen<'a> {
    space: &'a mut [u8],
    at: usize,
}

impl Pen<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        let end = self.at + bytes.len();
        debug_assert!(end <= self.space.len(), "the head was measured too short");
        if let Some(space) = self.space.get_mut(self.at..end) {
            space.copy_from_slice(bytes);
            self.at = end;
        }
    }

    #[inline]
    fn line(&mut self, line: Line<'_>) {
        match line {
            Line::Ready(text) => self.put(text),
            Line::Field(name, value) => {
                self.put(name);
                self.put(b": ");
                self.put(value);
                self.put(b"\r\n");
            }
        }
    }

    fn request_line(&mut self, head: &Head) {
        self.put(head.method_text());
        self.put(b" ");
        self.put(head.target());
        self.put(b" HTTP/1.1\r\nHost: ");
        self.put(head.authority());
        self.put(b"\r\n");
        if head.expect_continue && head.body != BodySize::None {
            self.put(b"Expect: 100-continue\r\n");
        }
    }

    fn status_line(&mut self, head: &Head) {
        let status = head.status().clamp(100, 999);
        self.put(b"HTTP/1.1 ");
        self.put(Decimal::new(u64::from(status)).as_bytes());
        self.put(b" ");
        match head.reason() {
            [] => self.put(reason_phrase(status).as_bytes()),
            reason => self.put(reason),
        }
        self.put(b"\r\n");
    }

    fn framing(&mut self, framing: Framing) {
        match framing {
            Framing::Length(length) | Framing::Bodiless(Some(length)) => {
                self.put(b"Content-Length: ");
                self.put(Decimal::new(length).as_bytes());
                self.put(b"\r\n");
            }
            Framing::Chunked => self.put(b"Transfer-Encoding: chunked\r\n"),
            Framing::Bodiless(None) | Framing::UntilClose => {}
        }
    }

    fn connection(&mut self, head: &Head, persistence: Persistence) {
        // `TE` and `Upgrade` are connection options themselves (RFC 9110 §7.8, §10.1.4).
        let te = head.is_request() && head.accepts_trailers;
        if te {
            self.put(b"TE: trailers\r\n");
        }
        if let Some(protocol) = head.upgrade() {
            self.put(b"Upgrade: ");
            self.put(protocol);
            self.put(b"\r\n");
        }
        let options = [
            (te, &b"TE"[..]),
            (head.upgrade().is_some(), b"Upgrade"),
            (persistence == Persistence::Close, b"close"),
            (persistence == Persistence::KeepAlive, b"keep-alive"),
        ];
        let mut lead: &[u8] = b"Connection: ";
        for (_, option) in options.iter().filter(|(said, _)| *said) {
            self.put(lead);
            self.put(option);
            lead = b", ";
        }
        if lead == b", " {
            self.put(b"\r\n");
        }
    }
}
