//! The scripts, put together from their files.
//!
//! A script says in its header which of the shared parts it is made with, and whether it
//! goes on when the server is full: those do that make room, or let work come to its end.
//! The keys it is given are those that it names as `K.…`: nothing else has to list them.

use std::sync::LazyLock;

use super::assemble::assemble;

/// Declares the scripts of the store.
macro_rules! scripts {
    ($($name:ident = $file:literal,)+) => {
        /// A script on the server.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Script {
            $($name,)+
        }

        impl Script {
            /// Every one.
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)+];

            /// Its own file.
            fn file(self) -> &'static str {
                match self {
                    $(Self::$name => include_str!(concat!("../scripts/", $file, ".lua")),)+
                }
            }

            /// What it is called.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $file,)+
                }
            }
        }
    };
}

scripts! {
    Apply = "apply",
    ApplyPlain = "apply_plain",
    Beat = "beat",
    Clean = "clean",
    CleanPending = "clean_pending",
    Clock = "clock",
    Declare = "declare",
    Dequeue = "dequeue",
    DequeuePlain = "dequeue_plain",
    Enqueue = "enqueue",
    EnqueuePlain = "enqueue_plain",
    Extend = "extend",
    Hear = "hear",
    Heard = "heard",
    Link = "link",
    LookAtQueue = "look_at_queue",
    Overdue = "overdue",
    Pause = "pause",
    Peek = "peek",
    PutRepeatable = "put_repeatable",
    ReadFormat = "read_format",
    ReadJobs = "read_jobs",
    ReadNeeders = "read_needers",
    ReadNeeds = "read_needs",
    ReadOutbox = "read_outbox",
    ReadRegistry = "read_registry",
    ReadRepeatables = "read_repeatables",
    ReadSteps = "read_steps",
    ReadWorkers = "read_workers",
    RecordSteps = "record_steps",
    Register = "register",
    RemoveRepeatable = "remove_repeatable",
    Scan = "scan",
    ScanLabel = "scan_label",
    Stats = "stats",
    WriteFormat = "write_format",
}

/// The parts that scripts share.
fn shared(name: &str) -> &'static str {
    match name {
        "base" => include_str!("../scripts/shared/base.lua"),
        "write" => include_str!("../scripts/shared/write.lua"),
        "record" => include_str!("../scripts/shared/record.lua"),
        "meta" => include_str!("../scripts/shared/meta.lua"),
        "partitions" => include_str!("../scripts/shared/partitions.lua"),
        "place" => include_str!("../scripts/shared/place.lua"),
        "pages" => include_str!("../scripts/shared/pages.lua"),
        "dedup" => include_str!("../scripts/shared/dedup.lua"),
        "graph" => include_str!("../scripts/shared/graph.lua"),
        "lease" => include_str!("../scripts/shared/lease.lua"),
        "counts" => include_str!("../scripts/shared/counts.lua"),
        "settle" => include_str!("../scripts/shared/settle.lua"),
        "ends" => include_str!("../scripts/shared/ends.lua"),
        "remove" => include_str!("../scripts/shared/remove.lua"),
        "store_jobs" => include_str!("../scripts/shared/store_jobs.lua"),
        _ => "error('there is no such part')",
    }
}

/// A script as the server is given it.
#[derive(Debug)]
pub(crate) struct Text {
    /// The whole of it.
    pub(crate) text: String,
    /// By which the server knows it once it has seen it.
    pub(crate) hash: String,
    /// The names of the keys it is given, in order.
    pub(crate) keys: Vec<&'static str>,
    /// Whether it changes anything, so that it is told which operation it is.
    pub(crate) writes: bool,
}

static TEXTS: LazyLock<Vec<Text>> =
    LazyLock::new(|| Script::ALL.iter().map(|script| put_together(*script)).collect());

impl Script {
    /// The script as the server is given it.
    pub(crate) fn text(self) -> &'static Text {
        &TEXTS[self as usize]
    }

    /// The shared parts that its header names.
    fn parts(self) -> impl Iterator<Item = &'static str> {
        let with = self.file().lines().find_map(|line| line.strip_prefix("-- with"));
        with.unwrap_or_default().split_whitespace()
    }

    /// Whether it gives jobs to its caller.
    pub(super) fn leases(self) -> bool {
        matches!(self, Self::Dequeue | Self::DequeuePlain)
    }

    /// Whether its header says that it goes on when the server is full.
    fn goes_on_when_full(self) -> bool {
        self.file().lines().any(|line| line.starts_with("-- full"))
    }
}

fn put_together(script: Script) -> Text {
    let mut parts: Vec<&str> = script.parts().map(shared).collect();
    parts.push(script.file());
    let body = assemble(&parts);
    let mut keys: Vec<&'static str> = Vec::new();
    // In the order in which the files name them; of those, what is left of the files.
    for name in parts.iter().flat_map(|part| keys_in(part)) {
        if !keys.contains(&name) && keys_in(&body).any(|used| used == name) {
            keys.push(name);
        }
    }
    let names: Vec<String> =
        keys.iter().enumerate().map(|(i, key)| format!("{key} = KEYS[{}]", i + 1)).collect();
    let flags = if script.goes_on_when_full() { "#!lua flags=allow-oom\n" } else { "" };
    let text = format!("{flags}local K = {{ {} }}\n{body}", names.join(", "));
    let hash = redis::Script::new(&text).get_hash().to_owned();
    Text { text, hash, keys, writes: script.file().contains("once(function") }
}

/// The names that stand behind `K.`.
fn keys_in(text: &str) -> impl Iterator<Item = &str> {
    text.split("K.").skip(1).zip(text.split("K.")).filter_map(|(rest, before)| {
        let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
        let ends = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let is_part_of_another = before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        (ends > 0 && !is_part_of_another).then(|| &rest[..ends])
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn folder() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/scripts")
    }

    fn files(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .expect("the folder can be read")
            .filter_map(|entry| {
                let path = entry.expect("an entry").path();
                (path.extension()? == "lua")
                    .then(|| path.file_stem()?.to_str().map(str::to_owned))?
            })
            .collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn every_file_is_a_script_and_every_part_is_used() {
        let names: Vec<&str> = Script::ALL.iter().map(|script| script.name()).collect();
        assert_eq!(files(&folder()), names);
        for part in files(&folder().join("shared")) {
            let users = Script::ALL.iter().filter(|script| script.parts().any(|name| name == part));
            assert!(users.count() > 0, "nobody uses shared/{part}.lua");
        }
    }

    #[test]
    fn every_script_says_what_it_answers_and_why_it_is_as_it_is() {
        for script in Script::ALL {
            for word in ["-- answer ", "-- why ", "-- with "] {
                assert!(script.file().contains(word), "{}: {word}", script.name());
            }
            let takes =
                script.file().contains("ARGV[") || script.parts().any(|p| p == "store_jobs");
            let tells = script.file().contains("-- arguments ");
            assert_eq!(takes, tells, "{}: arguments", script.name());
        }
    }

    #[test]
    fn the_rights_that_the_guide_lists_are_what_scripts_need() {
        let services =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/services.d/redis.sh");
        let services = std::fs::read_to_string(services).expect("the file can be read");
        let listed = services.split("redis_rights=\"").nth(1).expect("a list");
        let listed = listed.split('"').next().expect("its end");
        let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/growing.md");
        let guide = std::fs::read_to_string(guide).expect("the file can be read");
        let guide: Vec<&str> = guide.split_whitespace().collect();
        let rights: Vec<&str> = listed.split_whitespace().collect();
        let text: String = Script::ALL.iter().map(|script| script.text().text.as_str()).collect();
        let mut used: Vec<String> = text
            .split(['\'', '"'])
            .filter(|word| word.len() > 2 && word.chars().all(|c| c.is_ascii_uppercase()))
            .map(str::to_lowercase)
            // Words of commands, and no commands.
            .filter(|word| !["limit", "count", "err"].contains(&word.as_str()))
            .collect();
        used.sort_unstable();
        used.dedup();
        let missing: Vec<&String> =
            used.iter().filter(|word| !rights.contains(&format!("+{word}").as_str())).collect();
        assert!(missing.is_empty(), "scripts use {missing:?}, which no user is allowed");
        let untold: Vec<&&str> =
            rights.iter().filter(|right| **right != "\\" && !guide.contains(right)).collect();
        assert!(untold.is_empty(), "the guide does not list {untold:?}");
    }

    #[test]
    fn keys_are_told_from_other_names() {
        let found: Vec<_> = keys_in("call(K.jobs, K.lives) MAK.x; K.end_order..k").collect();
        assert_eq!(found, ["jobs", "lives", "end_order"]);
    }
}
