//! A timer wheel.
//!
//! Two rings: the fine one has a slot for each [`TICK_MS`] of the next two seconds, the coarse one
//! for each second of the next four minutes; what lies farther ahead waits in the last coarse slot
//! and is sorted in anew. Timers are meant to be *lazy*: an object has one timer, leaves it
//! alone while its deadline only moves away, and sets it again when it fires too early. Arming and
//! cancelling are O(1); memory is kept, so a steady load allocates nothing.
//!
//! A timer never fires early by the wheel's own doing, and late by at most one tick.

use super::clock::Time;
use std::time::Duration;

/// Length of a fine tick, milliseconds.
pub const TICK_MS: u64 = 8;
const FINE: usize = 256;
const COARSE: usize = 256;
/// Fine ticks in a coarse tick (1.024 s).
const RATIO: u64 = 128;
const NONE: u32 = u32::MAX;

/// Names an armed timer, for [`Wheel::cancel`]. Dead once the timer fired or was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerId(u32);

impl TimerId {
    /// No timer: cancelling it does nothing.
    pub const NONE: TimerId = TimerId(NONE);

    /// Whether this names a timer.
    pub fn is_some(self) -> bool {
        self.0 != NONE
    }
}

struct Node<K> {
    key: K,
    /// Fine tick in which it is due.
    due: u64,
    prev: u32,
    next: u32,
    /// Slot it hangs in; `NONE` = free.
    slot: u32,
}

/// Timers that carry a `K` each.
pub struct Wheel<K> {
    nodes: Vec<Node<K>>,
    free: u32,
    /// Heads of the lists: fine slots, then coarse slots.
    heads: Vec<u32>,
    /// One bit a fine slot: it is not empty.
    busy: [u64; FINE / 64],
    /// The next fine tick to be expired.
    tick: u64,
    len: usize,
}

impl<K: Copy> Wheel<K> {
    /// An empty wheel that stands at `now`.
    pub fn new(now: Time) -> Wheel<K> {
        Wheel {
            nodes: Vec::new(),
            free: NONE,
            heads: vec![NONE; FINE + COARSE],
            busy: [0; FINE / 64],
            tick: now.as_millis() / TICK_MS,
            len: 0,
        }
    }

    /// Number of armed timers.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no timer is armed.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Arms a timer that hands out `key` once `at` has passed.
    pub fn arm(&mut self, at: Time, key: K) -> TimerId {
        let due = at.as_nanos().div_ceil(TICK_MS * 1_000_000).max(self.tick);
        let index = self.node(key, due);
        self.hang(index, self.tick);
        self.len += 1;
        TimerId(index)
    }

    /// Takes a timer back; one that fired already, or `TimerId::NONE`, is left alone. The caller
    /// forgets its id when its timer fires: the id may then name another's timer.
    pub fn cancel(&mut self, id: TimerId) {
        if self.nodes.get(id.0 as usize).is_some_and(|node| node.slot != NONE) {
            self.unhang(id.0);
            self.release(id.0);
        }
    }

    /// Hands the keys of all timers due by `now` to `fire`, oldest tick first.
    pub fn expire(&mut self, now: Time, mut fire: impl FnMut(K)) {
        let until = now.as_millis() / TICK_MS;
        if self.len == 0 {
            self.tick = self.tick.max(until + 1);
            return;
        }
        while self.tick <= until {
            if self.tick.is_multiple_of(RATIO) {
                self.cascade();
            }
            let slot = (self.tick % FINE as u64) as usize;
            while let Some(index) = self.heads.get(slot).copied().filter(|head| *head != NONE) {
                let Some(key) = self.nodes.get(index as usize).map(|node| node.key) else { break };
                self.unhang(index);
                self.release(index);
                fire(key);
            }
            self.tick += 1;
        }
    }

    /// How long the loop may sleep from `now` on before a timer may be due; `None` when no timer is
    /// armed. Never longer than two seconds otherwise, and may be too short, never too long.
    pub fn sleep(&self, now: Time) -> Option<Duration> {
        if self.len == 0 {
            return None;
        }
        let boundary = self.tick.next_multiple_of(RATIO);
        let ahead = self.next_busy().map_or(boundary, |tick| tick.min(boundary));
        Some(Time::from_millis(ahead * TICK_MS).since(now))
    }

    /// The first fine tick from the present one on whose slot holds a timer.
    fn next_busy(&self) -> Option<u64> {
        let start = (self.tick % FINE as u64) as usize;
        let words = self.busy.len();
        for step in 0..=words {
            let at = (start / 64 + step) % words;
            let mut word = self.busy.get(at).copied().unwrap_or(0);
            if step == 0 {
                word &= u64::MAX << (start % 64);
            } else if step == words {
                word &= !(u64::MAX << (start % 64));
            }
            if word != 0 {
                let slot = at * 64 + word.trailing_zeros() as usize;
                return Some(self.tick + ((slot + FINE - start) % FINE) as u64);
            }
        }
        None
    }

    /// Sorts the coarse slot that begins at the present tick into the fine ring.
    fn cascade(&mut self) {
        let slot = FINE + ((self.tick / RATIO) % COARSE as u64) as usize;
        let Some(head) = self.heads.get_mut(slot) else { return };
        let mut index = std::mem::replace(head, NONE);
        while let Some(node) = self.nodes.get_mut(index as usize) {
            let next = node.next;
            self.hang(index, self.tick);
            index = next;
        }
    }

    fn node(&mut self, key: K, due: u64) -> u32 {
        let fresh = Node { key, due, prev: NONE, next: NONE, slot: NONE };
        if let Some(node) = self.nodes.get_mut(self.free as usize) {
            let index = std::mem::replace(&mut self.free, node.next);
            *node = fresh;
            return index;
        }
        self.nodes.push(fresh);
        (self.nodes.len() - 1) as u32
    }

    fn release(&mut self, index: u32) {
        if let Some(node) = self.nodes.get_mut(index as usize) {
            node.slot = NONE;
            node.next = self.free;
            self.free = index;
            self.len -= 1;
        }
    }

    /// Hangs a node into the slot that fits its due tick as seen from tick `from`.
    fn hang(&mut self, index: u32, from: u64) {
        let Some(node) = self.nodes.get_mut(index as usize) else { return };
        let ahead = node.due.saturating_sub(from);
        let slot = if ahead < FINE as u64 {
            (node.due.max(from) % FINE as u64) as usize
        } else {
            // At most COARSE − 1 coarse ticks ahead, else the ring would lap itself.
            let coarse = (node.due / RATIO).min(from / RATIO + COARSE as u64 - 1);
            FINE + (coarse % COARSE as u64) as usize
        };
        let Some(head) = self.heads.get_mut(slot) else { return };
        let old = std::mem::replace(head, index);
        (node.slot, node.prev, node.next) = (slot as u32, NONE, old);
        if let Some(old) = self.nodes.get_mut(old as usize) {
            old.prev = index;
        }
        if let Some(word) = self.busy.get_mut(slot / 64) {
            *word |= 1 << (slot % 64);
        }
    }

    fn unhang(&mut self, index: u32) {
        let Some(node) = self.nodes.get(index as usize) else { return };
        let (slot, prev, next) = (node.slot as usize, node.prev, node.next);
        if let Some(next) = self.nodes.get_mut(next as usize) {
            next.prev = prev;
        }
        if let Some(prev) = self.nodes.get_mut(prev as usize) {
            prev.next = next;
        } else if let Some(head) = self.heads.get_mut(slot) {
            *head = next;
            if next == NONE
                && let Some(word) = self.busy.get_mut(slot / 64)
            {
                *word &= !(1 << (slot % 64));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::seed::Seed;
    use super::*;

    fn fired(wheel: &mut Wheel<u64>, now: Time) -> Vec<u64> {
        let mut keys = Vec::new();
        wheel.expire(now, |key| keys.push(key));
        keys
    }

    #[test]
    fn timers_fire_once_not_early_and_at_most_a_tick_late() {
        let mut seed = Seed::new(3);
        let start = Time::from_millis(123_457);
        let mut wheel = Wheel::new(start);
        let mut due = std::collections::BTreeMap::new();
        for id in 0..5_000u64 {
            let ahead = Duration::from_millis(seed.below(600_000));
            due.insert(id, start.after(ahead));
            wheel.arm(start.after(ahead), id);
        }
        let mut now = start;
        while !due.is_empty() {
            now = now.after(Duration::from_millis(1 + seed.below(40)));
            for id in fired(&mut wheel, now) {
                let at = due.remove(&id).expect("fires once");
                assert!(at <= now, "{id} fired early");
            }
            let tick = Duration::from_millis(TICK_MS);
            assert!(due.values().all(|at| at.after(tick) > now), "a timer is late");
        }
        assert!(wheel.is_empty());
    }

    #[test]
    fn sleeping_as_told_misses_nothing() {
        let mut seed = Seed::new(9);
        let mut now = Time::from_millis(7);
        let mut wheel = Wheel::new(now);
        let mut late = Duration::ZERO;
        for round in 0..300u64 {
            let at = now.after(Duration::from_millis(seed.below(300_000)));
            wheel.arm(at, round);
            let mut done = false;
            while !done {
                let sleep = wheel.sleep(now).expect("one timer is armed");
                now = now.after(sleep.max(Duration::from_micros(10)));
                wheel.expire(now, |_| done = true);
            }
            late = late.max(now.since(at));
            assert!(now >= at);
        }
        assert!(late <= Duration::from_millis(TICK_MS + 1), "{late:?}");
        assert_eq!(wheel.sleep(now), None);
    }

    #[test]
    fn a_cancelled_timer_is_gone_and_its_memory_is_used_again() {
        let mut wheel = Wheel::new(Time::ZERO);
        let ids: Vec<_> = (0..100u64).map(|n| wheel.arm(Time::from_millis(n * 50), n)).collect();
        for id in ids.iter().step_by(2) {
            wheel.cancel(*id);
            wheel.cancel(*id);
        }
        assert_eq!(wheel.len(), 50);
        let size = wheel.nodes.len();
        for n in 0..50 {
            wheel.arm(Time::from_millis(60_000), 1_000 + n);
        }
        assert_eq!(wheel.nodes.len(), size);
        let keys = fired(&mut wheel, Time::from_millis(10_000));
        assert_eq!(keys.len(), 50);
        assert!(keys.iter().all(|n| n % 2 == 1));
        wheel.cancel(TimerId::NONE);
    }

    #[test]
    fn an_empty_wheel_skips_time_at_no_cost() {
        let mut wheel: Wheel<u64> = Wheel::new(Time::ZERO);
        assert!(fired(&mut wheel, Time::from_millis(u64::MAX / 2_000_000)).is_empty());
        let now = Time::from_millis(u64::MAX / 2_000_000);
        wheel.arm(now.after(Duration::from_millis(10)), 1);
        assert_eq!(fired(&mut wheel, now.after(Duration::from_millis(30))), vec![1]);
    }
}
