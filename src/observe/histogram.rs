//! Log-linear buckets for durations, as pure arithmetic on indices.
//!
//! Eight buckets an octave from 1 µs to 67 s: a quantile read from them is off by at most 12.5 %. The
//! counts live elsewhere (the board); nothing here holds state.

/// Buckets an octave.
const STEPS: u64 = 8;
/// log₂ of [`STEPS`].
const STEP_BITS: u32 = 3;
/// Values of this many bits or more fall into the last bucket.
const TOP_BITS: u32 = 26;

/// Buckets in all; the last one holds everything from 2²⁶ µs (67 s).
pub const BUCKETS: usize = ((TOP_BITS - STEP_BITS) as usize + 1) * STEPS as usize + 1;

/// The bucket of a duration of `micros`; always below [`BUCKETS`].
pub const fn bucket(micros: u64) -> usize {
    if micros < STEPS {
        return micros as usize;
    }
    let bits = u64::BITS - micros.leading_zeros();
    if bits > TOP_BITS {
        return BUCKETS - 1;
    }
    let octave = bits - STEP_BITS;
    let step = (micros >> (octave - 1)) & (STEPS - 1);
    (octave as usize) * STEPS as usize + step as usize
}

/// The first duration in µs that lies above bucket `index`; `None` for the last, which has no end.
pub const fn upper(index: usize) -> Option<u64> {
    if index + 1 >= BUCKETS {
        return None;
    }
    let next = index as u64 + 1;
    if next < STEPS {
        return Some(next);
    }
    let octave = next / STEPS;
    let step = next % STEPS;
    Some((STEPS + step) << (octave - 1))
}

/// The duration in µs below which `quantile` (0 to 1) of all counted values lie, as the upper end of
/// the bucket in question; `None` when nothing was counted. The open last bucket answers its start.
pub fn quantile(counts: &[u64], quantile: f64) -> Option<u64> {
    let total: u64 = counts.iter().fold(0, |sum, n| sum.saturating_add(*n));
    if total == 0 {
        return None;
    }
    let wanted = ((total as f64 * quantile.clamp(0.0, 1.0)).ceil() as u64).max(1);
    let mut seen = 0u64;
    for (index, count) in counts.iter().enumerate() {
        seen = seen.saturating_add(*count);
        if seen >= wanted {
            return Some(upper(index).unwrap_or(1 << TOP_BITS));
        }
    }
    Some(1 << TOP_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_edges_fit_together() {
        let mut last = 0;
        for index in 0..BUCKETS - 1 {
            let end = upper(index).unwrap();
            assert!(end > last, "bucket {index}");
            assert_eq!(bucket(end - 1), index);
            assert_eq!(bucket(end), index + 1);
            last = end;
        }
        assert_eq!(upper(BUCKETS - 1), None);
        assert_eq!(last, 1 << TOP_BITS);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_of_known_counts() {
        let mut counts = [0u64; BUCKETS];
        assert_eq!(quantile(&counts, 0.5), None);
        for micros in 1..=1_000u64 {
            counts[bucket(micros)] += 1;
        }
        let p50 = quantile(&counts, 0.5).unwrap();
        let p99 = quantile(&counts, 0.99).unwrap();
        assert!((500..=563).contains(&p50), "{p50}");
        assert!((990..=1_114).contains(&p99), "{p99}");
        counts[BUCKETS - 1] += 1_000_000;
        assert_eq!(quantile(&counts, 0.999), Some(1 << TOP_BITS));
    }

    proptest! {
        #[test]
        fn every_value_lies_in_its_bucket(micros: u64) {
            let index = bucket(micros);
            prop_assert!(index < BUCKETS);
            if let Some(end) = upper(index) {
                prop_assert!(micros < end);
                prop_assert!((end - micros) as f64 <= micros as f64 * 0.125 + 1.0);
            }
        }
    }
}
