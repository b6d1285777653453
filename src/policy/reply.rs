//! Heads of answers that are made here: redirects, fixed answers.
//!
//! Pure: fills a [`Head`]; the body is the caller's.

use crate::msg::{BadField, BodySize, Head, Known};

/// Makes `head` an answer without fields that announces `body_bytes` of content.
pub fn respond(head: &mut Head, status: u16, body_bytes: u64) {
    head.clear();
    head.set_response(status);
    head.body = BodySize::Exact(body_bytes);
}

/// Makes `head` a redirect to `location`.
///
/// # Errors
/// [`BadField`] when the location holds a control character; the head is then no answer yet.
pub fn redirect(head: &mut Head, status: u16, location: &[u8]) -> Result<(), BadField> {
    respond(head, status, 0);
    head.push_known(Known::Location, &[location])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_their_parts() {
        let mut head = Head::new();
        assert_eq!(redirect(&mut head, 308, b"https://a/b?c"), Ok(()));
        assert_eq!((head.status(), head.body), (308, BodySize::Exact(0)));
        assert_eq!(head.get_known(Known::Location), Some(&b"https://a/b?c"[..]));
        assert_eq!(redirect(&mut head, 308, b"https://a\r\nX: y"), Err(BadField));
        respond(&mut head, 404, 9);
        assert_eq!((head.status(), head.field_count()), (404, 0));
    }
}
