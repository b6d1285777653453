//! The terms of one route on one listener: every time-out and limit, resolved.
//!
//! Plain data, made once by `config` (nearest of route, pool, listener, top wins) and shared by
//! reference; equal terms are one object. Nothing here applies anything.

use super::forward::Forwarding;
use std::time::Duration;

/// How long each phase may take. `None` = as long as it likes. The list is closed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Timeouts {
    /// The handshake before the first byte of HTTP (PROXY header, TLS).
    pub handshake: Option<Duration>,
    /// A whole request head, from its first byte.
    pub header: Option<Duration>,
    /// Between two pieces of a request body.
    pub body_idle: Option<Duration>,
    /// A kept-alive connection with nothing to do: the client's (from listener or top) and a
    /// backend's (from pool or top).
    pub idle: Option<Duration>,
    /// Until a connection to a backend stands.
    pub connect: Option<Duration>,
    /// From the last byte of the request to the head of the response.
    pub response_header: Option<Duration>,
    /// Between two pieces of a response body.
    pub response_idle: Option<Duration>,
    /// A tunnel (WebSocket, CONNECT) in which neither side says anything.
    pub tunnel_idle: Option<Duration>,
    /// The whole exchange, from the first byte of the request to the last of the response.
    pub request: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        let seconds = |n| Some(Duration::from_secs(n));
        Timeouts {
            handshake: seconds(10),
            header: seconds(10),
            body_idle: seconds(30),
            idle: seconds(60),
            connect: seconds(5),
            response_header: seconds(60),
            response_idle: seconds(60),
            tunnel_idle: seconds(3_600),
            request: None,
        }
    }
}

/// What one exchange may take.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Bytes of a message head (request and response, and of the trailers).
    pub header_bytes: u32,
    /// Fields of a message head.
    pub header_fields: u16,
    /// Bytes of a request body; `None` = no limit.
    pub body_bytes: Option<u64>,
    /// Requests of one worker that may wait for a backend of one pool.
    pub waiting: u32,
    /// Idle connections that one worker keeps to one backend.
    pub idle_connections: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            header_bytes: 15 * 1024,
            header_fields: 100,
            body_bytes: None,
            waiting: 1_024,
            idle_connections: 256,
        }
    }
}

/// Everything that one exchange has to keep to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Terms {
    /// How long each phase may take.
    pub timeouts: Timeouts,
    /// How much it may take.
    pub limits: Limits,
    /// What the backend is told about the client.
    pub forwarding: Forwarding,
}
