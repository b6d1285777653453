//! Messages and descriptors between the master and its children.
//!
//! What it is: the wire ([`Link`]) and the closed set of messages ([`ToWorker`], [`FromWorker`] and the
//! smaller sets of the clerk and the demo's backends). What it is not: behaviour; who answers what, and
//! when, is settled in `master`, `worker`, `clerk` and `demo`.
//!
//! Invariants: a message is one `SOCK_SEQPACKET` packet of at most [`MAX_MESSAGE`] bytes with at most 64
//! descriptors; neither side ever blocks; the first message each way is [`Hello`], and a new master may
//! send a new one at any time on the same link; texts without a small bound (documents, resolved names,
//! answers) travel as sealed memory files; the end of a link tells a child to drain and exit.

mod errand;
mod link;
mod message;

pub use errand::{
    DemoBackend, FromClerk, FromDemo, ProbeKind, ProbeResult, ProbeTarget, ToClerk, ToDemo,
};
pub use link::{Fds, Link, LinkError, MAX_MESSAGE, Received};
pub use message::{
    Finding, FromWorker, Hello, LogSink, MAX_ANSWER, MAX_DOCUMENT, PROTOCOL, Prepare, QueryKind,
    ResolvedName, Role, Severity, SocketGrant, Start, ToWorker,
};

use serde::{Deserialize, Serialize};

/// The place of a descriptor among those attached to the same message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FdIndex(pub u8);
