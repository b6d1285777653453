//! What master and workers say to each other.

use super::FdIndex;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Version of these messages. A child that answers another one is drained and replaced.
pub const PROTOCOL: u32 = 1;

/// Most bytes of a configuration document or of a list of resolved names in a memory file.
pub const MAX_DOCUMENT: usize = 16 * 1024 * 1024;

/// Most bytes of an [`FromWorker::Answer`]'s memory file.
pub const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// Which program a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The control plane.
    Master,
    /// The data plane.
    Worker,
    /// Outbound errands: names and probes.
    Clerk,
    /// The two backends of `--demo`.
    Demo,
}

/// The first message each way, and again whenever a new master takes over the link. Fields that a later
/// version adds are ignored, so that the numbers can be compared at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Who speaks.
    pub role: Role,
    /// [`PROTOCOL`] of the speaker.
    pub protocol: u32,
    /// Version of the board's layout that the speaker knows.
    pub board_version: u32,
    /// Version of the program (`CARGO_PKG_VERSION`).
    pub version: String,
    /// The speaker's process id.
    pub pid: u32,
    /// Worker's slot in the board; 0 from others and before `Start`.
    pub slot: u16,
    /// Worker's generation, counted by the master over its life; 0 from others and before `Start`.
    pub generation: u64,
    /// Serial of the configuration that the speaker runs; 0 for none yet.
    pub serial: u64,
}

/// A listening socket of the configuration. The list in a message is always the whole set; the
/// descriptor is attached only when this worker doesn't have the socket yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SocketGrant {
    /// Names the socket for as long as it lives, over all processes (the kernel's `SO_COOKIE`).
    pub id: u64,
    /// The listener of the configuration that it belongs to.
    pub listener: String,
    /// The socket, unless the worker has it.
    pub fd: Option<FdIndex>,
}

/// Where access records go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogSink {
    /// A datagram socket connected to journald's native socket, non-blocking.
    Journal(FdIndex),
    /// A file opened for appending (or a terminal, pipe or stream): JSON lines.
    Lines(FdIndex),
}

/// A host name and the addresses it has now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolvedName {
    /// The name as the configuration has it, in lower case.
    pub host: String,
    /// Its addresses, in the order to try; empty when the name doesn't resolve.
    pub addresses: Vec<IpAddr>,
}

/// All that a worker gets before it serves. After it the worker opens nothing by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Its column in the board.
    pub slot: u16,
    /// Counts the workers that this service has started.
    pub generation: u64,
    /// Serial of the configuration.
    pub serial: u64,
    /// Sealed memory file with the configuration text, which the master has checked.
    pub document: FdIndex,
    /// The board's memory file.
    pub board: FdIndex,
    /// Sealed memory file: JSON array of [`ResolvedName`].
    pub resolved: FdIndex,
    /// Listening sockets.
    pub sockets: Vec<SocketGrant>,
    /// Where access records go; `None` when they are off.
    pub access: Option<LogSink>,
    /// Most front connections of this worker.
    pub connections: u32,
    /// Threads of the worker's pool.
    pub threads: u16,
    /// Filter of the worker's own log lines (stderr), as in `--log-level`.
    pub log_level: String,
}

/// First phase of an apply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prepare {
    /// Serial that the configuration will have.
    pub serial: u64,
    /// Sealed memory file with the configuration text.
    pub document: FdIndex,
    /// Sealed memory file: JSON array of [`ResolvedName`].
    pub resolved: FdIndex,
    /// The listening sockets of the new configuration; the worker drops others at `Commit`.
    pub sockets: Vec<SocketGrant>,
    /// Where access records go from `Commit` on: `None` when they are off or stay as they are
    /// (`keep_access`).
    pub access: Option<LogSink>,
    /// The access log stays what it is.
    pub keep_access: bool,
    /// Most front connections of this worker from `Commit` on.
    pub connections: u32,
}

/// What the master may ask of a living worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueryKind {
    /// The newest front connections, at most `limit`.
    Connections {
        /// Most entries of the answer.
        limit: u32,
    },
    /// The worker's own view of its state, for diagnosis.
    State,
}

/// Master to worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToWorker {
    /// First message of each master; the worker answers with its own.
    Hello(Hello),
    /// Begin to serve; answered with `Ready`, or `Refused` and exit.
    Start(Box<Start>),
    /// Build a configuration beside the live one; answered with `Prepared` or `Refused`. A later
    /// `Prepare` replaces an earlier one.
    Prepare(Box<Prepare>),
    /// Swap to the prepared configuration of this serial; answered with `Committed`.
    Commit {
        /// Serial of the `Prepare`.
        serial: u64,
    },
    /// Forget the prepared configuration of this serial, if there is one. No answer.
    Drop {
        /// Serial of the `Prepare`.
        serial: u64,
    },
    /// Names that have new addresses. A name that isn't in the message keeps what it has.
    Resolved(Vec<ResolvedName>),
    /// Answer to `WantUnix`: one descriptor when connected, none and `error` (an errno) otherwise.
    UnixConnected {
        /// The worker's number for the request.
        request: u64,
        /// The connected socket.
        fd: Option<FdIndex>,
        /// Why there is none.
        error: i32,
    },
    /// Filter of the worker's own log lines.
    SetLogLevel {
        /// As in `--log-level`.
        filter: String,
    },
    /// Access records go to this new descriptor from now on.
    ReopenLogs {
        /// `None`: off.
        access: Option<LogSink>,
    },
    /// Stop accepting, finish what is in flight, then exit; `Drained` is the last message.
    Stop {
        /// Close everything now.
        hard: bool,
        /// Close what is left after this many milliseconds.
        deadline_ms: u64,
    },
    /// A question, answered with `Answer`.
    Query {
        /// The master's number for the question.
        id: u64,
        /// What is asked.
        kind: QueryKind,
    },
    /// Answered with `Pong`.
    Ping {
        /// Echoed.
        n: u64,
    },
}

/// Worker to master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromWorker {
    /// Answer to the master's `Hello`.
    Hello(Hello),
    /// Serving.
    Ready,
    /// The configuration of this serial stands ready.
    Prepared {
        /// From the `Prepare`.
        serial: u64,
    },
    /// This worker can't run the configuration of this serial.
    Refused {
        /// From the `Prepare` or `Start`.
        serial: u64,
        /// Why; at most 32 entries.
        problems: Vec<Finding>,
    },
    /// The configuration of this serial is live.
    Committed {
        /// From the `Commit`.
        serial: u64,
    },
    /// Please connect to this unix socket; answered with `UnixConnected`.
    WantUnix {
        /// The worker's number for the request.
        request: u64,
        /// Path of a backend of the running configuration.
        path: String,
    },
    /// Answer to `Query`: a sealed memory file with JSON.
    Answer {
        /// From the `Query`.
        id: u64,
        /// The memory file, at most [`MAX_ANSWER`] bytes.
        body: FdIndex,
    },
    /// A backend went down or came up, as this worker saw it.
    MemberState {
        /// Name of the pool.
        pool: String,
        /// Address of the backend as the configuration has it.
        address: String,
        /// Whether it takes traffic.
        up: bool,
        /// Why, in a few words.
        reason: String,
    },
    /// Nothing is in flight any more; the worker exits next.
    Drained,
    /// Answer to `Ping`.
    Pong {
        /// From the `Ping`.
        n: u64,
    },
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The configuration is accepted.
    Warning,
    /// The configuration is refused.
    Error,
}

/// One problem of a configuration, as every answer shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Stable identifier of the kind of problem.
    pub id: String,
    /// Line in the document, from 1; 0 when it belongs to no line.
    pub line: u32,
    /// Column in the line in characters, from 1; 0 when it belongs to no line.
    pub column: u32,
    /// JSON pointer to the place.
    pub pointer: String,
    /// What is wrong, what is allowed, and the nearest known key.
    pub message: String,
}
