//! Queries and functions, held to the real server.

use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};

use super::*;

/// Connects to the server that `DATABASE_URL` names. A missing server is a
/// failure.
async fn connect() -> PgConnection {
    let url = std::env::var("DATABASE_URL").unwrap_or_else(|_| {
        panic!("DATABASE_URL names no Postgres server; run the tests by scripts/test")
    });
    let options = PgConnectOptions::from_str(&url).expect("DATABASE_URL can be read");
    options.connect().await.expect("the server can be reached")
}

/// Makes a schema, runs a check of it, and drops it.
async fn in_new_schema(name: &str, check: impl AsyncFn(&mut PgConnection, &str, &Queries)) {
    let mut connection = connect().await;
    let schema = format!("unit_{name}_{}", std::process::id());
    let queries = Queries::new(&schema);
    schema::create(&mut connection, &schema, &queries).await.expect("create");
    check(&mut connection, &schema, &queries).await;
    let drop = format!("DROP SCHEMA {schema} CASCADE");
    sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut connection).await.expect("drop");
}

#[tokio::test]
async fn the_server_can_prepare_every_query_in_all_its_variants() {
    in_new_schema("queries", async |connection, _, queries| {
        let (mut prepared, mut failed) = (0, Vec::new());
        for (name, text) in queries.all() {
            match connection.prepare(text).await {
                Ok(_) => prepared += 1,
                Err(error) => failed.push(format!("{name}: {error}")),
            }
        }
        assert!(failed.is_empty(), "{failed:#?}");
        eprintln!("{prepared} queries prepared");
    })
    .await;
}

#[tokio::test]
async fn every_function_of_the_files_is_on_the_server_and_no_other() {
    in_new_schema("functions", async |connection, schema, _| {
        let on_server: Vec<String> = sqlx::query_scalar(
            "SELECT p.proname::text FROM pg_proc p \
             JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = $1 ORDER BY 1",
        )
        .bind(schema)
        .fetch_all(&mut *connection)
        .await
        .unwrap();
        let mut in_files: Vec<String> = schema::functions()
            .flat_map(|text| text.split("CREATE FUNCTION windlass.").skip(1))
            .map(|text| text.split('(').next().unwrap_or_default().to_owned())
            .collect();
        in_files.sort();
        assert_eq!(on_server, in_files);
        eprintln!("{} functions on the server", on_server.len());
    })
    .await;
}

#[tokio::test]
async fn every_function_keeps_its_plans_from_the_statistics() {
    in_new_schema("plans", async |connection, schema, _| {
        // Those that look for rows by a key that grows dead must not sort or hash.
        let loose: Vec<String> = sqlx::query_scalar(
            "SELECT p.proname::text FROM pg_proc p \
             JOIN pg_namespace n ON n.oid = p.pronamespace \
             JOIN pg_language l ON l.oid = p.prolang \
             WHERE n.nspname = $1 AND l.lanname = 'plpgsql' \
             AND p.prosrc ~ '(FROM|UPDATE|DELETE)' \
             AND NOT coalesce('enable_seqscan=off' = ANY (p.proconfig), false) ORDER BY 1",
        )
        .bind(schema)
        .fetch_all(&mut *connection)
        .await
        .unwrap();
        // These count everything, once, or have one row to look for, or none.
        assert_eq!(loose, ["declare", "keep_house", "mend", "note", "set_paused"]);
    })
    .await;
}
