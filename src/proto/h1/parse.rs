//! Heads: from bytes to a [`Head`] and the framing of what follows, or to an [`Offence`].
//!
//! What it is: httparse for speed, then the rules of RFC 9112 on top of it, in one pass over the
//! fields. Smuggling rules live here and in `body`, nowhere else.
//!
//! What it is not: a keeper of state between calls, but for how far an unfinished head was looked
//! through ([`Progress`]), so that a head that comes byte by byte costs linear time.
//!
//! Invariants: a head that is let through reads the same in `lex`; nothing of an unfinished or
//! offending head is in the caller's [`Head`] after an offence but bytes without meaning.

use std::mem::MaybeUninit;

use super::lex::{self, METHOD_MAX, Section};
use super::target::{self, Form};
use super::{Limits, Offence};
use crate::msg::{BodySize, Head, Known, Method, Place, Version};

/// Most fields that are parsed, whatever the limits say.
pub(super) const FIELDS_MAX: usize = 256;

/// Most `Connection` lines, and options in all of them.
const CONNECTION_LINES_MAX: usize = 4;
const CONNECTION_OPTIONS_MAX: usize = 16;

/// What ends a head.
const END: &[u8] = b"\r\n\r\n";

/// How far an unfinished head was searched for its end, in bytes from the start of the input.
pub(super) type Progress = u32;

/// What the connection-level fields of a head said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    /// Content is chunked.
    pub(super) chunked: bool,
    pub(super) length: Option<u64>,
}

type Headers<'b> = [httparse::Header<'b>];

/// Where the input of a parse begins, to turn slices into places.
#[derive(Clone, Copy)]
struct Base(usize);

impl Base {
    fn place(self, slice: &[u8]) -> Place {
        if slice.is_empty() {
            return Place::EMPTY;
        }
        Place::new((slice.as_ptr() as usize).wrapping_sub(self.0), slice.len())
    }

    fn end(self, slice: &[u8]) -> usize {
        (slice.as_ptr() as usize).wrapping_sub(self.0) + slice.len()
    }
}

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
    let len = match parsed.parse_with_uninit_headers(data, &mut room) {
        Ok(httparse::Status::Complete(len)) => len,
        _ => return unfinished(Section::Request, data, progress, limits),
    };
    let base = Base(data.as_ptr() as usize);
    let (Some(method), Some(path), Some(minor)) = (parsed.method, parsed.path, parsed.version)
    else {
        return unfinished(Section::Request, data, progress, limits);
    };
    let target = path.as_bytes();
    let line_end = base.end(target) + " HTTP/1.1".len();
    let in_order = lines_are_exact(data, base, Some(line_end), parsed.headers, len)
        && parsed.headers.len() <= usize::from(limits.fields)
        && len <= limits.head_bytes()
        && method.len() <= METHOD_MAX
        && target::bytes(target).is_ok()
        // httparse skips empty lines and takes a method at any distance.
        && base.place(method.as_bytes()) == Place::new(0, method.len());
    if !in_order {
        return unfinished(Section::Request, data, progress, limits);
    }
    if target.len() > limits.target_bytes as usize {
        return Err(Offence::TargetTooLong);
    }
    *progress = 0;
    head.load(data.get(..len).unwrap_or_default());
    let tag = Method::from_bytes(method.as_bytes());
    head.index_request(tag, base.place(method.as_bytes()), base.place(target));
    head.version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    let mut seen = Seen::default();
    seen.fields(data, base, parsed.headers, head, limits)?;
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
    let mut room = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let len = match config.parse_response_with_uninit_headers(&mut parsed, data, &mut room) {
        Ok(httparse::Status::Complete(len)) => len,
        _ => return unfinished(Section::Response, data, progress, limits),
    };
    let base = Base(data.as_ptr() as usize);
    let (Some(status), Some(minor)) = (parsed.code, parsed.version) else {
        return unfinished(Section::Response, data, progress, limits);
    };
    // The reason is what stands between the status and the first field.
    let line_end = match parsed.headers.first() {
        Some(field) => base.place(field.name.as_bytes()).start().wrapping_sub(2),
        None => len.wrapping_sub(4),
    };
    let reason = data.get("HTTP/1.1 200 ".len()..line_end).unwrap_or_default();
    let in_order = lines_are_exact(data, base, Some(line_end), parsed.headers, len)
        && parsed.headers.len() <= usize::from(limits.fields)
        && len <= limits.head_bytes()
        && status >= 100
        && data.starts_with(b"HTTP/1.");
    if !in_order {
        return unfinished(Section::Response, data, progress, limits);
    }
    *progress = 0;
    head.load(data.get(..len).unwrap_or_default());
    head.index_response(status, base.place(reason));
    head.version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    let mut seen = Seen::default();
    seen.fields(data, base, parsed.headers, head, limits)?;
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
    let mut room = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let (len, fields) = match httparse::parse_headers(data, &mut room) {
        Ok(httparse::Status::Complete((len, fields))) => (len, fields),
        _ => return unfinished(Section::Trailers, data, progress, limits),
    };
    let base = Base(data.as_ptr() as usize);
    let in_order = lines_are_exact(data, base, None, fields, len)
        && fields.len() <= usize::from(limits.fields)
        && len <= limits.head_bytes();
    if !in_order {
        return unfinished(Section::Trailers, data, progress, limits);
    }
    *progress = 0;
    head.load(data.get(..len).unwrap_or_default());
    for field in fields {
        trailer(base, field, head, limits)?;
    }
    Ok(Some(len))
}

/// Lets one trailer field through, drops it, or refuses it (RFC 9110 §6.5.1).
fn trailer(
    base: Base,
    field: &httparse::Header,
    head: &mut Head,
    limits: &Limits,
) -> Result<(), Offence> {
    let name = field.name.as_bytes();
    let known = Known::of(name);
    match known {
        Known::ContentLength
        | Known::TransferEncoding
        | Known::Host
        | Known::Connection
        | Known::Upgrade
        | Known::Te
        | Known::Trailer => return Err(Offence::TrailerForbidden),
        // What a recipient acts upon before it has seen the content must not come after it.
        _ if known.is_connection_level() || lex::is_essential(name) => {}
        _ if !limits.keep_underscores && name.contains(&b'_') => {}
        _ => head.index_field(base.place(name), base.place(field.value), known),
    }
    Ok(())
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
    let from = (*progress as usize).saturating_sub(1);
    let fresh = data.get(from..).unwrap_or_default();
    *progress = data.len() as Progress;
    if let Some(offence) = lex::first_bytes(section, within) {
        return Err(offence);
    }
    let whole =
        memchr::memmem::find(data.get(from.saturating_sub(2)..).unwrap_or_default(), END).is_some();
    let suspect = from == 0 || whole || has_bare_lf(fresh, from == 0);
    if suspect || data.len() >= limits.head_bytes() {
        if let Some(offence) = lex::first_offence(section, within, usize::from(limits.fields)) {
            return Err(offence);
        }
        if whole || data.len() >= limits.head_bytes() {
            return Err(too_long(section, within, limits));
        }
    }
    Ok(None)
}

/// Whether a line ends without CR. The first byte of `fresh` is only context unless `at_start`.
fn has_bare_lf(fresh: &[u8], at_start: bool) -> bool {
    (at_start && fresh.first() == Some(&b'\n'))
        || fresh.windows(2).any(|pair| matches!(pair, [before, b'\n'] if *before != b'\r'))
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

/// Whether every line up to the empty one ends in CR LF: httparse takes a bare LF too.
fn lines_are_exact(
    data: &[u8],
    base: Base,
    first_line_end: Option<usize>,
    fields: &Headers<'_>,
    len: usize,
) -> bool {
    let mut exact = data.get(len.wrapping_sub(4)..len) == Some(b"\r\n\r\n");
    let mut line_start = first_line_end.map_or(Some(0), |end| end.checked_add(2));
    for field in fields {
        let start = base.place(field.name.as_bytes()).start();
        exact &= start == 0 || data.get(start.wrapping_sub(2)..start) == Some(b"\r\n");
        exact &= line_start.take().is_none_or(|due| due == start);
    }
    // Without a field, the first line is the last one.
    exact && line_start.is_none_or(|due| due + 2 == len)
}

/// What one pass over the fields of a head collects.
#[derive(Default)]
struct Seen {
    facts: Facts,
    host: Option<Place>,
    coding: Option<Place>,
    upgrade: Option<Place>,
    connection: [Place; CONNECTION_LINES_MAX],
    connection_lines: usize,
    upgrade_option: bool,
    te_trailers: bool,
    expect: bool,
}

impl Seen {
    /// Sorts the fields: connection-level ones become facts, the others are indexed.
    fn fields(
        &mut self,
        data: &[u8],
        base: Base,
        fields: &Headers<'_>,
        head: &mut Head,
        limits: &Limits,
    ) -> Result<(), Offence> {
        for field in fields {
            let name = field.name.as_bytes();
            let known = Known::of(name);
            // A name with `_` is another name in CGI's eyes; it never speaks for the known one.
            if name.contains(&b'_') && (!limits.keep_underscores || known.is_connection_level()) {
                continue;
            }
            if known.is_connection_level() {
                self.connection_level(base, known, field.value, head.is_request())?;
            } else {
                head.index_field(base.place(name), base.place(field.value), known);
            }
        }
        self.connection_options(data, head)
    }

    fn connection_level(
        &mut self,
        base: Base,
        known: Known,
        value: &[u8],
        request: bool,
    ) -> Result<(), Offence> {
        match known {
            Known::Host if request => {
                if self.host.replace(base.place(value)).is_some() {
                    return Err(Offence::HostDuplicate);
                }
            }
            Known::ContentLength => {
                if self.facts.length.is_some() {
                    return Err(Offence::LengthDuplicate);
                }
                self.facts.length = Some(length(value)?);
            }
            Known::TransferEncoding => {
                if self.coding.replace(base.place(value)).is_some() {
                    return Err(Offence::CodingDuplicate);
                }
                self.facts.chunked = true;
            }
            Known::Connection => {
                let slot = self.connection.get_mut(self.connection_lines);
                *slot.ok_or(Offence::ConnectionTooMany)? = base.place(value);
                self.connection_lines += 1;
            }
            Known::Upgrade => self.upgrade = self.upgrade.or(Some(base.place(value))),
            Known::Expect if request => {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(Offence::ExpectUnknown);
                }
                self.expect = true;
            }
            Known::Te => {
                self.te_trailers |= value
                    .split(|byte| *byte == b',')
                    .any(|coding| lex::trim(coding).eq_ignore_ascii_case(b"trailers"));
            }
            // Keep-Alive, Proxy-…, HTTP2-Settings: for the last hop only.
            _ => {}
        }
        Ok(())
    }

    /// Reads `Connection` and takes out what it nominates.
    fn connection_options(&mut self, data: &[u8], head: &mut Head) -> Result<(), Offence> {
        let mut options = 0;
        let lines = self.connection;
        for place in lines.iter().take(self.connection_lines) {
            lex::tokens(place.of(data), Offence::ConnectionInvalid, |option| {
                options += 1;
                if options > CONNECTION_OPTIONS_MAX {
                    return Err(Offence::ConnectionTooMany);
                }
                if option.eq_ignore_ascii_case(b"close") {
                    self.facts.close = true;
                } else if option.eq_ignore_ascii_case(b"keep-alive") {
                    self.facts.keep_alive = true;
                } else if option.eq_ignore_ascii_case(b"upgrade") {
                    self.upgrade_option = true;
                } else if lex::is_essential(option) {
                    return Err(Offence::ConnectionNominates);
                } else {
                    head.remove(option);
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// The framing fields of any message against each other (RFC 9112 §6.3).
    fn framing(&mut self, head: &Head) -> Result<(), Offence> {
        let Some(coding) = self.coding else {
            return Ok(());
        };
        if self.facts.length.is_some() {
            return Err(Offence::LengthWithCoding);
        }
        if head.version == Version::Http10 {
            return Err(Offence::CodingInVersion10);
        }
        codings(head.at(coding))
    }

    fn check_request(
        &mut self,
        head: &mut Head,
        limits: &Limits,
        target: &[u8],
    ) -> Result<(), Offence> {
        self.framing(head)?;
        self.authority(head, target)?;
        head.body = match (self.facts.chunked, self.facts.length) {
            (true, _) => BodySize::Streamed,
            (false, Some(length)) => BodySize::Exact(length),
            (false, None) => BodySize::None,
        };
        let has_content = !matches!(head.body, BodySize::None | BodySize::Exact(0));
        match head.method() {
            Method::Trace if has_content => return Err(Offence::TraceWithContent),
            Method::Connect if has_content => return Err(Offence::ConnectWithContent),
            Method::Connect if !limits.allow_connect => return Err(Offence::ConnectRefused),
            _ => {}
        }
        let modern = head.version == Version::Http11;
        head.expect_continue = self.expect && has_content && modern;
        head.accepts_trailers = self.te_trailers && modern;
        // An offer with content could be switched in the middle of it; it may be ignored, so it is
        // (RFC 9110 §7.8). So is an offer over HTTP/1.0, and one that isn't named in Connection.
        match self.upgrade {
            Some(place) if self.upgrade_option && modern && !has_content => {
                let offered = offer(head.at(place))?;
                let offered = offered.map_or(Place::EMPTY, |offset| place.part(offset));
                head.index_upgrade(offered);
            }
            _ => {}
        }
        Ok(())
    }

    /// Makes one authority of target and Host (RFC 9112 §3.2).
    fn authority(&self, head: &mut Head, target: &[u8]) -> Result<(), Offence> {
        let form = target::form(head.method(), target)?;
        let named = match self.host {
            Some(place) if !target::host(head.at(place), false) => {
                return Err(Offence::HostInvalid);
            }
            None if head.version == Version::Http11 => return Err(Offence::HostMissing),
            named => named,
        };
        let (authority, default_port) = match form {
            Form::Origin | Form::Asterisk => {
                head.index_authority(named.unwrap_or_default());
                return Ok(());
            }
            Form::Authority => (target, &b":443"[..]),
            Form::Absolute { authority, default_port, .. } => (authority, default_port),
        };
        let mismatch = named
            .is_some_and(|place| !target::same_authority(authority, head.at(place), default_port));
        if mismatch {
            return Err(Offence::HostMismatch);
        }
        let authority = head.keep(authority);
        head.index_authority(authority);
        if let Form::Absolute { rest, .. } = form {
            let target = match (rest, head.method()) {
                ([], Method::Options) => head.keep(b"*"),
                ([b'/', ..], _) => head.keep(rest),
                _ => {
                    let slash = head.keep(b"/");
                    let rest = head.keep(rest);
                    slash.through(rest)
                }
            };
            head.index_target(target);
        }
        Ok(())
    }

    fn check_response(&mut self, head: &mut Head) -> Result<(), Offence> {
        self.framing(head)?;
        let bodiless = matches!(head.status(), 100..=199 | 204);
        if bodiless && self.facts.chunked {
            return Err(Offence::CodingOnBodiless);
        }
        if bodiless && self.facts.length.is_some_and(|length| length > 0) {
            return Err(Offence::LengthOnBodiless);
        }
        head.accepts_trailers = false;
        if let (101 | 426, Some(place), true) = (head.status(), self.upgrade, self.upgrade_option) {
            head.index_upgrade(place);
        }
        Ok(())
    }
}

/// A `Content-Length` (RFC 9110 §8.6), below 2^63 because many recipients count signed.
fn length(value: &[u8]) -> Result<u64, Offence> {
    if memchr::memchr(b',', value).is_some() {
        return Err(Offence::LengthDuplicate);
    }
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Offence::LengthInvalid);
    }
    crate::base::ascii::parse_decimal(value)
        .filter(|length| *length <= i64::MAX as u64)
        .ok_or(Offence::LengthOverflow)
}

/// Accepts the one coding we speak: `chunked`, alone (RFC 9112 §6.1).
fn codings(value: &[u8]) -> Result<(), Offence> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let (mut count, mut chunked, mut last) = (0u32, 0u32, false);
    for coding in value.split(|byte| *byte == b',') {
        let coding = lex::trim(coding);
        let name = coding.split(|byte| *byte == b';').next().unwrap_or_default();
        if name.is_empty() || !lex::trim(name).iter().all(|b| crate::msg::is_token_byte(*b)) {
            return Err(Offence::CodingInvalid);
        }
        count += 1;
        last = coding.eq_ignore_ascii_case(b"chunked");
        chunked += u32::from(last);
    }
    match (count, chunked, last) {
        (_, 2.., _) => Err(Offence::CodingRepeated),
        (_, 1, false) => Err(Offence::CodingNotFinal),
        _ => Err(Offence::CodingUnknown),
    }
}

/// The first protocol in an `Upgrade` that may be passed on, as an offset and length in it; `None`
/// when only versions of HTTP are offered, which would let a client speak past this proxy.
fn offer(value: &[u8]) -> Result<Option<Place>, Offence> {
    let mut chosen = None;
    let mut start = 0;
    for element in value.split(|byte| *byte == b',') {
        let name = lex::trim(element);
        let (protocol, version) = match memchr::memchr(b'/', name) {
            Some(at) => {
                let (protocol, version) = name.split_at_checked(at).unwrap_or_default();
                (protocol, version.get(1..).unwrap_or_default())
            }
            None => (name, &b"1"[..]),
        };
        let token =
            |text: &[u8]| !text.is_empty() && text.iter().all(|b| crate::msg::is_token_byte(*b));
        if !name.is_empty() && !(token(protocol) && token(version)) {
            return Err(Offence::UpgradeInvalid);
        }
        let http = [&b"h2c"[..], b"h2", b"http", b"tls"]
            .iter()
            .any(|own| protocol.eq_ignore_ascii_case(own));
        if !name.is_empty() && !http && chosen.is_none() {
            let lead = element.len() - trim_start(element).len();
            chosen = Some(Place::new(start + lead, name.len()));
        }
        start += element.len() + 1;
    }
    Ok(chosen)
}

fn trim_start(text: &[u8]) -> &[u8] {
    let mut text = text;
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}
