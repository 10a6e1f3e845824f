//! What few jobs have: their labels, and what no query asks for.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use windlass_core::model::{
    DedupKey, DedupRecord, FlowId, Job, JobKey, JobRef, NewJob, OrderMode, Tag, Timestamp,
};

/// What few jobs have and no query asks for. Stored as JSON; an absent field is
/// an absent thing.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Rare {
    /// The base of an order key that hides it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) aged_base: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<JobKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dedup: Option<DedupKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) held_until: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) latest: Option<Timestamp>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tags: Vec<Tag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) flow: Option<FlowId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<JobRef>,
}

impl Rare {
    /// What a new job has of it.
    pub(crate) fn of(job: &NewJob, now: Timestamp) -> Self {
        let dedup = job.dedup.as_ref();
        Self {
            aged_base: (job.order.mode == OrderMode::Aged).then_some(job.order.base),
            key: job.key.clone(),
            dedup: dedup.map(|dedup| dedup.key.clone()),
            held_until: dedup.and_then(|dedup| dedup.hold).map(|hold| now.after(hold)),
            latest: dedup.and_then(|dedup| dedup.latest).map(|latest| now.after(latest)),
            tags: job.tags.clone(),
            flow: job.flow,
            parent: job.parent.as_ref().map(|parent| parent.job.clone()),
        }
    }

    /// Its deduplication key and what came with it.
    pub(crate) fn dedup_record(&self) -> Option<DedupRecord> {
        self.dedup.as_ref().map(|key| DedupRecord {
            key: key.clone(),
            held_until: self.held_until,
            latest: self.latest,
        })
    }
}

/// By what a job can be searched for. The number of each kind is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "i64")]
pub(crate) enum Kind {
    Tag = 1,
    Partition = 2,
    Dedup = 3,
    Flow = 4,
    Parent = 5,
}

impl From<Kind> for i64 {
    fn from(kind: Kind) -> Self {
        kind as Self
    }
}

/// A label: its kind and its text.
pub(crate) type Label<'j> = (Kind, Cow<'j, str>);

/// The label of a flow.
pub(crate) fn flow_label(flow: FlowId) -> Label<'static> {
    (Kind::Flow, Cow::Owned(flow.to_string()))
}

/// The label of the children of a job.
pub(crate) fn parent_label(parent: &JobRef) -> Label<'static> {
    (Kind::Parent, Cow::Owned(format!("{}/{}", parent.queue, parent.id)))
}

/// The labels of a new job.
pub(crate) fn labels_of_new(job: &NewJob) -> Vec<Label<'_>> {
    labels(
        &job.tags,
        job.partition.as_ref().map(|key| key.as_str()),
        job.dedup.as_ref().map(|dedup| dedup.key.as_str()),
        job.flow,
        job.parent.as_ref().map(|parent| &parent.job),
    )
}

/// The labels of a stored job.
pub(crate) fn labels_of(job: &Job) -> Vec<Label<'_>> {
    labels(
        &job.tags,
        job.partition.as_ref().map(|key| key.as_str()),
        job.dedup.as_ref().map(|dedup| dedup.key.as_str()),
        job.flow,
        job.parent.as_ref(),
    )
}

fn labels<'j>(
    tags: &'j [Tag],
    partition: Option<&'j str>,
    dedup: Option<&'j str>,
    flow: Option<FlowId>,
    parent: Option<&'j JobRef>,
) -> Vec<Label<'j>> {
    let text = |kind| move |text: &'j str| (kind, Cow::Borrowed(text));
    let mut labels: Vec<Label<'j>> =
        tags.iter().map(|tag| (Kind::Tag, Cow::Borrowed(tag.as_str()))).collect();
    labels.extend(partition.map(text(Kind::Partition)));
    labels.extend(dedup.map(text(Kind::Dedup)));
    labels.extend(flow.map(flow_label));
    labels.extend(parent.map(parent_label));
    labels
}
