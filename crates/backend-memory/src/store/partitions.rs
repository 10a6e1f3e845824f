//! The lines of a partitioned queue (rules P1 to P3).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use windlass_core::decide::limit::{Room, slots};
use windlass_core::model::{Limits, OrderKey, PartitionKey, Timestamp};

use super::line::Line;
use super::slab::{Slab, Slot};
use super::window::Window;
use crate::record::Record;

/// The partitions of a queue that have something to remember.
///
/// Each has its own line, and is listed among those that can start a job now
/// under the order key of its head. So a dequeue takes the first listed one,
/// however many partitions there are and however long the lines behind busy
/// ones. A partition that cannot start now is listed under the moment at which
/// time opens it, if any. Both listings are kept right by [`Partitions::settle`],
/// which every change of a partition ends with.
#[derive(Debug, Default)]
pub(crate) struct Partitions {
    all: Slab<Partition>,
    /// A job without a key is in a partition of its own kind: core does not
    /// let one in, and the store does not judge.
    by_key: HashMap<Option<PartitionKey>, Slot>,
    startable: BTreeMap<OrderKey, Slot>,
    opening: BTreeSet<(Timestamp, Slot)>,
    /// When each has to be looked at again; never after it opens.
    waking: BTreeSet<(Timestamp, Slot)>,
}

#[derive(Debug, Default)]
struct Partition {
    key: Option<PartitionKey>,
    /// The jobs in line. One whose moment has not come holds up those behind
    /// it.
    line: Line<OrderKey>,
    /// Those that join the line when their place's moment comes.
    arrivals: Line<(Timestamp, u64)>,
    leases: Line<(Timestamp, u64)>,
    starts: Window,
    listed: Listed,
}

/// Where a partition is listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Listed {
    startable: Option<OrderKey>,
    opens: Option<Timestamp>,
    wakes: Option<Timestamp>,
}

/// What a change of a partition is judged by.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) jobs: &'a Slab<Record>,
    pub(crate) limits: &'a Limits,
    pub(crate) now: Timestamp,
}

impl Partitions {
    /// Puts a pending job in its line, at once or when its place's moment
    /// comes.
    pub(crate) fn insert(&mut self, slot: Slot, view: View<'_>) {
        let record = &view.jobs[slot];
        let at = self.find_or_add(&record.partition);
        let partition = &mut self.all[at];
        if record.place <= view.now {
            partition.line.insert(record.order_key(), slot);
        } else {
            partition.arrivals.insert((record.place, record.seq), slot);
        }
        self.settle(at, view);
    }

    /// Takes a pending job out of its line.
    pub(crate) fn remove(&mut self, slot: Slot, view: View<'_>) {
        let record = &view.jobs[slot];
        if let Some(&at) = self.by_key.get(&record.partition) {
            let partition = &mut self.all[at];
            if partition.line.remove(record.order_key()).is_none() {
                partition.arrivals.remove((record.place, record.seq));
            }
            self.settle(at, view);
        }
    }

    /// Takes the first job that can start now out of its line, for a lease
    /// that runs out at `until`.
    pub(crate) fn start_first(&mut self, until: Timestamp, view: View<'_>) -> Option<Slot> {
        let (_, &at) = self.startable.first_key_value()?;
        let partition = &mut self.all[at];
        let (_, slot) = partition.line.pop_first()?;
        partition.leases.insert((until, view.jobs[slot].seq), slot);
        partition.starts.add(view.limits.rate, view.now, 1);
        self.settle(at, view);
        Some(slot)
    }

    /// A lease of one of its jobs, which would have run out at `until`, has
    /// ended or goes on until `next`.
    pub(crate) fn change_lease(
        &mut self,
        slot: Slot,
        until: Timestamp,
        next: Option<Timestamp>,
        view: View<'_>,
    ) {
        let record = &view.jobs[slot];
        if let Some(&at) = self.by_key.get(&record.partition) {
            let leases = &mut self.all[at].leases;
            leases.remove((until, record.seq));
            if let Some(next) = next {
                leases.insert((next, record.seq), slot);
            }
            self.settle(at, view);
        }
    }

    /// Lets time pass: opens what it opens.
    pub(crate) fn wake(&mut self, view: View<'_>) {
        while let Some(&(moment, at)) = self.waking.first() {
            if moment > view.now {
                break;
            }
            self.settle(at, view);
        }
    }

    /// Judges all of them anew, because their limits or the clock were
    /// changed.
    pub(crate) fn settle_all(&mut self, view: View<'_>) {
        let all: Vec<Slot> = self.by_key.values().copied().collect();
        for at in all {
            self.settle(at, view);
        }
    }

    pub(crate) fn can_start(&self) -> bool {
        !self.startable.is_empty()
    }

    /// The next moment at which time opens one that cannot start now.
    pub(crate) fn next_opening(&self) -> Option<Timestamp> {
        self.opening.first().map(|(moment, _)| *moment)
    }

    fn find_or_add(&mut self, key: &Option<PartitionKey>) -> Slot {
        if let Some(&at) = self.by_key.get(key) {
            return at;
        }
        let at = self.all.insert(Partition { key: key.clone(), ..Partition::default() });
        self.by_key.insert(key.clone(), at);
        at
    }

    /// Lists a partition where it now belongs, or forgets it if it has nothing
    /// to remember.
    fn settle(&mut self, at: Slot, view: View<'_>) {
        let partition = &mut self.all[at];
        let (before, after) = (partition.listed, partition.judge(view));
        partition.listed = after;
        if before.startable != after.startable {
            if let Some(key) = before.startable {
                self.startable.remove(&key);
            }
            if let Some(key) = after.startable {
                self.startable.insert(key, at);
            }
        }
        relist(&mut self.opening, at, before.opens, after.opens);
        relist(&mut self.waking, at, before.wakes, after.wakes);
        let partition = &self.all[at];
        if after == Listed::default() && partition.is_blank() {
            self.by_key.remove(&partition.key);
            self.all.remove(at);
        }
    }
}

fn relist(
    listing: &mut BTreeSet<(Timestamp, Slot)>,
    at: Slot,
    before: Option<Timestamp>,
    after: Option<Timestamp>,
) {
    if before == after {
        return;
    }
    if let Some(moment) = before {
        listing.remove(&(moment, at));
    }
    if let Some(moment) = after {
        listing.insert((moment, at));
    }
}

impl Partition {
    fn is_blank(&self) -> bool {
        self.line.is_empty() && self.arrivals.is_empty() && self.leases.is_empty()
    }

    /// Where it belongs now.
    ///
    /// The moment at which it opens is never too late. It is too early where
    /// the next to arrive turns out to stand behind one that holds up the
    /// line: telling would take a look at every arrival.
    fn judge(&mut self, view: View<'_>) -> Listed {
        let View { jobs, limits, now } = view;
        while let Some((_, slot)) = self.arrivals.pop_until((now, u64::MAX)) {
            self.line.insert(jobs[slot].order_key(), slot);
        }
        let head = self.line.first();
        let head_due = head.map(|(_, slot)| jobs[slot].due.max(now));
        let arrival = self.arrivals.first().map(|((moment, _), _)| moment);
        let earliest = [head_due, arrival].into_iter().flatten().min();

        let mut listed = Listed::default();
        match (earliest, self.closed(limits, now)) {
            (None, _) => {
                self.starts.slide(limits.rate, now);
                if self.is_blank() {
                    listed.wakes = self.starts.empty_at(limits.rate);
                }
            }
            (Some(earliest), Some(room)) => {
                listed.opens = room.again.map(|again| again.max(earliest));
                listed.wakes = room.again;
            }
            (Some(earliest), None) if earliest <= now => {
                listed.startable = head.map(|(key, _)| key);
            }
            (Some(earliest), None) => listed.opens = Some(earliest),
        }
        let wakes = [listed.wakes, listed.opens, arrival];
        listed.wakes = wakes.into_iter().flatten().min();
        listed
    }

    /// Which limit leaves no room, if one does.
    fn closed(&mut self, limits: &Limits, now: Timestamp) -> Option<Room> {
        let leases = limits
            .concurrency
            .map(|limit| slots(limit, self.leases.len() as u64, next_end(&self.leases, now)))
            .filter(|room| room.free == 0);
        leases.or_else(|| {
            limits.rate.map(|rate| self.starts.room(rate, now)).filter(|room| room.free == 0)
        })
    }
}

/// The first moment after `now` at which a lease runs out. One that has run
/// out already says nothing about when to look again: it ends when somebody
/// takes it over.
pub(crate) fn next_end(leases: &Line<(Timestamp, u64)>, now: Timestamp) -> Option<Timestamp> {
    let mut live = leases.after(Some((now, u64::MAX)));
    live.next().map(|((until, _), _)| until)
}
