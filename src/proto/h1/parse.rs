//! Heads: from bytes to a [`Head`] and the framing of what follows, or to an [`Offence`].
//!
//! What it is: httparse to take a head apart, and what httparse lets pass but RFC 9112 does not;
//! `facts` holds the rules that fields obey among each other. Smuggling rules live in these two and
//! in `body`, nowhere else.
//!
//! What it is not: a keeper of state between calls, but for how far an unfinished head was looked
//! through ([`Progress`]), so that a head that comes byte by byte costs linear time.
//!
//! Invariants: a head that is let through reads the same in `lex`; nothing of an unfinished or
//! offending head is in the caller's [`Head`] after an offence but bytes without meaning.

use std::mem::MaybeUninit;

use super::facts::{Facts, Seen};
use super::lex::{self, METHOD_MAX, Section};
use super::target;
use super::{Limits, Offence};
use crate::msg::{Head, Known, Method, Place, Version};

/// Most fields that are parsed, whatever the limits say.
pub(super) const FIELDS_MAX: usize = 256;

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
    let mut room = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut parsed = httparse::Request::new(&mut []);
    let result = parsed.parse_with_uninit_headers(data, &mut room);
    let Some(whole) = whole(data, limits, result, parsed.headers) else {
        return unfinished(Section::Request, data, progress, limits);
    };
    let Some(start) = request_line(&whole, &parsed) else {
        return unfinished(Section::Request, data, progress, limits);
    };
    let mut seen = Seen::of_request();
    seen.fields(&whole, parsed.headers, head, limits)?;
    *progress = 0;
    head.load(whole.data);
    let target = start.target.of(data);
    if target.len() > limits.target_bytes as usize {
        return Err(Offence::TargetTooLong);
    }
    head.index_request(Method::from_bytes(start.method.of(data)), start.method, start.target);
    head.version = start.version;
    seen.connection_options(data, head)?;
    seen.check_request(head, limits, target)?;
    Ok(Some((whole.data.len(), seen.facts)))
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
    let mut room = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let result = config.parse_response_with_uninit_headers(&mut parsed, data, &mut room);
    let Some(whole) = whole(data, limits, result, parsed.headers) else {
        return unfinished(Section::Response, data, progress, limits);
    };
    let Some((version, status, reason)) = status_line(&whole, &parsed) else {
        return unfinished(Section::Response, data, progress, limits);
    };
    let mut seen = Seen::of_response();
    seen.fields(&whole, parsed.headers, head, limits)?;
    *progress = 0;
    head.load(whole.data);
    head.index_response(status, reason);
    head.version = version;
    seen.connection_options(data, head)?;
    seen.check_response(head)?;
    Ok(Some((whole.data.len(), seen.facts)))
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
    let mut room = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let (result, fields) = match httparse::parse_headers(data, &mut room) {
        Ok(httparse::Status::Complete((len, fields))) => (httparse::Status::Complete(len), fields),
        _ => return unfinished(Section::Trailers, data, progress, limits),
    };
    let Some(whole) = whole(data, limits, Ok(result), fields) else {
        return unfinished(Section::Trailers, data, progress, limits);
    };
    head.clear();
    let mut forbidden = false;
    for line in fields {
        forbidden |= trailer(whole.field(line), head, limits).is_err();
    }
    *progress = 0;
    head.load(whole.data);
    match forbidden {
        true => Err(Offence::TrailerForbidden),
        false => Ok(Some(whole.data.len())),
    }
}

/// The bytes of a head from its first to its empty line, which httparse has read.
pub(super) struct Whole<'a> {
    data: &'a [u8],
    /// There is an underscore somewhere in it.
    underscore: bool,
}

impl Whole<'_> {
    /// Where a part of the head is.
    #[inline]
    fn place(&self, part: &[u8]) -> Place {
        Place::new(offset(self.data, part), part.len())
    }

    /// A field as httparse found it.
    #[inline]
    pub(super) fn field<'a>(&self, line: &httparse::Header<'a>) -> Field<'a> {
        let (name, value) = (line.name.as_bytes(), line.value);
        let name_at = offset(self.data, name);
        // httparse gives an empty value no place.
        let value_at = if value.is_empty() { name_at } else { offset(self.data, value) };
        let name_end = name_at + name.len();
        let plain = value_at == name_end + 2
            && self.data.get(name_end + 1) == Some(&b' ')
            && self.data.get(value_at + value.len()) == Some(&b'\r');
        let underscore = self.underscore && name.contains(&b'_');
        Field { name, value, name_at, value_at, plain, underscore }
    }
}

/// Where `part` is in `data`.
#[inline]
fn offset(data: &[u8], part: &[u8]) -> usize {
    (part.as_ptr() as usize).wrapping_sub(data.as_ptr() as usize)
}

/// The head that httparse has found at the start of `data`; not when it isn't whole, is larger than
/// allowed, or has a line that ends in a bare LF, which httparse takes for a line's end.
#[inline]
fn whole<'a>(
    data: &'a [u8],
    limits: &Limits,
    result: httparse::Result<usize>,
    fields: &[httparse::Header<'_>],
) -> Option<Whole<'a>> {
    let Ok(httparse::Status::Complete(len)) = result else { return None };
    let data = data.get(..len)?;
    // Every line but the last two ends right before a field; those are the empty one and the one
    // before it. Within a line httparse lets no control byte pass but the tab.
    let exact = fields.iter().all(|field| {
        let start = offset(data, field.name.as_bytes());
        start == 0 || data.get(start.wrapping_sub(2)..start) == Some(b"\r\n")
    });
    let within = len <= limits.head_bytes() && fields.len() <= limits.fields();
    let underscore = memchr::memchr(b'_', data).is_some();
    (exact && within && data.ends_with(END)).then_some(Whole { data, underscore })
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

/// The words of a request line (RFC 9112 §3); `None` when it isn't in order.
#[inline]
fn request_line(whole: &Whole<'_>, parsed: &httparse::Request<'_, '_>) -> Option<RequestLine> {
    let (method, target) = (parsed.method?.as_bytes(), parsed.path?.as_bytes());
    // httparse skips empty lines, takes a method of any length, and nearly any byte in a target.
    let in_order = offset(whole.data, method) == 0
        && method.len() <= METHOD_MAX
        && offset(whole.data, target) == method.len() + 1
        && target::bytes(target).is_ok();
    in_order.then_some(RequestLine {
        method: Place::new(0, method.len()),
        target: whole.place(target),
        version: version(parsed.version?),
    })
}

/// The words of a status line (RFC 9112 §4); `None` when it isn't in order. A missing space behind
/// the status is let pass: nothing can be mistaken for it.
#[inline]
fn status_line(
    whole: &Whole<'_>,
    parsed: &httparse::Response<'_, '_>,
) -> Option<(Version, u16, Place)> {
    const BEFORE_REASON: usize = "HTTP/1.1 200 ".len();
    let status = parsed.code.filter(|status| *status >= 100)?;
    if !whole.data.starts_with(b"HTTP/1.") {
        return None;
    }
    // httparse leaves a reason out that isn't ASCII: it is what stands before the first field.
    let end = match parsed.headers.first() {
        Some(field) => offset(whole.data, field.name.as_bytes()),
        None => whole.data.len().saturating_sub(2),
    };
    let reason = match end.checked_sub(2 + BEFORE_REASON) {
        Some(len) => Place::new(BEFORE_REASON, len),
        None => Place::EMPTY,
    };
    Some((version(parsed.version?), status, reason))
}

fn version(minor: u8) -> Version {
    if minor == 0 { Version::Http10 } else { Version::Http11 }
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
    if let Some(offence) = lex::first_offence(section, within, seen, limits.fields()) {
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
