//! Processes that die between two steps of what concerns several masters (F36): the
//! sweep completes what they have begun, once.
//!
//! Such a process is a call whose future is dropped: what it has sent still happens, and
//! nothing that would have followed does. Each test drops its call after one poll more
//! than before, until the call comes to its end.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use windlass_core::Backend;
use windlass_core::backend::{
    BackendExt, Clean, CleanWhich, EnqueueAnswer, Enqueued, Overdue, OverdueQuery,
};
use windlass_core::decide::{Outcome, overdue};
use windlass_core::model::{Filter, Job, JobId, NewJob, QueueSpec, State};

use crate::cancelled::give_up_after;
use crate::cluster::Spread;
use crate::fixture::*;

/// How often each job was leased.
type Ran = HashMap<JobId, usize>;

impl Spread {
    async fn overdue(&self, what: Overdue) -> Vec<Job> {
        let mut found = Vec::new();
        for queue in &self.queues {
            let mut after = None;
            loop {
                let query = OverdueQuery { queue: queue.clone(), what, after, limit: 100 };
                let page = self.backend.overdue(query).await.unwrap();
                found.extend(page.jobs);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        found
    }

    /// What a keeper does, and then what workers do. Answers whether every job has
    /// ended.
    async fn keep_and_work(&self, ran: &mut Ran) -> bool {
        self.backend.release(self.overdue(Overdue::Unblocked).await).await.unwrap();
        let now = self.clock.now();
        for job in self.overdue(Overdue::LostLeases).await {
            let spec = QueueSpec::new(job.queue.clone());
            let back = overdue(&job, &spec, Overdue::LostLeases, now);
            self.backend.apply_through(back.into_iter().collect()).await.unwrap();
        }
        for queue in &self.queues {
            for job in take_of(&self.backend, queue, 100).await {
                *ran.entry(job.id).or_default() += 1;
                self.backend.apply_through(vec![done(&job)]).await.unwrap();
            }
        }
        self.all_have_ended().await
    }

    async fn all_have_ended(&self) -> bool {
        for queue in &self.queues {
            let stats = self.backend.stats(queue).await.unwrap();
            let live = State::ALL.into_iter().filter(|state| !state.is_terminal());
            if live.map(|state| stats.count(state)).sum::<u64>() > 0 {
                return false;
            }
        }
        true
    }

    /// Goes on until every job has ended. What a batch that was never stored whole has
    /// left is settled after an hour.
    async fn settle(&self) -> Ran {
        let mut ran = Ran::new();
        let end = tokio::time::Instant::now() + PATIENCE;
        for _ in 0..5 {
            self.keep_and_work(&mut ran).await;
        }
        self.clock.advance(Duration::from_secs(2 * 3600));
        while !self.keep_and_work(&mut ran).await {
            let seen = list(&self.backend, Filter::default()).await;
            assert!(tokio::time::Instant::now() < end, "these never end: {seen:?}");
        }
        ran
    }

    async fn stored(&self, job: &NewJob) -> Option<Job> {
        self.backend.job(&reference(job)).await.unwrap().map(|seen| seen.job)
    }

    /// Removes every job: all have ended, and nobody will ever wait for one.
    async fn clear(&self) {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            for queue in &self.queues {
                for state in State::ALL.into_iter().filter(|state| state.is_terminal()) {
                    let which = CleanWhich::OlderThan(Duration::ZERO);
                    let clean = Clean { queue: queue.clone(), state, which, limit: 1000 };
                    self.backend.clean(clean).await.unwrap();
                }
            }
            let left = list(&self.backend, Filter::default()).await;
            if left.is_empty() {
                return;
            }
            assert!(tokio::time::Instant::now() < end, "these are never cleaned: {left:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enqueue_over_three_masters_that_dies_anywhere_blocks_nobody_for_ever() {
    let s = Spread::new().await;
    let [a, b, c] = &s.queues;
    let (mut polls, mut in_part, mut cancelled) = (0, 0, 0);
    loop {
        let (open, ended) = (new_job_in(a, request()), new_job_in(b, request()));
        enqueue(&s.backend, vec![ended.clone()]).await;
        apply(&s.backend, take_of(&s.backend, b, 10).await.iter().map(done).collect()).await;
        enqueue(&s.backend, vec![open.clone()]).await;
        // Those that wait for others are stored first.
        let first = new_job_in(a, request());
        let middle = waiting_for(b, &[&first, &open]);
        let last = waiting_for(c, &[&first, &middle, &ended]);
        let free = waiting_for(c, &[&ended]);
        let batch = [&last, &free, &middle, &first];
        let call = s.backend.enqueue(batch.map(Clone::clone).to_vec());
        let answer = give_up_after(polls, call).await;

        let ran = s.settle().await;
        let mut stored: HashSet<JobId> = HashSet::new();
        for job in batch {
            stored.extend(s.stored(job).await.map(|found| found.id));
        }
        in_part += usize::from(!stored.is_empty() && stored.len() < batch.len());
        let is_there = |id: JobId| stored.contains(&id) || id == open.id || id == ended.id;
        for job in batch {
            let Some(found) = s.stored(job).await else {
                assert_eq!(ran.get(&job.id), None, "what is not stored does not run");
                continue;
            };
            // Whoever waits for what was never stored, or was cancelled, is cancelled.
            let mut needs = job.depends_on.iter();
            let is_whole =
                needs.all(|need| is_there(need.id) && (need.id != middle.id || is_there(first.id)));
            let expected = if is_whole { State::Completed } else { State::Cancelled };
            assert_eq!(found.state, expected, "after {polls} polls: {found:?}");
            let times = usize::from(is_whole);
            assert_eq!(ran.get(&job.id).copied().unwrap_or(0), times, "after {polls} polls");
            cancelled += usize::from(!is_whole);
        }
        assert_eq!(ran.get(&open.id), Some(&1));
        s.clear().await;
        if let Some(answer) = answer {
            answer.unwrap();
            assert_eq!(stored.len(), batch.len());
            break;
        }
        polls += 1;
    }
    assert!(in_part > 0, "no batch was stored in part");
    eprintln!(
        "an enqueue dropped after 0 to {} polls: {in_part} stored in part, {cancelled} dependents \
         of what was never stored cancelled, blocked for ever 0, run twice 0, kept for ever 0",
        polls - 1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enqueue_that_died_anywhere_and_is_made_again_is_whole() {
    let s = Spread::new().await;
    let [a, b, c] = &s.queues;
    let (mut polls, mut in_part) = (0, 0);
    loop {
        let open = new_job_in(a, request());
        enqueue(&s.backend, vec![open.clone()]).await;
        let first = new_job_in(a, request());
        let middle = waiting_for(b, &[&first, &open]);
        let last = waiting_for(c, &[&first, &middle]);
        let batch = vec![last, middle, first];
        let answer = give_up_after(polls, s.backend.enqueue(batch.clone())).await;
        let mut ran = Ran::new();
        if polls % 2 == 1 {
            // A keeper and a worker are there in between.
            s.keep_and_work(&mut ran).await;
        }
        match s.backend.enqueue(batch.clone()).await.unwrap() {
            EnqueueAnswer::Stored { outcomes, unblocked, .. } => {
                let fresh = outcomes.iter().filter(|one| **one == Enqueued::Stored).count();
                in_part += usize::from(fresh > 0 && fresh < batch.len());
                s.backend.release(unblocked).await.unwrap();
            }
            refused => panic!("after {polls} polls: {refused:?}"),
        }
        let end = tokio::time::Instant::now() + PATIENCE;
        while !s.keep_and_work(&mut ran).await {
            let seen = list(&s.backend, Filter::default()).await;
            assert!(tokio::time::Instant::now() < end, "after {polls} polls: {seen:?}");
        }
        for job in &batch {
            let found = s.stored(job).await.expect("it is stored");
            assert_eq!(found.state, State::Completed, "after {polls} polls: {found:?}");
            assert_eq!(ran.get(&job.id), Some(&1), "after {polls} polls");
        }
        s.clock.advance(Duration::from_secs(2 * 3600));
        s.clear().await;
        if answer.is_some() {
            break;
        }
        polls += 1;
    }
    eprintln!(
        "an enqueue dropped after 0 to {} polls and made again: {in_part} stored in part at first, \
         all run once in the end",
        polls - 1
    );
}

async fn a_completion_dies_anywhere(outcome: Outcome, expected: State) {
    let s = Spread::new().await;
    let [a, b, c] = &s.queues;
    let mut polls = 0;
    loop {
        let need = new_job_in(a, request());
        // Nothing else happens in its queue that would tell them.
        let dependents =
            [waiting_for(b, &[&need]), waiting_for(c, &[&need]), waiting_for(b, &[&need])];
        let behind = waiting_for(c, &[&dependents[0], &dependents[1]]);
        enqueue(&s.backend, vec![need.clone()]).await;
        let leased = take_of(&s.backend, a, 10).await.remove(0);
        let mut batch = dependents.to_vec();
        batch.push(behind.clone());
        enqueue(&s.backend, batch.clone()).await;
        // It is decided about the job as it is now that others wait for it.
        let leased = look(&s.backend, &leased.reference()).await;
        let ends = vec![settle(&leased, outcome.clone())];
        let answer = give_up_after(polls, s.backend.apply_through(ends)).await;
        let ran = s.settle().await;
        // One whose end was never sent is taken over, and completes.
        let end = s.stored(&need).await.expect("it is kept").state;
        let expected = if polls == 0 { State::Completed } else { expected };
        assert_eq!(end, expected);
        for job in &batch {
            let found = s.stored(job).await.expect("it is kept");
            assert_eq!(found.state, expected, "after {polls} polls: {found:?}");
            let times = usize::from(expected == State::Completed);
            assert_eq!(ran.get(&job.id).copied().unwrap_or(0), times, "after {polls} polls");
        }
        s.clear().await;
        if let Some(answer) = answer {
            answer.unwrap();
            break;
        }
        polls += 1;
    }
    assert!(polls > 3, "it takes several steps");
    eprintln!(
        "the end of a job ({expected}) dropped after 0 to {} polls: blocked for ever 0, run twice 0, \
         kept for ever 0",
        polls - 1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_completion_that_dies_anywhere_lets_every_dependent_go_once() {
    a_completion_dies_anywhere(Outcome::Success { result: None }, State::Completed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancellation_that_dies_anywhere_cancels_every_dependent() {
    a_completion_dies_anywhere(Outcome::Cancelled, State::Cancelled).await;
}
