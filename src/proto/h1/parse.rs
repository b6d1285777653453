//! Heads: from bytes to a [`Head`] and the framing of what follows, or to an [`Offence`].
//!
//! What it is: the lines that `scan` finds, taken apart; `facts` holds the rules that fields obey
//! among each other. Smuggling rules live in these two and in `body`, nowhere else.
//!
//! What it is not: a keeper of state between calls, but for how far an unfinished head was looked
//! through ([`Progress`]), so that a head that comes byte by byte costs linear time.
//!
//! Invariants: a head that is let through reads the same in `lex`; nothing of an unfinished or
//! offending head is in the caller's [`Head`] after an offence but bytes without meaning.

use super::facts::{Facts, Seen};
use super::lex::{self, METHOD_MAX, Section};
use super::scan::{Line, Lines};
use super::{Limits, Offence, target};
use crate::msg::{Head, Known, Method, Place, Version, is_token_byte};

/// What ends a head.
const END: &[u8] = b"\r\n\r\n";

/// How far an unfinished head was searched for its end, in bytes from the start of the input.
pub(super) type Progress = u32;

/// Reads a request head from the start of `data` into `head`. Returns its length in bytes and its
/// facts, or `None` when more bytes are needed.
pub(super) fn request(
    data: &[u8],
    progress: &mut Progress,
    head: &mut Head,
    limits: &Limits,
) -> Result<Option<(usize, Facts)>, Offence> {
    if !may_be_whole(data, progress) {
        return unfinished(Section::Request, data, progress, limits);
    }
    head.clear();
    let mut lines = Lines::new(data);
    let Some(start) = lines.next().and_then(|line| request_line(&line)) else {
        return unfinished(Section::Request, data, progress, limits);
    };
    let mut seen = Seen::of_request();
    let Some(len) = seen.fields(lines, head, limits)? else {
        return unfinished(Section::Request, data, progress, limits);
    };
    *progress = 0;
    head.load(data.get(..len).unwrap_or_default());
    let target = start.target.of(data);
    if target.len() > limits.target_bytes as usize {
        return Err(Offence::TargetTooLong);
    }
    head.index_request(Method::from_bytes(start.method.of(data)), start.method, start.target);
    head.version = start.version;
    seen.connection_options(data, head)?;
    seen.check_request(head, limits, target)?;
    Ok(Some((len, seen.facts)))
}

/// Reads a response head from the start of `data` into `head`. Returns its length in bytes and its
/// facts, or `None` when more bytes are needed.
pub(super) fn response(
    data: &[u8],
    progress: &mut Progress,
    head: &mut Head,
    limits: &Limits,
) -> Result<Option<(usize, Facts)>, Offence> {
    if !may_be_whole(data, progress) {
        return unfinished(Section::Response, data, progress, limits);
    }
    head.clear();
    let mut lines = Lines::new(data);
    let start = lines.next().and_then(|line| status_line(line.text));
    let Some((version, status, reason)) = start else {
        return unfinished(Section::Response, data, progress, limits);
    };
    let mut seen = Seen::of_response();
    let Some(len) = seen.fields(lines, head, limits)? else {
        return unfinished(Section::Response, data, progress, limits);
    };
    *progress = 0;
    head.load(data.get(..len).unwrap_or_default());
    head.index_response(status, reason);
    head.version = version;
    seen.connection_options(data, head)?;
    seen.check_response(head)?;
    Ok(Some((len, seen.facts)))
}

/// Reads a trailer section (after the last chunk) from the start of `data` into `head`, which it
/// clears. Returns its length in bytes, or `None` when more bytes are needed.
pub(super) fn trailers(
    data: &[u8],
    progress: &mut Progress,
    head: &mut Head,
    limits: &Limits,
) -> Result<Option<usize>, Offence> {
    if let [b'\r', b'\n', ..] = data {
        head.clear();
        *progress = 0;
        return Ok(Some(2));
    }
    if !may_be_whole(data, progress) {
        return unfinished(Section::Trailers, data, progress, limits);
    }
    head.clear();
    let mut forbidden = false;
    let len = each_field(Lines::new(data), limits, |field| {
        forbidden |= trailer(field, head, limits).is_err();
        Ok(())
    })?;
    let Some(len) = len else {
        return unfinished(Section::Trailers, data, progress, limits);
    };
    *progress = 0;
    head.load(data.get(..len).unwrap_or_default());
    match forbidden {
        true => Err(Offence::TrailerForbidden),
        false => Ok(Some(len)),
    }
}

/// Lets one trailer field through, drops it, or refuses it (RFC 9110 §6.5.1).
fn trailer(field: Field<'_>, head: &mut Head, limits: &Limits) -> Result<(), Offence> {
    let known = Known::of(field.name);
    match known {
        Known::ContentLength
        | Known::TransferEncoding
        | Known::Host
        | Known::Connection
        | Known::Upgrade
        | Known::Te
        | Known::Trailer => return Err(Offence::TrailerForbidden),
        // What a recipient acts upon before it has seen the content must not come after it.
        _ if known.is_connection_level() || lex::is_essential(field.name) => {}
        _ if !limits.keep_underscores && field.underscore => {}
        _ => field.index(known, head),
    }
    Ok(())
}

/// The words of a request line.
struct RequestLine {
    method: Place,
    target: Place,
    version: Version,
}

/// Takes a request line apart (RFC 9112 §3); `None` when it isn't in order.
#[inline]
fn request_line(line: &Line<'_>) -> Option<RequestLine> {
    let (method, _) = token(line);
    let (_, rest) = line.text.split_at_checked(method)?;
    let (separator, rest) = rest.split_first()?;
    let (target, clean) = target::prefix(rest);
    let (text, version) = rest.split_at_checked(target)?;
    let version = match version {
        b" HTTP/1.1" => Version::Http11,
        b" HTTP/1.0" => Version::Http10,
        _ => return None,
    };
    let in_order = (1..=METHOD_MAX).contains(&method)
        && *separator == b' '
        && target > 0
        && (clean || target::bytes(text).is_ok());
    in_order.then(|| RequestLine {
        method: Place::new(0, method),
        target: Place::new(method + 1, target),
        version,
    })
}

/// Takes a status line apart (RFC 9112 §4); `None` when it isn't in order. A missing space behind
/// the status is let pass: nothing can be mistaken for it.
#[inline]
fn status_line(line: &[u8]) -> Option<(Version, u16, Place)> {
    let (version, rest) = line.split_first_chunk::<8>()?;
    let version = match version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        _ => return None,
    };
    let (status, rest) = rest.split_first_chunk::<4>()?;
    let [b' ', a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] = status else {
        return None;
    };
    let digit = |byte: &u8| u16::from(byte - b'0');
    let reason = match rest {
        [] => Place::EMPTY,
        [b' ', reason @ ..] => Place::new(line.len() - reason.len(), reason.len()),
        _ => return None,
    };
    Some((version, digit(a) * 100 + digit(b) * 10 + digit(c), reason))
}

/// One field line, taken apart.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
    /// Where name and value are.
    name_at: usize,
    value_at: usize,
    /// The line is `name: value` to the byte.
    plain: bool,
    /// The name holds an underscore.
    pub(super) underscore: bool,
}

impl Field<'_> {
    #[inline]
    pub(super) fn place(&self) -> Place {
        Place::new(self.value_at, self.value.len())
    }

    #[inline]
    pub(super) fn index(&self, known: Known, head: &mut Head) {
        let name = Place::new(self.name_at, self.name.len());
        head.index_line(name, self.place(), known, self.plain);
    }
}

/// Length of the token that a line starts with, and whether an underscore is in it.
#[inline]
fn token(line: &Line<'_>) -> (usize, bool) {
    // Nearly all are of letters and dashes, which are counted already.
    match line.text.get(line.word) {
        Some(b':' | b' ') => (line.word, false),
        _ => token_slowly(line.text),
    }
}

fn token_slowly(text: &[u8]) -> (usize, bool) {
    let mut underscore = false;
    let end = text.iter().position(|byte| {
        underscore |= *byte == b'_';
        !is_token_byte(*byte)
    });
    (end.unwrap_or(text.len()), underscore)
}

/// Takes a field line apart (RFC 9112 §5); `None` when it isn't in order. The bytes of the value
/// were looked at before.
#[inline]
fn field_line<'a>(line: &Line<'a>) -> Option<Field<'a>> {
    let (colon, underscore) = token(line);
    let (at, line) = (line.start, line.text);
    let (name, rest) = line.split_at_checked(colon)?;
    let [b':', rest @ ..] = rest else {
        return None;
    };
    if name.is_empty() {
        return None;
    }
    let (value, plain) = match rest {
        [b' ', value @ ..] if !is_space(value.first()) && !is_space(value.last()) => (value, true),
        rest => (lex::trim(rest), false),
    };
    let value_at = match plain {
        true => at + colon + 2,
        false => at + line.len() - lex::trim_start(rest).len(),
    };
    Some(Field { name, value, name_at: at, value_at, plain, underscore })
}

#[inline]
fn is_space(byte: Option<&u8>) -> bool {
    matches!(byte, None | Some(b' ' | b'\t'))
}

/// Calls `each` for every field up to the empty line. Returns the length of the head, or `None`
/// when it isn't whole or isn't in order.
#[inline]
pub(super) fn each_field<'a>(
    mut lines: Lines<'a>,
    limits: &Limits,
    mut each: impl FnMut(Field<'a>) -> Result<(), Offence>,
) -> Result<Option<usize>, Offence> {
    let mut left = limits.fields;
    // What is wrong with a field counts only once the whole head is known to be in order.
    let mut verdict = Ok(());
    while let Some(line) = lines.next() {
        if line.text.is_empty() {
            return match lines.end() <= limits.head_bytes() {
                true => verdict.map(|()| Some(lines.end())),
                false => Ok(None),
            };
        }
        let Some(field) = field_line(&line).filter(|_| left > 0) else {
            return Ok(None);
        };
        left -= 1;
        if verdict.is_ok() {
            verdict = each(field);
        }
    }
    Ok(None)
}

/// Whether an attempt to parse can succeed: on the first sight of a head always, later only once
/// its empty line has come.
fn may_be_whole(data: &[u8], progress: &Progress) -> bool {
    let from = (*progress as usize).saturating_sub(3);
    *progress == 0
        || data.get(from..).is_some_and(|fresh| memchr::memmem::find(fresh, END).is_some())
}

/// What to do with a head that isn't whole, or isn't in order: name what is wrong with it, or ask
/// for more.
#[cold]
fn unfinished<T>(
    section: Section,
    data: &[u8],
    progress: &mut Progress,
    limits: &Limits,
) -> Result<Option<T>, Offence> {
    let within = data.get(..data.len().min(limits.head_bytes())).unwrap_or_default();
    let seen = *progress as usize;
    *progress = data.len() as Progress;
    if let Some(offence) = lex::first_bytes(section, within) {
        return Err(offence);
    }
    if let Some(offence) = lex::first_offence(section, within, seen, usize::from(limits.fields)) {
        return Err(offence);
    }
    let fresh = data.get(seen.saturating_sub(3)..).unwrap_or_default();
    let whole = memchr::memmem::find(fresh, END).is_some();
    match whole || data.len() >= limits.head_bytes() {
        true => Err(too_long(section, within, limits)),
        false => Ok(None),
    }
}

/// Which limit a head passes that is too long.
fn too_long(section: Section, within: &[u8], limits: &Limits) -> Offence {
    let line = within.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let target = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    match section == Section::Request && target.len() > limits.target_bytes as usize {
        true => Offence::TargetTooLong,
        false => Offence::HeadTooLong,
    }
}
