//! Choosing a pool member: pick algorithms and health as pure machines.
//!
//! Not here: where the shared numbers live (`shared`), connections and retries (`worker`). Everything
//! works on plain numbers and on single atomic words that several workers share, with injected time.
//! Invariant: a word read from shared memory may hold anything; it is clamped, never believed.

pub mod health;
pub mod rota;

pub use health::{Health, Standing, Transition};
pub use rota::Rota;

use crate::base::clock::Time;
use std::sync::atomic::AtomicU64;

/// What a pick found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The member at this index of the pool.
    Member(usize),
    /// The member at this index, which is down: the caller alone was given the one trial, and must
    /// report its end.
    Trial(usize),
    /// Every member is down; the first trial is due then.
    AllDown(Time),
    /// Members are up, but the caller can use none of them (each excluded or full).
    AllBusy,
}

/// Picks a member of a pool by round robin, passing over those that are down.
///
/// `cursor` is shared by all workers. `health(index)` gives a member's shared word; `usable(index)`
/// is false for members that this request has tried already or that are full. A member whose back-off
/// has passed gets one request of all workers as its trial, when its turn comes.
pub fn pick<'a>(
    rota: &Rota,
    cursor: &AtomicU64,
    now: Time,
    mut health: impl FnMut(usize) -> &'a AtomicU64,
    mut usable: impl FnMut(usize) -> bool,
) -> Choice {
    let mut first_due = Time::NEVER;
    let mut up = false;
    for index in rota.turn(cursor) {
        match health::standing(health(index), now) {
            Standing::Up => {
                up = true;
                if usable(index) {
                    return Choice::Member(index);
                }
            }
            Standing::Due => {
                if usable(index) && health::claim_trial(health(index), now) {
                    return Choice::Trial(index);
                }
                first_due = first_due.min(now.after(health::BACKOFF_MIN));
            }
            Standing::Down { until } => first_due = first_due.min(until),
        }
    }
    if up { Choice::AllBusy } else { Choice::AllDown(first_due) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::Relaxed;

    const FAILURES: u32 = 3;

    fn pool(n: usize) -> (Rota, AtomicU64, Vec<AtomicU64>) {
        (Rota::equal(n), AtomicU64::new(0), (0..n).map(|_| AtomicU64::new(0)).collect())
    }

    fn fail(word: &AtomicU64, now: Time, times: u32) {
        for _ in 0..times {
            health::failure(word, now, FAILURES);
        }
    }

    #[test]
    fn members_take_turns_and_the_tried_ones_are_passed_over() {
        let (rota, cursor, words) = pool(3);
        let now = Time::from_millis(5);
        let go = |skip: usize| pick(&rota, &cursor, now, |i| &words[i], |i| i != skip);
        let picks: Vec<Choice> = (0..6).map(|_| go(9)).collect();
        let expect: Vec<Choice> = [0, 1, 2, 0, 1, 2].into_iter().map(Choice::Member).collect();
        assert_eq!(picks, expect);
        assert_eq!(go(0), Choice::Member(1));
        assert_eq!(pick(&rota, &cursor, now, |i| &words[i], |_| false), Choice::AllBusy);
    }

    #[test]
    fn a_dead_member_is_left_out_then_tried_once() {
        let (rota, cursor, words) = pool(2);
        let start = Time::from_millis(1_000);
        fail(&words[0], start, FAILURES);
        let at = |now| pick(&rota, &cursor, now, |i| &words[i], |_| true);
        for _ in 0..4 {
            assert_eq!(at(start), Choice::Member(1));
        }
        let later = start.after(health::BACKOFF_MIN);
        let picks: Vec<Choice> = (0..10).map(|_| at(later)).collect();
        assert_eq!(picks.iter().filter(|c| **c == Choice::Trial(0)).count(), 1, "{picks:?}");
        health::success(&words[0], later);
        assert!((0..4).any(|_| at(later) == Choice::Member(0)));
    }

    #[test]
    fn a_pool_of_dead_members_tells_when_to_come_back() {
        let (rota, cursor, words) = pool(2);
        let start = Time::from_millis(1_000);
        fail(&words[0], start, FAILURES);
        fail(&words[1], start.after(std::time::Duration::from_millis(100)), FAILURES);
        let choice = pick(&rota, &cursor, start, |i| &words[i], |_| true);
        assert_eq!(choice, Choice::AllDown(start.after(health::BACKOFF_MIN)));
        let none = pick(&Rota::equal(0), &cursor, start, |i| &words[i], |_| true);
        assert_eq!(none, Choice::AllDown(Time::NEVER));
    }

    #[test]
    fn hostile_words_never_panic_and_never_shut_a_member_out_for_long() {
        let (rota, cursor, words) = pool(2);
        let now = Time::from_millis(50_000);
        let mut seed = crate::base::seed::Seed::new(3);
        for _ in 0..10_000 {
            words[0].store(seed.word(), Relaxed);
            words[1].store(u64::MAX, Relaxed);
            cursor.store(seed.word() | 1 << 63, Relaxed);
            if let Choice::AllDown(until) = pick(&rota, &cursor, now, |i| &words[i], |_| true) {
                assert!(until <= now.after(health::BACKOFF_MAX), "{until:?}");
            }
        }
    }
}
