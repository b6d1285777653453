//! The metrics text (OpenMetrics 1.0) of a reading of the board.
//!
//! Pure. Names and help come from the tables of `counters`; the families that the board doesn't know
//! (workers, backends, routes, applies) are named here. Labels are bounded by the configuration and
//! cut at [`SERIES_MAX`].

use super::counters::{Column, Counter, Gauge, Timing};
use super::histogram;
use super::reading::{Distribution, Reading, RowReading};
use std::fmt::Write;

/// The media type of the text.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Most backends, and most routes, with rows of their own; the rest are left out and counted.
pub const SERIES_MAX: usize = 2_000;

/// One backend as it is configured, with what the board says.
#[derive(Clone, Debug, Default)]
pub struct BackendSample {
    /// Its pool.
    pub pool: String,
    /// Its address.
    pub backend: String,
    /// It takes requests.
    pub up: bool,
    /// Its numbers.
    pub row: RowReading,
}

/// One rule with what the board says.
#[derive(Clone, Debug, Default)]
pub struct RouteSample {
    /// Its name.
    pub route: String,
    /// Its numbers.
    pub row: RowReading,
}

/// What the board doesn't know.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    /// Version of the program.
    pub version: String,
    /// Serial that runs.
    pub serial: u64,
    /// Workers started since the master was.
    pub worker_starts: u64,
    /// Workers that ended unasked since the master was started.
    pub worker_deaths: u64,
    /// Configurations accepted since the master was started.
    pub applies_accepted: u64,
    /// Configurations refused since the master was started.
    pub applies_refused: u64,
    /// All backends.
    pub backends: Vec<BackendSample>,
    /// All rules.
    pub routes: Vec<RouteSample>,
}

/// The whole text, with its end mark.
pub fn render(reading: &Reading, scene: &Scene) -> String {
    let mut text = Text { out: String::with_capacity(32 * 1024) };
    about(&mut text, scene);
    let counters: Vec<_> = Counter::ALL.iter().map(|c| (c.column(), reading.counter(*c))).collect();
    text.columns("counter", &counters);
    let gauges: Vec<_> = Gauge::ALL.iter().map(|g| (g.column(), reading.gauge(*g))).collect();
    text.columns("gauge", &gauges);
    for timing in Timing::ALL {
        text.distribution(timing.column(), reading.timing(*timing));
    }
    workers(&mut text, reading);
    backends(&mut text, scene);
    routes(&mut text, scene);
    text.family("cloudcup_board_lines", "gauge", "", "Lines of the shared board.");
    text.sample("cloudcup_board_lines", &[], reading.lines);
    text.family("cloudcup_board_lines_used", "gauge", "", "Lines of the shared board in use.");
    text.sample("cloudcup_board_lines_used", &[], reading.rows.len());
    text.out.push_str("# EOF\n");
    text.out
}

fn about(text: &mut Text, scene: &Scene) {
    text.family("cloudcup_build", "info", "", "The program.");
    text.sample("cloudcup_build_info", &[("version", &scene.version)], 1);
    text.family("cloudcup_config_serial", "gauge", "", "Serial of the configuration that runs.");
    text.sample("cloudcup_config_serial", &[], scene.serial);
    let help = "Configurations offered since the master was started, by outcome.";
    text.family("cloudcup_config_applies", "counter", "", help);
    let name = "cloudcup_config_applies_total";
    text.sample(name, &[("result", "accepted")], scene.applies_accepted);
    text.sample(name, &[("result", "refused")], scene.applies_refused);
    let help = "Workers started since the master was.";
    text.family("cloudcup_worker_starts", "counter", "", help);
    text.sample("cloudcup_worker_starts_total", &[], scene.worker_starts);
    let help = "Workers that ended unasked since the master was started.";
    text.family("cloudcup_worker_deaths", "counter", "", help);
    text.sample("cloudcup_worker_deaths_total", &[], scene.worker_deaths);
    let left_out = scene.backends.len().saturating_sub(SERIES_MAX)
        + scene.routes.len().saturating_sub(SERIES_MAX);
    let help = "Backends and routes left out of this text because there are too many.";
    text.family("cloudcup_series_left_out", "gauge", "", help);
    text.sample("cloudcup_series_left_out", &[], left_out);
}

fn workers(text: &mut Text, reading: &Reading) {
    let slots: Vec<String> = reading.workers.iter().map(|w| w.slot.to_string()).collect();
    let workers = || reading.workers.iter().zip(&slots);
    let name = "cloudcup_worker_connections";
    text.family(name, "gauge", "", "Open client connections of each worker.");
    for (worker, slot) in workers() {
        text.sample(name, &[("worker", slot)], worker.gauge(Gauge::FrontConnections));
    }
    text.family("cloudcup_worker_requests", "counter", "", "Requests of each worker's slot.");
    for (worker, slot) in workers() {
        let requests = worker.counter(Counter::Requests);
        text.sample("cloudcup_worker_requests_total", &[("worker", slot)], requests);
    }
    let name = "cloudcup_worker_silence_seconds";
    text.family(name, "gauge", "seconds", "Time since each worker's loop last turned.");
    for (worker, slot) in workers() {
        let silence = reading.at.since(worker.heartbeat).as_secs_f64();
        text.sample(name, &[("worker", slot)], silence);
    }
}

/// Name without suffix, kind, unit, help and value of a family with a row for each backend or route.
type RowFamily = (&'static str, &'static str, &'static str, &'static str, fn(&RowReading) -> f64);

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

fn backends(text: &mut Text, scene: &Scene) {
    const FAMILIES: [RowFamily; 6] = [
        ("cloudcup_backend_requests", "counter", "", "Requests sent to a backend.", |r| {
            r.requests as f64
        }),
        ("cloudcup_backend_failures", "counter", "", "Requests that failed at a backend.", |r| {
            r.failures as f64
        }),
        ("cloudcup_backend_connections", "gauge", "", "Open connections to a backend.", |r| {
            r.open as f64
        }),
        (
            "cloudcup_backend_response_seconds",
            "counter",
            "seconds",
            "Sum of the times from a request sent to the head of its response.",
            |r| seconds(r.micros),
        ),
        ("cloudcup_backend_sent_bytes", "counter", "bytes", "Body bytes sent.", |r| r.sent as f64),
        ("cloudcup_backend_received_bytes", "counter", "bytes", "Body bytes received.", |r| {
            r.received as f64
        }),
    ];
    let shown = || scene.backends.iter().take(SERIES_MAX);
    text.family("cloudcup_backend_up", "gauge", "", "1 while a backend takes requests, else 0.");
    for sample in shown() {
        let labels = [("pool", &*sample.pool), ("backend", &*sample.backend)];
        text.sample("cloudcup_backend_up", &labels, u8::from(sample.up));
    }
    for (family, kind, unit, help, value) in FAMILIES {
        text.family(family, kind, unit, help);
        let name = with_suffix(family, kind);
        for sample in shown() {
            let labels = [("pool", &*sample.pool), ("backend", &*sample.backend)];
            text.sample(&name, &labels, value(&sample.row));
        }
    }
}

fn routes(text: &mut Text, scene: &Scene) {
    const FAMILIES: [RowFamily; 6] = [
        ("cloudcup_route_requests", "counter", "", "Requests that took a route.", |r| {
            r.requests as f64
        }),
        (
            "cloudcup_route_failures",
            "counter",
            "",
            "Requests of a route answered with 500 or above.",
            |r| r.failures as f64,
        ),
        ("cloudcup_route_exchanges", "gauge", "", "Requests of a route in progress.", |r| {
            r.open as f64
        }),
        (
            "cloudcup_route_duration_seconds",
            "counter",
            "seconds",
            "Sum of the durations of a route's requests.",
            |r| seconds(r.micros),
        ),
        ("cloudcup_route_received_bytes", "counter", "bytes", "Body bytes from clients.", |r| {
            r.sent as f64
        }),
        ("cloudcup_route_sent_bytes", "counter", "bytes", "Body bytes to clients.", |r| {
            r.received as f64
        }),
    ];
    for (family, kind, unit, help, value) in FAMILIES {
        text.family(family, kind, unit, help);
        let name = with_suffix(family, kind);
        for sample in scene.routes.iter().take(SERIES_MAX) {
            text.sample(&name, &[("route", &sample.route)], value(&sample.row));
        }
    }
}

fn with_suffix(family: &str, kind: &str) -> String {
    if kind == "counter" { format!("{family}_total") } else { family.to_owned() }
}

/// The unit that a family's name ends with.
fn unit_of(family: &str) -> &'static str {
    ["seconds", "bytes"].into_iter().find(|unit| family.ends_with(unit)).unwrap_or("")
}

struct Text {
    out: String,
}

impl Text {
    fn family(&mut self, name: &str, kind: &str, unit: &str, help: &str) {
        // Writing to a string doesn't fail.
        let _ = writeln!(self.out, "# TYPE {name} {kind}");
        if !unit.is_empty() {
            let _ = writeln!(self.out, "# UNIT {name} {unit}");
        }
        let _ = writeln!(self.out, "# HELP {name} {help}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.out.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            self.out.push(if index == 0 { '{' } else { ',' });
            self.out.push_str(label);
            self.out.push_str("=\"");
            text.chars().for_each(|c| match c {
                '\\' => self.out.push_str("\\\\"),
                '"' => self.out.push_str("\\\""),
                '\n' => self.out.push_str("\\n"),
                c => self.out.push(c),
            });
            self.out.push('"');
        }
        self.out.push_str(if labels.is_empty() { " " } else { "} " });
        let _ = writeln!(self.out, "{value}");
    }

    /// All columns of the board of one kind, family by family.
    fn columns(&mut self, kind: &str, columns: &[(&Column, u64)]) {
        let mut last = "";
        for (column, value) in columns {
            if column.family != last {
                last = column.family;
                self.family(last, kind, unit_of(last), column.help);
            }
            self.out.push_str(&with_suffix(column.family, kind));
            if !column.label.is_empty() {
                let _ = write!(self.out, "{{{}}}", column.label);
            }
            let _ = match unit_of(column.family) {
                "seconds" => writeln!(self.out, " {}", seconds(*value)),
                _ => writeln!(self.out, " {value}"),
            };
        }
    }

    /// A histogram with one bucket for each octave of microseconds.
    fn distribution(&mut self, column: &Column, distribution: &Distribution) {
        let name = column.family;
        self.family(name, "histogram", "seconds", column.help);
        let mut sum = 0u64;
        for (index, count) in distribution.buckets.iter().enumerate() {
            sum = sum.saturating_add(*count);
            let Some(upper) = histogram::upper(index) else { continue };
            if upper >= 128 && upper.is_power_of_two() {
                let _ = writeln!(self.out, "{name}_bucket{{le=\"{:?}\"}} {sum}", seconds(upper));
            }
        }
        let _ = writeln!(self.out, "{name}_bucket{{le=\"+Inf\"}} {sum}");
        let _ = writeln!(self.out, "{name}_count {sum}");
        let _ = writeln!(self.out, "{name}_sum {}", seconds(distribution.sum_micros));
    }
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
