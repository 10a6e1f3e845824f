//! A queue: where each of its jobs stands.

use std::collections::BTreeMap;
use std::sync::Arc;

use windlass_core::model::{
    Limits, OrderKey, QueueSpec, RepeatableKey, RepeatableRecord, State, Timestamp,
};

use super::dedup::DedupKeys;
use super::line::Line;
use super::partitions::{Partitions, View};
use super::slab::{Slab, Slot};
use super::window::Window;
use crate::record::{Record, Stand};

/// A queue and the indexes of its jobs.
///
/// A job is put in its indexes by [`Queue::attach`] and taken out by
/// [`Queue::detach`]; whoever changes a field that an index is sorted by does
/// it in between. The sizes of the indexes are the figures of the queue, so
/// that there is nothing to count.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) spec: Arc<QueueSpec>,
    pub(crate) paused: bool,
    /// Until when time has passed in the indexes.
    ticked: Timestamp,
    /// Every job, by enqueue sequence.
    pub(crate) all: Line<u64>,
    pub(crate) blocked: u64,
    /// Blocked jobs about which core has to decide.
    pub(crate) unblocked: Line<u64>,
    /// Pending jobs whose moment has not come, by that moment.
    scheduled: Line<(Timestamp, u64)>,
    /// Those of them that are not to be leased when it comes.
    parked: Line<(Timestamp, u64)>,
    /// Pending jobs whose moment has come, by that moment.
    waiting: Line<(Timestamp, u64)>,
    order: Order,
    /// Active jobs, by the end of their lease.
    pub(crate) leases: Line<(Timestamp, u64)>,
    pub(crate) starts: Window,
    /// Blocked and pending jobs that never started, by when they expire.
    pub(crate) expiring: Line<(Timestamp, u64)>,
    /// Ended jobs of each kind, by when they ended.
    pub(crate) ended: [Line<(Timestamp, u64)>; 4],
    pub(crate) dedup: DedupKeys,
    pub(crate) repeatables: BTreeMap<RepeatableKey, RepeatableRecord>,
}

/// The jobs that can be leased, in the order in which they are.
#[derive(Debug)]
enum Order {
    Plain(Line<OrderKey>),
    Partitioned(Box<Partitions>),
}

impl Queue {
    pub(crate) fn new(spec: QueueSpec, now: Timestamp) -> Self {
        let order = match spec.partitions {
            None => Order::Plain(Line::default()),
            Some(_) => Order::Partitioned(Box::default()),
        };
        Self {
            spec: Arc::new(spec),
            paused: false,
            ticked: now,
            all: Line::default(),
            blocked: 0,
            unblocked: Line::default(),
            scheduled: Line::default(),
            parked: Line::default(),
            waiting: Line::default(),
            order,
            leases: Line::default(),
            starts: Window::default(),
            expiring: Line::default(),
            ended: Default::default(),
            dedup: DedupKeys::default(),
            repeatables: BTreeMap::new(),
        }
    }

    /// Replaces the declaration by one that differs in its bounds only.
    pub(crate) fn redeclare(&mut self, spec: QueueSpec, jobs: &Slab<Record>, now: Timestamp) {
        self.spec = Arc::new(spec);
        if let Order::Partitioned(partitions) = &mut self.order {
            partitions.settle_all(view(jobs, &self.spec, now));
        }
    }

    /// Puts a job in the indexes in which it belongs as it now stands. Pending
    /// jobs need no more than `due` and `place`: whether they are scheduled,
    /// waiting or parked is found here.
    pub(crate) fn attach(&mut self, jobs: &mut Slab<Record>, slot: Slot, now: Timestamp) {
        let record = &mut jobs[slot];
        let (seq, due) = (record.seq, record.due);
        match &record.stand {
            Stand::Blocked => {
                self.blocked += 1;
                if record.is_unblocked() {
                    self.unblocked.insert(seq, slot);
                }
                if let Some(expires) = record.expires() {
                    self.expiring.insert((expires, seq), slot);
                }
            }
            Stand::Scheduled | Stand::Waiting => {
                record.parked = false;
                if let Some(expires) = record.expires() {
                    self.expiring.insert((expires, seq), slot);
                    record.parked = expires <= due.max(now);
                }
                let parked = record.parked;
                if due <= now {
                    record.stand = Stand::Waiting;
                    self.waiting.insert((due, seq), slot);
                } else {
                    record.stand = Stand::Scheduled;
                    self.upcoming(parked).insert((due, seq), slot);
                }
                if !parked {
                    self.join_order(jobs, slot, now);
                }
            }
            // A job becomes active by `start_first` alone.
            Stand::Active(_) => {}
            Stand::Ended(ended) => {
                self.ended[ended.end as usize].insert((ended.at, seq), slot);
            }
        }
    }

    /// Takes a job out of every index but that of all jobs.
    pub(crate) fn detach(&mut self, jobs: &Slab<Record>, slot: Slot, now: Timestamp) {
        let record = &jobs[slot];
        let (seq, due) = (record.seq, record.due);
        match &record.stand {
            Stand::Blocked => {
                self.blocked -= 1;
                self.unblocked.remove(seq);
                self.forget_expiry(record);
            }
            Stand::Scheduled | Stand::Waiting => {
                if matches!(record.stand, Stand::Waiting) {
                    self.waiting.remove((due, seq));
                } else {
                    self.upcoming(record.parked).remove((due, seq));
                }
                self.forget_expiry(record);
                if !record.parked {
                    self.leave_order(jobs, slot, now);
                }
            }
            Stand::Active(lease) => {
                self.leases.remove((lease.until, seq));
                if let Order::Partitioned(partitions) = &mut self.order {
                    let view = view(jobs, &self.spec, now);
                    partitions.change_lease(slot, lease.until, None, view);
                }
            }
            Stand::Ended(ended) => {
                self.ended[ended.end as usize].remove((ended.at, seq));
            }
        }
    }

    /// Takes the first job that can be leased out of its indexes, and notes
    /// its lease, which runs out at `until`. The caller writes the lease to
    /// the record.
    pub(crate) fn start_first(
        &mut self,
        jobs: &Slab<Record>,
        until: Timestamp,
        now: Timestamp,
    ) -> Option<Slot> {
        let slot = match &mut self.order {
            Order::Plain(ready) => ready.pop_first().map(|(_, slot)| slot)?,
            Order::Partitioned(partitions) => {
                partitions.start_first(until, view(jobs, &self.spec, now))?
            }
        };
        let record = &jobs[slot];
        self.waiting.remove((record.due, record.seq));
        self.forget_expiry(record);
        self.leases.insert((until, record.seq), slot);
        Some(slot)
    }

    /// A lease that would have run out at `until` goes on until `next`.
    pub(crate) fn extend(
        &mut self,
        jobs: &Slab<Record>,
        slot: Slot,
        (until, next): (Timestamp, Timestamp),
        now: Timestamp,
    ) {
        let seq = jobs[slot].seq;
        self.leases.remove((until, seq));
        self.leases.insert((next, seq), slot);
        if let Order::Partitioned(partitions) = &mut self.order {
            partitions.change_lease(slot, until, Some(next), view(jobs, &self.spec, now));
        }
    }

    /// Lets time pass up to `now`: scheduled jobs whose moment has come are
    /// waiting, and those that did not start in time leave the order. Every
    /// call that looks at the indexes begins with this, so that no scanner is
    /// needed (rule O4).
    pub(crate) fn tick(&mut self, jobs: &mut Slab<Record>, now: Timestamp) {
        if now == self.ticked {
            return;
        }
        if now < self.ticked {
            self.rewind(jobs, now);
        }
        let since = std::mem::replace(&mut self.ticked, now);
        while let Some((key, slot)) = self.scheduled.pop_until((now, u64::MAX)) {
            jobs[slot].stand = Stand::Waiting;
            self.waiting.insert(key, slot);
            if let Order::Plain(ready) = &mut self.order {
                ready.insert(jobs[slot].order_key(), slot);
            }
        }
        while let Some((key, slot)) = self.parked.pop_until((now, u64::MAX)) {
            jobs[slot].stand = Stand::Waiting;
            self.waiting.insert(key, slot);
        }
        let passed: Vec<Slot> = self
            .expiring
            .after(Some((since, u64::MAX)))
            .take_while(|((expires, _), _)| *expires <= now)
            .map(|(_, slot)| slot)
            .collect();
        for slot in passed {
            self.park(jobs, slot, now);
        }
        if let Order::Partitioned(partitions) = &mut self.order {
            partitions.wake(view(jobs, &self.spec, now));
        }
    }

    /// Whether a job can be leased now, as far as limits on the queue as a
    /// whole do not stop it.
    pub(crate) fn can_start(&self) -> bool {
        match &self.order {
            Order::Plain(ready) => !ready.is_empty(),
            Order::Partitioned(partitions) => partitions.can_start(),
        }
    }

    /// The next moment at which time makes a further job ready.
    pub(crate) fn next_opening(&self) -> Option<Timestamp> {
        match &self.order {
            Order::Plain(_) => self.scheduled.first().map(|((due, _), _)| due),
            Order::Partitioned(partitions) => partitions.next_opening(),
        }
    }

    /// Whether a job's end, or its leaving the order, can let another one
    /// start.
    pub(crate) fn is_limited(&self) -> bool {
        self.spec.limits != Limits::default() || self.spec.partitions.is_some()
    }

    /// How many jobs are in each state.
    pub(crate) fn counts(&self) -> [u64; 8] {
        let mut counts = [0; 8];
        let mut set = |state: State, count: usize| {
            counts[usize::from(state.code())] = count as u64;
        };
        set(State::Scheduled, self.scheduled.len() + self.parked.len());
        set(State::Waiting, self.waiting.len());
        set(State::Active, self.leases.len());
        for end in windlass_core::model::End::ALL {
            set(end.into(), self.ended[end as usize].len());
        }
        counts[usize::from(State::Blocked.code())] = self.blocked;
        counts
    }

    /// The earliest moment of a job that is waiting.
    pub(crate) fn oldest_waiting(&self) -> Option<Timestamp> {
        self.waiting.first().map(|((due, _), _)| due)
    }

    fn upcoming(&mut self, parked: bool) -> &mut Line<(Timestamp, u64)> {
        if parked { &mut self.parked } else { &mut self.scheduled }
    }

    fn forget_expiry(&mut self, record: &Record) {
        if let Some(expires) = record.expires() {
            self.expiring.remove((expires, record.seq));
        }
    }

    fn join_order(&mut self, jobs: &Slab<Record>, slot: Slot, now: Timestamp) {
        match &mut self.order {
            Order::Plain(ready) => {
                if matches!(jobs[slot].stand, Stand::Waiting) {
                    ready.insert(jobs[slot].order_key(), slot);
                }
            }
            Order::Partitioned(partitions) => {
                partitions.insert(slot, view(jobs, &self.spec, now));
            }
        }
    }

    fn leave_order(&mut self, jobs: &Slab<Record>, slot: Slot, now: Timestamp) {
        match &mut self.order {
            Order::Plain(ready) => {
                ready.remove(jobs[slot].order_key());
            }
            Order::Partitioned(partitions) => {
                partitions.remove(slot, view(jobs, &self.spec, now));
            }
        }
    }

    /// Takes a job whose moment to expire has come out of the order. It stays
    /// pending until core has decided about it.
    fn park(&mut self, jobs: &mut Slab<Record>, slot: Slot, now: Timestamp) {
        let record = &jobs[slot];
        if record.parked || !record.stand.is_pending() {
            return;
        }
        let key = (record.due, record.seq);
        self.leave_order(jobs, slot, now);
        jobs[slot].parked = true;
        if self.scheduled.remove(key).is_some() {
            self.parked.insert(key, slot);
        }
    }

    /// The clock was set back, which only a manual one can be: jobs whose
    /// moment had come stand before it again.
    fn rewind(&mut self, jobs: &mut Slab<Record>, now: Timestamp) {
        let pending: Vec<Slot> = self
            .all
            .after(None)
            .map(|(_, slot)| slot)
            .filter(|slot| jobs[*slot].stand.is_pending())
            .collect();
        for slot in &pending {
            self.detach(jobs, *slot, now);
        }
        for slot in &pending {
            self.attach(jobs, *slot, now);
        }
        if let Order::Partitioned(partitions) = &mut self.order {
            partitions.settle_all(view(jobs, &self.spec, now));
        }
    }
}

/// What partitions are judged by.
fn view<'a>(jobs: &'a Slab<Record>, spec: &'a QueueSpec, now: Timestamp) -> View<'a> {
    const NONE: &Limits = &Limits { concurrency: None, rate: None };
    View { jobs, limits: spec.partitions.as_ref().map_or(NONE, |p| &p.limits), now }
}
