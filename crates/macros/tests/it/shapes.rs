//! Which types can be jobs.

// The types are there to be derived for, not to be filled.
#![allow(dead_code)]

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use windlass_macros::Job;
use windlass_runtime::Job;

fn name<J: Job>() -> &'static str {
    J::NAME
}

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
struct Unit;

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
struct Tuple(u64, Option<Cow<'static, str>>);

#[derive(Serialize, Deserialize, Job)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[job(crate = "windlass_runtime", name = "either")]
enum Choice {
    #[serde(rename = "first")]
    A,
    B(Inner),
    C {
        #[serde(default)]
        n: u8,
    },
}

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
struct Skipped {
    #[serde(skip)]
    label: &'static str,
}

#[derive(Serialize, Deserialize)]
struct Inner {
    n: u8,
}

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
#[allow(non_camel_case_types)]
struct r#match;

#[test]
fn structs_and_enums_of_every_shape_are_jobs() {
    assert_eq!(name::<Unit>(), "unit");
    assert_eq!(name::<Tuple>(), "tuple");
    assert_eq!(name::<Choice>(), "either");
    assert_eq!(name::<Skipped>(), "skipped");
    assert_eq!(name::<r#match>(), "match");
}

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime", queue = "batches")]
struct Batch<T> {
    items: Vec<T>,
}

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
#[serde(bound = "")]
struct Bounded<K: Debug + std::hash::Hash + Eq, V = String>
where
    K: Serialize + DeserializeOwned,
    V: Serialize + DeserializeOwned,
{
    map: HashMap<K, V>,
}

#[derive(Serialize, Deserialize, Job)]
#[job(crate = "windlass_runtime")]
struct Sized<const N: usize> {
    n: u8,
}

#[test]
fn a_generic_type_is_a_job_for_each_parameter_that_can_travel() {
    assert_eq!(name::<Batch<u8>>(), "batch");
    assert_eq!(name::<Batch<Inner>>(), "batch");
    assert_eq!(Batch::<String>::defaults().queue, Some("batches"));
    assert_eq!(name::<Bounded<u8>>(), "bounded");
    assert_eq!(name::<Bounded<String, Batch<u8>>>(), "bounded");
    assert_eq!(name::<Sized<3>>(), "sized");
}

mod shadowed {
    //! Everything that the expansion could name by accident has another
    //! meaning here.

    use serde::{Deserialize, Serialize};

    enum Option {}
    enum Default {}
    enum Duration {}
    enum Vec {}
    mod core {}
    mod std {}

    #[derive(Serialize, Deserialize, windlass_macros::Job)]
    #[job(crate = "windlass_runtime")]
    #[job(queue = "q", retries = 1, backoff = list("1s"), timeout = "1s")]
    pub(super) struct Shadowed;
}

#[test]
fn the_expansion_names_everything_by_its_full_path() {
    assert_eq!(name::<shadowed::Shadowed>(), "shadowed");
}
