//! What the fields of a head say about the connection and the content, and whether they agree.
//!
//! What it is: one pass that turns connection-level fields into facts and indexes the others, then
//! the rules of RFC 9112 §3.2, §6 and §9 over what was seen.
//!
//! What it is not: a reader of lines; those come from `parse`.
//!
//! Invariant: every field that frames, routes or keeps a message is read here or dropped here.

use super::parse::{Field, Whole};
use super::target::{self, Form};
use super::{Limits, Offence, lex};
use crate::msg::{BodySize, Head, Known, Method, Place, Version, is_token_byte};

/// Most `Connection` lines, and options in all of them.
const CONNECTION_LINES_MAX: usize = 4;
const CONNECTION_OPTIONS_MAX: usize = 16;

/// What the connection-level fields of a head said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    /// Content is chunked.
    pub(super) chunked: bool,
    pub(super) length: Option<u64>,
}

/// What one pass over the fields of a head collects.
#[derive(Default)]
pub(super) struct Seen {
    request: bool,
    pub(super) facts: Facts,
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
    pub(super) fn of_request() -> Seen {
        Seen { request: true, ..Seen::default() }
    }

    pub(super) fn of_response() -> Seen {
        Seen::default()
    }

    /// Sorts the fields: connection-level ones become facts, the others are indexed in `head`, which
    /// is cleared first.
    #[inline]
    pub(super) fn fields(
        &mut self,
        whole: &Whole<'_>,
        fields: &[httparse::Header<'_>],
        head: &mut Head,
        limits: &Limits,
    ) -> Result<(), Offence> {
        head.clear();
        for line in fields {
            let field = whole.field(line);
            let known = match field.underscore {
                false => Known::of_dashed(field.name),
                // A name with `_` is another name in CGI's eyes; it never speaks for the known one.
                true => match Known::of(field.name) {
                    known if limits.keep_underscores && !known.is_connection_level() => known,
                    _ => continue,
                },
            };
            match known.is_connection_level() {
                true => self.connection_level(known, field)?,
                false => field.index(known, head),
            }
        }
        Ok(())
    }

    fn connection_level(&mut self, known: Known, field: Field<'_>) -> Result<(), Offence> {
        let (value, place) = (field.value, field.place());
        match known {
            Known::Host if self.request => {
                if self.host.replace(place).is_some() {
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
                if self.coding.replace(place).is_some() {
                    return Err(Offence::CodingDuplicate);
                }
                self.facts.chunked = true;
            }
            Known::Connection => {
                let slot = self.connection.get_mut(self.connection_lines);
                *slot.ok_or(Offence::ConnectionTooMany)? = place;
                self.connection_lines += 1;
            }
            Known::Upgrade => self.upgrade = self.upgrade.or(Some(place)),
            Known::Expect if self.request => {
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
    pub(super) fn connection_options(
        &mut self,
        data: &[u8],
        head: &mut Head,
    ) -> Result<(), Offence> {
        let mut options = 0;
        let lines = self.connection;
        for place in lines.iter().take(self.connection_lines) {
            if place.of(data).eq_ignore_ascii_case(b"keep-alive") {
                self.facts.keep_alive = true;
                continue;
            }
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

    pub(super) fn check_request(
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

    pub(super) fn check_response(&mut self, head: &mut Head) -> Result<(), Offence> {
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
        if name.is_empty() || !lex::trim(name).iter().all(|b| is_token_byte(*b)) {
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
        let token = |text: &[u8]| !text.is_empty() && text.iter().all(|b| is_token_byte(*b));
        if !name.is_empty() && !(token(protocol) && token(version)) {
            return Err(Offence::UpgradeInvalid);
        }
        let http = [&b"h2c"[..], b"h2", b"http", b"tls"]
            .iter()
            .any(|own| protocol.eq_ignore_ascii_case(own));
        if !name.is_empty() && !http && chosen.is_none() {
            let lead = element.len() - lex::trim_start(element).len();
            chosen = Some(Place::new(start + lead, name.len()));
        }
        start += element.len() + 1;
    }
    Ok(chosen)
}
