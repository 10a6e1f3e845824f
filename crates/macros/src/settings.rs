//! What `#[job(…)]` says, checked.

use std::time::Duration;

use syn::{Attribute, Error, Ident, Lit, LitInt, LitStr, Path, Result};

use crate::backoff::Backoff;
use crate::entry::{Entry, entries};
use crate::errors::Errors;
use crate::suggest::suggestion;
use crate::{length, name, number};

/// What the attributes of a type say. What was not given, or was wrong, is
/// `None`.
#[derive(Default)]
pub(crate) struct Settings {
    /// The name of the job.
    pub(crate) name: Option<LitStr>,
    /// The queue.
    pub(crate) queue: Option<LitStr>,
    /// How many attempts may fail: one more than `retries` says.
    pub(crate) max_attempts: Option<u32>,
    /// How the waits grow.
    pub(crate) backoff: Option<Backoff>,
    /// How far a wait may stray, 0 to 1.
    pub(crate) jitter: Option<f64>,
    /// How long one attempt may run; more than zero.
    pub(crate) timeout: Option<Duration>,
    /// The priority; not `i32::MIN`.
    pub(crate) priority: Option<i32>,
    /// Where `Job`, `JobDefaults` and `model` are.
    pub(crate) krate: Option<Path>,
}

/// What can be set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    Name,
    Queue,
    Retries,
    Backoff,
    Jitter,
    Timeout,
    Priority,
    Crate,
}

impl Settings {
    /// Reads every `#[job(…)]` among these attributes.
    pub(crate) fn read(attributes: &[Attribute], errors: &mut Errors) -> Self {
        let mut settings = Self::default();
        let mut seen = Vec::new();
        for attribute in attributes.iter().filter(|a| a.path().is_ident("job")) {
            for entry in entries(attribute, errors) {
                match Key::of(&entry.key) {
                    Err(error) => errors.push(error),
                    Ok(key) if seen.contains(&key) => errors.push(Error::new(
                        entry.key.span(),
                        format!("`{}` is given twice; keep one of them", key.name()),
                    )),
                    Ok(key) => {
                        seen.push(key);
                        errors.check(settings.set(key, &entry));
                    }
                }
            }
        }
        settings
    }

    fn set(&mut self, key: Key, entry: &Entry) -> Result<()> {
        let expected = key.expected();
        match key {
            Key::Name => self.name = Some(name::check(entry.literal(&expected)?)?),
            Key::Queue => self.queue = Some(name::check(entry.literal(&expected)?)?),
            Key::Retries => {
                let literal: LitInt = entry.literal(&expected)?;
                self.max_attempts = number::whole::<u32>(&literal)
                    .and_then(|retries| retries.checked_add(1))
                    .map(Some)
                    .ok_or_else(|| entry.wrong(&expected))?;
            }
            Key::Backoff => self.backoff = Some(Backoff::read(entry)?),
            Key::Jitter => {
                let literal: Lit = entry.literal(&expected)?;
                self.jitter = number::real(&literal)
                    .filter(|share| (0.0..=1.0).contains(share))
                    .map(Some)
                    .ok_or_else(|| entry.wrong(&expected))?;
            }
            Key::Timeout => {
                let length = length::read(&entry.literal(&expected)?)?;
                if length.is_zero() {
                    return Err(entry.wrong(
                        "a time-out of zero would fail every attempt; give a longer one, \
                         or leave `timeout` out for attempts without one",
                    ));
                }
                self.timeout = Some(length);
            }
            Key::Priority => {
                let literal: LitInt = entry.literal(&expected)?;
                self.priority = number::whole::<i32>(&literal)
                    .filter(|priority| *priority != i32::MIN)
                    .map(Some)
                    .ok_or_else(|| entry.wrong(&expected))?;
            }
            Key::Crate => {
                let text: LitStr = entry.literal(&expected)?;
                let path = text.parse_with(Path::parse_mod_style);
                self.krate = Some(path.map_err(|_| entry.wrong(&expected))?);
            }
        }
        Ok(())
    }
}

impl Key {
    const ALL: [Self; 8] = [
        Self::Name,
        Self::Queue,
        Self::Retries,
        Self::Backoff,
        Self::Jitter,
        Self::Timeout,
        Self::Priority,
        Self::Crate,
    ];

    fn of(ident: &Ident) -> Result<Self> {
        let written = ident.to_string();
        let names = Self::ALL.map(Self::name);
        let known = Self::ALL.into_iter().find(|key| written == key.name());
        known.ok_or_else(|| {
            Error::new(
                ident.span(),
                format!(
                    "a job has no attribute `{written}`{}\nthere are {}",
                    suggestion(&written, &names),
                    names.map(|name| format!("`{name}`")).join(", "),
                ),
            )
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Queue => "queue",
            Self::Retries => "retries",
            Self::Backoff => "backoff",
            Self::Jitter => "jitter",
            Self::Timeout => "timeout",
            Self::Priority => "priority",
            Self::Crate => "crate",
        }
    }

    /// What its value must be.
    fn expected(self) -> String {
        let (value, example) = match self {
            Self::Name => ("a name in quotes", "\"email.welcome\""),
            Self::Queue => ("the name of a queue in quotes", "\"emails\""),
            Self::Retries => (
                "how many attempts may follow the first one, a whole number from 0 to 4294967294",
                "5",
            ),
            Self::Backoff => {
                ("how the wait between attempts grows", "exponential(\"1s\", 2.0, \"1h\")")
            }
            Self::Jitter => ("a number from 0 to 1", "0.1"),
            Self::Timeout => ("a length of time in quotes", "\"30s\""),
            Self::Priority => ("a whole number from -2147483647 to 2147483647", "3"),
            Self::Crate => ("a path in quotes", "\"::windlass\""),
        };
        let name = self.name();
        format!("`{name}` takes {value}, such as `{name} = {example}`")
    }
}
