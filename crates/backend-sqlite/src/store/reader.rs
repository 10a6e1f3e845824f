//! The threads that read. Each read is a snapshot of its own, and short: a
//! snapshot that stays open keeps the log from being cut back.

use std::sync::Arc;
use std::thread;

use futures_channel::oneshot;
use windlass_core::{Error, ErrorKind};

use super::connection::{self, Role};
use super::inbox::{Found, Inbox};
use super::writer::closed;
use super::{Since, Store};
use crate::config::SqliteConfig;
use crate::error::{Fail, Outcome, from_sqlite};

/// A read. It is given the error instead of a store if none can be had.
type Read = Box<dyn FnOnce(Result<&mut Store<'_>, Error>) + Send>;

/// The way to the threads that read.
pub(crate) struct Readers {
    inbox: Arc<Inbox<Read>>,
}

impl Readers {
    /// Starts the threads. Each opens its connection when it is first needed,
    /// and drops its share of `done` when it ends.
    pub(crate) fn start(
        config: &SqliteConfig,
        done: &Arc<oneshot::Sender<()>>,
    ) -> Result<Self, Error> {
        let readers = Self { inbox: Arc::new(Inbox::new()) };
        for _ in 0..config.readers {
            let inbox = Arc::clone(&readers.inbox);
            let config = config.clone();
            let done = Arc::clone(done);
            let spawned =
                thread::Builder::new().name("windlass-sqlite-reader".to_owned()).spawn(move || {
                    let _done = done;
                    run(&config, &inbox);
                });
            if let Err(error) = spawned {
                readers.close();
                let context = "a thread that reads the SQLite file could not be started";
                return Err(Error::new(ErrorKind::Unavailable, context).with_source(error));
            }
        }
        Ok(readers)
    }

    /// Reads from one snapshot.
    pub(crate) async fn call<T, F>(&self, read: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Store<'_>) -> Outcome<T> + Send + 'static,
    {
        let (answer, result) = oneshot::channel();
        self.inbox.put(Box::new(move |store| {
            if answer.is_canceled() {
                return;
            }
            let result = store.and_then(|store| in_snapshot(store, read).map_err(Fail::into_error));
            // A caller that has gone away needs no answer.
            drop(answer.send(result));
        }));
        result.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Lets the threads end once they have done what they were asked for.
    pub(crate) fn close(&self) {
        self.inbox.close();
    }
}

fn run(config: &SqliteConfig, inbox: &Inbox<Read>) {
    let mut waiting = None;
    loop {
        // The first call opens the connection; if that fails, the next one
        // tries again.
        let Some(read) = waiting.take().or_else(|| next(inbox)) else {
            return;
        };
        match connection::open(config, Role::Reader) {
            Err(fail) => read(Err(fail.into_error())),
            Ok(conn) => {
                let mut store = Store::new(&conn, config.clock.clone());
                waiting = Some(read);
                while let Some(read) = waiting.take().or_else(|| next(inbox)) {
                    read(Ok(&mut store));
                }
                return;
            }
        }
    }
}

fn next(inbox: &Inbox<Read>) -> Option<Read> {
    loop {
        match inbox.take(1, None) {
            Found::Calls(mut calls) => return calls.pop_front(),
            Found::Nothing => {}
            Found::Closed => return None,
        }
    }
}

fn in_snapshot<T>(
    store: &mut Store<'_>,
    read: impl FnOnce(&mut Store<'_>) -> Outcome<T>,
) -> Outcome<T> {
    let conn = store.conn;
    conn.prepare_cached("BEGIN")?.execute([])?;
    // A snapshot is taken by the first statement that reads, not by BEGIN.
    let result = conn
        .prepare_cached("PRAGMA data_version")
        .and_then(|mut version| version.query_row([], |_| Ok(())))
        .map_err(Fail::from)
        .and_then(|()| {
            store.begin(Since::Unknown);
            read(store)
        });
    match conn.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])) {
        Ok(_) => result,
        Err(error) => {
            drop(conn.execute_batch("ROLLBACK"));
            result.and(Err(Fail::Broken(from_sqlite(error))))
        }
    }
}
