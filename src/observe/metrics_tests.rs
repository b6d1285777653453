//! Tests of `metrics`, by a strict reader of the format.

use super::super::histogram::bucket;
use super::super::reading::WorkerReading;
use super::*;
use crate::base::clock::Time;
use std::collections::{BTreeMap, HashMap, HashSet};

/// A series: its full name with its labels in their order of writing.
type Series = (String, Vec<(String, String)>);

/// Reads an OpenMetrics text and holds it to the rules: families together and described, suffixes by
/// kind, units, escapes, no series twice, histograms cumulative, the end mark.
fn parse(text: &str) -> HashMap<Series, f64> {
    let body = text.strip_suffix("# EOF\n").expect("ends with the mark");
    let (mut kinds, mut described) = (BTreeMap::new(), HashSet::new());
    let mut family = String::new();
    let mut series = HashMap::new();
    for line in body.lines() {
        if let Some(meta) = line.strip_prefix("# ") {
            let mut words = meta.splitn(3, ' ');
            let (word, name, rest) =
                (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
            if name != family {
                assert!(described.insert(name.to_owned()), "{name} comes twice");
                name.clone_into(&mut family);
                assert_eq!(word, "TYPE", "{name} begins with its kind");
            }
            match word {
                "TYPE" => drop(kinds.insert(name.to_owned(), rest.to_owned())),
                "UNIT" => assert!(name.ends_with(&format!("_{rest}")), "{line}"),
                "HELP" => assert!(!rest.contains('\\') && rest.ends_with('.'), "{line}"),
                other => panic!("{other}"),
            }
            continue;
        }
        let (key, value) = parse_sample(line);
        let suffixes: &[&str] = match &*kinds[&family] {
            "counter" => &["_total"],
            "gauge" => &[""],
            "info" => &["_info"],
            "histogram" => &["_bucket", "_count", "_sum"],
            kind => panic!("{kind}"),
        };
        let suffix = key.0.strip_prefix(&*family).unwrap_or_else(|| panic!("{line} in {family}"));
        assert!(suffixes.contains(&suffix), "{line}");
        assert!(key.0.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
        assert!(value.is_finite() && value >= 0.0, "{line}");
        assert!(series.insert(key, value).is_none(), "{line} twice");
    }
    series
}

fn parse_sample(line: &str) -> (Series, f64) {
    let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap());
    let mut labels = Vec::new();
    let mut rest = rest;
    while let Some(inner) = rest.strip_prefix(['{', ',']) {
        let (label, inner) = inner.split_once("=\"").unwrap();
        let mut value = String::new();
        let mut chars = inner.char_indices();
        let end = loop {
            match chars.next().unwrap() {
                (_, '\\') => value.push(match chars.next().unwrap().1 {
                    'n' => '\n',
                    c @ ('\\' | '"') => c,
                    c => panic!("escape {c}"),
                }),
                (at, '"') => break at,
                (_, c) => value.push(c),
            }
        };
        labels.push((label.to_owned(), value));
        rest = &inner[end + 1..];
        rest = rest.strip_prefix('}').unwrap_or(rest);
    }
    ((name.to_owned(), labels), rest.strip_prefix(' ').unwrap().parse().unwrap())
}

fn reading() -> Reading {
    let mut reading = Reading { at: Time::from_millis(5_000), lines: 64, ..Reading::default() };
    for (index, counter) in reading.counters.iter_mut().enumerate() {
        *counter = 1_000_000 + index as u64;
    }
    for micros in [50, 500, 5_000, 100_000_000] {
        let timing = &mut reading.timings[Timing::Request.index()];
        timing.buckets[bucket(micros)] += 1;
        timing.sum_micros += micros;
    }
    let mut gauges = [0; Gauge::COUNT];
    gauges[Gauge::FrontConnections.index()] = 9;
    reading.workers.push(WorkerReading {
        slot: 3,
        pid: 1,
        generation: 1,
        serial: 1,
        state: "serving",
        heartbeat: Time::from_millis(4_750),
        gauges,
        counters: reading.counters,
    });
    reading
}

fn get(series: &HashMap<Series, f64>, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let labels = labels.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
    series.get(&(name.to_owned(), labels)).copied()
}

#[test]
fn the_text_obeys_the_format_and_tells_the_numbers() {
    let row =
        RowReading { requests: 7, failures: 2, open: 1, micros: 1_500_000, ..Default::default() };
    let scene = Scene {
        version: "0.1.0".into(),
        serial: 4,
        applies_refused: 2,
        backends: vec![BackendSample {
            pool: "api".into(),
            backend: "10.0.0.1:80".into(),
            up: true,
            row,
        }],
        routes: vec![RouteSample { route: "weird \"\\\n name".into(), row }],
        ..Scene::default()
    };
    let series = parse(&render(&reading(), &scene));
    for (name, labels, value) in [
        ("cloudcup_build_info", &[("version", "0.1.0")][..], 1.0),
        ("cloudcup_config_serial", &[], 4.0),
        ("cloudcup_config_applies_total", &[("result", "refused")], 2.0),
        ("cloudcup_connections_accepted_total", &[], 1_000_000.0),
        ("cloudcup_worker_connections", &[("worker", "3")], 9.0),
        ("cloudcup_worker_silence_seconds", &[("worker", "3")], 0.25),
        ("cloudcup_backend_up", &[("pool", "api"), ("backend", "10.0.0.1:80")], 1.0),
        ("cloudcup_backend_failures_total", &[("pool", "api"), ("backend", "10.0.0.1:80")], 2.0),
        ("cloudcup_route_duration_seconds_total", &[("route", "weird \"\\\n name")], 1.5),
        ("cloudcup_request_duration_seconds_bucket", &[("le", "0.000128")], 1.0),
        ("cloudcup_request_duration_seconds_bucket", &[("le", "0.008192")], 3.0),
        ("cloudcup_request_duration_seconds_bucket", &[("le", "+Inf")], 4.0),
        ("cloudcup_request_duration_seconds_count", &[], 4.0),
        ("cloudcup_request_duration_seconds_sum", &[], 100.00555),
    ] {
        assert_eq!(get(&series, name, labels), Some(value), "{name} {labels:?}");
    }
}

#[test]
fn every_column_is_in_the_text_and_every_limit_counts() {
    let series = parse(&render(&reading(), &Scene::default()));
    for counter in Counter::ALL {
        let column = counter.column();
        let name = format!("{}_total", column.family);
        let label = column.label.split_once('=').map(|(n, v)| (n, v.trim_matches('"')));
        let labels: Vec<_> = label.into_iter().collect();
        assert!(get(&series, &name, &labels).is_some(), "{name} {labels:?}");
    }
    let limits = series.keys().filter(|(name, _)| name.ends_with("_limit_hit_total")).count();
    assert!(limits >= 15, "{limits}");
    let busy = get(&series, "cloudcup_loop_busy_seconds_total", &[]).unwrap();
    assert!((1.0..1.1).contains(&busy), "{busy}");
}

#[test]
fn too_many_series_are_cut_and_counted() {
    let scene = Scene {
        routes: (0..SERIES_MAX + 5)
            .map(|n| RouteSample { route: n.to_string(), ..Default::default() })
            .collect(),
        ..Scene::default()
    };
    let series = parse(&render(&Reading::default(), &scene));
    assert_eq!(get(&series, "cloudcup_series_left_out", &[]), Some(5.0));
    let routes = series.keys().filter(|(name, _)| name == "cloudcup_route_requests_total").count();
    assert_eq!(routes, SERIES_MAX);
}
