//! The state of everything as plain data: what `status`, `show …` and the bus's objects show.
//!
//! Units are in the names; numbers are sums over all workers unless said. Addresses and file facts in
//! here are for those who may manage; the bus leaves them out for others. What a row lacks has its
//! default: cupctl may be of another version than the service.

use serde::{Deserialize, Serialize};

/// State of the whole service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceState {
    /// Workers are not all ready yet.
    #[default]
    Starting,
    /// All workers serve the configuration that was meant.
    Running,
    /// Serving, but not what was meant: an older configuration, none, or too few workers.
    Degraded,
    /// Draining before the end.
    Stopping,
}

impl ServiceState {
    /// The word that `status` and the bus show.
    pub fn name(self) -> &'static str {
        match self {
            ServiceState::Starting => "starting",
            ServiceState::Running => "running",
            ServiceState::Degraded => "degraded",
            ServiceState::Stopping => "stopping",
        }
    }
}

/// The last attempt to apply a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LastApply {
    /// It was accepted.
    pub accepted: bool,
    /// Serial that it got; when refused, the serial that stayed.
    pub serial: u64,
    /// Seconds since 1970.
    pub at_unix: u64,
    /// `start`, `file` or `api:UID`.
    pub source: String,
    /// One line: "applied", or why it was refused.
    pub message: String,
}

/// One worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerView {
    /// Its slot, the stable number of a worker's place.
    pub slot: u16,
    /// Its process id.
    pub pid: u32,
    /// Counts all workers that were ever started.
    pub generation: u64,
    /// `starting`, `ready`, `draining`.
    pub state: String,
    /// Serial that it runs.
    pub serial: u64,
    /// Seconds since it was started or adopted.
    pub uptime_seconds: u64,
    /// It outlived an earlier master.
    pub adopted: bool,
    /// Front connections now.
    pub connections: u64,
    /// Back connections now.
    pub back_connections: u64,
    /// Requests since it was started.
    pub requests_total: u64,
    /// Times that this slot's worker was replaced after it died.
    pub restarts: u64,
}

/// One backend of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackendView {
    /// Its pool.
    pub pool: String,
    /// Its address as the configuration has it.
    pub address: String,
    /// Its weight.
    pub weight: u32,
    /// `up`, `down` or `trial` (half-open).
    pub state: String,
    /// Failures in a row.
    pub failures: u64,
    /// Most failures in a row before it is down.
    pub max_failures: u64,
    /// Milliseconds until a trial; 0 when it is up.
    pub retry_in_ms: u64,
    /// Connections to it now.
    pub connections: u64,
    /// Requests sent to it.
    pub requests_total: u64,
    /// Requests that failed at it.
    pub failures_total: u64,
    /// Addresses that its name has now, when it is a name.
    pub resolved: Vec<String>,
}

/// One pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PoolView {
    /// Its name.
    pub name: String,
    /// How a backend is picked.
    pub strategy: String,
    /// Its backends, in the order of the configuration.
    pub backends: Vec<BackendView>,
}

/// One rule of the route table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteView {
    /// Key of the route.
    pub key: String,
    /// Name of the rule.
    pub name: String,
    /// What it does, in a few words: `pool api`, `redirect 308 …`, `respond 404`.
    pub action: String,
    /// Requests that took it.
    pub requests_total: u64,
}

/// One listening socket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListenerView {
    /// Listener of the configuration.
    pub name: String,
    /// Address of the socket.
    pub address: String,
    /// `systemd` or `bound`.
    pub origin: String,
}

/// Sums over all workers since the board was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Front connections now.
    pub connections: u64,
    /// Back connections now.
    pub back_connections: u64,
    /// Requests in flight now.
    pub exchanges: u64,
    /// Requests that wait for a connection to a backend now.
    pub waiting: u64,
    /// Front connections accepted.
    pub connections_total: u64,
    /// Requests answered.
    pub requests_total: u64,
    /// Bytes received from clients.
    pub bytes_in_total: u64,
    /// Bytes sent to clients.
    pub bytes_out_total: u64,
}

/// A number by name: every counter of the board that is not zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CounterView {
    /// Name of the metric, without `cloudcup_`.
    pub name: String,
    /// Its value.
    pub value: u64,
}

/// The state of everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    /// Version of the program.
    pub version: String,
    /// The master's process id.
    pub pid: u32,
    /// State of the service.
    pub state: ServiceState,
    /// Why it is degraded, in one line; empty otherwise.
    pub reason: String,
    /// Serial that runs; 0 when there is none.
    pub serial: u64,
    /// Path of the configuration file; empty in the demo.
    pub config_file: String,
    /// Seconds since the master started.
    pub uptime_seconds: u64,
    /// The last apply.
    pub last_apply: LastApply,
    /// All workers, by slot.
    pub workers: Vec<WorkerView>,
    /// All listening sockets.
    pub listeners: Vec<ListenerView>,
    /// All rules, in the order of the configuration.
    pub routes: Vec<RouteView>,
    /// All pools.
    pub pools: Vec<PoolView>,
    /// Sums.
    pub totals: Totals,
    /// Counters that are not zero: faults, offences, limits hit.
    pub counters: Vec<CounterView>,
    /// Warnings about the running configuration and the system.
    pub warnings: Vec<String>,
}

/// One step of the way of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WhyStep {
    /// `listener`, `host`, `path`, `rule`, `action`, `backend`.
    pub what: String,
    /// What was looked at and what came out of it.
    pub detail: String,
    /// It was taken (false: looked at and passed over).
    pub taken: bool,
}

/// The way of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Why {
    /// Serial of the configuration that was asked.
    pub serial: u64,
    /// Each step, in order.
    pub steps: Vec<WhyStep>,
    /// Name of the rule; empty when none matches.
    pub rule: String,
    /// Pool of the rule; empty for other actions.
    pub pool: String,
    /// The pool's backends with the state that decides.
    pub backends: Vec<BackendView>,
}
