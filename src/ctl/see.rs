//! What `status` and `show` print.

use super::term::{Screen, Tone, bytes, number, plain, span, table, tone};
use crate::master::snapshot::{
    BackendView, CounterView, LastApply, PoolView, RouteView, ServiceState, Snapshot, Totals,
    WorkerView,
};
use crate::observe::Counter;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// Adds the overall state, in the manner of `systemctl status`.
pub fn status(screen: &mut Screen, snapshot: &Snapshot) {
    let mood = match snapshot.state {
        ServiceState::Running => Tone::Good,
        ServiceState::Starting | ServiceState::Stopping => Tone::Warn,
        ServiceState::Degraded => Tone::Bad,
    };
    let state = tone(mood, snapshot.state.name());
    screen.line(format!(
        "{} cloudcup {} - {state}{}",
        tone(mood, "●"),
        plain(&snapshot.version),
        if snapshot.reason.is_empty() {
            String::new()
        } else {
            format!(": {}", plain(&snapshot.reason))
        }
    ));
    let mut fact = |name: &str, text: String| screen.line(format!("{name:>12}: {text}"));
    if !snapshot.config_file.is_empty() {
        fact("Config", plain(&snapshot.config_file));
    }
    fact("Serial", format!("{}{}", snapshot.serial, applied(&snapshot.last_apply)));
    fact("Master", format!("pid {}, up {}", snapshot.pid, seconds(snapshot.uptime_seconds)));
    for (at, listener) in snapshot.listeners.iter().enumerate() {
        let name = if at == 0 { "Listens" } else { "" };
        let text = format!(
            "{:<8} {} ({})",
            plain(&listener.name),
            plain(&listener.address),
            plain(&listener.origin)
        );
        if name.is_empty() {
            fact("", text);
        } else {
            fact(name, text);
        }
    }
    fact("Traffic", traffic_line(&snapshot.totals));
    fact("Backends", backends_line(&snapshot.pools));
    for warning in &snapshot.warnings {
        fact("Warning", tone(Tone::Warn, plain(warning)));
    }
    screen.line("");
    workers(screen, &snapshot.workers);
}

fn applied(last: &LastApply) -> String {
    if last.at_unix == 0 {
        return String::new();
    }
    let ago = crate::base::clock::Clock::wall().as_secs().saturating_sub(last.at_unix);
    let (what, mood) =
        if last.accepted { ("applied", Tone::Dim) } else { ("last apply refused", Tone::Bad) };
    let text = format!("{what} {} ago from {}", seconds(ago), plain(&last.source));
    let why = if last.accepted || last.message.is_empty() {
        String::new()
    } else {
        format!(": {}", plain(&last.message))
    };
    format!(" ({}{why})", tone(mood, text))
}

fn seconds(seconds: u64) -> String {
    span(Duration::from_secs(seconds))
}

fn traffic_line(totals: &Totals) -> String {
    format!(
        "{} requests, {} in flight, {} waiting; {} client and {} backend connections; {} in, {} out",
        number(totals.requests_total),
        number(totals.exchanges),
        number(totals.waiting),
        number(totals.connections),
        number(totals.back_connections),
        bytes(totals.bytes_in_total),
        bytes(totals.bytes_out_total)
    )
}

fn backends_line(pools: &[PoolView]) -> String {
    let all = pools.iter().map(|pool| pool.backends.len()).sum::<usize>();
    let down: Vec<&BackendView> = pools
        .iter()
        .flat_map(|pool| &pool.backends)
        .filter(|backend| backend.state == "down")
        .collect();
    let mut text = format!("{} of {all} take traffic, in {} pools", all - down.len(), pools.len());
    for backend in down.iter().take(5) {
        let retry = Duration::from_millis(backend.retry_in_ms);
        let name = if backend.address.is_empty() { "a backend" } else { &backend.address };
        text.push_str("; ");
        text.push_str(&tone(
            Tone::Bad,
            format!("{} of {} is down", plain(name), plain(&backend.pool)),
        ));
        text.push_str(&format!(", tried again in {}", span(retry)));
    }
    if down.len() > 5 {
        text.push_str(&format!("; and {} more", down.len() - 5));
    }
    text
}

/// Adds the table of workers.
pub fn workers(screen: &mut Screen, workers: &[WorkerView]) {
    if workers.is_empty() {
        return;
    }
    let headings =
        ["worker", "pid", "state", "serial", "up", "clients", "backends", "requests", "restarts"];
    let mut rows = table(&headings, &[0, 1, 3, 5, 6, 7, 8]);
    for worker in workers {
        let mood = if worker.state == "ready" { Tone::Good } else { Tone::Warn };
        rows.add_row([
            worker.slot.to_string(),
            worker.pid.to_string(),
            tone(mood, plain(&worker.state)),
            worker.serial.to_string(),
            seconds(worker.uptime_seconds),
            number(worker.connections),
            number(worker.back_connections),
            number(worker.requests_total),
            number(worker.restarts),
        ]);
    }
    screen.table(&rows);
}

/// The document of `show backends`.
#[derive(Debug, Deserialize)]
pub struct Backends {
    /// All pools.
    pub pools: Vec<PoolView>,
}

/// Adds the table of backends.
pub fn backends(screen: &mut Screen, pools: &[PoolView]) {
    let headings = [
        "pool",
        "backend",
        "state",
        "weight",
        "failing",
        "connections",
        "requests",
        "failed",
        "remark",
    ];
    let mut rows = table(&headings, &[3, 4, 5, 6, 7]);
    for backend in pools.iter().flat_map(|pool| &pool.backends) {
        let mood = match backend.state.as_str() {
            "up" => Tone::Good,
            "down" => Tone::Bad,
            _ => Tone::Warn,
        };
        let retry = Duration::from_millis(backend.retry_in_ms);
        let remark = match backend.state.as_str() {
            "down" => format!("tried again in {}", span(retry)),
            _ if !backend.resolved.is_empty() => plain(&backend.resolved.join(" ")),
            _ => String::new(),
        };
        rows.add_row([
            plain(&backend.pool),
            plain(&backend.address),
            tone(mood, plain(&backend.state)),
            backend.weight.to_string(),
            format!("{}/{}", backend.failures, backend.max_failures),
            number(backend.connections),
            number(backend.requests_total),
            number(backend.failures_total),
            remark,
        ]);
    }
    screen.table(&rows);
}

/// The document of `show routes`.
#[derive(Debug, Deserialize)]
pub struct Routes {
    /// All rules.
    pub routes: Vec<RouteView>,
}

/// Adds the table of routes.
pub fn routes(screen: &mut Screen, routes: &[RouteView]) {
    let mut rows = table(&["route", "rule", "action", "requests"], &[3]);
    for route in routes {
        rows.add_row([
            plain(&route.key),
            if route.name == route.key { String::new() } else { plain(&route.name) },
            plain(&route.action),
            number(route.requests_total),
        ]);
    }
    screen.table(&rows);
}

/// The document of `show traffic`.
#[derive(Debug, Deserialize)]
pub struct Traffic {
    /// Sums.
    pub totals: Totals,
    /// By worker.
    pub workers: Vec<WorkerView>,
    /// By route.
    pub routes: Vec<RouteView>,
    /// By backend.
    pub pools: Vec<PoolView>,
}

/// Adds the counters of traffic.
pub fn traffic(screen: &mut Screen, traffic: &Traffic) {
    screen.line(traffic_line(&traffic.totals));
    screen.line("");
    routes(screen, &traffic.routes);
    screen.line("");
    backends(screen, &traffic.pools);
    screen.line("");
    workers(screen, &traffic.workers);
}

/// The document of `show errors`.
#[derive(Debug, Deserialize)]
pub struct Errors {
    /// Counters that are not zero.
    pub counters: Vec<CounterView>,
    /// About configuration and system.
    pub warnings: Vec<String>,
}

/// Adds the counters of faults.
pub fn errors(screen: &mut Screen, errors: &Errors) {
    for warning in &errors.warnings {
        screen.line(tone(Tone::Warn, plain(warning)));
    }
    if errors.counters.is_empty() {
        screen.line("no faults, refusals or limits hit");
        return;
    }
    let mut rows = table(&["what", "count", "meaning"], &[1]);
    for counter in &errors.counters {
        let meaning = tone(Tone::Dim, meaning(&counter.name));
        rows.add_row([plain(&counter.name), number(counter.value), meaning]);
    }
    screen.table(&rows);
}

/// What the counter of this name counts, as far as this version knows it.
fn meaning(name: &str) -> &'static str {
    let family = name.split('{').next().unwrap_or(name);
    let family = family.strip_suffix("_total").unwrap_or(family);
    Counter::ALL
        .iter()
        .map(|counter| counter.column())
        .find(|column| column.family.strip_prefix("cloudcup_") == Some(family))
        .map_or("", |column| column.help)
}

/// Adds the table of connections: what is known first, then whatever else a version tells.
pub fn connections(screen: &mut Screen, list: &Value) {
    const FIRST: [&str; 6] = ["worker", "listener", "client", "state", "requests", "age_ms"];
    // A number for machines only.
    const HIDDEN: [&str; 1] = ["id"];
    objects(screen, list, &FIRST, &HIDDEN);
}

/// Adds a table of objects with the same keys, those of `first` before the others.
fn objects(screen: &mut Screen, list: &Value, first_keys: &[&str], hidden: &[&str]) {
    let empty = Vec::new();
    let list = list.as_array().unwrap_or(&empty);
    let Some(Value::Object(first)) = list.first() else {
        screen.line("none");
        return;
    };
    let known = first_keys.iter().copied().filter(|key| first.contains_key(*key));
    let others = first.keys().map(String::as_str);
    let others = others.filter(|key| !first_keys.contains(key) && !hidden.contains(key));
    let keys: Vec<&str> = known.chain(others).collect();
    let numbers: Vec<usize> =
        (0..keys.len()).filter(|at| first.get(keys[*at]).is_some_and(Value::is_number)).collect();
    let heading = |key: &&str| key.strip_suffix("_ms").unwrap_or(key).replace('_', " ");
    let headings: Vec<String> = keys.iter().map(heading).collect();
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let mut rows = table(&headings, &numbers);
    for entry in list {
        rows.add_row(keys.iter().map(|key| match entry.get(*key) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => plain(text),
            Some(Value::Number(time)) if key.ends_with("_ms") => {
                span(Duration::from_millis(time.as_u64().unwrap_or(0)))
            }
            Some(other) => plain(&other.to_string()),
        }));
    }
    screen.table(&rows);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::master::snapshot::ListenerView;

    fn snapshot() -> Snapshot {
        Snapshot {
            version: "0.1.0".into(),
            pid: 77,
            state: ServiceState::Degraded,
            reason: "the file was refused".into(),
            serial: 3,
            listeners: vec![ListenerView {
                name: "http".into(),
                address: "0.0.0.0:80".into(),
                origin: "systemd".into(),
            }],
            workers: vec![WorkerView { state: "ready".into(), ..WorkerView::default() }],
            pools: vec![PoolView {
                name: "api".into(),
                strategy: "round-robin".into(),
                backends: vec![BackendView {
                    pool: "api".into(),
                    address: "10.0.0.1:90\x1b[2J".into(),
                    state: "down".into(),
                    retry_in_ms: 4000,
                    ..BackendView::default()
                }],
            }],
            ..Snapshot::default()
        }
    }

    #[test]
    fn status_says_what_is_wrong_first() {
        let mut screen = Screen::quiet();
        status(&mut screen, &snapshot());
        let out = screen.take();
        assert!(out.starts_with("● cloudcup 0.1.0 - degraded: the file was refused\n"), "{out}");
        assert!(out.contains("Listens: http     0.0.0.0:80 (systemd)\n"), "{out}");
        assert!(out.contains("0 of 1 take traffic"), "{out}");
        assert!(out.contains("of api is down, tried again in 4s"), "{out}");
        assert!(!out.contains('\x1b'), "{out}");
    }

    #[test]
    fn every_document_of_the_service_has_a_table() {
        let mut screen = Screen::quiet();
        backends(&mut screen, &snapshot().pools);
        assert!(screen.take().contains("0/0"));
        routes(&mut screen, &[RouteView { key: "*".into(), ..RouteView::default() }]);
        assert!(screen.take().contains(" *"));
        let counters = vec![CounterView { name: "x_total".into(), value: 12_000 }];
        errors(&mut screen, &Errors { counters, warnings: Vec::new() });
        assert!(screen.take().contains("12 000"));
        let one = serde_json::json!([
            {"age_ms": 65_000, "client": "1.2.3.4:5", "id": 7, "more": "x\u{1b}", "worker": 0}
        ]);
        connections(&mut screen, &one);
        let expected = " WORKER  CLIENT         AGE  MORE\n      0  1.2.3.4:5  1min 5s  x\\u{1b}\n";
        assert_eq!(screen.take(), expected);
        connections(&mut screen, &serde_json::json!([]));
        assert_eq!(screen.take(), "none\n");
    }
}
