//! Seed documents: the form of the first Cloud Cup, told by `root`, valid unchanged.
//!
//! Problems carry the identifiers of the seed's own validator. What the seed ignored is ignored
//! with a warning; where this program means something else than the seed did, a warning says so.

use std::collections::HashMap;

use crate::config::json::{Kind, Value};
use crate::config::plan::{
    Action, Address, Format, ListenerPlan, MemberId, MemberPlan, Plan, ProcessLimits, WorkersPlan,
};
use crate::config::problem::Severity;
use crate::config::shape::Word;
use crate::config::terms::{Interner, TermsSet};
use crate::config::words;
use crate::route::{Condition, PathPattern, Pattern};

use super::pools::MAX_FAILURES;
use super::routes::{Made, Routes};
use super::{Checker, shown};

impl Checker<'_> {
    pub(super) fn seed_document(&mut self, root: Value<'_>) -> Option<Plan> {
        self.seed_keys(root, &["root", "routes", "ssl"]);
        let mut interner = Interner::default();
        let (terms, log) = Self::defaults(&mut interner);
        let secure = root.get("ssl");
        if let Some(ssl) = secure {
            self.seed_ssl(ssl);
        }
        let listeners = vec![ListenerPlan {
            name: if secure.is_some() { "https" } else { "http" }.to_owned(),
            addresses: root
                .get("root")
                .and_then(|value| self.seed_root(value))
                .into_iter()
                .collect(),
            trusted_proxies: Vec::new(),
            terms: terms.clone(),
            own: TermsSet::default(),
        }];
        let own = TermsSet::default();
        let mut routes = Routes::new(&listeners, Vec::new(), &own, &mut interner);
        match root.get("routes") {
            Some(value) if value.kind() == Kind::Object => self.seed_routes(value, &mut routes),
            Some(value) => {
                let message =
                    format!("\"routes\" must be an object, not {}", value.kind().article());
                self.error("InvalidRoutesField", value, message);
            }
            None => {
                let message = "\"routes\" is missing in this seed document";
                self.error("MissingRoutesField", root, message);
            }
        }
        let (routes, rules, pools) = routes.finish();
        let limits = ProcessLimits { connections: None };
        let workers = WorkersPlan { count: None, threads: None };
        let format = Format::Seed;
        Some(Plan { format, listeners, routes, rules, pools, terms, limits, log, workers })
    }

    /// Warns of keys that the seed did not read.
    fn seed_keys(&mut self, object: Value<'_>, known: &[&str]) {
        for member in object.children().filter(|member| !known.contains(&member.key())) {
            if matches!(member.key(), "$schema" | "$comment" | "version")
                || self.only_counted(Severity::Warning)
            {
                continue;
            }
            let near = super::nearest(member.key(), known.iter().copied());
            let hint = near.map(|near| format!("did you mean {near:?}?"));
            let message =
                format!("the key {:?} is not read in a seed document", shown(member.key()));
            self.at_key(Severity::Warning, "unknown-key", member, message, hint);
        }
    }

    fn seed_root(&mut self, value: Value<'_>) -> Option<crate::config::plan::ListenAddress> {
        let Kind::Text(text) = value.kind() else {
            let message = format!("\"root\" must be a string, not {}", value.kind().article());
            self.error("InvalidRootType", value, message);
            return None;
        };
        match words::listen(text, false) {
            Ok(address) => Some(address),
            Err((message, hint)) => {
                self.error_hint("InvalidRootType", value, message, hint);
                None
            }
        }
    }

    fn seed_ssl(&mut self, value: Value<'_>) {
        if value.kind() != Kind::Object {
            let message = format!("\"ssl\" must be an object, not {}", value.kind().article());
            return self.error("InvalidSSLConfig", value, message);
        }
        self.seed_keys(value, &["ssl_certificate", "ssl_certificate_key"]);
        for (name, missing, wrong) in [
            ("ssl_certificate", "MissingCertificate", "InvalidCertificateType"),
            (
                "ssl_certificate_key",
                "MissingCertificatePrivateKey",
                "InvalidCertificatePrivateKeyType",
            ),
        ] {
            match value.get(name) {
                None => self.error(missing, value, format!("{name:?} is missing in \"ssl\"")),
                Some(path) if !matches!(path.kind(), Kind::Text(_)) => {
                    let message =
                        format!("{name:?} must be a string, not {}", path.kind().article());
                    self.error(wrong, path, message);
                }
                Some(_) => {}
            }
        }
        let message = "\"ssl\" is not supported in this version";
        self.at_key(Severity::Error, "not-supported", value, message, None);
    }

    fn seed_routes(&mut self, value: Value<'_>, routes: &mut Routes<'_>) {
        if value.get("*").is_none() {
            let hint = "the seed's files need it as the fallback".to_owned();
            self.error_hint("MissingMainRoute", value, "the route \"*\" is missing", hint);
        }
        for member in value.children() {
            let key = member.key();
            if key.chars().count() > 1 && key.ends_with('/') {
                let message = format!("the route {:?} must not end in '/'", shown(key));
                self.at_key(Severity::Error, "InvalidRouteEndWith", member, message, None);
                continue;
            }
            let pattern = self.seed_pattern(member);
            let Some(members) = self.seed_route(member) else { continue };
            let Some(pattern) = pattern else { continue };
            let condition = Condition::default();
            let action = Action::Pool(routes.add_pool(key, members));
            let (name, own) = (key.to_owned(), TermsSet::default());
            routes.take_name(key);
            let key = key.to_owned();
            let rule = routes.add_rule(Made { name, key, action, condition, own });
            if let PathPattern::Exact(path) = &pattern.path
                && path != "/"
            {
                // The seed cut one slash off the end of a request's path.
                let slashed = PathPattern::Exact(format!("{path}/"));
                let slashed = Pattern { host: pattern.host.clone(), path: slashed };
                routes.builder.add(slashed, vec![(rule, Condition::default())]);
            }
            routes.builder.add(pattern, vec![(rule, Condition::default())]);
        }
    }

    /// The pattern of a seed's key; keys that no request of the seed met are ignored here too.
    fn seed_pattern(&mut self, member: Value<'_>) -> Option<Pattern> {
        let key = member.key();
        let path = key == "*" || (key.starts_with('/') && key != "/*");
        let Some(pattern) = Pattern::parse(key).ok().filter(|_| path) else {
            let message = format!("no request ever met the route {:?} of the seed", shown(key));
            let hint = "it is ignored; use \"*\", \"/path\" or \"/path/*\"".to_owned();
            self.at_key(Severity::Warning, "seed-dead-route", member, message, hint);
            return None;
        };
        if let PathPattern::Prefix(prefix) = &pattern.path
            && !prefix.is_empty()
        {
            let message = if prefix.matches('/').count() == 1 {
                format!(
                    "{key:?} is a prefix here: {prefix:?} and all below it; the seed did not match \
                     {prefix:?} itself, but matched the segment anywhere, as in \"/other{prefix}/x\""
                )
            } else {
                format!("{key:?} is a prefix here; the seed never matched it")
            };
            self.at_key(Severity::Warning, "seed-prefix", member, message, None);
        }
        Some(pattern)
    }

    fn seed_route(&mut self, route: Value<'_>) -> Option<Vec<MemberPlan>> {
        if route.kind() != Kind::Object {
            let message = format!("a route must be an object, not {}", route.kind().article());
            self.error("InvalidRouteStructure", route, message);
            return None;
        }
        self.seed_keys(route, &["backends", "strategy"]);
        if let Some(strategy) = route.get("strategy") {
            self.one_word(strategy, &Word { now: &["round-robin"], later: &[] });
        }
        let Some(backends) = route.get("backends") else {
            self.error("MissingBackendsField", route, "\"backends\" is missing in this route");
            return None;
        };
        if backends.kind() != Kind::List {
            let article = backends.kind().article();
            let message = format!("\"backends\" must be an array, not {article}");
            self.error("InvalidBackendsArray", backends, message);
            return None;
        }
        if backends.children().next().is_none() {
            self.error("EmptyBackendsArray", backends, "\"backends\" must not be empty");
            return None;
        }
        let mut seen: HashMap<String, usize> = HashMap::new();
        let pool = route.key();
        let members = backends.children().filter_map(|one| self.seed_backend(one, pool, &mut seen));
        Some(members.collect())
    }

    fn seed_backend(
        &mut self,
        value: Value<'_>,
        pool: &str,
        seen: &mut HashMap<String, usize>,
    ) -> Option<MemberPlan> {
        if value.kind() != Kind::Object {
            let message = format!("a backend must be an object, not {}", value.kind().article());
            self.error("InvalidBackendStructure", value, message);
            return None;
        }
        self.seed_keys(value, &["host", "max_failure"]);
        let max_failures = self.seed_max_failure(value.get("max_failure"));
        let Some(host) = value.get("host") else {
            self.error("MissingBackendHost", value, "\"host\" is missing in this backend");
            return None;
        };
        let Kind::Text(text) = host.kind() else {
            let message = format!("\"host\" must be a string, not {}", host.kind().article());
            self.error("InvalidBackendHost", host, message);
            return None;
        };
        let address: Address = match words::backend(text) {
            Ok(address) => address,
            Err((message, hint)) => {
                self.error_hint("InvalidBackendHost", host, message, hint);
                return None;
            }
        };
        let text = words::backend_text(&address);
        let nth = *seen.entry(text.clone()).and_modify(|nth| *nth += 1).or_insert(0);
        let id = MemberId::new(pool, &text, nth);
        Some(MemberPlan { id, address, text, weight: 1, max_failures })
    }

    fn seed_max_failure(&mut self, value: Option<Value<'_>>) -> u32 {
        let Some(value) = value else { return MAX_FAILURES };
        let number = match value.kind() {
            Kind::Number(text) => crate::base::ascii::parse_decimal(text.as_bytes()),
            _ => None,
        };
        match number.and_then(|number| u32::try_from(number).ok()) {
            Some(0) => {
                let message = "with 0 the seed answered 502 to every request; here the backend is \
                               never left out";
                let place = (value.at(), value.pointer());
                self.tell(Severity::Warning, "seed-max-failure", place, message, None);
                0
            }
            Some(number) => number,
            None => {
                let message = "\"max_failure\" must be a whole number from 0 to 4294967295";
                self.error("InvalidBackendMaxFailure", value, message);
                MAX_FAILURES
            }
        }
    }
}
