//! Stores that another version has written.

use windlass_core::ErrorKind;
use windlass_redis::{RedisBackend, redis};

use crate::fixture::*;

async fn is_kept_in_another_form(home: Home) {
    // The first one says in which form it is kept.
    home.open().await;
    let mut found = Vec::new();
    let mut masters = home.server.masters().await;
    for master in &mut masters {
        for key in master.keys(&home.prefix).await {
            if !key.ends_with(b":store") {
                continue;
            }
            let mut get = redis::cmd("HGET");
            found.push(master.run::<String>(get.arg(&key).arg("format")).await);
            // As of a version to come, and of one that is long gone.
            for other in ["999", "0"] {
                let mut set = redis::cmd("HSET");
                let _: u64 = master.run(set.arg(&key).arg("format").arg(other)).await;
                let error = RedisBackend::connect(home.config()).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Incompatible, "{error:#}");
                for words in
                    [format!("is kept in form {other}"), format!("knows form {}", found[0])]
                {
                    assert!(error.to_string().contains(&words), "{error:#}");
                }
            }
            let mut set = redis::cmd("HSET");
            let _: u64 = master.run(set.arg(&key).arg("format").arg(&found[0])).await;
        }
    }
    assert_eq!(found.len(), 1, "one place says it: {found:?}");
    home.open().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_kept_in_another_form_is_refused_and_both_are_named() {
    is_kept_in_another_form(Home::single()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_keeps_a_store_in_another_form_is_refused() {
    is_kept_in_another_form(Home::cluster()).await;
}
