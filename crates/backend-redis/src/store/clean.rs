//! Removing jobs for good (rules N5, Q3 and Q4).

use windlass_core::backend::{Clean, CleanWhich};
use windlass_core::model::{JobId, State};
use windlass_core::{Error, ErrorKind};

use super::encode::moment;
use super::enqueue::read_id;
use super::{Arguments, Place, Script, Store};
use crate::record::letters_of;

impl Store {
    /// Removes jobs, and answers which.
    pub(crate) async fn clean(&self, clean: &Clean) -> Result<Vec<JobId>, Error> {
        let now = self.now().await?;
        let until = match clean.which {
            CleanWhich::OlderThan(age) => now.before(age),
            CleanWhich::BeyondNewest(_) => windlass_core::model::Timestamp::MAX,
        };
        match clean.state {
            State::Scheduled | State::Waiting => self.clean_pending(clean, moment(until)).await,
            state if state.is_terminal() => self.clean_ended(clean, moment(until)).await,
            state => Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "jobs that are {state} cannot be cleaned; clean scheduled, waiting or ended \
                     ones"
                ),
            )),
        }
    }

    async fn clean_ended(&self, clean: &Clean, until: [u8; 8]) -> Result<Vec<JobId>, Error> {
        let mut removed = Vec::new();
        let mut page = Vec::new();
        let mut passed_over = 0;
        loop {
            let left = (clean.limit as usize).saturating_sub(removed.len());
            if left == 0 && !removed.is_empty() {
                return Ok(removed);
            }
            let mut arguments = Arguments::with_room_for(6);
            arguments
                .add(letters_of(clean.state))
                .add(until)
                .add(kept_of(clean.which))
                .add_number(left)
                .add(page.clone())
                .add_number(passed_over);
            let queue = &clean.queue;
            let mut reply = self.call(Place::Queue(queue), Script::Clean, arguments).await?;
            read_ids(&reply.bytes()?, &mut removed)?;
            page = reply.bytes()?;
            passed_over = reply.number()?;
            let more = reply.number()? == 1;
            self.tell_others(queue, &mut reply).await;
            if !more || left == 0 {
                return Ok(removed);
            }
        }
    }

    async fn clean_pending(&self, clean: &Clean, until: [u8; 8]) -> Result<Vec<JobId>, Error> {
        let queue = &clean.queue;
        let limit = clean.limit as usize;
        let mut removed = Vec::new();
        let mut page = Vec::new();
        loop {
            let mut arguments = Arguments::with_room_for(5);
            arguments
                .add(if clean.state == State::Waiting { "1" } else { "0" })
                .add(until)
                .add_number(limit.saturating_sub(removed.len()))
                .add(page.clone())
                .add(kept_of(clean.which));
            let mut reply = self.call(Place::Queue(queue), Script::CleanPending, arguments).await?;
            read_ids(&reply.bytes()?, &mut removed)?;
            page = reply.bytes()?;
            // Nobody that has not ended depends on any of them.
            self.tell_others(queue, &mut reply).await;
            if page.is_empty() || removed.len() >= limit {
                return Ok(removed);
            }
        }
    }
}

/// How many of the newest are left, as scripts are told.
fn kept_of(which: CleanWhich) -> String {
    match which {
        CleanWhich::BeyondNewest(kept) => kept.to_string(),
        CleanWhich::OlderThan(_) => String::new(),
    }
}

fn read_ids(bytes: &[u8], into: &mut Vec<JobId>) -> Result<(), Error> {
    for id in bytes.chunks(16) {
        into.push(read_id(id)?);
    }
    Ok(())
}
