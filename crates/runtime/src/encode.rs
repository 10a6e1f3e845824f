//! From values to what is stored of them.

use std::any::TypeId;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use windlass_core::model::{JobType, Payload, json};

use crate::error::{Error, Result};
use crate::job::Job;

/// How much room for encoding a thread keeps for the next time.
const KEPT_SCRATCH: usize = 1 << 16;

/// A value as it travels: JSON.
pub(crate) fn encode<T: serde::Serialize + ?Sized>(
    what: &'static str,
    value: &T,
) -> Result<Payload> {
    thread_local! {
        static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    }
    // Written here first, a payload takes exactly its own length of memory. A
    // value that encodes another one while it is encoded finds an empty one.
    let mut scratch = SCRATCH.take();
    scratch.clear();
    let encoded = match serde_json::to_writer(&mut scratch, value) {
        Ok(()) => match json::depth(&scratch) {
            ..=json::MAX_DEPTH => Ok(Payload::copy_of(&scratch)),
            depth => Err(too_deep(what, depth)),
        },
        Err(error) => Err(Error::Encode { what, message: json::problem(&error) }),
    };
    if scratch.capacity() <= KEPT_SCRATCH {
        SCRATCH.set(scratch);
    }
    encoded
}

/// The name of a job type. It is checked, and its text stored, once per
/// thread.
pub(crate) fn job_type<J: Job>() -> Result<JobType> {
    thread_local! {
        static KNOWN: RefCell<HashMap<TypeId, JobType>> = RefCell::default();
    }
    KNOWN.with_borrow_mut(|known| match known.entry(TypeId::of::<J>()) {
        Entry::Occupied(known) => Ok(known.get().clone()),
        Entry::Vacant(unknown) => Ok(unknown.insert(JobType::new(J::NAME)?).clone()),
    })
}

/// What is nested more deeply could be written, but never be read back.
fn too_deep(what: &'static str, depth: usize) -> Error {
    let most = json::MAX_DEPTH;
    let message = format!(
        "it is nested {depth} levels deep, and could not be read back; use {most} levels at most"
    );
    Error::Encode { what, message }
}

/// As [`encode`], for a value that a tool may have made of any depth: writing it
/// would use up the stack, so that it is looked at first.
pub(crate) fn encode_value(value: &serde_json::Value) -> Result<Payload> {
    let nests = |value: &&serde_json::Value| value.is_array() || value.is_object();
    let mut level: Vec<&serde_json::Value> = vec![value];
    level.retain(nests);
    let mut depth = 0;
    while !level.is_empty() {
        let mut below: Vec<&serde_json::Value> = Vec::new();
        for value in level {
            match value {
                serde_json::Value::Array(items) => below.extend(items.iter().filter(nests)),
                serde_json::Value::Object(fields) => below.extend(fields.values().filter(nests)),
                _ => {}
            }
        }
        level = below;
        depth += 1;
    }
    if depth > json::MAX_DEPTH {
        return Err(too_deep("job", depth));
    }
    encode("job", value)
}
