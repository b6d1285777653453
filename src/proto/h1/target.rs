//! Request targets and `Host` (RFC 9112 §3.2, RFC 9110 §4.2 and §7.2).
//!
//! What it is: the rules by which a target and a Host become one authority and one path that all
//! rooms and all backends read alike.
//!
//! What it is not: a URI library. Paths are not decoded or normalised here.

use super::Offence;
use crate::msg::Method;

/// The forms of a target, with what they hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form<'a> {
    /// `/path?query`: as it is.
    Origin,
    /// `http://authority/path?query`: the rest after the authority, perhaps empty or only `?query`.
    Absolute { authority: &'a [u8], rest: &'a [u8], default_port: &'static [u8] },
    /// `host:port`, for CONNECT.
    Authority,
    /// `*`, for OPTIONS.
    Asterisk,
}

/// How a byte may stand in a target: 0 anywhere, 1 never, 2 fragment mark, 3 only in a query.
static BYTES: [u8; 256] = {
    let mut table = [1u8; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        // Bounds: below 0x7f, and computed while compiling.
        table[byte as usize] = match byte {
            b'"' | b'<' | b'>' => 1,
            b'#' => 2,
            b'\\' => 3,
            _ => 0,
        };
        byte += 1;
    }
    table
};

#[inline]
fn class(byte: u8) -> u8 {
    BYTES.get(usize::from(byte)).copied().unwrap_or(1)
}

/// Checks every byte of a target.
///
/// Browsers leave some bytes unescaped that RFC 3986 excludes (`|`, `^`, `{`, `}`, `[`, `]`, `` ` ``,
/// and `\` in a query); those are let through, because no recipient reads them as a boundary.
///
/// # Errors
/// [`Offence::TargetInvalid`], [`Offence::TargetFragment`].
pub(super) fn bytes(target: &[u8]) -> Result<(), Offence> {
    if target.iter().fold(0, |seen, byte| seen | class(*byte)) == 0 {
        return Ok(());
    }
    let mut in_query = false;
    for byte in target {
        match class(*byte) {
            1 => return Err(Offence::TargetInvalid),
            2 => return Err(Offence::TargetFragment),
            3 if !in_query => return Err(Offence::TargetInvalid),
            _ => in_query |= *byte == b'?',
        }
    }
    Ok(())
}

/// Tells the form of a target whose bytes are in order.
///
/// # Errors
/// [`Offence::TargetForm`], [`Offence::TargetScheme`], [`Offence::TargetUserInfo`],
/// [`Offence::HostInvalid`].
pub(super) fn form(method: Method, target: &[u8]) -> Result<Form<'_>, Offence> {
    match (method, target) {
        (Method::Connect, _) => match host(target, true) {
            true => Ok(Form::Authority),
            false => Err(Offence::TargetForm),
        },
        (_, [b'/', ..]) => Ok(Form::Origin),
        (Method::Options, b"*") => Ok(Form::Asterisk),
        _ => absolute(target),
    }
}

fn absolute(target: &[u8]) -> Result<Form<'_>, Offence> {
    let colon = memchr::memchr(b':', target).ok_or(Offence::TargetForm)?;
    let (scheme, rest) = target.split_at_checked(colon).ok_or(Offence::TargetForm)?;
    let Some(rest) = rest.strip_prefix(b"://") else {
        return Err(Offence::TargetForm);
    };
    let default_port: &[u8] = match scheme {
        _ if scheme.eq_ignore_ascii_case(b"http") => b":80",
        _ if scheme.eq_ignore_ascii_case(b"https") => b":443",
        _ => return Err(Offence::TargetScheme),
    };
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at_checked(end).ok_or(Offence::TargetForm)?;
    if memchr::memchr(b'@', authority).is_some() {
        return Err(Offence::TargetUserInfo);
    }
    match host(authority, false) {
        true => Ok(Form::Absolute { authority, rest, default_port }),
        false => Err(Offence::HostInvalid),
    }
}

/// Whether `text` is a host and perhaps a port, as `Host` may say it: a name of letters, digits,
/// `-`, `.`, `_` and `~`, an IPv4 address or an IPv6 address in brackets; the port decimal, at most
/// 65535, and there when `port_due`. Registered names with escapes or sub-delimiters (RFC 3986)
/// name no host on the Internet and are refused.
pub(super) fn host(text: &[u8], port_due: bool) -> bool {
    let port = match text {
        [b'[', rest @ ..] => {
            let Some(end) = memchr::memchr(b']', rest) else {
                return false;
            };
            let (address, rest) = rest.split_at_checked(end).unwrap_or_default();
            let v6 = std::str::from_utf8(address)
                .ok()
                .is_some_and(|text| text.parse::<core::net::Ipv6Addr>().is_ok());
            if !v6 {
                return false;
            }
            rest.get(1..).unwrap_or_default()
        }
        _ => {
            let end = text
                .iter()
                .position(|byte| {
                    !(byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'))
                })
                .unwrap_or(text.len());
            if end == 0 {
                return false;
            }
            text.get(end..).unwrap_or_default()
        }
    };
    match port {
        [] => !port_due,
        [b':'] => !port_due,
        [b':', digits @ ..] => {
            digits.len() <= 5
                && digits.iter().all(u8::is_ascii_digit)
                && digits.iter().fold(0u32, |n, d| n * 10 + u32::from(d - b'0')) <= 65535
        }
        _ => false,
    }
}

/// Whether two valid authorities are the same but for case, and for a port that is empty or
/// `default_port` (with its colon) in one of them.
pub(super) fn same_authority(a: &[u8], b: &[u8], default_port: &[u8]) -> bool {
    without_port(a, default_port).eq_ignore_ascii_case(without_port(b, default_port))
}

fn without_port<'a>(text: &'a [u8], default_port: &[u8]) -> &'a [u8] {
    [default_port, b":"]
        .iter()
        .find_map(|port| text.strip_suffix(*port).filter(|rest| host(rest, false)))
        .unwrap_or(text)
}
