//! Which name is looked up when, and what its news are. The schedule is pure; [`look_up`] blocks.
//!
//! getaddrinfo tells no time to live: a name is looked up again after 30 s, give or take a fifth, so that
//! many names don't come due together. A failure is tried again sooner, ever later, and never takes away
//! addresses that were good.

use crate::base::clock::Time;
use crate::base::seed::Seed;
use crate::ipc::ResolvedName;
use std::collections::BTreeMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::time::Duration;

const AGAIN: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_secs(1);
/// Most addresses of one name that are passed on.
const MAX_ADDRESSES: usize = 16;

#[derive(Debug)]
struct Entry {
    due: Time,
    busy: bool,
    failures: u32,
    addresses: Option<Vec<IpAddr>>,
}

/// Names and when they are due.
#[derive(Debug)]
pub struct Schedule {
    entries: BTreeMap<String, Entry>,
    seed: Seed,
}

impl Schedule {
    /// An empty one; `seed` spreads the look-ups.
    pub fn new(seed: u64) -> Schedule {
        Schedule { entries: BTreeMap::new(), seed: Seed::new(seed) }
    }

    /// These names, and only these. New ones are due at once; known ones keep what they have.
    pub fn set_names(&mut self, names: Vec<String>, now: Time) {
        let mut old = std::mem::take(&mut self.entries);
        for name in names {
            let fresh = Entry { due: now, busy: false, failures: 0, addresses: None };
            let entry = old.remove(&name).unwrap_or(fresh);
            self.entries.insert(name, entry);
        }
    }

    /// When the next name is due.
    pub fn next_due(&self) -> Option<Time> {
        self.entries.values().filter(|entry| !entry.busy).map(|entry| entry.due).min()
    }

    /// A name that is due now, to be looked up; it isn't given again before its result.
    pub fn take_due(&mut self, now: Time) -> Option<String> {
        let due = self.entries.iter_mut().filter(|(_, entry)| !entry.busy && entry.due <= now);
        let (name, entry) = due.min_by_key(|(_, entry)| entry.due)?;
        entry.busy = true;
        Some(name.clone())
    }

    /// The result of a look-up; `None` when it failed. Returns the news, if it is any.
    pub fn on_result(
        &mut self,
        host: &str,
        found: Option<Vec<IpAddr>>,
        now: Time,
    ) -> Option<ResolvedName> {
        let fifth = AGAIN.as_millis() as u64 / 5;
        let spread = self.seed.below(2 * fifth + 1);
        let entry = self.entries.get_mut(host)?;
        entry.busy = false;
        let Some(mut addresses) = found else {
            let pause = RETRY.saturating_mul(1 << entry.failures.min(5)).min(AGAIN);
            entry.failures = entry.failures.saturating_add(1);
            entry.due = now.after(pause);
            // The first failure is news: whoever waits for the name may stop waiting.
            let first = entry.addresses.is_none();
            entry.addresses.get_or_insert_default();
            return first.then(|| ResolvedName { host: host.to_owned(), addresses: Vec::new() });
        };
        entry.failures = 0;
        entry.due = now.after(AGAIN - Duration::from_millis(fifth) + Duration::from_millis(spread));
        addresses.truncate(MAX_ADDRESSES);
        // A resolver that rotates its answers is no news.
        let same = entry.addresses.as_ref().is_some_and(|old| {
            old.len() == addresses.len() && addresses.iter().all(|one| old.contains(one))
        });
        if same {
            return None;
        }
        entry.addresses = Some(addresses.clone());
        Some(ResolvedName { host: host.to_owned(), addresses })
    }
}

/// Looks a name up with the system's resolver (hosts file, DNS, whatever nsswitch says). Blocks.
pub fn look_up(host: &str) -> Result<Vec<IpAddr>, String> {
    let found = (host, 0).to_socket_addrs().map_err(|error| error.to_string())?;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found.map(|address| address.ip()) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() { Err("it has no address".to_owned()) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn schedule(names: &[&str]) -> Schedule {
        let mut schedule = Schedule::new(1);
        schedule.set_names(names.iter().map(ToString::to_string).collect(), at(0));
        schedule
    }

    #[test]
    fn names_are_given_once_and_come_again() {
        let mut schedule = schedule(&["a", "b"]);
        let first = schedule.take_due(at(0)).unwrap();
        let second = schedule.take_due(at(0)).unwrap();
        assert_ne!(first, second);
        assert_eq!(schedule.take_due(at(60_000)), None);
        let news = schedule.on_result(&first, Some(vec![ip("10.0.0.1")]), at(10)).unwrap();
        assert_eq!(news.addresses, [ip("10.0.0.1")]);
        let due = schedule.next_due().unwrap().since(at(10));
        assert!(due >= Duration::from_secs(24) && due <= Duration::from_secs(36), "{due:?}");
        assert_eq!(schedule.take_due(at(40_000)), Some(first.clone()));
        // The same set in another order is no news.
        assert_eq!(schedule.on_result(&first, Some(vec![ip("10.0.0.1")]), at(40_000)), None);
    }

    #[test]
    fn failures_keep_good_addresses_and_come_again_ever_later() {
        let mut schedule = schedule(&["a"]);
        schedule.take_due(at(0)).unwrap();
        schedule.on_result("a", Some(vec![ip("::1")]), at(0)).unwrap();
        let mut now = schedule.next_due().unwrap();
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            schedule.take_due(now).unwrap();
            assert_eq!(schedule.on_result("a", None, now), None);
            let next = schedule.next_due().unwrap();
            assert_eq!(next.since(now), Duration::from_secs(seconds));
            now = next;
        }
    }

    #[test]
    fn the_first_failure_is_news_and_the_next_is_not() {
        let mut schedule = schedule(&["a"]);
        schedule.take_due(at(0)).unwrap();
        assert_eq!(schedule.on_result("a", None, at(0)).unwrap().addresses, [] as [IpAddr; 0]);
        assert_eq!(schedule.on_result("a", None, at(0)), None);
        assert!(schedule.on_result("a", Some(vec![ip("::1")]), at(9)).is_some());
    }

    #[test]
    fn names_that_are_wanted_no_longer_are_forgotten() {
        let mut schedule = schedule(&["a"]);
        schedule.take_due(at(0)).unwrap();
        schedule.set_names(vec!["b".to_owned()], at(5));
        assert_eq!(schedule.on_result("a", Some(vec![ip("::1")]), at(6)), None);
        assert_eq!(schedule.take_due(at(6)), Some("b".to_owned()));
    }

    #[test]
    fn localhost_resolves() {
        let found = look_up("localhost").unwrap();
        assert!(found.iter().all(IpAddr::is_loopback), "{found:?}");
        assert!(look_up("no-such-name.invalid").is_err());
    }
}
