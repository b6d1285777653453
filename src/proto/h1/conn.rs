//! One HTTP/1 connection's codec.
//!
//! What it is: the order of messages (`state`), the reader of the peer's half (`parse`, `body`)
//! and the writer of ours (`encode`) under one roof, for either role. It borrows buffers and heads
//! and owns nothing; an idle connection is these few bytes.
//!
//! What it is not: patient or forgiving. After an [`Offence`] it reads nothing more; a server may
//! still answer, then the connection is over.
//!
//! Invariants: no byte behind a message is looked at before our part of the exchange is done; a
//! connection is reusable only when both messages ended where they were said to end and nothing
//! stands in its input; bytes behind an `Upgrade` belong to nobody before the `101`.

use super::body::{Found, Reader};
use super::encode::{self, Framing, Persistence, SendError};
use super::parse::{self, Progress};
use super::state::{Phase, Side, States, Step};
use super::{Event, Limits, Offence, Role};
use crate::base::buf::Buf;
use crate::msg::{BodySize, Head, Method, Version};

/// Interim responses to one request at most.
const INTERIMS_MAX: u8 = 32;

/// What we are writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Writing {
    /// Content has no place: the message has none, whatever is offered is swallowed.
    Nothing,
    /// Announced length; `left` bytes still due.
    Length,
    Chunks,
    UntilClose,
}

/// The codec of one connection. See the file's header.
#[derive(Debug)]
pub struct Conn {
    reader: Reader,
    /// Bytes still due of the content we announced.
    left: u64,
    /// Hash of the protocol that the request offers to switch to.
    offered: u32,
    progress: Progress,
    states: States,
    role: Role,
    writing: Writing,
    /// Method and version of the request of the current exchange.
    method: Method,
    version: Version,
    interims: u8,
    /// An empty line before the next request was passed over.
    blank_passed: bool,
    /// The client asked for keep-alive in words.
    asked_to_keep: bool,
}

impl Conn {
    /// A connection at rest.
    pub const fn new(role: Role) -> Conn {
        Conn {
            reader: Reader::none(),
            left: 0,
            offered: 0,
            progress: 0,
            states: States::new(),
            role,
            writing: Writing::Nothing,
            method: Method::Get,
            version: Version::Http11,
            interims: 0,
            blank_passed: false,
            asked_to_keep: false,
        }
    }

    /// On which end we are.
    pub const fn role(&self) -> Role {
        self.role
    }

    const fn us(&self) -> Side {
        match self.role {
            Role::Server => Side::Answerer,
            Role::Client => Side::Asker,
        }
    }

    const fn peer(&self) -> Side {
        match self.role {
            Role::Server => Side::Asker,
            Role::Client => Side::Answerer,
        }
    }

    // --- reading ------------------------------------------------------------------------------

    /// Reads on in `input`. `head` is overwritten by [`Event::Head`], [`Event::Interim`] and
    /// [`Event::Trailers`], and may be cleared by any call while a head or trailers are due.
    /// Consumes heads and framing, never content.
    ///
    /// # Errors
    /// The first [`Offence`] found. Nothing is read afterwards; a server may still send a response,
    /// which closes the connection.
    pub fn poll(
        &mut self,
        input: &mut Buf,
        head: &mut Head,
        limits: &Limits,
    ) -> Result<Event, Offence> {
        let result = match self.states.of(self.peer()) {
            Phase::Idle => match self.role {
                Role::Server => self.poll_request(input, head, limits),
                Role::Client => self.poll_response(input, head, limits),
            },
            Phase::Body => self.poll_body(input, head, limits),
            Phase::Done | Phase::Offering => Ok(Event::Paused),
            Phase::Switched => Ok(Event::Switched),
            Phase::Over | Phase::Broken => Ok(Event::Closed),
        };
        if result.is_err() {
            if self.states.of(self.peer()) == Phase::Idle {
                // What is answered now is no request that was understood.
                (self.method, self.version) = (Method::Get, Version::Http11);
            }
            self.states.broke(self.peer());
        }
        result
    }

    fn poll_request(
        &mut self,
        input: &mut Buf,
        head: &mut Head,
        limits: &Limits,
    ) -> Result<Event, Offence> {
        // One empty line behind the last request is what old clients send (RFC 9112 §2.2).
        if !self.blank_passed && self.progress == 0 {
            match input.data() {
                [b'\r', b'\n', ..] => {
                    input.consume(2);
                    self.blank_passed = true;
                }
                [b'\r'] => return Ok(Event::NeedMore),
                _ => {}
            }
        }
        if input.is_empty() {
            return Ok(Event::NeedMore);
        }
        let parsed = parse::request(input.data(), &mut self.progress, head, limits)?;
        let Some((len, facts)) = parsed else {
            return Ok(Event::NeedMore);
        };
        input.consume(len);
        self.blank_passed = false;
        self.method = head.method();
        self.version = head.version;
        self.asked_to_keep = facts.keep_alive && self.version == Version::Http10;
        self.reader = match head.body {
            BodySize::None => Reader::none(),
            BodySize::Exact(length) => Reader::exact(length),
            BodySize::Streamed => Reader::chunked(),
        };
        self.advance(self.peer(), Step::Head);
        if facts.close || (self.version == Version::Http10 && !facts.keep_alive) {
            self.states.keep_no_longer();
        }
        self.offered = head.upgrade().map_or(0, hash);
        if head.upgrade().is_some() || self.method == Method::Connect {
            self.states.offer_switch();
        }
        Ok(Event::Head)
    }

    fn poll_response(
        &mut self,
        input: &mut Buf,
        head: &mut Head,
        limits: &Limits,
    ) -> Result<Event, Offence> {
        if input.is_empty() {
            return Ok(Event::NeedMore);
        }
        if matches!(self.states.of(Side::Asker), Phase::Idle | Phase::Over) {
            return Err(Offence::Unsolicited);
        }
        let parsed = parse::response(input.data(), &mut self.progress, head, limits)?;
        let Some((len, facts)) = parsed else {
            return Ok(Event::NeedMore);
        };
        input.consume(len);
        let status = head.status();
        if status == 101 {
            return self.switched_by(head);
        }
        if status < 200 {
            self.interims += 1;
            self.advance(Side::Answerer, Step::Interim);
            return match self.interims > INTERIMS_MAX {
                true => Err(Offence::InterimTooMany),
                false => Ok(Event::Interim),
            };
        }
        if self.method == Method::Connect && status < 300 {
            return self.switched_by(head);
        }
        let bodiless = self.method == Method::Head || matches!(status, 204 | 304);
        (self.reader, head.body) = match (bodiless, facts.chunked, facts.length) {
            (true, ..) => (Reader::none(), BodySize::None),
            (false, true, _) => (Reader::chunked(), BodySize::Streamed),
            (false, false, Some(length)) => (Reader::exact(length), BodySize::Exact(length)),
            (false, false, None) => (Reader::until_close(), BodySize::Streamed),
        };
        if bodiless && status != 204 {
            head.declared_length = facts.length;
        }
        self.advance(Side::Answerer, Step::Head);
        let lasting = match head.version {
            Version::Http11 => !facts.close,
            Version::Http10 => facts.keep_alive && !facts.close,
        };
        if !lasting || self.reader.ends_with_connection() {
            self.states.keep_no_longer();
        }
        Ok(Event::Head)
    }

    /// Takes the answer that switches protocols, if it was asked for (RFC 9110 §7.8, §9.3.6).
    fn switched_by(&mut self, head: &Head) -> Result<Event, Offence> {
        let named = match head.upgrade() {
            Some(protocol) => hash(protocol) == self.offered,
            None => false,
        };
        let asked = match head.status() {
            101 => named && self.method != Method::Connect,
            _ => self.method == Method::Connect,
        };
        // A request with no content left is complete on the wire before its end was told.
        if self.states.of(Side::Asker) == Phase::Body && self.send_remaining() == Some(0) {
            self.advance(Side::Asker, Step::End);
        }
        if !asked || self.states.step(Side::Answerer, Step::Switch).is_err() {
            return Err(Offence::SwitchUnasked);
        }
        Ok(Event::Head)
    }

    fn poll_body(
        &mut self,
        input: &mut Buf,
        head: &mut Head,
        limits: &Limits,
    ) -> Result<Event, Offence> {
        Ok(match self.reader.poll(input, &mut self.progress, head, limits)? {
            Found::NeedMore => Event::NeedMore,
            Found::Body(len) => Event::Body(len),
            Found::Trailers => Event::Trailers,
            Found::End => {
                self.advance(self.peer(), Step::End);
                Event::End
            }
        })
    }

    /// Takes the first `n` bytes of content out of `input`; at most what [`Event::Body`] told.
    pub fn take_body(&mut self, n: usize, input: &mut Buf) {
        input.consume(n);
        self.skip_body(n as u64);
    }

    /// Counts `n` bytes of content that went past the input (read straight into a pipe, spliced);
    /// at most [`Conn::body_remaining`].
    pub fn skip_body(&mut self, n: u64) {
        let excess = self.reader.take(n);
        debug_assert!(excess == 0, "took content that isn't there");
    }

    /// Bytes of the peer's content still to come, input included, when its length is announced:
    /// so much may bypass the input once that is drained. `None` for chunks and for content that
    /// ends with the connection; `Some(0)` when no content is due.
    pub fn body_remaining(&self) -> Option<u64> {
        match self.states.of(self.peer()) {
            Phase::Body => self.reader.remaining(),
            _ => Some(0),
        }
    }

    /// Whether the peer's content ends only with its connection, so that every byte to come is
    /// content.
    pub fn body_ends_with_connection(&self) -> bool {
        self.states.of(self.peer()) == Phase::Body && self.reader.ends_with_connection()
    }

    /// The peer has ended its direction and everything before that was polled. [`Event::End`]: its
    /// message ended with it. [`Event::Paused`]: its message is complete and ours may still be
    /// sent, the last one. [`Event::Closed`]: between messages.
    ///
    /// # Errors
    /// [`Offence::Truncated`] inside a message, [`Offence::ClosedBeforeResponse`] where a backend
    /// owes one and hasn't sent a byte of it.
    pub fn on_eof(&mut self, input: &Buf) -> Result<Event, Offence> {
        let result = match self.states.of(self.peer()) {
            Phase::Body if self.reader.ends_with_connection() => {
                self.reader.end();
                self.advance(self.peer(), Step::End);
                return Ok(Event::End);
            }
            Phase::Body => Err(Offence::Truncated),
            Phase::Idle => {
                let asked = self.states.of(Side::Asker) != Phase::Idle;
                match (input.is_empty(), self.role, asked) {
                    (false, ..) => Err(Offence::Truncated),
                    (true, Role::Client, true) => Err(Offence::ClosedBeforeResponse),
                    _ => Ok(Event::Closed),
                }
            }
            Phase::Done | Phase::Offering => Ok(Event::Paused),
            Phase::Switched => Ok(Event::Switched),
            Phase::Over | Phase::Broken => Ok(Event::Closed),
        };
        match result {
            Err(_) => self.states.broke(self.peer()),
            Ok(_) => self.states.keep_no_longer(),
        }
        result
    }

    // --- writing ------------------------------------------------------------------------------

    /// Writes a head into `out`, all of it or nothing: the request (client role), or a response,
    /// interim or final (server role). Framing is decided here: from [`Head::body`], the status,
    /// and the method and version of the request.
    ///
    /// Interim responses are left out for an HTTP/1.0 client, which knows none (RFC 9110 §15.2).
    ///
    /// # Errors
    /// [`SendError::NoRoom`], [`SendError::TooLarge`], [`SendError::OutOfOrder`].
    pub fn send_head(&mut self, head: &Head, out: &mut Buf) -> Result<(), SendError> {
        match self.role {
            Role::Client => self.send_request(head, out),
            Role::Server => self.send_response(head, out),
        }
    }

    fn send_request(&mut self, head: &Head, out: &mut Buf) -> Result<(), SendError> {
        if self.states.of(Side::Asker) != Phase::Idle || !head.is_request() {
            return Err(SendError::OutOfOrder);
        }
        let framing = encode::request_framing(head);
        encode::head(head, framing, Persistence::Implied, out)?;
        self.method = head.method();
        self.version = Version::Http11;
        self.interims = 0;
        self.progress = 0;
        self.offered = head.upgrade().map_or(0, hash);
        self.begin_writing(framing);
        self.advance(Side::Asker, Step::Head);
        if head.upgrade().is_some() || self.method == Method::Connect {
            self.states.offer_switch();
        }
        Ok(())
    }

    fn send_response(&mut self, head: &Head, out: &mut Buf) -> Result<(), SendError> {
        if self.states.of(Side::Answerer) != Phase::Idle || head.is_request() {
            return Err(SendError::OutOfOrder);
        }
        let (status, asked) = (head.status(), self.states.of(Side::Asker) != Phase::Idle);
        let connect = self.method == Method::Connect;
        let switch = status == 101 || (connect && status / 100 == 2);
        if switch && asked {
            // Only to what was offered (RFC 9110 §7.8).
            let named = head.upgrade().is_some_and(|protocol| hash(protocol) == self.offered);
            let granted = if status == 101 { named && !connect } else { true };
            if self.states.of(Side::Asker) != Phase::Offering || !granted {
                return Err(SendError::OutOfOrder);
            }
            encode::head(head, Framing::Bodiless(None), Persistence::Implied, out)?;
            self.advance(Side::Answerer, Step::Switch);
            return Ok(());
        }
        if status < 200 {
            if !asked || switch {
                return Err(SendError::OutOfOrder);
            }
            if self.version == Version::Http11 {
                encode::head(head, Framing::Bodiless(None), Persistence::Implied, out)?;
            }
            self.advance(Side::Answerer, Step::Interim);
            return Ok(());
        }
        let (method, version) = match asked {
            true => (self.method, self.version),
            false => (Method::Get, Version::Http11),
        };
        let framing = encode::response_framing(head, method, version);
        // What follows a CONNECT may be the tunnel's bytes, sent too early: no request.
        let last = framing == Framing::UntilClose || !asked || method == Method::Connect;
        let persistence = match (self.states.keeps() && !last, self.asked_to_keep) {
            (false, _) => Persistence::Close,
            (true, true) => Persistence::KeepAlive,
            (true, false) => Persistence::Implied,
        };
        encode::head(head, framing, persistence, out)?;
        self.begin_writing(framing);
        self.advance(Side::Answerer, Step::Head);
        // Not before: without a request the connection is at rest, and would be over at once.
        if last {
            self.states.keep_no_longer();
        }
        Ok(())
    }

    /// Writes `100 (Continue)` into `out`, unless the client is of HTTP/1.0.
    ///
    /// # Errors
    /// As [`Conn::send_head`].
    pub fn send_continue(&mut self, out: &mut Buf) -> Result<(), SendError> {
        let due = self.states.of(Side::Answerer) == Phase::Idle
            && self.states.of(Side::Asker) != Phase::Idle;
        if self.role != Role::Server || !due {
            return Err(SendError::OutOfOrder);
        }
        match self.version == Version::Http10 || out.put(b"HTTP/1.1 100 Continue\r\n\r\n") {
            true => Ok(()),
            false => Err(SendError::NoRoom),
        }
    }

    /// Writes as much of `bytes` as content as `out` has room for (which must hold a block).
    /// Returns how much was taken; 0 means: drain `out` first. Content for a message that has none
    /// (a response to HEAD, a 304) is swallowed.
    ///
    /// # Errors
    /// [`SendError::TooMuch`], [`SendError::OutOfOrder`].
    pub fn send_body(&mut self, bytes: &[u8], out: &mut Buf) -> Result<usize, SendError> {
        if self.states.of(self.us()) != Phase::Body {
            return Err(SendError::OutOfOrder);
        }
        match self.writing {
            Writing::Nothing => Ok(bytes.len()),
            Writing::Chunks => Ok(encode::chunk(bytes, out)),
            Writing::Length if bytes.len() as u64 > self.left => Err(SendError::TooMuch),
            Writing::Length | Writing::UntilClose => {
                let part = bytes.get(..bytes.len().min(out.room())).unwrap_or_default();
                if !out.put(part) {
                    return Ok(0);
                }
                self.left = self.left.saturating_sub(part.len() as u64);
                Ok(part.len())
            }
        }
    }

    /// Whether content goes out as it is, so that the caller may write it past `out` (after
    /// draining `out`) and count it by [`Conn::sent_body`].
    pub fn sends_plain(&self) -> bool {
        self.states.of(self.us()) == Phase::Body
            && matches!(self.writing, Writing::Length | Writing::UntilClose)
    }

    /// Content we announced and haven't sent yet, in bytes; `None` when no length was announced.
    pub fn send_remaining(&self) -> Option<u64> {
        match (self.states.of(self.us()), self.writing) {
            (Phase::Body, Writing::Length) => Some(self.left),
            (Phase::Body, Writing::Chunks | Writing::UntilClose) => None,
            _ => Some(0),
        }
    }

    /// Counts `n` bytes of content that the caller wrote past `out`.
    ///
    /// # Errors
    /// [`SendError::TooMuch`], [`SendError::OutOfOrder`] when content doesn't go out as it is.
    pub fn sent_body(&mut self, n: u64) -> Result<(), SendError> {
        if !self.sends_plain() {
            return Err(SendError::OutOfOrder);
        }
        if self.writing == Writing::Length {
            self.left = self.left.checked_sub(n).ok_or(SendError::TooMuch)?;
        }
        Ok(())
    }

    /// Ends our message. `trailers` are sent only in chunked content; elsewhere they have no place
    /// and are left out.
    ///
    /// # Errors
    /// [`SendError::NoRoom`], [`SendError::TooLittle`], [`SendError::OutOfOrder`].
    pub fn finish(&mut self, trailers: Option<&Head>, out: &mut Buf) -> Result<(), SendError> {
        // The peer may have switched on the strength of the head alone.
        if self.states.of(self.us()) == Phase::Switched {
            return Ok(());
        }
        if self.states.of(self.us()) != Phase::Body {
            return Err(SendError::OutOfOrder);
        }
        match self.writing {
            Writing::Length if self.left > 0 => return Err(SendError::TooLittle),
            Writing::Chunks => encode::last_chunk(trailers, out)?,
            _ => {}
        }
        self.advance(self.us(), Step::End);
        Ok(())
    }

    /// This exchange is the connection's last: a response whose head isn't out yet says so. At
    /// rest the connection is over at once.
    pub fn close_after(&mut self) {
        self.states.keep_no_longer();
    }

    // --- standing -----------------------------------------------------------------------------

    /// Whether no exchange is going on and another may begin. For a backend's connection this is
    /// also what makes it fit for the pool: bytes in `input` that nobody asked for make it unfit.
    pub fn is_reusable(&self, input: &Buf) -> bool {
        self.states.at_rest() && (self.role == Role::Server || input.is_empty())
    }

    /// Whether the peer's message of this exchange is complete.
    pub fn peer_is_done(&self) -> bool {
        !matches!(self.states.of(self.peer()), Phase::Idle | Phase::Body)
    }

    /// Whether our message of this exchange is complete.
    pub fn we_are_done(&self) -> bool {
        !matches!(self.states.of(self.us()), Phase::Idle | Phase::Body)
    }

    /// Whether both messages are complete and nothing may follow: close once `out` is drained.
    pub fn is_over(&self) -> bool {
        let over = |side| matches!(self.states.of(side), Phase::Over | Phase::Broken);
        over(self.us()) && over(self.peer())
    }

    /// Whether the connection belongs to another protocol now.
    pub fn is_switched(&self) -> bool {
        self.states.of(self.us()) == Phase::Switched
    }

    /// Whether bytes of an unfinished head are in the input.
    pub fn is_in_head(&self, input: &Buf) -> bool {
        self.states.of(self.peer()) == Phase::Idle && !input.is_empty()
    }

    fn begin_writing(&mut self, framing: Framing) {
        (self.writing, self.left) = match framing {
            Framing::Bodiless(_) => (Writing::Nothing, 0),
            Framing::Length(length) => (Writing::Length, length),
            Framing::Chunked => (Writing::Chunks, 0),
            Framing::UntilClose => (Writing::UntilClose, 0),
        };
    }

    /// Takes a step that the caller has made sure is in order.
    fn advance(&mut self, side: Side, step: Step) {
        let taken = self.states.step(side, step);
        debug_assert!(taken.is_ok(), "{side:?} {step:?} in {:?}", self.states);
        if taken.is_err() {
            self.states.broke(side);
        }
    }
}

/// FNV-1a over the lower-case form of a protocol's name: enough to tell what was offered from
/// what wasn't, for a peer that gains nothing by a collision.
fn hash(protocol: &[u8]) -> u32 {
    protocol.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0193)
    })
}

const _: () = assert!(size_of::<Conn>() <= 64, "an idle connection is kept by the ten thousand");
