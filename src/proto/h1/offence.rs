//! Everything a peer can do against HTTP/1.1, one name each.
//!
//! An offence ends the connection: it is never repaired and nothing of the message goes further.
//! The name is the word in the access record and the reason of the status.

use crate::proto::Role;

macro_rules! offences {
    ($($(#[doc = $doc:literal])* $variant:ident = $status:literal $label:literal,)*) => {
        /// A breach of the protocol by the peer.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Offence {
            $($(#[doc = $doc])* $variant,)*
        }

        impl Offence {
            /// Every offence.
            pub const ALL: &'static [Offence] = &[$(Offence::$variant),*];

            /// The offence's name in records and documents: lower case and `_`.
            pub const fn label(self) -> &'static str {
                match self { $(Offence::$variant => $label,)* }
            }

            /// What was done and which section forbids it, as a line of text for people.
            pub const fn meaning(self) -> &'static str {
                match self { $(Offence::$variant => concat!($($doc),*),)* }
            }

            /// The status to answer with: the offence's own to a client, `502` when a backend
            /// is to blame.
            pub const fn status(self, role: Role) -> u16 {
                match (role, self) {
                    (Role::Client, _) => 502,
                    $((Role::Server, Offence::$variant) => $status,)*
                }
            }
        }
    };
}

offences! {
    // --- lines (RFC 9112 §2.2, §5) ---
    /// A line ends in LF without CR (RFC 9112 §2.2: allowed to be taken as an end of line by a
    /// recipient, which is what request smuggling lives on).
    BareLf = 400 "bare_lf",
    /// A CR that no LF follows (RFC 9112 §2.2).
    BareCr = 400 "bare_cr",
    /// More than one empty line before a request (RFC 9112 §2.2).
    BlankLines = 400 "blank_lines",
    /// White space between the start line and the first field (RFC 9112 §2.2).
    LeadingSpace = 400 "leading_space",
    /// A continuation line (RFC 9112 §5.2: obs-fold).
    ObsFold = 400 "obs_fold",
    /// A field line without a colon (RFC 9112 §5).
    ColonMissing = 400 "colon_missing",
    /// White space between a field name and its colon (RFC 9112 §5.1).
    SpaceBeforeColon = 400 "space_before_colon",
    /// A field line that starts with its colon (RFC 9110 §5.1).
    FieldNameEmpty = 400 "field_name_empty",
    /// A field name that is no token (RFC 9110 §5.1).
    FieldNameInvalid = 400 "field_name_invalid",
    /// NUL or another control character in a field value or a reason phrase (RFC 9110 §5.5).
    ControlByte = 400 "control_byte",
    /// The head is larger than the limit (RFC 6585 §5).
    HeadTooLong = 431 "head_too_long",
    /// The head has more fields than the limit (RFC 6585 §5).
    FieldsTooMany = 431 "fields_too_many",

    // --- request line (RFC 9112 §3) ---
    /// The request line isn't three words with one space between (RFC 9112 §3).
    RequestLineMalformed = 400 "request_line_malformed",
    /// The method is no token (RFC 9110 §9.1).
    MethodInvalid = 400 "method_invalid",
    /// The method is longer than 32 bytes (RFC 9112 §3: 501).
    MethodTooLong = 501 "method_too_long",
    /// The target is longer than the limit (RFC 9112 §3: 414).
    TargetTooLong = 414 "target_too_long",
    /// A byte that no target may hold: control, non-ASCII, `"`, `<`, `>`, or `\` in the path
    /// (RFC 9112 §3.2).
    TargetInvalid = 400 "target_invalid",
    /// The target holds a fragment (RFC 9112 §3.2).
    TargetFragment = 400 "target_fragment",
    /// The target's form doesn't go with the method: `*` without OPTIONS, an authority without
    /// CONNECT, or neither a path nor a URI (RFC 9112 §3.2).
    TargetForm = 400 "target_form",
    /// The target is a URI of another scheme than http and https (RFC 9110 §4.2).
    TargetScheme = 400 "target_scheme",
    /// The target's authority holds user information (RFC 9110 §4.2.4).
    TargetUserInfo = 400 "target_user_info",
    /// A request line without a version (RFC 9112 App. C.1: HTTP/0.9).
    VersionMissing = 505 "version_missing",
    /// The third word is no version (RFC 9112 §2.3).
    VersionInvalid = 400 "version_invalid",
    /// A version other than 1.0 and 1.1 (RFC 9110 §15.6.6).
    VersionUnsupported = 505 "version_unsupported",
    /// The preface of HTTP/2 (RFC 9113 §3.4), which this connection doesn't speak.
    Http2Preface = 505 "http2_preface",
    /// A TLS handshake on a connection without TLS.
    TlsHandshake = 400 "tls_handshake",
    /// CONNECT where it isn't allowed (RFC 9110 §9.3.6).
    ConnectRefused = 405 "connect_refused",
    /// TRACE with content (RFC 9110 §9.3.8).
    TraceWithContent = 400 "trace_with_content",
    /// CONNECT with content (RFC 9110 §9.3.6).
    ConnectWithContent = 400 "connect_with_content",

    // --- Host (RFC 9112 §3.2) ---
    /// An HTTP/1.1 request without Host (RFC 9112 §3.2).
    HostMissing = 400 "host_missing",
    /// More than one Host (RFC 9112 §3.2).
    HostDuplicate = 400 "host_duplicate",
    /// A Host, or the authority of a target, that is no host and port (RFC 9110 §4.2, §7.2).
    HostInvalid = 400 "host_invalid",
    /// The authority of the target and Host differ (RFC 9112 §3.2, §3.2.2).
    HostMismatch = 400 "host_mismatch",

    // --- status line (RFC 9112 §4) ---
    /// The first line of a response is no status line (RFC 9112 §4).
    StatusLineMalformed = 400 "status_line_malformed",
    /// The status is no number from 100 to 999 (RFC 9110 §15).
    StatusInvalid = 400 "status_invalid",

    // --- framing (RFC 9112 §6) ---
    /// Content-Length is no plain decimal number (RFC 9110 §8.6).
    LengthInvalid = 400 "length_invalid",
    /// Content-Length passes 2^63 - 1 (RFC 9110 §8.6).
    LengthOverflow = 400 "length_overflow",
    /// More than one Content-Length, as lines or as a list, same values too (RFC 9112 §6.3).
    LengthDuplicate = 400 "length_duplicate",
    /// Both Content-Length and Transfer-Encoding (RFC 9112 §6.1, §11.2).
    LengthWithCoding = 400 "length_with_coding",
    /// Content-Length other than 0 in a 1xx or 204 (RFC 9110 §8.6).
    LengthOnBodiless = 400 "length_on_bodiless",
    /// More than one Transfer-Encoding line (RFC 9112 §6.1).
    CodingDuplicate = 400 "coding_duplicate",
    /// A Transfer-Encoding that is no list of codings (RFC 9112 §6.1).
    CodingInvalid = 400 "coding_invalid",
    /// chunked applied twice (RFC 9112 §6.1).
    CodingRepeated = 400 "coding_repeated",
    /// chunked isn't the last coding (RFC 9112 §6.3).
    CodingNotFinal = 400 "coding_not_final",
    /// A coding other than chunked (RFC 9112 §6.1: 501).
    CodingUnknown = 501 "coding_unknown",
    /// Transfer-Encoding in an HTTP/1.0 message (RFC 9112 §6.1).
    CodingInVersion10 = 400 "coding_in_version_10",
    /// Transfer-Encoding in a 1xx or 204 (RFC 9112 §6.1).
    CodingOnBodiless = 400 "coding_on_bodiless",

    // --- other connection-level fields ---
    /// Connection isn't a list of tokens (RFC 9110 §7.6.1).
    ConnectionInvalid = 400 "connection_invalid",
    /// Connection has more than 16 options or 4 lines.
    ConnectionTooMany = 400 "connection_too_many",
    /// Connection nominates a field that is for every recipient (RFC 9110 §7.6.1).
    ConnectionNominates = 400 "connection_nominates",
    /// Upgrade isn't a list of protocols (RFC 9110 §7.8).
    UpgradeInvalid = 400 "upgrade_invalid",
    /// An expectation other than 100-continue (RFC 9110 §10.1.1).
    ExpectUnknown = 417 "expect_unknown",

    // --- chunked (RFC 9112 §7.1) ---
    /// A chunk line doesn't start with a hexadecimal size followed by `;` or its end
    /// (RFC 9112 §7.1).
    ChunkSizeInvalid = 400 "chunk_size_invalid",
    /// A chunk size of more than 16 digits or beyond 2^63 - 1 (RFC 9112 §7.1).
    ChunkSizeOverflow = 400 "chunk_size_overflow",
    /// A chunk extension outside the grammar (RFC 9112 §7.1.1).
    ChunkExtensionInvalid = 400 "chunk_extension_invalid",
    /// Chunk extensions beyond the limit, in a line or in the message (RFC 9112 §7.1.1).
    ChunkExtensionTooLong = 400 "chunk_extension_too_long",
    /// The data of a chunk isn't followed by CR LF (RFC 9112 §7.1).
    ChunkUnterminated = 400 "chunk_unterminated",
    /// A trailer field that frames or routes the message (RFC 9110 §6.5.1).
    TrailerForbidden = 400 "trailer_forbidden",

    // --- order (RFC 9112 §9) ---
    /// The connection ended inside a message (RFC 9112 §8).
    Truncated = 400 "truncated",
    /// The connection ended where a response was due (RFC 9112 §9.5).
    ClosedBeforeResponse = 400 "closed_before_response",
    /// A backend spoke before it was asked (RFC 9112 §9.2).
    Unsolicited = 400 "unsolicited",
    /// More than 32 interim responses to one request (RFC 9110 §15.2 sets no bound).
    InterimTooMany = 400 "interim_too_many",
    /// A 101 that wasn't asked for, or to another protocol (RFC 9110 §7.8).
    SwitchUnasked = 400 "switch_unasked",
}

impl std::fmt::Display for Offence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.label())
    }
}

impl std::error::Error for Offence {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_unique_words_and_statuses_are_errors() {
        let mut labels: Vec<&str> = Offence::ALL.iter().map(|o| o.label()).collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), Offence::ALL.len());
        for offence in Offence::ALL {
            assert!(offence.label().bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_')));
            assert!((400..600).contains(&offence.status(Role::Server)), "{offence}");
            assert_eq!(offence.status(Role::Client), 502);
        }
    }
}
