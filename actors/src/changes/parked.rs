//! What a person does with a parked message: replaces its body, or has it go, because it was taken after
//! all or because nobody needs it.

use super::{Applied, Halt, Refusal};
use crate::model::{AsItCame, Timestamp};
use crate::ports::Tx;

/// A person replaces the body of a parked message. What came is kept beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mend {
    /// Its number.
    pub n: u64,
    /// The new body.
    pub body: Vec<u8>,
    /// What the new body is; none: what it was said to be before.
    pub content_type: Option<String>,
    /// Who.
    pub who: String,
    /// Why.
    pub reason: String,
}

/// A parked message goes. In one set with what was made of it, it goes if that is taken, and only then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpark {
    /// Its number.
    pub n: u64,
    /// How often it had been mended when it was read: a body that was replaced since stays.
    pub mended: u32,
    /// It was taken as a message; else nobody needs it.
    pub taken: bool,
    /// Who.
    pub who: String,
    /// Why.
    pub reason: String,
}

pub(super) fn mend(tx: &mut dyn Tx, it: &Mend, now: Timestamp) -> Result<Applied, Halt> {
    let mut message = tx.parked(it.n)?.ok_or(Refusal::NotFound)?;
    let before = std::mem::replace(&mut message.body, it.body.clone());
    let len = before.len();
    message.original.get_or_insert(AsItCame(before));
    message.mended += 1;
    if it.content_type.is_some() {
        message.content_type.clone_from(&it.content_type);
    }
    tx.put_parked(&message)?;
    let what =
        format!("parked message {} mended: {len} bytes replaced by {}", it.n, message.body.len());
    tx.audit(now, &it.who, &what, &it.reason)?;
    Ok(Applied::Mended(Box::new(message)))
}

pub(super) fn unpark(tx: &mut dyn Tx, it: &Unpark, now: Timestamp) -> Result<Applied, Halt> {
    let message = tx.parked(it.n)?.ok_or(Refusal::NotFound)?;
    if message.mended != it.mended {
        return Err(Refusal::StaleVersion.into());
    }
    tx.drop_parked(it.n)?;
    let became = if it.taken { "replayed" } else { "discarded" };
    let what = format!("parked message {} of {} {became}", it.n, message.inlet);
    tx.audit(now, &it.who, &what, &it.reason)?;
    Ok(Applied::Done)
}
