//! A web application whose handlers enqueue in the transaction of their own
//! insert, with its worker in the same process:
//! `cargo run --example axum_app -- shop.db 127.0.0.1:3000`.
//!
//! Tables and jobs are in one SQLite file. An order and the job that confirms
//! it are there together, or neither is: no order is forgotten because a
//! process died between two commits, and no job refers to an order that was
//! rolled back.
//!
//! ```sh
//! curl -X POST localhost:3000/orders -H 'content-type: application/json' \
//!     -d '{"item": "teapot", "quantity": 2}'
//! curl localhost:3000/orders/1/confirmation
//! ```

#![allow(clippy::print_stdout, reason = "a program, not a library")]

mod orders;
mod web;

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use orders::Shop;
use tokio::net::TcpListener;
use windlass::{Windlass, blocking};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let file = PathBuf::from(arguments.next().unwrap_or("shop.db".into()));
    let address = arguments.next().unwrap_or("127.0.0.1:3000".into());

    // The application's tables are in the file first; Windlass puts its own
    // beside them.
    let shop = Shop::open(&file)?;
    let url = format!("sqlite:{}?neighbours=welcome", file.display());
    let windlass = Windlass::connect(&url).await?;
    let queue = windlass.queue("orders").declare().await?;

    let confirm = blocking(orders::confirm);
    let worker = windlass.worker().queue(&queue).data(shop.clone()).handle(confirm);
    let worker = worker.start().await?;

    let listener = TcpListener::bind(&address).await.with_context(|| address.clone())?;
    println!("listening on {}", listener.local_addr()?);
    std::io::stdout().flush()?;
    let app = web::router(shop, queue);
    axum::serve(listener, app).with_graceful_shutdown(asked_to_stop()).await?;

    // No request is under way any more. Handlers of jobs may finish; what they
    // do not get to stays in the file.
    let summary = worker.stop().await;
    println!("stopped; {} jobs settled", summary.settled);
    Ok(())
}

/// Ready when the process is told to stop, by Ctrl-C or as a service manager
/// does.
async fn asked_to_stop() {
    let interrupted = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = interrupted => {}
                _ = terminated.recv() => {}
            }
            return;
        }
    }
    // If even that cannot be listened for, the process has to be killed; no
    // job is lost by it.
    if interrupted.await.is_err() {
        std::future::pending::<()>().await;
    }
}
