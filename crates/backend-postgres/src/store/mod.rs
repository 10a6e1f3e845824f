//! The only part that talks to the client library.
//!
//! Each call is one statement: the functions in `functions/` do on the server
//! what has to be one step, so that no transaction is ever left open between two
//! round trips, whatever becomes of this process.

mod abandoned;
mod apply;
mod clean;
mod connections;
mod dequeue;
mod enqueue;
mod enqueue_new;
mod lease;
mod listing;
mod looks;
pub(crate) mod query;
pub(crate) mod queues;
mod repeatables;
pub(crate) mod schema;
mod steps;
#[cfg(test)]
mod tests;
mod workers;

use std::sync::Arc;

use sqlx::postgres::{PgArguments, PgPoolOptions, PgRow};
use sqlx::{Arguments, Connection, Encode, PgConnection, Postgres, SqlStr, Type};
use windlass_core::model::{Clock, QueueName, Timestamp};
use windlass_core::{Error, ErrorKind};

use crate::config::{Pooler, PostgresConfig};
use crate::error::{from_sqlx, is_collision, is_on_wrong_server, is_outdated};
use crate::record::{Names, get};
use abandoned::Abandoned;
use connections::{Connections, PATIENCE};
use looks::Looks;
use query::{Queries, Query};

/// How often a call that the server has undone, because it met another one, is
/// made again.
const ATTEMPTS: u32 = 40;

/// Calls wait for locks, and then go by what was committed until they got them:
/// whatever isolation the role has by default, theirs is this one.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// Connections to the server and what is known of it.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    connections: Connections,
    queries: Arc<Queries>,
    names: Arc<Names>,
    clock: Clock,
    pooler: Pooler,
    abandoned: Abandoned,
    looks: Arc<Looks>,
}

impl Store {
    /// Connects, and creates the schema if it is missing.
    pub(crate) async fn connect(config: &PostgresConfig) -> Result<Self, Error> {
        config.check()?;
        let server = match config.pooler {
            Pooler::None => config.server.clone(),
            Pooler::Transaction => config.server.clone().statement_cache_capacity(0),
        };
        let queries = Arc::new(Queries::new(&config.schema));
        // On a connection of its own, so that a server which is not there is told of
        // at once, with the reason; the pool would wait for it.
        let mut connection = PgConnection::connect_with(&server).await.map_err(from_sqlx)?;
        schema::create(&mut connection, &config.schema, &queries).await?;
        // What is left to say to the server is said when it goes.
        let _ = connection.close().await;
        let pooler = config.pooler;
        let pool = PgPoolOptions::new()
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    // Behind a pooler, a session is others' too; each call says
                    // BEGIN there.
                    if pooler == Pooler::None {
                        let set = "SET default_transaction_isolation = 'read committed'";
                        sqlx::raw_sql(set).execute(connection).await?;
                    }
                    Ok(())
                })
            })
            .max_connections(config.connections)
            .acquire_timeout(PATIENCE)
            // Those that are kept are asked where they are kept.
            .test_before_acquire(false)
            .connect_lazy_with(server);
        let store = Self {
            connections: Connections::new(pool, config.connections),
            queries,
            names: Arc::default(),
            clock: config.clock.clone(),
            pooler: config.pooler,
            abandoned: Abandoned::default(),
            looks: Arc::default(),
        };
        let rows = store.call(Query::Mend, ()).await?;
        let mended: i32 = get(first(&rows)?, 0)?;
        if mended > 0 {
            tracing::warn!(queues = mended, "the database was restored; its jobs are counted anew");
        }
        Ok(store)
    }

    pub(crate) async fn close(&self) {
        self.connections.close().await;
    }

    /// The manual clock's moment, or NULL for the server's own.
    fn clock(&self) -> Option<i64> {
        match &self.clock {
            Clock::Store => None,
            Clock::Manual(clock) => Some(clock.now().as_micros()),
        }
    }

    /// The store's time.
    pub(crate) async fn now(&self) -> Result<Timestamp, Error> {
        if let Clock::Manual(clock) = &self.clock {
            return Ok(clock.now());
        }
        let rows = self.call(Query::ReadClock, (&None::<i64>,)).await?;
        first_moment(&rows)
    }

    /// Makes one call.
    async fn call(&self, query: Query, values: impl Values) -> Result<Vec<PgRow>, Error> {
        self.run(self.queries.get(query), arguments(values)?).await.map_err(from_sqlx)
    }

    /// Runs a statement, again and again if the server undoes it because it met
    /// another one.
    ///
    /// An attempt that has begun comes to its end: a caller that goes away leaves no
    /// connection in the middle of something.
    async fn run(&self, sql: SqlStr, arguments: PgArguments) -> Result<Vec<PgRow>, sqlx::Error> {
        self.abandoned.settled().await;
        let mut attempt = 0;
        loop {
            let once = once(self.connections.clone(), self.pooler, sql.clone(), arguments.clone());
            match self.abandoned.run(once).await {
                Err(error) if attempt < ATTEMPTS && is_collision(&error) => attempt += 1,
                answer => return answer,
            }
        }
    }

    /// Learns the names of queues that rows of jobs have as numbers only.
    async fn learn(&self, rows: &[PgRow]) -> Result<(), Error> {
        if !self.names.know(rows) {
            self.names.learn(&self.call(Query::QueueNames, ()).await?)?;
        }
        Ok(())
    }

    /// Whether a lease that ends may let another job of this queue start.
    pub(crate) fn is_bounded(&self, queue: &QueueName) -> bool {
        self.names.is_bounded(queue)
    }

    /// Sends empty notices.
    pub(crate) async fn notify(&self, channels: &[String]) -> Result<(), Error> {
        self.call(Query::Notify, (&channels,)).await.map(|_| ())
    }

    /// The number of a queue, and the store's time.
    async fn find_queue(&self, name: &QueueName) -> Result<(Timestamp, Option<i32>), Error> {
        let rows = self.call(Query::FindQueue, (&self.clock(), &name.as_str())).await?;
        Ok((first_moment(&rows)?, get(first(&rows)?, 1)?))
    }
}

/// One attempt at a statement.
async fn once(
    connections: Connections,
    pooler: Pooler,
    sql: SqlStr,
    arguments: PgArguments,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let mut connection = connections.take().await?;
    let query = sqlx::query_with::<Postgres, _>(sql, arguments);
    let answer = match pooler {
        Pooler::None => query.fetch_all(&mut *connection).await,
        // Preparing and running have to reach the same session.
        Pooler::Transaction => {
            let mut transaction = connection.begin_with(BEGIN).await?;
            let rows = query.persistent(false).fetch_all(&mut *transaction).await;
            match rows {
                Ok(rows) => transaction.commit().await.map(|()| rows),
                Err(error) => {
                    // Not being able to roll back is the lesser news.
                    let _ = transaction.rollback().await;
                    Err(error)
                }
            }
        }
    };
    match &answer {
        Ok(_) => connection.keep(),
        Err(error) if is_on_wrong_server(error) => connection.give_up().await,
        // The pool finds out what it is still good for.
        Err(_) => drop(connection),
    }
    answer
}

/// Runs a statement on a connection of the caller's, inside its transaction. Where
/// that sees what others have committed since, a collision with them is tried again.
async fn run_in(
    connection: &mut PgConnection,
    sql: SqlStr,
    arguments: PgArguments,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let mut attempt = 0;
    loop {
        match once_in(connection, sql.clone(), arguments.clone()).await {
            Err(error)
                if attempt < ATTEMPTS && is_outdated(&error) && sees_others(connection).await? =>
            {
                attempt += 1;
            }
            answer => return answer,
        }
    }
}

/// Whether each statement of a transaction sees what was committed before it.
async fn sees_others(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let text = "SELECT current_setting('transaction_isolation') = 'read committed'";
    sqlx::query_scalar(text).persistent(false).fetch_one(connection).await
}

/// One attempt at a statement inside the caller's transaction.
async fn once_in(
    connection: &mut PgConnection,
    sql: SqlStr,
    arguments: PgArguments,
) -> Result<Vec<PgRow>, sqlx::Error> {
    // What it did is undone if it fails; the rest of the transaction is not
    // touched. The client library's own savepoints would not do: of a transaction
    // that was begun by a statement it does not know, and would commit it.
    sqlx::raw_sql("SAVEPOINT windlass").execute(&mut *connection).await?;
    let rows = sqlx::query_with::<Postgres, _>(sql, arguments).fetch_all(&mut *connection).await;
    let end = match rows {
        Ok(_) => "RELEASE SAVEPOINT windlass",
        Err(_) => "ROLLBACK TO SAVEPOINT windlass; RELEASE SAVEPOINT windlass",
    };
    let ended = sqlx::raw_sql(end).execute(connection).await;
    // What went wrong first tells why.
    let rows = rows?;
    ended.map(|_| rows)
}

/// Values for the parameters of a statement, in order.
pub(crate) trait Values {
    fn add(self, arguments: &mut PgArguments) -> Result<(), sqlx::error::BoxDynError>;
}

/// Encodes values.
fn arguments(values: impl Values) -> Result<PgArguments, Error> {
    let mut arguments = PgArguments::default();
    values.add(&mut arguments).map_err(|error| {
        Error::new(ErrorKind::Invalid, "Postgres cannot be given such a value").with_source(error)
    })?;
    Ok(arguments)
}

impl Values for () {
    fn add(self, _: &mut PgArguments) -> Result<(), sqlx::error::BoxDynError> {
        Ok(())
    }
}

macro_rules! values {
    ($($name:ident)+) => {
        impl<'v, $($name),+> Values for ($(&'v $name,)+)
        where
            $(&'v $name: Encode<'v, Postgres> + Type<Postgres>,)+
        {
            fn add(self, arguments: &mut PgArguments) -> Result<(), sqlx::error::BoxDynError> {
                #[allow(non_snake_case)]
                let ($($name,)+) = self;
                $(arguments.add($name)?;)+
                Ok(())
            }
        }
    };
}

values!(A);
values!(A B);
values!(A B C);
values!(A B C D);
values!(A B C D E);
values!(A B C D E F);
values!(A B C D E F G);

fn first(rows: &[PgRow]) -> Result<&PgRow, Error> {
    rows.first().ok_or_else(|| Error::new(ErrorKind::Store, "Postgres answered nothing"))
}

fn first_moment(rows: &[PgRow]) -> Result<Timestamp, Error> {
    Ok(Timestamp::from_micros(get(first(rows)?, 0)?))
}
