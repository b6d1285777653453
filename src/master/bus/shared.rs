//! What all connections of the control surface share: the door to the master, the rights, and the
//! latest snapshot.

use super::access::{Access, Sight};
use super::failure::Failure;
use super::tree::{Nodes, nodes};
use crate::base::clock::{Clock, Time};
use crate::control::names;
use crate::master::command::{Answer, Command, CommandSender};
use crate::master::snapshot::Snapshot;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// A snapshot younger than this answers readers of properties without asking the master.
const SNAPSHOT_LIFE: Duration = Duration::from_millis(200);
/// Longest wait for the master's answer; checks of many slow backends take the longest.
const ANSWER_WAIT: Duration = Duration::from_secs(60);

/// The common part of all connections.
#[derive(Debug)]
pub struct Shared {
    commands: CommandSender,
    /// Who may do what.
    pub access: Access,
    latest: Mutex<Option<(Time, Arc<View>)>>,
    ids: RandomState,
    /// What is counted besides [`Access`].
    pub counters: Counters,
}

/// What the control surface counts besides [`Access`].
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections on the control socket now.
    pub peers: AtomicU64,
    /// Connections refused because of their bounds, over the service's life.
    pub peers_limit_hit_total: AtomicU64,
    /// 1 while the service has its name on a bus.
    pub bus_connected: AtomicU64,
}

/// The state of everything at a moment, with its objects by path (made when first asked for).
#[derive(Debug, Default)]
pub struct View {
    /// The state.
    pub snapshot: Snapshot,
    nodes: OnceLock<Nodes>,
}

impl View {
    /// A view of `snapshot`.
    pub fn new(snapshot: Snapshot) -> View {
        View { snapshot, nodes: OnceLock::new() }
    }

    /// Its objects by path.
    pub fn nodes(&self, shared: &Shared) -> &Nodes {
        self.nodes.get_or_init(|| nodes(shared, &self.snapshot))
    }
}

/// A number of the control surface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Name of the family, without the suffix of counters.
    pub family: &'static str,
    /// Whether it only grows.
    pub counter: bool,
    /// What it is.
    pub help: &'static str,
    /// Its value.
    pub value: u64,
}

impl Shared {
    /// Asks through `commands`, admits by `access`.
    pub fn new(commands: CommandSender, access: Access) -> Shared {
        Shared {
            commands,
            access,
            latest: Mutex::default(),
            ids: RandomState::new(),
            counters: Counters::default(),
        }
    }

    /// All numbers of the control surface.
    pub fn samples(&self) -> [Sample; 5] {
        let sample = |family, counter, help, value: &AtomicU64| {
            let value = value.load(Ordering::Relaxed);
            Sample { family, counter, help, value }
        };
        let Counters { peers, peers_limit_hit_total, bus_connected } = &self.counters;
        [
            sample("cloudcup_control_peers", false, "Connections on the control socket.", peers),
            sample(
                "cloudcup_control_peers_limit_hit",
                true,
                "Callers of the control socket turned away because too many were connected.",
                peers_limit_hit_total,
            ),
            sample(
                "cloudcup_control_pending_limit_hit",
                true,
                "Calls refused because their sender had too many pending.",
                &self.access.pending_limit_hit_total,
            ),
            sample(
                "cloudcup_control_refused",
                true,
                "Calls refused for lack of a right.",
                &self.access.refused_total,
            ),
            sample(
                "cloudcup_control_bus_connected",
                false,
                "Whether the service has its name on a bus.",
                bus_connected,
            ),
        ]
    }

    /// `text`, which ends as OpenMetrics does, with the numbers of the control surface.
    pub fn with_samples(&self, text: &str) -> String {
        let mut out = text.strip_suffix("# EOF\n").unwrap_or(text).to_owned();
        for Sample { family, counter, help, value } in self.samples() {
            let (kind, suffix) = if counter { ("counter", "_total") } else { ("gauge", "") };
            out.push_str(&format!(
                "# TYPE {family} {kind}\n# HELP {family} {help}\n{family}{suffix} {value}\n"
            ));
        }
        out.push_str("# EOF\n");
        out
    }

    /// Puts `command` to the master. Errors: the master's own, `Stopping`, `TimedOut`.
    pub async fn ask(&self, command: Command) -> Result<Answer, Failure> {
        let Ok(runtime) = zruntime::SharedRuntime::current() else {
            return Err(Failure::stopping());
        };
        match runtime.timeout(ANSWER_WAIT, self.commands.call(command)).await {
            Ok(Ok(reply)) => reply.map_err(Failure::from),
            Ok(Err(_)) => Err(Failure::stopping()),
            Err(_) => Err(Failure::new(names::ERROR_TIMED_OUT, "the master does not answer")),
        }
    }

    /// The state of everything, at most [`SNAPSHOT_LIFE`] old.
    pub async fn view(&self) -> Result<Arc<View>, Failure> {
        let now = Clock::now();
        if let Some((at, view)) = &*self.latest.lock().unwrap_or_else(PoisonError::into_inner)
            && now.since(*at) < SNAPSHOT_LIFE
        {
            return Ok(Arc::clone(view));
        }
        self.refresh().await
    }

    /// The state of everything as it is now.
    pub async fn refresh(&self) -> Result<Arc<View>, Failure> {
        match self.ask(Command::Snapshot).await? {
            Answer::Snapshot(snapshot) => {
                let view = Arc::new(View::new(*snapshot));
                let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
                *latest = Some((Clock::now(), Arc::clone(&view)));
                Ok(view)
            }
            other => Err(unexpected(&other)),
        }
    }

    /// The identity of a backend in object paths: stable while the master lives, and keyed by chance
    /// so that it tells nothing about the address to those who may not see it.
    pub fn backend_id(&self, pool: &str, address: &str) -> u64 {
        self.ids.hash_one((pool, address))
    }
}

/// The error for an answer of a kind that the command does not have: a fault of ours, said aloud.
pub fn unexpected(answer: &Answer) -> Failure {
    tracing::error!(?answer, "the master gave an answer of another kind");
    Failure::new(names::ERROR_FAILED, "the master gave an answer of another kind")
}

/// `snapshot` as `sight` may see it.
pub fn visible(snapshot: &Snapshot, sight: Sight) -> Snapshot {
    let mut shown = snapshot.clone();
    if sight == Sight::Plain {
        shown.config_file.clear();
        shown.reason.clear();
        shown.last_apply.message.clear();
        shown.warnings.clear();
        for route in &mut shown.routes {
            route.action.clear();
        }
        for backend in shown.pools.iter_mut().flat_map(|pool| &mut pool.backends) {
            backend.address.clear();
            backend.resolved.clear();
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::master::snapshot::{BackendView, PoolView, RouteView};

    fn snapshot() -> Snapshot {
        Snapshot {
            config_file: "/etc/secret-place.json".into(),
            reason: "/etc/secret-place.json:3".into(),
            warnings: vec!["secret-place".into()],
            routes: vec![RouteView {
                key: "/a".into(),
                action: "redirect 308 https://secret-place/".into(),
                ..RouteView::default()
            }],
            pools: vec![PoolView {
                name: "api".into(),
                backends: vec![BackendView {
                    address: "secret-place:80".into(),
                    resolved: vec!["secret-place".into()],
                    requests_total: 7,
                    ..BackendView::default()
                }],
                ..PoolView::default()
            }],
            ..Snapshot::default()
        }
    }

    #[test]
    fn a_plain_look_shows_counters_and_no_places() {
        let shown = visible(&snapshot(), Sight::Plain);
        assert!(!serde_json::to_string(&shown).unwrap().contains("secret-place"));
        assert_eq!(shown.pools[0].backends[0].requests_total, 7);
        assert_eq!(visible(&snapshot(), Sight::Full), snapshot());
    }
}
