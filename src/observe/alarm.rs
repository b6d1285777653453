//! Notices that a limit was hit or records were lost, and says so without flooding the log.
//!
//! Pure: counters and time in, what is worth a record out. Limits that are part of ordinary work (a
//! turn's budget, idle connections beyond those kept) are metrics only.

use super::counters::Counter;
use super::ids;
use crate::base::clock::Time;
use std::time::Duration;

/// The same limit is told of once in this time, with the sum since.
const QUIET: Duration = Duration::from_secs(60);

/// Something worth a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// The counter.
    pub counter: Counter,
    /// How often since it was told last.
    pub times: u64,
}

impl Alarm {
    /// The kind of record.
    pub fn message_id(self) -> &'static str {
        if self.counter == Counter::LogLimit { ids::ACCESS_LOST } else { ids::LIMIT_HIT }
    }

    /// The limit in words: `connections`, `header bytes`.
    pub fn limit(self) -> String {
        let family = self.counter.column().family;
        let name = family.trim_start_matches("cloudcup_").trim_end_matches("_limit_hit");
        name.replace('_', " ")
    }
}

/// What has been told so far.
#[derive(Debug)]
pub struct Alarms {
    told: Option<[u64; Counter::COUNT]>,
    quiet_until: [Time; Counter::COUNT],
}

impl Default for Alarms {
    fn default() -> Alarms {
        Alarms { told: None, quiet_until: [Time::ZERO; Counter::COUNT] }
    }
}

impl Alarms {
    /// Compares the counters with those of the last look. The first look tells nothing: what an
    /// earlier master saw is old.
    pub fn look(&mut self, counters: &[u64; Counter::COUNT], now: Time) -> Vec<Alarm> {
        let Some(told) = &mut self.told else {
            self.told = Some(*counters);
            return Vec::new();
        };
        let mut alarms = Vec::new();
        for counter in Counter::ALL.iter().copied().filter(|counter| is_alarming(*counter)) {
            let index = counter.index();
            let times = counters[index].saturating_sub(told[index]);
            if times == 0 || now < self.quiet_until[index] {
                continue;
            }
            told[index] = counters[index];
            self.quiet_until[index] = now.after(QUIET);
            alarms.push(Alarm { counter, times });
        }
        alarms
    }
}

fn is_alarming(counter: Counter) -> bool {
    let ordinary = matches!(
        counter,
        Counter::TurnLimit | Counter::IdleLimit | Counter::PipelineLimit | Counter::JobsLimit
    );
    counter.column().family.ends_with("_limit_hit") && !ordinary
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_told_once_a_minute_with_its_sum() {
        let mut alarms = Alarms::default();
        let mut counters = [5; Counter::COUNT];
        let start = Time::from_millis(1_000);
        assert!(alarms.look(&counters, start).is_empty(), "old news");
        counters[Counter::ConnectionsLimit.index()] += 2;
        counters[Counter::TurnLimit.index()] += 2;
        counters[Counter::Requests.index()] += 2;
        let first = alarms.look(&counters, start);
        assert_eq!(first, [Alarm { counter: Counter::ConnectionsLimit, times: 2 }]);
        assert_eq!(
            (first[0].message_id(), first[0].limit()),
            (ids::LIMIT_HIT, "connections".into())
        );
        counters[Counter::ConnectionsLimit.index()] += 3;
        counters[Counter::LogLimit.index()] += 1;
        let second = alarms.look(&counters, start.after(Duration::from_secs(30)));
        assert_eq!(second, [Alarm { counter: Counter::LogLimit, times: 1 }]);
        assert_eq!(
            (second[0].message_id(), second[0].limit()),
            (ids::ACCESS_LOST, "log records".into())
        );
        let third = alarms.look(&counters, start.after(QUIET));
        assert_eq!(third, [Alarm { counter: Counter::ConnectionsLimit, times: 3 }]);
    }
}
