//! Questions about what runs, answered from plan and board: why, plan, config, metrics.

use super::command::{Answer, Reply};
use super::run::Master;
use super::snapshot::{Why, WhyStep};
use crate::balance::health::{Health, State};
use crate::base::clock::Clock;
use crate::config::{self, ExplainRequest, Plan};
use crate::observe::metrics::{self, BackendSample, RouteSample, Scene};
use crate::shared::Tag;

impl Master {
    /// The way of a request through the running configuration, with the live state that decides.
    pub(super) fn why(&self, method: String, url: String, headers: Vec<(String, String)>) -> Reply {
        let plan = &self.running.plan;
        let request = ExplainRequest { method, url, headers, ..ExplainRequest::default() };
        let told = config::explain(plan, &request);
        let steps = told
            .steps
            .into_iter()
            .map(|step| WhyStep {
                what: step.stage,
                detail: format!("{}: {}", step.subject, step.reason),
                taken: step.passed,
            })
            .collect();
        let rule = told.rule.and_then(|index| plan.rules.get(index as usize));
        let pool = told.pool.and_then(|index| plan.pools.get(index as usize));
        let now = Clock::now();
        let reading = self.board.read(now);
        Ok(Answer::Why(Why {
            serial: self.running.serial,
            steps,
            rule: rule.map(|rule| rule.name.clone()).unwrap_or_default(),
            pool: pool.map(|pool| pool.name.clone()).unwrap_or_default(),
            backends: pool
                .map(|pool| self.pool_view(pool, &reading, now).backends)
                .unwrap_or_default(),
        }))
    }

    /// What would change, one sentence each.
    pub(super) fn changes_to(&self, plan: &Plan) -> Vec<String> {
        let changes = config::diff(&self.running.plan, plan);
        changes.into_iter().map(|change| change.sentence).collect()
    }

    /// The running document, as it was written or with every default.
    pub(super) fn config_text(&self, effective: bool) -> String {
        if effective { config::effective(&self.running.plan) } else { self.running.text.clone() }
    }

    /// The metrics as OpenMetrics text.
    pub(super) fn metrics(&self) -> String {
        let now = Clock::now();
        let reading = self.board.read(now);
        let plan = &self.running.plan;
        let mut backends = Vec::new();
        for (pool, member) in
            plan.pools.iter().flat_map(|pool| pool.members.iter().map(move |m| (pool, m)))
        {
            let row = reading.row(Tag::member(member.id.0).value());
            backends.push(BackendSample {
                pool: pool.name.clone(),
                backend: member.text.clone(),
                up: Health::of(row.shared, now).state != State::Down,
                row,
            });
        }
        let routes = plan.rules.iter().map(|rule| RouteSample {
            route: rule.name.clone(),
            row: reading.row(Tag::route(&rule.name).value()),
        });
        let scene = Scene {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            serial: self.running.serial,
            worker_starts: self.tallies.worker_starts,
            worker_deaths: self.tallies.worker_deaths,
            applies_accepted: self.tallies.applies_accepted,
            applies_refused: self.tallies.applies_refused,
            backends,
            routes: routes.collect(),
        };
        metrics::render(&reading, &scene)
    }
}
