//! New jobs (rules E2 to E4, L2 and N1).

use windlass_core::backend::{EnqueueAnswer, Enqueued, Refusal};
use windlass_core::model::{
    DedupRecord, Dependencies, Detail, Job, JobRef, NewJob, State, Token, When,
};

use super::{Check, Edge, Entry, Model, Version, ensure};

/// What becomes of a new job if its batch is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Fresh,
    Existing,
    KeyTaken,
}

impl Model {
    pub(in super::super) fn enqueue(&mut self, jobs: &[NewJob], answer: &EnqueueAnswer) -> Check {
        let fates = self.fates(jobs);
        match answer {
            EnqueueAnswer::Refused { index, why, jobs: back } => {
                ensure!(back == jobs, "a batch that was refused came back changed");
                let refused = self.complaints(jobs, &fates);
                let complaint = (*index, why.clone());
                ensure!(refused.contains(&complaint), "refused {complaint:?}, not {refused:?}");
            }
            EnqueueAnswer::Stored { outcomes, unblocked, now } => {
                let refused = self.complaints(jobs, &fates);
                ensure!(refused.is_empty(), "stored although {refused:?}");
                ensure!(outcomes.len() == jobs.len(), "{} outcomes", outcomes.len());
                self.is_now(*now)?;
                let linked = jobs.iter().any(|job| !job.depends_on.is_empty());
                let first = self.count;
                for ((new, fate), outcome) in jobs.iter().zip(fates).zip(outcomes) {
                    self.store(new, fate, outcome, linked)?;
                }
                self.link_from(first);
                let fresh = |entry: &&Entry| entry.number >= first && entry.is_unblocked();
                let mut expected: Vec<_> = self.jobs.iter().filter(fresh).map(Entry::id).collect();
                let mut named: Vec<_> = unblocked.iter().map(|job| job.id).collect();
                expected.sort_unstable();
                named.sort_unstable();
                ensure!(named == expected, "named as unblocked {named:?}, not {expected:?}");
                for job in unblocked {
                    self.meet(job, Detail::Summary)?;
                }
            }
        }
        Ok(())
    }

    /// The jobs that a repeatable has fired.
    pub(super) fn store_fired(&mut self, jobs: &[NewJob]) {
        for (new, fate) in jobs.iter().zip(self.fates(jobs)) {
            if fate == Fate::Fresh {
                self.insert(new);
            }
        }
    }

    fn fates(&self, jobs: &[NewJob]) -> Vec<Fate> {
        let now = self.now();
        let mut fresh: Vec<&NewJob> = Vec::new();
        let mut fates = Vec::new();
        for new in jobs {
            let exists = self.jobs.iter().any(|entry| entry.job.id == new.id)
                || fresh.iter().any(|mate| mate.id == new.id);
            let taken = new.dedup.as_ref().is_some_and(|dedup| {
                let same = |mate: &&&NewJob| {
                    let other = mate.dedup.as_ref();
                    mate.queue == new.queue && other.is_some_and(|other| other.key == dedup.key)
                };
                self.keys.holder(&new.queue, &dedup.key, now).is_some()
                    || fresh.iter().any(|mate| same(&mate))
            });
            fates.push(match (exists, taken) {
                (true, _) => Fate::Existing,
                (_, true) => Fate::KeyTaken,
                _ => {
                    fresh.push(new);
                    Fate::Fresh
                }
            });
        }
        fates
    }

    /// What can be said against a batch. Which complaint a store raises, if
    /// there are several, is its own choice.
    fn complaints(&self, jobs: &[NewJob], fates: &[Fate]) -> Vec<(usize, Refusal)> {
        let mut found = Vec::new();
        for (index, (new, fate)) in jobs.iter().zip(fates).enumerate() {
            if *fate != Fate::Fresh {
                continue;
            }
            if let Some(parent) = &new.parent
                && self.leased(&parent.job, parent.token).is_none()
            {
                found.push((index, Refusal::StaleParent(parent.job.clone())));
            }
            for on in &new.depends_on {
                let mate = jobs.iter().zip(fates).any(|(mate, fate)| {
                    *fate == Fate::Fresh && mate.id == on.id && mate.queue == on.queue
                });
                if !mate && self.find(on).is_none() {
                    found.push((index, Refusal::UnknownDependency(on.clone())));
                }
            }
        }
        found
    }

    /// The place of a job whose current lease this is.
    pub(super) fn leased(&self, job: &JobRef, token: Token) -> Option<usize> {
        let lease = |at: &usize| self.jobs[*at].job.lease.is_some_and(|lease| lease.token == token);
        self.find(job).filter(lease)
    }

    fn store(&mut self, new: &NewJob, fate: Fate, outcome: &Enqueued, linked: bool) -> Check {
        let now = self.now();
        match fate {
            Fate::Fresh => {
                ensure!(*outcome == Enqueued::Stored, "not stored: {outcome:?}");
                self.insert(new);
            }
            Fate::Existing => {
                ensure!(*outcome == Enqueued::Existing, "{} exists: {outcome:?}", new.id);
            }
            Fate::KeyTaken => {
                let key = new.dedup.as_ref().map(|dedup| &dedup.key);
                let holder = key.and_then(|key| self.keys.holder(&new.queue, key, now));
                let holder = holder.ok_or("a key that is taken has a holder")?;
                let (by, live, until) = (holder.by, holder.live, holder.until);
                match outcome {
                    // With dependencies in the batch, it may be on its way.
                    Enqueued::Duplicate(job) if live && linked => {
                        ensure!(job.id == by, "{key:?} is taken by {by}, not {}", job.id);
                    }
                    Enqueued::Duplicate(job) if live => {
                        ensure!(job.id == by, "{key:?} is taken by {by}, not {}", job.id);
                        self.meet(job, Detail::Summary)?;
                    }
                    other => {
                        let until = until.unwrap_or(now);
                        let expected = Enqueued::Held { by, until };
                        ensure!(!live && *other == expected, "{key:?} is taken by {by}: {other:?}");
                    }
                }
            }
        }
        Ok(())
    }

    fn insert(&mut self, new: &NewJob) {
        let now = self.now();
        let due = new.due.resolve(now);
        let blocked = !new.depends_on.is_empty();
        let moment = |length| When::After(length).resolve(now);
        let dedup = new.dedup.as_ref().map(|dedup| DedupRecord {
            key: dedup.key.clone(),
            held_until: dedup.hold.map(moment),
            latest: dedup.latest.map(moment),
        });
        if let Some(dedup) = &dedup {
            self.keys.take(&new.queue, dedup, new.id);
        }
        let job = Job {
            id: new.id,
            queue: new.queue.clone(),
            job_type: new.job_type.clone(),
            payload: Some(new.payload.clone()),
            options: new.options.clone(),
            course: Default::default(),
            state: if blocked { State::Blocked } else { State::Waiting },
            version: 0,
            seq: 0,
            order: new.order,
            due,
            place: due,
            enqueued_at: now,
            started_at: None,
            finished_at: None,
            expires: new.expires.map(|expires| expires.resolve(now)),
            lease: None,
            cancel_requested: false,
            result: None,
            progress: None,
            key: new.key.clone(),
            dedup,
            partition: new.partition.clone(),
            tags: new.tags.clone(),
            flow: new.flow,
            parent: new.parent.as_ref().map(|parent| parent.job.clone()),
            dependencies: Dependencies::default(),
            has_dependents: false,
        };
        // What it depends on is found once the whole batch is there.
        let unlinked = |on: &JobRef| Edge { on: on.clone(), number: u64::MAX, open: false };
        self.jobs.push(Entry {
            number: self.count,
            job,
            seq: None,
            version: Version::AtLeast(0),
            last_token: Token::default(),
            edges: new.depends_on.iter().map(unlinked).collect(),
            steps: Vec::new(),
        });
        self.count += 1;
    }

    /// Notes with the jobs from this number on how those stand that they
    /// depend on.
    fn link_from(&mut self, first: u64) {
        for at in 0..self.jobs.len() {
            if self.jobs[at].number < first {
                continue;
            }
            for edge in 0..self.jobs[at].edges.len() {
                let Some(on) = self.find(&self.jobs[at].edges[edge].on) else { continue };
                let dependency = &mut self.jobs[on];
                if !dependency.job.has_dependents {
                    dependency.job.has_dependents = true;
                    dependency.version = dependency.version.raised();
                }
                let (number, state) = (dependency.number, dependency.job.state);
                let entry = &mut self.jobs[at];
                entry.edges[edge].number = number;
                entry.edges[edge].open = !state.is_terminal();
                match state {
                    State::Completed => {}
                    state if state.is_terminal() => entry.job.dependencies.broken += 1,
                    _ => entry.job.dependencies.open += 1,
                }
            }
        }
    }
}
