//! What travels: option dictionaries, rows of tables, and the names of the documents of `Show`.
//!
//! Passive data. The server fills them, `cupctl` prints them; neither adds meaning of its own.

use std::collections::HashMap;
use zbus::{OwnedVariant, Variant};

/// The last argument of every method: `a{sv}`. Unknown keys are refused by the server.
pub type Options<'a> = HashMap<&'a str, Variant<'a>>;

/// One problem of a document: severity (`error` or `warning`), id, line, column (from 1; 0 = none),
/// JSON pointer, message.
pub type ProblemRow = (String, String, u32, u32, String, String);

/// One probed backend: the keys of [`check`].
pub type CheckRow = HashMap<String, OwnedVariant>;

/// Option keys of methods.
pub mod option {
    /// `t`: refuse with `Conflict` unless this serial runs (Apply, Reload).
    pub const EXPECTED_SERIAL: &str = "expected_serial";
    /// `s`: where the document came from, for the journal and the history (Apply).
    pub const SOURCE: &str = "source";
    /// `t`: most rows to answer (Show connections); at most 10 000.
    pub const LIMIT: &str = "limit";
}

/// Keys of a [`CheckRow`].
pub mod check {
    /// `s`: the pool's name.
    pub const POOL: &str = "pool";
    /// `s`: the backend's address as the configuration writes it.
    pub const BACKEND: &str = "backend";
    /// `as`: keys of the routes that lead to it.
    pub const ROUTES: &str = "routes";
    /// `b`: whether the probe succeeded.
    pub const HEALTHY: &str = "healthy";
    /// `q`: status of the response; 0 when there was none.
    pub const STATUS: &str = "status";
    /// `s`: why not; empty when healthy.
    pub const ERROR: &str = "error";
    /// `t`: microseconds the probe took.
    pub const DURATION_US: &str = "duration_us";
}

/// The documents that `Show` answers, each JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Process, workers, totals, last apply. Needs `inspect`.
    Status,
    /// The configuration text as applied. Needs `manage`.
    Config,
    /// The configuration with every default filled in. Needs `manage`.
    Effective,
    /// Pools and their backends. Needs `manage` (addresses).
    Backends,
    /// Route keys, rules and their actions. Needs `manage`.
    Routes,
    /// Live client connections. Needs `manage` (addresses).
    Connections,
    /// Counters by route, pool and status class. Needs `inspect`.
    Traffic,
    /// Counters of faults and refusals. Needs `inspect`.
    Errors,
}

impl Topic {
    /// Every topic, in the order of the manual.
    pub const ALL: [Topic; 8] = [
        Topic::Status,
        Topic::Config,
        Topic::Effective,
        Topic::Backends,
        Topic::Routes,
        Topic::Connections,
        Topic::Traffic,
        Topic::Errors,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Topic::Status => "status",
            Topic::Config => "config",
            Topic::Effective => "effective",
            Topic::Backends => "backends",
            Topic::Routes => "routes",
            Topic::Connections => "connections",
            Topic::Traffic => "traffic",
            Topic::Errors => "errors",
        }
    }

    /// The topic that `word` names.
    pub fn from_word(word: &str) -> Option<Topic> {
        Topic::ALL.into_iter().find(|topic| topic.as_str() == word)
    }

    /// The right that reading it needs.
    pub fn right(self) -> super::rights::Right {
        use super::rights::Right;
        match self {
            Topic::Status | Topic::Traffic | Topic::Errors => Right::Inspect,
            _ => Right::Manage,
        }
    }
}
