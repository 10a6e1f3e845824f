//! Which shard of a queue a job belongs to, and what a shard is declared to be.
//!
//! A store that is many machines keeps a queue whole on one of them. To spread
//! one that is declared with several shards ([`QueueSpec`]) it keeps several
//! queues instead, each with a name that nobody can give ([`name`]): the first
//! has the queue's own name, so that a queue which was never spread is its own
//! first shard. What has to be the same in every process and for as long as
//! jobs are stored is decided here, and must never change.
//!
//! **Where a job belongs** ([`of_job`]). Its key (partition key, else
//! deduplication key, else id) is hashed to 64 bits by FNV-1a (Fowler, Noll, Vo
//! 1991), scattered by the finaliser of SplitMix64 (Steele, Lea, Flood
//! 2014), and brought to a shard by jump consistent hashing (Lamping, Veach
//! 2014), which moves as few keys as possible when the number of shards changes.
//!
//! **How a job that was seen is found again.** A shard counts versions and
//! tokens by itself, in 48 bits. To the outside the bits above carry the number
//! of the shard ([`seen_as`]): so a guard says by itself where it is to be
//! compared, opens nothing in another shard, and no map of jobs to shards is
//! needed.

use serde::{Deserialize, Serialize};

use crate::model::{
    DedupKey, InvalidName, JobId, Limits, MAX_SHARDS, NewJob, PartitionKey, QueueName, QueueSpec,
    Rate,
};

/// What stands between the name of a queue and the number of a shard: no name
/// that a caller may give contains it.
const MARK: char = '/';

/// How many bits of a version, or a token, are a shard's own.
const OWN_BITS: u32 = 48;

/// The name under which a store keeps a shard. The first one is the queue
/// itself.
#[must_use]
pub fn name(queue: &QueueName, shard: u32) -> QueueName {
    match shard {
        0 => queue.clone(),
        _ => QueueName::internal(format!("{queue}{MARK}{shard}")),
    }
}

/// The queue and the number of a shard, of a name under which it is kept;
/// nothing if that is the queue's own.
#[must_use]
pub fn split_name(name: &QueueName) -> Option<(QueueName, u32)> {
    let (queue, shard) = name.as_str().rsplit_once(MARK)?;
    Some((QueueName::internal(queue), shard.parse().ok()?))
}

/// The queue that a name belongs to, as the caller knows it.
#[must_use]
pub fn queue_of(name: &QueueName) -> QueueName {
    split_name(name).map_or_else(|| name.clone(), |(queue, _)| queue)
}

/// Reads a name that a store has kept: that of a queue, or of a shard.
///
/// # Errors
/// [`InvalidName`] if it is neither.
pub fn read_name(text: &str) -> Result<QueueName, InvalidName> {
    match text.rsplit_once(MARK) {
        Some((queue, shard)) => match shard.parse::<u32>() {
            Ok(1..MAX_SHARDS) if !shard.starts_with(['0', '+']) => {
                QueueName::new(queue).map(|_| QueueName::internal(text))
            }
            _ => QueueName::new(text),
        },
        None => QueueName::new(text),
    }
}

/// Which of so many shards a new job belongs to.
#[must_use]
pub fn of_job(job: &NewJob, shards: u32) -> u32 {
    let dedup = job.dedup.as_ref().map(|dedup| &dedup.key);
    of_keys(job.partition.as_ref(), dedup, job.id, shards)
}

/// Which of so many shards a job with these keys belongs to.
#[must_use]
pub fn of_keys(
    partition: Option<&PartitionKey>,
    dedup: Option<&DedupKey>,
    id: JobId,
    shards: u32,
) -> u32 {
    if shards <= 1 {
        return 0;
    }
    let hash = match (partition, dedup) {
        (Some(key), _) => fnv_1a(key.as_str().as_bytes()),
        (None, Some(key)) => fnv_1a(key.as_str().as_bytes()),
        (None, None) => fnv_1a(id.as_bytes()),
    };
    jump(scattered(hash), shards.min(MAX_SHARDS))
}

const fn fnv_1a(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    hash
}

/// FNV leaves little of the last bytes in the upper bits, by which shards are
/// chosen.
const fn scattered(hash: u64) -> u64 {
    let mut x = hash;
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn jump(mut key: u64, shards: u32) -> u32 {
    let (mut shard, mut next) = (0, 0_u32);
    while next < shards {
        shard = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        // Both are exact: 31 bits, and less than 2^32 of a quotient that counts.
        let divisor = (key >> 33) + 1;
        let ahead = f64::from(shard + 1) * ((1_u64 << 31) as f64 / divisor as f64);
        next = if ahead >= f64::from(MAX_SHARDS) { MAX_SHARDS } else { ahead as u32 };
    }
    shard
}

/// A version or a token of a shard, as the outside sees it: larger ones of one
/// shard stay larger, those of the first stay as they are, and those of two
/// shards are never the same.
#[must_use]
pub const fn seen_as(shard: u32, own: u64) -> u64 {
    own | (shard as u64) << OWN_BITS
}

/// The shard that has given out a version or a token, and what it is there.
#[must_use]
pub const fn own_of(seen: u64) -> (u32, u64) {
    let shard = seen >> OWN_BITS;
    // More than there can be shards: nobody has given it out.
    if shard >= MAX_SHARDS as u64 {
        return (0, seen);
    }
    (shard as u32, seen & ((1 << OWN_BITS) - 1))
}

/// How many shards a declaration asks for, whatever it says.
#[must_use]
pub fn count(spec: &QueueSpec) -> u32 {
    spec.shards.clamp(1, MAX_SHARDS)
}

/// Over which shards the jobs of a queue are spread. Kept with the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// New jobs go to so many; 0 while the first ones are still made.
    pub live: u32,
    /// Jobs may stand in so many.
    pub all: u32,
    /// To how many new jobs went before: bit *n* − 1 stands for *n*.
    #[serde(default)]
    pub former: u64,
}

impl Default for Extent {
    fn default() -> Self {
        Self { live: 1, all: 1, former: 0 }
    }
}

impl Extent {
    /// Whether the queue is, and always was, one.
    #[must_use]
    pub fn is_one(&self) -> bool {
        self.all <= 1
    }

    /// What is kept as soon as so many shards are declared, where this was kept
    /// before. New ones get jobs only when all of them are there, former ones
    /// none from now on.
    #[must_use]
    pub fn begun(before: Option<Self>, shards: u32) -> Self {
        match before {
            Some(before) => before.with_live(before.live.min(shards)),
            None if shards <= 1 => Self::default(),
            None => Self { live: 0, ..Self::default() },
        }
    }

    /// What is kept once so many shards are there. Former ones are never
    /// forgotten: jobs may stand there, or be on their way from a process that
    /// has yet to hear of the change.
    #[must_use]
    pub fn declared(self, shards: u32) -> Self {
        Self { all: self.all.max(shards), ..self.with_live(shards) }
    }

    fn with_live(self, live: u32) -> Self {
        let former = match self.live {
            1..=MAX_SHARDS if self.live != live => self.former | 1 << (self.live - 1),
            _ => self.former,
        };
        Self { live, former, ..self }
    }

    /// The shards in which a job with the keys of this one may stand from before
    /// the number was changed, apart from the one that it belongs to. Empty for
    /// most: few keys move.
    #[must_use]
    pub fn formerly(&self, job: &NewJob) -> Vec<u32> {
        let now = of_job(job, self.live);
        let counts = (1..=MAX_SHARDS).filter(|count| self.former >> (count - 1) & 1 == 1);
        let mut shards: Vec<u32> = counts.map(|count| of_job(job, count)).collect();
        shards.retain(|shard| *shard != now);
        shards.sort_unstable();
        shards.dedup();
        shards
    }
}

/// What a shard of a queue is held to: its part of the queue's bounds. Those of
/// a partition stay whole, since a partition is in one shard.
///
/// The parts of the shards that get new jobs sum up to the whole exactly; a
/// former one runs a job at a time besides, so that whatever it still has comes
/// to its end. A bound of 0 is 0 everywhere.
#[must_use]
pub fn limits(spec: &QueueSpec, shard: u32) -> Limits {
    let shards = count(spec);
    let part = |whole: u32| match shard < shards {
        true => whole / shards + u32::from(shard < whole % shards),
        false => whole.min(1),
    };
    Limits {
        concurrency: spec.limits.concurrency.map(part),
        rate: spec.limits.rate.map(|rate| Rate { limit: part(rate.limit), ..rate }),
    }
}

/// How many of the newest jobs each shard keeps if the queue is to keep so many,
/// and they have so many: as evenly as can be, and all together exactly so
/// many, or all that there are.
#[must_use]
pub fn kept(jobs: &[u64], whole: u64) -> Vec<u64> {
    let mut kept = vec![0; jobs.len()];
    let mut left = whole;
    // The shards with the fewest first: what they cannot use is the others'.
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    order.sort_by_key(|shard| jobs[*shard]);
    for (at, shard) in order.iter().enumerate() {
        let others = (order.len() - at) as u64;
        kept[*shard] = jobs[*shard].min(left / others);
        left -= kept[*shard];
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::decide::samples::queue;

    fn id(n: u64) -> JobId {
        let mut bytes = [0; 16];
        bytes[8..].copy_from_slice(&n.to_be_bytes());
        JobId::from_bytes(bytes)
    }

    fn partition(text: &str) -> PartitionKey {
        PartitionKey::new(text).unwrap()
    }

    #[test]
    fn where_jobs_belong_never_changes() {
        // Stored jobs and other processes depend on these.
        let table = [
            ("a", [1, 1, 1, 57]),
            ("b", [0, 2, 3, 38]),
            ("user:1", [1, 1, 1, 1]),
            ("user:2", [0, 2, 2, 30]),
            ("é", [0, 0, 0, 15]),
        ];
        for (key, expected) in table {
            let found = [2, 3, 4, 64].map(|n| of_keys(Some(&partition(key)), None, id(0), n));
            assert_eq!(found, expected, "{key}");
        }
    }

    #[test]
    fn the_algorithms_are_the_published_ones() {
        // Test vectors of the authors of FNV.
        for (bytes, hash) in [
            (&b""[..], 0xcbf2_9ce4_8422_2325),
            (b"a", 0xaf63_dc4c_8601_ec8c),
            (b"foobar", 0x8594_4171_f739_67e8),
        ] {
            assert_eq!(fnv_1a(bytes), hash);
        }
        // The first outputs of SplitMix64 seeded with 0: its finaliser on
        // multiples of its step.
        let step = 0x9e37_79b9_7f4a_7c15_u64;
        assert_eq!(scattered(step), 0xe220_a839_7b1d_cdaf);
        assert_eq!(scattered(step.wrapping_mul(2)), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn partition_goes_before_deduplication_key_and_that_before_the_id() {
        let (p, d) = (partition("user:1"), DedupKey::new("user:1").unwrap());
        let other = DedupKey::new("b").unwrap();
        let by_partition = of_keys(Some(&p), None, id(1), 64);
        assert_eq!(of_keys(Some(&p), Some(&other), id(2), 64), by_partition);
        assert_eq!(of_keys(None, Some(&d), id(3), 64), by_partition, "the same text");
        let shards: Vec<u32> = (0..9).map(|n| of_keys(None, None, id(n), 64)).collect();
        assert!(shards.iter().any(|shard| *shard != shards[0]), "{shards:?}");
        assert_eq!(of_keys(Some(&p), Some(&d), id(4), 1), 0);
        assert_eq!(of_keys(Some(&p), Some(&d), id(4), 0), 0);
    }

    #[test]
    fn jobs_are_spread_evenly_and_few_move_when_a_shard_is_added() {
        const JOBS: u64 = 20_000;
        for shards in [2, 3, 4, 7, 16, 63] {
            let mut counts = vec![0_u64; shards as usize];
            let mut moved = 0;
            for n in 0..JOBS {
                let before = of_keys(None, None, id(n), shards);
                let after = of_keys(None, None, id(n), shards + 1);
                counts[before as usize] += 1;
                if after != before {
                    assert_eq!(after, shards, "a key moves to the new shard only");
                    moved += 1;
                }
            }
            let even = JOBS / u64::from(shards);
            for count in &counts {
                assert!(count.abs_diff(even) < even / 4 + 20, "{counts:?}");
            }
            let expected = JOBS / u64::from(shards + 1);
            assert!(u64::abs_diff(moved, expected) < expected / 4 + 20, "{moved} of {expected}");
        }
    }

    #[test]
    fn names_of_shards_are_nobodys_and_read_back() {
        let queue = QueueName::new("mail").unwrap();
        assert_eq!(name(&queue, 0), queue);
        assert_eq!(split_name(&queue), None);
        for shard in 1..MAX_SHARDS {
            let kept = name(&queue, shard);
            assert!(QueueName::new(kept.as_str()).is_err(), "{kept}");
            assert_eq!(split_name(&kept), Some((queue.clone(), shard)));
            assert_eq!(queue_of(&kept), queue);
            assert_eq!(read_name(kept.as_str()).unwrap(), kept);
        }
        assert_eq!(read_name("mail").unwrap(), queue);
        for bad in ["mail/0", "mail/64", "mail/01", "mail/+1", "mail/", "/1", "a b/1", "a/1/1", ""]
        {
            assert!(read_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn versions_and_tokens_carry_their_shard() {
        let most = (1_u64 << OWN_BITS) - 1;
        for own in [0, 1, 77, most] {
            assert_eq!(seen_as(0, own), own, "those of a queue that is one stay as they are");
            for shard in [0, 1, 63] {
                assert_eq!(own_of(seen_as(shard, own)), (shard, own));
                assert!(own == most || seen_as(shard, own + 1) == seen_as(shard, own) + 1);
            }
        }
        assert_eq!(own_of(u64::MAX), (0, u64::MAX), "nobody has given it out");
    }

    #[test]
    fn parts_of_a_bound_sum_up_to_it() {
        for shards in 1..=MAX_SHARDS {
            for whole in [0, 1, 2, 63, 64, 65, 1000, u32::MAX] {
                let rate = Rate { limit: whole, period: Duration::from_secs(9) };
                let spec = QueueSpec {
                    shards,
                    limits: Limits { concurrency: Some(whole), rate: Some(rate) },
                    ..QueueSpec::new(queue())
                };
                let parts: Vec<Limits> = (0..shards).map(|shard| limits(&spec, shard)).collect();
                let sum: u64 = parts.iter().map(|part| u64::from(part.concurrency.unwrap())).sum();
                assert_eq!(sum, u64::from(whole));
                let starts: u64 =
                    parts.iter().map(|part| u64::from(part.rate.unwrap().limit)).sum();
                assert_eq!(starts, u64::from(whole));
                assert!(parts.iter().all(|part| part.rate.unwrap().period == rate.period));
                let (least, most) = (parts.last().unwrap(), &parts[0]);
                assert!(most.concurrency.unwrap() - least.concurrency.unwrap() <= 1);
                let former = limits(&spec, shards);
                assert_eq!(former.concurrency, Some(whole.min(1)), "so that it comes to its end");
            }
        }
        let none = QueueSpec { shards: 4, ..QueueSpec::new(queue()) };
        assert_eq!(limits(&none, 3), Limits::default());
        assert_eq!(limits(&QueueSpec { shards: 1, ..none }, 0), Limits::default());
    }

    #[test]
    fn new_shards_get_jobs_when_they_are_there_and_former_ones_are_kept() {
        let one = Extent::default();
        assert!(one.is_one() && one.declared(1) == one);
        assert_eq!(Extent::begun(None, 1), one);
        assert_eq!(Extent::begun(Some(one), 4), one);
        let extent = |live, all, counts: &[u32]| {
            let former = counts.iter().fold(0, |bits, count| bits | 1 << (count - 1));
            Extent { live, all, former }
        };
        // One that is new has no past.
        let new = Extent::begun(None, 4);
        assert_eq!(new, extent(0, 1, &[]));
        assert!(new.is_one());
        assert_eq!(new.declared(4), extent(4, 4, &[]));
        let four = one.declared(4);
        assert_eq!(four, extent(4, 4, &[1]));
        assert_eq!(Extent::begun(Some(four), 2), extent(2, 4, &[1, 4]));
        let two = Extent::begun(Some(four), 2).declared(2);
        assert_eq!(two, extent(2, 4, &[1, 4]));
        assert_eq!(Extent::begun(Some(two), 8), two);
        assert_eq!(two.declared(64), extent(64, 64, &[1, 2, 4]));
        assert_eq!(two.declared(64).declared(1), extent(1, 64, &[1, 2, 4, 64]));
        assert!(!four.declared(1).is_one());
    }

    #[test]
    fn keys_that_have_moved_are_looked_for_where_they_were() {
        let spec = QueueSpec { partitions: Some(Default::default()), ..QueueSpec::new(queue()) };
        let job = |key: &str| {
            let request = crate::decide::JobRequest {
                partition: Some(partition(key)),
                ..crate::decide::JobRequest::new(
                    id(1),
                    crate::model::JobType::new("t").unwrap(),
                    crate::model::Payload::from("p"),
                )
            };
            crate::decide::enqueue(&spec, request).unwrap()
        };
        // Where these belong is in the table above.
        let changed = Extent::default().declared(2).declared(3).declared(64);
        assert_eq!(changed.formerly(&job("a")), [0, 1]);
        assert_eq!(changed.formerly(&job("b")), [0, 2]);
        assert_eq!(changed.formerly(&job("user:1")), [0]);
        assert_eq!(Extent::begun(None, 64).declared(64).formerly(&job("a")), [] as [u32; 0]);
        assert_eq!(Extent::default().formerly(&job("a")), [] as [u32; 0]);
    }

    #[test]
    fn what_is_kept_by_count_is_divided_evenly_and_exactly() {
        for (jobs, whole, expected) in [
            (&[5, 5, 5, 5][..], 8, vec![2, 2, 2, 2]),
            (&[0, 9, 1, 9], 9, vec![0, 4, 1, 4]),
            (&[0, 9, 1, 9], 10, vec![0, 5, 1, 4]),
            (&[1, 2, 3], 9, vec![1, 2, 3]),
            (&[1, 2, 3], 0, vec![0, 0, 0]),
            (&[7], 3, vec![3]),
            (&[], 3, vec![]),
        ] {
            let mut found = kept(jobs, whole);
            assert_eq!(found.iter().sum::<u64>(), whole.min(jobs.iter().sum()), "{jobs:?}");
            let mut expected = expected;
            // Which of two equal shards keeps the odd one is the same to anybody.
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!(found, expected, "{jobs:?} {whole}");
        }
    }
}
