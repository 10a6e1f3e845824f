//! Every query, by name. Each is a file of its own in `queries/`.

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};
use windlass_core::model::{Detail, Direction};

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
    Announce = "announce",
    Apply = "apply",
    Clean = "clean",
    Declare = "declare",
    DeleteRepeatable = "delete_repeatable",
    DeleteWorker = "delete_worker",
    Dequeue = "dequeue",
    Enqueue = "enqueue",
    EnqueueNew = "enqueue_new",
    EnqueuePlain = "enqueue_plain",
    Extend = "extend",
    FindJob = "find_job",
    FindQueue = "find_queue",
    FindRepeatable = "find_repeatable",
    FindSpec = "find_spec",
    InsertRepeatable = "insert_repeatable",
    ListById = "list_by_id",
    ListByLabel = "list_by_label",
    ListBySeq = "list_by_seq",
    ListByState = "list_by_state",
    ListDependencies = "list_dependencies",
    ListDependents = "list_dependents",
    ListDueRepeatables = "list_due_repeatables",
    ListExpired = "list_expired",
    ListQueues = "list_queues",
    ListRepeatables = "list_repeatables",
    ListSteps = "list_steps",
    ListUnblocked = "list_unblocked",
    ListWorkers = "list_workers",
    LostLeases = "lost_leases",
    Mend = "mend",
    Notify = "notify",
    PutWorker = "put_worker",
    QueueNames = "queue_names",
    ReadClock = "read_clock",
    ReadDeadRows = "read_dead_rows",
    ReadEncoding = "read_encoding",
    RecordSteps = "record_steps",
    SetPaused = "set_paused",
    Stats = "stats",
    UpdateRepeatable = "update_repeatable",
}

/// The texts of all queries for one schema.
#[derive(Debug)]
pub(crate) struct Queries {
    texts: Vec<[SqlStr; 4]>,
}

impl Queries {
    /// The queries for the schema of this name, which has been checked: it
    /// stands where the files say `windlass`.
    pub(crate) fn new(schema: &str) -> Self {
        let text = |file: &str, detail, direction| {
            AssertSqlSafe(in_schema(&expand(file, detail, direction), schema)).into_sql_str()
        };
        let texts = FILES
            .iter()
            .map(|(_, file)| {
                [
                    (Detail::Summary, Direction::OldestFirst),
                    (Detail::Summary, Direction::NewestFirst),
                    (Detail::Full, Direction::OldestFirst),
                    (Detail::Full, Direction::NewestFirst),
                ]
                .map(|(detail, direction)| text(file, detail, direction))
            })
            .collect();
        Self { texts }
    }

    /// The text of a query.
    pub(crate) fn get(&self, query: Query) -> SqlStr {
        self.listing(query, Detail::Summary, Direction::OldestFirst)
    }

    /// The text of a listing.
    pub(crate) fn listing(&self, query: Query, detail: Detail, direction: Direction) -> SqlStr {
        let variant = match (detail, direction) {
            (Detail::Summary, Direction::OldestFirst) => 0,
            (Detail::Summary, Direction::NewestFirst) => 1,
            (Detail::Full, Direction::OldestFirst) => 2,
            (Detail::Full, Direction::NewestFirst) => 3,
        };
        self.texts[query as usize][variant].clone()
    }

    /// Name and text of every query in all its variants.
    #[cfg(test)]
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, SqlStr)> {
        FILES
            .iter()
            .zip(&self.texts)
            .flat_map(|((name, _), texts)| texts.iter().map(move |text| (*name, text.clone())))
    }
}

/// A text with another schema in the place of `windlass`.
pub(crate) fn in_schema(text: &str, schema: &str) -> String {
    match schema {
        "windlass" => text.to_owned(),
        schema => text.replace("windlass.", &format!("{schema}.")),
    }
}

/// Puts in what listings share and differ in.
fn expand(text: &str, detail: Detail, direction: Direction) -> String {
    let view = match detail {
        Detail::Summary => "windlass.summaries",
        Detail::Full => "windlass.whole_jobs",
    };
    let direction = match direction {
        Direction::OldestFirst => "ASC",
        Direction::NewestFirst => "DESC",
    };
    text.replace("/*filter*/", FILTER.trim_end())
        .replace("windlass.summaries /*jobs*/", view)
        .replace("/*direction*/", direction)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_query_file_is_used_and_says_what_it_is_for() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/queries");
        let on_disk: BTreeSet<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        let used: BTreeSet<String> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(on_disk, used);
        for (name, text) in FILES {
            for word in ["-- In:", "-- Out:", "-- Why:"] {
                assert!(text.contains(word), "{name} does not say {word}");
            }
        }
    }

    #[test]
    fn another_schema_stands_wherever_ours_would() {
        for (name, text) in Queries::new("jobs_2").all() {
            assert!(!text.as_str().contains("windlass."), "{name}");
        }
    }
}
