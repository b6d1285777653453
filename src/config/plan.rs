//! The plan: what a checked document means. Immutable and total; holds no text that still has to
//! be understood and no state of a running proxy.
//!
//! Indices ([`PoolIndex`], [`ListenerIndex`], [`RuleId`]) are valid in the plan that made them and
//! in no other; what must survive a change of plan is keyed by names and [`MemberId`].

use std::net::SocketAddr;
use std::sync::Arc;

use ipnet::IpNet;
use sha2::{Digest, Sha256};

use crate::policy::Terms;
use crate::route::{Condition, ListenerIndex, RouteTable, RuleId};

use super::redirect::Template;
use super::terms::TermsSet;

/// Position of a pool in [`Plan::pools`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolIndex(pub u32);

/// Stable name of a member: a hash of its pool's name and its address text, never of its position,
/// so that health and counters follow it through changes of plan. Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemberId(pub u64);

impl MemberId {
    /// The id of the `nth` (from 0) member with address `text` in pool `pool`.
    pub fn new(pool: &str, text: &str, nth: usize) -> MemberId {
        let mut hash = Sha256::new();
        hash.update(pool.as_bytes());
        hash.update([0]);
        hash.update(text.as_bytes());
        if nth > 0 {
            hash.update([0]);
            hash.update(nth.to_le_bytes());
        }
        let digest = hash.finalize();
        let mut word = [0; 8];
        word.copy_from_slice(&digest[..8]);
        MemberId(u64::from_le_bytes(word).max(1))
    }
}

/// Which form the document had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The format of this program.
    Current,
    /// The seed's format (a file with `root`).
    Seed,
}

/// A checked configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Which form the document had.
    pub format: Format,
    /// Listeners in the order of the document. Never empty.
    pub listeners: Vec<ListenerPlan>,
    /// Host, path and conditions to rule.
    pub routes: RouteTable,
    /// What a [`RuleId`] of `routes` means.
    pub rules: Vec<Rule>,
    /// Shared pools first, then the anonymous ones of inline backends.
    pub pools: Vec<PoolPlan>,
    /// Terms of an exchange that met no listener's and no route's: the top level's.
    pub terms: Arc<Terms>,
    /// Caps of the whole process.
    pub limits: ProcessLimits,
    /// Where and what to record.
    pub log: LogPlan,
    /// How many workers, and threads in each.
    pub workers: WorkersPlan,
}

impl Plan {
    /// The rule behind an id that [`RouteTable::lookup`] of this plan gave.
    pub fn rule(&self, id: RuleId) -> Option<&Rule> {
        self.rules.get(id.0 as usize)
    }

    /// The pool at `index`.
    pub fn pool(&self, index: PoolIndex) -> Option<&PoolPlan> {
        self.pools.get(index.0 as usize)
    }

    /// The listener at `index`.
    pub fn listener(&self, index: ListenerIndex) -> Option<&ListenerPlan> {
        self.listeners.get(usize::from(index.0))
    }

    /// The position of the listener called `name` (systemd's `FileDescriptorName=`).
    pub fn listener_index(&self, name: &str) -> Option<ListenerIndex> {
        let found = self.listeners.iter().position(|listener| listener.name == name)?;
        u16::try_from(found).ok().map(ListenerIndex)
    }
}

/// One listener.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerPlan {
    /// Its key, and systemd's `FileDescriptorName=`.
    pub name: String,
    /// Where to bind when no socket of this name was passed.
    pub addresses: Vec<ListenAddress>,
    /// Peers whose forwarding fields are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Terms of a connection before its request has found a route.
    pub terms: Arc<Terms>,
    /// What the listener says itself.
    pub own: TermsSet,
}

/// Where a listener binds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// TCP.
    Tcp(SocketAddr),
    /// A unix stream socket at this absolute path.
    Unix(String),
}

/// One rule: what to do with the requests that reach it.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Stable name in records and metrics, unique in the plan; the key unless the rule has a name.
    pub name: String,
    /// The route key it stands under.
    pub key: String,
    /// What it does.
    pub action: Action,
    /// What it asks besides host and path.
    pub condition: Condition,
    /// What the rule says itself about time-outs and limits.
    pub own: TermsSet,
    /// Terms by listener.
    pub(super) terms: Vec<Arc<Terms>>,
}

impl Rule {
    /// The terms of a request that came by `listener`. Any listener of the same plan has some.
    pub fn terms(&self, listener: ListenerIndex) -> Option<&Arc<Terms>> {
        self.terms.get(usize::from(listener.0)).or(self.terms.first())
    }
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Forward to a pool.
    Pool(PoolIndex),
    /// Answer with a redirect.
    Redirect {
        /// The new location.
        to: Template,
        /// 301, 302, 303, 307 or 308.
        status: u16,
    },
    /// Answer with fixed words.
    Respond {
        /// 200 to 599.
        status: u16,
        /// Fields, framing and hop-by-hop ones never among them.
        headers: Vec<(String, String)>,
        /// The body, as it is sent.
        body: Arc<[u8]>,
    },
}

/// How a pool picks. Other strategies are not part of this version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// One after the other, fair over all workers together.
    #[default]
    RoundRobin,
}

impl Strategy {
    /// The word of the configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Strategy::RoundRobin => "round-robin",
        }
    }
}

/// A set of backends that stand for each other.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolPlan {
    /// Its key, or the name of the rule that it stands in. Unique in the plan.
    pub name: String,
    /// Whether it stands inline in a rule.
    pub inline: bool,
    /// How to pick.
    pub strategy: Strategy,
    /// At least one.
    pub members: Vec<MemberPlan>,
    /// Terms of a connection that no exchange uses (top level, then the pool's own).
    pub terms: Arc<Terms>,
    /// What the pool says itself.
    pub own: TermsSet,
}

/// One backend.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberPlan {
    /// Stable id.
    pub id: MemberId,
    /// Where it is.
    pub address: Address,
    /// `address` in its one spelling (port always there).
    pub text: String,
    /// Its share of the picks; 1 in this version.
    pub weight: u16,
    /// Failures in a row after which it rests; 0 = it never does.
    pub max_failures: u32,
}

/// Where a backend is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// An address.
    Ip(SocketAddr),
    /// A name, resolved at run time.
    Name {
        /// The host name, lower case, without a trailing dot.
        host: String,
        /// The port.
        port: u16,
    },
    /// A unix stream socket at this absolute path.
    Unix(String),
}

/// Caps of the whole process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessLimits {
    /// Client connections over all workers; `None` = as many as the descriptors allow.
    pub connections: Option<u32>,
}

/// Where access records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// Nowhere.
    Off,
    /// The journal, native fields.
    Journal,
    /// Standard error, JSON lines.
    Stderr,
    /// A file, JSON lines.
    File(String),
}

/// What is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPlan {
    /// Where access records go.
    pub access: AccessLog,
    /// One of how many exchanges with a status below 500 is recorded; 1 = each. Those with 500 and
    /// above always are.
    pub sample: u32,
    /// Whether the path in an access record keeps its query string.
    pub query: bool,
    /// Life-cycle events of this level and above: `error warn info debug trace`.
    pub level: String,
}

/// How many workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkersPlan {
    /// Processes; `None` = as many as CPUs may be used.
    pub count: Option<u16>,
    /// Threads for long work in each; `None` = chosen by the worker.
    pub threads: Option<u16>,
}
