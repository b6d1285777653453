//! Pools and their backends.

use std::collections::HashMap;

use crate::config::json::{Kind, Value};
use crate::config::keys;
use crate::config::plan::{MemberId, MemberPlan, PoolPlan, Strategy};
use crate::config::problem::Severity;
use crate::config::shape::Shape;
use crate::config::terms::{Interner, TermsSet};
use crate::config::words;

use super::build::Level;
use super::{Checker, Fields, shown};

/// Failures in a row after which a backend rests, when nothing is said.
pub(super) const MAX_FAILURES: u32 = 5;

impl Checker<'_> {
    pub(super) fn shared_pools(
        &mut self,
        value: Option<Value<'_>>,
        top: &TermsSet,
        interner: &mut Interner,
    ) -> Vec<PoolPlan> {
        let members = value.map_or_else(Vec::new, |value| self.map(value));
        members.iter().map(|member| self.shared_pool(*member, top, interner)).collect()
    }

    /// A pool that could not be understood is still given, without members, so that rules that name
    /// it are not told to be wrong too.
    fn shared_pool(
        &mut self,
        member: Value<'_>,
        top: &TermsSet,
        interner: &mut Interner,
    ) -> PoolPlan {
        let name = member.key();
        let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.len() > 128 || !name.chars().all(good) {
            let message = format!("{:?} is no name for a pool", shown(name));
            let hint = "1 to 128 letters, digits, '-', '_' or '.'".to_owned();
            self.at_key(Severity::Error, "bad-value", member, message, hint);
        }
        let fields = self.object(member, &keys::POOL);
        let limits = fields.and_then(|fields| fields.get("limits"));
        let limits = limits.and_then(|value| self.object(value, &keys::POOL_LIMITS));
        let timeouts = fields.and_then(|fields| fields.get("timeouts"));
        let own = self.terms(timeouts, limits, Level::Pool);
        if let Some(fields) = fields {
            self.word(fields, "strategy");
            self.word(fields, "protocol");
        }
        let backends = fields.and_then(|fields| fields.get("backends"));
        PoolPlan {
            name: name.to_owned(),
            inline: false,
            strategy: Strategy::RoundRobin,
            members: backends.map_or_else(Vec::new, |value| self.backends(value, name)),
            terms: interner.resolve(&[top, &own]),
            own,
        }
    }

    /// The members of the pool `pool` from an array of backends.
    pub(super) fn backends(&mut self, value: Value<'_>, pool: &str) -> Vec<MemberPlan> {
        let mut members = Vec::new();
        let mut seen: HashMap<String, usize> = HashMap::new();
        for item in self.list(value, 1) {
            if let Kind::Text(text) = item.kind() {
                let hint = format!("write {{\"address\": {:?}}}", shown(text));
                self.error_hint("wrong-type", item, "a backend is an object", hint);
                continue;
            }
            let Some(fields) = self.object(item, &keys::BACKEND) else { continue };
            if let Some(member) = self.backend(fields, pool, &mut seen) {
                members.push(member);
            }
        }
        members
    }

    fn backend(
        &mut self,
        fields: Fields<'_>,
        pool: &str,
        seen: &mut HashMap<String, usize>,
    ) -> Option<MemberPlan> {
        let max_failures = self.whole(fields, "max_failures");
        self.weight(fields);
        let value = fields.get("address")?;
        let address = match words::backend(self.string(value)?) {
            Ok(address) => address,
            Err((message, hint)) => {
                let hint = hint.unwrap_or_else(|| format!("allowed: {}", Shape::Backend.allowed()));
                self.error_hint("bad-value", value, message, hint);
                return None;
            }
        };
        let text = words::backend_text(&address);
        if seen.insert(text.clone(), 0).is_some() {
            let message = format!("the backend {text} stands in this pool twice");
            self.error("duplicate-backend", value, message);
        }
        let max_failures = max_failures.and_then(|number| u32::try_from(number).ok());
        Some(MemberPlan {
            id: MemberId::new(pool, &text, 0),
            address,
            text,
            weight: 1,
            max_failures: max_failures.unwrap_or(MAX_FAILURES),
        })
    }

    fn weight(&mut self, fields: Fields<'_>) {
        let Some(value) = fields.get("weight") else { return };
        match value.kind() {
            Kind::Number("1") => {}
            Kind::Number(text) if crate::base::ascii::parse_decimal(text.as_bytes()) > Some(1) => {
                let message = "weights other than 1 are not supported in this version";
                self.error_hint("not-supported", value, message, "leave \"weight\" out".to_owned());
            }
            _ => _ = self.whole(fields, "weight"),
        }
    }
}
