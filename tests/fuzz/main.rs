//! The fuzz targets on a stable compiler: over their corpus and over what a seeded mutator makes of
//! it, a bounded number of times. `CLOUDCUP_FUZZ_ROUNDS` makes it longer, `CLOUDCUP_FUZZ_SEED` other.

mod mutate;

#[path = "../../fuzz/targets/config.rs"]
mod config;
#[path = "../../fuzz/targets/control.rs"]
mod control;
#[path = "../../fuzz/targets/h1.rs"]
mod h1;
#[path = "../tables/read.rs"]
mod read;

use mutate::Mutator;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Inputs of a target: its corpus folder and the bytes of tables.
fn corpus(target: &str, tables: &[(&str, usize)]) -> Vec<Vec<u8>> {
    let folder = format!("{}/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    let mut inputs: Vec<Vec<u8>> =
        paths.iter().map(|path| std::fs::read(path).expect("readable")).collect();
    assert!(inputs.len() >= 10, "{folder} holds too little");
    for (table, columns) in tables {
        let cases = read::read(table, *columns);
        inputs.extend(cases.iter().filter_map(|case| case.bytes(columns - 1)));
    }
    inputs
}

/// Runs `target` over every input, then over mutations of them; tells the input that broke it.
fn run(target: fn(&[u8]), inputs: &[Vec<u8>], rounds: u64) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seed = number("CLOUDCUP_FUZZ_SEED").unwrap_or(0x5eed);
    let rounds = number("CLOUDCUP_FUZZ_ROUNDS").unwrap_or(rounds);
    let mut mutator = Mutator::new(seed, inputs);
    let tries = inputs.iter().cloned().chain((0..rounds).map(|_| mutator.input()));
    for (round, bytes) in tries.enumerate() {
        let broke = catch_unwind(AssertUnwindSafe(|| target(&bytes))).is_err();
        assert!(!broke, "seed {seed}, input {round}: {}", bytes.escape_ascii());
    }
}

#[test]
fn requests() {
    let tables = [
        (include_str!("../tables/requests-refused.tsv"), 2),
        (include_str!("../tables/requests-valid.tsv"), 6),
    ];
    run(h1::request, &corpus("h1_request", &tables), 4_000);
}

#[test]
fn responses() {
    let tables = [
        (include_str!("../tables/responses-refused.tsv"), 4),
        (include_str!("../tables/responses-valid.tsv"), 8),
    ];
    let mut inputs = corpus("h1_response", &[]);
    for (index, bytes) in corpus("h1_response", &tables).into_iter().enumerate() {
        inputs.push([&[index as u8][..], &bytes].concat());
    }
    run(h1::response, &inputs, 4_000);
}

#[test]
fn pairs() {
    run(h1::pair, &corpus("h1_pair", &[]), 10_000);
}

#[test]
fn documents() {
    run(config::document, &corpus("config", &[]), 1_500);
}

#[test]
fn paths() {
    run(config::a_path, &corpus("path", &[]), 20_000);
}

#[test]
fn control_messages() {
    let inputs = corpus("control", &[]);
    run(control::link, &inputs, 1_000);
    run(control::element, &inputs, 4_000);
}
