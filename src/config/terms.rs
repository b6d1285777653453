//! Time-outs and limits as a document sets them at one level, and how levels lie over each other.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::policy::{Limits, Terms, Timeouts};

/// Names of the time-outs, in the order of [`keys::TIMEOUTS`](super::keys::TIMEOUTS).
pub const TIMEOUT_NAMES: [&str; 9] = [
    "handshake",
    "header",
    "body_idle",
    "idle",
    "connect",
    "response_header",
    "response_idle",
    "tunnel_idle",
    "request",
];

/// What one level (top, listener, pool, rule) says itself. `None` = taken from further out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TermsSet {
    /// By [`TIMEOUT_NAMES`]; an inner `None` is "off".
    pub timeouts: [Option<Option<Duration>>; 9],
    /// Bytes of a head.
    pub header_bytes: Option<u32>,
    /// Fields of a head.
    pub header_fields: Option<u16>,
    /// Bytes of a request body; an inner `None` is "off".
    pub body_bytes: Option<Option<u64>>,
    /// Waiting requests.
    pub waiting: Option<u32>,
    /// Idle connections to one backend.
    pub idle_connections: Option<u32>,
    /// Fields that only trusted proxies may send (listeners).
    pub identity_fields: Option<Vec<String>>,
}

impl TermsSet {
    /// Lays this level over what the levels further out say.
    pub fn over(&self, terms: &mut Terms) {
        let slots = timeout_slots(&mut terms.timeouts);
        for (slot, own) in slots.into_iter().zip(self.timeouts) {
            *slot = own.unwrap_or(*slot);
        }
        let limits = &mut terms.limits;
        limits.header_bytes = self.header_bytes.unwrap_or(limits.header_bytes);
        limits.header_fields = self.header_fields.unwrap_or(limits.header_fields);
        limits.body_bytes = self.body_bytes.unwrap_or(limits.body_bytes);
        limits.waiting = self.waiting.unwrap_or(limits.waiting);
        limits.idle_connections = self.idle_connections.unwrap_or(limits.idle_connections);
        if let Some(fields) = &self.identity_fields {
            terms.forwarding.identity_fields.clone_from(fields);
        }
    }

    /// The level that says everything that `terms` holds.
    pub fn all_of(terms: &Terms) -> TermsSet {
        let mut timeouts = terms.timeouts.clone();
        let Limits { header_bytes, header_fields, body_bytes, waiting, idle_connections } =
            terms.limits;
        TermsSet {
            timeouts: timeout_slots(&mut timeouts).map(|slot| Some(*slot)),
            header_bytes: Some(header_bytes),
            header_fields: Some(header_fields),
            body_bytes: Some(body_bytes),
            waiting: Some(waiting),
            idle_connections: Some(idle_connections),
            identity_fields: Some(terms.forwarding.identity_fields.clone()),
        }
    }
}

fn timeout_slots(timeouts: &mut Timeouts) -> [&mut Option<Duration>; 9] {
    let Timeouts {
        handshake,
        header,
        body_idle,
        idle,
        connect,
        response_header,
        response_idle,
        tunnel_idle,
        request,
    } = timeouts;
    [
        handshake,
        header,
        body_idle,
        idle,
        connect,
        response_header,
        response_idle,
        tunnel_idle,
        request,
    ]
}

/// Makes equal terms one object.
#[derive(Debug, Default)]
pub(super) struct Interner {
    known: HashMap<Terms, Arc<Terms>>,
}

impl Interner {
    /// The defaults with `levels` laid over them, the outermost first.
    pub fn resolve(&mut self, levels: &[&TermsSet]) -> Arc<Terms> {
        let mut terms = Terms::default();
        for level in levels {
            level.over(&mut terms);
        }
        if let Some(known) = self.known.get(&terms) {
            return Arc::clone(known);
        }
        let made = Arc::new(terms.clone());
        self.known.insert(terms, Arc::clone(&made));
        made
    }
}
