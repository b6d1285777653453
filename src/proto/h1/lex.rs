//! The slow, exact reading of a head, line by line: it names the first thing that is wrong.
//!
//! What it is: the second opinion. `parse` takes a head in with a fast parser that is lenient in
//! places and says little; whenever that parser balks, or a check behind it does, this reading
//! decides what the offence is. Verdicts come from whole lines only, first line first, so that
//! they don't depend on how the bytes were split on the way.
//!
//! What it is not: on the path of a proper message. A fuzz target holds it and the fast parser
//! to the same verdict on every input.

use super::Offence;
use super::target;
use crate::msg::{Known, is_token_byte, is_value_byte};

/// What kind of section the lines are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Request,
    Response,
    Trailers,
}

/// Longest method that is read, in bytes.
pub(super) const METHOD_MAX: usize = 32;

/// The first offence in the whole lines of `data`, with at most `fields_max` fields; `None` when
/// they are in order as far as they go. Lines that end within the first `seen` bytes were in order
/// before and aren't read again. Reads up to the empty line that ends the section.
pub(super) fn first_offence(
    section: Section,
    data: &[u8],
    seen: usize,
    fields_max: usize,
) -> Option<Offence> {
    let before = data.get(..seen).unwrap_or(data);
    let mut rest = data.get(memchr::memrchr(b'\n', before).map_or(0, |at| at + 1)..)?;
    let lines = memchr::memchr_iter(b'\n', before).count();
    let mut start_line_due = section != Section::Trailers && lines == 0;
    let mut fields = lines.saturating_sub(usize::from(section != Section::Trailers));
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let (line, after) = rest.split_at_checked(end + 1)?;
        rest = after;
        let Some(line) = line.strip_suffix(b"\r\n") else {
            return Some(Offence::BareLf);
        };
        if memchr::memchr(b'\r', line).is_some() {
            return Some(Offence::BareCr);
        }
        let verdict = match (start_line_due, section) {
            (true, Section::Request) => request_line(line),
            (true, _) => status_line(line),
            (false, _) if line.is_empty() => return None,
            (false, _) => {
                fields += 1;
                field_line(line, fields == 1 && section != Section::Trailers).and_then(|()| {
                    match fields > fields_max {
                        true => Err(Offence::FieldsTooMany),
                        false => Ok(()),
                    }
                })
            }
        };
        start_line_due = false;
        if let Err(offence) = verdict {
            return Some(offence);
        }
    }
    None
}

/// What the first bytes alone give away, without waiting for the end of the line.
pub(super) fn first_bytes(section: Section, data: &[u8]) -> Option<Offence> {
    match (section, data) {
        (Section::Request, [0x16, ..]) => Some(Offence::TlsHandshake),
        (Section::Request, [first, ..])
            if !is_token_byte(*first) && !matches!(first, b'\r' | b'\n') =>
        {
            Some(Offence::MethodInvalid)
        }
        (Section::Response, _) => {
            let wrong = data.iter().zip(b"HTTP/").any(|(got, due)| got != due);
            wrong.then_some(Offence::StatusLineMalformed)
        }
        _ => None,
    }
}

fn request_line(line: &[u8]) -> Result<(), Offence> {
    if line.is_empty() {
        return Err(Offence::BlankLines);
    }
    if line == b"PRI * HTTP/2.0" {
        return Err(Offence::Http2Preface);
    }
    let mut words = line.split(|byte| *byte == b' ');
    let method = words.next().unwrap_or_default();
    if method.is_empty() || !method.iter().all(|byte| is_token_byte(*byte)) {
        return Err(Offence::MethodInvalid);
    }
    if method.len() > METHOD_MAX {
        return Err(Offence::MethodTooLong);
    }
    let (target, version) = match (words.next(), words.next(), words.next()) {
        (Some(target), Some(version), None) if !target.is_empty() => (target, version),
        (Some(target), None, None) if !target.is_empty() => {
            target::bytes(target)?;
            return Err(Offence::VersionMissing);
        }
        _ => return Err(Offence::RequestLineMalformed),
    };
    target::bytes(target)?;
    self::version(version)
}

fn version(word: &[u8]) -> Result<(), Offence> {
    match word {
        b"HTTP/1.1" | b"HTTP/1.0" => Ok(()),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(Offence::VersionUnsupported)
        }
        _ => Err(Offence::VersionInvalid),
    }
}

fn status_line(line: &[u8]) -> Result<(), Offence> {
    let Some((version, rest)) = line.split_at_checked(8) else {
        return Err(Offence::StatusLineMalformed);
    };
    self::version(version).map_err(|offence| match offence {
        Offence::VersionInvalid => Offence::StatusLineMalformed,
        other => other,
    })?;
    let (status, reason) = match rest {
        [b' ', a, b, c] => ([*a, *b, *c], &[][..]),
        [b' ', a, b, c, b' ', reason @ ..] => ([*a, *b, *c], reason),
        _ => return Err(Offence::StatusLineMalformed),
    };
    if !status.iter().all(u8::is_ascii_digit) || status.first() == Some(&b'0') {
        return Err(Offence::StatusInvalid);
    }
    match reason.iter().all(|byte| is_value_byte(*byte)) {
        true => Ok(()),
        false => Err(Offence::ControlByte),
    }
}

fn field_line(line: &[u8], first: bool) -> Result<(), Offence> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(if first { Offence::LeadingSpace } else { Offence::ObsFold });
    }
    let Some(colon) = memchr::memchr(b':', line) else {
        return Err(Offence::ColonMissing);
    };
    let (name, value) = line.split_at_checked(colon).unwrap_or_default();
    let value = value.get(1..).unwrap_or_default();
    if name.is_empty() {
        return Err(Offence::FieldNameEmpty);
    }
    if matches!(name.last(), Some(b' ' | b'\t')) {
        return Err(Offence::SpaceBeforeColon);
    }
    if !name.iter().all(|byte| is_token_byte(*byte)) {
        return Err(Offence::FieldNameInvalid);
    }
    match value.iter().all(|byte| is_value_byte(*byte)) {
        true => Ok(()),
        false => Err(Offence::ControlByte),
    }
}

/// A list of tokens separated by commas with optional white space, empty elements allowed
/// (RFC 9110 §5.6.1). Calls `each` for every token.
///
/// # Errors
/// `broken` when an element is no token; or what `each` returns.
pub(super) fn tokens(
    list: &[u8],
    broken: Offence,
    mut each: impl FnMut(&[u8]) -> Result<(), Offence>,
) -> Result<(), Offence> {
    for element in list.split(|byte| *byte == b',') {
        let element = trim(element);
        if element.is_empty() {
            continue;
        }
        if !element.iter().all(|byte| is_token_byte(*byte)) {
            return Err(broken);
        }
        each(element)?;
    }
    Ok(())
}

/// `text` without spaces and tabs at its ends.
pub(super) fn trim(text: &[u8]) -> &[u8] {
    let mut text = trim_start(text);
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// `text` without spaces and tabs at its start.
pub(super) fn trim_start(text: &[u8]) -> &[u8] {
    let mut text = text;
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}

/// Whether a `Connection` option nominates a field that is meant for every recipient, so that
/// taking it out would change the message (RFC 9110 §7.6.1).
pub(super) fn is_essential(option: &[u8]) -> bool {
    let known = Known::of(option);
    known.is_forwarding()
        || matches!(
            known,
            Known::Authorization
                | Known::CacheControl
                | Known::ContentEncoding
                | Known::ContentLength
                | Known::ContentRange
                | Known::ContentType
                | Known::Cookie
                | Known::Date
                | Known::Expect
                | Known::Host
                | Known::Location
                | Known::SetCookie
                | Known::TransferEncoding
                | Known::Via
        )
}
