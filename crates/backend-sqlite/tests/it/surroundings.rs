//! A full disk, a limit on files, a place that cannot be written to.

use std::path::Path;

use windlass_core::model::State;
use windlass_core::{Backend, Error, ErrorKind};
use windlass_sqlite::{SqliteBackend, SqliteConfig};

use crate::child::{self, Way};
use crate::fixture::{big_job, count, declare, dequeue, numbered, queue, success};

/// A disk of its own for a child: as root, or as somebody who may pretend to be.
const SMALL_DISKS: [Way; 2] = [
    Way {
        name: "a small disk",
        before: &["unshare", "--mount"],
        script: r#"mount -t tmpfs -o size=4m tmpfs "$1" && shift && exec "$@""#,
    },
    Way {
        name: "a small disk in a user namespace",
        before: &["unshare", "--user", "--map-root-user", "--mount"],
        script: r#"mount -t tmpfs -o size=4m tmpfs "$1" && shift && exec "$@""#,
    },
];

/// Files of 4 MiB at most: that can be had anywhere.
const SMALL_FILES: Way = Way {
    name: "a limit on files",
    before: &[],
    script: r#"trap '' XFSZ; shift; ulimit -S -f 8192 && exec "$@""#,
};

#[test]
fn on_a_full_disk_calls_fail_clearly_and_nothing_acknowledged_is_lost() {
    let ballast = |folder: &Path| folder.join("ballast");
    match child::folder() {
        Some(folder) if std::env::var_os("WINDLASS_LIMITED").is_none() => {
            // What is removed later makes room.
            std::fs::write(ballast(&folder), vec![1; 1 << 20]).unwrap();
            fill_up(&folder, "is full; make room", || {
                std::fs::remove_file(ballast(&folder)).unwrap();
            });
        }
        Some(folder) => limited(&folder),
        None => {
            let folder = tempfile::tempdir().unwrap();
            let mut ways = SMALL_DISKS.to_vec();
            // Where nobody may mount, a limit on files comes nearest.
            ways.push(Way { before: &["env", "WINDLASS_LIMITED=1"], ..SMALL_FILES });
            let name =
                "surroundings::on_a_full_disk_calls_fail_clearly_and_nothing_acknowledged_is_lost";
            child::run(name, folder.path(), &ways);
        }
    }
}

#[test]
fn at_a_limit_on_files_calls_fail_clearly_and_nothing_acknowledged_is_lost() {
    match child::folder() {
        Some(folder) => limited(&folder),
        None => {
            let folder = tempfile::tempdir().unwrap();
            let name = "surroundings::at_a_limit_on_files_calls_fail_clearly_and_nothing_acknowledged_is_lost";
            child::run(name, folder.path(), &[SMALL_FILES]);
        }
    }
}

/// Fills a store up to a limit on files, which is lifted then.
fn limited(folder: &Path) {
    fill_up(folder, "no limit on the size of files stands in the way", || {
        let pid = std::process::id().to_string();
        let lifted = std::process::Command::new("prlimit")
            .args(["--fsize=unlimited:", "--pid", &pid])
            .status()
            .expect("prlimit, of util-linux");
        assert!(lifted.success());
    });
}

/// Stores jobs until there is no room, then makes some, and looks for what was
/// acknowledged.
fn fill_up(folder: &Path, right: &str, make_room: impl FnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let config = || SqliteConfig::new(folder.join("jobs.db"));
    let refused = |error: &Error| {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:#}");
        assert!(error.to_string().contains(right), "{error}");
    };
    let acknowledged = runtime.block_on(async {
        let backend = SqliteBackend::open(config()).await.unwrap();
        declare(&backend).await;
        let (mut acknowledged, mut failed) = (0, 0);
        for n in 0_u32.. {
            assert!(n < 2000, "there is room without end");
            match backend.enqueue(vec![big_job(n)]).await {
                Ok(_) => acknowledged += 1,
                Err(error) => {
                    refused(&error);
                    failed += 1;
                    if failed == 20 {
                        break;
                    }
                }
            }
        }
        // What is there can be looked at, and every other call says why it fails.
        assert_eq!(count(&backend, State::Waiting).await, acknowledged);
        make_room();
        backend.enqueue(vec![big_job(5000)]).await.unwrap();
        let leased = dequeue(&backend, 3).await.jobs;
        backend.apply(leased.iter().map(success).collect()).await.unwrap();
        backend.close().await;
        eprintln!("{acknowledged} jobs acknowledged, {failed} refused");
        acknowledged + 1
    });
    assert!(acknowledged > 20, "{acknowledged}");
    let lost = runtime.block_on(async {
        let backend = SqliteBackend::open(config()).await.unwrap();
        assert_eq!(count(&backend, State::Completed).await, 3);
        acknowledged - 3 - count(&backend, State::Waiting).await
    });
    eprintln!("acknowledged and lost: {lost}");
    assert_eq!(lost, 0);
    let conn = rusqlite::Connection::open(config().path).unwrap();
    let sound: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
}

/// The rights of somebody who may not write just anywhere.
const FEWER_RIGHTS: [Way; 4] = [
    Way {
        name: "being nobody special",
        before: &[],
        script: r#"[ "$(id -u)" != 0 ] && shift && exec "$@""#,
    },
    Way {
        name: "root without its power over files",
        before: &["setpriv", "--bounding-set=-dac_override,-dac_read_search"],
        script: r#"shift; exec "$@""#,
    },
    Way {
        name: "another user",
        before: &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
        script: r#"shift; exec "$@""#,
    },
    Way {
        name: "root without its power over files, by another tool",
        before: &[
            "capsh",
            "--drop=cap_dac_override,cap_dac_read_search",
            "--shell=/usr/bin/env",
            "--",
        ],
        script: r#"shift; exec "$@""#,
    },
];

#[test]
fn a_place_that_cannot_be_written_to_is_refused_when_it_is_opened_and_left_as_it_is() {
    let Some(folder) = child::folder() else {
        let folder = tempfile::tempdir().unwrap();
        let rights = Rights::of(folder.path());
        let name = "surroundings::a_place_that_cannot_be_written_to_is_refused_when_it_is_opened_and_left_as_it_is";
        child::run(name, folder.path(), &FEWER_RIGHTS);
        drop(rights);
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut refused = 0;
    for (place, file) in Rights::PLACES {
        let path = folder.join(place).join("jobs.db");
        // If this could be written to, the rest would prove nothing.
        let written = match file {
            File::Missing => std::fs::write(folder.join(place).join("probe"), "x"),
            _ => std::fs::OpenOptions::new().append(true).open(&path).map(drop),
        };
        assert_eq!(written.is_ok(), place == "folder", "{place}: {written:?}");
        let before = std::fs::read(&path).ok();
        let error = runtime.block_on(SqliteBackend::open(SqliteConfig::new(&path))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Store, "{place}: {error:#}");
        let text = error.to_string();
        assert!(text.contains(path.to_str().unwrap()), "{text}");
        assert!(
            text.contains("cannot be written to; give this user the right to write to both")
                || text.contains("its directory has to exist, and both have to be writable"),
            "{place}: {text}"
        );
        assert_eq!(std::fs::read(&path).ok(), before, "{place}");
        refused += 1;
    }
    eprintln!("{refused} places refused");
}

/// What there is at a place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum File {
    Missing,
    Store,
}

/// A folder of places that cannot be written to; let go of at the end, so that
/// it can be removed.
struct Rights<'f>(&'f Path);

impl<'f> Rights<'f> {
    const PLACES: [(&'static str, File); 4] = [
        // Neither the folder nor the file.
        ("both", File::Store),
        // The file alone.
        ("file", File::Store),
        // The folder alone: the log could not stand beside the file.
        ("folder", File::Store),
        ("empty", File::Missing),
    ];

    fn of(folder: &'f Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for (place, file) in Self::PLACES {
            let place_path = folder.join(place);
            std::fs::create_dir(&place_path).unwrap();
            let path = place_path.join("jobs.db");
            if file == File::Store {
                runtime.block_on(async {
                    let backend = SqliteBackend::open(SqliteConfig::new(&path)).await.unwrap();
                    declare(&backend).await;
                    backend.enqueue(vec![numbered(1)]).await.unwrap();
                    assert_eq!(backend.stats(&queue()).await.unwrap().count(State::Waiting), 1);
                    backend.close().await;
                });
                mode(&path, if place == "folder" { 0o666 } else { 0o444 });
            }
            mode(&place_path, if place == "file" { 0o777 } else { 0o555 });
        }
        mode(folder, 0o755);
        Self(folder)
    }
}

impl Drop for Rights<'_> {
    fn drop(&mut self) {
        for (place, _) in Self::PLACES {
            mode(&self.0.join(place), 0o755);
        }
    }
}

fn mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
