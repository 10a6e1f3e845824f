//! What each attribute sets.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use windlass_macros::Job;
use windlass_runtime::model::{Backoff, Retry};
use windlass_runtime::{Job, JobDefaults};

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[derive(Serialize, Deserialize, Job)]
#[job(
    name = "email.welcome",
    queue = "emails",
    retries = 5,
    backoff = exponential("1s", 2.5, "1h"),
    jitter = 0.25,
    timeout = "1m30s",
    priority = -3,
    crate = "windlass_runtime",
)]
struct Everything {
    to: String,
}

#[test]
fn every_attribute_arrives_in_its_field() {
    assert_eq!(Everything::NAME, "email.welcome");
    assert_eq!(
        Everything::defaults(),
        JobDefaults {
            queue: Some("emails"),
            priority: Some(-3),
            retry: Some(Retry {
                max_attempts: 6,
                backoff: Backoff::Exponential { first: secs(1), factor: 2.5, cap: secs(3600) },
                jitter: 0.25,
            }),
            timeout: Some(secs(90)),
        }
    );
}

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
struct SendHTTPRequest2;

#[test]
fn without_attributes_the_name_is_the_types_and_nothing_else_is_set() {
    assert_eq!(SendHTTPRequest2::NAME, "send_http_request2");
    assert_eq!(SendHTTPRequest2::defaults(), JobDefaults::default());
}

#[test]
fn each_attribute_alone_sets_only_its_own_field() {
    macro_rules! defaults {
        ($($attribute:tt)*) => {{
            #[derive(Serialize, Deserialize, Job)]
            #[job(crate = "windlass_runtime", $($attribute)*)]
            struct Alone;
            Alone::defaults()
        }};
    }
    let none = JobDefaults::default;
    let retry = |retry| JobDefaults { retry: Some(retry), ..none() };
    let backoff = |backoff| retry(Retry { backoff, ..Retry::default() });
    let queue = JobDefaults { queue: Some("a:b"), ..none() };
    let priority = JobDefaults { priority: Some(7), ..none() };
    let timeout = JobDefaults { timeout: Some(Duration::from_millis(1500)), ..none() };
    let jitter = retry(Retry { jitter: 1.0, ..Retry::default() });
    let linear = Backoff::Linear { first: secs(1), step: secs(300), cap: secs(86_400) };
    let exponential = Backoff::Exponential { first: secs(2), factor: 3.0, cap: secs(2) };
    let table = [
        (defaults!(name = "other"), none()),
        (defaults!(queue = "a:b"), queue),
        (defaults!(priority = 7), priority),
        (defaults!(timeout = "1.5s"), timeout),
        (defaults!(retries = 0), retry(Retry::attempts(1))),
        (defaults!(retries = 4_294_967_294), retry(Retry::attempts(u32::MAX))),
        (defaults!(jitter = 1), jitter),
        (defaults!(backoff = fixed("0s")), backoff(Backoff::Fixed(secs(0)))),
        (defaults!(backoff = linear("1s", "5m", "1d")), backoff(linear)),
        (defaults!(backoff = exponential("2s", 3, "2s")), backoff(exponential)),
        (defaults!(backoff = list("4s")), backoff(Backoff::List(vec![secs(4)]))),
        (
            defaults!(backoff = list("1s", "1m", "5s",)),
            backoff(Backoff::List(vec![secs(1), secs(60), secs(5)])),
        ),
    ];
    for (index, (made, expected)) in table.into_iter().enumerate() {
        assert_eq!(made, expected, "row {index}");
    }
}

#[derive(Serialize, Deserialize, Job)]
#[job(name = "first", priority = 1)]
/// Documentation in between.
#[job()]
#[job(crate = "windlass_runtime")]
#[job(queue = "second")]
struct Repeated;

#[test]
fn attributes_may_be_spread_over_several_lists() {
    assert_eq!(Repeated::NAME, "first");
    assert_eq!(Repeated::defaults().queue, Some("second"));
    assert_eq!(Repeated::defaults().priority, Some(1));
}

mod reexported {
    pub(crate) mod deep {
        pub(crate) use windlass_runtime::{Job, JobDefaults, model};
    }
}

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "crate::attributes::reexported::deep", retries = 1)]
struct Elsewhere;

#[test]
fn the_trait_may_be_reached_by_any_path() {
    assert_eq!(Elsewhere::NAME, "elsewhere");
}

macro_rules! job {
    ($type:ident, $name:literal, $retries:literal, $wait:literal) => {
        #[derive(Serialize, Deserialize, Job)]
        #[job(crate = "windlass_runtime", name = $name, retries = $retries)]
        #[job(backoff = list($wait, "2s"))]
        struct $type;
    };
}

job!(Made, "made.by.macro", 2, "1s");

#[test]
fn a_declarative_macro_may_fill_in_the_values() {
    assert_eq!(Made::NAME, "made.by.macro");
    let retry = Made::defaults().retry.unwrap();
    assert_eq!(retry.max_attempts, 3);
    assert_eq!(retry.backoff, Backoff::List(vec![secs(1), secs(2)]));
}

#[test]
fn a_derived_job_travels_as_serde_says() {
    let job = Everything { to: "a".to_owned() };
    let json = serde_json::to_string(&job).unwrap();
    assert_eq!(json, r#"{"to":"a"}"#);
    let back: Everything = serde_json::from_str(&json).unwrap();
    assert_eq!(back.to, "a");
}
