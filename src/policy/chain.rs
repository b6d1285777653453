//! The way of a request through trusted proxies, read from `X-Forwarded-For` or `Forwarded`.
//!
//! Read from the right, because each trusted proxy vouches for what it appended and for nothing to
//! the left of it: the first address that is no trusted proxy's is the client, and all before it is
//! hearsay.

use ipnet::IpNet;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Most hops that are read; whoever needs more trusts too many.
const HOPS_MAX: usize = 16;

/// The client and the proxies behind it, rightmost (the peer of our socket) first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    hops: [IpAddr; HOPS_MAX],
    len: usize,
}

impl Chain {
    /// Only the peer.
    pub(super) fn of_peer(peer: Option<IpAddr>) -> Chain {
        let mut chain = Chain { hops: [IpAddr::V4(Ipv4Addr::UNSPECIFIED); HOPS_MAX], len: 0 };
        if let Some(peer) = peer {
            chain.push(peer);
        }
        chain
    }

    /// Extends the chain with addresses from right to left, up to the first that isn't trusted. An
    /// element that is no address ends it: what a proxy won't name can't be followed.
    pub(super) fn follow(
        &mut self,
        from_the_right: impl Iterator<Item = Option<IpAddr>>,
        trusted: &[IpNet],
    ) {
        for hop in from_the_right {
            let Some(hop) = hop else { return };
            if !self.push(hop) || !is_trusted(hop, trusted) {
                return;
            }
        }
    }

    fn push(&mut self, hop: IpAddr) -> bool {
        let Some(place) = self.hops.get_mut(self.len) else { return false };
        *place = hop.to_canonical();
        self.len += 1;
        true
    }

    /// The client: the leftmost hop that somebody trusted vouches for.
    pub(super) fn client(&self) -> Option<IpAddr> {
        self.hops.get(self.len.checked_sub(1)?).copied()
    }

    /// From the client to the peer.
    pub(super) fn from_the_client(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.hops.iter().take(self.len).rev().copied()
    }
}

/// Whether one of the nets holds the address; an IPv4 address in IPv6 clothes counts as IPv4.
pub(super) fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|net| net.contains(&address))
}

/// The elements of an `X-Forwarded-For` value, from the right.
pub(super) fn plain_from_the_right(value: &[u8]) -> impl Iterator<Item = Option<IpAddr>> + '_ {
    value.rsplit(|byte| *byte == b',').filter(|e| !e.trim_ascii().is_empty()).map(address)
}

/// The `for=` of each element of a `Forwarded` value (RFC 7239), from the right. At most the last
/// [`HOPS_MAX`] elements; malformed ones, and those without `for`, give `None`.
pub(super) fn forwarded_from_the_right(
    value: &[u8],
) -> impl Iterator<Item = Option<IpAddr>> + use<> {
    let mut last = [None; HOPS_MAX];
    let mut count = 0usize;
    let mut rest = value;
    while !rest.is_empty() {
        let end = unquoted(rest, b',').unwrap_or(rest.len());
        let (element, tail) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        if !element.trim_ascii().is_empty() {
            if let Some(place) = last.get_mut(count % HOPS_MAX) {
                *place = forwarded_for(element);
            }
            count += 1;
        }
        rest = tail.get(1..).unwrap_or_default();
    }
    (0..count.min(HOPS_MAX))
        .map(move |back| last.get((count - 1 - back) % HOPS_MAX).copied().flatten())
}

/// The address in the `for` of one element.
fn forwarded_for(element: &[u8]) -> Option<IpAddr> {
    let mut rest = element;
    loop {
        let end = unquoted(rest, b';').unwrap_or(rest.len());
        let (pair, tail) = rest.split_at_checked(end)?;
        let pair = pair.trim_ascii();
        if pair.get(..4).is_some_and(|name| name.eq_ignore_ascii_case(b"for=")) {
            let node = pair.get(4..)?;
            let quoted = node.strip_prefix(b"\"").and_then(|node| node.strip_suffix(b"\""));
            return address(quoted.unwrap_or(node));
        }
        rest = tail.get(1..)?;
    }
}

/// Where `wanted` first stands outside of quotes.
fn unquoted(text: &[u8], wanted: u8) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    text.iter().position(|byte| {
        if escaped {
            escaped = false;
            return false;
        }
        match *byte {
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            byte => return byte == wanted && !quoted,
        }
        false
    })
}

/// An address as proxies write it: bare, bracketed, with or without a port.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6)
}

/// Text of bounded length on the stack. What doesn't fit is left out whole.
pub(super) struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Text<N> {
    pub(super) const fn new() -> Text<N> {
        Text { bytes: [0; N], len: 0 }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Appends `bytes`; false (and nothing appended) when they don't fit.
    pub(super) fn push(&mut self, bytes: &[u8]) -> bool {
        let Some(room) = self.bytes.get_mut(self.len..self.len + bytes.len()) else {
            return false;
        };
        room.copy_from_slice(bytes);
        self.len += bytes.len();
        true
    }

    /// Appends an address.
    pub(super) fn push_address(&mut self, address: IpAddr) -> bool {
        let IpAddr::V4(v4) = address else {
            return write!(self, "{address}").is_ok();
        };
        // The common case by hand: formatting costs several times as much.
        let mut text = [0u8; 15];
        let mut len = 0;
        for (index, octet) in v4.octets().into_iter().enumerate() {
            let digits = [octet / 100, octet / 10 % 10, octet % 10];
            let skip = if octet >= 100 { 0 } else { 1 + usize::from(octet < 10) };
            let dot = (index > 0).then_some(b'.');
            for byte in dot.into_iter().chain(digits.iter().skip(skip).map(|d| d + b'0')) {
                if let Some(place) = text.get_mut(len) {
                    *place = byte;
                    len += 1;
                }
            }
        }
        self.push(text.get(..len).unwrap_or_default())
    }
}

impl<const N: usize> Write for Text<N> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        if self.push(text.as_bytes()) { Ok(()) } else { Err(std::fmt::Error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_in_all_their_clothes() {
        for (text, expect) in [
            ("192.0.2.1", Some("192.0.2.1")),
            (" 192.0.2.1:80 ", Some("192.0.2.1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("unknown", None),
            ("_hidden", None),
            ("1.2.3", None),
            ("01.2.3.4", None),
            ("", None),
        ] {
            assert_eq!(address(text.as_bytes()), expect.map(ip), "{text}");
        }
    }

    #[test]
    fn forwarded_elements_are_split_outside_of_quotes() {
        let value = br#"for=192.0.2.43;proto=http, For="[2001:db8:cafe::17]:4711";host="a,b;c\"", by=x, ,for=_x;by=1, proto=https;for=10.0.0.1"#;
        let got: Vec<_> = forwarded_from_the_right(value).collect();
        let expect = [
            Some(ip("10.0.0.1")),
            None,
            None,
            Some(ip("2001:db8:cafe::17")),
            Some(ip("192.0.2.43")),
        ];
        assert_eq!(got, expect);
        assert_eq!(forwarded_from_the_right(b"for=\"").count(), 1);
        let many = "for=10.0.0.1,".repeat(40);
        assert_eq!(forwarded_from_the_right(many.as_bytes()).count(), HOPS_MAX);
    }

    #[test]
    fn the_client_is_the_rightmost_untrusted() {
        let trusted = [IpNet::from(ip("10.0.0.1")), "10.1.0.0/16".parse().unwrap()];
        let client = |list: &str| {
            let mut chain = Chain::of_peer(Some(ip("10.0.0.1")));
            chain.follow(plain_from_the_right(list.as_bytes()), &trusted);
            chain.client().unwrap()
        };
        assert_eq!(client(""), ip("10.0.0.1"));
        assert_eq!(client("6.6.6.6, 192.0.2.9"), ip("192.0.2.9"));
        assert_eq!(client("6.6.6.6, 192.0.2.9, 10.1.2.3"), ip("192.0.2.9"));
        assert_eq!(client("6.6.6.6, garbage, 10.1.2.3"), ip("10.1.2.3"));
        assert_eq!(client("::ffff:10.1.2.3"), ip("10.1.2.3"));
        assert_eq!(client("192.0.2.9, ::ffff:10.1.2.3"), ip("192.0.2.9"));
        assert_eq!(client(&"10.1.1.1,".repeat(100)), ip("10.1.1.1"));
    }

    proptest! {
        #[test]
        fn addresses_are_written_as_everyone_writes_them(v4: u32, v6: u128) {
            for address in [IpAddr::V4(v4.into()), IpAddr::V6(v6.into())] {
                let mut text = Text::<64>::new();
                prop_assert!(text.push_address(address));
                let expect = address.to_string();
                prop_assert_eq!(text.as_bytes(), expect.as_bytes());
            }
        }

        #[test]
        fn no_input_is_a_problem(value: Vec<u8>) {
            let mut chain = Chain::of_peer(None);
            chain.follow(plain_from_the_right(&value), &[]);
            chain.follow(forwarded_from_the_right(&value), &[]);
            prop_assert!(chain.from_the_client().count() <= 2);
        }
    }
}
