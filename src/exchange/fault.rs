//! What can go wrong in an exchange: one table of answer, word, blame and retry.

/// Whose doing a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client's.
    Front,
    /// The backend's.
    Back,
    /// Ours, or the operator's.
    Cup,
}

/// When another attempt at another connection is safe, as far as the kind of fault goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Always: no byte of the request can have been acted upon.
    Safe,
    /// When the connection was kept alive from before, the method is idempotent and the request is
    /// still held whole: the backend most likely closed it for being idle.
    ReusedOnly,
    /// Never.
    Never,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection to the backend was refused or its host is unreachable.
    ConnectFailed,
    /// The connection did not come about in time.
    ConnectTimeout,
    /// The connection failed before any byte of the request was taken.
    SendFailed,
    /// The backend closed or reset the connection before its response began.
    BackendClosed,
    /// No response head in time.
    ResponseTimeout,
    /// The backend's response breaks the rules of its protocol.
    BadResponse,
    /// The backend fell silent in the middle of its response.
    ResponseIdle,
    /// The backend closed the connection in the middle of its response.
    ResponseCut,
    /// The client closed or reset the connection.
    ClientGone,
    /// The request breaks the rules of its protocol.
    BadRequest,
    /// The request's head is larger than allowed.
    HeadTooLarge,
    /// The request's target is longer than allowed.
    TargetTooLong,
    /// The request's body is larger than allowed.
    BodyTooLarge,
    /// The method is not one that is served here (CONNECT).
    MethodRefused,
    /// The request asks for an expectation that nobody knows.
    ExpectationFailed,
    /// The request asks for a version or coding that is not spoken here.
    NotImplemented,
    /// The version of HTTP is not spoken here.
    VersionRefused,
    /// The request's head did not arrive in time.
    HeaderTimeout,
    /// The client fell silent in the middle of its request's body.
    BodyIdle,
    /// The client takes no more of the response.
    ClientStalled,
    /// The client closed the connection in the middle of its request.
    RequestCut,
    /// No route matches.
    NoRoute,
    /// No backend of the pool can be used.
    NoBackend,
    /// As many requests wait for this pool as may.
    QueueFull,
    /// Waited too long for a backend.
    QueueTimeout,
    /// A table or a pool of this worker is full.
    Overload,
    /// The exchange took longer than allowed in all.
    RequestTimeout,
    /// A tunnel in which neither side said anything.
    TunnelIdle,
    /// The worker stops and can wait no longer.
    Stopping,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Verdict {
    /// Whose doing it is.
    pub side: Side,
    /// The status that the client gets when none has been sent; 0 = none, the connection closes.
    pub status: u16,
    /// The word in records and metrics.
    pub word: &'static str,
    /// Whether another attempt is safe.
    pub retry: Retry,
    /// Whether it counts against the backend's health.
    pub blames_member: bool,
}

impl Fault {
    /// All faults, in the order of the manual.
    pub const ALL: [Fault; 29] = [
        Fault::ConnectFailed,
        Fault::ConnectTimeout,
        Fault::SendFailed,
        Fault::BackendClosed,
        Fault::ResponseTimeout,
        Fault::BadResponse,
        Fault::ResponseIdle,
        Fault::ResponseCut,
        Fault::ClientGone,
        Fault::BadRequest,
        Fault::HeadTooLarge,
        Fault::TargetTooLong,
        Fault::BodyTooLarge,
        Fault::MethodRefused,
        Fault::ExpectationFailed,
        Fault::NotImplemented,
        Fault::VersionRefused,
        Fault::HeaderTimeout,
        Fault::BodyIdle,
        Fault::ClientStalled,
        Fault::RequestCut,
        Fault::NoRoute,
        Fault::NoBackend,
        Fault::QueueFull,
        Fault::QueueTimeout,
        Fault::Overload,
        Fault::RequestTimeout,
        Fault::TunnelIdle,
        Fault::Stopping,
    ];

    /// The fault's row.
    pub const fn verdict(self) -> Verdict {
        use Retry::{Never, ReusedOnly, Safe};
        match self {
            Fault::ConnectFailed => back(502, "connect-failed", Safe, true),
            Fault::ConnectTimeout => back(504, "connect-timeout", Safe, true),
            // A kept-alive connection that the backend had closed is no sign of ill health.
            Fault::SendFailed => back(502, "send-failed", Safe, false),
            Fault::BackendClosed => back(502, "backend-closed", ReusedOnly, true),
            Fault::ResponseTimeout => back(504, "response-timeout", Never, true),
            Fault::BadResponse => back(502, "bad-response", Never, true),
            Fault::ResponseIdle => back(504, "response-idle", Never, true),
            Fault::ResponseCut => back(502, "response-cut", Never, true),
            Fault::ClientGone => front(0, "client-gone"),
            Fault::BadRequest => front(400, "bad-request"),
            Fault::HeadTooLarge => front(431, "head-too-large"),
            Fault::TargetTooLong => front(414, "target-too-long"),
            Fault::BodyTooLarge => front(413, "body-too-large"),
            Fault::MethodRefused => front(405, "method-refused"),
            Fault::ExpectationFailed => front(417, "expectation-failed"),
            Fault::NotImplemented => front(501, "not-implemented"),
            Fault::VersionRefused => front(505, "version-refused"),
            Fault::HeaderTimeout => front(408, "header-timeout"),
            Fault::BodyIdle => front(408, "body-idle"),
            Fault::ClientStalled => front(0, "client-stalled"),
            Fault::RequestCut => front(0, "request-cut"),
            Fault::NoRoute => cup(404, "no-route"),
            Fault::NoBackend => cup(503, "no-backend"),
            Fault::QueueFull => cup(503, "queue-full"),
            Fault::QueueTimeout => cup(503, "queue-timeout"),
            Fault::Overload => cup(503, "overload"),
            Fault::RequestTimeout => cup(504, "request-timeout"),
            Fault::TunnelIdle => cup(0, "tunnel-idle"),
            Fault::Stopping => cup(503, "stopping"),
        }
    }
}

const fn back(status: u16, word: &'static str, retry: Retry, blames_member: bool) -> Verdict {
    Verdict { side: Side::Back, status, word, retry, blames_member }
}

const fn front(status: u16, word: &'static str) -> Verdict {
    Verdict { side: Side::Front, status, word, retry: Retry::Never, blames_member: false }
}

const fn cup(status: u16, word: &'static str) -> Verdict {
    Verdict { side: Side::Cup, status, word, retry: Retry::Never, blames_member: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_distinct_and_only_backends_are_retried_or_blamed() {
        let mut words = std::collections::HashSet::new();
        for fault in Fault::ALL {
            let row = fault.verdict();
            assert!(words.insert(row.word), "{} twice", row.word);
            assert!(row.side == Side::Back || row.retry == Retry::Never, "{}", row.word);
            assert!(row.side == Side::Back || !row.blames_member, "{}", row.word);
            assert!(row.status == 0 || (400..=599).contains(&row.status), "{}", row.word);
        }
    }
}
