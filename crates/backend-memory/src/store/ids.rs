//! Where the job with an id is.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use windlass_core::model::JobId;

use super::slab::{Slab, Slot};
use crate::record::Record;

/// Where the job with an id is.
///
/// The table keeps part of an id's hash beside the slot instead of the id
/// itself, which the record has. That makes it small enough to stay in a
/// processor's cache with a million jobs, where most of its cost is decided.
#[derive(Debug, Default)]
pub(crate) struct Ids(HashTable<(u32, Slot)>);

impl Ids {
    pub(crate) fn get(&self, id: JobId, jobs: &Slab<Record>) -> Option<Slot> {
        let part = part(id);
        let found =
            self.0.find(whole(part), |(other, slot)| *other == part && jobs[*slot].id == id);
        found.map(|(_, slot)| *slot)
    }

    /// Notes a stored job whose id nobody else has.
    pub(crate) fn insert(&mut self, id: JobId, slot: Slot) {
        let part = part(id);
        self.0.insert_unique(whole(part), (part, slot), |(part, _)| whole(*part));
    }

    pub(crate) fn remove(&mut self, id: JobId, slot: Slot) {
        let part = part(id);
        let entry =
            self.0.entry(whole(part), |(_, other)| *other == slot, |(part, _)| whole(*part));
        if let Entry::Occupied(entry) = entry {
            entry.remove();
        }
    }
}

/// The part of an id's hash that is kept.
///
/// Ids are random in most of their bits, or the end of a cryptographic hash,
/// so that folding them is enough: the halves of a product of 128 bits depend
/// on every bit. Keys that people choose are hashed by the standard library
/// instead, which withstands chosen ones.
fn part(id: JobId) -> u32 {
    let bits = u128::from_be_bytes(*id.as_bytes());
    let folded = fold(fold(bits as u64) ^ (bits >> 64) as u64);
    (folded >> 32) as u32
}

/// The hash as the table wants it: varied in its lowest and its highest bits.
fn whole(part: u32) -> u64 {
    u64::from(part).wrapping_mul(GOLDEN)
}

fn fold(word: u64) -> u64 {
    let product = u128::from(word ^ GOLDEN) * u128::from(GOLDEN);
    (product as u64) ^ (product >> 64) as u64
}

/// 2^64 over the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_that_differ_in_any_one_byte_spread() {
        let mut seen = HashSet::new();
        for at in 0..16 {
            for value in 1..=255 {
                let mut bytes = [0; 16];
                bytes[at] = value;
                seen.insert(whole(part(JobId::from_bytes(bytes))));
            }
        }
        // Two of so few may meet in 32 bits, but hardly three.
        assert!(seen.len() >= 16 * 255 - 2, "{}", seen.len());
        // A table looks at the lowest bits and the highest seven.
        let lowest: HashSet<_> = seen.iter().map(|hash| hash & 0xff).collect();
        let highest: HashSet<_> = seen.iter().map(|hash| hash >> 57).collect();
        assert_eq!((lowest.len(), highest.len()), (256, 128));
    }
}
