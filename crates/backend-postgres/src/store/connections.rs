//! Connections, kept between calls.
//!
//! The client library's pool asks a connection for a sign of life each time that
//! it gets one back: a second round trip for every call. So connections go back to
//! it only where something is wrong with them, or where they are not needed; what
//! remains its part is to connect, and to wait for a server that is away.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Connection, PgConnection, PgPool, Postgres};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

/// How long a call waits for a connection.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A connection that nobody has used for so long is asked whether it lives.
const MAY_BE_DEAD: Duration = Duration::from_secs(1);

/// One that has not been needed for so long is given back.
const SPARE: Duration = Duration::from_secs(60);

/// One that was taken so long ago is given back, whatever it is used for.
const LIFETIME: Duration = Duration::from_secs(25 * 60);

/// The connections of one handle.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    pool: PgPool,
    /// Has as many permits as there may be connections: who has one finds a kept
    /// connection, or the pool has room for another.
    permits: Arc<Semaphore>,
    kept: Arc<Mutex<Kept>>,
}

/// Connections that nobody uses, the last one to be used last.
#[derive(Debug, Default)]
struct Kept {
    idle: Vec<Idle>,
    is_closed: bool,
}

#[derive(Debug)]
struct Idle {
    connection: PoolConnection<Postgres>,
    taken: Instant,
    since: Instant,
}

impl Connections {
    /// Those of a pool that may have so many.
    pub(super) fn new(pool: PgPool, count: u32) -> Self {
        let permits = Arc::new(Semaphore::new(usize::try_from(count).unwrap_or(1)));
        Self { pool, permits, kept: Arc::default() }
    }

    /// A connection that lives, as far as is known.
    pub(super) async fn take(&self) -> Result<Taken, sqlx::Error> {
        let waited = timeout(PATIENCE, Arc::clone(&self.permits).acquire_owned()).await;
        let permit =
            waited.map_err(|_| sqlx::Error::PoolTimedOut)?.map_err(|_| sqlx::Error::PoolClosed)?;
        loop {
            let Some(mut idle) = lock(&self.kept).idle.pop() else {
                let connection = self.pool.acquire().await?;
                return Ok(self.taken(connection, Instant::now(), permit));
            };
            if idle.since.elapsed() < MAY_BE_DEAD || idle.connection.ping().await.is_ok() {
                return Ok(self.taken(idle.connection, idle.taken, permit));
            }
            // There is nothing to say to it any more.
            drop(idle.connection.detach());
        }
    }

    fn taken(
        &self,
        connection: PoolConnection<Postgres>,
        taken: Instant,
        permit: OwnedSemaphorePermit,
    ) -> Taken {
        Taken { connection, taken, kept: Arc::clone(&self.kept), _permit: permit }
    }

    /// Closes all, once those that are in use have come back. Calls that come later
    /// fail.
    pub(super) async fn close(&self) {
        self.permits.close();
        let idle = {
            let mut kept = lock(&self.kept);
            kept.is_closed = true;
            std::mem::take(&mut kept.idle)
        };
        drop(idle);
        self.pool.close().await;
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // This may be outside of any runtime, where the pool could not take them.
        for idle in self.idle.drain(..) {
            drop(idle.connection.detach());
        }
    }
}

/// A connection in use. Unless it is kept, it goes back to the pool, which asks
/// whether it is still of any use.
pub(super) struct Taken {
    connection: PoolConnection<Postgres>,
    taken: Instant,
    kept: Arc<Mutex<Kept>>,
    _permit: OwnedSemaphorePermit,
}

impl Taken {
    /// Keeps it for the next call: nothing is wrong with it.
    pub(super) fn keep(self) {
        let now = Instant::now();
        if now.duration_since(self.taken) > LIFETIME {
            return;
        }
        let spare = {
            let mut kept = lock(&self.kept);
            if kept.is_closed {
                return;
            }
            kept.idle.push(Idle { connection: self.connection, taken: self.taken, since: now });
            let is_spare = kept.idle[0].since + SPARE < now;
            is_spare.then(|| kept.idle.remove(0))
        };
        drop(spare);
    }

    /// Gives it up: its address may lead to another server by now.
    pub(super) async fn give_up(self) {
        // What is left to say to the server is said when it goes.
        let _ = self.connection.close().await;
    }
}

impl Deref for Taken {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Taken {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

/// Nothing under this lock can panic half-way.
fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}
