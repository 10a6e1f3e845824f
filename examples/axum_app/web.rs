//! Requests and answers.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use windlass::{Error, Queue};

use crate::orders::{NewOrder, Refused, Shop, job_key};

#[derive(Clone)]
struct App {
    shop: Shop,
    queue: Queue,
}

pub(crate) fn router(shop: Shop, queue: Queue) -> Router {
    Router::new()
        .route("/orders", post(order).get(count))
        .route("/orders/{id}/confirmation", get(confirmation))
        .with_state(App { shop, queue })
}

#[derive(Serialize)]
struct Ordered {
    order: i64,
}

async fn order(
    State(app): State<App>,
    Json(order): Json<NewOrder>,
) -> Result<(StatusCode, Json<Ordered>), Failure> {
    // The transaction blocks its thread; the runtime has some for that.
    let work = move || app.shop.order(&app.queue, &order);
    let order = tokio::task::spawn_blocking(work).await.map_err(Failure::internal)??;
    Ok((StatusCode::CREATED, Json(Ordered { order })))
}

#[derive(Serialize)]
struct Counts {
    orders: i64,
    confirmed: i64,
    jobs: u64,
}

async fn count(State(app): State<App>) -> Result<Json<Counts>, Failure> {
    let stats = app.queue.stats().await.map_err(Failure::internal)?;
    let (orders, confirmed) = app.shop.count().map_err(Failure::internal)?;
    Ok(Json(Counts { orders, confirmed, jobs: stats.jobs.iter().sum() }))
}

/// Waits for the job of an order, and answers with what it returned.
async fn confirmation(
    State(app): State<App>,
    Path(order): Path<i64>,
) -> Result<Json<String>, Failure> {
    let (queue, client) = (app.queue.name(), app.queue.client());
    let handle = client.handle_by_key(queue.as_str(), &job_key(order))?;
    Ok(Json(handle.result().await?))
}

/// A request that could not be granted.
struct Failure(StatusCode, String);

impl Failure {
    fn internal(error: impl std::fmt::Display) -> Self {
        // What went wrong inside is for the log and not for the customer.
        tracing::error!(error = format!("{error:#}"), "a request has failed");
        Self(StatusCode::INTERNAL_SERVER_ERROR, "something went wrong".to_owned())
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::SoldOut => Self(StatusCode::CONFLICT, refused.to_string()),
            refused => Self::internal(refused),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Gone(_) => Self(StatusCode::NOT_FOUND, "there is no such order".to_owned()),
            error => Self::internal(error),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
    }
}
