//! Every query, by name. Each is a file of its own in `queries/`.

use rusqlite::{CachedStatement, Connection};

use crate::error::Outcome;

/// The columns of a job without its payload and result, in the order in which
/// [`record`](crate::record) reads them.
const JOB: &str = include_str!("../queries/include/job.sql");

/// The columns of a pending job with a place for its result and its payload, in
/// the same order: what a dequeue reads, from the job's own row alone.
const PENDING: &str = include_str!("../queries/include/pending.sql");

/// In which lane a job stands.
const LANE: &str = include_str!("../queries/include/lane.sql");

/// What says whether a job is active or has ended.
const BESIDE: &str = include_str!("../queries/include/beside.sql");

/// Which jobs a listing is about.
const FILTER: &str = include_str!("../queries/include/filter.sql");

macro_rules! queries {
    ($($name:ident = $file:literal,)*) => {
        /// A query.
        #[derive(Clone, Copy, Debug)]
        pub(crate) enum Query {
            $(#[doc = $file] $name,)*
        }

        /// Name and text of each, in the order of the enumeration. The
        /// variants are not named here, so that one which nothing uses is a
        /// warning.
        const FILES: &[(&str, &str)] = &[
            $(($file, include_str!(concat!("../queries/", $file, ".sql"))),)*
        ];
    };
}

queries! {
    AddHook = "add_hook",
    AddStarts = "add_starts",
    AddToCounter = "add_to_counter",
    AdmitNewJobs = "admit_new_jobs",
    CloseDependencies = "close_dependencies",
    CountDue = "count_due",
    CountEndedDependency = "count_ended_dependency",
    CountHeld = "count_held",
    DeleteAged = "delete_aged",
    DeleteDependencies = "delete_dependencies",
    DeleteEnd = "delete_end",
    DeleteExpiring = "delete_expiring",
    DeleteHolder = "delete_holder",
    DeleteJob = "delete_job",
    DeleteLabel = "delete_label",
    DeleteLease = "delete_lease",
    DeleteLeases = "delete_leases",
    DeleteLine = "delete_line",
    DeleteNewJobs = "delete_new_jobs",
    DeletePartition = "delete_partition",
    DeleteReady = "delete_ready",
    DeleteRepeatable = "delete_repeatable",
    DeleteSteps = "delete_steps",
    DeleteWorker = "delete_worker",
    DuePartitions = "due_partitions",
    DueWaitingPartitions = "due_waiting_partitions",
    EndLease = "end_lease",
    EndLeases = "end_leases",
    ExtendLease = "extend_lease",
    FindAnyTable = "find_any_table",
    FindDedup = "find_dedup",
    FindJob = "find_job",
    FindJobBySeq = "find_job_by_seq",
    FindLiveDependent = "find_live_dependent",
    FindMetaTable = "find_meta_table",
    FindQueue = "find_queue",
    FindQueueName = "find_queue_name",
    FindRepeatable = "find_repeatable",
    FindStep = "find_step",
    FindWholeJob = "find_whole_job",
    FirstBlockingLease = "first_blocking_lease",
    FirstInLane = "first_in_lane",
    FirstInLine = "first_in_line",
    FirstLease = "first_lease",
    FirstReady = "first_ready",
    FirstReadyPartition = "first_ready_partition",
    ForgetDedup = "forget_dedup",
    ForgetPartitionStarts = "forget_partition_starts",
    ForgetQueueStarts = "forget_queue_starts",
    ForgetWorkers = "forget_workers",
    FreeDedup = "free_dedup",
    HoldDedup = "hold_dedup",
    InsertAged = "insert_aged",
    InsertDependency = "insert_dependency",
    InsertEnd = "insert_end",
    InsertExpiring = "insert_expiring",
    InsertHolder = "insert_holder",
    InsertJob = "insert_job",
    InsertLabel = "insert_label",
    InsertLease = "insert_lease",
    InsertLeases = "insert_leases",
    InsertLine = "insert_line",
    InsertPlainJob = "insert_plain_job",
    InsertPlainJobs = "insert_plain_jobs",
    InsertQueue = "insert_queue",
    InsertReady = "insert_ready",
    InsertStep = "insert_step",
    LeaveLine = "leave_line",
    ListById = "list_by_id",
    ListByLabel = "list_by_label",
    ListByLane = "list_by_lane",
    ListBySeq = "list_by_seq",
    ListDependencies = "list_dependencies",
    ListDependents = "list_dependents",
    ListDueRepeatables = "list_due_repeatables",
    ListEnded = "list_ended",
    ListExpired = "list_expired",
    ListLines = "list_lines",
    ListLostLeases = "list_lost_leases",
    ListPending = "list_pending",
    ListQueues = "list_queues",
    ListRepeatables = "list_repeatables",
    ListSteps = "list_steps",
    ListUnblocked = "list_unblocked",
    ListWorkers = "list_workers",
    LockStore = "lock_store",
    MoveJob = "move_job",
    NextDue = "next_due",
    NextPartitionMoment = "next_partition_moment",
    NextReadyRank = "next_ready_rank",
    OldestAged = "oldest_aged",
    OpenDependents = "open_dependents",
    ParkJob = "park_job",
    PauseQueue = "pause_queue",
    ProbeJob = "probe_job",
    PutPartition = "put_partition",
    PutRepeatable = "put_repeatable",
    PutWorker = "put_worker",
    RaiseEnd = "raise_end",
    RaiseJob = "raise_job",
    RaiseLease = "raise_lease",
    ReadCounter = "read_counter",
    ReadCounters = "read_counters",
    ReadExpiring = "read_expiring",
    ReadJob = "read_job",
    ReadMeta = "read_meta",
    ReadNextSeq = "read_next_seq",
    ReadReady = "read_ready",
    ReadStarts = "read_starts",
    ReleaseDue = "release_due",
    ReleaseDueAged = "release_due_aged",
    ReleaseDueLines = "release_due_lines",
    ReleaseDueReady = "release_due_ready",
    TakeBackEnds = "take_back_ends",
    TakeDedup = "take_dedup",
    TakeReady = "take_ready",
    TellProgress = "tell_progress",
    TouchJob = "touch_job",
    UpdateQueue = "update_queue",
    WriteNextSeq = "write_next_seq",
    WriteSchema = "write_schema",
}

impl Query {
    /// The text, with shared fragments in place.
    pub(crate) fn sql(self) -> String {
        expand(FILES[self as usize].1)
    }

    /// The text of a listing that reads these columns in this direction.
    pub(crate) fn listing(self, columns: Columns, descending: bool) -> String {
        let columns = match columns {
            Columns::Summary => "/*job*/",
            Columns::Full => "/*job*/, windlass_ended.result, payload",
        };
        let direction = if descending { "DESC" } else { "ASC" };
        let text = FILES[self as usize]
            .1
            .replace("/*columns*/", columns)
            .replace("/*direction*/", direction);
        expand(&text)
    }
}

/// What a listing reads of each job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Columns {
    /// All but payload and result.
    Summary,
    /// Everything.
    Full,
}

/// How many rows a statement for several has.
pub(crate) const MANY: usize = 32;

fn expand(text: &str) -> String {
    let mut parts = text.split("/*many*/");
    let text = match (parts.next(), parts.next(), parts.next()) {
        (Some(before), Some(row), Some(after)) => {
            [before, &vec![row; MANY].join(", "), after].concat()
        }
        _ => text.to_owned(),
    };
    [
        ("/*job*/", JOB),
        ("/*pending*/", PENDING),
        ("/*beside*/", BESIDE),
        ("/*filter*/", FILTER),
        // Behind those in which it stands.
        ("/*lane*/", LANE),
    ]
    .into_iter()
    .fold(text, |text, (mark, fragment)| text.replace(mark, fragment.trim_end()))
}

/// The statements of one connection, each prepared when it is first used.
pub(crate) struct Statements<'c> {
    conn: &'c Connection,
    slots: Vec<Option<CachedStatement<'c>>>,
}

impl<'c> Statements<'c> {
    pub(crate) fn new(conn: &'c Connection) -> Self {
        let slots = std::iter::repeat_with(|| None).take(FILES.len()).collect();
        Self { conn, slots }
    }

    /// The statement of a query. Kept by number: looking it up by its text
    /// would cost more than running it.
    pub(crate) fn get(&mut self, query: Query) -> Outcome<&mut CachedStatement<'c>> {
        let slot = &mut self.slots[query as usize];
        match slot {
            Some(statement) => Ok(statement),
            None => Ok(slot.insert(self.conn.prepare_cached(&query.sql())?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::store::connection::{self, MIGRATIONS};

    #[test]
    fn every_query_file_is_used_and_prepares_on_a_real_database() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src/queries");
        let on_disk: BTreeSet<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "include")
            .collect();
        let known: BTreeSet<String> = FILES.iter().map(|(name, _)| format!("{name}.sql")).collect();
        assert_eq!(on_disk, known);

        let conn = Connection::open_in_memory().unwrap();
        connection::migrate_for_tests(&conn);
        for (name, text) in FILES {
            for part in ["-- In: ", "-- Out:", "-- Why:"] {
                assert!(text.contains(part), "{name} does not say {part}");
            }
            let text = text.replace("/*columns*/", "/*job*/");
            if let Err(error) = conn.prepare(&expand(&text)) {
                panic!("{name}: {error}");
            }
        }
    }

    #[test]
    fn no_query_decides_anything() {
        for (name, text) in FILES.iter().chain(MIGRATIONS) {
            for word in ["attempt", "backoff", "priority", "cron", "retry"] {
                assert!(!text.to_lowercase().contains(word), "{name} mentions {word}");
            }
        }
    }

    #[test]
    fn no_query_that_a_dequeue_or_a_sweep_runs_walks_through_a_table() {
        let conn = Connection::open_in_memory().unwrap();
        connection::migrate_for_tests(&conn);
        // The few that read a table of queues or workers as a whole.
        let whole = [
            "find_any_table",
            "find_meta_table",
            "forget_workers",
            "list_queues",
            "list_workers",
            "list_by_seq",
        ];
        // Those that say themselves that they sort a few.
        let sorts_few =
            ["list_by_lane", "list_by_id", "list_lost_leases", "list_pending", "list_workers"];
        for (name, text) in FILES.iter().filter(|(name, _)| !whole.contains(name)) {
            let text = expand(&text.replace("/*columns*/", "/*job*/"));
            let mut plan = conn.prepare(&format!("EXPLAIN QUERY PLAN {text}")).unwrap();
            let steps: Vec<String> =
                plan.raw_query().mapped(|row| row.get(3)).map(Result::unwrap).collect();
            for step in &steps {
                let walks = step.starts_with("SCAN windlass") && !step.contains("USING");
                // There are as many leases as workers have in hand.
                let walks = walks && step != "SCAN windlass_leases";
                let sorts = step.contains("TEMP B-TREE") && !sorts_few.contains(name);
                assert!(!walks && !sorts, "{name}: {steps:?}");
            }
        }
    }
}
