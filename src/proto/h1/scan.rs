//! A look at every byte of a head, sixteen at a time.
//!
//! What it is: the check that the only control bytes of a head (but tabs) are whole CR LF pairs, as
//! RFC 9112 §2.2 and RFC 9110 §5.5 ask. httparse takes a bare LF for a line end, so this look comes
//! with it.
//!
//! What it is not: the one who says what is wrong; `lex` finds that out.

use crate::sys::bytes::{BLOCK, mark};

/// Whether each control byte in `head` that is no tab is part of a CR LF pair.
#[inline]
pub(super) fn is_exact(head: &[u8]) -> bool {
    // The last control byte of a block that an LF must follow in the next one.
    let mut carry = 0;
    let mut bad = 0;
    let mut cr_only = true;
    let mut look = |block: &[u8; BLOCK]| {
        let marks = mark(block);
        let others = marks.control & !marks.lf;
        // An LF must follow each other control byte, which must be a CR, and nothing else.
        bad |= marks.lf ^ (others << 1 | carry);
        cr_only &= others == marks.cr;
        carry = others >> 63;
    };
    let (blocks, rest) = head.as_chunks::<BLOCK>();
    blocks.iter().for_each(&mut look);
    if !rest.is_empty() {
        let mut padded = [b' '; BLOCK];
        if let Some(part) = padded.get_mut(..rest.len()) {
            part.copy_from_slice(rest);
        }
        look(&padded);
    }
    bad == 0 && cr_only && carry == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_line_ends_pass_wherever_they_fall() {
        for pad in 0..200 {
            let text = format!("{}\r\nA: \tb\x7e\r\n\r\n", "p".repeat(pad));
            assert!(is_exact(text.as_bytes()), "{pad}");
            for cut in 0..text.len() {
                let cut = &text.as_bytes()[..cut];
                assert_eq!(is_exact(cut), cut.last() != Some(&b'\r'), "{pad}, {cut:?}");
            }
        }
        assert!(is_exact(b"a\tb\x80\xff\r\n"));
    }

    #[test]
    fn no_other_control_byte_passes() {
        for pad in 0..150 {
            for bad in
                ["\0", "\n", "\r", "\x7f", "\x1b", "\r\r\n", "\n\r", "\n\n", "\0\n", "\x1b\n"]
            {
                let text = format!("first\r\n{}{bad}x\r\n\r\n", "p".repeat(pad));
                assert!(!is_exact(text.as_bytes()), "{bad:?} at {pad}");
            }
        }
    }
}
