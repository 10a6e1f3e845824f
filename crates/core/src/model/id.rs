//! Identities: of jobs, flows, workers and leases.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::name::{JobKey, QueueName};

/// The namespace of all derived ids, itself derived from the project's name.
const NAMESPACE: Uuid = Uuid::from_u128(0x8f0c_7a52_41de_5b6e_9d7b_77a1_6e64_6c73);

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// The id with these 16 bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// Its 16 bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Uuid {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }
    };
}

id! {
    /// Names a job: 16 bytes, a UUID. Version 7 where the client draws it,
    /// version 5 (RFC 9562, name-based) where it derives from a job key.
    JobId
}
id! {
    /// Names a flow, a graph of jobs that were enqueued together.
    FlowId
}
id! {
    /// Names a running worker: drawn anew at each start and never a fence
    /// (rule L5).
    WorkerId
}

impl JobId {
    /// The id of the job with this key in this queue (rule E3).
    #[must_use]
    pub fn derived(queue: &QueueName, key: &JobKey) -> Self {
        let of_queue = Uuid::new_v5(&NAMESPACE, queue.as_str().as_bytes());
        Self(Uuid::new_v5(&of_queue, key.as_str().as_bytes()))
    }
}

/// A fencing token: proves that a lease is the current one of its job.
/// Monotonic per job; a larger one was handed out later (rule L1).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Token(pub u64);

/// A job and the queue it stands in. Stores that spread queues over machines
/// cannot find a job by its id alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobRef {
    /// The queue.
    pub queue: QueueName,
    /// The job.
    pub id: JobId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_id_depends_on_queue_and_key_alone() {
        let queue = |name: &str| QueueName::new(name).unwrap();
        let key = |name: &str| JobKey::new(name).unwrap();
        let id = JobId::derived(&queue("a"), &key("k"));
        assert_eq!(id, JobId::derived(&queue("a"), &key("k")));
        assert_ne!(id, JobId::derived(&queue("b"), &key("k")));
        assert_ne!(id, JobId::derived(&queue("a"), &key("l")));
        // Stored ids depend on this value: it must never change.
        assert_eq!(Uuid::from(id).get_version_num(), 5);
    }

    #[test]
    fn an_id_survives_text_and_bytes() {
        let id = JobId::from_bytes(*b"0123456789abcdef");
        assert_eq!(id.to_string().parse::<JobId>().unwrap(), id);
        assert_eq!(JobId::from_bytes(*id.as_bytes()), id);
    }
}
