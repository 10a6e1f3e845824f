//! Leasing jobs of all shards of a queue.
//!
//! Each call begins with another shard. As long as that one has enough, it alone is asked:
//! under load a call is one script, as in a queue that is not spread. What is missing is
//! asked of the others side by side.
//!
//! A shard whose machine does not answer holds up its own jobs only: it is not waited for
//! for long, and not asked again meanwhile. What it gives in the end is handed back: who
//! asked has gone on, and a lease that nobody uses only runs out.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use windlass_core::backend::{Again, Ask, Dequeued};
use windlass_core::decide::shards;
use windlass_core::model::{Job, QueueName, QueueSpec, Timestamp};
use windlass_core::{Error, ErrorKind};

use super::{Spread, mark, of_queue};

/// For so long a shard is waited for while there may be jobs in others.
const GRACE: Duration = Duration::from_secs(1);

/// Shards that have not answered in time, and are still awaited.
#[derive(Debug, Default)]
pub(super) struct Late(Mutex<HashSet<(QueueName, u32)>>);

impl Late {
    fn awaited(&self) -> MutexGuard<'_, HashSet<(QueueName, u32)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_awaited(&self, queue: &QueueName, shard: u32) -> bool {
        let awaited = self.awaited();
        // Mostly there are none, and no name is copied.
        !awaited.is_empty() && awaited.contains(&(queue.clone(), shard))
    }
}

impl Spread {
    /// Leases the first jobs of a queue.
    pub(crate) async fn dequeue(&self, ask: Ask) -> Result<Dequeued, Error> {
        let Some(known) = self.known_to_be_spread(&ask.queue) else {
            let (answer, extent) = self.store.dequeue_first(&ask).await?;
            if extent.is_one() {
                return Ok(answer);
            }
            let mut round = Round::new(&ask, (1..extent.all).collect());
            round.note(0, Ok(answer));
            return self.go_round(ask, round).await;
        };
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % known.all;
        let mut round = Round::new(&ask, (turn..known.all).chain(0..turn).collect());
        if let Some(first) = round.first() {
            self.ask_shards(&ask, vec![first], &mut round).await;
        }
        self.go_round(ask, round).await
    }

    /// Asks the shards that are left for what is missing.
    async fn go_round(&self, ask: Ask, mut round: Round) -> Result<Dequeued, Error> {
        while let Some(shares) = round.shares() {
            self.ask_shards(&ask, shares, &mut round).await;
            // The first shard may have said that there are more than was known.
            if let Some(extent) = self.known_to_be_spread(&ask.queue) {
                round.grow(extent.all);
            }
        }
        let live = self.known_to_be_spread(&ask.queue).map_or(1, |extent| extent.live);
        let elsewhere = round
            .places()
            .filter(|(job, shard)| shards::of_keys(None, None, job.id, live) != *shard);
        self.whereabouts.note(elsewhere.map(|(job, shard)| (job.id, shard)));
        round.end()
    }

    /// Asks some shards for so many jobs each, and waits for them for a while.
    async fn ask_shards(&self, ask: &Ask, shares: Vec<(u32, u32)>, round: &mut Round) {
        let mut awaited = HashSet::new();
        let mut calls = FuturesUnordered::new();
        for (shard, max) in shares {
            if self.late.is_awaited(&ask.queue, shard) {
                round.skip();
                continue;
            }
            awaited.insert(shard);
            let of_shard = Ask { queue: self.name(&ask.queue, shard), max, ..ask.clone() };
            let store = self.store.clone();
            // A task, so that it comes to its end whoever waits for it.
            calls.push(self.runtime.spawn(async move { (shard, store.dequeue(&of_shard).await) }));
        }
        let grace = tokio::time::sleep(GRACE);
        tokio::pin!(grace);
        while !calls.is_empty() {
            tokio::select! {
                Some(answered) = calls.next() => match answered {
                    Ok((shard, answer)) => {
                        awaited.remove(&shard);
                        round.note(shard, answer);
                    }
                    Err(error) => round.fail(Error::new(ErrorKind::Store, error.to_string())),
                },
                () = &mut grace => break,
            }
        }
        if calls.is_empty() {
            return;
        }
        awaited.iter().for_each(|_| round.skip());
        let (late, queue) = (Arc::clone(&self.late), ask.queue.clone());
        let store = self.store.clone();
        late.awaited().extend(awaited.iter().map(|shard| (queue.clone(), *shard)));
        tracing::warn!(queue = queue.as_str(), shards = ?awaited, "shards do not answer");
        self.runtime.spawn(async move {
            while let Some(answered) = calls.next().await {
                if let Ok((shard, answer)) = answered {
                    if let Ok(answer) = answer {
                        store.hand_back(&answer.jobs, &answer.spec).await;
                    }
                    awaited.remove(&shard);
                    late.awaited().remove(&(queue.clone(), shard));
                }
            }
            // Of those that broke off there is nothing to wait for.
            for shard in awaited {
                late.awaited().remove(&(queue.clone(), shard));
            }
        });
    }
}

/// A call that goes round the shards.
struct Round {
    queue: QueueName,
    missing: u32,
    /// Shards that were not asked, or have more than they were asked for.
    left: VecDeque<u32>,
    /// How many shards are known.
    known: u32,
    /// What each shard gave.
    jobs: Vec<(u32, Vec<Job>)>,
    spec: Option<Arc<QueueSpec>>,
    now: Timestamp,
    /// How long until one of them may have more.
    wait: Option<Duration>,
    failed: Option<Error>,
}

impl Round {
    fn new(ask: &Ask, left: VecDeque<u32>) -> Self {
        Self {
            queue: ask.queue.clone(),
            missing: ask.max,
            known: left.iter().max().map_or(1, |last| last + 1),
            left,
            jobs: Vec::new(),
            spec: None,
            now: Timestamp::MAX,
            wait: None,
            failed: None,
        }
    }

    /// What to ask of which shards next; nothing if the round is over.
    fn shares(&mut self) -> Option<Vec<(u32, u32)>> {
        let count = u32::try_from(self.left.len()).unwrap_or(u32::MAX).min(self.missing);
        let missing = self.missing;
        let shares: Vec<(u32, u32)> = self
            .left
            .drain(..count as usize)
            .zip(0..)
            .map(|(shard, at)| (shard, missing / count + u32::from(at < missing % count)))
            .collect();
        Some(shares).filter(|shares| !shares.is_empty())
    }

    /// What to ask of the first shard, alone.
    fn first(&mut self) -> Option<(u32, u32)> {
        if self.missing == 0 {
            return None;
        }
        Some((self.left.pop_front()?, self.missing))
    }

    /// A shard was not waited for, or not even asked.
    fn skip(&mut self) {
        self.look_again_in(GRACE);
    }

    fn fail(&mut self, error: Error) {
        self.failed = Some(error);
    }

    fn look_again_in(&mut self, wait: Duration) {
        self.wait = Some(self.wait.map_or(wait, |known| known.min(wait)));
    }

    fn note(&mut self, shard: u32, answer: Result<Dequeued, Error>) {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return self.fail(error),
        };
        match answer.again {
            Again::Now if answer.jobs.is_empty() => self.look_again_in(Duration::ZERO),
            Again::Now => self.left.push_back(shard),
            // Machines have clocks of their own.
            Again::At(moment) => self.look_again_in(moment.since(answer.now)),
            Again::OnNotice => {}
        }
        self.take(shard, answer);
    }

    fn take(&mut self, shard: u32, Dequeued { mut jobs, spec, now, .. }: Dequeued) {
        // Of a declaration that is just being changed, the first shard has the last word.
        if shard == 0 || self.spec.is_none() {
            self.spec = Some(spec);
        }
        self.now = self.now.min(now);
        self.missing = self.missing.saturating_sub(u32::try_from(jobs.len()).unwrap_or(u32::MAX));
        jobs.iter_mut().for_each(|job| mark(job, &self.queue, shard));
        self.jobs.push((shard, jobs));
    }

    /// There are so many shards.
    fn grow(&mut self, all: u32) {
        self.left.extend(self.known..all.max(self.known));
        self.known = self.known.max(all);
    }

    fn places(&self) -> impl Iterator<Item = (&Job, u32)> {
        self.jobs.iter().flat_map(|(shard, jobs)| jobs.iter().map(|job| (job, *shard)))
    }

    fn end(self) -> Result<Dequeued, Error> {
        let is_mixed = self.jobs.iter().filter(|(_, jobs)| !jobs.is_empty()).count() > 1;
        let mut jobs: Vec<Job> = self.jobs.into_iter().flat_map(|(_, jobs)| jobs).collect();
        if is_mixed {
            jobs.sort_by_key(Job::order_key);
        }
        let again = match self.wait {
            _ if !self.left.is_empty() => Again::Now,
            Some(wait) => Again::At(self.now.after(wait)),
            None => Again::OnNotice,
        };
        match (self.spec, self.failed) {
            (Some(spec), None) => Ok(Dequeued { jobs, spec, now: self.now, again }),
            // What the others gave is leased: a machine that is away holds up its own jobs
            // only.
            (Some(spec), Some(error)) if !jobs.is_empty() => {
                let error = format!("{error:#}");
                tracing::warn!(queue = self.queue.as_str(), error, "a shard gives no jobs");
                Ok(Dequeued { jobs, spec, now: self.now, again: Again::Now })
            }
            (_, Some(error)) => Err(of_queue(error, &self.queue)),
            (None, None) => Err(Error::new(
                ErrorKind::Unavailable,
                format!("no shard of queue {:?} answers in time", self.queue),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use windlass_core::model::{JobId, OrderRule, State};

    use super::*;
    use crate::spread::samples::job;

    const NOW: Timestamp = Timestamp::from_micros(1_000);

    fn round(max: u32, left: impl IntoIterator<Item = u32>) -> Round {
        let queue = QueueName::new("q").unwrap();
        let (worker, lease) = (windlass_core::model::WorkerId::from_bytes([0; 16]), Duration::MAX);
        let ask = Ask { queue, worker, max, lease };
        Round::new(&ask, left.into_iter().collect())
    }

    fn answer(count: u8, again: Again) -> Result<Dequeued, Error> {
        let spec = Arc::new(QueueSpec::new(QueueName::new("q").unwrap()));
        let jobs = (0..count).map(|n| job(n, State::Active)).collect();
        Ok(Dequeued { jobs, spec, now: NOW, again })
    }

    fn away() -> Result<Dequeued, Error> {
        Err(Error::new(windlass_core::ErrorKind::Unavailable, "away"))
    }

    fn at(micros: i64) -> Again {
        Again::At(Timestamp::from_micros(micros))
    }

    #[test]
    fn what_is_missing_is_divided_among_shards_that_may_have_it() {
        let mut round = round(10, [1, 2, 3]);
        round.note(0, answer(3, Again::OnNotice));
        assert_eq!(round.shares(), Some(vec![(1, 3), (2, 2), (3, 2)]));
        // One gave all it was asked for, and may have more.
        round.note(1, answer(3, Again::Now));
        round.note(2, answer(0, at(5_000)));
        round.note(3, answer(1, at(4_000)));
        assert_eq!(round.shares(), Some(vec![(1, 3)]));
        round.note(1, answer(2, Again::OnNotice));
        assert_eq!(round.shares(), None);
        let whole = round.end().unwrap();
        assert_eq!((whole.jobs.len(), whole.again), (9, at(4_000)));
    }

    #[test]
    fn no_more_shards_are_asked_than_jobs_are_missing() {
        let mut round = round(2, 1..64);
        round.note(0, answer(0, Again::OnNotice));
        assert_eq!(round.shares(), Some(vec![(1, 1), (2, 1)]));
        round.note(1, answer(1, Again::Now));
        round.note(2, answer(1, Again::OnNotice));
        assert_eq!(round.shares(), None);
        assert_eq!(round.end().unwrap().again, Again::Now, "some were not asked");
    }

    #[test]
    fn a_call_that_is_full_stops_and_says_now_unless_there_can_be_no_more() {
        let mut full = round(2, [1]);
        full.note(0, answer(2, Again::Now));
        assert_eq!(full.shares(), None);
        assert_eq!(full.end().unwrap().again, Again::Now);
        let mut last = round(2, [1]);
        last.note(0, answer(1, Again::OnNotice));
        assert_eq!(last.shares(), Some(vec![(1, 1)]));
        last.note(1, answer(1, Again::OnNotice));
        assert_eq!(last.end().unwrap().again, Again::OnNotice);
    }

    #[test]
    fn shards_that_have_come_since_are_asked_too() {
        let mut round = round(5, [0]);
        assert_eq!(round.first(), Some((0, 5)));
        round.note(0, answer(1, Again::OnNotice));
        assert_eq!(round.shares(), None);
        round.grow(3);
        round.grow(3);
        round.grow(1);
        assert_eq!(round.shares(), Some(vec![(1, 2), (2, 2)]));
    }

    #[test]
    fn a_shard_that_is_away_holds_up_its_own_jobs_only() {
        let mut some = round(5, [1]);
        some.note(0, away());
        assert_eq!(some.shares(), Some(vec![(1, 5)]));
        some.note(1, answer(2, Again::OnNotice));
        let whole = some.end().unwrap();
        assert_eq!((whole.jobs.len(), whole.again), (2, Again::Now));
        let mut none = round(5, [1]);
        none.note(0, answer(0, Again::OnNotice));
        none.note(1, away());
        assert_eq!(none.end().unwrap_err().kind(), windlass_core::ErrorKind::Unavailable);
    }

    #[test]
    fn shards_that_do_not_answer_are_asked_again_in_a_while() {
        let mut some = round(2, [1]);
        some.note(0, answer(0, Again::OnNotice));
        some.skip();
        some.left.clear();
        assert_eq!(some.end().unwrap().again, Again::At(NOW.after(GRACE)));
        let mut none = round(2, []);
        none.skip();
        assert_eq!(none.end().unwrap_err().kind(), ErrorKind::Unavailable);
    }

    #[test]
    fn jobs_of_several_shards_come_in_the_order_of_the_queue_and_marked() {
        let mut round = round(5, [3]);
        let ranked = |n: u8, base: i64| Job {
            order: OrderRule { base, ..OrderRule::default() },
            ..job(n, State::Active)
        };
        let with = |jobs| answer(0, Again::OnNotice).map(|answer| Dequeued { jobs, ..answer });
        round.note(0, with(vec![ranked(1, 1), ranked(2, 4)]));
        round.note(3, with(vec![ranked(3, 0), ranked(4, 2)]));
        let jobs = round.end().unwrap().jobs;
        let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
        assert_eq!(ids, [3, 1, 4, 2].map(|n| job(n, State::Active).id));
        let shards: Vec<u32> = jobs.iter().map(|job| shards::own_of(job.version).0).collect();
        assert_eq!(shards, [3, 0, 3, 0]);
        for job in &jobs {
            let of_token = shards::own_of(job.lease.unwrap().token.0).0;
            assert_eq!(of_token, shards::own_of(job.version).0);
            assert_eq!(job.queue.as_str(), "q");
        }
    }
}
