//! Routes and their rules.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::config::json::{Kind, Value};
use crate::config::keys;
use crate::config::plan::{Action, ListenerPlan, PoolIndex, PoolPlan, Rule, Strategy};
use crate::config::problem::Severity;
use crate::config::redirect::Template;
use crate::config::terms::{Interner, TermsSet};
use crate::route::{Condition, Pattern, RouteTable, RuleId, TableBuilder, unprintable};

use super::build::Level;
use super::conditions::{is_token, near_or_known};
use super::{Checker, Fields, shown};

/// What rules are made into, and what they may refer to.
pub(super) struct Routes<'c> {
    pub listeners: &'c [ListenerPlan],
    pub pools: Vec<PoolPlan>,
    by_name: HashMap<String, PoolIndex>,
    pub rules: Vec<Rule>,
    rule_names: HashSet<String>,
    pub builder: TableBuilder,
    top: &'c TermsSet,
    interner: &'c mut Interner,
}

impl<'c> Routes<'c> {
    pub fn new(
        listeners: &'c [ListenerPlan],
        pools: Vec<PoolPlan>,
        top: &'c TermsSet,
        interner: &'c mut Interner,
    ) -> Routes<'c> {
        let numbered = pools.iter().enumerate();
        let by_name =
            numbered.map(|(at, pool)| (pool.name.clone(), PoolIndex(at as u32))).collect();
        Routes {
            listeners,
            pools,
            by_name,
            rules: Vec::new(),
            rule_names: HashSet::new(),
            builder: TableBuilder::new(),
            top,
            interner,
        }
    }

    /// Adds the pool of inline backends.
    pub fn add_pool(
        &mut self,
        name: &str,
        members: Vec<crate::config::plan::MemberPlan>,
    ) -> PoolIndex {
        self.pools.push(PoolPlan {
            name: name.to_owned(),
            inline: true,
            strategy: Strategy::RoundRobin,
            members,
            terms: self.interner.resolve(&[self.top]),
            own: TermsSet::default(),
        });
        PoolIndex(self.pools.len() as u32 - 1)
    }

    /// Adds a rule whose name is free.
    pub fn add_rule(&mut self, made: Made) -> RuleId {
        let Made { name, key, action, condition, own } = made;
        let none = TermsSet::default();
        let pool = match &action {
            Action::Pool(index) => self.pools.get(index.0 as usize).map(|pool| &pool.own),
            _ => None,
        };
        let levels =
            |listener: &'c ListenerPlan| [self.top, &listener.own, pool.unwrap_or(&none), &own];
        let terms = self.listeners.iter().map(|one| self.interner.resolve(&levels(one))).collect();
        self.rules.push(Rule { name, key, action, condition, own, terms });
        RuleId(self.rules.len() as u32 - 1)
    }

    /// Reserves a rule's name; `false` when it is taken.
    pub fn take_name(&mut self, name: &str) -> bool {
        self.rule_names.insert(name.to_owned())
    }

    pub fn finish(self) -> (RouteTable, Vec<Rule>, Vec<PoolPlan>) {
        (self.builder.build(), self.rules, self.pools)
    }
}

/// A rule that was understood.
pub(super) struct Made {
    pub name: String,
    pub key: String,
    pub action: Action,
    pub condition: Condition,
    pub own: TermsSet,
}

impl Checker<'_> {
    pub(super) fn routes(
        &mut self,
        value: Option<Value<'_>>,
        mut routes: Routes<'_>,
    ) -> (RouteTable, Vec<Rule>, Vec<PoolPlan>) {
        let members = value.map_or_else(Vec::new, |value| self.map(value));
        if let (Some(value), true) =
            (value.filter(|v| v.kind() == Kind::Object), members.is_empty())
        {
            let message = "there is no route: every request is answered with 404";
            let place = (value.at(), value.pointer());
            self.tell(Severity::Warning, "no-route", place, message, None);
        }
        let mut patterns: HashMap<Pattern, &str> = HashMap::new();
        for member in members {
            let key = member.key();
            let pattern = self.route_key(member);
            if let Some(pattern) = &pattern
                && let Some(before) = patterns.insert(pattern.clone(), key)
                && before != key
            {
                let message = format!("the route {:?} is the same as {before:?}", shown(key));
                self.at_key(Severity::Error, "duplicate-route", member, message, None);
            }
            let rules = self.rules_of(member, &mut routes);
            if let Some(pattern) = pattern {
                routes.builder.add(pattern, rules);
            }
        }
        routes.finish()
    }

    fn route_key(&mut self, member: Value<'_>) -> Option<Pattern> {
        match Pattern::parse(member.key()) {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                let hint = error.hint.map(|hint| format!("write {hint:?}"));
                let message = format!("{:?}: {}", shown(member.key()), error.message);
                self.at_key(Severity::Error, "bad-route", member, message, hint);
                None
            }
        }
    }

    /// The rules of one route, in their order.
    fn rules_of(&mut self, member: Value<'_>, routes: &mut Routes<'_>) -> Vec<(RuleId, Condition)> {
        let values: Vec<Value<'_>> = match member.kind() {
            Kind::Object => vec![member],
            Kind::List => self.list(member, 1),
            _ => {
                self.wrong_type(member, "an object or an array of objects");
                return Vec::new();
            }
        };
        let mut rules = Vec::new();
        let mut taken: HashMap<Condition, String> = HashMap::new();
        for (at, value) in values.into_iter().enumerate() {
            let Some(fields) = self.object(value, &keys::RULE) else { continue };
            let Some(made) = self.rule(fields, member.key(), at, routes) else { continue };
            self.reachable(value, &made.condition, &taken);
            let condition = made.condition.clone();
            taken.entry(condition.clone()).or_insert_with(|| made.name.clone());
            rules.push((routes.add_rule(made), condition));
        }
        rules
    }

    fn rule(
        &mut self,
        fields: Fields<'_>,
        key: &str,
        at: usize,
        routes: &mut Routes<'_>,
    ) -> Option<Made> {
        let name = self.rule_name(fields, key, at, routes);
        let condition = fields.get("match");
        let condition = condition.map(|value| self.condition(value, routes.listeners));
        let limits = fields.get("limits");
        let limits = limits.and_then(|value| self.object(value, &keys::RULE_LIMITS));
        let own = self.terms(fields.get("timeouts"), limits, Level::Rule);
        let action = self.action(fields, &name, routes)?;
        let condition = condition.unwrap_or_default();
        Some(Made { name, key: key.to_owned(), action, condition, own })
    }

    fn rule_name(
        &mut self,
        fields: Fields<'_>,
        key: &str,
        at: usize,
        routes: &mut Routes<'_>,
    ) -> String {
        let own = self.text(fields, "name");
        if let (Some(name), Some(value)) = (own, fields.get("name"))
            && (name.is_empty() || name.len() > 128 || name.chars().any(unprintable))
        {
            let message = format!("{:?} is no name for a rule", shown(name));
            let hint = "1 to 128 bytes without invisible characters".to_owned();
            self.error_hint("bad-value", value, message, hint);
        }
        let name = match (own, at) {
            (Some(name), _) => name.to_owned(),
            (None, 0) => key.to_owned(),
            (None, at) => format!("{key}#{}", at + 1),
        };
        if !routes.take_name(&name) {
            let value = fields.get("name").unwrap_or(fields.value);
            let message = format!("another rule is called {:?} too", shown(&name));
            self.error("duplicate-name", value, message);
        }
        name
    }

    /// The one action of a rule.
    fn action(
        &mut self,
        fields: Fields<'_>,
        name: &str,
        routes: &mut Routes<'_>,
    ) -> Option<Action> {
        const ACTIONS: [&str; 4] = ["pool", "backends", "redirect", "respond"];
        const ALL: &str = "a rule has one of \"pool\", \"backends\", \"redirect\" and \"respond\"";
        let given: Vec<&str> =
            ACTIONS.into_iter().filter(|action| fields.get(action).is_some()).collect();
        if let Some(value) = fields.get("strategy") {
            self.word(fields, "strategy");
            if fields.get("backends").is_none() {
                let message = "\"strategy\" belongs to \"backends\"";
                let hint = Some("a shared pool has its own strategy".to_owned());
                self.at_key(Severity::Error, "bad-value", value, message, hint);
            }
        }
        let mut made = None;
        for action in &given {
            let Some(value) = fields.get(action) else { continue };
            made = match *action {
                "pool" => self.pool_by_name(value, routes),
                "backends" => {
                    let members = self.backends(value, name);
                    Some(Action::Pool(routes.add_pool(name, members)))
                }
                "redirect" => self.redirect(value),
                _ => self.respond(value),
            };
        }
        // What was meant may stand under a key of a later version or a mistyped one, told already.
        let known = |name: &str| fields.shape.keys.iter().any(|key| key.name == name);
        let told = fields.value.children().any(|member| !known(member.key()));
        match given.len() {
            1 => made,
            0 if told => None,
            0 => {
                self.error_hint(
                    "no-action",
                    fields.value,
                    "this rule does nothing",
                    ALL.to_owned(),
                );
                None
            }
            _ => {
                let message =
                    format!("this rule has {} actions: {}", given.len(), given.join(", "));
                self.error_hint("many-actions", fields.value, message, ALL.to_owned());
                None
            }
        }
    }

    fn pool_by_name(&mut self, value: Value<'_>, routes: &Routes<'_>) -> Option<Action> {
        let name = self.string(value)?;
        if let Some(index) = routes.by_name.get(name) {
            return Some(Action::Pool(*index));
        }
        let hint = near_or_known(name, routes.by_name.keys().map(String::as_str));
        let hint = hint.unwrap_or_else(|| "shared pools stand in \"pools\"".to_owned());
        let message = format!("no pool is called {:?}", shown(name));
        self.error_hint("unknown-pool", value, message, hint);
        None
    }

    fn redirect(&mut self, value: Value<'_>) -> Option<Action> {
        let fields = self.object(value, &keys::REDIRECT)?;
        let status = self.whole(fields, "status").unwrap_or(308);
        let text = self.text(fields, "to")?;
        match Template::parse(text) {
            Ok(to) => Some(Action::Redirect { to, status: u16::try_from(status).ok()? }),
            Err(message) => {
                let value = fields.get("to").unwrap_or(value);
                let hint = "such as \"https://new.example.com{path}\"".to_owned();
                self.error_hint("bad-value", value, message, hint);
                None
            }
        }
    }

    fn respond(&mut self, value: Value<'_>) -> Option<Action> {
        let fields = self.object(value, &keys::RESPOND)?;
        let status = self.whole(fields, "status").unwrap_or(200);
        let body = self.text(fields, "body").unwrap_or_default();
        if matches!(status, 204 | 205 | 304) && !body.is_empty() {
            let message = format!("an answer with status {status} has no body");
            self.error("bad-value", value, message);
        }
        let given = fields.get("headers");
        let mut headers = given.map_or_else(Vec::new, |value| self.answer_headers(value));
        let typed = |(name, _): &(String, String)| name == "content-type";
        if !body.is_empty() && !headers.iter().any(typed) {
            headers.push(("content-type".to_owned(), "text/plain; charset=utf-8".to_owned()));
        }
        let status = u16::try_from(status).ok()?;
        Some(Action::Respond { status, headers, body: Arc::from(body.as_bytes()) })
    }

    fn answer_headers(&mut self, value: Value<'_>) -> Vec<(String, String)> {
        const OURS: [&str; 9] = [
            "connection",
            "content-length",
            "transfer-encoding",
            "keep-alive",
            "te",
            "trailer",
            "upgrade",
            "proxy-connection",
            "date",
        ];
        let mut headers: Vec<(String, String)> = Vec::new();
        for member in self.map(value) {
            let name = member.key().to_ascii_lowercase();
            let Some(text) = self.string(member) else { continue };
            let good = |c: char| c == '\t' || c == ' ' || c.is_ascii_graphic() || !c.is_ascii();
            if !is_token(&name) {
                let message = format!("{:?} is no name of a header field", shown(&name));
                self.error("bad-value", member, message);
            } else if OURS.contains(&name.as_str()) {
                let message = format!("{name:?} is written by the proxy itself");
                self.at_key(Severity::Error, "bad-value", member, message, None);
            } else if !text.chars().all(good) || text.trim() != text {
                let message = "this is no value of a header field";
                let hint = "no control characters, no space around it".to_owned();
                self.error_hint("bad-value", member, message, hint);
            } else if headers.iter().any(|(own, _)| *own == name) {
                let message = format!("the header field {name:?} stands here twice");
                self.error("duplicate-key", member, message);
            } else {
                headers.push((name, text.to_owned()));
            }
        }
        headers
    }
}
