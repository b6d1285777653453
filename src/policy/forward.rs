//! What a backend is told about the client, and what a client is not believed.
//!
//! From a peer that isn't trusted every field by which a proxy speaks (`Forwarded`, `X-Forwarded-*`,
//! `X-Real-IP`, `X-Request-Id`, the configured identity fields) is removed in every spelling and
//! made anew. From a trusted one the client is the rightmost address that isn't a trusted proxy's;
//! what stands to the left of it is dropped as hearsay, and all fields tell the same story.
//!
//! Not here: whom to route where. Decisions use the socket's peer, never a field.
//!
//! Invariants: no allocation once the head's block has grown; a field that can't be written (too
//! long, bad bytes) is left out, never half written and never left as the client sent it.

use super::chain::{self, Chain, Text};
use super::request_id::{self, RequestId};
use crate::msg::{Head, Known};
use ipnet::IpNet;
use std::net::IpAddr;

/// How this proxy calls itself in `Via`.
pub const VIA: &str = "cloudcup";

/// What a route wants to be told, resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Forwarding {
    /// Fields by which a backend learns who the user is (say `X-Remote-User`): only a trusted peer may
    /// send them.
    pub identity_fields: Vec<String>,
    /// Names with `_` pass. By default they are dropped: to many backends `_` and `-` are one.
    pub keep_underscores: bool,
}

/// What is known about a request from its connection.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The peer of the socket (after a PROXY header); `None` for a unix socket.
    pub peer: Option<IpAddr>,
    /// The connection is encrypted.
    pub secure: bool,
    /// The listener's trusted proxies.
    pub trusted_proxies: &'a [IpNet],
    /// The name to give the request unless a trusted peer has named it.
    pub request_id: RequestId,
}

/// Edits the head of a request on its way to a backend. Returns the client's address, for the record.
pub fn apply_request(head: &mut Head, facts: &Facts<'_>, rules: &Forwarding) -> Option<IpAddr> {
    let trusted = facts.peer.is_some_and(|peer| chain::is_trusted(peer, facts.trusted_proxies));
    strip(head, trusted, rules);
    let mut hops = Chain::of_peer(facts.peer);
    let mut secure = facts.secure;
    if trusted {
        follow(head, &mut hops, facts.trusted_proxies);
        secure = told_scheme(head).unwrap_or(secure);
    }
    if trusted {
        tell_addresses(head, &hops);
        tell_origin(head, &hops, secure, trusted);
    } else {
        tell_alone(head, hops.client(), secure);
    }
    let told = head.get_known(Known::XRequestId);
    if !(trusted && told.is_some_and(request_id::is_acceptable)) {
        replace(head, Known::XRequestId, &[facts.request_id.as_bytes()]);
    }
    add_via(head);
    hops.client()
}

/// Edits the head of a response on its way to a client.
pub fn apply_response(head: &mut Head) {
    add_via(head);
}

/// Drops what the peer may not say.
fn strip(head: &mut Head, trusted: bool, rules: &Forwarding) {
    head.retain(|field| {
        if field.known.is_forwarding() {
            return trusted && !field.name.contains(&b'_');
        }
        if field.known == Known::Other {
            if !rules.keep_underscores && memchr::memchr(b'_', field.name).is_some() {
                return false;
            }
            if !trusted && is_x_forwarded(field.name) {
                return false;
            }
        } else if !rules.keep_underscores && memchr::memchr(b'_', field.name).is_some() {
            return false;
        }
        trusted || !rules.identity_fields.iter().any(|name| same_name(name.as_bytes(), field.name))
    });
}

/// `X-Forwarded-` and anything, in any case and with `_` for `-`.
fn is_x_forwarded(name: &[u8]) -> bool {
    name.get(..12).is_some_and(|start| same_name(b"x-forwarded-", start))
}

fn same_name(ours: &[u8], theirs: &[u8]) -> bool {
    let fold = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    ours.len() == theirs.len() && ours.iter().map(fold).eq(theirs.iter().map(fold))
}

/// Follows the addresses that trusted proxies have noted.
fn follow(head: &mut Head, hops: &mut Chain, trusted: &[IpNet]) {
    let known = match head.get_known(Known::XForwardedFor) {
        Some(_) => Known::XForwardedFor,
        None => Known::Forwarded,
    };
    // Several fields are one list; an element is appended to have them joined, then left out.
    if head.fields().filter(|field| field.known == known).count() > 1
        && head.extend_list(known, &[b""]).is_err()
    {
        return;
    }
    let Some(value) = head.get_known(known) else { return };
    match known {
        Known::XForwardedFor => hops.follow(chain::plain_from_the_right(value), trusted),
        _ => hops.follow(chain::forwarded_from_the_right(value), trusted),
    }
}

/// The scheme that a trusted proxy saw, if it says so clearly.
fn told_scheme(head: &Head) -> Option<bool> {
    match head.get_known(Known::XForwardedProto)? {
        value if value.eq_ignore_ascii_case(b"https") => Some(true),
        value if value.eq_ignore_ascii_case(b"http") => Some(false),
        _ => None,
    }
}

fn tell_addresses(head: &mut Head, hops: &Chain) {
    let mut list = Text::<768>::new();
    for hop in hops.from_the_client() {
        if !list.as_bytes().is_empty() {
            list.push(b", ");
        }
        list.push_address(hop);
    }
    let mut client = Text::<48>::new();
    if let Some(address) = hops.client() {
        client.push_address(address);
    }
    for (known, value) in
        [(Known::XForwardedFor, list.as_bytes()), (Known::XRealIp, client.as_bytes())]
    {
        if value.is_empty() {
            head.remove_known(known);
        } else {
            replace(head, known, &[value]);
        }
    }
}

/// All that [`tell_addresses`] and [`tell_origin`] tell, for a peer whose own fields were dropped: with
/// one hop and nothing to replace, the usual case needs no list and no search.
fn tell_alone(head: &mut Head, client: Option<IpAddr>, secure: bool) {
    let mut address = Text::<48>::new();
    if let Some(client) = client {
        address.push_address(client);
        add(head, Known::XForwardedFor, &[address.as_bytes()]);
        add(head, Known::XRealIp, &[address.as_bytes()]);
    }
    let scheme: &[u8] = if secure { b"https" } else { b"http" };
    add(head, Known::XForwardedProto, &[scheme]);
    let mut host = Text::<256>::new();
    host.push(head.authority());
    let (address, host) = (address.as_bytes(), host.as_bytes());
    if !host.is_empty() {
        add(head, Known::XForwardedHost, &[host]);
    }
    let (open, close): (&[u8], &[u8]) = match client {
        None => (b"for=unknown", b""),
        Some(client) if client.is_ipv6() => (b"for=\"[", b"]\""),
        Some(_) => (b"for=", b""),
    };
    if is_host(host) {
        let parts = [open, address, close, b";host=\"", host, b"\";proto=", scheme];
        add(head, Known::Forwarded, &parts);
    } else {
        add(head, Known::Forwarded, &[open, address, close, b";proto=", scheme]);
    }
}

/// One field of a tag of which there is none; left out if the value can't be written.
fn add(head: &mut Head, known: Known, parts: &[&[u8]]) {
    let _ = head.push_known(known, parts);
}

/// Host, scheme and the standard's field, which says it all once more.
fn tell_origin(head: &mut Head, hops: &Chain, secure: bool, trusted: bool) {
    let scheme: &[u8] = if secure { b"https" } else { b"http" };
    replace(head, Known::XForwardedProto, &[scheme]);
    let mut host = Text::<256>::new();
    let told = head.get_known(Known::XForwardedHost).filter(|told| trusted && is_host(told));
    if !host.push(told.unwrap_or(head.authority())) {
        host = Text::new();
    }
    if host.as_bytes().is_empty() {
        head.remove_known(Known::XForwardedHost);
    } else {
        replace(head, Known::XForwardedHost, &[host.as_bytes()]);
    }
    let mut text = Text::<1536>::new();
    for hop in hops.from_the_client() {
        if !text.as_bytes().is_empty() {
            text.push(b", ");
        }
        let quoted = hop.is_ipv6();
        text.push(if quoted { b"for=\"[" } else { b"for=" });
        text.push_address(hop);
        text.push(if quoted { b"]\"" } else { b"" });
        if hops.client() == Some(hop) && !text.as_bytes().contains(&b';') {
            describe(&mut text, host.as_bytes(), scheme);
        }
    }
    if text.as_bytes().is_empty() {
        text.push(b"for=unknown");
        describe(&mut text, host.as_bytes(), scheme);
    }
    replace(head, Known::Forwarded, &[text.as_bytes()]);
}

fn describe(text: &mut Text<1536>, host: &[u8], scheme: &[u8]) {
    if is_host(host) {
        text.push(b";host=\"");
        text.push(host);
        text.push(b"\"");
    }
    text.push(b";proto=");
    text.push(scheme);
}

/// Whether the bytes can only be one host, with or without a port.
fn is_host(text: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:[]%~!$&'*+=".contains(byte);
    !text.is_empty() && text.len() <= 255 && text.iter().all(plain)
}

/// One field of this tag, or none if the value can't be written.
fn replace(head: &mut Head, known: Known, parts: &[&[u8]]) {
    if head.set_known(known, parts).is_err() {
        head.remove_known(known);
    }
}

fn add_via(head: &mut Head) {
    let version = head.version.text();
    // The value is fixed text: it can't be refused.
    let _ = head.push_known(Known::Via, &[version.as_bytes(), b" ", VIA.as_bytes()]);
}

#[cfg(test)]
#[path = "forward_tests.rs"]
mod tests;
