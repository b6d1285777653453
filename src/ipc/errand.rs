//! What the master says to the clerk and to the demo's backends, and what they answer.

use super::{FdIndex, Hello, ResolvedName};
use serde::{Deserialize, Serialize};

/// What a probe does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeKind {
    /// Connect only.
    Connect,
    /// `GET` this path over HTTP/1.1; any final status below 500 counts as healthy.
    Get {
        /// Path, beginning with `/`.
        path: String,
    },
}

/// One backend to probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeTarget {
    /// Address: `IP:PORT`, `NAME:PORT` or `unix:PATH`.
    pub address: String,
    /// `Host` field of the request.
    pub host: String,
    /// What to do.
    pub kind: ProbeKind,
    /// Time for all of it in milliseconds.
    pub timeout_ms: u64,
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeResult {
    /// The backend answers.
    pub healthy: bool,
    /// Status of the response; 0 when there was none.
    pub status: u16,
    /// Time until the answer in microseconds.
    pub micros: u64,
    /// What happened, in a few words.
    pub detail: String,
}

/// Master to clerk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToClerk {
    /// First message.
    Hello(Hello),
    /// Keep exactly these names resolved. The list is a sealed memory file: JSON array of strings.
    Names(FdIndex),
    /// Probe one backend; answered with `Probed`.
    Probe {
        /// The master's number for the probe.
        id: u64,
        /// What to probe.
        target: ProbeTarget,
    },
}

/// Clerk to master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromClerk {
    /// Answer to `Hello`.
    Hello(Hello),
    /// These names have new addresses; empty addresses: the name doesn't resolve.
    Resolved(Vec<ResolvedName>),
    /// Answer to `Probe`.
    Probed {
        /// From the `Probe`.
        id: u64,
        /// What was found.
        result: ProbeResult,
    },
}

/// One embedded backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DemoBackend {
    /// Its name, which its answers tell.
    pub name: String,
    /// Its listening socket.
    pub socket: FdIndex,
}

/// Master to the demo's backends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToDemo {
    /// First message.
    Hello(Hello),
    /// Serve these.
    Serve(Vec<DemoBackend>),
}

/// The demo's backends to master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromDemo {
    /// Answer to `Hello`.
    Hello(Hello),
    /// Serving.
    Ready,
}
