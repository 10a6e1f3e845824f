//! Records of repeatables (rules S1, S2 and S6).

use windlass_core::backend::{
    PutRepeatable, Refusal, RepeatablePut, Repeatables, RepeatablesQuery,
};
use windlass_core::model::{NewJob, QueueName, RepeatableKey, RepeatableRecord, Timestamp};
use windlass_core::{Error, ErrorKind};

use super::encode::{NONE, moment, to_moment};
use super::enqueue::{arguments_of, read_refusal};
use super::queues::HasRepeatables;
use super::reply::Reply;
use super::{Arguments, Outcome, Place, Script, Store};
use crate::error::{damaged, unreadable};

impl Store {
    /// Looks at repeatables.
    pub(crate) async fn repeatables(&self, query: &RepeatablesQuery) -> Result<Repeatables, Error> {
        let now = self.now().await?;
        let mut records = Vec::new();
        let mut next_due = None;
        match query {
            RepeatablesQuery::One(queue, key) => {
                let mut reply = self.look(queue, "o", key.as_str()).await?;
                for (_, record) in read_records(&mut reply)? {
                    records.push(record?);
                }
            }
            RepeatablesQuery::OfQueue(queue) => {
                let mut reply = self.look(queue, "a", "").await?;
                for (_, record) in read_records(&mut reply)? {
                    records.push(record?);
                }
                records.sort_by(|a, b| a.spec.key.cmp(&b.spec.key));
            }
            RepeatablesQuery::Due(limit) => {
                let mut due = Vec::new();
                let mut following = Vec::new();
                for queue in self.names().await?.1 {
                    let mut reply = self.look(&queue, "d", &limit.to_string()).await?;
                    for (at, record) in read_records(&mut reply)? {
                        match record {
                            Ok(record) => due.push((at, record)),
                            // One that nobody can read must not keep the others from
                            // firing.
                            Err(error) => {
                                let error = format!("{error:#}");
                                tracing::error!(error, "a repeatable that cannot be read");
                            }
                        }
                    }
                    following.extend(reply.optional()?.map(|bytes| to_moment(&bytes)));
                }
                due.sort_by(|(a, x), (b, y)| {
                    (a, &x.spec.queue, &x.spec.key).cmp(&(b, &y.spec.queue, &y.spec.key))
                });
                let kept = due.len().min(*limit as usize);
                following.extend(due.iter().skip(kept).map(|(at, _)| *at));
                records.extend(due.into_iter().take(kept).map(|(_, record)| record));
                next_due = following.into_iter().min();
            }
        }
        Ok(Repeatables { records, next_due, now })
    }

    async fn look(&self, queue: &QueueName, what: &str, which: &str) -> Result<Reply, Error> {
        let mut arguments = Arguments::default();
        arguments.add(what).add(which);
        let place = Place::Queue(queue);
        let mut reply = self.call(place, Script::ReadRepeatables, arguments).await?;
        reply.moment()?;
        Ok(reply)
    }

    /// Stores a record under its guard, and the jobs that it fired, in one step.
    pub(crate) async fn put_repeatable(&self, put: PutRepeatable) -> Result<RepeatablePut, Error> {
        let spec = &put.record.spec;
        let queue = &spec.queue;
        if let Some(job) = put.jobs.iter().find(|job| job.queue != *queue) {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("a repeatable of queue {queue:?} cannot fire a job of {:?}", job.queue),
            ));
        }
        let record =
            serde_json::to_vec(&put.record).map_err(|error| unreadable("a repeatable", &error))?;
        // Known before it is there, so that it is not overlooked.
        self.register(queue, HasRepeatables::Yes).await?;
        let mut arguments = Arguments::default();
        arguments
            .add(spec.key.as_str())
            .add(put.guard.map(|version| version.to_be_bytes().to_vec()).unwrap_or_default())
            .add(put.record.version.to_be_bytes())
            .add(put.record.due().map_or(NONE, moment))
            .add(record);
        let jobs: Vec<&NewJob> = put.jobs.iter().collect();
        for argument in arguments_of(&jobs, &[])?.bytes.iter() {
            arguments.add(argument.as_slice());
        }
        match self.ask(Place::Queue(queue), Script::PutRepeatable, arguments).await? {
            Outcome::Done(_) => Ok(RepeatablePut::Stored),
            Outcome::Unknown => Err(Error::unknown_queue(queue)),
            Outcome::Other(status, mut reply) if status == "stale" => {
                let stored = reply.optional()?.map(|bytes| read_record(&bytes)).transpose()?;
                Ok(RepeatablePut::Stale(stored.map(Box::new)))
            }
            Outcome::Other(_, mut reply) => {
                let (_, why): (usize, Refusal) = read_refusal(&mut reply, &jobs)?;
                Err(Error::new(ErrorKind::Invalid, why.to_string()))
            }
        }
    }

    /// Removes a repeatable and answers whether there was one.
    pub(crate) async fn remove_repeatable(
        &self,
        queue: &QueueName,
        key: &RepeatableKey,
    ) -> Result<bool, Error> {
        let mut arguments = Arguments::default();
        arguments.add(key.as_str());
        let place = Place::Queue(queue);
        Ok(self.call(place, Script::RemoveRepeatable, arguments).await?.number()? == 1)
    }
}

type Read = (Timestamp, Result<RepeatableRecord, Error>);

fn read_records(reply: &mut Reply) -> Result<Vec<Read>, Error> {
    let mut records = Vec::new();
    for bytes in reply.all_bytes()? {
        let (due, record) =
            bytes.split_at_checked(8).ok_or_else(|| damaged("a repeatable", "it is too short"))?;
        records.push((to_moment(due), read_record(record)));
    }
    Ok(records)
}

fn read_record(bytes: &[u8]) -> Result<RepeatableRecord, Error> {
    serde_json::from_slice(bytes).map_err(|error| unreadable("a repeatable", &error))
}
