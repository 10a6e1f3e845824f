//! How a schema comes about, and what is refused.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, ConnectOptions};
use windlass_core::{Backend, Error, ErrorKind};
use windlass_postgres::{PostgresBackend, PostgresConfig, sqlx};

use crate::fixture::*;
use crate::server::Server;

/// What a test's password is; it must show up nowhere.
const CANARY: &str = "CANARY_secret_4711";

fn tells_no_secret(error: &Error) {
    let told = format!("{error} {error:#} {error:?} {:?}", std::error::Error::source(error));
    assert!(!told.contains("CANARY"), "{told}");
}

/// A database or role that goes with its test.
async fn administer(home: &Home, text: &str) {
    let mut connection = home.connection().await;
    sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(&mut connection).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_connect_at_once_make_one_schema() {
    let home = Home::new();
    const MANY: usize = 16;
    let configs = Arc::new(home.config());
    let tasks: Vec<_> = (0..MANY)
        .map(|_| {
            let mut config = PostgresConfig::clone(&configs);
            config.connections = 2;
            tokio::spawn(async move {
                let backend = PostgresBackend::connect(config).await?;
                backend.declare(&spec()).await?;
                enqueue(&backend, jobs(1)).await;
                Ok::<_, Error>(backend)
            })
        })
        .collect();
    let mut backends = Vec::new();
    for task in tasks {
        backends.push(task.await.unwrap().expect("connect"));
    }
    assert_eq!(take(&backends[3], 100).await.len(), MANY);
    assert_eq!(home.number("SELECT count(*) FROM windlass.migrations").await, 2);
    assert_eq!(home.number("SELECT count(*) FROM windlass.queues").await, 1);
    eprintln!("{MANY} connected at once: failures 0, schemas 1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemas_beside_each_other_know_nothing_of_each_other() {
    let (one, other) = (Home::new(), Home::new());
    let (first, second) = (one.open().await, other.open().await);
    first.declare(&spec()).await.unwrap();
    enqueue(&first, jobs(5)).await;
    assert!(second.queues().await.unwrap().is_empty());
    let unknown = second.dequeue(ask(1)).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::UnknownQueue);
    second.declare(&spec()).await.unwrap();
    assert!(take(&second, 10).await.is_empty());
    assert_eq!(take(&first, 10).await.len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_schema_is_refused_with_what_to_do() {
    let home = Home::new();
    home.open().await.close().await;
    home.run(
        "INSERT INTO windlass.migrations (version, description, success, checksum, execution_time) \
         VALUES (99, 'of the future', true, '\\x00', 0)",
    )
    .await;
    let error = PostgresBackend::connect(home.config()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    let told = error.to_string();
    assert!(told.contains("99") && told.contains("use that version or a newer one"), "{told}");
    assert!(told.contains(&home.schema), "{told}");
    eprintln!("{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_users_own_migrations_are_not_touched() {
    // One that has the name that the client library would use by default, in the
    // schema that connections look into first.
    let home = Home::new();
    let theirs = format!("{}_theirs", home.schema);
    administer(
        &home,
        &format!(
            "CREATE SCHEMA {theirs}; CREATE TABLE {theirs}._sqlx_migrations (version text); \
             INSERT INTO {theirs}._sqlx_migrations VALUES ('theirs')"
        ),
    )
    .await;
    let mut config = home.config();
    config.server = config.server.options([("search_path", theirs.as_str())]);
    let backend = PostgresBackend::connect(config.clone()).await.unwrap();
    backend.declare(&spec()).await.unwrap();
    enqueue(&backend, jobs(2)).await;
    assert_eq!(take(&PostgresBackend::connect(config).await.unwrap(), 10).await.len(), 2);
    let rows = format!("SELECT count(*) FROM {theirs}._sqlx_migrations WHERE version = 'theirs'");
    assert_eq!(home.number(&rows).await, 1);
    let tables = format!(
        "SELECT count(*) FROM pg_class c JOIN pg_namespace n \
                          ON n.oid = c.relnamespace WHERE n.nspname = '{theirs}'"
    );
    assert_eq!(home.number(&tables).await, 1, "nothing of ours is among theirs");
    administer(&home, &format!("DROP SCHEMA {theirs} CASCADE")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_needed_is_no_more_than_an_ordinary_role_has() {
    let home = Home::new();
    let backend = home.open().await;
    backend.declare(&spec()).await.unwrap();
    let may = "SELECT rolsuper::int::bigint FROM pg_roles WHERE rolname = current_user";
    let me = home.number(may).await;
    // Where the tests run by hand with a superuser, a role is made.
    if me == 1 {
        let role = format!("{}_role", home.schema);
        administer(
            &home,
            &format!(
                "DROP SCHEMA {0} CASCADE; CREATE ROLE {role} LOGIN PASSWORD '{CANARY}'; \
                 DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO {role}', \
                 current_database()); END $$",
                home.schema
            ),
        )
        .await;
        let mut config = home.config();
        config.server = config.server.username(&role).password(CANARY);
        let backend = PostgresBackend::connect(config.clone()).await.unwrap();
        backend.declare(&spec()).await.unwrap();
        enqueue(&backend, jobs(2)).await;
        let leased = take(&backend, 2).await;
        apply(&backend, leased.iter().map(done).collect()).await;
        backend.stats(&queue()).await.unwrap();
        backend.close().await;
        administer(&home, &format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}")).await;
        eprintln!("by a role made for it");
    } else {
        enqueue(&backend, jobs(2)).await;
        let leased = take(&backend, 2).await;
        apply(&backend, leased.iter().map(done).collect()).await;
        eprintln!("by the role of the tests, which is no superuser");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_cannot_be_had_is_told_without_the_password() {
    let home = Home::new();
    let good = home.config().server;
    let nobody = good.clone().username("windlass_nobody").password(CANARY);
    let nowhere = good.clone().database("windlass_nowhere");
    let no_host = good.clone().password(CANARY).host("windlass.invalid");
    let tables = [
        ("no such role", nobody, ErrorKind::Store, "Postgres refuses this user"),
        ("no such database", nowhere, ErrorKind::Store, "no such database"),
        ("a host that is not there", no_host, ErrorKind::Unavailable, "can be reached"),
    ];
    for (name, server, kind, words) in tables {
        let mut config = home.config();
        config.server = server;
        let error = PostgresBackend::connect(config.clone()).await.expect_err(name);
        assert_eq!(error.kind(), kind, "{name}: {error:#}");
        assert!(error.to_string().contains(words), "{name}: {error:#}");
        tells_no_secret(&error);
        assert!(!format!("{config:?}").contains("CANARY"));
        eprintln!("{name}: {error:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_is_waited_for_and_then_told_of_without_the_password() {
    let mut config = Server::find().config("nowhere");
    config.server = config.server.password(CANARY).port(1);
    let error = PostgresBackend::connect(config).await.expect_err("nobody is there");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:#}");
    assert!(error.to_string().contains("see that it runs"), "{error:#}");
    tells_no_secret(&error);
    eprintln!("{error:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_in_another_encoding_is_refused() {
    let home = Home::new();
    let may = "SELECT (rolsuper OR rolcreatedb)::int::bigint FROM pg_roles \
               WHERE rolname = current_user";
    // The role of the tests may not make databases; their administrator may.
    let admin = match home.number(may).await {
        1 => home.config().server,
        _ => Server::admin(),
    };
    let database = format!("{}_ascii", home.schema);
    let mut connection = admin.connect().await.unwrap();
    // From version 15 on, a cluster may have a provider of locales that knows
    // Unicode only.
    let version = home.number("SELECT current_setting('server_version_num')::bigint").await;
    let provider = if version >= 150_000 { "LOCALE_PROVIDER libc" } else { "" };
    let text = format!(
        "CREATE DATABASE {database} ENCODING 'SQL_ASCII' LC_COLLATE 'C' \
                        LC_CTYPE 'C' {provider} TEMPLATE template0"
    );
    sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
    let mut config = home.config();
    config.server = config.server.database(&database);
    let error = PostgresBackend::connect(config).await.expect_err("another encoding");
    // The connection of the failed attempt may take a moment to end.
    let text = format!("DROP DATABASE {database} WITH (FORCE)");
    sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    assert!(error.to_string().contains("SQL_ASCII"), "{error:#}");
    assert!(error.to_string().contains("UTF8"), "{error:#}");
    eprintln!("{error:#}");
}
