//! The `digest` example as real processes on every store that processes can
//! share: right, also after being killed, and shared between two.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use windlass::Windlass;
use windlass::model::State;

use crate::server::{Prefix, Schema};

macro_rules! on_every_store {
    ($($test:ident)*) => {
        mod on_sqlite {
            $(#[test]
            fn $test() {
                super::$test(super::Kind::Sqlite);
            })*
        }
        mod on_postgres {
            $(#[test]
            fn $test() {
                super::$test(super::Kind::Postgres);
            })*
        }
        mod on_redis {
            $(#[test]
            fn $test() {
                super::$test(super::Kind::Redis);
            })*
        }
        mod on_a_redis_cluster {
            $(#[test]
            fn $test() {
                super::$test(super::Kind::RedisCluster);
            })*
        }
    };
}

on_every_store! {
    the_manifest_is_what_sha256sum_prints
    killed_at_any_moment_it_goes_on_where_it_was
    two_processes_share_the_work
    an_interrupt_drains_and_says_so
    an_unreadable_file_fails_its_job_and_stops_nothing_else
}

#[derive(Clone, Copy)]
enum Kind {
    Sqlite,
    Postgres,
    Redis,
    RedisCluster,
}

/// Where jobs are kept, for one test.
enum Store {
    /// A file beside the tree.
    Sqlite,
    Postgres(Schema),
    Redis(Prefix),
}

impl From<Kind> for Store {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Sqlite => Self::Sqlite,
            Kind::Postgres => Self::Postgres(Schema::new()),
            Kind::Redis => Self::Redis(Prefix::on("REDIS_URL")),
            Kind::RedisCluster => Self::Redis(Prefix::on("WINDLASS_TEST_REDIS_CLUSTER_URL")),
        }
    }
}

/// A folder with a tree in it, and a store.
struct Place {
    folder: TempDir,
    store: Store,
    jobs: u64,
}

impl Place {
    /// A tree with so many plain files, and some with names that are hard to
    /// get right.
    fn new(files: usize, store: impl Into<Store>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        let mut dirs = 1;
        for n in 0..files {
            let dir = tree.join(format!("d{:02}", n % 17)).join(format!("e{}", n % 3));
            if !dir.exists() {
                fs::create_dir_all(&dir).unwrap();
            }
            fs::write(dir.join(format!("file {n}")), "x".repeat(n * 37 % 5000)).unwrap();
        }
        dirs += (0..17.min(files)).count() + (0..files.min(51)).count();
        let odd: [&[u8]; 7] =
            [b"with space", b"new\nline", b"back\\slash", b"not \xff utf8", b"\r", b"-n", b"'\"$`"];
        for name in odd {
            fs::write(tree.join(OsStr::from_bytes(name)), name).unwrap();
        }
        fs::create_dir(tree.join("empty")).unwrap();
        symlink("nowhere", tree.join("dangling")).unwrap();
        symlink(".", tree.join("circle")).unwrap();
        dirs += 1;
        Self { folder, store: store.into(), jobs: (files + odd.len() + dirs) as u64 }
    }

    fn tree(&self) -> PathBuf {
        self.folder.path().join("tree")
    }

    fn store(&self) -> String {
        match &self.store {
            Store::Sqlite => format!("sqlite:{}", self.folder.path().join("digest.db").display()),
            Store::Postgres(schema) => schema.url(),
            Store::Redis(prefix) => prefix.url(),
        }
    }

    fn digest(&self, manifest: &str) -> Command {
        let mut command = Command::new(example("digest"));
        command.arg(self.tree()).args(["--json", "--store", &self.store()]);
        command.arg("--manifest").arg(self.folder.path().join(manifest));
        // What it says goes to a file: a pipe that nobody reads would stop it
        // once it is full.
        let said = fs::File::create(self.folder.path().join("said")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(said);
        command
    }

    fn manifest(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder.path().join(name)).unwrap()
    }

    /// What the usual tools say.
    fn expected(&self) -> Vec<u8> {
        let script = r#"find "$1" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum"#;
        let output =
            Command::new("sh").args(["-c", script, "sh"]).arg(self.tree()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    }

    /// Runs it until the store knows of so many ended jobs, or it ends by itself, as it does
    /// where it is quicker than whoever watches it.
    fn run_until_ended(&self, count: u64) -> Child {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            // Before it begins: a busy machine may take its time.
            let windlass = Windlass::connect(&self.store()).await.unwrap();
            let mut process = self.digest("m").spawn().unwrap();
            self.until_ended(&windlass, count, &mut process).await;
            process
        })
    }

    async fn until_ended(&self, windlass: &Windlass, count: u64, process: &mut Child) {
        for _ in 0..100_000 {
            if process.try_wait().unwrap().is_some() {
                return;
            }
            let mut ended = 0;
            for queue in windlass.queues().await.unwrap() {
                let stats = windlass.stats(&queue.spec.name).await.unwrap();
                let terminal = State::ALL.into_iter().filter(|state| state.is_terminal());
                ended += terminal.map(|state| stats.count(state)).sum::<u64>();
            }
            if ended >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        process.kill().unwrap();
        let said = fs::read_to_string(self.folder.path().join("said")).unwrap();
        panic!("the process does not get on: {said}");
    }
}

/// The example, which is built with the tests.
pub(crate) fn example(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let built = this.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(built.exists(), "{} is missing; build it with --examples", built.display());
    built
}

fn summary(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn the_manifest_is_what_sha256sum_prints(store: Kind) {
    let place = Place::new(300, store);
    let output = place.digest("m").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(place.manifest("m"), place.expected());
    let summary = summary(&output);
    assert_eq!(summary["files"], 307);
    assert_eq!(summary["jobs"], place.jobs);
    assert_eq!((&summary["retries"], &summary["resumed"]), (&0.into(), &false.into()));

    // A second run is a new one, and sees what has changed.
    fs::write(place.tree().join("added"), "later").unwrap();
    let output = place.digest("n").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(place.manifest("n"), place.expected());
}

fn killed_at_any_moment_it_goes_on_where_it_was(store: Kind) {
    let place = Place::new(1500, store);
    let (mut killed, mut last) = (0, None);
    for kill in 0..5 {
        let mut process = place.run_until_ended(kill * place.jobs / 6);
        process.kill().unwrap();
        let output = process.wait_with_output().unwrap();
        // A signal leaves no code.
        if output.status.code().is_some() {
            last = Some(output);
            break;
        }
        killed += 1;
    }
    assert!(killed >= 2, "it was over after {killed} kills");
    let output = last.unwrap_or_else(|| place.digest("m").output().unwrap());
    assert!(output.status.success(), "{output:?}");
    assert_eq!(place.manifest("m"), place.expected());
    let summary = summary(&output);
    // Nothing is lost, and nothing was enqueued twice.
    assert_eq!(summary["jobs"], place.jobs);
    assert_eq!(summary["resumed"], true);
    assert_eq!(summary["retries"], 0);
}

fn two_processes_share_the_work(store: Kind) {
    let place = Place::new(1500, store);
    let processes = ["a", "b"].map(|manifest| place.digest(manifest).spawn().unwrap());
    let outputs = processes.map(|process| process.wait_with_output().unwrap());
    let mut settled = 0;
    for (output, manifest) in outputs.iter().zip(["a", "b"]) {
        assert!(output.status.success(), "{output:?}");
        assert_eq!(place.manifest(manifest), place.expected());
        settled += summary(output)["settled_here"].as_u64().unwrap();
    }
    // Each job once, the one that scans the tree too.
    assert_eq!(settled, place.jobs + 1);
}

fn an_interrupt_drains_and_says_so(store: Kind) {
    let place = Place::new(4000, store);
    let mut process = place.run_until_ended(place.jobs / 10);
    let pid = process.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(process.wait().unwrap().code(), Some(130));
    let said = fs::read_to_string(place.folder.path().join("said")).unwrap();
    assert!(said.contains("start again to go on"), "{said}");

    let output = place.digest("m").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(place.manifest("m"), place.expected());
}

fn an_unreadable_file_fails_its_job_and_stops_nothing_else(store: Kind) {
    let place = Place::new(20, store);
    let secret = place.tree().join("secret");
    fs::write(&secret, "secret").unwrap();
    let expected: Vec<u8> = without(&place.expected(), b"/secret");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();

    // The superuser can read everything: let nobody try.
    let program = place.folder.path().join("digest");
    fs::copy(example("digest"), &program).unwrap();
    let open = fs::Permissions::from_mode(0o777);
    fs::set_permissions(place.folder.path(), open).unwrap();
    let mut command = place.digest("m");
    let mut as_nobody = Command::new(&program);
    as_nobody.args(command.get_args()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command = as_nobody;
    if fs::read(&secret).is_ok() {
        command.uid(65534).gid(65534);
    }
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(place.manifest("m"), expected);
    let failures = summary(&output)["failures"].clone();
    assert_eq!(failures.as_array().unwrap().len(), 1, "{failures}");
    let why = failures[0].as_str().unwrap();
    assert!(why.contains("secret") && why.contains("Permission denied"), "{why}");
}

#[test]
fn every_store_gives_the_same_manifest_and_the_same_jobs() {
    let mut place = Place::new(300, Store::Sqlite);
    let mut counted = Vec::new();
    for (store, manifest) in [(Kind::Sqlite, "sqlite"), (Kind::Postgres, "postgres")] {
        place.store = store.into();
        let output = place.digest(manifest).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let summary = summary(&output);
        counted.push(["files", "jobs", "retries", "failures"].map(|name| summary[name].clone()));
    }
    assert_eq!(place.manifest("sqlite"), place.manifest("postgres"));
    assert_eq!(counted[0], counted[1]);
}

fn without(manifest: &[u8], name: &[u8]) -> Vec<u8> {
    let keep = |line: &&[u8]| !line.ends_with(&[name, b"\n"].concat());
    manifest.split_inclusive(|byte| *byte == b'\n').filter(keep).collect::<Vec<_>>().concat()
}

#[test]
fn a_directory_that_does_not_exist_is_an_error() {
    let place = Place::new(1, Store::Sqlite);
    let mut command = Command::new(example("digest"));
    command.arg(Path::new("/nonexistent")).args(["--store", &place.store()]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("cannot read /nonexistent"), "{said}");
}
