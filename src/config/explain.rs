//! Why a request goes where it goes: the walk of the route table in words, by the plan alone.
//!
//! What only the running proxy knows (which backend is up, what a worker holds) is added by it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::effective;
use super::json::Tree;
use super::plan::{Action, Plan};
use super::redirect::Given;
use super::terms::TermsSet;
use crate::route::{self, HostPattern, ListenerIndex, Mismatch, RuleId, host, path};

/// A request that somebody wonders about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainRequest {
    /// The method; empty = GET.
    #[serde(default)]
    pub method: String,
    /// `http://host/path?query`, `host/path` or `/path` (the host then from a `Host` header).
    pub url: String,
    /// Header fields.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// The listener's name; `None` = the first one.
    #[serde(default)]
    pub listener: Option<String>,
    /// The peer.
    #[serde(default)]
    pub client: Option<IpAddr>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// `request`, `host`, `route`, `rule` or `action`.
    pub stage: String,
    /// What was looked at.
    pub subject: String,
    /// Whether it went on from here; a rule that does not apply has `false`.
    pub passed: bool,
    /// Why.
    pub reason: String,
}

/// The whole way of a request through the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The steps in their order.
    pub steps: Vec<Step>,
    /// The rule that takes it, by number.
    pub rule: Option<u32>,
    /// Its pool, where it has one, by number.
    pub pool: Option<u32>,
    /// The status with which the proxy itself answers, where it does.
    pub status: Option<u16>,
}

/// Explains a request. It is the walk that a worker makes.
pub fn explain(plan: &Plan, request: &ExplainRequest) -> Explanation {
    let mut out = Explanation { steps: Vec::new(), rule: None, pool: None, status: None };
    let target = Target::of(request);
    let method = if request.method.is_empty() { "GET" } else { &request.method };
    let listener = match &request.listener {
        None => Some(ListenerIndex(0)),
        Some(name) => plan.listener_index(name),
    };
    let Some(listener) = listener else {
        let name = request.listener.as_deref().unwrap_or_default();
        out.step("request", name, false, "no listener has this name");
        return out;
    };
    let name = plan.listener(listener).map_or("", |listener| listener.name.as_str());
    let shown = format!("{method} {} on host {:?}", target.path, target.host);
    if let Err(fault) = path::check(target.path.as_bytes()) {
        out.step("request", &shown, false, &format!("refused with 400: {}", fault.sentence()));
        out.status = Some(400);
        return out;
    }
    out.step("request", &shown, true, &format!("it comes by the listener {name:?}"));
    let facts = route::Request {
        listener,
        client: request.client,
        method: method.as_bytes(),
        host: target.host.as_bytes(),
        path: target.path.as_bytes(),
        query: target.query.map(str::as_bytes),
        fields: &request.headers,
    };
    let (rule, steps) = plan.routes.explain(&facts);
    for step in steps {
        out.route_step(plan, step);
    }
    match rule {
        Some(rule) => out.action(plan, rule, listener, &target),
        None => {
            out.status = Some(404);
            out.step("action", "404", true, "no rule takes the request");
        }
    }
    out
}

/// The parts of a URL, as a worker sees them.
struct Target<'r> {
    host: &'r str,
    path: &'r str,
    query: Option<&'r str>,
}

impl<'r> Target<'r> {
    fn of(request: &'r ExplainRequest) -> Target<'r> {
        let url = request.url.split('#').next().unwrap_or_default();
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let cut = rest.find(['/', '?']).unwrap_or(rest.len());
        let (mut host, tail) = rest.split_at(cut);
        let named = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
        if let Some((_, value)) = named {
            host = value.as_str();
        }
        let (path, query) = match tail.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (tail, None),
        };
        Target { host, path: if path.is_empty() { "/" } else { path }, query }
    }
}

impl Explanation {
    fn step(&mut self, stage: &str, subject: &str, passed: bool, reason: &str) {
        let (stage, subject) = (stage.to_owned(), subject.to_owned());
        self.steps.push(Step { stage, subject, passed, reason: reason.to_owned() });
    }

    fn route_step(&mut self, plan: &Plan, step: route::Step) {
        match step {
            route::Step::Host(pattern) => {
                let (subject, reason) = match &pattern {
                    HostPattern::Any => ("*".to_owned(), "the routes for every host"),
                    HostPattern::Exact(name) => (name.clone(), "the routes of this very host"),
                    HostPattern::Below(name) => (format!("*.{name}"), "the host lies below it"),
                };
                self.step("host", &subject, true, reason);
            }
            route::Step::Path(pattern) => {
                let reason = match pattern.path {
                    route::PathPattern::Exact(_) => "the path is exactly this",
                    route::PathPattern::Prefix(_) => "the longest prefix that is left",
                };
                self.step("route", &pattern.to_string(), true, reason);
            }
            route::Step::Rule { rule, verdict, reason } => {
                let Some(rule) = plan.rule(rule) else { return };
                let reason = match verdict {
                    Err(Mismatch::Listener) => {
                        let wanted = rule.condition.listeners.iter().flatten();
                        let names = wanted.filter_map(|index| plan.listener(*index));
                        let names: Vec<&str> = names.map(|one| one.name.as_str()).collect();
                        format!("{reason}, the rule wants {}", names.join(" or "))
                    }
                    _ if reason.is_empty() => "it asks nothing more".to_owned(),
                    _ => reason,
                };
                self.step("rule", &rule.name, verdict.is_ok(), &reason);
            }
        }
    }

    fn action(&mut self, plan: &Plan, id: RuleId, listener: ListenerIndex, target: &Target<'_>) {
        let Some(rule) = plan.rule(id) else { return };
        self.rule = Some(id.0);
        match &rule.action {
            Action::Pool(index) => {
                self.pool = Some(index.0);
                let Some(pool) = plan.pool(*index) else { return };
                let members: Vec<&str> =
                    pool.members.iter().map(|member| member.text.as_str()).collect();
                let reason = format!("{} over {}", pool.strategy.word(), members.join(", "));
                self.step("action", &format!("pool {:?}", pool.name), true, &reason);
            }
            Action::Redirect { to, status } => {
                let mut location = Vec::new();
                let given = Given {
                    host: host::bare(target.host.as_bytes()),
                    path: target.path.as_bytes(),
                    query: target.query.map(str::as_bytes),
                };
                to.render(&given, &mut location);
                let location = String::from_utf8_lossy(&location).into_owned();
                self.status = Some(*status);
                self.step("action", &format!("redirect {status}"), true, &format!("to {location}"));
            }
            Action::Respond { status, .. } => {
                self.status = Some(*status);
                self.step("action", &format!("respond {status}"), true, "with fixed words");
            }
        }
        if let (Action::Pool(_), Some(terms)) = (&rule.action, rule.terms(listener)) {
            let set = TermsSet::all_of(terms);
            let (times, limits) = (effective::timeouts(&set), effective::limits(&set, None));
            let reason = format!("time-outs {}; limits {}", words(&times), words(&limits));
            self.step("action", "terms", true, &reason);
        }
    }
}

/// `name value` for each member of a flat object.
fn words(tree: &Tree) -> String {
    let Tree::Object(members) = tree else { return String::new() };
    let word = |(name, value): &(String, Tree)| format!("{name} {}", value.line().replace('"', ""));
    members.iter().map(word).collect::<Vec<String>>().join(", ")
}
