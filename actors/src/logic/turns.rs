//! The turns of a ticket client: what it reads and decides has effect only while nobody has said
//! that it is *not busy* (rule L11).

/// Counts the turns that were made void.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turns {
    voided: u64,
}

/// One flow's, or one read's, time on a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn(u64);

impl Turns {
    /// A flow or a read begins.
    pub fn begin(&self) -> Turn {
        Turn(self.voided)
    }

    /// A person says that the client is not busy: whatever runs has no effect any more.
    pub fn void(&mut self) {
        self.voided += 1;
    }

    /// Has it an effect still?
    pub fn stands(&self, turn: Turn) -> bool {
        turn.0 == self.voided || mutant!(VoidedStands)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_began_before_is_void_and_what_begins_after_stands() {
        let mut turns = Turns::default();
        let before = turns.begin();
        assert!(turns.stands(before));
        turns.void();
        assert!(!turns.stands(before) && turns.stands(turns.begin()));
    }
}
