//! An arena with generations.
//!
//! [`Slots`] owns its values; everybody else holds a [`Key`]. A key whose value was removed finds
//! nothing, even when the slot is in use again: the generation differs. A generation is reused only
//! after 2³² removals of one slot.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

/// A link to a value in a [`Slots`]: slot index and generation.
pub struct Key<T> {
    index: u32,
    generation: u32,
    marker: PhantomData<fn() -> T>,
}

impl<T> Key<T> {
    /// The slot's index; stable while the value lives.
    pub const fn index(self) -> u32 {
        self.index
    }

    /// The key as one word: generation in the upper half, index in the lower.
    pub const fn to_u64(self) -> u64 {
        ((self.generation as u64) << 32) | self.index as u64
    }

    /// The key that [`Key::to_u64`] made this word from. Any word is safe: a wrong one finds
    /// nothing or another live value, never foreign memory.
    pub const fn from_u64(word: u64) -> Key<T> {
        Key { index: word as u32, generation: (word >> 32) as u32, marker: PhantomData }
    }
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Key<T> {}
impl<T> PartialEq for Key<T> {
    fn eq(&self, other: &Self) -> bool {
        self.to_u64() == other.to_u64()
    }
}
impl<T> Eq for Key<T> {}
impl<T> Hash for Key<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.to_u64().hash(state);
    }
}
impl<T> fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// No slot: the end of the free list.
const NONE: u32 = u32::MAX;

struct Slot<T> {
    generation: u32,
    next_free: u32,
    value: Option<T>,
}

/// An arena of `T`. Memory is kept when values go, so a steady load allocates nothing.
pub struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: u32,
    len: u32,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Slots::new()
    }
}

impl<T> Slots<T> {
    /// An empty arena that holds no memory.
    pub const fn new() -> Slots<T> {
        Slots { slots: Vec::new(), free: NONE, len: 0 }
    }

    /// Number of live values.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether no value lives.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts `value` into a free slot.
    pub fn insert(&mut self, value: T) -> Key<T> {
        self.insert_with(|_| value)
    }

    /// Puts the value that `make` builds from its own key into a free slot.
    pub fn insert_with(&mut self, make: impl FnOnce(Key<T>) -> T) -> Key<T> {
        if self.free == NONE {
            // A process has far fewer descriptors than 2³² − 1, so the index cannot wrap.
            self.slots.push(Slot { generation: 0, next_free: NONE, value: None });
            self.free = (self.slots.len() - 1) as u32;
        }
        let index = self.free;
        let slot = &mut self.slots[index as usize];
        let key = Key { index, generation: slot.generation, marker: PhantomData };
        self.free = slot.next_free;
        slot.value = Some(make(key));
        self.len += 1;
        key
    }

    /// The value behind `key`, if it still lives.
    pub fn get(&self, key: Key<T>) -> Option<&T> {
        let slot = self.slots.get(key.index as usize)?;
        if slot.generation == key.generation { slot.value.as_ref() } else { None }
    }

    /// The value behind `key`, if it still lives.
    pub fn get_mut(&mut self, key: Key<T>) -> Option<&mut T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation == key.generation { slot.value.as_mut() } else { None }
    }

    /// Both values at once, if both live and are not the same one.
    pub fn get_disjoint_mut(&mut self, a: Key<T>, b: Key<T>) -> Option<(&mut T, &mut T)> {
        let [x, y] = self.slots.get_disjoint_mut([a.index as usize, b.index as usize]).ok()?;
        if x.generation != a.generation || y.generation != b.generation {
            return None;
        }
        Some((x.value.as_mut()?, y.value.as_mut()?))
    }

    /// Whether the value behind `key` still lives.
    pub fn contains(&self, key: Key<T>) -> bool {
        self.get(key).is_some()
    }

    /// Takes the value out; its key is dead from here on.
    pub fn remove(&mut self, key: Key<T>) -> Option<T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation != key.generation {
            return None;
        }
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        slot.next_free = self.free;
        self.free = key.index;
        self.len -= 1;
        Some(value)
    }

    /// All live values with their keys, in slot order.
    pub fn iter(&self) -> impl Iterator<Item = (Key<T>, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let key = Key { index: index as u32, generation: slot.generation, marker: PhantomData };
            slot.value.as_ref().map(|value| (key, value))
        })
    }

    /// All live values with their keys, in slot order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Key<T>, &mut T)> {
        self.slots.iter_mut().enumerate().filter_map(|(index, slot)| {
            let key = Key { index: index as u32, generation: slot.generation, marker: PhantomData };
            slot.value.as_mut().map(|value| (key, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_outlived_by_its_slot_finds_nothing() {
        let mut slots = Slots::new();
        let first = slots.insert("a");
        assert_eq!(slots.remove(first), Some("a"));
        let second = slots.insert("b");
        assert_eq!(first.index(), second.index());
        assert_eq!(slots.get(first), None);
        assert_eq!(slots.remove(first), None);
        assert_eq!(slots.get(second), Some(&"b"));
        assert_eq!(slots.len(), 1);
    }

    #[test]
    fn keys_survive_the_trip_through_a_word() {
        let mut slots = Slots::new();
        let gone = slots.insert(0);
        slots.remove(gone);
        let key = slots.insert(7);
        assert_eq!(slots.get(Key::from_u64(key.to_u64())), Some(&7));
        assert_eq!(slots.get(Key::from_u64(u64::MAX)), None);
    }

    #[test]
    fn two_values_can_be_borrowed_but_not_one_twice() {
        let mut slots = Slots::new();
        let a = slots.insert(1);
        let b = slots.insert(2);
        let (x, y) = slots.get_disjoint_mut(a, b).expect("both live");
        std::mem::swap(x, y);
        assert_eq!((slots.get(a), slots.get(b)), (Some(&2), Some(&1)));
        assert!(slots.get_disjoint_mut(a, a).is_none());
        slots.remove(b);
        assert!(slots.get_disjoint_mut(a, b).is_none());
    }

    #[test]
    fn free_slots_are_reused_before_memory_grows() {
        let mut slots = Slots::new();
        let keys: Vec<_> = (0..10).map(|n| slots.insert(n)).collect();
        for key in keys {
            slots.remove(key);
        }
        for n in 0..10 {
            assert!(slots.insert(n).index() < 10);
        }
        assert_eq!(slots.iter().count(), 10);
    }
}
