//! The cases, one file a subject. Each repeats the sentence it checks.

mod bounds;
mod clean;
mod control;
mod dedup;
mod dependencies;
mod enqueue;
mod events;
mod expiry;
mod flows;
mod lease;
mod limits;
mod listing;
mod notices;
mod oracle;
mod order;
mod outcome;
mod partitions;
mod queues;
mod races;
mod rate;
mod repeatable;
mod shards;
mod stats;
mod steps;
mod store;
mod takeover;
mod told;
mod workers;

use crate::harness::Case;

/// Every table of cases, in the order of a job's life.
pub(crate) const ALL: &[&[Case]] = &[
    store::CASES,
    queues::CASES,
    enqueue::CASES,
    dedup::CASES,
    order::CASES,
    lease::CASES,
    takeover::CASES,
    outcome::CASES,
    expiry::CASES,
    control::CASES,
    limits::CASES,
    rate::CASES,
    partitions::CASES,
    oracle::CASES,
    dependencies::CASES,
    flows::CASES,
    repeatable::CASES,
    clean::CASES,
    stats::CASES,
    listing::CASES,
    bounds::CASES,
    workers::CASES,
    steps::CASES,
    told::CASES,
    events::CASES,
    notices::CASES,
    shards::ALL[0],
    shards::ALL[1],
    shards::ALL[2],
    races::ALL[0],
    races::ALL[1],
    races::ALL[2],
    races::ALL[3],
];
