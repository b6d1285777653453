//! The clerk as the master holds it: names to resolve, probes to make, and its respawn.
//!
//! Nothing here waits for the clerk: without one, names keep the addresses they have, and probes fail
//! with a clear word.

use super::child;
use super::command::{Answer, ControlError, ErrorKind, Probe, Reply};
use super::run::Master;
use super::watch::{Helper, Source, Watch};
use crate::base::clock::{Clock, Time};
use crate::config::plan::{Action, Address, Plan};
use crate::ipc::{
    FdIndex, FromClerk, Link, LinkError, ProbeKind, ProbeTarget, ResolvedName, ToClerk, ToWorker,
};
use crate::observe::ids;
use crate::sys::{memfd, poll, process};
use futures_channel::oneshot;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

/// Time for one probe.
const PROBE_LIMIT: Duration = Duration::from_secs(5);
/// Time for all probes of one check.
const CHECK_LIMIT: Duration = Duration::from_secs(30);
/// Pause before a dead clerk is started again; doubles up to [`RESPAWN_MAX`].
const RESPAWN: Duration = Duration::from_millis(100);
const RESPAWN_MAX: Duration = Duration::from_secs(10);
/// A clerk that lived for longer is started again at once.
const YOUNG: Duration = Duration::from_secs(10);
/// Most addresses that are kept of one name.
const MAX_ADDRESSES: usize = 16;
/// Most names in one message to a worker.
const NAMES_PER_MESSAGE: usize = 64;
/// Time for a killed clerk to go, so that the manager finds no process left over.
const FAREWELL: Duration = Duration::from_millis(200);
/// Most checks under way.
const MAX_CHECKS: usize = 8;

/// Errands and who runs them.
#[derive(Debug, Default)]
pub struct Errands {
    clerk: Option<Helper>,
    started_at: Time,
    pause: Duration,
    respawn_at: Option<Time>,
    wanted: BTreeSet<String>,
    resolved: BTreeMap<String, Vec<IpAddr>>,
    next_probe: u64,
    checks: Vec<Check>,
}

#[derive(Debug)]
struct Check {
    probes: Vec<Probe>,
    /// Number of a probe under way, and its place in `probes`.
    waiting: BTreeMap<u64, usize>,
    deadline: Time,
    reply: Option<oneshot::Sender<Reply>>,
}

impl Errands {
    /// Addresses of names as a sealed memory file for a worker.
    pub fn resolved_file(&self) -> io::Result<OwnedFd> {
        let list: Vec<ResolvedName> = self
            .resolved
            .iter()
            .map(|(host, list)| ResolvedName { host: host.clone(), addresses: list.clone() })
            .collect();
        memfd::sealed("resolved", &serde_json::to_vec(&list).map_err(io::Error::other)?)
    }

    /// Addresses of one name, as far as they are known.
    pub fn addresses(&self, host: &str) -> &[IpAddr] {
        self.resolved.get(host).map_or(&[], Vec::as_slice)
    }

    /// A plan may come to run: its names are resolved beside those of the running one.
    pub fn prepare(&mut self, plan: &Plan) {
        let names = names_of(plan);
        if !names.is_subset(&self.wanted) {
            self.wanted.extend(names);
            self.send_names();
        }
    }

    /// A plan runs: only its names are resolved from now on.
    pub fn follow(&mut self, plan: &Plan) {
        let names = names_of(plan);
        self.resolved.retain(|host, _| names.contains(host));
        if names != self.wanted {
            self.wanted = names;
            self.send_names();
        }
    }

    /// When something is due.
    pub fn next_deadline(&self) -> Option<Time> {
        let checks = self.checks.iter().map(|check| check.deadline);
        checks.chain(self.respawn_at).min()
    }

    fn spawn(&mut self, program: &Path, watch: &mut Watch) -> io::Result<()> {
        let (link, theirs) = Link::pair()?;
        let spawned = process::spawn(program, &child::arguments("clerk"), theirs)?;
        let tokens = (
            watch.add(link.as_fd(), Source::ClerkLink)?,
            watch.add(spawned.pidfd.as_fd(), Source::ClerkEnd)?,
        );
        let mut clerk = Helper { pid: spawned.pid, pidfd: spawned.pidfd, link, tokens };
        clerk.link.post(&ToClerk::Hello(child::hello(0)), Vec::new()).map_err(io::Error::other)?;
        self.clerk = Some(clerk);
        self.started_at = Clock::now();
        self.send_names();
        Ok(())
    }

    fn send_names(&mut self) {
        let Some(clerk) = &mut self.clerk else { return };
        let list: Vec<&String> = self.wanted.iter().collect();
        let sent = serde_json::to_vec(&list)
            .map_err(io::Error::other)
            .and_then(|bytes| memfd::sealed("names", &bytes))
            .map_err(LinkError::Io)
            .and_then(|file| clerk.link.post(&ToClerk::Names(FdIndex(0)), vec![file]));
        if let Err(error) = sent {
            tracing::warn!(%error, "cannot give the clerk its names");
        }
    }
}

/// The host names of a plan's backends.
fn names_of(plan: &Plan) -> BTreeSet<String> {
    let members = plan.pools.iter().flat_map(|pool| &pool.members);
    members
        .filter_map(|member| match &member.address {
            Address::Name { host, .. } => Some(host.clone()),
            Address::Ip(_) | Address::Unix(_) => None,
        })
        .collect()
}

/// Whether a resolved name may lead there: link-local addresses (cloud metadata among them) are reached
/// only by writing them down as addresses.
fn may_reach(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            !(v4.is_link_local() || v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast())
        }
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => may_reach(IpAddr::V4(v4)),
            None => {
                !(v6.is_unicast_link_local() || v6.is_unspecified() || v6.is_multicast())
                    && v6.octets() != METADATA_V6
            }
        },
    }
}

/// fd00:ec2::254, the metadata service of a large cloud.
const METADATA_V6: [u8; 16] = [0xfd, 0, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54];

impl Master {
    /// Starts the clerk if its time has come.
    pub(super) fn start_clerk(&mut self) {
        self.errands.respawn_at = None;
        if let Err(error) = self.errands.spawn(&self.program, &mut self.watch) {
            tracing::error!(%error, "cannot start the clerk: names stay as they are");
            self.plan_clerk();
        }
    }

    fn plan_clerk(&mut self) {
        let now = Clock::now();
        let errands = &mut self.errands;
        let young = now.since(errands.started_at) < YOUNG;
        errands.pause = match young {
            true => (errands.pause * 2).clamp(RESPAWN, RESPAWN_MAX),
            false => Duration::ZERO,
        };
        errands.respawn_at = Some(now.after(errands.pause));
    }

    /// Takes what the clerk has sent.
    pub(super) fn hear_clerk(&mut self) {
        loop {
            let Some(clerk) = &mut self.errands.clerk else { return };
            if let Err(error) = clerk.link.flush() {
                tracing::debug!(%error, "the clerk's link is broken");
                return;
            }
            match clerk.link.receive::<FromClerk>() {
                Ok(Some(received)) => match received.message {
                    FromClerk::Hello(_) => {}
                    FromClerk::Resolved(list) => self.on_resolved(list),
                    FromClerk::Probed { id, result } => self.on_probed(id, result),
                },
                Ok(None) => return,
                // Its end follows by the pidfd; a clerk that talks nonsense is ended by us.
                Err(LinkError::Closed) => return,
                Err(error) => {
                    tracing::error!(%error, "the clerk sent nonsense");
                    let pidfd = clerk.pidfd.as_fd();
                    if let Err(error) = process::kill(pidfd) {
                        tracing::debug!(%error, "cannot kill the clerk");
                    }
                    return;
                }
            }
        }
    }

    /// Ends the clerk with the service: nothing that it does needs to be finished.
    pub(super) fn end_clerk(&mut self) {
        let Some(clerk) = self.errands.clerk.take() else { return };
        let ended = process::kill(clerk.pidfd.as_fd())
            .and_then(|()| poll::wait_ready(clerk.pidfd.as_fd(), false, FAREWELL));
        if let Err(error) = ended {
            tracing::debug!(%error, "cannot end the clerk");
        }
    }

    /// The clerk has ended.
    pub(super) fn bury_clerk(&mut self) {
        let Some(clerk) = self.errands.clerk.take() else { return };
        let exit = process::reap(clerk.pidfd.as_fd());
        self.watch.remove(clerk.link.as_fd(), clerk.tokens.0);
        self.watch.remove(clerk.pidfd.as_fd(), clerk.tokens.1);
        for check in &mut self.errands.checks {
            for (_, place) in std::mem::take(&mut check.waiting) {
                if let Some(probe) = check.probes.get_mut(place) {
                    "the clerk ended before it answered".clone_into(&mut probe.detail);
                }
            }
        }
        if self.supervisor.is_stopping() {
            return;
        }
        tracing::error!(pid = clerk.pid, "the clerk ended unexpectedly: {exit}");
        self.plan_clerk();
    }

    fn on_resolved(&mut self, list: Vec<ResolvedName>) {
        let mut changed = Vec::new();
        for mut name in list {
            if !self.errands.wanted.contains(&name.host) {
                continue;
            }
            let before = name.addresses.len();
            name.addresses.retain(|address| may_reach(*address));
            name.addresses.truncate(MAX_ADDRESSES);
            if name.addresses.is_empty() && before > 0 {
                tracing::warn!(
                    host = name.host,
                    "a backend's name has only link-local or metadata addresses: they are not used"
                );
            }
            let known = self.errands.resolved.get(&name.host);
            if name.addresses.is_empty() && known.is_none_or(|known| !known.is_empty()) {
                tracing::warn!(
                    MESSAGE_ID = ids::NAME_FAILED,
                    CUP_HOST = name.host,
                    "the backend name {} has no address",
                    name.host
                );
            }
            let addresses = name.addresses.clone();
            if self.errands.resolved.insert(name.host.clone(), addresses.clone()) != Some(addresses)
            {
                tracing::debug!(host = name.host, addresses = ?name.addresses, "resolved");
                changed.push(name);
            }
        }
        for part in changed.chunks(NAMES_PER_MESSAGE) {
            for child in self.children.values_mut().filter(|child| child.started) {
                child.post(&ToWorker::Resolved(part.to_vec()), Vec::new());
            }
        }
    }

    /// Begins to probe backends: those named, those of the routes named, or all.
    pub(super) fn begin_check(
        &mut self,
        backends: &[String],
        routes: &[String],
        reply: oneshot::Sender<Reply>,
    ) {
        match self.targets_of(backends, routes) {
            Ok(_) if self.errands.checks.len() >= MAX_CHECKS => {
                let busy = ControlError::new(ErrorKind::Busy, "too many checks are under way");
                let _gone = reply.send(Err(busy));
            }
            Ok(targets) => self.send_probes(targets, reply),
            Err(error) => {
                let _gone = reply.send(Err(error));
            }
        }
    }

    fn send_probes(&mut self, targets: Vec<(String, String)>, reply: oneshot::Sender<Reply>) {
        let errands = &mut self.errands;
        let mut check = Check {
            probes: Vec::new(),
            waiting: BTreeMap::new(),
            deadline: Clock::now().after(CHECK_LIMIT),
            reply: Some(reply),
        };
        for (pool, backend) in targets {
            let id = errands.next_probe;
            errands.next_probe += 1;
            let target = ProbeTarget {
                address: backend.clone(),
                host: backend
                    .strip_prefix("unix:")
                    .map_or_else(|| backend.clone(), |_| pool.clone()),
                kind: ProbeKind::Get { path: "/".to_owned() },
                timeout_ms: PROBE_LIMIT.as_millis() as u64,
            };
            let sent = match &mut errands.clerk {
                Some(clerk) => clerk.link.post(&ToClerk::Probe { id, target }, Vec::new()),
                None => Err(LinkError::Closed),
            };
            let detail = match sent {
                Ok(()) => {
                    check.waiting.insert(id, check.probes.len());
                    "no answer in time"
                }
                Err(_) => "the clerk is not there or overloaded",
            };
            check.probes.push(Probe {
                pool,
                backend,
                healthy: false,
                status: 0,
                micros: 0,
                detail: detail.to_owned(),
            });
        }
        errands.checks.push(check);
        self.settle_checks(Clock::now());
    }

    /// (pool, backend) of each probe that is asked for.
    fn targets_of(
        &self,
        backends: &[String],
        routes: &[String],
    ) -> Result<Vec<(String, String)>, ControlError> {
        let plan = &self.running.plan;
        let missing = |what: &str, name: &str| {
            Err(ControlError::new(ErrorKind::NotFound, format!("there is no {what} \"{name}\"")))
        };
        let mut pools: BTreeSet<usize> = BTreeSet::new();
        for name in routes {
            let rules: Vec<_> =
                plan.rules.iter().filter(|rule| rule.name == *name || rule.key == *name).collect();
            if rules.is_empty() {
                return missing("route", name);
            }
            pools.extend(rules.iter().filter_map(|rule| match rule.action {
                Action::Pool(index) => Some(index.0 as usize),
                _ => None,
            }));
        }
        let all = backends.is_empty() && routes.is_empty();
        let mut targets = BTreeSet::new();
        for (index, pool) in plan.pools.iter().enumerate() {
            for member in &pool.members {
                let named = backends.contains(&member.text);
                if all || named || pools.contains(&index) {
                    targets.insert((pool.name.clone(), member.text.clone()));
                }
            }
        }
        for name in backends {
            if targets.iter().all(|(_, backend)| backend != name) {
                return missing("backend", name);
            }
        }
        Ok(targets.into_iter().collect())
    }

    fn on_probed(&mut self, id: u64, result: crate::ipc::ProbeResult) {
        for check in &mut self.errands.checks {
            if let Some(place) = check.waiting.remove(&id)
                && let Some(probe) = check.probes.get_mut(place)
            {
                probe.healthy = result.healthy;
                probe.status = result.status;
                probe.micros = result.micros;
                probe.detail = result.detail;
                break;
            }
        }
        self.settle_checks(Clock::now());
    }

    fn settle_checks(&mut self, now: Time) {
        self.errands.checks.retain_mut(|check| {
            if !check.waiting.is_empty() && now < check.deadline {
                return true;
            }
            if let Some(reply) = check.reply.take() {
                let _gone = reply.send(Ok(Answer::Probes(std::mem::take(&mut check.probes))));
            }
            false
        });
    }

    /// A dead clerk's return, and checks that took too long.
    pub(super) fn tick_errands(&mut self, now: Time) {
        self.settle_checks(now);
        if self.errands.respawn_at.is_some_and(|at| at <= now) && !self.supervisor.is_stopping() {
            self.start_clerk();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_lead_to_metadata_or_link_local_addresses() {
        for text in ["169.254.169.254", "fe80::1", "::ffff:169.254.169.254", "fd00:ec2::254", "::"]
        {
            assert!(!may_reach(text.parse().unwrap()), "{text}");
        }
        for text in ["127.0.0.1", "10.0.0.1", "::1", "2001:db8::1"] {
            assert!(may_reach(text.parse().unwrap()), "{text}");
        }
    }
}
