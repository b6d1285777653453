//! A plan written out again as a document, every default filled in.
//!
//! Invariant (tested): what is written for a plan in the current format checks to an equal plan.

use super::json::Tree;
use super::plan::{
    AccessLog, Action, Format, ListenerPlan, LogPlan, MemberPlan, Plan, PoolPlan, Rule, WorkersPlan,
};
use super::terms::{TIMEOUT_NAMES, TermsSet};
use super::words::listen_text;
use crate::base::units::{format_duration, format_size};
use crate::route::{Condition, FieldTest, NamedTest};

/// The document of `plan` with every default in its place, indented.
///
/// Time-outs and limits stand where they were set; the top level shows all of them.
pub fn effective(plan: &Plan) -> String {
    document(plan).pretty()
}

fn object() -> Tree {
    Tree::Object(Vec::new())
}

fn document(plan: &Plan) -> Tree {
    let mut out = object();
    if plan.format == Format::Seed {
        out.put(
            "$comment",
            "Read from a seed document, where exact paths also match with a slash behind them.",
        );
    }
    out.put("version", 1u32);
    let mut listeners = object();
    for listener in &plan.listeners {
        listeners.put(&listener.name, listener_tree(listener));
    }
    out.put("listeners", listeners);
    out.put("routes", routes(plan));
    let mut pools = object();
    for pool in plan.pools.iter().filter(|pool| !pool.inline) {
        pools.put(&pool.name, pool_tree(pool));
    }
    out.put("pools", pools);
    let all = TermsSet::all_of(&plan.terms);
    out.put("timeouts", timeouts(&all));
    out.put("limits", limits(&all, Some(auto(plan.limits.connections.map(u64::from)))));
    out.put("log", log_tree(&plan.log));
    out.put("workers", workers_tree(&plan.workers));
    out
}

fn auto(number: Option<u64>) -> Tree {
    number.map_or_else(|| "auto".into(), Tree::Number)
}

pub(super) fn listener_tree(listener: &ListenerPlan) -> Tree {
    let addresses: Vec<String> = listener.addresses.iter().map(listen_text).collect();
    let trusted: Vec<String> = listener.trusted_proxies.iter().map(|net| net.to_string()).collect();
    let mut out = Tree::from([
        ("addresses", addresses.into()),
        ("protocols", vec!["h1"].into()),
        ("trusted_proxies", trusted.into()),
        ("identity_fields", listener.own.identity_fields.clone().unwrap_or_default().into()),
        ("proxy_protocol", "off".into()),
    ]);
    put_terms(&mut out, &listener.own);
    out
}

fn routes(plan: &Plan) -> Tree {
    let mut out = object();
    let mut rest = plan.rules.as_slice();
    while let Some(first) = rest.first() {
        let count = rest.iter().take_while(|rule| rule.key == first.key).count();
        let (own, after) = rest.split_at(count);
        match own {
            [one] => out.put(&first.key, rule_tree(plan, one)),
            all => {
                let all: Vec<Tree> = all.iter().map(|rule| rule_tree(plan, rule)).collect();
                out.put(&first.key, all);
            }
        }
        rest = after;
    }
    out
}

pub(super) fn rule_tree(plan: &Plan, rule: &Rule) -> Tree {
    let mut out = object();
    out.put("name", rule.name.as_str());
    if !rule.condition.is_empty() {
        out.put("match", condition(plan, &rule.condition));
    }
    match &rule.action {
        Action::Pool(index) => match plan.pool(*index) {
            Some(pool) if pool.inline => {
                out.put("backends", members(pool));
                out.put("strategy", pool.strategy.word());
            }
            Some(pool) => out.put("pool", pool.name.as_str()),
            None => {}
        },
        Action::Redirect { to, status } => {
            let redirect = [("to", to.as_str().into()), ("status", (*status).into())];
            out.put("redirect", Tree::from(redirect));
        }
        Action::Respond { status, headers, body } => {
            let mut fields = object();
            for (name, value) in headers {
                fields.put(name, value.as_str());
            }
            let body = String::from_utf8_lossy(body).into_owned();
            let respond =
                [("status", (*status).into()), ("headers", fields), ("body", body.into())];
            out.put("respond", Tree::from(respond));
        }
    }
    put_terms(&mut out, &rule.own);
    out
}

fn condition(plan: &Plan, condition: &Condition) -> Tree {
    let mut out = object();
    if let Some(listeners) = &condition.listeners {
        let names = listeners.iter().filter_map(|index| plan.listener(*index));
        let names: Vec<&str> = names.map(|listener| listener.name.as_str()).collect();
        out.put("listeners", names);
    }
    if !condition.methods.is_empty() {
        out.put("methods", condition.methods.clone());
    }
    for (name, tests) in [
        ("headers", &condition.headers),
        ("query", &condition.query),
        ("cookies", &condition.cookies),
    ] {
        if !tests.is_empty() {
            out.put(name, named_tests(tests));
        }
    }
    if !condition.clients.is_empty() {
        let nets: Vec<String> = condition.clients.iter().map(|net| net.to_string()).collect();
        out.put("clients", nets);
    }
    out
}

fn named_tests(tests: &[NamedTest]) -> Tree {
    let mut out = object();
    for test in tests {
        match &test.test {
            FieldTest::Present => out.put(&test.name, true),
            FieldTest::Absent => out.put(&test.name, false),
            FieldTest::OneOf(words) => match words.as_slice() {
                [word] => out.put(&test.name, word.as_str()),
                words => out.put(&test.name, words.to_vec()),
            },
        }
    }
    out
}

fn pool_tree(pool: &PoolPlan) -> Tree {
    let mut out = object();
    out.put("backends", members(pool));
    for (name, tree) in pool_settings(pool) {
        out.put(&name, tree);
    }
    out
}

/// What a pool holds besides its members.
pub(super) fn pool_settings(pool: &PoolPlan) -> Vec<(String, Tree)> {
    let mut out =
        Tree::from([("strategy", pool.strategy.word().into()), ("protocol", "h1".into())]);
    put_terms(&mut out, &pool.own);
    match out {
        Tree::Object(members) => members,
        _ => Vec::new(),
    }
}

fn members(pool: &PoolPlan) -> Tree {
    Tree::List(pool.members.iter().map(member_tree).collect())
}

pub(super) fn member_tree(member: &MemberPlan) -> Tree {
    Tree::from([
        ("address", member.text.as_str().into()),
        ("max_failures", member.max_failures.into()),
        ("weight", member.weight.into()),
    ])
}

pub(super) fn log_tree(log: &LogPlan) -> Tree {
    let access = match &log.access {
        AccessLog::Off => "off".to_owned(),
        AccessLog::Journal => "journal".to_owned(),
        AccessLog::Stderr => "stderr".to_owned(),
        AccessLog::File(path) => format!("file:{path}"),
    };
    Tree::from([
        ("access", access.into()),
        ("sample", log.sample.into()),
        ("query", log.query.into()),
        ("level", log.level.as_str().into()),
    ])
}

pub(super) fn workers_tree(workers: &WorkersPlan) -> Tree {
    let number = |number: Option<u16>| auto(number.map(u64::from));
    Tree::from([("count", number(workers.count)), ("threads", number(workers.threads))])
}

/// Adds what a level says itself, where it says anything.
fn put_terms(out: &mut Tree, own: &TermsSet) {
    let times = timeouts(own);
    if !times.is_empty() {
        out.put("timeouts", times);
    }
    let limits = limits(own, None);
    if !limits.is_empty() {
        out.put("limits", limits);
    }
}

pub(super) fn timeouts(set: &TermsSet) -> Tree {
    let mut out = object();
    for (name, own) in TIMEOUT_NAMES.iter().zip(set.timeouts) {
        if let Some(own) = own {
            out.put(name, own.map_or_else(|| "off".to_owned(), format_duration));
        }
    }
    out
}

pub(super) fn limits(set: &TermsSet, connections: Option<Tree>) -> Tree {
    let mut out = object();
    if let Some(connections) = connections {
        out.put("connections", connections);
    }
    if let Some(bytes) = set.header_bytes {
        out.put("header_bytes", format_size(bytes.into()));
    }
    if let Some(fields) = set.header_fields {
        out.put("header_fields", fields);
    }
    if let Some(bytes) = set.body_bytes {
        out.put("body_bytes", bytes.map_or_else(|| "off".to_owned(), format_size));
    }
    if let Some(waiting) = set.waiting {
        out.put("waiting", waiting);
    }
    if let Some(idle) = set.idle_connections {
        out.put("idle_connections", idle);
    }
    out
}
