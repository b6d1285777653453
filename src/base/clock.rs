//! Time as a value.
//!
//! [`Time`] is a point on the monotonic clock, in nanoseconds since an arbitrary start of this boot:
//! all processes of the host agree on it, so that it may stand in memory which they share.
//! Everything pure takes `now: Time`; [`Clock`] is the only reader of the real clocks, so
//! the simulator can run hours in milliseconds.

use nix::time::{ClockId, clock_gettime};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point in monotonic time, nanoseconds since an arbitrary start common to all processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The start of time.
    pub const ZERO: Time = Time(0);
    /// Later than any deadline.
    pub const NEVER: Time = Time(u64::MAX);

    /// The point `nanos` nanoseconds after the start.
    pub const fn from_nanos(nanos: u64) -> Time {
        Time(nanos)
    }

    /// The point `millis` milliseconds after the start.
    pub const fn from_millis(millis: u64) -> Time {
        Time(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the start.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Time passed since `earlier`; zero when `earlier` lies ahead.
    pub const fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This point moved by `by`; stays at [`Time::NEVER`] on overflow.
    pub fn after(self, by: Duration) -> Time {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        Time(self.0.saturating_add(nanos))
    }
}

/// The real clocks. The rest of the program sees [`Time`] values only.
pub struct Clock;

impl Clock {
    /// The monotonic clock (`CLOCK_MONOTONIC`, clock_gettime(2)); it can't fail on Linux.
    pub fn now() -> Time {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
        Time::from_nanos(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Wall-clock time since the Unix epoch; zero if the clock stands before it.
    pub fn wall() -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_never_goes_below_zero_or_past_never() {
        let early = Time::from_millis(1);
        let late = Time::from_millis(3);
        assert_eq!(late.since(early), Duration::from_millis(2));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(Time::NEVER.after(Duration::from_secs(1)), Time::NEVER);
        assert_eq!(early.after(Duration::MAX), Time::NEVER);
    }

    #[test]
    fn the_monotonic_clock_does_not_run_backwards() {
        let first = Clock::now();
        let second = Clock::now();
        assert!(second >= first);
        assert!(Clock::wall() > Duration::from_secs(1_600_000_000));
    }
}
