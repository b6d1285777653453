//! A small random generator that is handed in, so that a seed replays a run.
//!
//! SplitMix64: good enough to spread jitter, identifiers and simulated faults; never for secrets.

/// A stream of pseudo-random words.
#[derive(Clone, Debug)]
pub struct Seed(u64);

impl Seed {
    /// The stream that `seed` starts.
    pub const fn new(seed: u64) -> Seed {
        Seed(seed)
    }

    /// The next word.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`; zero when `bound` is zero. The bias is below 2⁻³² for bounds that
    /// fit 32 bits.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.word()) * u128::from(bound)) >> 64) as u64
    }

    /// True once in `times` on average; never when `times` is zero.
    pub fn one_in(&mut self, times: u64) -> bool {
        times != 0 && self.below(times) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_stream() {
        let mut a = Seed::new(7);
        let mut b = Seed::new(7);
        assert!((0..100).all(|_| a.word() == b.word()));
        assert_ne!(Seed::new(8).word(), Seed::new(7).word());
    }

    #[test]
    fn numbers_stay_below_their_bound_and_spread() {
        let mut seed = Seed::new(1);
        let mut seen = [0u32; 10];
        for _ in 0..10_000 {
            seen[seed.below(10) as usize] += 1;
        }
        assert!(seen.iter().all(|n| (800..1200).contains(n)), "{seen:?}");
        assert_eq!(seed.below(0), 0);
        assert!(!seed.one_in(0));
    }
}
