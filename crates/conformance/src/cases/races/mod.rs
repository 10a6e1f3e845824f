//! Many tasks on several handles at once.

mod enqueue;
mod settle;
mod start;
mod upkeep;

use crate::harness::Case;

/// The tables of cases of this folder.
pub(super) const ALL: [&[Case]; 4] = [enqueue::CASES, start::CASES, settle::CASES, upkeep::CASES];

/// How many tasks race.
const TASKS: usize = 16;
