//! Waiting for jobs to end, by one subscription for all of them.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;
use windlass_core::model::{Interest, Job as JobRecord, JobId, JobRef, Notice};

use crate::client::Client;
use crate::error::{Error, Result};

/// How often a waiting caller looks by itself: first soon, then less and less
/// often. Notices make it look at once; it does not depend on them (rule Q6).
const FIRST_LOOK: Duration = Duration::from_millis(20);
const LAST_LOOK: Duration = Duration::from_secs(1);

/// How many jobs are looked at side by side.
const AT_ONCE: usize = 32;

/// What ends the waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// All of the jobs have ended.
    All,
    /// One of them has.
    One,
}

/// Waits until jobs have ended, and answers with those that have: by their places in the
/// list. A store that is away for a while is waited for.
pub(crate) async fn wait(
    client: &Client,
    jobs: &[JobRef],
    until: Until,
) -> Result<HashMap<usize, JobRecord>> {
    let mut ended = HashMap::with_capacity(jobs.len());
    if jobs.is_empty() {
        return Ok(ended);
    }
    let mut notices = client.backend().watch(Interest::Jobs);
    let mut places: HashMap<JobId, Vec<usize>> = HashMap::new();
    for (place, job) in jobs.iter().enumerate() {
        places.entry(job.id).or_default().push(place);
    }
    // Many jobs are not looked at more often than one after the other takes.
    let many = Duration::from_millis(jobs.len() as u64 / 2);
    let (first_look, last_look) = (FIRST_LOOK.max(many), LAST_LOOK.max(many * 4));
    let (mut interval, mut look): (Duration, Vec<usize>) = (first_look, (0..jobs.len()).collect());
    let mut next_look = Instant::now() + interval;
    loop {
        see(client, jobs, &look, until, &mut ended).await?;
        match until {
            Until::One if !ended.is_empty() => return Ok(ended),
            Until::All if ended.len() == jobs.len() => return Ok(ended),
            _ => {}
        }
        if Instant::now() >= next_look {
            interval = (interval * 2).min(last_look);
            next_look = Instant::now() + interval;
        }
        look = loop {
            let notice = tokio::select! {
                () = tokio::time::sleep_until(next_look) => None,
                notice = notices.next() => Some(notice),
            };
            match notice {
                Some(Some(Notice::Job { job, .. })) => {
                    let open = |place: &usize| !ended.contains_key(place);
                    let named = places.get(&job.id).into_iter().flatten().copied();
                    let named: Vec<usize> = named.filter(open).collect();
                    if !named.is_empty() {
                        break named;
                    }
                }
                // Its own notices come too; those of its queue would make a busy one look
                // all the time.
                Some(Some(Notice::Queue(_))) => {}
                // Anything at all may be nothing to these jobs; a busy store says it all the
                // time.
                Some(Some(_)) => next_look = next_look.min(Instant::now() + first_look),
                // No more notices: the clock alone has to do.
                Some(None) => {
                    tokio::time::sleep_until(next_look).await;
                    break open_of(jobs, &ended);
                }
                None => break open_of(jobs, &ended),
            }
        };
    }
}

fn open_of(jobs: &[JobRef], ended: &HashMap<usize, JobRecord>) -> Vec<usize> {
    (0..jobs.len()).filter(|place| !ended.contains_key(place)).collect()
}

/// Looks at some of the jobs, and notes those that have ended.
async fn see(
    client: &Client,
    jobs: &[JobRef],
    places: &[usize],
    until: Until,
    ended: &mut HashMap<usize, JobRecord>,
) -> Result<()> {
    for part in places.chunks(AT_ONCE) {
        let look = |place: usize| async move { (place, client.job(&jobs[place]).await) };
        let mut looks: FuturesUnordered<_> = part.iter().copied().map(look).collect();
        while let Some((place, seen)) = looks.next().await {
            match seen {
                Ok(Some(job)) if job.state.is_terminal() => {
                    ended.insert(place, job);
                    if until == Until::One {
                        return Ok(());
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) => return Err(Error::Gone(jobs[place].id)),
                Err(error) if error.is_transient() => {
                    let (id, error) = (jobs[place].id, format!("{error:#}"));
                    tracing::warn!(error, job = %id, "waiting for the store");
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}
