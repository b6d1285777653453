//! The simulator: the real worker on a simulated kernel, in simulated time, between models of
//! clients and origins that check every byte. One seed is one run; it replays.
//!
//! `SIM_SEED=n` replays one seed with its story; `SIM_SEEDS=n` runs so many (256 by default), and
//! `SIM_CALLS=n` lets so many more calls fail.

mod case;
mod client;
mod net;
mod origin;
mod wire;
mod world;

use cloudcup::base::planted::{Bug, plant};
use std::collections::BTreeMap;
use std::env;
use std::thread;
use world::Options;

/// Seeds of an ordinary run.
const SEEDS: u64 = 256;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Runs a seed; on failure tells what happened and how to see it again.
fn must_pass(seed: u64) -> world::Outcome {
    let verbose = number("SIM_SEED").is_some();
    match world::run(seed, Options { verbose, ..Options::default() }) {
        Ok(outcome) => outcome,
        Err(failure) => {
            for line in &failure.story {
                println!("{line}");
            }
            let replay = format!("SIM_SEED={seed} cargo test --features sim --test sim");
            panic!("seed {seed}: {}\nreplay: {replay}", failure.message);
        }
    }
}

#[test]
fn every_seed_keeps_every_promise() {
    if let Some(seed) = number("SIM_SEED") {
        println!("{:?}", must_pass(seed));
        return;
    }
    let seeds = number("SIM_SEEDS").unwrap_or(SEEDS);
    let threads = thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let outcomes: Vec<world::Outcome> = thread::scope(|scope| {
        let share = |first: u64| (first..seeds).step_by(threads as usize).map(must_pass).collect();
        let workers: Vec<_> = (0..threads)
            .map(|first| scope.spawn(move || -> Vec<world::Outcome> { share(first) }))
            .collect();
        let join = |worker: thread::ScopedJoinHandle<'_, Vec<_>>| {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        workers.into_iter().flat_map(join).collect()
    });
    let mut sums: BTreeMap<&str, usize> = BTreeMap::new();
    for (word, count) in outcomes.iter().flat_map(|outcome| &outcome.endings) {
        *sums.entry(word).or_insert(0) += count;
    }
    let exhausted: u64 = outcomes.iter().map(|outcome| outcome.exhausted).sum();
    println!("{sums:?}, descriptors ran out {exhausted} times");
    if seeds < SEEDS {
        return;
    }
    // The runs must have met what they are meant to meet.
    let least = [("answered", 2_000), ("refused", 100), ("cut", 10), ("dropped", 0), ("left", 50)];
    for (word, least) in least {
        assert!(sums.get(word).is_some_and(|count| *count > least), "too few {word}: {sums:?}");
    }
    assert!(exhausted > 50, "{exhausted}");
}

#[test]
fn a_seed_replays() {
    for seed in [1, 2, 3, 4, 5, 6, 7, 8] {
        assert_eq!(must_pass(seed), must_pass(seed), "seed {seed}");
    }
}

/// In a run in which nothing else goes wrong, each call of the worker in turn fails. It costs the one
/// request on whose connection it was, and nothing is left over.
#[test]
fn any_one_call_may_fail() {
    let replayed = number("SIM_SEED").zip(number("SIM_CALL"));
    let mut harmed = 0;
    for seed in [3, 6, 12] {
        let calls = world::run(seed, Options { fail_at: Some(0), ..Options::default() });
        let calls = calls.map_or(0, |outcome| outcome.calls);
        assert!(calls > 100, "seed {seed} makes {calls} calls");
        // Each of the first ones, then samples.
        let samples = number("SIM_CALLS").unwrap_or(24);
        let rest = (samples + 1..=calls).step_by(1 + (calls / samples) as usize);
        for call in (1..=samples).chain(rest) {
            if replayed.is_some_and(|wanted| wanted != (seed, call)) {
                continue;
            }
            let options = Options { fail_at: Some(call), verbose: replayed.is_some() };
            let story = match world::run(seed, options) {
                Ok(outcome) => {
                    let all: usize = outcome.endings.values().sum();
                    let bad = all - outcome.endings.get("answered").copied().unwrap_or(0);
                    harmed += bad;
                    if bad <= 1 {
                        continue;
                    }
                    let message = format!("more than one is harmed: {:?}", outcome.endings);
                    world::Failure { message, story: outcome.story }
                }
                Err(failure) => failure,
            };
            story.story.iter().for_each(|line| println!("{line}"));
            panic!(
                "seed {seed}, call {call}: {}\nreplay: SIM_SEED={seed} SIM_CALL={call} cargo test \
                 --features sim --test sim any_one",
                story.message
            );
        }
    }
    assert!(harmed > 10 || replayed.is_some(), "only {harmed} requests were harmed");
}

/// Each planted bug is found, by a seed that finds it again.
#[test]
fn planted_bugs_are_found() {
    let bugs = [Bug::LostEnd, Bug::LostWake, Bug::EarlyRelease, Bug::UnsafeRetry, Bug::LostHead];
    let mut missed = Vec::new();
    for bug in bugs {
        plant(Some(bug));
        let found =
            (0..SEEDS).find_map(|seed| Some((seed, world::run(seed, Options::default()).err()?)));
        match found {
            Some((seed, failure)) => {
                println!("{bug:?} is found by seed {seed}: {}", failure.message);
                let again = world::run(seed, Options::default()).err().map(|again| again.message);
                assert_eq!(again.as_ref(), Some(&failure.message), "{bug:?} replays");
                plant(None);
                assert!(
                    world::run(seed, Options::default()).is_ok(),
                    "seed {seed} fails without {bug:?}"
                );
            }
            None => missed.push(bug),
        }
    }
    plant(None);
    assert!(missed.is_empty(), "not found: {missed:?}");
}
