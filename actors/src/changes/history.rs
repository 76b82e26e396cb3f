//! History rows: written when a request ends, moved to a file or let go when there are too many
//! (rules C1, C2).
//!
//! A row on its way to a file is removed only under the mark that was set before the file was
//! touched, so that a process that dies in between knows at its next start where to look.

use super::{Applied, Halt, Refusal};
use crate::logic::history;
use crate::model::{Alarm, HistoryList, Request, State, Ticket, Timestamp};
use crate::ports::{Leaving, Tx};

/// What becomes of history rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Past {
    /// Rows are about to be written to a file.
    Leave(HistoryList, Leaving),
    /// They are safely in it: at most `limit` of them go. With the last one the mark goes too.
    Left {
        /// Of which list.
        list: HistoryList,
        /// Of that mark.
        upto: u64,
        /// At most so many in one go.
        limit: u32,
    },
    /// They are not in it, and stay.
    Stay(HistoryList),
    /// Nothing is offloaded: rows that are too many or too old go.
    Limit {
        /// Of which list.
        list: HistoryList,
        /// So many stay.
        most: u64,
        /// Rows that ended before go.
        before: Option<Timestamp>,
        /// At most so many in one go.
        limit: u32,
    },
}

pub(super) fn perform(tx: &mut dyn Tx, it: &Past) -> Result<Applied, Halt> {
    let gone = match it {
        Past::Leave(list, leaving) => {
            if tx.leaving(*list)?.is_some() {
                return Err(Refusal::WrongState.into());
            }
            tx.put_leaving(*list, Some(*leaving))?;
            0
        }
        Past::Left { list, upto, limit } => {
            if tx.leaving(*list)?.is_none_or(|leaving| leaving.upto != *upto) {
                return Err(Refusal::WrongState.into());
            }
            let gone = tx.drop_history(*list, *upto, *limit)?;
            if gone < u64::from(*limit) {
                tx.put_leaving(*list, None)?;
            }
            gone
        }
        Past::Stay(list) => {
            tx.put_leaving(*list, None)?;
            0
        }
        Past::Limit { list, most, before, limit } => {
            let over = tx.history_count(*list)?.saturating_sub(*most);
            let oldest = tx.oldest_history(*list, *limit)?;
            let going = (0u64..).zip(oldest).take_while(|(place, (_, at))| {
                *place < over || before.is_some_and(|before| *at < before)
            });
            match going.last() {
                Some((_, (n, _))) => tx.drop_history(*list, n, *limit)?,
                None => 0,
            }
        }
    };
    Ok(Applied::Count(gone))
}

/// Writes the rows of a request that has ended; nothing while it has not.
pub(super) fn write(
    tx: &mut dyn Tx,
    request: &Request,
    ticket: &Ticket,
    linked: &[Alarm],
) -> Result<(), Halt> {
    if request.state == State::Rejected && mutant!(RefusalUntold) {
        return Ok(());
    }
    for row in history::rows(request, ticket, linked) {
        tx.add_history(&row)?;
    }
    Ok(())
}
