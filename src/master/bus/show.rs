//! The documents of `Show`: parts of the snapshot as JSON.

use super::access::Sight;
use super::failure::Failure;
use super::shared::{Shared, unexpected, visible};
use crate::control::names;
use crate::control::rows::Topic;
use crate::master::command::{Answer, Command};
use crate::master::snapshot::CounterView;
use serde::Serialize;
use serde_json::json;

/// `value` as JSON text. Error: `Failed`, which plain data never meets.
pub fn json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value)
        .map_err(|error| Failure::new(names::ERROR_FAILED, error.to_string()))
}

/// The document of `topic` as `sight` may see it; at most `limit` connections.
pub async fn topic(
    shared: &Shared,
    topic: Topic,
    sight: Sight,
    limit: u32,
) -> Result<String, Failure> {
    match topic {
        Topic::Config | Topic::Effective => {
            let effective = topic == Topic::Effective;
            return match shared.ask(Command::Config { effective }).await? {
                Answer::Text(text) => Ok(text),
                other => Err(unexpected(&other)),
            };
        }
        Topic::Connections => {
            return match shared.ask(Command::Connections { limit }).await? {
                Answer::Json(value) => json(&value),
                other => Err(unexpected(&other)),
            };
        }
        Topic::Status | Topic::Backends | Topic::Routes | Topic::Traffic | Topic::Errors => {}
    }
    let mut snapshot = visible(&*shared.refresh().await?, sight);
    let own = shared.samples().into_iter().filter(|sample| sample.counter && sample.value != 0);
    snapshot.counters.extend(own.map(|sample| CounterView {
        name: format!("{}_total", sample.family.trim_start_matches("cloudcup_")),
        value: sample.value,
    }));
    match topic {
        Topic::Backends => json(&json!({ "serial": snapshot.serial, "pools": snapshot.pools })),
        Topic::Routes => json(&json!({ "serial": snapshot.serial, "routes": snapshot.routes })),
        Topic::Traffic => json(&json!({
            "serial": snapshot.serial,
            "totals": snapshot.totals,
            "workers": snapshot.workers,
            "routes": snapshot.routes,
            "pools": snapshot.pools,
        })),
        Topic::Errors => json(&json!({
            "serial": snapshot.serial,
            "counters": snapshot.counters,
            "warnings": snapshot.warnings,
            "last_apply": snapshot.last_apply,
        })),
        _ => json(&snapshot),
    }
}
