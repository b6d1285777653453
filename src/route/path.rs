//! Request paths: which are refused, and the form in which they are compared.
//!
//! A path is forwarded exactly as it was sent. So that no backend can read another path from it
//! than the one that was routed, those with two readings are refused here ([`check`]), and escapes
//! that mean a plain byte are compared as that byte ([`matched`]). Decision 0010 has the reasons.

use memchr::{memchr_iter, memchr2, memchr3};

/// Why a path is refused (the request gets 400).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathFault {
    /// A segment `.` or `..`, in any spelling that some server resolves (`%2e`, `..%2f`, `..;x`).
    DotSegment,
    /// A `%` without two hexadecimal digits (RFC 3986 §2.1).
    BrokenEscape,
    /// `%00`: many servers end the path there.
    EscapedNul,
    /// A raw `\` or `#`, which no URI path can hold and which servers read in different ways.
    ForeignByte,
}

impl PathFault {
    /// One word for records and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            PathFault::DotSegment => "dot-segment",
            PathFault::BrokenEscape => "broken-escape",
            PathFault::EscapedNul => "escaped-nul",
            PathFault::ForeignByte => "foreign-byte",
        }
    }

    /// A sentence for people.
    pub const fn sentence(self) -> &'static str {
        match self {
            PathFault::DotSegment => "the path holds a '.' or '..' segment",
            PathFault::BrokenEscape => "the path holds a '%' without two hexadecimal digits",
            PathFault::EscapedNul => "the path holds an escaped NUL",
            PathFault::ForeignByte => "the path holds a raw backslash or '#'",
        }
    }
}

/// Accepts a path (without query) that has one reading, as sent. `*` and the empty path pass.
pub fn check(path: &[u8]) -> Result<(), PathFault> {
    let starts = |at: usize| at.checked_sub(1).is_none_or(|at| path.get(at) == Some(&b'/'));
    let dotted = memchr_iter(b'.', path).any(starts);
    if !dotted && memchr3(b'%', b'\\', b'#', path).is_none() {
        return Ok(());
    }
    check_slowly(path)
}

#[cold]
fn check_slowly(path: &[u8]) -> Result<(), PathFault> {
    if memchr2(b'\\', b'#', path).is_some() {
        return Err(PathFault::ForeignByte);
    }
    let mut segment = Segment::default();
    let mut rest = path;
    while let Some((byte, escaped, after)) = next(rest)? {
        rest = after;
        if escaped && byte == 0 {
            return Err(PathFault::EscapedNul);
        }
        if byte == b'/' || (escaped && byte == b'\\') {
            if segment.is_dots() {
                return Err(PathFault::DotSegment);
            }
            segment = Segment::default();
        } else {
            segment.push(byte);
        }
    }
    if segment.is_dots() { Err(PathFault::DotSegment) } else { Ok(()) }
}

/// As much of a segment as tells whether it is a dot segment: dots, then the end or `;`.
#[derive(Default)]
struct Segment {
    dots: usize,
    params: bool,
    other: bool,
}

impl Segment {
    fn push(&mut self, byte: u8) {
        match byte {
            _ if self.params || self.other => {}
            b'.' => self.dots += 1,
            b';' => self.params = true,
            _ => self.other = true,
        }
    }

    fn is_dots(&self) -> bool {
        !self.other && (1..=2).contains(&self.dots)
    }
}

/// The next byte of an escaped text, whether it was escaped, and what follows.
type Decoded<'a> = (u8, bool, &'a [u8]);

fn next(text: &[u8]) -> Result<Option<Decoded<'_>>, PathFault> {
    match text {
        [] => Ok(None),
        [b'%', high, low, rest @ ..] => match (hex(*high), hex(*low)) {
            (Some(high), Some(low)) => Ok(Some((high << 4 | low, true, rest))),
            _ => Err(PathFault::BrokenEscape),
        },
        [b'%', ..] => Err(PathFault::BrokenEscape),
        [byte, rest @ ..] => Ok(Some((*byte, false, rest))),
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// The longest path in a route key, in its compared form. Longer requests only meet prefixes.
pub const KEY_MAX: usize = 1024;

/// Room for the compared form of a path; one byte more than any key, so that a longer path never
/// equals one.
pub type Room = [u8; KEY_MAX + 4];

/// The form of `path` in which it is compared: escapes become the byte they stand for, but those of
/// `/`, `\` and `%`, which stay escaped (in upper case), because they mean something else plain.
/// Returns `path` itself when it holds no escape. Only as much as [`Room`] takes is given.
pub fn matched<'a>(path: &'a [u8], room: &'a mut Room) -> &'a [u8] {
    if memchr::memchr(b'%', path).is_none() {
        return path;
    }
    let mut filled = 0;
    let mut rest = path;
    while let Ok(Some((byte, escaped, after))) = next(rest) {
        let one = [byte];
        let piece: &[u8] = match (escaped, byte) {
            (true, b'/') => b"%2F",
            (true, b'\\') => b"%5C",
            (true, b'%') => b"%25",
            _ => &one,
        };
        let Some(target) = room.get_mut(filled..filled + piece.len()) else { break };
        target.copy_from_slice(piece);
        filled += piece.len();
        rest = after;
    }
    room.get(..filled).unwrap_or(path)
}

/// Whether `text`, escaped as in a query string (`%XX`, `+` for a space), spells `plain`. A broken
/// escape stands for itself.
pub fn form_equals(mut text: &[u8], plain: &[u8]) -> bool {
    let mut plain = plain.iter();
    loop {
        let byte = match next(text) {
            Ok(None) => return plain.next().is_none(),
            Ok(Some((byte, escaped, rest))) => {
                text = rest;
                if byte == b'+' && !escaped { b' ' } else { byte }
            }
            Err(_) => {
                text = text.get(1..).unwrap_or_default();
                b'%'
            }
        };
        if plain.next() != Some(&byte) {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_with_one_reading_pass() {
        for path in [
            "/",
            "",
            "*",
            "/a",
            "/a/",
            "//a",
            "/a//b",
            "/a.b",
            "/.well-known/x",
            "/...",
            "/a..",
            "/..a",
            "/%7Euser",
            "/a%2Fb",
            "/x/%2e%2ea",
            "/a;v=1/b",
            "/a;..",
            "/web/http://x.example/",
            "/caf%C3%A9",
            "/.;a".trim_end_matches(".;a"),
            "/a%25b",
            "/%2e%2e%2e",
        ] {
            assert_eq!(check(path.as_bytes()), Ok(()), "{path}");
        }
    }

    #[test]
    fn paths_with_two_readings_are_refused() {
        use PathFault::*;
        for (path, fault) in [
            ("/..", DotSegment),
            ("..", DotSegment),
            ("/.", DotSegment),
            ("/a/../b", DotSegment),
            ("/a/./b", DotSegment),
            ("/a/..", DotSegment),
            ("/%2e%2E/b", DotSegment),
            ("/.%2e", DotSegment),
            ("/a%2f..%2fb", DotSegment),
            ("/a/..%5cb", DotSegment),
            ("/..;x=1/b", DotSegment),
            ("/a/%2e;/b", DotSegment),
            ("/a\\..\\b", ForeignByte),
            ("/a#b", ForeignByte),
            ("/%", BrokenEscape),
            ("/%2", BrokenEscape),
            ("/%zz", BrokenEscape),
            ("/%+1", BrokenEscape),
            ("/a%00.png", EscapedNul),
        ] {
            assert_eq!(check(path.as_bytes()), Err(fault), "{path}");
        }
    }

    #[test]
    fn compared_form() {
        for (path, wanted) in [
            ("/a", "/a"),
            ("/%61%2D", "/a-"),
            ("/a%2fb", "/a%2Fb"),
            ("/a%5cb", "/a%5Cb"),
            ("/a%2561", "/a%2561"),
            ("/%40x", "/@x"),
        ] {
            let mut room = [0; KEY_MAX + 4];
            assert_eq!(matched(path.as_bytes(), &mut room), wanted.as_bytes(), "{path}");
        }
        let mut room = [0; KEY_MAX + 4];
        assert!(matched("%61".repeat(5000).as_bytes(), &mut room).len() > KEY_MAX);
    }

    #[test]
    fn query_words() {
        assert!(form_equals(b"a+b%20c", b"a b c"));
        assert!(form_equals(b"100%", b"100%"));
        assert!(form_equals(b"%2B", b"+"));
        assert!(!form_equals(b"a", b"ab"));
        assert!(!form_equals(b"ab", b"a"));
    }
}
