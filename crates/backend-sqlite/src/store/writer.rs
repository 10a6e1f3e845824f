//! The thread that writes, and group commit.
//!
//! Whatever has come in while the last transaction was under way goes into the
//! next one together, so that one wait for the disk serves all of it. Nothing
//! is delayed to gather more.
//!
//! A call that is refused has changed nothing, so that calls need no
//! savepoints. Should one break half-way, the whole group is rolled back and
//! its calls are carried out one by one, each in a transaction of its own: a
//! broken call fails alone.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_channel::oneshot;
use rusqlite::{Connection, Statement};
use windlass_core::backend::hub::Hub;
use windlass_core::{Error, ErrorKind};

use super::connection::{self, Role};
use super::inbox::{Found, Inbox};
use super::log_size::LogSize;
use super::{Since, Store};
use crate::config::{SqliteConfig, Synchronous};
use crate::error::{Fail, Outcome, from_sqlite};

/// How many calls share a transaction at most, so that the first of them does
/// not wait for ever.
const MAX_GROUP: usize = 1024;

/// How often the file is looked at for changes by others, while somebody
/// watches and nothing else is to do.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Whether a call's changes have to reach the disk before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Weight {
    /// A power cut may take them back: leases and signs of life, whose holders
    /// it ends as well.
    Light,
    /// They have to be as durable as the store was opened to be.
    Durable,
}

/// A call, as its caller sees it.
struct Call<T, F> {
    run: F,
    weight: Weight,
    result: Option<Result<T, Error>>,
    answer: oneshot::Sender<Result<T, Error>>,
}

/// A call, whatever it answers.
trait AnyCall: Send {
    fn weight(&self) -> Weight;

    /// Whether somebody still waits for the answer.
    fn is_wanted(&self) -> bool;

    /// Carries it out; may be called again after a rollback. An error means
    /// that it may have changed something.
    fn run(&mut self, store: &mut Store<'_>) -> Result<(), Error>;

    /// Answers what it came to, after the commit.
    fn answer(self: Box<Self>);

    /// Answers that it failed.
    fn fail(self: Box<Self>, error: Error);
}

impl<T, F> AnyCall for Call<T, F>
where
    T: Send,
    F: FnMut(&mut Store<'_>) -> Outcome<T> + Send,
{
    fn weight(&self) -> Weight {
        self.weight
    }

    fn is_wanted(&self) -> bool {
        !self.answer.is_canceled()
    }

    fn run(&mut self, store: &mut Store<'_>) -> Result<(), Error> {
        match (self.run)(store) {
            Ok(result) => self.result = Some(Ok(result)),
            Err(Fail::Refused(error)) => self.result = Some(Err(error)),
            Err(Fail::Broken(error)) => return Err(error),
        }
        Ok(())
    }

    fn answer(self: Box<Self>) {
        // A caller that has gone away needs no answer, and dropping the sender
        // tells one whose call was left out.
        if let Some(result) = self.result {
            drop(self.answer.send(result));
        }
    }

    fn fail(self: Box<Self>, error: Error) {
        drop(self.answer.send(Err(error)));
    }
}

/// The way to the thread that writes.
pub(crate) struct Writer {
    inbox: Arc<Inbox<Box<dyn AnyCall>>>,
}

/// What the thread says once it has opened the file: the bytes that tell the
/// file from any other.
pub(crate) type Opened = oneshot::Receiver<Result<Vec<u8>, Error>>;

impl Writer {
    /// Starts the thread, which opens the file. It ends when it is closed and
    /// everything that was asked for is done; `done` is dropped then.
    pub(crate) fn start(
        config: SqliteConfig,
        hub: Arc<Hub>,
        done: Arc<oneshot::Sender<()>>,
    ) -> Result<(Self, Opened), Error> {
        let inbox = Arc::new(Inbox::new());
        let (tell, opened) = oneshot::channel();
        let of_thread = Arc::clone(&inbox);
        let spawned = thread::Builder::new().name("windlass-sqlite".to_owned()).spawn(move || {
            // However the thread ends, nobody is left waiting for it.
            let _abandon = Abandon(Arc::clone(&of_thread));
            let _done = done;
            run(&config, &of_thread, &hub, tell);
        });
        match spawned {
            Ok(_) => Ok((Self { inbox }, opened)),
            Err(error) => Err(Error::new(
                ErrorKind::Unavailable,
                "the thread that writes to the SQLite file could not be started",
            )
            .with_source(error)),
        }
    }

    /// Has something carried out. It may run more than once, but its changes
    /// are made once or not at all.
    pub(crate) async fn call<T, F>(&self, weight: Weight, run: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnMut(&mut Store<'_>) -> Outcome<T> + Send + 'static,
    {
        let (answer, result) = oneshot::channel();
        self.inbox.put(Box::new(Call { run, weight, result: None, answer }));
        result.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Lets the thread notice that somebody watches.
    pub(crate) fn nudge(&self) {
        self.inbox.nudge();
    }

    /// Lets the thread end once it has done what it was asked for.
    pub(crate) fn close(&self) {
        self.inbox.close();
    }
}

/// The answer of a backend that is no more.
pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Store, "the SQLite backend has been closed")
}

struct Abandon(Arc<Inbox<Box<dyn AnyCall>>>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// An error that says which file it is about: whoever opens one may open many.
fn about_the_file(error: Error, config: &SqliteConfig) -> Error {
    let context = format!("{}: {error}", config.path.display());
    Error::new(error.kind(), context).with_source(error)
}

fn run(
    config: &SqliteConfig,
    inbox: &Inbox<Box<dyn AnyCall>>,
    hub: &Hub,
    tell: oneshot::Sender<Result<Vec<u8>, Error>>,
) {
    let opened = connection::open(config, Role::Writer).and_then(|mut conn| {
        let store = connection::prepare(&mut conn, config)?;
        Ok((conn, store))
    });
    let (conn, store) = match opened {
        Ok(opened) => opened,
        Err(fail) => {
            drop(tell.send(Err(about_the_file(fail.into_error(), config))));
            return;
        }
    };
    let worker = Worker::new(&conn, config, hub);
    match worker {
        Ok(mut worker) => {
            drop(tell.send(Ok(store)));
            worker.run(inbox);
        }
        Err(fail) => drop(tell.send(Err(fail.into_error()))),
    }
}

/// The thread that writes, at work.
struct Worker<'c> {
    conn: &'c Connection,
    store: Store<'c>,
    config: &'c SqliteConfig,
    hub: &'c Hub,
    begin: Statement<'c>,
    commit: Statement<'c>,
    data_version: Statement<'c>,
    /// What the file showed when we last looked whether others had changed it.
    seen: i64,
    /// Whether others may have changed it since our last transaction.
    since: Since,
    synchronous: Synchronous,
    log_size: LogSize,
}

impl<'c> Worker<'c> {
    fn new(conn: &'c Connection, config: &'c SqliteConfig, hub: &'c Hub) -> Outcome<Self> {
        let mut worker = Self {
            conn,
            store: Store::new(conn, config.clock.clone()),
            config,
            hub,
            begin: conn.prepare("BEGIN IMMEDIATE")?,
            commit: conn.prepare("COMMIT")?,
            data_version: conn.prepare("PRAGMA data_version")?,
            seen: 0,
            since: Since::Unknown,
            synchronous: config.synchronous,
            log_size: LogSize::of(&config.path),
        };
        worker.seen = worker.data_version()?;
        Ok(worker)
    }

    fn run(&mut self, inbox: &Inbox<Box<dyn AnyCall>>) {
        loop {
            let patience = self.hub.is_watched().then_some(LOOK_EVERY);
            match inbox.take(MAX_GROUP, patience) {
                Found::Calls(calls) => {
                    self.carry_out(calls);
                    inbox.linger();
                }
                // A file that cannot be read just now is no news; the next call
                // says what is wrong.
                Found::Nothing => drop(self.look()),
                Found::Closed => return,
            }
        }
    }

    /// Notices if somebody else has changed the file, and tells those who
    /// watch.
    fn look(&mut self) -> Outcome<()> {
        let version = self.data_version()?;
        if std::mem::replace(&mut self.seen, version) != version {
            self.since = Since::Unknown;
            self.hub.tell_anything();
        }
        Ok(())
    }

    fn data_version(&mut self) -> Outcome<i64> {
        Ok(self.data_version.query_row([], |row| row.get(0))?)
    }

    /// Carries out calls, together if that is possible.
    fn carry_out(&mut self, calls: VecDeque<Box<dyn AnyCall>>) {
        // What nobody waits for any more is left out: it has not happened.
        let mut calls: Vec<_> = calls.into_iter().filter(|call| call.is_wanted()).collect();
        if calls.is_empty() {
            return;
        }
        match self.transaction(&mut calls) {
            Ok(()) => calls.into_iter().for_each(AnyCall::answer),
            Err(error) if calls.len() == 1 || is_hopeless(&error) => fail_all(calls, error),
            Err(_) => {
                for mut call in calls {
                    match self.transaction(std::slice::from_mut(&mut call)) {
                        Ok(()) => call.answer(),
                        Err(error) => call.fail(error),
                    }
                }
            }
        }
    }

    /// Carries out calls in one transaction, wholly or not at all.
    fn transaction(&mut self, calls: &mut [Box<dyn AnyCall>]) -> Result<(), Error> {
        let done = self.begin(calls).and_then(|()| {
            for call in calls.iter_mut() {
                call.run(&mut self.store)?;
            }
            self.store.flush().map_err(Fail::into_error)?;
            self.commit.execute([]).map_err(from_sqlite)?;
            Ok(())
        });
        if done.is_err() {
            // Some errors have rolled back already; then there is nothing left
            // to do, and SQLite says so.
            if !self.conn.is_autocommit() {
                drop(self.conn.execute_batch("ROLLBACK"));
            }
            self.store.forget();
        } else {
            self.hub.tell(&mut self.store.news);
            self.log_size.look();
        }
        done
    }

    fn begin(&mut self, calls: &[Box<dyn AnyCall>]) -> Result<(), Error> {
        // Lighter calls are swept to the disk by the next durable one: the log
        // is written in order, and reaches the disk as a whole.
        let durable = calls.iter().any(|call| call.weight() == Weight::Durable);
        let wanted = if durable { self.config.synchronous } else { Synchronous::Normal };
        if wanted != self.synchronous {
            connection::set_synchronous(self.conn, wanted).map_err(Fail::into_error)?;
            self.synchronous = wanted;
        }
        let begin = &mut self.begin;
        connection::patiently(self.config.busy_limit, || Ok(begin.execute([]).map(drop)?))
            .map_err(Fail::into_error)?;
        self.look().map_err(Fail::into_error)?;
        self.store.news.wants_events = self.hub.wants_events();
        self.store.begin(std::mem::replace(&mut self.since, Since::Unchanged));
        Ok(())
    }
}

/// Whether trying each call by itself would only fail as often.
fn is_hopeless(error: &Error) -> bool {
    error.kind() == ErrorKind::Unavailable
}

fn fail_all(calls: Vec<Box<dyn AnyCall>>, error: Error) {
    let mut calls = calls.into_iter();
    if let Some(first) = calls.next() {
        for call in calls {
            call.fail(copy(&error));
        }
        first.fail(error);
    }
}

/// The same failure for another caller; what SQLite said goes along as text.
fn copy(error: &Error) -> Error {
    let copy = Error::new(error.kind(), error.to_string());
    match std::error::Error::source(error) {
        Some(source) => copy.with_source(source.to_string()),
        None => copy,
    }
}
