//! Request methods: the registered ones as a tag, any other as "other" (its text is in the head).

/// A request method (RFC 9110 §9). Case-sensitive; a token that is none of the named ones is
/// [`Method::Other`] and its text is read from the head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Method {
    /// `GET`.
    #[default]
    Get,
    /// `HEAD`: its response never has content.
    Head,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
    /// `DELETE`.
    Delete,
    /// `CONNECT`: asks for a tunnel; never has content.
    Connect,
    /// `OPTIONS`.
    Options,
    /// `TRACE`: never has content.
    Trace,
    /// `PATCH` (RFC 5789).
    Patch,
    /// Any other token.
    Other,
}

impl Method {
    /// The tag for a method's text.
    pub fn from_bytes(text: &[u8]) -> Method {
        match text {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"CONNECT" => Method::Connect,
            b"OPTIONS" => Method::Options,
            b"TRACE" => Method::Trace,
            b"PATCH" => Method::Patch,
            _ => Method::Other,
        }
    }

    /// The method's text; `None` for [`Method::Other`].
    pub const fn text(self) -> Option<&'static str> {
        Some(match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Connect => "CONNECT",
            Method::Options => "OPTIONS",
            Method::Trace => "TRACE",
            Method::Patch => "PATCH",
            Method::Other => return None,
        })
    }

    /// Whether repeating the request has the effect of sending it once (RFC 9110 §9.2.2). An
    /// unknown method is assumed not to be.
    pub const fn is_idempotent(self) -> bool {
        !matches!(self, Method::Post | Method::Patch | Method::Connect | Method::Other)
    }

    /// Whether the request asks for reading only (RFC 9110 §9.2.1).
    pub const fn is_safe(self) -> bool {
        matches!(self, Method::Get | Method::Head | Method::Options | Method::Trace)
    }

    /// Whether a request without content should say so with `Content-Length: 0`, because the
    /// method anticipates content (RFC 9110 §8.6).
    pub const fn expects_content(self) -> bool {
        matches!(self, Method::Post | Method::Put | Method::Patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_tags_agree() {
        for text in ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]
        {
            assert_eq!(Method::from_bytes(text.as_bytes()).text(), Some(text));
        }
        for text in ["get", "GETT", "", "PROPFIND"] {
            assert_eq!(Method::from_bytes(text.as_bytes()), Method::Other, "{text}");
        }
    }
}
