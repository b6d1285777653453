//! The order of turns in a pool, and the cursor that all workers share.
//!
//! Not here: who is up (`health`). Invariants: each member stands in the order as often as its weight
//! says (scaled), spread as evenly as can be; the cursor moves by one for each pick of any worker, so
//! that over any window of K picks a member of n equal ones gets K/n, give or take one for each
//! worker that holds a position it has not used yet.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Longest order; weights that need more are scaled down.
const ORDER_MAX: u64 = 4096;

/// The order of turns of one pool. Made when members or weights change; picking allocates nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rota {
    order: Vec<u16>,
}

impl Rota {
    /// `members` members with equal shares; those above 4 096 never get a turn.
    pub fn equal(members: usize) -> Rota {
        Rota { order: (0..members.min(ORDER_MAX as usize)).map(|i| i as u16).collect() }
    }

    /// One member for each weight; a weight of zero gets no turn. The weights are reduced by their
    /// common divisor, and scaled if they still add up to more than 4 096 (nobody's share falls
    /// to nothing).
    pub fn weighted(weights: &[u32]) -> Rota {
        let weights = weights.get(..ORDER_MAX as usize).unwrap_or(weights);
        let divisor = weights.iter().fold(0, |a, b| common_divisor(a, u64::from(*b))).max(1);
        let mut shares: Vec<u64> = weights.iter().map(|w| u64::from(*w) / divisor).collect();
        let total: u64 = shares.iter().sum();
        if total > ORDER_MAX {
            let room = ORDER_MAX - shares.len() as u64;
            for share in shares.iter_mut().filter(|share| **share > 0) {
                *share = (*share * room / total) + 1;
            }
        }
        Rota { order: spread(&shares) }
    }

    /// How many turns make a round.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// True when nobody ever gets a turn.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Takes the next turn: the member whose turn it is, and after it those to fall back on, in order.
    /// A member of a weight above one may come more than once.
    pub fn turn(&self, cursor: &AtomicU64) -> impl Iterator<Item = usize> + '_ {
        let turn = cursor.fetch_add(1, Relaxed);
        let length = self.order.len();
        let start = turn.checked_rem(length as u64).unwrap_or(0) as usize;
        let (head, tail) = self.order.split_at(start.min(length));
        tail.iter().chain(head).map(|index| usize::from(*index))
    }
}

/// Smooth order: in each step everyone gains its share, and the richest pays a whole round.
fn spread(shares: &[u64]) -> Vec<u16> {
    let total: i64 = shares.iter().map(|s| *s as i64).sum();
    let mut wealth = vec![0i64; shares.len()];
    let mut order = Vec::with_capacity(total as usize);
    for _ in 0..total {
        let mut richest = 0;
        for (index, share) in shares.iter().enumerate() {
            wealth[index] += *share as i64;
            if wealth[index] > wealth[richest] {
                richest = index;
            }
        }
        wealth[richest] -= total;
        order.push(richest as u16);
    }
    order
}

const fn common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Barrier;
    use std::thread;

    #[test]
    fn equal_weights_are_the_plain_round() {
        assert_eq!(Rota::weighted(&[5, 5, 5]), Rota::equal(3));
        assert_eq!(Rota::weighted(&[0, 0]).len(), 0);
        assert!(Rota::equal(0).turn(&AtomicU64::new(7)).next().is_none());
    }

    #[test]
    fn weights_are_spread_not_bunched() {
        assert_eq!(Rota::weighted(&[5, 1, 1]).order, [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(Rota::weighted(&[2, 0, 4]).order, [2, 0, 2]);
    }

    #[test]
    fn the_fallbacks_follow_in_turn() {
        let cursor = AtomicU64::new(4);
        let turn: Vec<usize> = Rota::equal(3).turn(&cursor).collect();
        assert_eq!(turn, [1, 2, 0]);
    }

    proptest! {
        #[test]
        fn every_window_is_fair(weights in prop::collection::vec(0u32..20, 1..9), start: u64, window in 1usize..200) {
            let rota = Rota::weighted(&weights);
            let total: u64 = weights.iter().map(|w| u64::from(*w)).sum();
            if total == 0 {
                prop_assert!(rota.is_empty());
                return Ok(());
            }
            let cursor = AtomicU64::new(start % (1 << 60));
            let mut got = vec![0usize; weights.len()];
            for _ in 0..window {
                got[rota.turn(&cursor).next().unwrap()] += 1;
            }
            for (index, weight) in weights.iter().enumerate() {
                let due = window as f64 * f64::from(*weight) / total as f64;
                let slack = weights.len() as f64;
                prop_assert!((got[index] as f64 - due).abs() <= slack, "{got:?} of {weights:?}");
            }
        }

        #[test]
        fn large_weights_are_scaled_and_keep_everyone(weights in prop::collection::vec(1u32..=1_000_000, 1..40)) {
            let rota = Rota::weighted(&weights);
            prop_assert!(rota.len() as u64 <= ORDER_MAX);
            for index in 0..weights.len() {
                prop_assert!(rota.order.contains(&(index as u16)));
            }
        }
    }

    /// Ruling 7 with real threads: every window of the global order is fair to one for each thread.
    #[test]
    fn many_workers_share_one_round() {
        const WORKERS: usize = 4;
        const PICKS: usize = 5_000;
        const MEMBERS: usize = 7;
        let rota = Rota::equal(MEMBERS);
        let cursor = AtomicU64::new(u64::MAX / MEMBERS as u64 * MEMBERS as u64 / 2);
        let barrier = Barrier::new(WORKERS);
        let clock = AtomicU64::new(0);
        // Each pick notes a stamp from before it and the member it got; sorted by stamp they stand in
        // an order that differs from the real one by at most one place for each thread.
        let mut picks: Vec<(u64, usize)> = thread::scope(|scope| {
            let worker = || {
                barrier.wait();
                let mut mine = Vec::with_capacity(PICKS);
                for _ in 0..PICKS {
                    let stamp = clock.fetch_add(1, Relaxed);
                    mine.extend(rota.turn(&cursor).next().map(|member| (stamp, member)));
                }
                mine
            };
            let threads: Vec<_> = (0..WORKERS).map(|_| scope.spawn(worker)).collect();
            threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
        });
        picks.sort_unstable();
        let mut totals = [0usize; MEMBERS];
        picks.iter().for_each(|(_, member)| totals[*member] += 1);
        let share = (WORKERS * PICKS) / MEMBERS;
        assert!(totals.iter().all(|n| n.abs_diff(share) <= 1), "{totals:?}");
        for window in picks.windows(10 * MEMBERS) {
            for member in 0..MEMBERS {
                let got = window.iter().filter(|(_, m)| *m == member).count();
                assert!(got.abs_diff(10) <= WORKERS, "{got} of 10 for {member}");
            }
        }
    }
}
