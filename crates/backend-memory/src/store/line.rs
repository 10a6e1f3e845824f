//! The sorted sequence that every index of the store is made of.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use super::slab::Slot;

/// Below how many entries gaps are not worth closing.
const SMALL: usize = 32;

/// Places of records, sorted by a key that no two share.
///
/// Jobs mostly join an index at its end (they are enqueued, leased, finished
/// one after another) and leave it at its front. So the bulk lies in a ring
/// buffer, where both cost a few nanoseconds; whatever joins elsewhere goes to
/// a tree beside it. Both are sorted, and the front of the line is the smaller
/// of their fronts. What leaves the middle of the ring leaves a gap; the ring
/// is packed once gaps are most of it. Nothing costs more than the logarithm
/// of the length, on average over many calls.
#[derive(Debug)]
pub(crate) struct Line<K> {
    /// Ascending; neither the first nor the last entry is a gap.
    ring: VecDeque<(K, Option<Slot>)>,
    gaps: usize,
    tree: BTreeMap<K, Slot>,
}

impl<K> Default for Line<K> {
    fn default() -> Self {
        Self { ring: VecDeque::new(), gaps: 0, tree: BTreeMap::new() }
    }
}

impl<K: Ord + Copy> Line<K> {
    pub(crate) fn len(&self) -> usize {
        self.ring.len() - self.gaps + self.tree.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ring.is_empty() && self.tree.is_empty()
    }

    pub(crate) fn insert(&mut self, key: K, slot: Slot) {
        let (front, back) = (self.ring.front(), self.ring.back());
        if back.is_none_or(|(last, _)| *last < key) {
            self.ring.push_back((key, Some(slot)));
        } else if front.is_some_and(|(first, _)| key < *first) {
            self.ring.push_front((key, Some(slot)));
        } else {
            self.tree.insert(key, slot);
        }
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<Slot> {
        if self.ring.front().is_some_and(|(first, _)| *first == key) {
            return self.pop_ring();
        }
        let found = self.ring.binary_search_by(|(other, _)| other.cmp(&key));
        let taken =
            found.ok().and_then(|at| self.ring.get_mut(at)).and_then(|entry| entry.1.take());
        if taken.is_none() {
            return self.tree.remove(&key);
        }
        self.gaps += 1;
        while let Some((_, None)) = self.ring.back() {
            self.ring.pop_back();
            self.gaps -= 1;
        }
        if self.gaps > SMALL && self.gaps > self.ring.len() / 2 {
            self.ring.retain(|(_, slot)| slot.is_some());
            self.gaps = 0;
        }
        taken
    }

    pub(crate) fn first(&self) -> Option<(K, Slot)> {
        let ring = self.ring.front().and_then(entry);
        match self.tree.first_key_value() {
            None => ring,
            Some((key, slot)) => ring.filter(|(first, _)| first < key).or(Some((*key, *slot))),
        }
    }

    pub(crate) fn pop_first(&mut self) -> Option<(K, Slot)> {
        let first = self.first()?;
        if self.ring.front().is_some_and(|(key, _)| *key == first.0) {
            self.pop_ring();
        } else {
            self.tree.pop_first();
        }
        Some(first)
    }

    /// Takes the first one out if its key is not after `until`.
    pub(crate) fn pop_until(&mut self, until: K) -> Option<(K, Slot)> {
        let (key, _) = self.first()?;
        if key > until {
            return None;
        }
        self.pop_first()
    }

    /// Those behind `place`, ascending; all without one.
    pub(crate) fn after(&self, place: Option<K>) -> impl Iterator<Item = (K, Slot)> + '_ {
        let from = place.map_or(0, |place| self.ring.partition_point(|(k, _)| *k <= place));
        let bound = place.map_or(Bound::Unbounded, Bound::Excluded);
        let ring = self.ring.range(from..).filter_map(entry);
        let tree = self.tree.range((bound, Bound::Unbounded));
        merge(ring, tree.map(|(k, s)| (*k, *s)), |a, b| a < b)
    }

    /// Those before `place`, descending; all without one.
    pub(crate) fn before(&self, place: Option<K>) -> impl Iterator<Item = (K, Slot)> + '_ {
        let to =
            place.map_or(self.ring.len(), |place| self.ring.partition_point(|(k, _)| *k < place));
        let bound = place.map_or(Bound::Unbounded, Bound::Excluded);
        let ring = self.ring.range(..to).rev().filter_map(entry);
        let tree = self.tree.range((Bound::Unbounded, bound)).rev();
        merge(ring, tree.map(|(k, s)| (*k, *s)), |a, b| a > b)
    }

    fn pop_ring(&mut self) -> Option<Slot> {
        let (_, slot) = self.ring.pop_front()?;
        while let Some((_, None)) = self.ring.front() {
            self.ring.pop_front();
            self.gaps -= 1;
        }
        slot
    }
}

fn entry<K: Copy>(entry: &(K, Option<Slot>)) -> Option<(K, Slot)> {
    entry.1.map(|slot| (entry.0, slot))
}

fn merge<K: Copy>(
    a: impl Iterator<Item = (K, Slot)>,
    b: impl Iterator<Item = (K, Slot)>,
    goes_first: impl Fn(K, K) -> bool,
) -> impl Iterator<Item = (K, Slot)> {
    let (mut a, mut b) = (a.peekable(), b.peekable());
    std::iter::from_fn(move || match (a.peek(), b.peek()) {
        (Some((x, _)), Some((y, _))) if goes_first(*y, *x) => b.next(),
        (None, _) => b.next(),
        _ => a.next(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::slab::Slab;
    use super::*;

    fn slots(n: usize) -> Vec<Slot> {
        let mut slab = Slab::default();
        (0..n).map(|_| slab.insert(())).collect()
    }

    fn keys(found: impl Iterator<Item = (u32, Slot)>) -> Vec<u32> {
        found.map(|(key, _)| key).collect()
    }

    #[test]
    fn whatever_the_order_of_joining_the_line_is_sorted() {
        let slots = slots(6);
        let mut line = Line::default();
        for (slot, key) in slots.iter().zip([20, 40, 10, 30, 5, 50]) {
            line.insert(key, *slot);
        }
        assert_eq!(keys(line.after(None)), [5, 10, 20, 30, 40, 50]);
        assert_eq!(keys(line.after(Some(20))), [30, 40, 50]);
        assert_eq!(keys(line.before(None)), [50, 40, 30, 20, 10, 5]);
        assert_eq!(keys(line.before(Some(30))), [20, 10, 5]);
        assert_eq!(line.remove(30), Some(slots[3]));
        assert_eq!(line.remove(30), None);
        assert_eq!(line.pop_until(4), None);
        let popped: Vec<_> = std::iter::from_fn(|| line.pop_first()).collect();
        assert_eq!(keys(popped.into_iter()), [5, 10, 20, 40, 50]);
        assert!(line.is_empty());
    }

    #[test]
    fn the_line_agrees_with_a_sorted_map_through_many_changes() {
        let slots = slots(500);
        let mut line = Line::default();
        let mut model = BTreeMap::new();
        let mut x = 7_u64;
        for round in 0..20_000_u32 {
            // Knuth's MMIX generator: varied and repeatable.
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let key = (x >> 33) as u32 % 500;
            match (x >> 60) as u32 {
                0..6 => {
                    let slot = slots[key as usize];
                    model.entry(key).or_insert_with(|| {
                        line.insert(key, slot);
                        slot
                    });
                }
                6..12 => assert_eq!(line.remove(key), model.remove(&key)),
                _ => assert_eq!(line.pop_first(), model.pop_first()),
            }
            assert_eq!(line.len(), model.len());
            assert_eq!(line.is_empty(), model.is_empty());
            if round % 64 == 0 {
                assert_eq!(
                    keys(line.after(Some(key))),
                    keys(model.range(key + 1..).map(|(k, s)| (*k, *s)))
                );
                assert_eq!(
                    keys(line.before(Some(key))),
                    keys(model.range(..key).rev().map(|(k, s)| (*k, *s)))
                );
            }
        }
    }

    #[test]
    fn gaps_do_not_pile_up() {
        let slots = slots(1);
        let mut line = Line::default();
        for key in 0..10_000_u32 {
            line.insert(key, slots[0]);
        }
        for key in 1..9_999 {
            line.remove(key);
        }
        assert_eq!(line.len(), 2);
        assert!(line.ring.len() < 100, "{}", line.ring.len());
    }
}
