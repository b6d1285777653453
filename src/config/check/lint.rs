//! What is allowed and yet hardly meant.

use std::collections::HashSet;

use crate::config::json::{Kind, Value};
use crate::config::plan::{Action, Rule};
use crate::config::problem::Severity;
use crate::route::{Condition, RuleId};

use super::{Checker, shown};

impl Checker<'_> {
    /// Shared pools that no rule names.
    pub(super) fn unused_pools(&mut self, pools: Option<Value<'_>>, rules: &[Rule]) {
        let used: HashSet<u32> = rules
            .iter()
            .filter_map(|rule| match rule.action {
                Action::Pool(index) => Some(index.0),
                _ => None,
            })
            .collect();
        let Some(pools) = pools.filter(|value| value.kind() == Kind::Object) else { return };
        let members = pools.children().filter(|member| member.key() != "$comment");
        for (at, member) in members.enumerate() {
            if !used.contains(&(at as u32)) {
                let message = format!("no rule uses the pool {:?}", shown(member.key()));
                self.at_key(Severity::Warning, "unused-pool", member, message, None);
            }
        }
    }

    /// Rules of one route that ask the same: only the first is ever reached.
    pub(super) fn same_conditions(&mut self, route: Value<'_>, rules: &[(RuleId, Condition)]) {
        if route.kind() != Kind::List || rules.len() > 1_000 {
            return;
        }
        for (at, (_, condition)) in rules.iter().enumerate() {
            let before = rules.iter().take(at).any(|(_, own)| own == condition);
            let Some(value) = route.children().nth(at).filter(|_| before) else { continue };
            if !condition.is_empty() {
                let place = (value.at(), value.pointer());
                let message = "no request reaches this rule: one before it asks the same";
                self.tell(Severity::Warning, "unreachable-rule", place, message, None);
            }
        }
    }
}
