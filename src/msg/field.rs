//! Header and trailer fields: the names the house knows, and views of a head's fields.
//!
//! A name is matched by its length first and then without regard to case. `_` counts as `-`, so
//! that no other spelling of a name that matters slips past those who look for its tag.

use super::head::Head;

macro_rules! known {
    ($($(#[doc = $doc:literal])* $variant:ident = $text:literal,)*) => {
        /// A field name that some room of the house cares about; any other name is
        /// [`Known::Other`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Known {
            /// A name of no interest to the house.
            Other,
            $($(#[doc = $doc])* $variant,)*
        }

        impl Known {
            /// Every known name.
            pub const ALL: &'static [Known] = &[$(Known::$variant),*];

            /// The name in its usual spelling; empty for [`Known::Other`].
            pub const fn text(self) -> &'static str {
                match self {
                    Known::Other => "",
                    $(Known::$variant => $text,)*
                }
            }
        }
    };
}

known! {
    /// `Authorization` (RFC 9110 §11.6.2).
    Authorization = "Authorization",
    /// `Cache-Control` (RFC 9111 §5.2).
    CacheControl = "Cache-Control",
    /// `Connection` (RFC 9110 §7.6.1): never in a head.
    Connection = "Connection",
    /// `Content-Encoding` (RFC 9110 §8.4).
    ContentEncoding = "Content-Encoding",
    /// `Content-Length` (RFC 9110 §8.6): never in a head.
    ContentLength = "Content-Length",
    /// `Content-Range` (RFC 9110 §14.4).
    ContentRange = "Content-Range",
    /// `Content-Type` (RFC 9110 §8.3).
    ContentType = "Content-Type",
    /// `Cookie` (RFC 6265 §5.4).
    Cookie = "Cookie",
    /// `Date` (RFC 9110 §6.6.1).
    Date = "Date",
    /// `Expect` (RFC 9110 §10.1.1): never in a head.
    Expect = "Expect",
    /// `Forwarded` (RFC 7239).
    Forwarded = "Forwarded",
    /// `Host` (RFC 9110 §7.2): never in a head, which has an authority instead.
    Host = "Host",
    /// `HTTP2-Settings` (RFC 7540 §3.2.1, obsolete): never in a head.
    Http2Settings = "HTTP2-Settings",
    /// `Keep-Alive` (RFC 9112 App. C.2.2): never in a head.
    KeepAlive = "Keep-Alive",
    /// `Location` (RFC 9110 §10.2.2).
    Location = "Location",
    /// `Max-Forwards` (RFC 9110 §7.6.2).
    MaxForwards = "Max-Forwards",
    /// `Proxy`: no field of HTTP, but CGI programs take it for `HTTP_PROXY`; never in a head.
    Proxy = "Proxy",
    /// `Proxy-Authenticate` (RFC 9110 §11.7.1): never in a head.
    ProxyAuthenticate = "Proxy-Authenticate",
    /// `Proxy-Authentication-Info` (RFC 9110 §11.7.3): never in a head.
    ProxyAuthenticationInfo = "Proxy-Authentication-Info",
    /// `Proxy-Authorization` (RFC 9110 §11.7.2): never in a head.
    ProxyAuthorization = "Proxy-Authorization",
    /// `Proxy-Connection` (RFC 9112 App. C.2.2): never in a head.
    ProxyConnection = "Proxy-Connection",
    /// `Retry-After` (RFC 9110 §10.2.3).
    RetryAfter = "Retry-After",
    /// `Server` (RFC 9110 §10.2.4).
    Server = "Server",
    /// `Set-Cookie` (RFC 6265 §4.1).
    SetCookie = "Set-Cookie",
    /// `TE` (RFC 9110 §10.1.4): never in a head.
    Te = "TE",
    /// `Trailer` (RFC 9110 §6.6.2).
    Trailer = "Trailer",
    /// `Transfer-Encoding` (RFC 9112 §6.1): never in a head.
    TransferEncoding = "Transfer-Encoding",
    /// `Upgrade` (RFC 9110 §7.8): never in a head.
    Upgrade = "Upgrade",
    /// `User-Agent` (RFC 9110 §10.1.5).
    UserAgent = "User-Agent",
    /// `Via` (RFC 9110 §7.6.3).
    Via = "Via",
    /// `X-Forwarded-For`.
    XForwardedFor = "X-Forwarded-For",
    /// `X-Forwarded-Host`.
    XForwardedHost = "X-Forwarded-Host",
    /// `X-Forwarded-Port`.
    XForwardedPort = "X-Forwarded-Port",
    /// `X-Forwarded-Prefix`.
    XForwardedPrefix = "X-Forwarded-Prefix",
    /// `X-Forwarded-Proto`.
    XForwardedProto = "X-Forwarded-Proto",
    /// `X-Forwarded-Server`.
    XForwardedServer = "X-Forwarded-Server",
    /// `X-Real-IP`.
    XRealIp = "X-Real-IP",
    /// `X-Request-Id`.
    XRequestId = "X-Request-Id",
}

impl Known {
    /// The tag of a field name, in any case and with `_` for `-`.
    pub fn of(name: &[u8]) -> Known {
        let mut dashed = [0; 32];
        match dashed.get_mut(..name.len()) {
            Some(dashed) if name.contains(&b'_') => {
                dashed.copy_from_slice(name);
                dashed.iter_mut().filter(|byte| **byte == b'_').for_each(|byte| *byte = b'-');
                Known::of_dashed(dashed)
            }
            _ => Known::of_dashed(name),
        }
    }

    /// The tag of a field name, which is a token, in any case; `_` is no `-` here.
    // Length: one table, a length and its names each.
    #[inline]
    pub fn of_dashed(name: &[u8]) -> Known {
        match name.len() {
            2 => match &lower::<2>(name) {
                b"te" => Known::Te,
                _ => Known::Other,
            },
            3 => match &lower::<3>(name) {
                b"via" => Known::Via,
                _ => Known::Other,
            },
            4 => match &lower::<4>(name) {
                b"host" => Known::Host,
                b"date" => Known::Date,
                _ => Known::Other,
            },
            5 => match &lower::<5>(name) {
                b"proxy" => Known::Proxy,
                _ => Known::Other,
            },
            6 => match &lower::<6>(name) {
                b"cookie" => Known::Cookie,
                b"server" => Known::Server,
                b"expect" => Known::Expect,
                _ => Known::Other,
            },
            7 => match &lower::<7>(name) {
                b"upgrade" => Known::Upgrade,
                b"trailer" => Known::Trailer,
                _ => Known::Other,
            },
            8 => match &lower::<8>(name) {
                b"location" => Known::Location,
                _ => Known::Other,
            },
            9 => match &lower::<9>(name) {
                b"forwarded" => Known::Forwarded,
                b"x-real-ip" => Known::XRealIp,
                _ => Known::Other,
            },
            10 => match &lower::<10>(name) {
                b"connection" => Known::Connection,
                b"user-agent" => Known::UserAgent,
                b"keep-alive" => Known::KeepAlive,
                b"set-cookie" => Known::SetCookie,
                _ => Known::Other,
            },
            11 => match &lower::<11>(name) {
                b"retry-after" => Known::RetryAfter,
                _ => Known::Other,
            },
            12 => match &lower::<12>(name) {
                b"content-type" => Known::ContentType,
                b"x-request-id" => Known::XRequestId,
                b"max-forwards" => Known::MaxForwards,
                _ => Known::Other,
            },
            13 => match &lower::<13>(name) {
                b"cache-control" => Known::CacheControl,
                b"authorization" => Known::Authorization,
                b"content-range" => Known::ContentRange,
                _ => Known::Other,
            },
            14 => match &lower::<14>(name) {
                b"content-length" => Known::ContentLength,
                b"http2-settings" => Known::Http2Settings,
                _ => Known::Other,
            },
            15 => match &lower::<15>(name) {
                b"x-forwarded-for" => Known::XForwardedFor,
                _ => Known::Other,
            },
            16 => match &lower::<16>(name) {
                b"content-encoding" => Known::ContentEncoding,
                b"x-forwarded-host" => Known::XForwardedHost,
                b"x-forwarded-port" => Known::XForwardedPort,
                b"proxy-connection" => Known::ProxyConnection,
                _ => Known::Other,
            },
            17 => match &lower::<17>(name) {
                b"transfer-encoding" => Known::TransferEncoding,
                b"x-forwarded-proto" => Known::XForwardedProto,
                _ => Known::Other,
            },
            18 => match &lower::<18>(name) {
                b"proxy-authenticate" => Known::ProxyAuthenticate,
                b"x-forwarded-prefix" => Known::XForwardedPrefix,
                b"x-forwarded-server" => Known::XForwardedServer,
                _ => Known::Other,
            },
            19 => match &lower::<19>(name) {
                b"proxy-authorization" => Known::ProxyAuthorization,
                _ => Known::Other,
            },
            25 => match &lower::<25>(name) {
                b"proxy-authentication-info" => Known::ProxyAuthenticationInfo,
                _ => Known::Other,
            },
            _ => Known::Other,
        }
    }

    /// Whether the field concerns one connection only, so that it never is part of a head: the
    /// decoder takes its meaning out or drops it (RFC 9110 §7.6.1).
    pub const fn is_connection_level(self) -> bool {
        matches!(
            self,
            Known::Connection
                | Known::ContentLength
                | Known::Expect
                | Known::Host
                | Known::Http2Settings
                | Known::KeepAlive
                | Known::Proxy
                | Known::ProxyAuthenticate
                | Known::ProxyAuthenticationInfo
                | Known::ProxyAuthorization
                | Known::ProxyConnection
                | Known::Te
                | Known::TransferEncoding
                | Known::Upgrade
        )
    }

    /// Whether the field tells a backend who is asking: what only the proxy itself may say.
    pub const fn is_forwarding(self) -> bool {
        matches!(
            self,
            Known::Forwarded
                | Known::XForwardedFor
                | Known::XForwardedHost
                | Known::XForwardedPort
                | Known::XForwardedPrefix
                | Known::XForwardedProto
                | Known::XForwardedServer
                | Known::XRealIp
                | Known::XRequestId
        )
    }
}

/// The first `N` bytes of a token in lower case, other bytes for those it lacks. Setting one bit
/// does it: the bytes it would mistake for others can't stand in a token.
#[inline]
fn lower<const N: usize>(name: &[u8]) -> [u8; N] {
    match name.first_chunk::<N>() {
        Some(bytes) => bytes.map(|byte| byte | 0x20),
        None => [0; N],
    }
}

/// Whether two names of equal length are the same but for case, and `_` for `-`.
#[inline]
pub(super) fn same_name(ours: &[u8], theirs: &[u8]) -> bool {
    ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| fold(*a) == fold(*b))
}

#[inline]
const fn fold(byte: u8) -> u8 {
    if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() }
}

/// A field was refused because its name is no token or its value holds a control character: it
/// could have broken out of its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadField;

impl std::fmt::Display for BadField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a field name that is no token, or a control character in a field value")
    }
}

impl std::error::Error for BadField {}

/// One field of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldRef<'a> {
    /// The name as it was written.
    pub name: &'a [u8],
    /// The value without surrounding white space. May hold bytes above 0x7f; never a control
    /// character other than a tab.
    pub value: &'a [u8],
    /// The tag of the name.
    pub known: Known,
}

/// The fields of a head in their order.
#[derive(Clone)]
pub struct Fields<'a> {
    pub(super) head: &'a Head,
    pub(super) next: usize,
}

impl<'a> Iterator for Fields<'a> {
    type Item = FieldRef<'a>;

    fn next(&mut self) -> Option<FieldRef<'a>> {
        let field = self.head.field_at(self.next)?;
        self.next += 1;
        Some(field)
    }
}

/// Whether `byte` may stand in a token (RFC 9110 §5.6.2).
pub const fn is_token_byte(byte: u8) -> bool {
    matches!(byte,
        b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_'
        | b'`' | b'|' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z')
}

/// Whether `byte` may stand in a field value (RFC 9110 §5.5): tab, space, visible, obs-text.
pub const fn is_value_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= 0x20 && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_found_in_every_spelling() {
        for known in Known::ALL {
            let text = known.text();
            for spelling in
                [text.to_string(), text.to_lowercase(), text.to_uppercase(), text.replace('-', "_")]
            {
                assert_eq!(Known::of(spelling.as_bytes()), *known, "{spelling}");
            }
            let longer = format!("{text}x");
            assert_eq!(Known::of(longer.as_bytes()), Known::Other, "{longer}");
        }
        for other in ["", "X", "Accept", "Hots", "Content-Lengtj", "Transfer.Encoding"] {
            assert_eq!(Known::of(other.as_bytes()), Known::Other, "{other}");
        }
    }
}
