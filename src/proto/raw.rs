//! A tunnel as a codec: one stream, all bytes are content.
//!
//! What it is: the codec of a connection after `101 (Switching Protocols)` or a granted `CONNECT`;
//! each direction ends by itself (half-close).
//!
//! What it is not: a place to look into the bytes.

use super::Event;
use crate::base::buf::Buf;

/// One tunnelled connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conn {
    read_over: bool,
    write_over: bool,
}

impl Conn {
    /// A tunnel open both ways. Bytes already in the input belong to it.
    pub const fn new() -> Conn {
        Conn { read_over: false, write_over: false }
    }

    /// What the input holds: [`Event::Body`], [`Event::NeedMore`], or [`Event::End`] once the peer
    /// has ended its direction and all of it was taken.
    pub fn poll(&mut self, input: &Buf) -> Event {
        match (input.len(), self.read_over) {
            (0, false) => Event::NeedMore,
            (0, true) => Event::End,
            (len, _) => Event::Body(len),
        }
    }

    /// Takes the first `n` bytes of content out of `input`.
    pub fn take_body(&mut self, n: usize, input: &mut Buf) {
        input.consume(n);
    }

    /// The peer has ended its direction.
    pub fn on_eof(&mut self) {
        self.read_over = true;
    }

    /// Copies as much of `bytes` as fits behind what is in `out` (which holds a block); returns
    /// how much. Nothing once our direction is finished.
    pub fn send_body(&mut self, bytes: &[u8], out: &mut Buf) -> usize {
        let part = bytes.get(..bytes.len().min(out.room())).unwrap_or_default();
        if self.write_over || !out.put(part) {
            return 0;
        }
        part.len()
    }

    /// Ends our direction: the caller shuts the socket's sending side once `out` is drained.
    pub fn finish(&mut self) {
        self.write_over = true;
    }

    /// Whether both directions are over.
    pub fn is_over(&self) -> bool {
        self.read_over && self.write_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::buf::BufPool;

    #[test]
    fn each_direction_ends_by_itself() {
        let mut pool = BufPool::new(2);
        let (mut input, mut out) = (Buf::new(), Buf::new());
        let mut conn = Conn::new();
        assert_eq!(conn.poll(&input), Event::NeedMore);
        input.append(b"abc", &mut pool);
        assert_eq!(conn.poll(&input), Event::Body(3));
        conn.on_eof();
        conn.take_body(2, &mut input);
        assert_eq!(conn.poll(&input), Event::Body(1), "bytes before the end still count");
        conn.take_body(1, &mut input);
        assert_eq!(conn.poll(&input), Event::End);
        assert!(out.reserve(&mut pool));
        assert_eq!(conn.send_body(b"xyz", &mut out), 3);
        assert!(!conn.is_over());
        conn.finish();
        assert_eq!(conn.send_body(b"late", &mut out), 0);
        assert!(conn.is_over());
        assert_eq!(out.data(), b"xyz");
    }
}
