//! Removing jobs for good.

use uuid::Uuid;
use windlass_core::backend::{Clean, CleanWhich};
use windlass_core::model::{JobId, State, micros};
use windlass_core::{Error, ErrorKind};

use super::Store;
use super::query::Query;
use crate::record::{get, signed};

impl Store {
    /// Removes jobs of one state and answers which.
    pub(crate) async fn clean(&self, clean: &Clean) -> Result<Vec<JobId>, Error> {
        let (age, newest) = match clean.which {
            CleanWhich::OlderThan(age) => (Some(micros(age)), None),
            CleanWhich::BeyondNewest(kept) => (None, Some(signed(kept))),
        };
        if matches!(clean.state, State::Blocked | State::Active) {
            let (_, Some(_)) = self.find_queue(&clean.queue).await? else {
                return Err(Error::unknown_queue(&clean.queue));
            };
            let context = format!(
                "jobs that are {} cannot be cleaned; name a terminal state, scheduled or waiting",
                clean.state
            );
            return Err(Error::new(ErrorKind::Invalid, context));
        }
        let values = (
            &self.clock(),
            &clean.queue.as_str(),
            &i32::from(clean.state.code()),
            &age,
            &newest,
            &i64::from(clean.limit),
        );
        let rows = self.call(Query::Clean, values).await?;
        let Some((_, removed)) = rows.split_first() else {
            return Err(Error::unknown_queue(&clean.queue));
        };
        removed.iter().map(|row| Ok(JobId::from_bytes(get::<Uuid>(row, 0)?.into_bytes()))).collect()
    }
}
