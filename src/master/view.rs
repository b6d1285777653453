//! The state of everything, gathered: books, board and plan put side by side.

use super::run::Master;
use super::snapshot::{
    BackendView, CounterView, ListenerView, PoolView, RouteView, ServiceState, Snapshot, Totals,
    WorkerView,
};
use crate::balance::health::{Health, State};
use crate::base::clock::{Clock, Time};
use crate::config::plan::{Action, Address, MemberPlan, Plan, PoolPlan, Rule};
use crate::observe::{Counter, Gauge, Reading};
use crate::shared::Tag;

impl Master {
    /// The state of everything now.
    pub(super) fn snapshot(&self) -> Snapshot {
        let now = Clock::now();
        let reading = self.board.read(now);
        let plan = &self.running.plan;
        Snapshot {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            state: self.state(),
            reason: self.reason.clone(),
            serial: self.running.serial,
            config_file: match &self.showcase {
                Some(_) => String::new(),
                None => self.options.config_path().display().to_string(),
            },
            uptime_seconds: now.since(self.started).as_secs(),
            last_apply: self.last_apply.clone(),
            workers: self.worker_views(&reading, now),
            listeners: self.listener_views(),
            routes: plan.rules.iter().map(|rule| route_view(plan, rule, &reading)).collect(),
            pools: plan.pools.iter().map(|pool| self.pool_view(pool, &reading, now)).collect(),
            totals: totals(&reading),
            counters: counters(&reading),
            warnings: self.running.warnings.clone(),
        }
    }

    fn state(&self) -> ServiceState {
        if self.supervisor.is_stopping() {
            ServiceState::Stopping
        } else if !self.was_ready {
            ServiceState::Starting
        } else if !self.reason.is_empty() || !self.supervisor.is_complete() {
            ServiceState::Degraded
        } else {
            ServiceState::Running
        }
    }

    fn worker_views(&self, reading: &Reading, now: Time) -> Vec<WorkerView> {
        let mut views: Vec<WorkerView> = self
            .supervisor
            .workers()
            .iter()
            .map(|worker| {
                let child = self.children.get(&worker.generation);
                let pid = child.map_or(0, |child| child.pid);
                let page = reading.workers.iter().find(|page| page.pid == pid);
                let gauge = |gauge| page.map_or(0, |page| page.gauge(gauge));
                WorkerView {
                    slot: worker.slot,
                    pid,
                    generation: worker.generation.0,
                    state: worker.phase.name().to_owned(),
                    serial: child.map_or(0, |child| child.serial),
                    uptime_seconds: now.since(worker.since).as_secs(),
                    adopted: worker.adopted,
                    connections: gauge(Gauge::FrontConnections),
                    back_connections: gauge(Gauge::BackConnections),
                    requests_total: page.map_or(0, |page| page.counter(Counter::Requests)),
                    restarts: worker.restarts,
                }
            })
            .collect();
        views.sort_by_key(|view| (view.slot, view.generation));
        views
    }

    fn listener_views(&self) -> Vec<ListenerView> {
        let views = self.running.sockets.iter().map(|socket| ListenerView {
            name: socket.listener.clone(),
            address: socket.address_text(),
            origin: socket.origin.word().to_owned(),
        });
        views.collect()
    }

    /// One pool with the live state of its backends.
    pub(super) fn pool_view(&self, pool: &PoolPlan, reading: &Reading, now: Time) -> PoolView {
        PoolView {
            name: pool.name.clone(),
            strategy: pool.strategy.word().to_owned(),
            backends: pool
                .members
                .iter()
                .map(|member| self.backend_view(pool, member, reading, now))
                .collect(),
        }
    }

    fn backend_view(
        &self,
        pool: &PoolPlan,
        member: &MemberPlan,
        reading: &Reading,
        now: Time,
    ) -> BackendView {
        let row = reading.row(Tag::member(member.id.0).value());
        let health = Health::of(row.shared, now);
        let resolved = match &member.address {
            Address::Name { host, .. } => {
                self.errands.addresses(host).iter().map(ToString::to_string).collect()
            }
            Address::Ip(_) | Address::Unix(_) => Vec::new(),
        };
        BackendView {
            pool: pool.name.clone(),
            address: member.text.clone(),
            weight: u32::from(member.weight),
            state: match health.state {
                State::Up => "up",
                State::Down => "down",
                State::Trial => "trial",
            }
            .to_owned(),
            failures: u64::from(health.failures),
            max_failures: u64::from(member.max_failures),
            retry_in_ms: match health.state {
                State::Down => health.until.since(now).as_millis() as u64,
                State::Up | State::Trial => 0,
            },
            connections: row.open,
            requests_total: row.requests,
            failures_total: row.failures,
            resolved,
        }
    }
}

fn route_view(plan: &Plan, rule: &Rule, reading: &Reading) -> RouteView {
    RouteView {
        key: rule.key.clone(),
        name: rule.name.clone(),
        action: match &rule.action {
            Action::Pool(index) => {
                format!("pool {}", plan.pool(*index).map_or("?", |pool| pool.name.as_str()))
            }
            Action::Redirect { status, .. } => format!("redirect {status}"),
            Action::Respond { status, .. } => format!("respond {status}"),
        },
        requests_total: reading.row(Tag::route(&rule.name).value()).requests,
    }
}

fn totals(reading: &Reading) -> Totals {
    Totals {
        connections: reading.gauge(Gauge::FrontConnections),
        back_connections: reading.gauge(Gauge::BackConnections),
        exchanges: reading.gauge(Gauge::Exchanges),
        waiting: reading.gauge(Gauge::Waiting),
        connections_total: reading.counter(Counter::Accepted),
        requests_total: reading.counter(Counter::Requests),
        bytes_in_total: reading.counter(Counter::FrontReceived),
        bytes_out_total: reading.counter(Counter::FrontSent),
    }
}

fn counters(reading: &Reading) -> Vec<CounterView> {
    let views = Counter::ALL.iter().filter_map(|counter| {
        let value = reading.counter(*counter);
        let column = counter.column();
        let family = column.family.strip_prefix("cloudcup_").unwrap_or(column.family);
        let name = match column.label {
            "" => format!("{family}_total"),
            label => format!("{family}_total{{{label}}}"),
        };
        (value != 0).then_some(CounterView { name, value })
    });
    views.collect()
}
