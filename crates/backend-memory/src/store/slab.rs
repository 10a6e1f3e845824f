//! A place for each thing, named by a small number.

use std::num::NonZeroU32;
use std::ops::{Index, IndexMut};

/// Names a place in a [`Slab`]. Stays valid until the thing is removed, and
/// is then given to another one: whoever removes a thing takes it out of every
/// index first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot(NonZeroU32);

impl Slot {
    fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// Things at places that do not move while they are there.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    places: Vec<Option<T>>,
    free: Vec<Slot>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    pub(crate) fn insert(&mut self, thing: T) -> Slot {
        if let Some(slot) = self.free.pop() {
            self.places[slot.index()] = Some(thing);
            return slot;
        }
        self.places.push(Some(thing));
        // Memory runs out long before four thousand million records do.
        let number = u32::try_from(self.places.len()).ok();
        Slot(number.and_then(NonZeroU32::new).expect("fewer than 2^32 records"))
    }

    pub(crate) fn has(&self, slot: Slot) -> bool {
        self.places.get(slot.index()).is_some_and(Option::is_some)
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Option<T> {
        let thing = self.places.get_mut(slot.index())?.take();
        if thing.is_some() {
            self.free.push(slot);
        }
        thing
    }
}

impl<T> Index<Slot> for Slab<T> {
    type Output = T;

    fn index(&self, slot: Slot) -> &T {
        self.places[slot.index()].as_ref().expect("an index names only what is there")
    }
}

impl<T> IndexMut<Slot> for Slab<T> {
    fn index_mut(&mut self, slot: Slot) -> &mut T {
        self.places[slot.index()].as_mut().expect("an index names only what is there")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_used_again_once_it_is_free() {
        let mut slab = Slab::default();
        let (a, b) = (slab.insert("a"), slab.insert("b"));
        assert_ne!(a, b);
        assert_eq!(slab.remove(a), Some("a"));
        assert_eq!(slab.remove(a), None);
        let c = slab.insert("c");
        assert_eq!(c, a);
        assert_eq!((slab[b], slab[c]), ("b", "c"));
    }
}
