//! The only door into the master: what may be asked of it, and what it answers.
//!
//! The bus and the compat socket run on their own threads; they hold a [`CommandSender`], and each call
//! comes back through a oneshot. Who may ask what is decided by them before they ask.

use super::snapshot::{Snapshot, Why};
use crate::ipc::Finding;
use futures_channel::oneshot;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};

/// Most commands that wait for the master; one more is answered `Busy`.
const MAX_WAITING: usize = 64;

/// What may be asked of the master. Documents hold at most [`crate::ipc::MAX_DOCUMENT`] bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Read the configuration file again and apply it: [`Answer::Serial`].
    Reload,
    /// Check a document: [`Answer::Findings`] (an invalid document is an answer, not an error).
    Validate {
        /// The document.
        text: String,
    },
    /// What applying a document would change: [`Answer::Plan`].
    Plan {
        /// The document.
        text: String,
    },
    /// Apply a document over all workers, all or none: [`Answer::Serial`].
    Apply {
        /// The document.
        text: String,
        /// Refuse with `Conflict` unless this serial runs.
        expected_serial: Option<u64>,
        /// Who applies, for history and journal: `file` or `api:UID`.
        source: String,
    },
    /// Probe backends now: [`Answer::Probes`]. Both empty: all backends.
    Check {
        /// Addresses as the configuration has them.
        backends: Vec<String>,
        /// Rule names or route keys.
        routes: Vec<String>,
    },
    /// Explain the way of a request: [`Answer::Why`].
    Why {
        /// Request method.
        method: String,
        /// Absolute URL, or a path for any host.
        url: String,
        /// Request headers.
        headers: Vec<(String, String)>,
    },
    /// Set the log filter of master and workers: [`Answer::Done`].
    SetLogLevel {
        /// `error`, `warn`, `info`, `debug`, `trace` or `off`.
        filter: String,
    },
    /// Stop the service: [`Answer::Done`], then the drain begins.
    Stop {
        /// Close everything at once.
        hard: bool,
    },
    /// The state of everything: [`Answer::Snapshot`].
    Snapshot,
    /// OpenMetrics text: [`Answer::Text`].
    Metrics,
    /// Front connections of all workers: [`Answer::Json`] with an array of objects.
    Connections {
        /// Most entries.
        limit: u32,
    },
    /// The running document: [`Answer::Text`].
    Config {
        /// Every default written out.
        effective: bool,
    },
}

/// What the master answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Done; there is nothing to tell.
    Done,
    /// The serial that runs now.
    Serial(u64),
    /// Problems of a document; none at all is good news.
    Findings(Vec<Finding>),
    /// What an apply would do.
    Plan(PlanAnswer),
    /// Results of probes, in the order asked.
    Probes(Vec<Probe>),
    /// The way of a request.
    Why(Why),
    /// The state of everything.
    Snapshot(Box<Snapshot>),
    /// Plain text.
    Text(String),
    /// JSON made elsewhere.
    Json(serde_json::Value),
}

/// What an apply of a document would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanAnswer {
    /// The serial that runs now.
    pub serial: u64,
    /// Whether the document would be accepted.
    pub valid: bool,
    /// Its problems.
    pub findings: Vec<Finding>,
    /// One line per change; none when nothing would change.
    pub changes: Vec<String>,
}

/// Result of one probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Pool of the backend.
    pub pool: String,
    /// Address of the backend as the configuration has it.
    pub backend: String,
    /// It answers.
    pub healthy: bool,
    /// Status of the response; 0 when there was none.
    pub status: u16,
    /// Time until the answer in microseconds.
    pub micros: u64,
    /// What happened, in a few words.
    pub detail: String,
}

/// Why a command failed; each kind is a D-Bus error `org.cloudcup1.Error.KIND`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorKind {
    /// The document, or its file, was refused; nothing changed.
    Refused,
    /// Another serial runs than the caller expected.
    Conflict,
    /// Another apply is under way, or too many commands wait.
    Busy,
    /// No such route, pool or backend.
    NotFound,
    /// An argument makes no sense.
    InvalidArgument,
    /// Not in this version.
    NotSupported,
    /// It took too long.
    TimedOut,
    /// The service is stopping.
    Stopping,
    /// Anything else; the message says what.
    Failed,
}

impl ErrorKind {
    /// The last part of the D-Bus error name.
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::Refused => "Refused",
            ErrorKind::Conflict => "Conflict",
            ErrorKind::Busy => "Busy",
            ErrorKind::NotFound => "NotFound",
            ErrorKind::InvalidArgument => "InvalidArgument",
            ErrorKind::NotSupported => "NotSupported",
            ErrorKind::TimedOut => "TimedOut",
            ErrorKind::Stopping => "Stopping",
            ErrorKind::Failed => "Failed",
        }
    }
}

/// A command that failed. Nothing was changed by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlError {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// One sentence for a person.
    pub message: String,
    /// The document's problems, when it was refused.
    pub findings: Vec<Finding>,
}

impl ControlError {
    /// An error without findings.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> ControlError {
        ControlError { kind, message: message.into(), findings: Vec::new() }
    }
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ControlError {}

/// The outcome of a command.
pub type Reply = Result<Answer, ControlError>;

/// A command under way.
#[derive(Debug)]
pub struct Request {
    /// What is asked.
    pub command: Command,
    /// Where the outcome goes; whoever asked may have gone.
    pub reply: oneshot::Sender<Reply>,
}

/// The asking side; one per thread that serves clients.
#[derive(Clone, Debug)]
pub struct CommandSender {
    queue: SyncSender<Request>,
    waker: Arc<mio::Waker>,
}

impl CommandSender {
    /// Asks the master. The receiver yields the outcome; it is cancelled when the master ends first.
    /// A full queue answers `Busy` at once.
    pub fn call(&self, command: Command) -> oneshot::Receiver<Reply> {
        let (reply, outcome) = oneshot::channel();
        if let Err(error) = self.queue.try_send(Request { command, reply }) {
            let (request, kind) = match error {
                mpsc::TrySendError::Full(request) => (request, ErrorKind::Busy),
                mpsc::TrySendError::Disconnected(request) => (request, ErrorKind::Stopping),
            };
            let text = match kind {
                ErrorKind::Busy => "too many commands wait",
                _ => "the service is stopping",
            };
            // The receiver is in our hands, so it can't have gone.
            let _sent = request.reply.send(Err(ControlError::new(kind, text)));
            return outcome;
        }
        if let Err(error) = self.waker.wake() {
            tracing::warn!(%error, "cannot wake the master's loop");
        }
        outcome
    }
}

/// The door: (the side that asks, the side of the master's loop, which `waker` wakes).
pub fn channel(waker: Arc<mio::Waker>) -> (CommandSender, Receiver<Request>) {
    let (queue, requests) = mpsc::sync_channel(MAX_WAITING);
    (CommandSender { queue, waker }, requests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_reach_the_loop_and_a_full_queue_is_busy() {
        let poll = mio::Poll::new().unwrap();
        let waker = Arc::new(mio::Waker::new(poll.registry(), mio::Token(0)).unwrap());
        let (sender, requests) = channel(waker);
        let mut outcomes: Vec<_> =
            (0..=MAX_WAITING).map(|_| sender.call(Command::Snapshot)).collect();
        let busy = outcomes.pop().unwrap().try_recv().unwrap().unwrap();
        assert_eq!(busy.unwrap_err().kind, ErrorKind::Busy);
        let request = requests.recv().unwrap();
        assert_eq!(request.command, Command::Snapshot);
        request.reply.send(Ok(Answer::Serial(4))).unwrap();
        let mut first = outcomes.remove(0);
        assert_eq!(first.try_recv().unwrap().unwrap(), Ok(Answer::Serial(4)));
        drop(requests);
        let stopping = sender.call(Command::Reload).try_recv().unwrap().unwrap();
        assert_eq!(stopping.unwrap_err().kind, ErrorKind::Stopping);
    }
}
