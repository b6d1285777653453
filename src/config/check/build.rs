//! The document in the current format, top down.

use std::sync::Arc;

use crate::config::json::Value;
use crate::config::keys;
use crate::config::plan::{AccessLog, Format, LogPlan, Plan, ProcessLimits, WorkersPlan};
use crate::config::problem::Severity;
use crate::config::terms::{Interner, TIMEOUT_NAMES, TermsSet};

use super::routes::Routes;
use super::scalar::Auto;
use super::{Checker, Fields};

/// Descriptors that the process needs besides two for each connection.
const DESCRIPTORS_KEPT: u64 = 512;

/// Where terms stand; tells which of them have an effect there.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Level {
    Top,
    Listener,
    Pool,
    Rule,
}

impl Checker<'_> {
    pub(super) fn document(&mut self, root: Value<'_>) -> Option<Plan> {
        let top = self.object(root, &keys::TOP)?;
        self.whole(top, "version");
        if top.get("$schema").is_some() {
            self.text(top, "$schema");
        }
        let mut interner = Interner::default();
        let limits = top.get("limits").and_then(|value| self.object(value, &keys::LIMITS));
        let own = self.terms(top.get("timeouts"), limits, Level::Top);
        let process = ProcessLimits { connections: self.connections(limits) };
        let listeners = self.listeners(top.get("listeners"), &own, &mut interner);
        let pools = self.shared_pools(top.get("pools"), &own, &mut interner);
        let log = self.log(top.get("log"));
        let workers = self.workers(top.get("workers"));
        let routes = Routes::new(&listeners, pools, &own, &mut interner);
        let (routes, rules, pools) = self.routes(top.get("routes"), routes);
        let terms = interner.resolve(&[&own]);
        self.unused_pools(top.get("pools"), &rules);
        let format = Format::Current;
        Some(Plan { format, listeners, routes, rules, pools, terms, limits: process, log, workers })
    }

    /// The plan around the listener and the routes of a seed document.
    pub(super) fn defaults(interner: &mut Interner) -> (Arc<crate::policy::Terms>, LogPlan) {
        let terms = interner.resolve(&[]);
        let log = LogPlan {
            access: AccessLog::Journal,
            sample: sample_of(&AccessLog::Journal),
            query: false,
            level: "info".to_owned(),
        };
        (terms, log)
    }

    /// Time-outs and limits that one level says itself.
    pub(super) fn terms(
        &mut self,
        timeouts: Option<Value<'_>>,
        limits: Option<Fields<'_>>,
        level: Level,
    ) -> TermsSet {
        let mut set = TermsSet::default();
        if let Some(fields) = timeouts.and_then(|value| self.object(value, &keys::TIMEOUTS)) {
            for (slot, name) in set.timeouts.iter_mut().zip(TIMEOUT_NAMES) {
                *slot = self.duration(fields, name);
                self.effect(fields, name, level);
            }
        }
        let Some(fields) = limits else { return set };
        let has = |name: &str| fields.shape.keys.iter().any(|key| key.name == name);
        let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        if has("header_bytes") {
            set.header_bytes = self.size(fields, "header_bytes").flatten().map(narrow);
            let fields_max = self.whole(fields, "header_fields");
            set.header_fields = fields_max.and_then(|number| u16::try_from(number).ok());
        }
        if has("body_bytes") {
            set.body_bytes = self.size(fields, "body_bytes");
        }
        if has("waiting") {
            set.waiting = self.whole(fields, "waiting").map(narrow);
        }
        if has("idle_connections") {
            set.idle_connections = self.whole(fields, "idle_connections").map(narrow);
        }
        set
    }

    /// Tells a time-out that can't work where it stands: it is over before pool and rule are known.
    fn effect(&mut self, fields: Fields<'_>, name: &str, level: Level) {
        let early = match level {
            Level::Top | Level::Listener => return,
            Level::Pool => matches!(name, "handshake" | "header"),
            Level::Rule => matches!(name, "handshake" | "header" | "idle"),
        };
        if let Some(value) = fields.get(name).filter(|_| early) {
            let message = format!("{name:?} has no effect here: it runs while no route is known");
            let hint = "set it at the listener or at the top level".to_owned();
            self.at_key(Severity::Warning, "no-effect", value, message, hint);
        }
    }

    fn connections(&mut self, limits: Option<Fields<'_>>) -> Option<u32> {
        let fields = limits?;
        let Auto::Number(number) = self.auto(fields, "connections")? else { return None };
        if let Some(descriptors) = self.context.descriptors
            && number.saturating_mul(2) + DESCRIPTORS_KEPT > descriptors
            && let Some(value) = fields.get("connections")
        {
            let fit = descriptors.saturating_sub(DESCRIPTORS_KEPT) / 2;
            let message = format!(
                "{number} connections need {} open files, and the process may have {descriptors}",
                number.saturating_mul(2) + DESCRIPTORS_KEPT
            );
            let hint = format!("at most {fit} fit; raise LimitNOFILE= or write \"auto\"");
            self.error_hint("out-of-range", value, message, hint);
        }
        u32::try_from(number).ok()
    }

    fn log(&mut self, value: Option<Value<'_>>) -> LogPlan {
        let fields = value.and_then(|value| self.object(value, &keys::LOG));
        let access = fields.and_then(|fields| self.access_log(fields, "access"));
        let access = access.unwrap_or(AccessLog::Journal);
        let sample = match fields.and_then(|fields| self.auto(fields, "sample")) {
            Some(Auto::Number(number)) => u32::try_from(number).unwrap_or(u32::MAX),
            _ => sample_of(&access),
        };
        let query = fields.and_then(|fields| self.flag(fields, "query")).unwrap_or(false);
        let level = fields.and_then(|fields| self.word(fields, "level")).unwrap_or("info");
        LogPlan { access, sample, query, level: level.to_owned() }
    }

    fn workers(&mut self, value: Option<Value<'_>>) -> WorkersPlan {
        let fields = value.and_then(|value| self.object(value, &keys::WORKERS));
        let mut number = |name| match self.auto(fields?, name)? {
            Auto::Number(number) => u16::try_from(number).ok(),
            Auto::Auto => None,
        };
        WorkersPlan { count: number("count"), threads: number("threads") }
    }
}

/// The sampling of `"auto"`.
pub(super) fn sample_of(access: &AccessLog) -> u32 {
    if *access == AccessLog::Journal { 100 } else { 1 }
}
