//! Where the lines of a head are, found sixteen bytes at a time.
//!
//! What it is: the first look at a head. It tells lines apart and makes sure on the way that the
//! only control bytes (but tabs) are whole CR LF pairs, which is most of what RFC 9112 §2.2 and
//! RFC 9110 §5.5 ask of the bytes of a head. It is our own because no parser at hand insists on
//! CR LF, and because a strict one does this look and the check of values in one go.
//!
//! What it is not: the one who says what is wrong. When a head isn't whole or isn't in order, there
//! is just no next line; `lex` finds out which.

use crate::sys::bytes::{BLOCK, mark};

/// One line of a head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    /// Where it begins.
    pub(super) start: usize,
    /// Its bytes without CR LF.
    pub(super) text: &'a [u8],
    /// How many letters and dashes it begins with, at least.
    pub(super) word: usize,
}

/// The lines of a head, up to its empty one.
pub(super) struct Lines<'a> {
    data: &'a [u8],
    /// Where the current block begins.
    block: usize,
    /// LF bits of the current block that aren't told yet.
    lf: u64,
    /// Bits of the current block that are neither letters nor dashes.
    other: u64,
    /// Bits of the current block that are out of order.
    bad: u64,
    /// The last byte of the current block is a control byte that an LF must follow.
    carry: u64,
    /// Where the next line begins.
    start: usize,
}

impl<'a> Lines<'a> {
    /// The lines at the start of `data`.
    #[inline]
    pub(super) fn new(data: &'a [u8]) -> Lines<'a> {
        let mut lines = Lines { data, block: 0, lf: 0, other: 0, bad: 0, carry: 0, start: 0 };
        lines.look();
        lines
    }

    /// Where the line told last ends, CR LF included.
    #[inline]
    pub(super) fn end(&self) -> usize {
        self.start
    }

    /// The next line. `None` when its end hasn't come or something before its end is out of order.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Line<'a>> {
        let start = self.start;
        // A line that begins behind the current block is told by the next one.
        if start >= self.block + BLOCK && !self.advance() {
            return None;
        }
        let within = self.other >> start.checked_sub(self.block)?;
        let mut word = within.trailing_zeros() as usize;
        if self.lf == 0 {
            if !self.advance() {
                return None;
            }
            // A word that runs up to the next block goes on there; a longer one isn't measured.
            if within == 0 {
                word = self.block - start + self.other.trailing_zeros() as usize;
            }
            while self.lf == 0 {
                if !self.advance() {
                    return None;
                }
            }
        }
        let bit = self.lf.trailing_zeros();
        // Bits up to and with this one.
        if self.bad & (u64::MAX >> (63 - bit)) != 0 {
            return None;
        }
        self.lf &= self.lf - 1;
        let end = self.block + bit as usize;
        self.start = end + 1;
        match self.data.get(start..end)? {
            [text @ .., b'\r'] => Some(Line { start, text, word }),
            _ => None,
        }
    }

    /// Goes to the next block; not when there is none, or this one is out of order.
    #[inline]
    fn advance(&mut self) -> bool {
        if self.bad != 0 || self.block + BLOCK >= self.data.len() {
            return false;
        }
        self.block += BLOCK;
        self.look();
        true
    }

    /// Marks the bytes of the current block.
    #[inline]
    fn look(&mut self) {
        let rest = self.data.get(self.block..).unwrap_or_default();
        let marks = match rest.first_chunk::<BLOCK>() {
            Some(block) => mark(block),
            None => {
                let mut padded = [b' '; BLOCK];
                if let Some(part) = padded.get_mut(..rest.len()) {
                    part.copy_from_slice(rest);
                }
                mark(&padded)
            }
        };
        // An LF must follow each other control byte, which then must be a CR, and nothing else. A
        // control byte at the very end waits for its LF.
        let others = marks.control & !marks.lf;
        self.bad = marks.lf ^ (others << 1 | self.carry);
        self.carry = others >> 63;
        self.lf = marks.lf;
        self.other = marks.other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(data: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = Lines::new(data);
        let mut all = Vec::new();
        while let Some(Line { start, text, word }) = lines.next() {
            assert_eq!(data[start..start + text.len()], *text);
            assert_eq!(lines.end(), start + text.len() + 2);
            let named = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'-';
            let letters = text.iter().take_while(|byte| named(byte)).count();
            assert!(word <= letters, "{word}, not {letters}");
            assert!(word == letters || letters > 64, "{word}, not {letters}");
            all.push(text.to_vec());
            if text.is_empty() {
                break;
            }
        }
        all
    }

    #[test]
    fn lines_are_told_wherever_their_ends_fall() {
        for pad in 1..200 {
            let long = "p".repeat(pad);
            let text = format!("{long}\r\nA: b\r\n\r\nrest\n\0");
            let due = [long.as_bytes(), b"A: b", b""];
            assert_eq!(lines(text.as_bytes()), due, "{pad}");
            for cut in 0..text.len() - 8 {
                assert!(lines(&text.as_bytes()[..cut]).len() < 3, "{pad}, {cut}");
            }
        }
    }

    #[test]
    fn nothing_behind_a_control_byte_is_told() {
        for pad in 0..150 {
            for bad in ["\0", "\n", "\r", "\x7f", "\x1b", "\r\r\n", "\n\r", "\n\n"] {
                let text = format!("first\r\n{}{bad}x\r\n\r\n", "p".repeat(pad));
                assert_eq!(lines(text.as_bytes()), [b"first"], "{bad:?} at {pad}");
            }
        }
        assert_eq!(lines(b"a\tb\x80\xff\r\n"), [b"a\tb\x80\xff"]);
    }
}
