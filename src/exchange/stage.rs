//! The stages of an exchange and the only table that moves between them.

/// Where an exchange stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The request's head is there; nothing is decided.
    Route,
    /// A pool is chosen; a connection is wanted.
    Pick,
    /// Waits for a member of the pool to become usable.
    Queue,
    /// A connection is being made.
    Dial,
    /// A connection is ours; no final response head yet.
    Send,
    /// The final response head is there; bodies flow.
    Reply,
    /// Both sides speak another protocol; bytes flow both ways.
    Tunnel,
    /// The response is done; the rest of the request is thrown away.
    Drain,
    /// Nothing is left to do.
    Done,
}

/// What happened to an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The route leads to a pool.
    Pooled,
    /// The answer is made here: an error, a redirect, fixed words.
    Answered,
    /// No member is usable now.
    Waiting,
    /// A connection is being made.
    Dialling,
    /// A connection is ours.
    Attached,
    /// The connection failed in a way that permits another attempt.
    Retry,
    /// The final response head arrived.
    Replied,
    /// The reply broke off before the client saw any of it: another answer may stand in for it.
    Unsaid,
    /// The backend agreed to another protocol.
    Switched,
    /// The response is complete, the request is not, and nobody wants its rest.
    Excess,
    /// Both directions are complete, or the exchange was given up.
    Finished,
}

impl Stage {
    /// The stage after `turn`; `None` when that can't happen here.
    pub const fn next(self, turn: Turn) -> Option<Stage> {
        Some(match (self, turn) {
            (Stage::Route, Turn::Pooled) => Stage::Pick,
            (Stage::Pick, Turn::Waiting) => Stage::Queue,
            (Stage::Pick | Stage::Queue, Turn::Dialling) => Stage::Dial,
            (Stage::Pick | Stage::Queue | Stage::Dial, Turn::Attached) => Stage::Send,
            (Stage::Dial | Stage::Send | Stage::Queue, Turn::Retry) => Stage::Pick,
            (
                Stage::Route | Stage::Pick | Stage::Queue | Stage::Dial | Stage::Send,
                Turn::Answered,
            ) => Stage::Reply,
            (Stage::Send, Turn::Replied) => Stage::Reply,
            (Stage::Send, Turn::Switched) => Stage::Tunnel,
            (Stage::Reply, Turn::Unsaid) => Stage::Send,
            (Stage::Reply, Turn::Excess) => Stage::Drain,
            (Stage::Done, _) => return None,
            (_, Turn::Finished) => Stage::Done,
            _ => return None,
        })
    }

    /// Whether an answer can still be chosen: none of one has been sent.
    pub const fn is_unanswered(self) -> bool {
        matches!(self, Stage::Route | Stage::Pick | Stage::Queue | Stage::Dial | Stage::Send)
    }

    /// The word for records and `show connections`.
    pub const fn word(self) -> &'static str {
        match self {
            Stage::Route => "route",
            Stage::Pick => "pick",
            Stage::Queue => "queue",
            Stage::Dial => "dial",
            Stage::Send => "send",
            Stage::Reply => "reply",
            Stage::Tunnel => "tunnel",
            Stage::Drain => "drain",
            Stage::Done => "done",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAGES: [Stage; 9] = [
        Stage::Route,
        Stage::Pick,
        Stage::Queue,
        Stage::Dial,
        Stage::Send,
        Stage::Reply,
        Stage::Tunnel,
        Stage::Drain,
        Stage::Done,
    ];

    fn walk(turns: &[Turn]) -> Option<Stage> {
        turns.iter().try_fold(Stage::Route, |stage, turn| stage.next(*turn))
    }

    #[test]
    fn the_usual_walks_end_where_they_should() {
        use Turn::*;
        assert_eq!(walk(&[Pooled, Attached, Replied, Finished]), Some(Stage::Done));
        assert_eq!(walk(&[Pooled, Dialling, Attached, Switched]), Some(Stage::Tunnel));
        assert_eq!(walk(&[Pooled, Waiting, Dialling, Attached]), Some(Stage::Send));
        assert_eq!(walk(&[Answered, Excess, Finished]), Some(Stage::Done));
        assert_eq!(walk(&[Pooled, Attached, Retry, Dialling, Attached]), Some(Stage::Send));
        assert_eq!(walk(&[Pooled, Attached, Replied, Unsaid, Answered]), Some(Stage::Reply));
    }

    #[test]
    fn an_answer_is_chosen_once() {
        for stage in STAGES {
            let can = stage.next(Turn::Answered).is_some();
            assert_eq!(can, stage.is_unanswered(), "{}", stage.word());
        }
        assert_eq!(walk(&[Turn::Pooled, Turn::Attached, Turn::Replied, Turn::Retry]), None);
        assert_eq!(walk(&[Turn::Pooled, Turn::Attached, Turn::Replied, Turn::Switched]), None);
    }

    #[test]
    fn every_stage_but_the_last_can_be_given_up() {
        for stage in STAGES {
            assert_eq!(stage.next(Turn::Finished).is_some(), stage != Stage::Done);
        }
    }
}
