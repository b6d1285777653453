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

/// The counters that tell of something that went wrong or was refused.
fn troubles(mut counters: Vec<CounterView>) -> Vec<CounterView> {
    const MARKS: [&str; 11] = [
        "errors",
        "faults",
        "malformed",
        "timeouts",
        "limit_hit",
        "refused",
        "retries",
        "\"4xx\"",
        "\"5xx\"",
        "\"failed\"",
        "to=\"down\"",
    ];
    counters.retain(|counter| MARKS.iter().any(|mark| counter.name.contains(mark)));
    counters
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
    let mut snapshot = visible(&shared.refresh().await?.snapshot, sight);
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
            "counters": troubles(snapshot.counters),
            "warnings": snapshot.warnings,
            "last_apply": snapshot.last_apply,
        })),
        _ => json(&snapshot),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_troubles_are_errors() {
        let view = |name: &str| CounterView { name: name.to_owned(), value: 1 };
        let shown = troubles(vec![
            view("requests_total"),
            view("responses_total{class=\"2xx\"}"),
            view("responses_total{class=\"5xx\"}"),
            view("backend_connects_total{result=\"reused\"}"),
            view("backend_connects_total{result=\"failed\"}"),
            view("waiting_limit_hit_total"),
            view("control_refused_total"),
        ]);
        let names: Vec<&str> = shown.iter().map(|view| view.name.as_str()).collect();
        let expected = [
            "responses_total{class=\"5xx\"}",
            "backend_connects_total{result=\"failed\"}",
            "waiting_limit_hit_total",
            "control_refused_total",
        ];
        assert_eq!(names, expected);
    }
}
