//! Passive health of one member, in one shared word.
//!
//! A member is up; after `max_failures` failures in a row it is down for a back-off (1 s, doubling to
//! 60 s); then one request of all workers is let through as its trial; that one's success makes it
//! up, its failure doubles the back-off. All workers change the word by compare-and-swap, so that
//! each transition is seen by exactly one of them, which reports it.
//!
//! Not here: what counts as a failure (`worker`), where the word lives (`shared`).
//!
//! Invariants: the zero word is "up, no failures"; no value of the word can keep a member out for
//! longer than [`BACKOFF_MAX`] from when it is read.

use crate::base::clock::Time;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The first back-off.
pub const BACKOFF_MIN: Duration = Duration::from_secs(1);
/// The longest back-off.
pub const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// A trial that nobody ended within this time (its worker died) may be given to another request.
pub const TRIAL_MAX: Duration = Duration::from_secs(30);

/// Back-offs doubled more often than this stay at [`BACKOFF_MAX`].
const LEVEL_MAX: u64 = 6;
const FAILURES_MAX: u64 = 0xffff;
const UNTIL_MAX: u64 = (1 << 40) - 1;

/// Where a member stands, as a picker sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Takes requests.
    Up,
    /// Takes none before this time; or its trial is under way, and this is when that lapses.
    Down {
        /// When the next trial is due.
        until: Time,
    },
    /// Down, and its trial is due.
    Due,
}

/// A change that the caller, and nobody else, has just made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// The member went down; `until` its first trial is due.
    Down {
        /// When the trial is due.
        until: Time,
    },
    /// A trial failed; it stays down.
    StillDown {
        /// When the next trial is due.
        until: Time,
    },
    /// The member is back.
    Up,
}

/// The word taken apart. For reports; pickers use [`standing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// Failures in a row while up.
    pub failures: u32,
    /// How often the back-off was doubled.
    pub level: u32,
    /// The state.
    pub state: State,
    /// End of the back-off, or of the trial's patience.
    pub until: Time,
}

/// The three states of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Takes requests.
    Up,
    /// In back-off.
    Down,
    /// One request tries it.
    Trial,
}

impl Health {
    /// Takes a shared word apart; anything that no transition could have written is clamped to it.
    pub fn of(word: u64, now: Time) -> Health {
        let state = match (word >> 22) & 0b11 {
            1 => State::Down,
            2 => State::Trial,
            _ => State::Up,
        };
        let longest = if state == State::Trial { TRIAL_MAX } else { BACKOFF_MAX };
        Health {
            failures: (word & FAILURES_MAX) as u32,
            level: ((word >> 16) & 0x3f).min(LEVEL_MAX) as u32,
            state,
            until: Time::from_millis(word >> 24).min(now.after(longest)),
        }
    }

    fn word(self) -> u64 {
        let state = match self.state {
            State::Up => 0,
            State::Down => 1,
            State::Trial => 2,
        };
        u64::from(self.failures).min(FAILURES_MAX)
            | (u64::from(self.level).min(LEVEL_MAX) << 16)
            | (state << 22)
            | (self.until.as_millis().min(UNTIL_MAX) << 24)
    }

    fn down(level: u32, now: Time) -> Health {
        let backoff = BACKOFF_MIN.saturating_mul(1 << level.min(LEVEL_MAX as u32)).min(BACKOFF_MAX);
        // Whole milliseconds are stored: round up, so that the wait is never short.
        let until = Time::from_millis(now.after(backoff).as_nanos().div_ceil(1_000_000));
        Health { failures: 0, level, state: State::Down, until }
    }
}

/// Where the member stands now. One relaxed load.
pub fn standing(word: &AtomicU64, now: Time) -> Standing {
    let value = word.load(Relaxed);
    if value & (0b11 << 22) == 0 {
        return Standing::Up;
    }
    let health = Health::of(value, now);
    match health.state {
        State::Up => Standing::Up,
        _ if health.until <= now => Standing::Due,
        _ => Standing::Down { until: health.until },
    }
}

/// Takes the one trial that is due; true for exactly one caller. That one reports [`success`] or
/// [`failure`], or lets the trial lapse after [`TRIAL_MAX`].
pub fn claim_trial(word: &AtomicU64, now: Time) -> bool {
    let value = word.load(Relaxed);
    let health = Health::of(value, now);
    if health.state == State::Up || health.until > now {
        return false;
    }
    let trial = Health { state: State::Trial, until: now.after(TRIAL_MAX), ..health };
    word.compare_exchange(value, trial.word(), Relaxed, Relaxed).is_ok()
}

/// A request was answered by the member. Ends a trial well and forgets failures; a late answer to a
/// member in back-off changes nothing. In the usual case one relaxed load.
pub fn success(word: &AtomicU64, now: Time) -> Option<Transition> {
    change(word, |value| {
        let health = Health::of(value, now);
        match health.state {
            State::Up if value == 0 => None,
            State::Up => Some((0, None)),
            State::Down => None,
            State::Trial => Some((0, Some(Transition::Up))),
        }
    })
}

/// A request failed by fault of the member. `max_failures` in a row take it down; zero = never. A
/// failed trial doubles the back-off; failures of requests sent before it went down change nothing.
pub fn failure(word: &AtomicU64, now: Time, max_failures: u32) -> Option<Transition> {
    change(word, |value| {
        let health = Health::of(value, now);
        match health.state {
            State::Up if max_failures == 0 => None,
            State::Up => {
                let failures = health.failures.saturating_add(1);
                if failures < max_failures.min(FAILURES_MAX as u32) {
                    let more = Health { failures, level: 0, state: State::Up, until: Time::ZERO };
                    return Some((more.word(), None));
                }
                let down = Health::down(0, now);
                Some((down.word(), Some(Transition::Down { until: down.until })))
            }
            State::Down => None,
            State::Trial => {
                let down = Health::down(health.level.saturating_add(1), now);
                Some((down.word(), Some(Transition::StillDown { until: down.until })))
            }
        }
    })
}

/// Gives a trial back unused (the request went away before it reached the member): it is due again.
pub fn forgo_trial(word: &AtomicU64, now: Time) {
    change(word, |value| {
        let health = Health::of(value, now);
        (health.state == State::Trial)
            .then(|| (Health { state: State::Down, until: now, ..health }.word(), None))
    });
}

/// Makes the change that `next` wants, however many others change the word at the same time.
fn change(
    word: &AtomicU64,
    mut next: impl FnMut(u64) -> Option<(u64, Option<Transition>)>,
) -> Option<Transition> {
    let mut value = word.load(Relaxed);
    loop {
        let (wanted, transition) = next(value)?;
        match word.compare_exchange_weak(value, wanted, Relaxed, Relaxed) {
            Ok(_) => return transition,
            Err(other) => value = other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Barrier;
    use std::thread;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn failures_in_a_row_take_it_down_and_a_success_forgets_them() {
        let word = AtomicU64::new(0);
        let now = Time::from_millis(10);
        assert_eq!(failure(&word, now, 3), None);
        assert_eq!(failure(&word, now, 3), None);
        assert_eq!(success(&word, now), None);
        assert_eq!(failure(&word, now, 3), None);
        assert_eq!(failure(&word, now, 3), None);
        assert_eq!(standing(&word, now), Standing::Up);
        let until = now.after(BACKOFF_MIN);
        assert_eq!(failure(&word, now, 3), Some(Transition::Down { until }));
        assert_eq!(failure(&word, now, 3), None, "reported once");
        assert_eq!(success(&word, now), None, "a late answer is no trial");
        assert_eq!(standing(&word, now), Standing::Down { until });
    }

    #[test]
    fn zero_means_never() {
        let word = AtomicU64::new(0);
        assert!((0..100_000).all(|_| failure(&word, Time::ZERO, 0).is_none()));
        assert_eq!(standing(&word, Time::ZERO), Standing::Up);
    }

    #[test]
    fn the_back_off_doubles_to_a_minute_and_starts_over() {
        let word = AtomicU64::new(0);
        let mut now = Time::from_millis(1);
        failure(&word, now, 1);
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            let until = now.after(Duration::from_secs(seconds));
            assert_eq!(standing(&word, now), Standing::Down { until });
            assert!(!claim_trial(
                &word,
                until.since(Time::ZERO).checked_sub(MS).map_or(now, |d| Time::ZERO.after(d))
            ));
            now = until;
            assert_eq!(standing(&word, now), Standing::Due);
            assert!(claim_trial(&word, now));
            assert!(!claim_trial(&word, now), "one trial only");
            assert!(matches!(failure(&word, now, 1), Some(Transition::StillDown { .. })));
        }
        now = now.after(BACKOFF_MAX);
        assert!(claim_trial(&word, now));
        assert_eq!(success(&word, now), Some(Transition::Up));
        assert_eq!(word.load(Relaxed), 0);
    }

    #[test]
    fn a_trial_lapses_or_is_given_back() {
        let word = AtomicU64::new(0);
        let now = Time::from_millis(1);
        failure(&word, now, 1);
        let due = now.after(BACKOFF_MIN);
        assert!(claim_trial(&word, due));
        assert_eq!(standing(&word, due), Standing::Down { until: due.after(TRIAL_MAX) });
        forgo_trial(&word, due);
        assert_eq!(standing(&word, due), Standing::Due);
        assert!(claim_trial(&word, due));
        let lapsed = due.after(TRIAL_MAX);
        assert_eq!(standing(&word, lapsed), Standing::Due);
        assert!(claim_trial(&word, lapsed));
    }

    #[test]
    fn of_many_workers_one_reports_and_one_tries() {
        for round in 0..200u64 {
            let word = AtomicU64::new(0);
            let barrier = Barrier::new(4);
            let now = Time::from_millis(round + 1);
            let due = now.after(BACKOFF_MIN);
            let reports: Vec<(usize, usize)> = thread::scope(|scope| {
                let worker = || {
                    barrier.wait();
                    let downs = (0..5).filter(|_| failure(&word, now, 7).is_some()).count();
                    barrier.wait();
                    (downs, usize::from(claim_trial(&word, due)))
                };
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(worker)).collect();
                threads.into_iter().map(|t| t.join().unwrap()).collect()
            });
            assert_eq!(reports.iter().map(|r| r.0).sum::<usize>(), 1);
            assert_eq!(reports.iter().map(|r| r.1).sum::<usize>(), 1);
        }
    }

    proptest! {
        /// Against a model that is written down naively.
        #[test]
        fn any_history_keeps_the_promises(steps in prop::collection::vec((0u8..4, 0u64..40_000), 1..200), max in 1u32..6) {
            let word = AtomicU64::new(0);
            let mut now = Time::from_millis(1);
            let (mut down, mut in_row) = (false, 0u32);
            for (action, ms) in steps {
                now = now.after(Duration::from_millis(ms));
                let before = standing(&word, now);
                prop_assert_eq!(before == Standing::Up, !down);
                if let Standing::Down { until } = before {
                    prop_assert!(until > now && until <= now.after(BACKOFF_MAX));
                }
                match action {
                    0 => match success(&word, now) {
                        Some(transition) => {
                            prop_assert!(down && transition == Transition::Up);
                            (down, in_row) = (false, 0);
                        }
                        None => in_row = 0,
                    },
                    1 => match failure(&word, now, max) {
                        Some(Transition::Down { .. }) => {
                            prop_assert!(!down && in_row + 1 == max);
                            down = true;
                        }
                        Some(Transition::StillDown { .. }) => prop_assert!(down),
                        Some(Transition::Up) => prop_assert!(false, "a failure never heals"),
                        None => in_row += u32::from(!down),
                    },
                    2 => prop_assert_eq!(claim_trial(&word, now), before == Standing::Due),
                    _ => forgo_trial(&word, now),
                }
                prop_assert!(down || in_row < max);
            }
        }

        #[test]
        fn any_word_is_clamped(value: u64, ms in 0u64..(1 << 41)) {
            let now = Time::from_millis(ms);
            let health = Health::of(value, now);
            prop_assert!(health.until <= now.after(BACKOFF_MAX));
            prop_assert!(health.level <= LEVEL_MAX as u32);
            let word = AtomicU64::new(value);
            if let Standing::Down { until } = standing(&word, now) {
                prop_assert!(until <= now.after(BACKOFF_MAX));
            }
            failure(&word, now, 3);
            success(&word, now);
            claim_trial(&word, now);
        }
    }
}
