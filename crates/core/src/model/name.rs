//! Names and keys, checked once, when they are made (rule E5).

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A name or a key that breaks rule E5. The message says what is wrong and
/// what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {given:?} is not valid: {why}")]
pub struct InvalidName {
    what: &'static str,
    given: String,
    why: String,
}

impl InvalidName {
    fn new(what: &'static str, given: &str, why: impl Into<String>) -> Self {
        // A hostile name may be huge; the error quotes only its beginning.
        Self { what, given: given.chars().take(64).collect(), why: why.into() }
    }
}

fn check_name(what: &'static str, name: &str) -> Result<(), InvalidName> {
    const RIGHT: &str = "use 1 to 128 of the characters A-Z a-z 0-9 _ . : -";
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-');
    let wrong = if let Some(c) = name.chars().find(|c| !allowed(*c)) {
        format!("it contains {c:?}")
    } else if name.is_empty() {
        "it is empty".to_owned()
    } else if name.len() > 128 {
        format!("it has {} characters", name.len())
    } else {
        return Ok(());
    };
    Err(InvalidName::new(what, name, format!("{wrong}; {RIGHT}")))
}

fn check_key(what: &'static str, key: &str) -> Result<(), InvalidName> {
    const RIGHT: &str = "use 1 to 256 bytes of UTF-8 without NUL";
    let wrong = if key.is_empty() {
        "it is empty".to_owned()
    } else if key.len() > 256 {
        format!("it has {} bytes", key.len())
    } else if key.contains('\0') {
        "it contains NUL".to_owned()
    } else {
        return Ok(());
    };
    Err(InvalidName::new(what, key, format!("{wrong}; {RIGHT}")))
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the text and takes it.
            ///
            /// # Errors
            /// [`InvalidName`] if the text breaks rule E5.
            pub fn new(text: impl Into<Arc<str>>) -> Result<Self, InvalidName> {
                let text = text.into();
                $check($what, &text)?;
                Ok(Self(text))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = InvalidName;
            fn try_from(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }
    };
}

text! {
    /// The name of a queue: 1 to 128 of `A-Z a-z 0-9 _ . : -`.
    QueueName, "queue name", check_name
}
impl QueueName {
    /// A name that breaks the rule on purpose, so that nobody can give it: that
    /// of a part of a queue. Only [`decide::shards`](crate::decide::shards)
    /// makes one.
    pub(crate) fn internal(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }
}

text! {
    /// The name of a job type, by which a worker finds the handler: 1 to 128
    /// of `A-Z a-z 0-9 _ . : -`.
    JobType, "job type", check_name
}
text! {
    /// The key of a repeatable within its queue: 1 to 128 of
    /// `A-Z a-z 0-9 _ . : -`.
    RepeatableKey, "repeatable key", check_name
}
text! {
    /// The name a caller gives a job, for idempotency (rule E3): 1 to 256
    /// bytes of UTF-8 without NUL.
    JobKey, "job key", check_key
}
text! {
    /// Of which at most one live job may exist in a queue (rule E4): 1 to 256
    /// bytes of UTF-8 without NUL.
    DedupKey, "deduplication key", check_key
}
text! {
    /// Whose jobs run under limits of their own (rule P1): 1 to 256 bytes of
    /// UTF-8 without NUL.
    PartitionKey, "partition key", check_key
}
text! {
    /// A label to search by: 1 to 256 bytes of UTF-8 without NUL.
    Tag, "tag", check_key
}
text! {
    /// The name of a step of a durable job: 1 to 256 bytes of UTF-8 without NUL.
    StepName, "step name", check_key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_take_the_stated_characters_and_lengths_only() {
        for good in ["a", "email.welcome", "A_b-c:9", &"x".repeat(128)] {
            assert!(QueueName::new(good).is_ok(), "{good:?}");
        }
        for bad in ["", " ", "a b", "é", "a/b", "a\0", "{tag}", "x;drop", &"x".repeat(129)] {
            assert!(QueueName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn keys_take_any_utf8_but_nul_up_to_256_bytes() {
        for good in ["a b", "é", "'; DROP TABLE jobs --", &"x".repeat(256)] {
            assert!(JobKey::new(good).is_ok(), "{good:?}");
        }
        for bad in ["", "a\0b", &"x".repeat(257), &"é".repeat(129)] {
            assert!(JobKey::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_error_says_what_is_wrong_and_quotes_little() {
        let error = QueueName::new("!".repeat(1_000_000)).unwrap_err().to_string();
        assert!(error.starts_with("queue name \"!!!"), "{error}");
        assert!(error.ends_with("use 1 to 128 of the characters A-Z a-z 0-9 _ . : -"));
        assert!(error.len() < 200);
    }

    #[test]
    fn a_stored_name_is_checked_when_it_is_read_back() {
        assert!(serde_json::from_str::<QueueName>("\"ok\"").is_ok());
        assert!(serde_json::from_str::<QueueName>("\"not ok\"").is_err());
    }
}
