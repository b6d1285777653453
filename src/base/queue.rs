//! A FIFO of keys in which each key stands at most once.
//!
//! What waits is kept by slot index beside the order, so that a turn of the loop is bounded by
//! the number of live objects however often they are woken.

use super::slots::Key;
use std::collections::VecDeque;

/// First in, first out; a key that is already waiting is not queued again.
pub struct OnceQueue<T> {
    order: VecDeque<u32>,
    /// By slot index: the waiting key, or `None`.
    waiting: Vec<Option<Key<T>>>,
}

impl<T> Default for OnceQueue<T> {
    fn default() -> Self {
        OnceQueue::new()
    }
}

impl<T> OnceQueue<T> {
    /// An empty queue.
    pub const fn new() -> OnceQueue<T> {
        OnceQueue { order: VecDeque::new(), waiting: Vec::new() }
    }

    /// Queues `key`; returns whether it was not waiting yet. A stale key of the same slot counts
    /// as the same object: it is replaced, so the live one is never lost behind it.
    pub fn push(&mut self, key: Key<T>) -> bool {
        let index = key.index() as usize;
        if index >= self.waiting.len() {
            self.waiting.resize(index + 1, None);
        }
        let Some(waiting) = self.waiting.get_mut(index) else { return false };
        if waiting.replace(key).is_some() {
            return false;
        }
        self.order.push_back(key.index());
        true
    }

    /// The key that has waited longest.
    pub fn pop(&mut self) -> Option<Key<T>> {
        let index = self.order.pop_front()?;
        self.waiting.get_mut(index as usize)?.take()
    }

    /// Whether this very key is waiting.
    pub fn is_waiting(&self, key: Key<T>) -> bool {
        self.waiting.get(key.index() as usize).is_some_and(|waiting| *waiting == Some(key))
    }

    /// Number of waiting keys.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::slots::Slots;
    use super::*;

    #[test]
    fn a_key_waits_once_and_in_order() {
        let mut slots = Slots::new();
        let keys: Vec<_> = (0..200).map(|n| slots.insert(n)).collect();
        let mut queue = OnceQueue::new();
        assert!(queue.push(keys[199]));
        assert!(queue.push(keys[0]));
        assert!(!queue.push(keys[199]));
        assert_eq!(queue.len(), 2);
        assert_eq!(queue.pop(), Some(keys[199]));
        assert!(queue.push(keys[199]));
        assert_eq!(queue.pop(), Some(keys[0]));
        assert_eq!(queue.pop(), Some(keys[199]));
        assert_eq!(queue.pop(), None);
    }

    #[test]
    fn a_live_key_takes_the_place_of_a_stale_one() {
        let mut slots = Slots::new();
        let old = slots.insert(1);
        let mut queue = OnceQueue::new();
        queue.push(old);
        slots.remove(old);
        let new = slots.insert(2);
        assert!(!queue.push(new));
        assert_eq!(queue.pop(), Some(new));
    }
}
