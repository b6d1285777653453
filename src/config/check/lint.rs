//! What is allowed and yet hardly meant.

use std::collections::{HashMap, HashSet};

use crate::config::json::{Kind, Value};
use crate::config::plan::{Action, Rule};
use crate::config::problem::Severity;
use crate::route::Condition;

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

    /// A rule that no request reaches: `taken` are the conditions of those before it, by name.
    pub(super) fn reachable(
        &mut self,
        rule: Value<'_>,
        own: &Condition,
        taken: &HashMap<Condition, String>,
    ) {
        let (before, why) = match (taken.get(&Condition::default()), taken.get(own)) {
            (Some(before), _) => (before, "takes all"),
            (None, Some(before)) => (before, "asks the same"),
            (None, None) => return,
        };
        let message = format!("no request reaches this rule: {:?} before it {why}", shown(before));
        let hint = Some("put rules that ask for more first".to_owned());
        let place = (rule.at(), rule.pointer());
        self.tell(Severity::Warning, "unreachable-rule", place, message, hint);
    }
}
