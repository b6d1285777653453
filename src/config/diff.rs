//! What changes from one plan to another, for people and for programs.
//!
//! Things are compared by name (listeners, rules, pools) and by [`MemberId`], never by position, so
//! that a document that was only put in another order changes nothing.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::effective::{
    limits, listener_tree, log_tree, member_tree, pool_settings, rule_tree, timeouts, workers_tree,
};
use super::json::Tree;
use super::plan::{Action, MemberId, Plan, PoolPlan, Rule};
use super::terms::TermsSet;

/// What kind of thing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Area {
    /// A listener.
    Listener,
    /// A rule of a route.
    Route,
    /// A pool.
    Pool,
    /// A backend of a pool.
    Backend,
    /// Time-outs of the top level.
    Timeouts,
    /// Limits of the top level.
    Limits,
    /// Records.
    Log,
    /// Workers.
    Workers,
}

/// What happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is another.
    Changed,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What kind of thing.
    pub area: Area,
    /// What happens to it.
    pub event: Event,
    /// Its name; of a backend its address.
    pub name: String,
    /// The pool of a backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// The whole change as a sentence.
    pub sentence: String,
    /// What is another, by key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<Detail>,
}

/// One key that is another. Values are JSON text; `None` = it did not stand there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// The key, with dots for nested ones.
    pub key: String,
    /// The value before.
    pub before: Option<String>,
    /// The value after.
    pub after: Option<String>,
}

/// Every change from `old` to `new`; empty when a running proxy would notice nothing.
pub fn diff(old: &Plan, new: &Plan) -> Vec<Change> {
    let mut changes = Changes::default();
    let listeners = |plan: &Plan| -> Vec<(String, Tree)> {
        plan.listeners.iter().map(|one| (one.name.clone(), listener_tree(one))).collect()
    };
    changes.named(Area::Listener, &listeners(old), &listeners(new));
    changes.rules(old, new);
    changes.pools(old, new);
    let own = |plan: &Plan| TermsSet::all_of(&plan.terms);
    let connections = |plan: &Plan| {
        let number = plan.limits.connections;
        Some(number.map_or_else(|| Tree::from("auto"), Tree::from))
    };
    let whole = [
        (Area::Timeouts, "timeouts", timeouts(&own(old)), timeouts(&own(new))),
        (
            Area::Limits,
            "limits",
            limits(&own(old), connections(old)),
            limits(&own(new), connections(new)),
        ),
        (Area::Log, "log", log_tree(&old.log), log_tree(&new.log)),
        (Area::Workers, "workers", workers_tree(&old.workers), workers_tree(&new.workers)),
    ];
    for (area, name, before, after) in whole {
        changes.changed(area, name, None, details(&before, &after));
    }
    changes.all
}

#[derive(Default)]
struct Changes {
    all: Vec<Change>,
}

impl Changes {
    fn push(
        &mut self,
        area: Area,
        event: Event,
        name: &str,
        pool: Option<&str>,
        rest: Vec<Detail>,
    ) {
        let what = match (area, pool) {
            (Area::Listener, _) => format!("listener {name:?}"),
            (Area::Route, _) => format!("route {name:?}"),
            (Area::Pool, _) => format!("pool {name:?}"),
            (Area::Backend, Some(pool)) => format!("backend {name} of {pool:?}"),
            _ => format!("{name:?}"),
        };
        let mut sentence = match event {
            Event::Added => format!("{what} is added"),
            Event::Removed => format!("{what} is removed"),
            Event::Changed => format!("{what} changes"),
        };
        let texts: Vec<String> = rest.iter().map(Detail::text).collect();
        if !texts.is_empty() {
            sentence = format!("{sentence}: {}", texts.join(", "));
        }
        let (name, pool) = (name.to_owned(), pool.map(str::to_owned));
        self.all.push(Change { area, event, name, pool, sentence, details: rest });
    }

    fn changed(&mut self, area: Area, name: &str, pool: Option<&str>, details: Vec<Detail>) {
        if !details.is_empty() {
            self.push(area, Event::Changed, name, pool, details);
        }
    }

    /// Compares things that are named.
    fn named(&mut self, area: Area, old: &[(String, Tree)], new: &[(String, Tree)]) {
        let before: HashMap<&str, &Tree> =
            old.iter().map(|(name, tree)| (name.as_str(), tree)).collect();
        let after: HashSet<&str> = new.iter().map(|(name, _)| name.as_str()).collect();
        for (name, _) in old.iter().filter(|(name, _)| !after.contains(name.as_str())) {
            self.push(area, Event::Removed, name, None, Vec::new());
        }
        for (name, tree) in new {
            match before.get(name.as_str()) {
                None => self.push(area, Event::Added, name, None, Vec::new()),
                Some(before) => self.changed(area, name, None, details(before, tree)),
            }
        }
    }

    fn rules(&mut self, old: &Plan, new: &Plan) {
        let trees = |plan: &Plan| -> Vec<(String, Tree)> {
            plan.rules.iter().map(|rule| (rule.name.clone(), rule_of(plan, rule))).collect()
        };
        self.named(Area::Route, &trees(old), &trees(new));
        let olds: HashMap<&str, Vec<&str>> = orders(old).into_iter().collect();
        for (key, order) in orders(new) {
            let Some(before) = olds.get(key).filter(|before| **before != order) else { continue };
            let common: Vec<&str> =
                before.iter().filter(|name| order.contains(name)).copied().collect();
            let now: Vec<&str> =
                order.iter().filter(|name| before.contains(name)).copied().collect();
            if common != now {
                let join = |names: &[&str]| Some(Tree::from(names.to_vec()).line());
                let (before, after) = (join(before), join(&order));
                let detail = Detail { key: "order".to_owned(), before, after };
                self.push(Area::Route, Event::Changed, key, None, vec![detail]);
            }
        }
    }

    fn pools(&mut self, old: &Plan, new: &Plan) {
        let before: HashMap<&str, &PoolPlan> =
            old.pools.iter().map(|pool| (pool.name.as_str(), pool)).collect();
        let after: HashSet<&str> = new.pools.iter().map(|pool| pool.name.as_str()).collect();
        // An inline pool comes and goes with its rule, which is told already.
        let gone = |pool: &&PoolPlan| !pool.inline && !after.contains(pool.name.as_str());
        for pool in old.pools.iter().filter(gone) {
            self.push(Area::Pool, Event::Removed, &pool.name, None, Vec::new());
        }
        for pool in &new.pools {
            let Some(before) = before.get(pool.name.as_str()) else {
                if !pool.inline {
                    self.push(Area::Pool, Event::Added, &pool.name, None, Vec::new());
                }
                continue;
            };
            let settings = |pool| Tree::Object(pool_settings(pool));
            let rest = details(&settings(before), &settings(pool));
            self.changed(Area::Pool, &pool.name, None, rest);
            self.members(before, pool);
        }
    }

    fn members(&mut self, old: &PoolPlan, new: &PoolPlan) {
        let pool = Some(new.name.as_str());
        let ids = |pool: &PoolPlan| -> HashSet<MemberId> {
            pool.members.iter().map(|one| one.id).collect()
        };
        let (before, after) = (ids(old), ids(new));
        for member in old.members.iter().filter(|member| !after.contains(&member.id)) {
            self.push(Area::Backend, Event::Removed, &member.text, pool, Vec::new());
        }
        for member in &new.members {
            if !before.contains(&member.id) {
                self.push(Area::Backend, Event::Added, &member.text, pool, Vec::new());
                continue;
            }
            let Some(own) = old.members.iter().find(|own| own.id == member.id) else { continue };
            let rest = details(&member_tree(own), &member_tree(member));
            self.changed(Area::Backend, &member.text, pool, rest);
        }
    }
}

/// A rule without the members of its inline pool, which are compared as a pool's, with its key.
fn rule_of(plan: &Plan, rule: &Rule) -> Tree {
    let mut tree = Tree::from([("route", rule.key.as_str().into())]);
    if let (Tree::Object(all), Tree::Object(own)) = (&mut tree, rule_tree(plan, rule)) {
        all.extend(
            own.into_iter().filter(|(name, _)| !matches!(name.as_str(), "name" | "strategy")),
        );
        for (name, tree) in all.iter_mut().filter(|(name, _)| name == "backends") {
            *tree = "inline".into();
            *name = "pool".to_owned();
        }
    }
    debug_assert!(matches!(rule.action, Action::Pool(_)) || !tree.is_empty());
    tree
}

/// Names of the rules of each route that has several, in their order.
fn orders(plan: &Plan) -> Vec<(&str, Vec<&str>)> {
    let mut orders: Vec<(&str, Vec<&str>)> = Vec::new();
    for rule in &plan.rules {
        match orders.last_mut() {
            Some((key, names)) if *key == rule.key => names.push(&rule.name),
            _ => orders.push((&rule.key, vec![&rule.name])),
        }
    }
    orders.retain(|(_, names)| names.len() > 1);
    orders
}

impl Detail {
    fn text(&self) -> String {
        let Detail { key, before, after } = self;
        match (before, after) {
            (Some(before), Some(after)) => format!("{key} from {before} to {after}"),
            (None, Some(after)) => format!("{key} is now {after}"),
            (Some(before), None) => format!("{key} is no longer {before}"),
            (None, None) => key.clone(),
        }
    }
}

/// The leaves in which two trees differ.
fn details(before: &Tree, after: &Tree) -> Vec<Detail> {
    let mut found = Vec::new();
    compare("", before, after, &mut found);
    found
}

fn compare(key: &str, before: &Tree, after: &Tree, found: &mut Vec<Detail>) {
    let (Tree::Object(old), Tree::Object(new)) = (before, after) else {
        if before != after {
            let (before, after) = (Some(before.line()), Some(after.line()));
            found.push(Detail { key: key.to_owned(), before, after });
        }
        return;
    };
    let nested =
        |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
    let find = |all: &'_ [(String, Tree)], name: &str| {
        all.iter().find(|(own, _)| own == name).map(|(_, tree)| tree.clone())
    };
    for (name, tree) in old {
        match find(new, name) {
            Some(after) => compare(&nested(name), tree, &after, found),
            None => {
                found.push(Detail { key: nested(name), before: Some(tree.line()), after: None })
            }
        }
    }
    for (name, tree) in new {
        if find(old, name).is_none() {
            found.push(Detail { key: nested(name), before: None, after: Some(tree.line()) });
        }
    }
}
